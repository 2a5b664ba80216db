"""Linear CKA against its formula on Gram matrices, and what Kornblith et al. 2019 say it is blind to."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import jtviz
from jtviz.analysis import cka, read
from jtviz.analysis.layers import sums
from jtviz.capture import JtvizError, OutOfRangeError, hook
from tests.unit.planted import Planted, texts, tokenizer

NOTES = ["A man has a cough.", "Woman, 31. Has a runny nose.", "Man, 60. Has crushing chest pain."]


def by_gram(x: Tensor, y: Tensor) -> float:
    """Return HSIC(K, L) / sqrt(HSIC(K, K) HSIC(L, L)) with linear kernels, equations 3 and 4 written out."""
    centring = np.eye(len(x)) - 1 / len(x)
    k, other = (centring @ (z.double() @ z.double().T).numpy() @ centring for z in (x, y))
    return float((k * other).sum() / np.sqrt((k * k).sum() * (other * other).sum()))


def summed(layers: Sequence[Tensor], parts: int = 1) -> Tensor:
    made = sums.Sums()
    for rows in zip(*(layer.chunk(parts) for layer in layers), strict=True):
        made.add(rows)
    return made.alignment()


def test_alignment_in_closed_form_on_small_matrices() -> None:
    x = torch.tensor([[1.0], [-1.0], [0.0], [0.0]])
    y = torch.tensor([[1.0, 1.0], [-1.0, 1.0], [0.0, -1.0], [0.0, -1.0]])
    # x.x = 2; y: variances 2 and 4 in two directions that are apart; ||y^T x||^2 = 4.
    assert float(summed([x, y])[0, 1]) == pytest.approx(4 / (2 * (2**2 + 4**2) ** 0.5), abs=1e-12)
    z = torch.tensor([[0.0], [0.0], [1.0], [-1.0]])
    assert float(summed([x, z])[0, 1]) == 0


@pytest.mark.parametrize(("tokens", "parts"), [(5, 1), (30, 3), (700, 1), (1500, 7)])
def test_alignment_is_that_of_gram_matrices_however_it_is_summed(tokens: int, parts: int) -> None:
    mixed = torch.randn(12, 9)
    x = torch.randn(tokens, 12) + 50
    y = x @ mixed + 3 * torch.randn(tokens, 9)
    found = summed([x, y], parts)
    assert float(found[0, 1]) == pytest.approx(by_gram(x, y), abs=1e-9)
    torch.testing.assert_close(found, found.T)
    torch.testing.assert_close(found.diagonal(), torch.ones(2, dtype=torch.float64))


@pytest.mark.parametrize("tokens", [10, 600])
def test_alignment_does_not_change_under_rotation_and_scaling_and_shift(tokens: int) -> None:
    x, y = torch.randn(tokens, 8), torch.randn(tokens, 8)
    rotation = torch.linalg.qr(torch.randn(8, 8)).Q
    assert float(summed([x, 7 * x @ rotation + 2])[0, 1]) == pytest.approx(1, abs=1e-6)
    moved, still = summed([0.1 * x @ rotation, y])[0, 1], summed([x, y])[0, 1]
    assert float(moved) == pytest.approx(float(still), abs=1e-6)
    stretched = summed([x * torch.tensor([9.0] + [1.0] * 7), y])[0, 1]
    assert float(stretched) != pytest.approx(float(still), abs=1e-4)


@pytest.mark.parametrize("tokens", [10, 600])
def test_what_is_the_same_for_all_tokens_is_like_nothing(tokens: int) -> None:
    found = summed([torch.full((tokens, 4), 3.3), torch.randn(tokens, 4)], 2)
    assert found[0].isnan().all()
    assert float(found[1, 1]) == pytest.approx(1)


def test_layers_of_a_model_are_compared_over_all_texts() -> None:
    hooked = jtviz.demo.classifier()
    found = cka(read(hooked, NOTES))
    hidden = torch.cat([hooked.trace(note).hidden("encoder") for note in NOTES], 1)
    assert found.tokens == hidden.shape[1]
    for i in range(3):
        for j in range(3):
            assert float(found.values[i, j]) == pytest.approx(by_gram(hidden[i], hidden[j]), abs=1e-9)
    one = cka(hooked.trace(NOTES[0]), layers=[0, 2])
    assert one.rows == one.columns == (0, 2)
    assert list(found.to_pandas().columns) == [0, 1, 2]


def test_two_models_are_compared_layer_by_layer() -> None:
    honest, shortcut = jtviz.demo.classifier(), jtviz.demo.classifier(shortcut=True)
    found = cka(read(honest, NOTES), read(shortcut, NOTES))
    a, b = (torch.cat([m.trace(n).hidden("encoder") for n in NOTES], 1) for m in (honest, shortcut))
    for i in range(3):
        for j in range(3):
            assert float(found.values[i, j]) == pytest.approx(by_gram(a[i], b[j]), abs=1e-9)
    same = cka(read(honest, NOTES), read(honest, NOTES))
    torch.testing.assert_close(same.values, cka(read(honest, NOTES)).values)


def test_many_texts_take_the_memory_of_sums() -> None:
    model = hook(Planted(), tokenizer())
    made = sums.Sums()
    for trace in read(model, texts()[0] * 6):
        made.add(list(trace.hidden("encoder")))
        assert sum(len(rows) for rows in made._kept) <= 256 + 4
    assert made.tokens == 960
    hidden = torch.cat([model.trace(text).hidden("encoder") for text in texts()[0]], 1).repeat(1, 6, 1)
    assert float(made.alignment()[0, 3]) == pytest.approx(by_gram(hidden[0], hidden[3]), abs=1e-9)


def test_what_would_not_fit_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sums, "LIMIT", 1000)
    with pytest.raises(JtvizError, match=r"choose some layers, layers=\[0, 4, 8\]"):
        cka(read(jtviz.demo.classifier(), NOTES))


def test_what_cannot_be_compared_is_refused() -> None:
    hooked = jtviz.demo.classifier()
    traces: Any = read(hooked, NOTES)
    with pytest.raises(JtvizError, match="one iterator cannot be read twice"):
        cka(traces, traces)
    with pytest.raises(JtvizError, match="differently many texts"):
        cka(read(hooked, NOTES), read(hooked, NOTES[:2]))
    with pytest.raises(JtvizError, match="differently many texts"):
        cka(read(hooked, NOTES[:2]), read(hooked, NOTES))
    with pytest.raises(JtvizError, match="with the same tokenizer"):
        cka(hooked.trace(NOTES[0]), hooked.trace(NOTES[1]))
    with pytest.raises(JtvizError, match="give traces"):
        cka(NOTES)  # type: ignore[arg-type]
    with pytest.raises(OutOfRangeError, match="layer 9 is not there"):
        cka(hooked.trace(NOTES[0]), layers=[9])
