"""The language-model head of a model: everything that it does after its last block, as a function.

Required: exact for any architecture, and nothing named. The model itself runs, with every block skipped and
the last one giving back the stream that somebody asks about; so the final norm, a projection, a bias, a
scale or a soft cap are whatever the model has. The reader's modules are not touched (`jtviz.capture.twin`).
"""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

from .errors import JtvizError
from .flow import tensors
from .forward import token_logits
from .inputs import Prepared, vocabulary
from .structure import accepts, device_of

if TYPE_CHECKING:
    from .reading import Reading
    from .trace import Trace

SAME = 1e-4
"""How far logits of fewer rows may be off, relative to the largest: another kernel may run for them."""

NO_MODEL = "this trace was loaded or made from arrays, and has no model to run: trace it anew."
_KEEP = "logits_to_keep"

Block = tuple[str, int]
"""Path of a block, and which call of it in one forward pass."""


@contextmanager
def lm_head(trace: Trace, side: str | None = None, *, gradients: bool = False) -> Iterator[LMHead]:
    """Open the language-model head of a traced model, and leave the model as it was found.

    Parameters
    ----------
    trace : Trace
        Of a model that predicts tokens.
    side : {"encoder", "decoder"}, optional
        Whose stream it reads; what predicts tokens if left out.
    gradients : bool
        Whether what it returns is to be differentiated with respect to the stream.

    Raises
    ------
    JtvizError
        If the trace has no model, or that is gone or changed; if the side predicts no tokens; or if its
        blocks were not found.

    Examples
    --------
    >>> import jtviz
    >>> trace = jtviz.demo.induction().trace("abcabc")
    >>> with lm_head(trace) as head:
    ...     logits = head(trace.hidden("decoder")[-1])
    >>> float((logits - trace.logits).abs().max()) < 1e-5
    True
    """
    reading, side = predicting(trace, side)
    own = _blocks(trace, side)
    others = [_blocks(trace, other) for other in trace.tokens if other != side]
    site = trace.site(side, 0)
    with reading.running(gradients=gradients) as twin:
        size = vocabulary(reading.tokenizer, twin)
        head = LMHead(
            twin, reading.prepared, size, rows=len(trace.tokens[side]), batch=site.batch, example=site.example
        )
        known = _left.get(reading) if trace.logits is not None else None
        with head.over(own, *others, known=None if known is None else (known, trace.logits)) as kept:
            _left[reading] = kept
            yield head


_left: WeakKeyDictionary[Reading, dict[Block, Any]] = WeakKeyDictionary()
"""What the last blocks left, by what was read: the next look needs no whole forward pass."""


def predicting(trace: Trace, side: str | None = None) -> tuple[Reading, str]:
    """Return what was read, and the side whose rows predict tokens.

    Raises
    ------
    JtvizError
        If there is no model to run, or the side that is asked for predicts no tokens.
    """
    if not hasattr(trace, "reading"):
        raise JtvizError(f"give a trace, such as hook(model).trace(text), not {type(trace).__name__}.")
    if trace.reading is None:
        raise JtvizError(NO_MODEL)
    found = "decoder" if "decoder" in trace.tokens else "encoder"
    if side not in {None, found}:
        raise JtvizError(
            f"side={side!r} predicts no tokens in this model: choose {found!r}, or leave it out."
        )
    if trace.logits is not None and trace.logits.ndim != 2:
        raise JtvizError("this model tells classes apart, and predicts no tokens: open one that does.")
    return trace.reading, found


def _blocks(trace: Trace, side: str) -> list[Block]:
    if side in trace.stages:
        trace.block_paths(side)  # raises where there are none
    places = trace.places
    found = [] if places is None else [place.block for place in places.heads if place.stage == side]
    return [] if places is None else [places.blocks[number] for number in found if number is not None]


class LMHead:
    """Takes rows of a residual stream to logits. Made by `lm_head`, and good inside of it.

    Parameters
    ----------
    twin : nn.Module
        Modules of our own.
    prepared : Prepared
        What the forward takes.
    size : int or None
        Of the vocabulary.
    rows : int
        How many tokens the side has.
    batch, example : int
        How many examples the forward takes, and which of them is looked at.

    Attributes
    ----------
    logits : Tensor
        What the model returned, ``[rows, vocabulary]``.
    """

    logits: Tensor

    def __init__(
        self, twin: nn.Module, prepared: Prepared, size: int | None, *, rows: int, batch: int, example: int
    ) -> None:
        self._twin, self._prepared, self._size = twin, prepared, size
        self._rows, self._batch, self._example = rows, batch, example
        self._calls: Counter[str] = Counter()
        self._stands_for: dict[Block, Block] = {}
        self._kept: dict[Block, Any] = {}
        self._last: Block = ("", 0)
        self._given: Tensor | None = None

    @contextmanager
    def over(
        self, own: list[Block], *others: list[Block], known: tuple[dict[Block, Any], Any] | None = None
    ) -> Iterator[dict[Block, Any]]:
        """Run the model once, and skip its blocks from then on.

        Parameters
        ----------
        own : list of (str, int)
            The blocks of the side, in order.
        others : list of (str, int)
            Those of another side, whose last output is the same each time.
        known : (dict, Tensor), optional
            What this yielded before, and the logits: the model need not run whole again.

        Yields
        ------
        dict
            What the last blocks returned.
        """
        self._last = own[-1]
        # All blocks of a side return the same kinds of things, so that one output is enough.
        self._stands_for = {block: blocks[-1] for blocks in (own, *others) for block in blocks}
        with ExitStack() as stack:
            for path in dict.fromkeys(path for path, _ in self._stands_for):
                self._skip(path, stack)
            if known is None:
                with torch.no_grad():
                    self.logits = self._forward(self._rows)
            else:
                self._kept, self.logits = known
            yield self._kept

    def __call__(self, stream: Tensor) -> Tensor:
        """Return the logits of rows of a stream.

        Parameters
        ----------
        stream : Tensor
            ``[rows, width]``, of any layer; all rows of the text, or others.

        Returns
        -------
        Tensor
            ``[rows, vocabulary]``, in the model's own precision.
        """
        count = len(stream)
        if count == self._rows or self._ways[0]:
            return self._of(stream)
        whole = -(-count // self._rows) * self._rows
        filled = torch.cat([stream, stream[-1:].expand(whole - count, -1)])
        if count < self._rows and self._ways[1]:
            return self._of(filled, count)
        return torch.cat([self._of(part) for part in torch.split(filled, self._rows)])[:count]

    @property
    def takes_few_rows(self) -> bool:
        """Whether fewer rows than the text has cost less.

        Raises
        ------
        JtvizError
            If rows are mixed after the last block, so that one of them alone has no logits.
        """
        return any(self._ways)

    @functools.cached_property
    def _ways(self) -> tuple[bool, bool]:
        """Whether any number of rows can be given; and whether the model can be told which rows are wanted.

        Some models insist on the length of their text; many of these are told by ``logits_to_keep``.
        """
        stream, wanted = self._stream().flip(0), self.logits.flip(0)
        count = min(self._rows - 1, 4) or 2
        some, of_some = stream.repeat(2, 1)[:count], wanted.repeat(2, 1)[:count]
        with torch.no_grad():
            ways = (
                self._batch == 1 and self._works(lambda: self._of(some), of_some),
                accepts(self._twin, _KEEP) and self._works(lambda: self._of(stream, 1), wanted[:1]),
            )
            if not any(ways) and not _alike(self._of(stream), wanted):
                raise JtvizError(
                    f"{type(self._twin).__name__} mixes its tokens after the last block, so that some rows "
                    f"alone cannot be read there."
                )
            return ways

    @staticmethod
    def _works(of: Callable[[], Tensor], wanted: Tensor) -> bool:
        try:
            return _alike(of(), wanted)
        except Exception:  # noqa: BLE001 - a model that insists on a length says so in any way
            return False

    def _of(self, stream: Tensor, first: int | None = None) -> Tensor:
        """Return the logits of a stream, or of its first rows."""
        self._given = stream
        try:
            return self._forward(len(stream) if first is None else first, of_all=first is None)
        finally:
            self._given = None

    def _forward(self, rows: int, *, of_all: bool = True) -> Tensor:
        self._calls.clear()
        kwargs = self._prepared.kwargs
        if not of_all:
            kwargs = kwargs | {_KEEP: torch.arange(rows, device=device_of(self._twin))}
        output = self._twin(*self._prepared.args, **kwargs)
        found = token_logits(output, self._size, rows, self._example)
        if found is None:
            raise JtvizError(
                f"{type(self._twin).__name__} returns no logits of tokens: open the model with its "
                f"language-model head, and with its tokenizer."
            )
        return found

    def _skip(self, path: str, stack: ExitStack) -> None:
        module = self._twin.get_submodule(path)
        own, before = module.forward, vars(module).get("forward")

        def forward(*args: Any, **kwargs: Any) -> Any:
            stands = self._stands_for.get((path, self._calls[path]))
            if stands is None or self._given is None:
                return own(*args, **kwargs)
            return _mapped(self._kept[stands], Tensor.clone)

        # After the hooks of the reader, who may change what a block returns: that is in the stream already.
        def left(_: nn.Module, __: Any, output: Any) -> Any:
            block = (path, self._calls[path])
            self._calls[path] += 1
            if block not in self._stands_for:
                return None
            if self._given is None:
                if block == self._stands_for[block]:
                    self._kept[block] = _mapped(output, lambda x: x.detach().clone())
                return None
            if block == self._last:
                return self._put(output)
            is_last = block == self._stands_for[block]
            return _mapped(self._kept[block], Tensor.clone) if is_last else None

        module.forward = forward
        handle = module.register_forward_hook(left)

        def back() -> None:
            handle.remove()
            del module.forward
            if before is not None:
                module.forward = before

        stack.callback(back)

    def _stream(self) -> Tensor:
        """Return the stream of the last block, ``[rows, width]``."""
        # The first tensor of more than one axis, as a trace takes it.
        x = next(x for x in tensors(self._kept[self._last]) if x.ndim > 1)
        if x.ndim == 2:
            return x
        return x[self._example] if x.shape[:2] == (self._batch, self._rows) else x[:, self._example]

    def _put(self, output: Any) -> Any:
        """Return what the last block returned, with the given stream in it."""
        stream = self._given
        if stream is None:
            return output

        def instead(x: Tensor) -> Tensor:
            # What follows may change it in place, and the stream may be the trace's.
            rows = stream.to(x.device, x.dtype, copy=True)
            if x.ndim == 2:
                return rows
            is_first = x.shape[:2] == (self._batch, self._rows)
            if self._batch == 1:
                return rows[None] if is_first else rows[:, None]
            whole = x.clone()
            whole.select(0 if is_first else 1, self._example).copy_(rows)
            return whole

        return _with_first(self._kept[self._last], instead)


def _mapped(value: Any, of: Callable[[Tensor], Tensor]) -> Any:
    """Return nested tuples, lists and dicts with each tensor replaced."""
    if isinstance(value, Tensor):
        return of(value)
    if isinstance(value, tuple) and not hasattr(value, "_fields"):
        return tuple(_mapped(part, of) for part in value)
    if isinstance(value, list):
        return [_mapped(part, of) for part in value]
    return value


def _with_first(value: Any, of: Callable[[Tensor], Tensor]) -> Any:
    """Return the same with the stream in it replaced: the first tensor of more than one axis."""
    is_done = False

    def once(x: Tensor) -> Tensor:
        nonlocal is_done
        if is_done or x.ndim < 2:
            return x.clone()
        is_done = True
        return of(x)

    found = _mapped(value, once)
    if not is_done:
        raise JtvizError("the last block returns its stream in a way that cannot be replaced.")
    return found


def _alike(one: Tensor, other: Tensor) -> bool:
    if one.shape != other.shape:
        return False
    finite = other.isfinite()
    scale = float(other[finite].abs().max()) if bool(finite.any()) else 1.0
    wide = 1.0 if one.dtype in {torch.float32, torch.float64} else 100.0
    off = (one[finite] - other[finite]).abs()
    return bool(torch.equal(one.isfinite(), finite)) and float(off.max()) <= SAME * wide * scale
