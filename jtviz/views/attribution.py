"""The attribution view. Twin: js/src/views/attribution.ts.

Required: everything drawn is one of the view's `parts`, which can be read from Python; how far the scores
are from the sum that they promise is sent with them, always.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import traitlets as t

from jtviz.analysis.attribution import METHODS, Attribution, How, method_named, opened, together
from jtviz.analysis.attribution.baselines import offered
from jtviz.analysis.trust import Trust, trust
from jtviz.analysis.words import words_of
from jtviz.capture import JtvizError, Trace
from jtviz.capture.errors import OutOfRangeError

from . import keep
from .bundle import front_end
from .describe import describe
from .keep import in_base64, with_image
from .linked import Linked
from .parts import described, layers_of, written
from .trusted import trusted

if TYPE_CHECKING:
    import pandas as pd

UNITS = ("token", "word")
FIGURES = (".svg", ".png")
QUICK = 0.5
"""Seconds that an attribution may take for others to be computed beside it without being asked for."""
MODES = ("text", "matrix")


class AttributionView(Linked):
    """What a prediction rests on: its tokens, shaded by their scores, and how far these can be trusted.

    Parameters
    ----------
    trace : Trace
        Whose tokens.
    parts : sequence of Attribution
        One or more numbers explained, over the tokens of the trace.
    how : How, optional
        How they were attributed, for another method or baseline chosen in the view.
    title : str
        What was asked, in words.
    **choices
        Initial ``stage``, ``layer``, ``heads``, ``pinned`` and ``marked``, which are shared with every other
        view of the trace, and ``part``, ``unit``, ``mode`` and ``annotate``.

    Raises
    ------
    JtvizError
        If there is nothing to show.
    traitlets.TraitError
        If the trace has no such stage, layer, head or token, or a setting has no such value.

    Examples
    --------
    >>> import jtviz
    >>> trace = jtviz.demo.classifier().trace("Man, 60. Has crushing chest pain.")
    >>> view = AttributionView(trace, [jtviz.analysis.attribute(trace, target="urgent")])
    >>> bool(view.to_pandas()["score"].sum() > 0)
    True
    """

    _esm = front_end("attribution")

    meta = t.Dict().tag(sync=True)
    """Stages and tokens of the trace, the methods and baselines there are."""

    parts = t.List(t.Dict()).tag(sync=True)
    """What is explained, in words and numbers, but for the scores."""

    scores = t.Bytes().tag(sync=True)
    """Float32: part by part each side's scores, layer by layer where they are by layer."""

    part = t.Int(0, min=0).tag(sync=True, echo_update=False)
    """Which part is shown."""

    span: Any = t.List(t.Int(), default_value=None, allow_none=True, minlen=2, maxlen=2).tag(
        sync=True, echo_update=False
    )
    """Parts that are taken together, ``[first, last + 1]``: the sum of their scores; None for one part."""

    explained_layer = t.Int(0, min=0).tag(sync=True, echo_update=False)
    """Which layer's scores are shown, of a method by layer."""

    unit = t.Enum(UNITS, "token").tag(sync=True, echo_update=False)
    """``"token"`` or ``"word"``: the sum over a word's tokens."""

    mode = t.Enum(MODES, "text").tag(sync=True, echo_update=False)
    """``"text"``, or ``"matrix"``: one column a part."""

    annotate = t.Bool(default_value=False).tag(sync=True, echo_update=False)
    """Whether scores are written as numbers, too."""

    method = t.Unicode().tag(sync=True, echo_update=False)
    """How it is attributed; another one is computed when it is chosen."""

    baseline = t.Unicode().tag(sync=True, echo_update=False)
    """What an absent token is; another one is computed with when it is chosen."""

    busy = t.Unicode().tag(sync=True)
    """What is being computed; empty when nothing is."""

    share = t.Float(0.0).tag(sync=True)
    """How far it is, 0 to 1."""

    problem = t.Unicode().tag(sync=True)
    """Why what was chosen could not be computed; empty when it could."""

    trusted = t.Dict().tag(sync=True)
    """By the number of the part: what was found when tokens were taken away, in words and figures."""

    def __init__(
        self,
        trace: Trace,
        parts: Sequence[Attribution],
        *,
        how: How | None = None,
        title: str = "",
        **choices: Any,
    ) -> None:
        if not parts:
            raise JtvizError("there is nothing to show: give at least one attribution.")
        self._how = how or How(parts[0].method)
        self._found: tuple[Attribution, ...] = tuple(parts)
        self._working = threading.Lock()
        self.trusts: dict[int, Trust] = {}
        meta = describe(trace) | {
            "methods": [
                [m.name, m.label, f"{m.words} ({m.source})", m.has_baseline] for m in METHODS.values()
            ],
            "baselines": list(offered(trace)),
            "title": title,
            "can_check": trace.reading is not None,
        }
        own: dict[str, Any] = {
            name: choices.pop(name) for name in ("part", "unit", "mode", "annotate") if name in choices
        }
        if len(parts) > 1:
            own.setdefault("mode", "matrix")
        traits: dict[str, Any] = {"meta": meta, **self._state(), **own}
        self._begin(trace, choices, lambda _: traits)
        self.observe(self._choose, ("method", "baseline"))
        self.observe(self._check_chosen, "part")
        self.on_msg(self._on_message)

    @t.validate("span")
    def _valid_span(self, proposal: dict[str, Any]) -> Any:
        span = proposal["value"]
        if span is None:
            return span
        if not 0 <= span[0] < span[1] <= len(self._found):
            msg = f"There is no span {span} of parts; choose from 0 to {len(self._found)}."
            raise t.TraitError(msg)
        try:
            together(self._found[slice(*span)])
        except JtvizError as error:
            raise t.TraitError(str(error)) from None
        return span

    @t.validate("part")
    def _valid_part(self, proposal: dict[str, Any]) -> Any:
        if not 0 <= proposal["value"] < len(self._found):
            msg = f"There is no part {proposal['value']}; choose from 0 to {len(self._found) - 1}."
            raise t.TraitError(msg)
        return proposal["value"]

    def __repr__(self) -> str:
        """Say in one line what is explained: a saved notebook has this where the widget was."""
        return f"AttributionView({', '.join(repr(part) for part in self._found[:3])})"

    @property
    def attributions(self) -> tuple[Attribution, ...]:
        """The parts, as they are now."""
        return self._found

    def to_pandas(self) -> pd.DataFrame:
        """Return one row a token and part: what is explained, side, index, token, word and score."""
        import pandas as pd

        tables = [part.to_pandas() for part in self._found]
        for table, part in zip(tables, self._found, strict=True):
            table.insert(0, "explained", part.score.target.name)
        return pd.concat(tables, ignore_index=True)

    @property
    def shown(self) -> Attribution:
        """What is shown: one part, or the sum of a span of them."""
        if self.span is None:
            return self._found[self.part]
        return together(self._found[slice(*self.span)])

    def rows(self, part: int | None = None) -> dict[str, tuple[tuple[str, ...], np.ndarray]]:
        """Return for each side what is called how and its score, by token or word and layer as shown.

        Parameters
        ----------
        part : int, optional
            Which part; what is shown if left out.
        """
        found = self.shown if part is None else self._found[part]
        out: dict[str, tuple[tuple[str, ...], np.ndarray]] = {}
        for side, tokens in found.tokens.items():
            scores = found.scores[side]
            by_layer = (found.by_layer or {}).get(side)
            if by_layer is not None and len(by_layer):
                scores = by_layer[min(self.explained_layer, len(by_layer) - 1)]
            names, places = words_of(tokens) if self.unit == "word" else (tokens.text, range(len(tokens)))
            sums = np.zeros(len(names), dtype=np.float64)
            np.add.at(sums, np.asarray(places), scores)
            out[side] = (names, sums)
        return out

    def save(self, path: str | Path, *, theme: str = "light", scale: float = keep.SCALE) -> None:
        """Save what is shown as a figure: ``.svg`` for vectors, ``.png`` for pixels.

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

        Examples
        --------
        >>> import jtviz, tempfile
        >>> view = jtviz.show_gradients(jtviz.demo.classifier(), "Man, 60. Has a seizure.").strip
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     view.save(f"{folder}/seizure.svg")
        """
        # Imported here: fonts are looked for.
        from .figures import strip_png, strip_svg

        path = Path(path)
        keep.refuse(path, theme, scale, FIGURES)
        drawn = strip_svg(self, theme).encode() if path.suffix.lower() == ".svg" else None
        keep.write(path, strip_png(self, theme, scale) if drawn is None else drawn)

    def picture(self) -> str | None:
        """Return a small PNG in base64, for whatever shows a notebook without its widgets."""
        from .figures import strip_png

        return in_base64(lambda: strip_png(self, scale=1))

    def _repr_mimebundle_(self, **kwargs: Any) -> Any:
        return with_image(super()._repr_mimebundle_(**kwargs), self.picture())

    def show(self, parts: Sequence[Attribution]) -> None:
        """Show other attributions over the same tokens."""
        self._show(parts, chosen=True)

    def _show(self, parts: Sequence[Attribution], *, chosen: bool) -> None:
        """Show parts; `chosen` says whether they are by the method and baseline that the view names."""
        if not parts:
            raise JtvizError("there is nothing to show: give at least one attribution.")
        # First what has to fit into both, so that whoever follows never looks beyond the end.
        if self.span is not None and (self.span[1] > len(parts) or not parts[0].method.is_signed):
            self.span = None
        self.part = min(self.part, len(parts) - 1)
        had, has = layers_of(self._found[0]), layers_of(parts[0])
        self._found = tuple(parts)
        with self.hold_sync():
            if has != had:
                self.explained_layer = 0
            for name, value in self._state().items():
                if chosen or name not in {"method", "baseline"}:
                    self.set_trait(name, value)
            self.trusts, self.trusted = {}, {}

    def check(
        self, part: int | None = None, *, compare: bool | None = None, progress: bool | None = None
    ) -> Trust:
        """Take the tokens of a part away, those scored highest first, and say how far it can be trusted.

        Parameters
        ----------
        part : int, optional
            Which part; the one that is shown if left out.
        compare : bool, optional
            Whether to attribute by other methods and from other baselines, too; if left out, where the part
            itself took less than `QUICK` seconds.
        progress : bool, optional
            Whether to show a bar with what it takes; where it takes more than two seconds, if left out.

        Returns
        -------
        Trust
            Also shown in the view.

        Raises
        ------
        JtvizError
            If the model of the trace is gone.
        OutOfRangeError
            If there is no such part.
        """
        number = self.part if part is None else part
        if not 0 <= number < len(self._found):
            raise OutOfRangeError(f"part {number} is not there: parts are 0 to {len(self._found) - 1}.")
        known = self.trusts.get(number)
        one = self._found[number]
        if compare is None:
            compare = one.seconds < QUICK if known is None else known.agreement is not None
        if known is None or (compare and known.agreement is None):
            is_sensitive = compare and one.method.has_baseline
            found = trust(
                self.trace,
                one,
                sensitivity=is_sensitive,
                agreement=compare,
                unit=self._how.unit,
                memory=self._how.memory,
                seed=self._how.seed,
                progress=progress,
            )
            self.trusts = {**self.trusts, number: found}
            self.trusted = {str(i): trusted(found) for i, found in self.trusts.items()}
        return self.trusts[number]

    def tell(self, busy: str, share: float = 0.0) -> None:
        """Say what is being computed, and how far it is."""
        self.busy, self.share = busy, share

    def _state(self) -> dict[str, Any]:
        first = self._found[0]
        return {
            "parts": [described(part) for part in self._found],
            "scores": written(self._found),
            "method": first.method.name,
            "baseline": first.baseline or self._how.baseline or "",
        }

    def _on_message(self, _: Any, message: Any, __: list[memoryview]) -> None:
        if not isinstance(message, dict) or message.get("op") != "trust":
            return
        self._try_to_check(int(message["part"]), compare=message.get("compare"))

    @property
    def _is_as_chosen(self) -> bool:
        """Whether what is shown is by the method and baseline that the view names."""
        now = self._found[0]
        return self.method == now.method.name and now.baseline in {None, self.baseline}

    def _choose(self, _: dict[str, Any]) -> None:
        """Compute what was chosen; what is shown stays where it cannot be."""
        # What is chosen meanwhile, in another thread, is looked at when this is done.
        while not self._is_as_chosen and self._working.acquire(blocking=False):
            try:
                self._compute()
            finally:
                self.tell("")
                self._working.release()

    def _compute(self) -> None:
        now, before = self._found[0], self._how
        wanted = (self.method, self.baseline)
        was_checked = bool(self.trusts)
        try:
            self.problem = ""
            self._how = replace(before, method=method_named(wanted[0]), baseline=wanted[1] or None)
            self.tell(f"computing {self._how.method.label} …")
            found = []
            with opened(self.trace) as session:
                for number, part in enumerate(self._found):
                    found.append(session.attribute(part.score, self._how, progress=False))
                    self.share = (number + 1) / len(self._found)
            self._show(found, chosen=(self.method, self.baseline) == wanted)
            if was_checked:
                self.tell("taking tokens away …")
                self.check(progress=False)
        except Exception as error:  # noqa: BLE001 - whatever went wrong is said in the view
            self._how = before
            self.problem = str(error) or type(error).__name__
            if (self.method, self.baseline) == wanted:
                self.method, self.baseline = now.method.name, now.baseline or wanted[1]

    def _check_chosen(self, _: dict[str, Any]) -> None:
        """Check another part that is chosen, where another one was and that is quick."""
        one = self._found[self.part]
        if self.trusts and self.part not in self.trusts and one.seconds < QUICK:
            self._try_to_check(self.part)

    def _try_to_check(self, part: int, *, compare: bool | None = None) -> None:
        self.tell("comparing methods and baselines …" if compare else "taking tokens away …")
        try:
            self.check(part, compare=compare, progress=False)
        except Exception as error:  # noqa: BLE001 - whatever went wrong is said in the view
            self.problem = str(error) or type(error).__name__
        finally:
            self.tell("")
