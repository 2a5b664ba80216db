"""What heads do, against loops over the pattern, and against autograd through a mask of heads."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import jtviz
from jtviz.analysis import LEAST, MEASURES, find_heads, head_measures
from jtviz.analysis import heads as module
from jtviz.capture import JtvizError, OutOfRangeError, hook

NAMES = ["<s>", "▁in", "ter", "est", "▁in", "▁tea", "▁tea", "."]


def opened() -> jtviz.Trace:
    pattern = torch.rand(3, 4, len(NAMES), len(NAMES)).tril()
    return jtviz.from_arrays(pattern / pattern.sum(-1, keepdim=True), NAMES)


def by_loops(pattern: Tensor, words: tuple[int | None, ...]) -> dict[str, float]:
    """Measure one head ``[queries, keys]``, one weight at a time."""
    rows: dict[str, list[float]] = {name: [] for name in MEASURES}
    for q, row in enumerate(pattern.tolist()):
        keys = range(len(row))
        copies = [k for k in keys if k < q and NAMES[k] == NAMES[q]]
        others = [k for k in keys if k != q and words[q] is not None and words[k] == words[q]]
        rows["entropy"].append(-sum(a * math.log(a) for a in row if a))
        rows["distance"].append(sum(a * abs(q - k) for k, a in enumerate(row)))
        rows["first_token"].append(row[0])
        rows["diagonal"].append(row[q])
        if q:
            rows["previous_token"].append(row[q - 1])
        if copies:
            rows["duplicate_token"].append(sum(row[k] for k in copies))
            rows["induction"].append(sum(row[k + 1] for k in copies if k + 1 < q))
        if others:
            rows["same_word"].append(sum(row[k] for k in others))
    return {name: sum(values) / len(values) if values else math.nan for name, values in rows.items()}


@pytest.mark.parametrize("at_once", [1 << 22, 70])
def test_each_measure_is_the_mean_that_it_says(monkeypatch: pytest.MonkeyPatch, at_once: int) -> None:
    monkeypatch.setattr(module, "_SCORES", at_once)
    trace = opened()
    measures = head_measures(trace, "decoder")
    for layer in range(3):
        for head in range(4):
            wanted = by_loops(
                trace.attention("decoder", layer=layer, head=head), trace.tokens["decoder"].words
            )
            for name in MEASURES:
                found = float(getattr(measures, name)[layer, head])
                assert found == pytest.approx(wanted[name], abs=1e-5, nan_ok=True), name


def test_what_does_not_apply_is_no_number() -> None:
    cross = head_measures(jtviz.demo.translator().trace("I like tea."), "cross")
    applies = {name for name in MEASURES if not bool(getattr(cross, name).isnan().any())}
    assert applies == {"entropy", "first_token"}
    alone = head_measures(jtviz.from_arrays(torch.ones(1, 1, 1, 1), ["a"]), "encoder")
    assert bool(alone.previous_token.isnan().all())
    assert float(alone.entropy) == 0


def test_layers_that_differ_in_heads_end_with_no_number() -> None:
    trace = jtviz.from_arrays([torch.eye(4)[None].expand(n, 4, 4) for n in (2, 3)], list("abcd"))
    diagonal = head_measures(trace, "decoder").diagonal
    assert diagonal[1].tolist() == [1, 1, 1]
    assert diagonal[0, :2].tolist() == [1, 1]
    assert bool(diagonal[0, 2].isnan())


class Masked(nn.Module):
    """Two heads, each multiplied by its own switch."""

    def __init__(self) -> None:
        super().__init__()
        self.qkv, self.out, self.switch = nn.Linear(8, 24), nn.Linear(8, 3), nn.Parameter(torch.ones(2, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.qkv(x).view(1, -1, 3, 2, 4).permute(2, 0, 3, 1, 4)
        heads = F.scaled_dot_product_attention(q, k, v) * self.switch
        out: Tensor = self.out(heads.transpose(1, 2).flatten(2)).tanh()
        return out


def test_gradient_importance_is_the_gradient_of_a_mask_of_heads() -> None:
    model, x = Masked(), torch.randn(1, 6, 8)
    model(x)[0, -1].sum().backward()
    wanted = model.switch.grad
    assert wanted is not None
    trace = hook(model).trace(inputs=(x,), target=lambda output: output[0, -1].sum())
    found = head_measures(trace, "encoder").gradient
    torch.testing.assert_close(found[0], wanted.flatten().abs(), atol=1e-6, rtol=1e-5)


def test_heads_are_found_by_what_they_do() -> None:
    trace = jtviz.hook(jtviz.demo.induction()).trace("k7Qm2xRt k7Qm2xRt")
    measures = head_measures(trace, "decoder")
    (previous, *_) = find_heads(trace, "previous_token")
    assert previous.layer == 0
    assert previous.value == pytest.approx(float(measures.previous_token.nan_to_num().max()))
    found = find_heads(trace, "induction")
    assert found
    assert all(head.layer == 1 and head.value >= LEAST["induction"] for head in found)
    assert [head.value for head in found] == sorted((head.value for head in found), reverse=True)
    assert find_heads(trace, "induction", at_least=1.0) == []
    assert len(find_heads(trace, "diagonal", at_least=0)) == measures.diagonal.numel()
    assert find_heads(trace, "induction", "decoder", at_least=0.9) == [h for h in found if h.value >= 0.9]


def test_bad_questions_are_refused_in_one_sentence() -> None:
    trace = opened()
    with pytest.raises(OutOfRangeError, match="heads are found by 'first_token'"):
        find_heads(trace, "entropy")
    with pytest.raises(JtvizError, match="at_least= is a share of attention"):
        find_heads(trace, "diagonal", at_least=40)
    with pytest.raises(JtvizError, match="stage 'cross' is not there"):
        head_measures(trace, "cross")
