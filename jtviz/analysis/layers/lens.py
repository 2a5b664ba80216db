"""What would be predicted if the model ended after each of its layers.

Required: the last layer says what the model says; nothing of the size of layers times tokens times
vocabulary is kept, logits are computed for what somebody asks.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal, Protocol

import torch
from torch import Tensor

from jtviz.capture import JtvizError, OutOfRangeError, Trace
from jtviz.capture.kernels import exactly
from jtviz.capture.lm_head import LMHead, lm_head, predicting
from jtviz.capture.part import Index, chosen, is_int, plain, positions
from jtviz.tokens import Tokens, label

if TYPE_CHECKING:
    import pandas as pd

MEMORY = 256 << 20
"""Bytes of logits that are computed at a time, where the model lets its rows be taken a few at a time."""

SAME = 1e-3
"""How far the last layer may be off from what the model returned, relative to its largest logit."""


class Translator(Protocol):
    """Takes rows of a layer's stream to what the language-model head reads them best as."""

    def translate(self, stream: Tensor, layer: int) -> Tensor:
        """Return ``[rows, width]`` of the same, for layer `layer` of `Trace.hidden`."""


@dataclass(frozen=True, eq=False)
class LogitLens:
    """The prediction of each layer, in each row. Made by `logit_lens` or a `TunedLens`.

    Layers are those of `Trace.hidden`: 0 is what entered the first block, *i* what block *i* - 1 returned.
    Rows predict as the model's own do: in a decoder the token after the one that is read.

    Attributes
    ----------
    side : str
        ``"decoder"``, or ``"encoder"`` of a masked language model.
    tokens : Tokens
        What the side reads.
    rows : Tensor
        ``[rows]``: which rows of the text were looked at, ascending.
    ids : Tensor
        ``[layers, rows, top]``: the likeliest tokens, the likeliest first.
    probability : Tensor
        Their probabilities, of the same shape.
    entropy : Tensor
        ``[layers, rows]``, in nats: how undecided a layer is.
    divergence : Tensor
        ``[layers, rows]``, in nats: how far a layer is from the last, ``KL(last || layer)`` of Kullback and
        Leibler.
    answer : Tensor
        ``[rows]``: the token that the last layer, and so the model, finds likeliest.
    rank : Tensor
        ``[layers, rows]``: the place of that token in each layer; 1 is the likeliest.
    answer_probability : Tensor
        ``[layers, rows]``: its probability.
    trace : Trace
        What was looked through.
    through : Translator or None
        What each layer's stream was translated by, None for the logit lens.

    Examples
    --------
    >>> import jtviz
    >>> trace = jtviz.demo.translator().trace("I like tea.")
    >>> lens = logit_lens(trace)
    >>> lens, lens.rank[-1].tolist()
    (LogitLens(3 layers, 6 rows of the decoder), [1, 1, 1, 1, 1, 1])
    """

    side: str
    tokens: Tokens
    rows: Tensor = field(repr=False)
    ids: Tensor = field(repr=False)
    probability: Tensor = field(repr=False)
    entropy: Tensor = field(repr=False)
    divergence: Tensor = field(repr=False)
    answer: Tensor = field(repr=False)
    rank: Tensor = field(repr=False)
    answer_probability: Tensor = field(repr=False)
    trace: Trace = field(repr=False)
    through: Translator | None = field(repr=False, default=None)
    _words: dict[int, str] = field(repr=False, default_factory=dict)

    def __repr__(self) -> str:
        """Say what was looked at."""
        layers, rows = self.entropy.shape
        kind = "LogitLens" if self.through is None else "LogitLens, tuned"
        return f"{kind}({layers} layers, {rows} rows of the {self.side})"

    @property
    def layers(self) -> int:
        """How many layers: the blocks, and what entered the first."""
        return len(self.entropy)

    def path(self, row: int, tokens: Sequence[int] = ()) -> tuple[Tensor, Tensor]:
        """Return how likely tokens are in each layer, in one row of the text.

        Parameters
        ----------
        row : int
            Of the text, from the end if negative; it need not be one of `rows`.
        tokens : sequence of int
            Ids of the vocabulary.

        Returns
        -------
        probability : Tensor
            ``[layers, tokens]``.
        rank : Tensor
            ``[layers, tokens]``: 1 is the likeliest.

        Raises
        ------
        JtvizError
            If the model is gone or was changed.
        OutOfRangeError
            If there is no such row or token.

        Examples
        --------
        >>> import jtviz
        >>> lens = logit_lens(jtviz.demo.induction().trace("abcabc"))
        >>> probability, rank = lens.path(-1, lens.ids[-1, -1, :2].tolist())
        >>> rank[-1].tolist()
        [1, 2]
        """
        cpu = torch.device("cpu")
        if not is_int(row):
            raise OutOfRangeError(f"row {row!r} is not there: rows are 0 to {len(self.tokens) - 1}.")
        wanted = positions(chosen(int(row), len(self.tokens), "row", f"the {self.side}", cpu), cpu)
        with lm_head(self.trace, self.side) as head, exactly(self.entropy.device):
            size = head.logits.shape[-1]
            if not all(is_int(token) and 0 <= token < size for token in tokens):
                raise OutOfRangeError(f"tokens are numbers of the vocabulary, 0 to {size - 1}.")
            streams = self.trace.hidden(self.side)
            log = _logits(head, streams, wanted.to(streams.device), self.through)[:, 0].log_softmax(-1).cpu()
        of = log[:, torch.tensor([int(token) for token in tokens], dtype=torch.long)]
        return of.exp(), (log[:, None] > of[..., None]).sum(-1) + 1

    def logits(self, layer: int, rows: Index = None) -> Tensor:
        """Return the logits of a layer.

        Parameters
        ----------
        layer : int
            From 0, what entered the first block; from the end if negative.
        rows : int, list of int, slice or None
            Which rows of the text; None means all of them. An int drops its axis.

        Returns
        -------
        Tensor
            Float32 ``[rows, vocabulary]``, as the model would return them if it ended there.

        Raises
        ------
        JtvizError
            If the model is gone or was changed.
        OutOfRangeError
            If there is no such layer or row.

        Examples
        --------
        >>> import jtviz
        >>> lens = logit_lens(jtviz.demo.induction().trace("abcabc"))
        >>> lens.logits(0, rows=-1).shape
        torch.Size([95])
        """
        if not is_int(layer) or not -self.layers <= layer < self.layers:
            raise OutOfRangeError(f"layer {layer!r} is not there: layers are 0 to {self.layers - 1}.")
        cpu = torch.device("cpu")
        wanted = positions(chosen(rows, len(self.tokens), "row", f"the {self.side}", cpu), cpu)
        with lm_head(self.trace, self.side) as head, exactly(self.entropy.device):
            streams = self.trace.hidden(self.side)
            only = range(self.layers)[layer]
            found = _logits(head, streams, wanted.to(streams.device), self.through, only)[0].cpu()
        return found[0] if is_int(plain(rows)) else found

    def words(self, ids: Tensor) -> list[str]:
        """Return tokens as a person reads them, in the order of `ids`, whatever its shape."""
        tokenizer = None if self.trace.reading is None else self.trace.reading.tokenizer
        flat = [int(i) for i in ids.flatten().tolist()]
        side: Literal["source", "target"] = "target" if len(self.trace.tokens) > 1 else "source"
        for i in set(flat) - set(self._words):
            self._words[i] = f"<{i}>" if tokenizer is None else label(tokenizer, i, side)
        return [self._words[i] for i in flat]

    def to_pandas(self) -> pd.DataFrame:
        """Return one row a layer, row and rank: what was read, what is predicted, and how surely.

        Examples
        --------
        >>> import jtviz
        >>> table = logit_lens(jtviz.demo.induction().trace("abcabc"), top=1).to_pandas()
        >>> list(table.columns)
        ['layer', 'row', 'reads', 'place', 'token', 'probability', 'entropy', 'divergence', 'answer', 'rank']
        """
        import pandas as pd

        layers, rows, top = self.ids.shape
        index = torch.cartesian_prod(torch.arange(layers), torch.arange(rows), torch.arange(top)).reshape(
            -1, 3
        )
        layer, row, place = index.T
        reads, in_text = list(self.tokens), self.rows[row]
        return pd.DataFrame(
            {
                "layer": layer.numpy(),
                "row": in_text.numpy(),
                "reads": [reads[i] for i in in_text.tolist()],
                "place": place.numpy() + 1,
                "token": self.words(self.ids),
                "probability": self.probability.flatten().numpy(),
                "entropy": self.entropy[layer, row].numpy(),
                "divergence": self.divergence[layer, row].numpy(),
                "answer": self.words(self.answer[row]),
                "rank": self.rank[layer, row].numpy(),
            }
        )


def logit_lens(trace: Trace, side: str | None = None, top: int = 5, rows: Index = None) -> LogitLens:
    """Read the stream after each layer as if it were the last one's.

    The model's own language-model head is used, all that comes after the last block, with its norm, bias,
    scale and soft cap (nostalgebraist 2020, *Interpreting GPT: the logit lens*). Early layers may say little
    in this way though much is known in them: they are not written to be read so, see
    `tuned_lens`.

    Parameters
    ----------
    trace : Trace
        Of a decoder, of an encoder-decoder (its decoder), or of a masked language model.
    side : {"encoder", "decoder"}, optional
        What predicts tokens, if left out.
    top : int
        How many tokens to name in each layer and row.
    rows : int, list of int, slice or None
        Which rows of the text; None means all. Work and memory are for these alone, where the model lets
        its rows be taken a few at a time.

    Returns
    -------
    LogitLens
        Numbers of each layer and row; logits on demand.

    Raises
    ------
    JtvizError
        If the model predicts no tokens, the trace has no model, or its blocks were not found.
    SiteRefusedError
        If the residual stream was changed in place since.
    OutOfRangeError
        If there is no such row.

    Examples
    --------
    >>> import jtviz
    >>> lens = logit_lens(jtviz.demo.induction().trace("abcabcab"), top=1)
    >>> lens.words(lens.ids[-1, -1])
    ['c']
    """
    return looked_through(trace, side, top, None, rows)


def looked_through(
    trace: Trace, side: str | None, top: int, through: Translator | None, rows: Index = None
) -> LogitLens:
    """Do what `logit_lens` promises, with each layer's stream translated first."""
    if not is_int(top) or top < 1:
        raise JtvizError(f"top= is a number of tokens, at least 1, not {top!r}.")
    _, side = predicting(trace, side)
    streams = trace.hidden(side)
    place = chosen(rows, streams.shape[1], "row", f"the {side}", streams.device)
    wanted = torch.unique(positions(place, streams.device))
    if not len(wanted):
        raise JtvizError(f"rows={rows!r} is empty: the {side} has {streams.shape[1]}.")
    with lm_head(trace, side) as head, exactly(streams.device):
        top = min(top, head.logits.shape[-1])
        parts = [_part(head, streams, some, top, through) for some in _few(head, wanted, len(streams))]
    numbers = _joined(parts)
    return LogitLens(side, trace.tokens[side], wanted.cpu(), **numbers, trace=trace, through=through)


def together(one: LogitLens, other: LogitLens) -> LogitLens:
    """Return the rows of two lenses as one; they look at the same trace in the same way."""
    rows = torch.cat([one.rows, other.rows])
    parts = [[getattr(lens, name) for name in _NUMBERS] for lens in (one, other)]
    return _of(replace(one, rows=rows, **_joined(parts)), rows.argsort())


def taken(lens: LogitLens, rows: Tensor) -> LogitLens:
    """Return some rows of the text, which the lens looked at."""
    return _of(lens, torch.searchsorted(lens.rows, rows))


_NUMBERS = ("ids", "probability", "entropy", "divergence", "answer", "rank", "answer_probability")


def _of(lens: LogitLens, at: Tensor) -> LogitLens:
    numbers = {name: getattr(lens, name) for name in _NUMBERS}
    few: dict[str, Any] = {name: x[at] if x.ndim == 1 else x[:, at] for name, x in numbers.items()}
    return replace(lens, rows=lens.rows[at], **few)


def _joined(parts: Sequence[Sequence[Tensor]]) -> dict[str, Any]:
    joined = [torch.cat(one, 0 if one[0].ndim == 1 else 1).cpu() for one in zip(*parts, strict=True)]
    return dict(zip(_NUMBERS, joined, strict=True))


def _part(
    head: LMHead, streams: Tensor, rows: Tensor, top: int, through: Translator | None
) -> tuple[Tensor, ...]:
    """Return the numbers of some rows, each ``[layers, rows, ..]``, but the answer ``[rows]``."""
    logits = _logits(head, streams, rows, through)
    own = head.logits[rows.to(head.logits.device)].float()
    finite = own.isfinite()
    if not bool(finite.any()):
        raise JtvizError("the model's logits are not finite: check the model's weights.")
    if float((logits[-1] - own)[finite].abs().max()) > SAME * float(own[finite].abs().max()):
        raise JtvizError(
            "the last block's output does not lead to what the model returned, so that its layers cannot be "
            "looked through."
        )
    final = logits[-1].log_softmax(-1)
    answer = final.argmax(-1)
    found: list[tuple[Tensor, ...]] = []
    for one in logits:
        log = one.log_softmax(-1)
        values, indices = log.topk(top)
        of_answer = log.gather(1, answer[:, None])
        found.append(
            (
                indices,
                values.exp(),
                torch.special.entr(log.exp()).sum(-1),
                divergence(final, log),
                (log > of_answer).sum(-1) + 1,
                of_answer[:, 0].exp(),
            )
        )
    ids, probability, entropy, apart, rank, chance = (
        torch.stack(one).cpu() for one in zip(*found, strict=True)
    )
    return ids, probability, entropy, apart, answer.cpu(), rank, chance


def divergence(of: Tensor, by: Tensor) -> Tensor:
    """Return ``KL(of || by)`` of log-probabilities over the last axis, in nats."""
    # What is impossible (a logit of minus infinity) adds nothing.
    return torch.where(of.isfinite(), of.exp() * (of - by), 0.0).sum(-1).clamp(min=0)


def _logits(
    head: LMHead, streams: Tensor, rows: Tensor, through: Translator | None, layer: int | None = None
) -> Tensor:
    """Return float32 logits ``[layers, rows, vocabulary]`` of some rows; of one layer, if that is named."""
    layers = range(len(streams)) if layer is None else [layer]
    is_last = len(streams) - 1
    if not _takes(head, rows):
        # Where a model cannot be given fewer rows, all are computed.
        translated = (_translated(streams[i], i, None if i == is_last else through) for i in layers)
        return torch.stack([head(stream)[rows.to(stream.device)].float() for stream in translated])
    # All layers at once: what the model does beside its head costs the same for one row as for many.
    few = [_translated(streams[i, rows], i, None if i == is_last else through) for i in layers]
    return head(torch.cat(few)).float().view(len(few), len(rows), -1)


def _translated(rows: Tensor, layer: int, through: Translator | None) -> Tensor:
    return rows if through is None else through.translate(rows, layer)


def _takes(head: LMHead, rows: Tensor) -> bool:
    """Whether these rows alone are to be given."""
    return len(rows) < len(head.logits) and head.takes_few_rows


def _few(head: LMHead, rows: Tensor, layers: int) -> Iterator[Tensor]:
    """Yield the rows to compute at a time."""
    at_once = max(1, MEMORY // (4 * head.logits.shape[-1] * layers))
    if at_once >= len(rows) or not head.takes_few_rows:
        at_once = len(rows)
    for start in range(0, len(rows), at_once):
        yield rows[start : start + at_once]
