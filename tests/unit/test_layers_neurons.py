"""The tab of feed-forward units: what is answered to a page, against hooks, brute force and the analysis."""

from __future__ import annotations

import heapq
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
import traitlets

import jtviz
from jtviz.analysis import activations, factorise, read, strongest_by_unit, strongest_tokens, strongest_units
from jtviz.analysis.layers.again import run_again
from jtviz.analysis.layers.strongest import Strongest
from jtviz.capture import JtvizError, OutOfRangeError, hook
from jtviz.tokens import Tokens
from jtviz.views import LayersPanels
from jtviz.views.layer_panels import neurons
from tests.unit.test_neurons import caught
from tests.zoo.families import FAMILIES

TEXT = "I like to drink tea with my friends."
TEXTS = [
    "She reads a book in the park every morning.",
    "He likes tea more than coffee.",
    "We drink milk in the morning.",
]


def asked(panels: LayersPanels, **message: Any) -> tuple[dict[str, Any], list[bytes]]:
    """Return what a page hears that asks this."""
    heard: list[tuple[dict[str, Any], list[bytes]]] = []
    panels.send = lambda content, buffers=None: heard.append((content, list(buffers or [])))
    panels._on_message(panels, {"id": "1", "side": panels.side, **message}, [])
    return heard[-1]


def panels_of(texts: Any = None, **choices: Any) -> LayersPanels:
    return LayersPanels(jtviz.demo.translator().trace(TEXT), stage="encoder", texts=texts, **choices)


def by_heap(hooked: Any, side: str, layer: int, unit: int, count: int) -> list[tuple[float, int, int]]:
    """Return value, text and position of the strongest tokens, one after the other."""
    best: list[tuple[float, int, int, float]] = []
    for number, text in enumerate(TEXTS):
        trace = hooked.trace(text)
        tokens = trace.tokens[side]
        for i, value in enumerate(activations(trace, side, layer)[:, unit].tolist()):
            if not tokens.special[i]:
                heapq.heappush(best, (abs(value), -number, -i, value))
    return [(value, -number, -i) for _, number, i, value in heapq.nlargest(count, best)]


@pytest.mark.parametrize(("side", "count"), [("encoder", 5), ("decoder", 2), ("encoder", 1000)])
def test_one_pass_finds_for_every_unit_what_a_search_for_it_alone_finds(side: str, count: int) -> None:
    hooked = jtviz.demo.translator()
    found = strongest_by_unit(hooked, pd.DataFrame({"text": TEXTS}), side, 1, count=count)
    assert found.n_texts == 3
    for unit in (0, 155, 190, 511):
        tokens = found.of(unit).tokens
        wanted = by_heap(hooked, side, 1, unit, count)
        assert [(one.text, one.token) for one in tokens] == [place[1:] for place in wanted]
        np.testing.assert_allclose([one.value for one in tokens], [place[0] for place in wanted], atol=1e-6)
        alone = strongest_tokens(hooked, TEXTS, side, 1, unit, count=count)
        assert (alone.n, [one.label for one in alone.tokens]) == (found.n, [one.label for one in tokens])
    with pytest.raises(OutOfRangeError, match="unit 512 is not there: units are 0 to 511"):
        found.of(512)


def test_only_texts_that_are_named_are_remembered() -> None:
    best = Strongest(count=2)
    names = Tokens.from_strings(["a", "b"])
    for i in range(1000):
        best.add(names, torch.tensor([[float(i), 0.0], [1.0, -float(i)]]))
    assert len(best._read) <= 65
    found = best.result()
    assert set(found.read) == {998, 999}
    assert [(one.value, one.text, one.token) for one in found.of(1).tokens] == [
        (-999.0, 999, 1),
        (-998.0, 998, 1),
    ]
    assert (found.n, found.n_texts) == (2000, 1000)


def test_a_token_is_shown_in_its_text() -> None:
    found = strongest_tokens(jtviz.demo.translator(), TEXTS, "encoder", 1, unit=155, count=1000).tokens
    for one in found:
        before, after = one.around(1000)
        assert (
            before + TEXTS[one.text][len(before) : len(TEXTS[one.text]) - len(after)] + after == one.sentence
        )
        assert one.label in one.sentence[len(before) : len(before) + len(one.label)]
    long = max(found, key=lambda one: one.token)
    before, _ = long.around(5)
    assert before.startswith("…")
    assert len(before) == 6


def test_units_of_a_token_are_those_of_a_hook_on_the_model_itself() -> None:
    case = FAMILIES["GPT-2"]
    model, inputs = case.build("sdpa"), case.inputs(1, "none")
    wanted = caught(model, inputs, "mlp.c_proj")
    panels = LayersPanels(hook(model).trace(inputs=inputs))
    for layer, table in enumerate(wanted):
        reply, [buffer] = asked(panels, op="units", layer=layer, token=2)
        assert reply["ok"], reply
        order = np.argsort(-table[2].abs().numpy(), kind="stable")[:12]
        assert [unit for unit, _, _ in reply["units"]] == order.tolist()
        columns = torch.frombuffer(bytearray(buffer), dtype=torch.float32).view(12, -1)
        torch.testing.assert_close(columns, table[:, order.copy()].T, atol=1e-5, rtol=1e-4)
        assert reply["total"] == table.shape[1]
        for unit, value, share in reply["units"]:
            others = [x for i, x in enumerate(table[:, unit].tolist()) if i != 2]
            half = sum(x * np.sign(value) >= abs(value) / 2 for x in others)
            assert share == pytest.approx(half / len(others))
        _, [alone] = asked(panels, op="unit", layer=layer, unit=3)
        torch.testing.assert_close(
            torch.frombuffer(bytearray(alone), dtype=torch.float32), table[:, 3], atol=1e-5, rtol=1e-4
        )


def test_what_the_tab_shows_can_be_had_in_python() -> None:
    panels = panels_of(TEXTS, hidden_layer=2, pinned={"query": 3, "key": None})
    trace, hooked = panels.trace, jtviz.demo.translator()
    assert panels.strongest_units == strongest_units(trace, "encoder", 1, token=3, count=12)
    first = panels.strongest_units.units[0]
    wanted = strongest_tokens(hooked, TEXTS, "encoder", 1, first, count=12)
    assert panels.strongest_tokens == wanted
    panels.unit = 5
    assert panels.strongest_tokens == strongest_tokens(hooked, TEXTS, "encoder", 1, 5, count=12)
    panels.components = 3
    mine = factorise(trace, "encoder", 1, 3, steps=neurons.STEPS)
    assert torch.equal(panels.factors.weights[0], mine.weights[0])
    panels.pinned = {"query": None, "key": None}
    last = [i for i, special in enumerate(trace.tokens["encoder"].special) if not special][-1]
    assert panels.strongest_units == strongest_units(trace, "encoder", 1, token=last, count=12)


def test_the_strongest_tokens_of_a_unit_are_told_with_their_texts() -> None:
    panels = panels_of(TEXTS)
    shares: list[float | None] = []
    panels.observe(lambda change: shares.append(change["new"]), "share")
    reply, _ = asked(panels, op="strongest", layer=1, unit=155, search=True)
    found = strongest_tokens(jtviz.demo.translator(), TEXTS, "encoder", 1, 155, count=12)
    assert (reply["n"], reply["texts"], reply["seconds"]) == (found.n, 3, 0)
    wanted = [
        [one.value, one.text, one.token, one.label, *one.around()] for one in found.tokens if one.value != 0
    ]
    assert len(wanted) == 6
    assert reply["rows"] == wanted
    assert (panels.busy, panels.share) == ("", None)
    # Of any other unit of the layer nothing is read any more.
    panels._texts = ["no text is read again"]
    assert asked(panels, op="strongest", layer=1, unit=8)[0]["ok"]


def test_without_texts_tokens_are_those_of_the_text_itself() -> None:
    panels = panels_of()
    reply, _ = asked(panels, op="strongest", layer=0, unit=211)
    column = activations(panels.trace, "encoder", 0)[:, 211]
    special = panels.trace.tokens["encoder"].special
    values = sorted((float(x) for x, s in zip(column, special, strict=True) if not s and x != 0), key=abs)
    assert len(values) == 3
    assert [row[0] for row in reply["rows"]] == values[::-1]
    assert reply["texts"] == 0


def test_a_search_that_takes_long_waits_to_be_asked_for_and_says_how_far_it_is(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = [0.0]

    def clock() -> float:
        now[0] += 0.5
        return now[0]

    monkeypatch.setattr("jtviz.views.layer_panels.neurons.perf_counter", clock)
    panels = panels_of(TEXTS * 4)
    reply, _ = asked(panels, op="strongest", layer=1, unit=155)
    assert (reply["seconds"], reply["texts"], reply["rows"]) == (6.0, 12, [])
    said: list[tuple[str, float | None]] = []
    panels.observe(lambda change: said.append((panels.busy, change["new"])), "share")
    reply, _ = asked(panels, op="strongest", layer=1, unit=155, search=True)
    assert reply["rows"]
    words = "reading 12 texts for the units of layer 1 of the encoder"
    assert said[:12] == [(words, (i + 1) / 12) for i in range(12)]
    assert panels.busy == ""


def test_a_search_can_be_interrupted(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*args: Any, **options: Any) -> Any:
        for i, trace in enumerate(read(*args, **options)):
            if i == 2:
                raise KeyboardInterrupt
            yield trace

    monkeypatch.setattr(neurons, "read", broken)
    panels = panels_of(TEXTS)
    reply, _ = asked(panels, op="strongest", layer=1, unit=155, search=True)
    assert (reply["ok"], reply["error"]) == (False, "stopped after 2 of 3 texts.")
    assert (panels.busy, panels.share) == ("", None)


def test_patterns_are_those_of_the_analysis_and_no_more_than_there_are_tokens() -> None:
    panels = panels_of()
    reply, [buffer] = asked(panels, op="factors", layer=1, components=4)
    found = factorise(panels.trace, "encoder", 1, 4, steps=neurons.STEPS)
    weights = torch.frombuffer(bytearray(buffer), dtype=torch.float32).view(4, -1).T
    assert torch.equal(weights, found.weights[0])
    assert (reply["left_out"], reply["converged"]) == (found.error, found.converged)
    for units, pattern in zip(reply["units"], found.components, strict=True):
        assert units == np.argsort(-pattern.numpy(), kind="stable")[:3].tolist()
    length = len(panels.trace.tokens["encoder"])
    short = LayersPanels(jtviz.demo.translator().trace("Hi."), stage="encoder")
    assert len(asked(short, op="factors", layer=1, components=16)[0]["units"]) == len(
        short.trace.tokens["encoder"]
    )
    assert len(asked(panels, op="factors", layer=1, components=16)[0]["units"]) == min(16, length)


def test_a_solver_that_has_not_arrived_is_said() -> None:
    trace = jtviz.demo.translator().trace(TEXT)
    assert not factorise(trace, "encoder", 1, 3, steps=1).converged
    assert factorise(trace, "encoder", 1, 1).converged
    with pytest.raises(JtvizError, match="steps= is a number, at least 1"):
        factorise(trace, steps=0)


def test_a_unit_is_forgotten_with_its_layer_and_kept_with_its_block() -> None:
    panels = panels_of(hidden_layer=1, unit=9)
    assert panels.unit == 9
    panels.hidden_layer = 0
    assert panels.unit == 9
    panels.hidden_layer = 2
    assert panels.unit is None
    panels.unit = 4
    panels.stage = "decoder"
    assert panels.unit is None
    panels.unit = 4
    panels.stage = "cross"  # whose queries are the decoder's, too
    assert panels.unit == 4
    with pytest.raises(traitlets.TraitError):
        panels.unit = -1


def test_the_text_is_read_once_for_all_layers_and_only_few_are_kept_where_there_is_no_room(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    runs: list[list[int]] = []

    def counted(trace: Any, wanted: Any) -> Any:
        runs.append([place.layer for place in wanted])
        return run_again(trace, wanted)

    monkeypatch.setattr(neurons, "run_again", counted)
    panels = panels_of()
    for layer in (0, 0, 1, 0):
        asked(panels, op="units", layer=layer, token=1)
        asked(panels, op="unit", layer=layer, unit=1)
    assert runs == [[0, 1]]
    monkeypatch.setattr(neurons, "KEPT", 1)
    panels = panels_of()
    for layer in (0, 1, 1, 0):
        asked(panels, op="units", layer=layer, token=1)
    assert runs[1:] == [[0], [1], [0]]
    assert len(panels._activations) == 1


def test_a_layer_that_cannot_be_seen_hides_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(trace: Any, wanted: Any) -> Any:
        if any(place.layer == 1 for place in wanted):
            raise JtvizError("this layer does not see one row a token")
        return run_again(trace, wanted)

    monkeypatch.setattr(neurons, "run_again", broken)
    panels = panels_of()
    assert asked(panels, op="units", layer=0, token=1)[0]["ok"]
    assert "one row a token" in asked(panels, op="units", layer=1, token=1)[0]["error"]


def test_units_at_nought_are_not_said_to_be_strong() -> None:
    panels = panels_of()
    for token in range(3):
        reply, [buffer] = asked(panels, op="units", layer=0, token=token)
        row = activations(panels.trace, "encoder", 0)[token]
        assert len(reply["units"]) == min(12, int((row != 0).sum()))
        assert len(buffer) == 4 * len(reply["units"]) * len(panels.trace.tokens["encoder"])


def test_a_model_without_units_says_so() -> None:
    case = FAMILIES["Mixtral"]
    panels = LayersPanels(hook(case.build("sdpa")).trace(inputs=case.inputs(1, "none")))
    assert ["neurons", "Neurons", "no feed-forward units were found in this model."] in panels.meta["tabs"]
    reply, _ = asked(panels, op="units", layer=0, token=0)
    assert "no feed-forward units were found in this model" in reply["error"]


@pytest.mark.parametrize(
    ("message", "words"),
    [
        ({"op": "units", "layer": 7, "token": 0}, "layer is a number, 0 to 1, not 7"),
        ({"op": "units", "layer": 0, "token": 99}, "token is a number"),
        (
            {"op": "unit", "layer": 1, "unit": 512},
            "of layer 1 of the encoder, unit is a number, 0 to 511, not 512",
        ),
        ({"op": "strongest", "layer": 1, "unit": "a"}, "unit is a number, 0 to 511, not 'a'"),
        ({"op": "factors", "layer": 1, "components": 99}, "components is a number"),
    ],
)
def test_what_is_not_there_is_answered_with_what_is(message: dict[str, Any], words: str) -> None:
    reply, _ = asked(panels_of(), **message)
    assert not reply["ok"]
    assert words in reply["error"]


def test_texts_that_cannot_be_read_twice_are_refused() -> None:
    with pytest.raises(JtvizError, match="texts= is a list or a data frame"):
        panels_of(text for text in TEXTS)
    with pytest.raises(JtvizError, match="there are no texts"):
        panels_of([])
    with pytest.raises(JtvizError, match="texts are a list of strings or a data frame, not int"):
        jtviz.show_layers(jtviz.demo.translator(), TEXT, texts=3)
