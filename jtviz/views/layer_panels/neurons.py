"""The panel of feed-forward units: the strongest, their tokens, and patterns. Twin: js/src/layers/neurons.ts.

Required: activations of a layer are computed when it is looked at, and of few layers kept; a data set is
read once for all units of a layer, and only when that is quick or was asked for.
"""

from __future__ import annotations

import math
from collections.abc import Collection
from contextlib import suppress
from time import perf_counter
from typing import Any

import traitlets as t
from torch import Tensor

from jtviz.analysis.layers.again import places_of, run_again
from jtviz.analysis.layers.factors import factors_of
from jtviz.analysis.layers.neurons import activations
from jtviz.analysis.layers.strongest import Strongest
from jtviz.analysis.layers.texts import read
from jtviz.analysis.layers.units import Factors, StrongestByUnit, StrongestTokens, StrongestUnits
from jtviz.capture import JtvizError, OutOfRangeError, hook
from jtviz.capture.inputs import Text

from ..layer_options import data_set
from .panel import Answer, Message, Panel

UNITS = 12
"""Strongest units that are listed."""

FOUND = 12
"""Strongest tokens of a unit that are listed."""

SECONDS = 2.0
"""A data set that takes longer is read only when that is asked for."""

STEPS = 200
"""Of the solver of patterns: a second or two for 512 tokens and 3,072 units."""

KEPT = 1 << 28
"""Bytes of activations that are kept; those that were looked at last stay."""

Place = tuple[str, int]
"""A side, and a layer of it."""


class TakesLongError(JtvizError):
    """What was not asked for would take so many seconds."""

    def __init__(self, seconds: float) -> None:
        super().__init__(f"this takes about {seconds:.0f} seconds.")
        self.seconds = seconds


class NeuronsPanel(Panel):
    """The tab "neurons"."""

    neurons = t.Enum(("units", "patterns"), "units").tag(sync=True, echo_update=False)
    """Whether single units are shown, or patterns that they make together."""

    unit = t.Int(None, min=0, allow_none=True).tag(sync=True, echo_update=False)
    """The unit that is looked at; None where it is the strongest of the token in focus."""

    components = t.Int(6, min=1, max=16).tag(sync=True, echo_update=False)
    """How many patterns activations are factorised into; no more than there are tokens."""

    hidden_layer: Any

    @property
    def strongest_units(self) -> StrongestUnits:
        """The units that the pinned token, or the last that is text, sets off most in the layer shown."""
        return self._strongest_units(self._place, self.focused)

    @property
    def strongest_tokens(self) -> StrongestTokens:
        """The tokens that set ``unit`` off most: of the texts that were given, or else of this one.

        The first of a layer reads all texts, once for all units; how far it is can be seen in the view.
        """
        unit = self.strongest_units.units[0] if self.unit is None else self.unit
        return self._by_unit(self._place).of(unit)

    @property
    def factors(self) -> Factors:
        """Activations of the layer that is shown as ``components`` patterns."""
        return self._factors(self._place, self.components)

    def _begin_neurons(self, texts: Any) -> None:
        self._activations: dict[Place, Tensor] = {}
        self._texts: Collection[Text] | None = data_set(texts)

    def _forget_unit(self, change: dict[str, Any]) -> None:
        """Unpin the unit with its layer: that of the next layer has only its number in common."""
        if change["name"] == "stage":
            is_same = self.trace.query_side(change["old"]) == self.trace.query_side(change["new"])
        else:
            is_same = _block(change["old"]) == _block(change["new"])
        if not is_same:
            self.unit = None

    @property
    def _place(self) -> Place:
        return self.side, _block(self.hidden_layer)

    @property
    def focused(self) -> int:
        """The token whose units are shown: the pinned one, else the last that is text."""
        pinned = self.pinned_on(self.side)
        if pinned is not None:
            return pinned
        special = self.trace.tokens[self.side].special
        text = (i for i in reversed(range(1, len(special))) if not special[i])
        return next(text, len(special) - 1)

    def _table(self, place: Place) -> Tensor:
        """Return the activations of a layer, ``[tokens, units]``."""
        with self._computing:
            if place not in self._activations:
                self._activations |= self._seen(place)
            found = self._activations[place] = self._activations.pop(place)
            while len(self._activations) > 1 and sum(x.nbytes for x in self._activations.values()) > KEPT:
                del self._activations[next(iter(self._activations))]
            return found

    def _seen(self, place: Place) -> dict[Place, Tensor]:
        """Read the text once more: for all layers of the side, where there is room."""
        places = places_of(self.trace)
        asked = places.unit(*place)
        every = [one for one in places.units if one.stage == asked.stage]
        size = 4 * len(self.trace.tokens[place[0]]) * sum(one.units for one in every)
        with suppress(JtvizError):  # of another layer
            if size <= KEPT:
                seen = run_again(self.trace, every)
                return {(one.stage, one.layer): table for one, (table, _) in seen.items()}
        return {place: run_again(self.trace, [asked])[asked][0]}

    def _strongest_units(self, place: Place, token: int) -> StrongestUnits:
        return StrongestUnits.of(self._table(place), token, UNITS)

    def _factors(self, place: Place, components: int) -> Factors:
        def compute() -> Factors:
            table = self._table(place)
            side, layer = place
            with self._doing(f"finding {_count(components, 'pattern')} in layer {layer} of the {side}"):
                labels = tuple(self.trace.tokens[side])
                return factors_of([table], [labels], min(components, *table.shape), steps=STEPS)

        return self._once(("factors", place, components), compute)

    def _by_unit(self, place: Place, limit: float = math.inf) -> StrongestByUnit:
        """Return the strongest tokens of each unit; raise `TakesLongError` if that takes more seconds."""
        return self._once(("search", place), lambda: self._search(place, limit))

    def _search(self, place: Place, limit: float) -> StrongestByUnit:
        side, layer = place
        best = Strongest(FOUND)
        if self._texts is None:
            best.add(self.trace.tokens[side], self._table(place))
            return best.result()
        if self.trace.reading is None:
            raise JtvizError("this trace came without its model: trace the text again.")
        model = hook(self.trace.reading.model, self.trace.reading.tokenizer)
        begin, said, first = perf_counter(), 0.0, 0.0
        count, done = len(self._texts), 0
        traces = read(model, self._texts, side, progress=False)
        with self._doing(f"reading {_count(count, 'text')} for the units of layer {layer} of the {side}"):
            try:
                for done, trace in enumerate(traces, 1):
                    best.add(trace.tokens[side], activations(trace, side, layer))
                    now = perf_counter() - begin
                    if done == 1:
                        first = now
                    # The first one is slower, and says little of the others.
                    if done == 2 and (now - first) * count > limit:
                        raise TakesLongError((now - first) * count)
                    if now - said > 0.1:
                        said, self.share = now, done / count
            except KeyboardInterrupt:
                raise JtvizError(f"stopped after {done:,} of {_count(count, 'text')}.") from None
        return best.result()

    def _asked_place(self, message: Message) -> Place:
        side = self._side(message)
        return side, self._number(message, "layer", self.trace.hidden_shape(side)[0] - 1)

    def _asked_unit(self, message: Message, place: Place) -> int:
        try:
            return self._number(message, "unit", self._table(place).shape[1])
        except JtvizError as error:
            raise OutOfRangeError(f"of layer {place[1]} of the {place[0]}, {error}") from None

    def _answer_units(self, message: Message) -> Answer:
        """Say which units a token sets off most; their activations at all tokens."""
        place = self._asked_place(message)
        token = self._number(message, "token", len(self.trace.tokens[place[0]]))
        found, table = self._strongest_units(place, token), self._table(place)
        rows = [row for row in zip(found.units, found.values, found.shares, strict=True) if row[1] != 0]
        columns = table[:, [unit for unit, _, _ in rows]].T.contiguous()
        return {"units": [list(row) for row in rows], "total": table.shape[1]}, [columns.numpy().tobytes()]

    def _answer_unit(self, message: Message) -> Answer:
        """Send a unit's activations at all tokens."""
        place = self._asked_place(message)
        column = self._table(place)[:, self._asked_unit(message, place)]
        return {}, [column.contiguous().numpy().tobytes()]

    def _answer_strongest(self, message: Message) -> Answer:
        """Say which tokens set a unit off most, or how long it takes to find them."""
        place = self._asked_place(message)
        unit = self._asked_unit(message, place)
        texts = 0 if self._texts is None else len(self._texts)
        try:
            found = self._by_unit(place, math.inf if message.get("search") is True else SECONDS)
        except TakesLongError as error:
            return {"texts": texts, "seconds": error.seconds, "rows": [], "n": 0}, []
        tokens = found.of(unit)
        set_off = [one for one in tokens.tokens if one.value != 0]
        rows = [[one.value, one.text, one.token, one.label, *one.around()] for one in set_off]
        return {"texts": texts, "rows": rows, "n": tokens.n, "seconds": 0}, []

    def _answer_factors(self, message: Message) -> Answer:
        """Send how much of each pattern is in each token; say what is left out, and the strongest units."""
        place = self._asked_place(message)
        components = self._number(message, "components", 17) or 1
        found = self._factors(place, components)
        units = found.components.argsort(dim=1, descending=True, stable=True)[:, :3].tolist()
        reply = {"units": units, "left_out": found.error, "converged": found.converged, "steps": STEPS}
        return reply, [found.weights[0].T.contiguous().numpy().tobytes()]


def _block(hidden_layer: int) -> int:
    """Return the block whose output a layer of the stream is; the first one for what enters it."""
    return max(hidden_layer, 1) - 1


def _count(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'' if count == 1 else 's'}"
