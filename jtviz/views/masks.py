"""Which heads and units are off in a view, and what was off before. Twin: js/src/pruning/mask.ts.

Required: what is chosen in the browser and from Python is one history; what the model does not have is
refused with a sentence and changes nothing.
"""

from __future__ import annotations

from typing import Any

import traitlets as t

from jtviz.analysis.ablation import Effect
from jtviz.capture import JtvizError
from jtviz.capture.intervention.ablation import MODES, Mask, Which
from jtviz.capture.intervention.places import Places

EMPTY: dict[str, list[Any]] = {"heads": [], "units": []}


def state_of(mask: Mask) -> dict[str, list[Any]]:
    """Return a mask as JSON has it."""
    return {"heads": [list(one) for one in mask.heads], "units": [list(one) for one in mask.units]}


def mask_of(state: dict[str, Any], places: Places) -> Mask:
    """Return the mask that JSON says; raise if the model has no such part."""
    heads: dict[tuple[str, int], list[int]] = {}
    units: dict[tuple[str, int], list[int]] = {}
    wrong = JtvizError(
        f"what is off is said by stage, layer and number, {{'heads': [['decoder', 3, 0]], 'units': []}}, "
        f"not {state!r}."
    )
    if set(state) - {"heads", "units"}:
        raise wrong
    try:
        for found, name in ((heads, "heads"), (units, "units")):
            for stage, layer, index in state.get(name, []):
                found.setdefault((stage, layer), []).append(index)
    except (TypeError, ValueError):
        raise wrong from None
    return Mask.of(places, heads, units)


class Masks(t.HasTraits):
    """The part of a view that says what is off.

    A view calls `_begin_masks` before its traits are set.
    """

    history = t.List(t.Dict(), [EMPTY]).tag(sync=True, echo_update=False)
    """What was off at each step: ``{"heads": [[stage, layer, head], ...], "units": [...]}``."""

    at = t.Int(0, min=0).tag(sync=True, echo_update=False)
    """Which step is shown."""

    ablation = t.Enum(tuple(MODES), "zero").tag(sync=True, echo_update=False)
    """``"zero"``, or ``"mean"``: what stands in for what is off."""

    _places: Places | None = None
    _effect: Effect | None = None
    """What was computed last."""

    @property
    def _is_current(self) -> bool:
        """Whether that is of what is off now."""
        effect = self._effect
        return effect is not None and effect.mask == self.off and effect.mode == self.ablation

    @property
    def off(self) -> Mask:
        """What is off now."""
        if self._places is None:
            return Mask()
        return mask_of(self.history[self._now], self._places)

    @off.setter
    def off(self, mask: Mask) -> None:
        self._step(mask)

    def switch_off(self, heads: Which | None = None, units: Which | None = None) -> None:
        """Switch heads and units off, beside what is off.

        Parameters
        ----------
        heads, units : mapping, optional
            By stage and layer, ``{("decoder", 1): [2]}``, as in `HookedTransformer.ablate`.

        Raises
        ------
        JtvizError
            If there is no such stage, or the trace has no model.
        OutOfRangeError
            If there is no such layer, head or unit.
        """
        self._step(self.off | Mask.of(self._known(), heads, units))

    def switch_on(self, heads: Which | None = None, units: Which | None = None) -> None:
        """Switch heads and units on again; see `switch_off`."""
        back, off = Mask.of(self._known(), heads, units), self.off
        self._step(
            Mask(
                tuple(one for one in off.heads if one not in back.heads),
                tuple(one for one in off.units if one not in back.units),
            )
        )

    def reset(self) -> None:
        """Switch everything on."""
        self._step(Mask())

    def undo(self) -> None:
        """Take the last step back; nothing happens at the first."""
        self.at = max(0, self._now - 1)

    def redo(self) -> None:
        """Take a step again that was taken back; nothing happens at the last."""
        self.at = min(len(self.history) - 1, self._now + 1)

    def _step(self, mask: Mask) -> None:
        state = state_of(mask)
        if state == self.history[self._now]:
            return
        with self.hold_trait_notifications():
            self.history = [*self.history[: self._now + 1], state]
            self.at = len(self.history) - 1

    @property
    def _now(self) -> int:
        """The step that is shown; a history that was set may be shorter than it was."""
        return min(self.at, len(self.history) - 1)

    def _known(self) -> Places:
        if self._places is None:
            raise JtvizError("this trace was loaded or made from arrays, and has no model to ablate.")
        return self._places

    @t.validate("history")
    def _valid_history(self, proposal: dict[str, Any]) -> Any:
        states = proposal["value"]
        if not states:
            raise t.TraitError("The history of a view has at least one step.")
        places = self._places
        try:
            return states if places is None else [state_of(mask_of(state, places)) for state in states]
        except JtvizError as error:
            raise t.TraitError(str(error)) from None

    @t.validate("at")
    def _valid_at(self, proposal: dict[str, Any]) -> Any:
        if proposal["value"] >= len(self.history):
            msg = f"There is no step {proposal['value']}; choose from 0 to {len(self.history) - 1}."
            raise t.TraitError(msg)
        return proposal["value"]
