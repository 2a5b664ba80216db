"""The layer of the stream and the Selection's layer move together, whoever moves them.

The reference: what would be sent to a page, recorded; a page that is behind must not be set back.
"""

from __future__ import annotations

from typing import Any

import pytest

import jtviz
from jtviz.views.layers import LayersPanels
from jtviz.views.selection import selection_of

Sent = list[tuple[str, str]]


@pytest.fixture
def panels() -> LayersPanels:
    return LayersPanels(jtviz.demo.translator().trace("I like tea."), stage="decoder", hidden_layer=1)


@pytest.fixture
def sent(panels: LayersPanels, monkeypatch: pytest.MonkeyPatch) -> Sent:
    """Return what is sent of the two from now on."""
    found: Sent = []
    for name, widget in {"panels": panels, "selection": selection_of(panels.trace)}.items():

        def send(key: Any = None, name: str = name) -> None:
            found.append((name, key))

        monkeypatch.setattr(widget, "send_state", send)
    return found


def test_what_a_page_chose_is_not_sent_back_to_it(panels: LayersPanels, sent: Sent) -> None:
    shared = selection_of(panels.trace)
    # As the view sends a step of its slider: first the Selection, then the layer of the stream.
    shared.set_state({"layer": 1})
    assert (panels.layer, panels.hidden_layer) == (1, 2)
    panels.set_state({"hidden_layer": 2})
    # A page that has gone on meanwhile: Python has only one of the two yet.
    panels.set_state({"hidden_layer": 1})
    assert (panels.hidden_layer, shared.layer) == (1, 1)
    shared.set_state({"layer": 0})
    assert (panels.layer, panels.hidden_layer, shared.layer) == (0, 1, 0)
    assert not {("selection", "layer"), ("panels", "hidden_layer")} & set(sent)


def test_what_python_chose_is_sent_to_every_page(panels: LayersPanels, sent: Sent) -> None:
    panels.hidden_layer = 2
    assert selection_of(panels.trace).layer == 1
    assert {("selection", "layer"), ("panels", "hidden_layer")} <= set(sent)
    sent.clear()
    panels.layer = 0
    assert panels.hidden_layer == 1
    assert {("selection", "layer"), ("panels", "hidden_layer")} <= set(sent)


def test_what_enters_the_first_layer_stays_when_the_side_changes(panels: LayersPanels) -> None:
    panels.layer = 0
    panels.hidden_layer = 0
    panels.stage = "encoder"
    assert (panels.side, panels.hidden_layer, panels.layer) == ("encoder", 0, 0)
    panels.layer = 1
    assert panels.hidden_layer == 2
