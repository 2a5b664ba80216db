"""What the tab of similarities answers, without a browser: the analysis's own numbers, in bounded memory."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F

import jtviz
from jtviz.analysis import cka, similarity
from jtviz.analysis.layers.similarity import directions
from jtviz.capture import JtvizError
from jtviz.views import LayersPanels
from jtviz.views.layer_panels import similarity as panel

SENTENCE = "We went to the market with our friends."


@pytest.fixture(scope="module")
def trace() -> jtviz.Trace:
    return jtviz.demo.translator().trace(SENTENCE)


@pytest.fixture
def view(trace: jtviz.Trace) -> LayersPanels:
    return LayersPanels(trace, tab="similarity")


def answered(
    view: Any, op: str, size: tuple[int, int] | None = None, **asked: Any
) -> tuple[Any, list[bytes]]:
    """Return what the view answers a page: numbers of a whole matrix exactly."""
    if size is not None:
        asked |= {"rows": [0, size[0]], "columns": [0, size[1]], "most": list(size), "exact": True}
    said: tuple[Any, list[bytes]] = getattr(view, f"_answer_{op}")({"op": op, **asked})
    return said


def numbers(buffers: list[bytes], size: tuple[int, int], kind: Any = np.float32) -> np.ndarray[Any, Any]:
    return np.frombuffer(buffers[0], kind).reshape(size)


@pytest.mark.parametrize("side", ["encoder", "decoder"])
@pytest.mark.parametrize("centred", [False, True])
def test_pairs_of_tokens_are_those_of_the_analysis(view: LayersPanels, side: str, *, centred: bool) -> None:
    for layer in range(3):
        found = similarity(view.trace, side, layer, centred=centred).tokens
        size = (len(found), len(found))
        asked: dict[str, Any] = {"side": side, "layer": layer, "centred": centred}
        about, buffers = answered(view, "similar", size, **asked)
        np.testing.assert_allclose(numbers(buffers, size), found, atol=1e-6)
        assert about["shape"] == list(size)
        # As it is drawn: of 16 bits.
        whole: dict[str, Any] = {"rows": [0, size[0]], "columns": [0, size[1]], "most": list(size)}
        about, buffers = answered(view, "similar", **asked, **whole)
        np.testing.assert_allclose(numbers(buffers, size, np.float16) * about["unit"], found, atol=5e-4)


@pytest.mark.parametrize("centred", [False, True])
def test_tokens_most_like_one_are_the_largest_of_its_row(view: LayersPanels, *, centred: bool) -> None:
    pairs = similarity(view.trace, "encoder", 2, centred=centred).tokens
    count = len(pairs)
    apart = ~torch.eye(count, dtype=torch.bool)
    for token in range(count):
        said, _ = answered(view, "nearest", side="encoder", layer=2, token=token, centred=centred)
        row = pairs[token].clone()
        row[token] = -2
        values, order = row.sort(descending=True)
        assert said["tokens"] == order[:5].tolist()
        assert said["values"] == pytest.approx(values[:5].tolist(), abs=1e-6)
        assert token not in said["tokens"]
        assert said["mean"] == pytest.approx(float(pairs[apart].mean()), abs=1e-5)


def test_a_text_of_few_tokens_has_as_many_neighbours_as_there_are() -> None:
    view = LayersPanels(jtviz.demo.induction().trace("a"))
    said, _ = answered(view, "nearest", side=view.side, layer=0, token=0)
    assert (said["tokens"], said["values"], said["mean"]) == ([], [], 0)
    view = LayersPanels(jtviz.demo.induction().trace("abc"))
    said, _ = answered(view, "nearest", side=view.side, layer=0, token=1)
    assert sorted(said["tokens"]) == [0, 2]


@pytest.mark.parametrize("centred", [False, True])
def test_a_token_across_layers_is_that_of_the_analysis(view: LayersPanels, *, centred: bool) -> None:
    found = similarity(view.trace, "decoder", centred=centred).layers
    for token in range(len(found)):
        _, buffers = answered(view, "itself", (3, 3), side="decoder", token=token, centred=centred)
        np.testing.assert_allclose(numbers(buffers, (3, 3)), found[token], atol=1e-6)


def test_layers_are_aligned_as_cka_says_with_what_few_tokens_make_of_it(view: LayersPanels) -> None:
    found = cka(view.trace, side="encoder")
    about, buffers = answered(view, "aligned", (3, 3), side="encoder")
    np.testing.assert_allclose(numbers(buffers, (3, 3)), found.values.numpy(), atol=1e-6)
    assert about["tokens"] == len(view.trace.tokens["encoder"])
    assert f"CKA of {found.chance:.2f}" in about["few"]
    assert view.busy == ""


def test_what_is_shown_is_to_be_had_in_python(view: LayersPanels) -> None:
    view.stage, view.hidden_layer, view.centred = "decoder", 2, True
    found = view.similarity
    assert (found.side, found.layer, found.centred) == ("decoder", 2, True)
    torch.testing.assert_close(found.tokens, similarity(view.trace, "decoder", 2, centred=True).tokens)
    torch.testing.assert_close(view.cka.values, cka(view.trace, side="decoder").values)
    assert view.cka is view.cka


def test_what_is_asked_for_when_the_view_is_made_is_shown() -> None:
    view = jtviz.show_layers(jtviz.demo.classifier(), "A man has a cough.", compared="layers", centred=True)
    assert (view.panels.compared, view.panels.centred) == ("layers", True)


def test_the_memory_of_pairs_is_that_of_one_picture(view: LayersPanels) -> None:
    kept = []
    for layer in range(3):
        answered(view, "similar", (2, 2), side="encoder", layer=layer)
        kept.append(view._pairs)
    assert [one[0][1] for one in kept if one] == [0, 1, 2]
    assert not [name for name in view._once_kept if "similar" in str(name)]
    # The same layer is not computed again.
    answered(view, "similar", (2, 2), side="encoder", layer=2)
    assert view._pairs is kept[-1]


def test_pairs_of_a_long_text_are_refused_and_its_neighbours_still_listed(
    view: LayersPanels, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(panel, "LONGEST", 4)
    with pytest.raises(JtvizError, match="too many for a picture"):
        answered(view, "similar", (2, 2), side="encoder", layer=1)
    said, _ = answered(view, "nearest", side="encoder", layer=1, token=0)
    assert len(said["tokens"]) == 5


def test_questions_that_make_no_sense_are_answered_with_what_does(view: LayersPanels) -> None:
    with pytest.raises(JtvizError, match="layer is a number, 0 to 2"):
        answered(view, "similar", (2, 2), side="encoder", layer=3)
    with pytest.raises(JtvizError, match="token is a number"):
        answered(view, "nearest", side="encoder", layer=0, token=999)
    with pytest.raises(JtvizError, match="no side 'middle'"):
        answered(view, "itself", (2, 2), side="middle", token=0)
    one = LayersPanels(jtviz.demo.induction().trace("a"))
    with pytest.raises(JtvizError, match="at least two tokens"):
        answered(one, "aligned", (2, 2), side=one.side)


def test_a_model_in_half_precision_is_compared_in_single(trace: jtviz.Trace) -> None:
    rows = trace.hidden("encoder")[1].half()
    found = directions(rows)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, F.normalize(rows.float(), dim=-1))
