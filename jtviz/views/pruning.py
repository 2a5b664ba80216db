"""The pruning view: switch parts of a model off, and see what it loses. Twin: js/src/views/pruning.ts.

Required: what is shown was computed by the model with exactly these parts off, or is said to be from before;
the reader's model is never touched.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import traitlets as t

from jtviz.analysis.ablation import HONEST, Ablating, Again, Effect, Together
from jtviz.capture import JtvizError, Trace
from jtviz.capture.intervention.ablation import MODES, Mask, Which

from . import keep
from .attribution import FIGURES
from .bundle import front_end
from .describe import describe
from .linked import Linked
from .masks import Masks
from .outcomes import explained_of, interaction_of, outcome_of, pattern_of, scores_of

if TYPE_CHECKING:
    import pandas as pd

COLOURINGS = (
    ("effect", "Effect alone", "how far the output moves when this head alone is off (KL divergence, nats)"),
    ("gradient", "Gradient", "what the log-probability would lose without this head, to first order"),
    ("none", "Nothing", "no colour"),
)
QUICK = 3.0
"""Seconds that colouring by the effect of each head may take unasked."""
MOST_UNITS = 16_384


class PruningView(Masks, Linked):
    """Heads and feed-forward units of a model to switch off, and what it says without them.

    Parameters
    ----------
    trace : Trace
        Of a model that is still there.
    target : optional
        Whose probability is followed, as in `HookedTransformer.trace`.
    heads, units : mapping, optional
        What is off at first, as in `HookedTransformer.ablate`.
    mode : {"zero", "mean"}
        What stands in for what is off.
    reference : optional
        Texts that means are over; the text itself if left out.
    colouring : {"effect", "gradient", "none"}, optional
        What heads are coloured by.
    title : str
        What was asked, in words.
    **choices
        Initial ``stage``, ``layer``, ``heads``, ``pinned`` and ``marked``, shared with every other view of
        the trace.

    Raises
    ------
    JtvizError
        If the trace has no model, or its model is gone or changed.
    traitlets.TraitError
        If the trace has no such stage, layer, head or token.

    Examples
    --------
    >>> import jtviz
    >>> view = PruningView(jtviz.demo.induction().trace("abcdeabcd"))
    >>> view.switch_off({("decoder", 0): [2]})
    >>> view.effect.kl > 1
    True
    >>> view.undo()
    >>> view.effect.kl
    0.0
    """

    _esm = front_end("pruning")

    meta = t.Dict().tag(sync=True)
    """Stages, tokens, and feed-forward units of each layer."""

    colouring = t.Enum(tuple(name for name, _, _ in COLOURINGS), "effect").tag(sync=True, echo_update=False)
    """What heads are coloured by: ``"effect"``, ``"gradient"`` or ``"none"``."""

    colourings: Any = t.List().tag(sync=True)
    """Those there are: name, label and words."""

    scores = t.Dict().tag(sync=True)
    """By stage, layers by heads: what the colours stand for."""

    scores_words = t.Unicode().tag(sync=True)
    """That in words."""

    outcome = t.Dict().tag(sync=True)
    """What switching off changed."""

    interaction = t.Dict().tag(sync=True)
    """How what is off backs each other up, where that was asked."""

    explained = t.Dict().tag(sync=True)
    """The explanation of both models, where that was asked."""

    busy = t.Unicode().tag(sync=True)
    """What is being computed; empty when nothing is."""

    share = t.Float(0.0).tag(sync=True)
    """How far it is, 0 to 1."""

    problem = t.Unicode().tag(sync=True)
    """Why what was chosen could not be computed; empty when it could."""

    def __init__(
        self,
        trace: Trace,
        *,
        target: Any = None,
        heads: Which | None = None,
        units: Which | None = None,
        mode: str = "zero",
        reference: Any = None,
        colouring: str | None = None,
        title: str = "",
        **choices: Any,
    ) -> None:
        self._ablating = Ablating(trace, target, reference=reference)
        self._places = self._ablating.places
        mask = Mask.of(self._places, heads, units)
        self._working = threading.Lock()
        self._known_scores: dict[tuple[str, str], dict[str, np.ndarray]] = {}
        counts: dict[str, list[int]] = {}
        for place in self._places.units:
            counts.setdefault(place.stage, []).append(place.units)
        meta = describe(trace) | {"title": title, "units": counts, "words": MODES}
        traits = {"meta": meta, "colourings": [list(one) for one in self._offered()], "ablation": mode}
        self._begin(trace, choices, lambda _: traits)
        if len(mask):
            self._step(mask)
        self._compute()
        self.colouring = colouring or ("effect" if self._is_quick else "gradient")
        self._colour()
        self.observe(self._changed, ("history", "at", "ablation"))
        self.observe(self._colour, ("colouring", "ablation"))
        self.on_msg(self._on_message)

    def __repr__(self) -> str:
        """Say in one line what is off: a saved notebook has this where the widget was."""
        return f"PruningView({self._effect!r})"

    @property
    def effect(self) -> Effect:
        """What switching off changed, as numbers.

        Raises
        ------
        JtvizError
            If it could not be computed; the sentence says why.
        """
        self._compute()
        if self._effect is None or not self._is_current:
            raise JtvizError(self.problem or "what was chosen is not computed yet.")
        return self._effect

    def interactions(self) -> Together:
        """Return how what is off backs each other up; also shown in the view.

        Raises
        ------
        JtvizError
            If fewer than two parts are off.
        """
        mask = self.off
        found = self._ablating.together(mask, self.ablation)
        self.interaction = interaction_of(mask, found)
        return found

    def explain_again(self, method: str = "integrated_gradients") -> Again:
        """Return the explanation of the prediction with everything on, and taken again; also shown.

        Parameters
        ----------
        method : str
            One of `jtviz.analysis.METHODS`.
        """
        found = self._ablating.explained(self.off, self.ablation, method=method)
        self.explained = explained_of(found)
        return found

    def to_pandas(self) -> pd.DataFrame:
        """Return one row a head: where it is, whether it is off, its colour's number, how far it moved."""
        import pandas as pd

        off, effect = set(self.off.heads), self.effect
        scores = self._known_scores.get(self._scored, {})
        rows = []
        for place in self._known().heads:
            for head in range(place.heads):
                at = (place.layer, head)
                value = float(scores[place.stage][at]) if place.stage in scores else float("nan")
                is_off = (place.stage, *at) in off
                moved = float(effect.moved[place.stage][at])
                rows.append((place.stage, *at, is_off, value, moved))
        return pd.DataFrame(rows, columns=["stage", "layer", "head", "off", self.colouring, "moved"])

    def save(self, path: str | Path, *, theme: str = "light", scale: float = keep.SCALE) -> None:
        """Save the heads and what they change as a figure: ``.svg`` for vectors, ``.png`` for pixels.

        Parameters
        ----------
        path : str or Path
            The file.
        theme : {"light", "dark"}
            Its colours.
        scale : float
            Pixels of a PNG to a CSS pixel.

        Raises
        ------
        JtvizError
            If the ending is another, the folder is not there, or no font is there for a PNG.
        """
        from .figures.grid import grid_png

        path = Path(path)
        keep.refuse(path, theme, scale, FIGURES)
        drawn = self._figure(theme)
        keep.write(path, drawn.encode() if path.suffix.lower() == ".svg" else grid_png(drawn, scale))

    def _figure(self, theme: str) -> str:
        from .figures.grid import grid_svg

        effect, known = self.effect, self._known_scores.get(self._scored, {})
        blank = {stage: self._ablating.empty(stage) for stage in self.trace.stages}
        said = [
            f"{effect.mask.words[0].upper()}{effect.mask.words[1:]} ({effect.mode} ablation).",
            f"{effect.asked.words}: {effect.intact.value:.3g} intact, {effect.ablated.value:.3g} so.",
        ]
        if effect.divergence:
            said.append(f"KL divergence of the output {effect.kl:.3g} nats.")
        if effect.intact.text:
            said += [f"Intact: {effect.intact.text}", f"So: {effect.ablated.text}"]
        title = f"Ablation: {effect.mask.words}"
        return grid_svg(
            known or blank, effect.mask.heads, title=title, colours=self.scores_words, words=[*said, HONEST],
            theme=theme,
        )  # fmt: skip

    def picture(self) -> str | None:
        """Return a small PNG in base64, for whatever shows a notebook without its widgets."""
        from .figures.grid import grid_png

        return keep.in_base64(lambda: grid_png(self._figure("light"), 1))

    def _repr_mimebundle_(self, **kwargs: Any) -> Any:
        return keep.with_image(super()._repr_mimebundle_(**kwargs), self.picture())

    @property
    def _scored(self) -> tuple[str, str]:
        """What the scores of the heads depend on."""
        return self.colouring, self.ablation if self.colouring == "effect" else ""

    def _offered(self) -> list[tuple[str, str, str]]:
        asked = self._ablating.asked
        said = {"effect": f"how far the output moves when this head alone is off ({asked.distance})"}
        if asked.choice == "number":
            said["gradient"] = "what the number would lose without this head, to first order"
        return [
            (name, label, said.get(name, words))
            for name, label, words in COLOURINGS
            if name != "gradient" or asked.kind != "states"
        ]

    @property
    def _is_quick(self) -> bool:
        heads = sum(place.heads for place in self._known().heads)
        return self._ablating.asked.kind == "states" or heads * self._ablating.seconds() < QUICK

    def _changed(self, change: dict[str, Any]) -> None:
        if change["name"] == "ablation":
            # They say what is off, not what stood in for it.
            self.interaction = self.explained = {}
        self._compute()

    def _compute(self) -> None:
        # What is chosen meanwhile, in another thread, is looked at when this is done.
        while not self._is_current and self._working.acquire(blocking=False):
            mask, mode = self.off, self.ablation
            try:
                with self._doing("running the model without them …" if len(mask) else "running the model …"):
                    self._effect = self._ablating.effect(mask, mode)
                    self.outcome = outcome_of(self._effect)
            finally:
                self._working.release()
            if self.problem and (mask, mode) == (self.off, self.ablation):
                return

    def _colour(self, _: Any = None) -> None:
        name, mode = self.colouring, self.ablation
        words = next(words for one, _, words in self._offered() if one == name)
        if name == "none":
            self.scores, self.scores_words = {}, words
            return
        key = self._scored
        if key not in self._known_scores:
            with self._doing("switching each head off alone …"):
                found = self._ablating.every_head(mode) if name == "effect" else self._ablating.by_gradient()
                self._known_scores[key] = found
        if key in self._known_scores:
            self.scores, self.scores_words = scores_of(self._known_scores[key]), words

    def _doing(self, words: str) -> _Doing:
        return _Doing(self, words)

    def _on_message(self, _: Any, message: Any, __: list[memoryview]) -> None:
        op = message.get("op") if isinstance(message, Mapping) else None
        if op == "interact":
            with self._doing("switching parts off alone and two by two …"):
                self.interactions()
        elif op == "explain":
            with self._doing("explaining both models …"):
                self.explain_again()
        elif op == "ping":
            self.send({"op": "pong", "id": message.get("id")})
        elif op == "units":
            self._answer(message, self._units)
        elif op == "pattern":
            self._answer(message, self._pattern)

    def _answer(
        self,
        message: Mapping[str, Any],
        answer: Callable[[Mapping[str, Any]], tuple[dict[str, Any], list[bytes]]],
    ) -> None:
        head = {"op": message["op"], "id": message.get("id")}
        try:
            reply, buffers = answer(message)
        except Exception as error:  # noqa: BLE001 - whatever went wrong is said in the view
            self.send({**head, "ok": False, "error": str(error) or type(error).__name__})
            return
        self.send({**head, "ok": True, **reply}, buffers)

    def _units(self, message: Mapping[str, Any]) -> tuple[dict[str, Any], list[bytes]]:
        values = self._ablating.units(str(message["side"]), int(message["layer"]))
        order = np.argsort(-np.abs(values), kind="stable")
        sent = [[int(i), float(values[i])] for i in order[:MOST_UNITS]]
        words = "what the log-probability would lose without the unit, to first order"
        return {"units": sent, "total": len(values), "words": words}, []

    def _pattern(self, message: Mapping[str, Any]) -> tuple[dict[str, Any], list[bytes]]:
        effect = self.effect
        place = str(message["stage"]), int(message["layer"]), int(message["head"])
        reply, data = pattern_of(self.trace, effect.trace, *place)
        return reply, [data]


class _Doing:
    """Say in a view what is being computed, and why it could not be."""

    def __init__(self, view: PruningView, words: str) -> None:
        self._view, self._words = view, words

    def __enter__(self) -> None:
        self._view.problem = ""
        self._view.busy = self._words

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: object) -> bool:
        self._view.busy = ""
        if isinstance(error, Exception):
            self._view.problem = str(error) or type(error).__name__
            return True
        return False
