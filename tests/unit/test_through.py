"""Rollout and relevance, against the equations of the papers on eager attention and autograd."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

import jtviz
from jtviz.analysis import relevance, rollout
from jtviz.analysis import through as module
from jtviz.capture import JtvizError, OutOfRangeError, hook
from tests.zoo.families import FAMILIES


def traced(family: str, implementation: str = "sdpa") -> jtviz.Trace:
    case = FAMILIES[family]
    return hook(case.build(implementation)).trace(inputs=case.inputs(1, "none"), target=number)


def number(output: Any) -> Tensor:
    found: Tensor = output[0][0, 2, 3]
    return found


@pytest.mark.parametrize(
    ("family", "stage"), [("BERT", "encoder"), ("GPT-2", "decoder"), ("BART", "encoder")]
)
def test_rollout_is_the_product_of_the_models_own_attentions(family: str, stage: str) -> None:
    case = FAMILIES[family]
    with torch.no_grad():
        output = case.build("eager")(**case.inputs(1, "none"), output_attentions=True)
    patterns = output.encoder_attentions if family == "BART" else output.attentions
    wanted = torch.eye(patterns[0].shape[-1])
    for layer, pattern in enumerate(patterns):
        mixed = 0.5 * pattern[0].mean(0) + 0.5 * torch.eye(len(wanted))
        wanted = mixed @ wanted
        torch.testing.assert_close(rollout(traced(family), stage, layer), wanted, atol=1e-5, rtol=0)
    torch.testing.assert_close(rollout(traced(family), stage), wanted, atol=1e-5, rtol=0)


def by_the_paper(family: str) -> dict[str, Tensor]:
    """Apply rules 5 to 10 of Chefer et al. 2021 to attentions and gradients of autograd."""
    case = FAMILIES[family]
    model = case.build("eager")
    output = model(**case.inputs(1, "none"), output_attentions=True)
    names = {"encoder": "encoder_attentions", "decoder": "decoder_attentions", "cross": "cross_attentions"}
    if not hasattr(output, "encoder_attentions"):
        names = {"encoder" if family == "BERT" else "decoder": "attentions"}
    attentions = {stage: list(getattr(output, name)) for stage, name in names.items()}
    flat = [pattern for patterns in attentions.values() for pattern in patterns]
    gradients = iter(torch.autograd.grad(number(output), flat, allow_unused=True, materialize_grads=True))
    gains = {
        stage: [(pattern * next(gradients)).clamp(min=0)[0].mean(0).detach() for pattern in patterns]
        for stage, patterns in attentions.items()
    }
    found: dict[str, Tensor] = {}
    for side in ("encoder", "decoder"):
        if side in gains:
            found[side] = torch.eye(gains[side][0].shape[-1])
    if "encoder" in gains:
        for gain in gains["encoder"]:
            found["encoder"] += gain @ found["encoder"]
    if "cross" in gains:
        found["cross"] = torch.zeros(gains["cross"][0].shape)
    for layer, gain in enumerate(gains.get("decoder", [])):
        found["decoder"] += gain @ found["decoder"]
        if "cross" in gains:
            found["cross"] += gain @ found["cross"]
            found["cross"] += evened(found["decoder"]).T @ gains["cross"][layer] @ evened(found["encoder"])
    return found


def evened(matrix: Tensor) -> Tensor:
    out = torch.eye(len(matrix))
    for i, row in enumerate(matrix - torch.eye(len(matrix))):
        if float(row.sum()):
            out[i] += row / row.sum()
    return out


@pytest.mark.parametrize("implementation", ["sdpa", "eager"])
@pytest.mark.parametrize("family", ["BERT", "GPT-2", "BART", "Marian", "T5"])
def test_relevance_is_that_of_the_paper(family: str, implementation: str) -> None:
    wanted = by_the_paper(family)
    found = relevance(traced(family, implementation))
    for name in ("encoder", "decoder", "cross"):
        matrix = getattr(found, name)
        assert (matrix is None) == (name not in wanted)
        if matrix is not None:
            torch.testing.assert_close(matrix, wanted[name], atol=1e-5, rtol=1e-4)


def test_what_cannot_be_followed_is_refused_before_any_work(monkeypatch: pytest.MonkeyPatch) -> None:
    trace = jtviz.hook(jtviz.demo.translator()).trace("I like tea.")
    with pytest.raises(JtvizError, match="rollout follows one text"):
        rollout(trace, "cross")
    with pytest.raises(OutOfRangeError, match="layer 9 of the encoder is not there"):
        rollout(trace, "encoder", 9)
    with pytest.raises(JtvizError, match="no gradients"):
        relevance(trace)
    monkeypatch.setattr(module, "LONGEST", 4)
    for ask in (lambda: rollout(trace, "encoder"), lambda: relevance(trace)):
        with pytest.raises(JtvizError, match="at most 4 tokens, and this one has 6: trace a part"):
            ask()


@pytest.mark.parametrize("target", ["茶", {"row": 2}])
def test_a_loss_rests_on_what_its_log_probability_rests_on(target: Any) -> None:
    hooked = jtviz.hook(jtviz.demo.translator())
    loss, chance = (
        relevance(hooked.trace("I like tea.", target=target, output=output))
        for output in ("loss", "log_prob")
    )
    for name in ("encoder", "decoder", "cross"):
        torch.testing.assert_close(getattr(loss, name), getattr(chance, name), atol=1e-7, rtol=1e-4)
    assert chance.cross is not None
    assert float(chance.cross.abs().max()) > 1e-4, "zero would prove nothing"
