"""Which source word a translator looks at when it writes a word.

Required: rows are those that *predict* a token, not those that read it (row *i* predicts token
*i + 1*); the pieces of a source word are counted together.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from jtviz.capture import Trace
from jtviz.capture.errors import JtvizError

Span = tuple[int, int]


@dataclass(frozen=True, eq=False)
class Alignment:
    """Cross attention of one layer, from written tokens to source words.

    Attributes
    ----------
    layer : int
        Of the cross attention.
    written : tuple of str
        The tokens that are predicted, row by row; the last is what follows the last token read.
    written_spans : tuple of (int, int) or None
        Their characters in the translation, None for special tokens.
    words : tuple of str
        Source words, in order; special tokens stand at the end under their own names.
    word_spans : tuple of (int, int) or None
        Their characters in the source sentence, None for special tokens.
    weights : Tensor
        ``[written, words]``, mean over the chosen heads; rows sum to 1 where the model's do.
    """

    layer: int
    written: tuple[str, ...]
    written_spans: tuple[Span | None, ...]
    words: tuple[str, ...]
    word_spans: tuple[Span | None, ...]
    weights: Tensor

    def strongest(self, span: Span) -> Span | None:
        """Return the source word that is looked at most where a written word is predicted.

        Parameters
        ----------
        span : (int, int)
            The characters of the word in the translation. Its first token decides: once that is
            written, the rest of a word needs no source.

        Returns
        -------
        (int, int) or None
            Characters of the source word; None if a special token is looked at most.

        Raises
        ------
        JtvizError
            If no token starts in the span.
        """
        starts = (i for i, s in enumerate(self.written_spans) if s and span[0] <= s[0] < span[1])
        row = next(starts, None)
        if row is None:
            raise JtvizError(f"no token of the translation starts in characters {span[0]} to {span[1]}.")
        return self.word_spans[int(self.weights[row].argmax())]


def align(trace: Trace, layer: int = -1, heads: Sequence[int] | None = None) -> Alignment:
    """Align a translation with its source by cross attention.

    Parameters
    ----------
    trace : Trace
        Of an encoder-decoder.
    layer : int
        Of the cross attention, from 0, or from the end if negative.
    heads : sequence of int, optional
        Averaged; all if left out.

    Returns
    -------
    Alignment
        One row a written token, one column a source word.

    Raises
    ------
    JtvizError
        If the trace has no cross attention, what it predicts is not known, or no head is named.
    OutOfRangeError
        If there is no such layer or head.

    Notes
    -----
    The row that predicts a word shows what was looked at when the word was chosen. Chen et al. 2020
    (*Accurate word alignment induction from neural machine translation*) found that in deep decoders the
    row that reads it aligns better, but that row cannot have led to the word.

    Examples
    --------
    >>> import jtviz
    >>> found = align(jtviz.demo.translator().trace("I like to drink tea."))
    >>> found.weights.shape == (len(found.written), len(found.words))
    True
    """
    if heads is not None and len(heads) == 0:
        raise JtvizError("heads= is empty: name at least one head, or leave it out for all.")
    pattern = trace.attention("cross", layer=layer, head=heads).mean(0)
    if trace.predicts is None:
        raise JtvizError("what each row predicts is not known: trace a text, not inputs=.")
    source, read = trace.tokens["encoder"], trace.tokens["decoder"]
    of_word: dict[int, list[int]] = {}
    for i, word in enumerate(source.words):
        # A special token belongs to no word: it stays a column of its own, after the words.
        of_word.setdefault(len(source) + i if word is None else word, []).append(i)
    columns = [of_word[number] for number in sorted(of_word)]
    spans = [_union([source.spans[i] for i in column]) for column in columns]
    return Alignment(
        layer=range(trace.layers("cross"))[layer],
        written=trace.predicts,
        written_spans=(*read.spans[1:], None),
        words=tuple(
            source[column[0]] if span is None else source.sentence[slice(*span)]
            for column, span in zip(columns, spans, strict=True)
        ),
        word_spans=tuple(spans),
        weights=torch.stack([pattern[:, column].sum(1) for column in columns], dim=1),
    )


def _union(spans: Sequence[Span | None]) -> Span | None:
    known = [span for span in spans if span is not None]
    return (min(a for a, _ in known), max(b for _, b in known)) if known else None
