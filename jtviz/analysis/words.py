"""Attention between words instead of tokens.

Required: the rule is one sentence, so that it can be checked by hand: a query's weight on a word is the sum
over the word's tokens, and a word's is the mean over its tokens.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from jtviz.capture import Trace
from jtviz.capture.part import chosen, is_int, plain, positions
from jtviz.tokens import Tokens

if TYPE_CHECKING:
    from jtviz.capture.part import Index

_SCORES = 1 << 22  # weights looked at once


@dataclass(frozen=True, eq=False)
class WordAttention:
    """Attention between words. Made by `by_words`.

    Attributes
    ----------
    weights : Tensor
        Float32 ``[heads, query words, key words]``, less the first axis for one head; rows sum to what
        their tokens' rows do.
    queries, keys : tuple of str
        The words as the text has them; a special token is a word of its own.
    """

    weights: Tensor
    queries: tuple[str, ...]
    keys: tuple[str, ...]


def by_words(trace: Trace, stage: str, *, layer: int, head: Index = None) -> WordAttention:
    """Sum attention over the tokens of each key word, and average it over those of each query word.

    Parameters
    ----------
    trace : Trace
        Of any model.
    stage, layer, head
        As in `Trace.attention`.

    Returns
    -------
    WordAttention
        A word is a run of letters and digits, a Han or kana character or a mark, whatever the tokenizer
        made of it (`Tokens.words`).

    Raises
    ------
    JtvizError
        If there is no such stage.
    OutOfRangeError
        If there is no such layer or head.

    Examples
    --------
    >>> import jtviz
    >>> trace = jtviz.hook(jtviz.demo.translator()).trace("I like bookshops.")
    >>> found = by_words(trace, "encoder", layer=0)
    >>> found.keys
    ('I', 'like', 'bookshops', '.', '</s>')
    """
    site = trace.site(stage, layer)
    device = site.kept[0].device
    heads = positions(chosen(head, site.heads, "head", f"layer {layer} of the {stage}", device), device)
    query_words, of_query = words_of(trace.tokens[trace.query_side(stage)])
    key_words, of_key = words_of(trace.tokens[trace.key_side(stage)])
    rows, cols = torch.tensor(of_query, device=device), torch.tensor(of_key, device=device)
    weights = torch.zeros(len(heads), len(query_words), len(key_words), device=device)
    step = max(1, _SCORES // max(1, len(heads) * site.keys))
    for start in range(0, site.queries, step):
        part = slice(start, min(start + step, site.queries))
        tile = trace.attention(stage, layer=layer, head=heads.tolist(), rows=part)
        summed = tile.new_zeros(*tile.shape[:2], len(key_words)).index_add_(2, cols, tile)
        weights.index_add_(1, rows[part], summed)
    weights /= rows.bincount(minlength=len(query_words))[:, None]
    return WordAttention(weights[0] if is_int(plain(head)) else weights, query_words, key_words)


def words_of(tokens: Tokens) -> tuple[tuple[str, ...], tuple[int, ...]]:
    """Return the words of a side, and for each token the position of its word.

    Examples
    --------
    >>> words_of(Tokens.from_strings(["<s>", "▁book", "shops", "▁open"]))
    (('<s>', 'bookshops', 'open'), (0, 1, 1, 2))
    """
    places: list[int] = []
    spans: list[tuple[int, int] | None] = []
    before: int | None = None
    for word, span in zip(tokens.words, tokens.spans, strict=True):
        if word is None or word != before or span is None:
            spans.append(span)
        else:
            start, stop = spans[-1] or span
            spans[-1] = (start, max(stop, span[1]))
        places.append(len(spans) - 1)
        before = word
    names = [tokens.sentence[slice(*span)] if span else "" for span in spans]
    for token, place in enumerate(places):
        names[place] = names[place].strip() or tokens[token]
    return tuple(names), tuple(places)
