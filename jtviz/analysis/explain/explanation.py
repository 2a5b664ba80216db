"""The result of `jtviz.explain`: what was predicted, and what each token has to do with it.

Required: scores keep their sign and their scale, repeated tokens stay apart, and the text is the reader's,
letter by letter.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar

from jtviz.capture import JtvizError, OutOfRangeError, Trace
from jtviz.capture.inputs import Text
from jtviz.capture.part import is_int

from ..attribution.attribution import Attribution
from ..attribution.how import How
from ..attribution.units import Unit, checked_unit, units_of
from ..trust import Trust
from .page import html
from .request import Again

if TYPE_CHECKING:
    import pandas as pd

    from jtviz.capture.target import Target

Scored = tuple[str, float]
"""A token or a word, and its score."""


@dataclass(frozen=True, eq=False)
class Explanation:
    """What a prediction rests on. Made by `jtviz.explain`.

    It can be pickled, which keeps numbers, tokens, tables and pages; views and traces need the model, and
    raise `JtvizError` afterwards.

    Attributes
    ----------
    task : str
        One of `jtviz.analysis.TASKS`.
    text : str, (str, str) or None
        What was read, as it was given; None where it was no text.
    prediction : str
        What the model says, in words.
    names : tuple of str
        What was explained: a class, ``start`` and ``end``, an entity, a token; one name a part.
    parts : tuple of Attribution
        What each of them is attributed to.
    how : How
        How it was attributed.
    trust : tuple of Trust, or None
        How far each part can be trusted.
    sources : tuple of Again
        What each of them was read from; see `traces`.
    columns : int or None
        Patches across, of a picture.

    Examples
    --------
    >>> import jtviz
    >>> found = jtviz.explain(jtviz.demo.classifier(), "Man, 60. Has crushing chest pain.", trust=False)
    >>> found.prediction, found.target.name, dict(found.attributions)["crushing"] > 0
    ('urgent (92.1%)', 'urgent', True)
    """

    drawn_by: ClassVar[Callable[[Explanation], Any] | None] = None
    """How an explanation becomes a widget: `jtviz.views` says so when it is loaded."""

    task: str
    text: Text | None
    prediction: str
    names: tuple[str, ...]
    parts: tuple[Attribution, ...]
    how: How
    trust: tuple[Trust, ...] | None
    sources: tuple[Again, ...]
    columns: int | None = None

    def __len__(self) -> int:
        return len(self.parts)

    def __iter__(self) -> Iterator[Explanation]:
        return (self[part] for part in range(len(self)))

    def __getitem__(self, part: int | str | slice) -> Explanation:
        """Return the explanation of one part, by its place or its name, or of several, by a slice.

        Of several parts of one name it is the first.
        """
        if isinstance(part, str):
            if part not in self.names:
                raise OutOfRangeError(f"part {part!r} is not there: choose from {', '.join(self.names)}.")
            part = self.names.index(part)
        if not isinstance(part, slice):
            if not is_int(part):
                raise JtvizError(f"a part is a number, a name or a slice of numbers, not {part!r}.")
            if not -len(self) <= part < len(self):
                raise OutOfRangeError(f"part {part} is not there: there are {len(self)}.")
            start = int(part) % len(self)
            part = slice(start, start + 1)
        return replace(
            self,
            names=self.names[part],
            parts=self.parts[part],
            sources=self.sources[part],
            trust=None if self.trust is None else self.trust[part],
        )

    def __repr__(self) -> str:
        """Say what was predicted, and how it was explained."""
        worth = [part.relative_delta for part in self.parts if part.relative_delta is not None]
        off = f", off by at most {max(worth):.1%}" if worth else ""
        parts = "" if len(self) == 1 else f" in {len(self)} parts"
        return f"Explanation({self.task}: {self.prediction}; {self.method}{parts}{off})"

    @property
    def method(self) -> str:
        """How it was attributed."""
        return self.how.method.name

    @property
    def baseline(self) -> str | None:
        """What an absent token is; None where the method needs none."""
        return self.parts[0].baseline if self.parts else self.how.baseline

    @property
    def traces(self) -> tuple[Trace, ...]:
        """What each part was read from: the same trace but for ``"zero-shot"``, which reads once a label.

        Of one of many texts it is read again, where it is no longer there.
        """
        return tuple(source.trace() for source in self.sources)

    @property
    def attributions(self) -> tuple[Scored, ...]:
        """The tokens of the first part with their scores, in the order of the text."""
        return tuple(
            (text, float(score))
            for part in self.parts[:1]
            for side, tokens in part.tokens.items()
            for text, score in zip(tokens, part.scores[side], strict=True)
        )

    def by_word(self) -> tuple[Scored, ...]:
        """Return the words of the first part with their scores: the sum over the tokens of a word.

        Examples
        --------
        >>> import jtviz
        >>> found = jtviz.explain(jtviz.demo.classifier(), "Man, 60. Has chest pain.", trust=False)
        >>> [word for word, _ in found.by_word()][:3]
        ['[CLS]', 'Man', ',']
        """
        return tuple(
            (word, float(score))
            for part in self.parts[:1]
            for words, scores in part.by_word().values()
            for word, score in zip(words, scores, strict=True)
        )

    def by_unit(self, unit: Unit | None = None) -> tuple[Scored, ...]:
        """Return the units of the first part with their scores: the sum over the tokens of a unit.

        Parameters
        ----------
        unit : {"token", "word", "sentence"} or sequence of (int, int), optional
            What `explain` was asked for if left out.

        Raises
        ------
        JtvizError
            If there is no such unit.

        Examples
        --------
        >>> import jtviz
        >>> note = "Man, 60. Has chest pain."
        >>> found = jtviz.explain(jtviz.demo.classifier(), note, unit="sentence", trust=False)
        >>> [name for name, _ in found.by_unit()]
        ['[CLS]', 'Man, 60.', 'Has chest pain.']
        """
        return tuple(
            (name, float(score))
            for part in self.parts[:1]
            for units in part.by_unit(self.how.unit if unit is None else unit).values()
            for name, score in zip(units.names, units.scores, strict=True)
        )

    @property
    def target(self) -> Target | None:
        """What the first part explains: its name, number, row, scale and value."""
        return self.parts[0].score.target if self.parts else None

    @property
    def probability(self) -> float | None:
        """The probability of the first part's target, whatever the scale."""
        return self.parts[0].score.probability if self.parts else None

    @property
    def delta(self) -> float | None:
        """By how much the first part's scores miss the sum that the method promises."""
        return self.parts[0].delta if self.parts else None

    def to_pandas(self, *, by: Unit | None = None) -> pd.DataFrame:
        """Return one row a token and part: what is explained, side, index, token, word, unit and score.

        Parameters
        ----------
        by : {"token", "word", "sentence"} or sequence of (int, int), optional
            One row a unit instead: what is explained, side, number of the unit, its text, the span of its
            tokens (``start`` to ``stop - 1``) and the sum of their scores.

        Returns
        -------
        pandas.DataFrame
            The column ``unit`` has the number of the unit in its side: of `by`, or as `explain` was asked.

        Raises
        ------
        JtvizError
            If there is no such unit.

        Examples
        --------
        >>> import jtviz
        >>> note = "Man, 60. Has chest pain."
        >>> found = jtviz.explain(jtviz.demo.classifier(), note, unit="sentence", trust=False)
        >>> found.to_pandas()["unit"].tolist()
        [0, 1, 1, 1, 1, 2, 2, 2, 2]
        """
        import pandas as pd

        if by is not None:
            checked_unit(by)
        tables = [part.to_pandas(by=by) for part in self.parts]
        for number, (table, name, part) in enumerate(zip(tables, self.names, self.parts, strict=True)):
            table.insert(0, "part", number)
            table.insert(1, "explained", name)
            if by is None:
                sides = enumerate(part.tokens.values())
                units = [n for i, tokens in sides for n in units_of(tokens, self.how.unit, is_first=not i)[2]]
                table.insert(6, "unit", units)
        if not tables:
            own = ["index", "token", "word", "unit"] if by is None else ["unit", "text", "start", "stop"]
            return pd.DataFrame(columns=["part", "explained", "side", *own, "score"])
        return pd.concat(tables, ignore_index=True)

    def to_html(self, *, unit: Unit | None = None, normalise: bool = False, annotate: bool = False) -> str:
        """Return the explanation as HTML that needs no kernel, no network and no script.

        Parameters
        ----------
        unit : {"token", "word", "sentence"} or sequence of (int, int), optional
            What is shaded, by the sum of the scores of its tokens; what `explain` was asked for if left out.
        normalise : bool
            Whether the legend and numbers are shares of the strongest score of a part; the colours are the
            same.
        annotate : bool
            Whether scores are written as numbers, too; a pointer over a token shows them anyway.

        Returns
        -------
        str
            A fragment that is a page, too.

        Raises
        ------
        JtvizError
            For another unit.

        Examples
        --------
        >>> import jtviz
        >>> found = jtviz.explain(jtviz.demo.classifier(), "Man, 60. Has chest pain.", trust=False)
        >>> "chest" in found.to_html(unit="word")
        True
        """
        own = self.how.unit if unit is None else unit
        return html(self, unit=own, normalise=normalise, annotate=annotate)

    def view(self) -> Any:
        """Return the explanation as a widget, linked with every view of the same text.

        Returns
        -------
        AttributionView
            Of several readings (``"zero-shot"``) one below the other, as an `ipywidgets.VBox`.

        Raises
        ------
        JtvizError
            If there is nothing to show, the model is gone or changed, or no views are loaded.
        """
        draw = type(self).drawn_by
        if draw is None:
            raise JtvizError("no views are loaded that an explanation could be drawn by: import jtviz.views.")
        return draw(self)

    def _repr_html_(self) -> str:
        return self.to_html()

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, Any]:
        """Show the widget; where there is no kernel, no view or no model, the page."""
        del include, exclude
        still = {"text/plain": repr(self), "text/html": self.to_html()}
        if not self.parts:
            return still
        try:
            made = self.view()._repr_mimebundle_()
        except JtvizError:
            # No views are loaded; the model is gone, or this was loaded without it.
            return still
        live: dict[str, Any] = made[0] if isinstance(made, tuple) else made
        return live | still
