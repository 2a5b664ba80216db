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


def fixed() -> jtviz.Trace:
    """Trace a tiny Transformer whose weights and inputs are formulas: the same numbers everywhere."""
    model = torch.nn.Transformer(8, 2, 2, 2, 12, 0.0, batch_first=True).eval()
    with torch.no_grad():
        for i, weight in enumerate(model.parameters()):
            weight.copy_(0.6 * torch.sin(torch.arange(weight.numel()) * 0.7 + i).reshape(weight.shape))
    pattern = 2000 * torch.cos(torch.arange(24) * 0.37).reshape(3, 8)

    def weighed(output: Tensor) -> Tensor:
        return (output[0] * pattern).sum()

    source = torch.cos(torch.arange(32) * 0.9).reshape(1, 4, 8)
    answer = torch.sin(torch.arange(24) * 1.3).reshape(1, 3, 8)
    return hook(model).trace(inputs={"src": source, "tgt": answer}, target=weighed)


# What the code published with the papers makes of the patterns and gradients of `fixed`: of relevance
# DETR/modules/ExplanationGenerator.py in github.com/hila-chefer/Transformer-MM-Explainability (commit
# 14e55ee, without LRP), of rollout `compute_joint_attention` in github.com/samiraabnar/attention_flow
# (commit 3e53e4c). No query is hidden from another here: where one sees itself only, as the first of a
# causal decoder does, that code divides by zero and sets all of cross attention's relevance to zero.
PUBLISHED = {
    "cross": [
        [8.07767, 6.65028, 6.67501, 10.9007],
        [8.61184, 7.09008, 7.11643, 11.6215],
        [0.577417, 0.475377, 0.477153, 0.779214],
    ],
    "decoder": [
        [1.42063, 0.406496, 0.393139],
        [0.00882115, 1.0, 0.000612764],
        [0.145565, 0.154081, 1.141],
    ],
    "encoder": [
        [1.0, 0.00510229, 0.00272202, 7.787e-05],
        [0.0, 1.0, 0.000895393, 0.0020044],
        [9.18948e-08, 0.0, 1.0, 0.000425914],
        [2.20797e-07, 0.0, 0.0, 1.0],
    ],
    "rollout": [
        [0.420707, 0.289582, 0.119762, 0.16995],
        [0.105106, 0.426256, 0.260199, 0.208438],
        [0.101963, 0.124615, 0.367648, 0.405774],
        [0.10204, 0.124289, 0.103075, 0.670595],
    ],
}


def test_relevance_and_rollout_are_the_numbers_of_the_published_code() -> None:
    trace = fixed()
    found = relevance(trace)
    mine = {
        "cross": found.cross, "decoder": found.decoder, "encoder": found.encoder,
        "rollout": rollout(trace, "encoder"),
    }  # fmt: skip
    for name, wanted in PUBLISHED.items():
        torch.testing.assert_close(mine[name], torch.tensor(wanted), rtol=1e-4, atol=1e-6)


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
