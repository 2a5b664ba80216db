"""The layer of the stream and the Selection's layer move together, whoever moves them.

The reference: what would be sent to a page, recorded; a page that is behind must not be set back.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import permutations
from typing import Any

import pytest
import torch
from torch import nn

import jtviz
from jtviz.views.layers import LayersPanels
from jtviz.views.layers_view import LayersView
from jtviz.views.selection import selection_of

Sent = list[tuple[str, str]]
DEEP = 12
WAIT = 60


@pytest.fixture
def panels() -> LayersPanels:
    return LayersPanels(jtviz.demo.translator().trace("I like tea."), stage="decoder", hidden_layer=1)


@pytest.fixture
def sent(panels: LayersPanels, monkeypatch: pytest.MonkeyPatch) -> Sent:
    """Return what is sent of the two from now on."""
    return recorded(panels, monkeypatch)


def recorded(panels: LayersPanels, monkeypatch: pytest.MonkeyPatch) -> Sent:
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


@pytest.mark.parametrize("told", [(2, 1), (1, 0), (0, 0)])
def test_either_message_of_a_page_may_come_first(
    panels: LayersPanels, sent: Sent, told: tuple[int, int]
) -> None:
    shared = selection_of(panels.trace)
    hidden, layer = told
    said: list[Callable[[], None]] = [
        lambda: shared.set_state({"layer": layer}),
        lambda: panels.set_state({"hidden_layer": hidden}),
    ]
    for order in permutations(said):
        shared.set_state({"layer": 1 - layer})
        panels.set_state({"hidden_layer": 2 - layer})
        for say in order:
            say()
        assert (panels.hidden_layer, panels.layer, shared.layer) == (hidden, layer, layer)
    assert not {("selection", "layer"), ("panels", "hidden_layer")} & set(sent)


def test_a_page_that_knows_no_selection_is_not_set_back(panels: LayersPanels, sent: Sent) -> None:
    # Without a way to the Selection it says both of the view itself.
    panels.set_state({"layer": 1})
    assert (panels.layer, panels.hidden_layer, selection_of(panels.trace).layer) == (1, 2, 1)
    assert not {name for widget, name in sent if widget == "panels"}


def test_what_enters_the_first_layer_belongs_to_layer_0(panels: LayersPanels) -> None:
    panels.layer = 1
    panels.hidden_layer = 0
    assert panels.layer == 0
    panels.layer = 1
    panels.layer = 0
    assert panels.hidden_layer == 0
    panels.hidden_layer = 1
    panels.layer = 1
    panels.layer = 0
    assert panels.hidden_layer == 1


@pytest.fixture
def _switching_often() -> Iterator[None]:
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    yield
    sys.setswitchinterval(before)


@pytest.mark.usefixtures("_switching_often")
def test_a_page_is_heard_in_two_threads_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    # JupyterLab has the kernel hear of one widget in the main thread, of another in a subshell's.
    layer = nn.TransformerEncoderLayer(8, 2, 8, batch_first=True)
    hooked = jtviz.hook(nn.TransformerEncoder(layer, DEEP))
    panels = LayersPanels(hooked.trace(inputs=(torch.randn(1, 4, 8),)))
    panels.looked = True
    view = LayersView(panels)  # with the chart of the lengths, which leads and follows
    assert len(view.children) > 1
    shared = selection_of(panels.trace)
    sent = recorded(panels, monkeypatch)

    def say(set_state: Callable[[dict[str, int]], None], name: str, values: Iterable[int]) -> None:
        for value in values:
            set_state({name: value})

    with ThreadPoolExecutor(2) as pool:
        for _ in range(5):
            for last, first in ((DEEP, 0), (0, DEEP)):
                walked = range(first, last, 1 if last else -1)
                hidden = [*walked, last]
                layers = [max(0, at - 1) for at in hidden]
                both = [
                    pool.submit(say, shared.set_state, "layer", layers),
                    pool.submit(say, panels.set_state, "hidden_layer", hidden),
                ]
                for one in both:
                    one.result(WAIT)
                assert (panels.hidden_layer, panels.layer, shared.layer) == (last, layers[-1], layers[-1])
    assert not {("selection", "layer"), ("panels", "hidden_layer")} & set(sent)
