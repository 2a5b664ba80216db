"""The language-model head of a model: everything that it does after its last block, as a function.

Required: exact for any architecture, and nothing named. The model itself runs, with every block skipped and
the last one giving back the stream that somebody asks about; so the final norm, a projection, a bias, a
scale or a soft cap are whatever the model has. The reader's modules are not touched (`jtviz.capture.twin`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any, Self

import torch
from torch import Tensor, nn

from .errors import JtvizError
from .flow import tensors
from .forward import token_logits
from .inputs import Prepared, vocabulary

if TYPE_CHECKING:
    from .reading import Reading
    from .trace import Trace

SAME = 1e-4
"""How far logits of fewer rows may be off, relative to the largest: another kernel may run for them."""

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
        with head.over(own, *others):
            yield head


def predicting(trace: Trace, side: str | None = None) -> tuple[Reading, str]:
    """Return what was read, and the side whose rows predict tokens.

    Raises
    ------
    JtvizError
        If there is no model to run, or the side that is asked for predicts no tokens.
    """
    if trace.reading is None:
        raise JtvizError("this trace was loaded or made from arrays, and has no model to run: trace it anew.")
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
        self._takes_any: bool | None = None

    @contextmanager
    def over(self, own: list[Block], *others: list[Block]) -> Iterator[Self]:
        """Run the model once, and skip its blocks from then on.

        Parameters
        ----------
        own : list of (str, int)
            The blocks of the side, in order.
        others : list of (str, int)
            Those of another side, whose last output is the same each time.
        """
        self._last = own[-1]
        # All blocks of a side return the same kinds of things, so that one output is enough.
        self._stands_for = {block: blocks[-1] for blocks in (own, *others) for block in blocks}
        with ExitStack() as stack:
            stack.callback(self._kept.clear)
            for path in dict.fromkeys(path for path, _ in self._stands_for):
                self._skip(path, stack)
            with torch.no_grad():
                self.logits = self._forward(self._rows)
            yield self

    def __call__(self, stream: Tensor) -> Tensor:
        """Return the logits of rows of a stream.

        Parameters
        ----------
        stream : Tensor
            ``[rows, width]``, of any layer; all rows of the text, or any others.

        Returns
        -------
        Tensor
            ``[rows, vocabulary]``, in the model's own precision.
        """
        count = len(stream)
        if count == self._rows or self.takes_any_rows:
            return self._of(stream)
        whole = -(-count // self._rows) * self._rows
        filled = torch.cat([stream, stream[-1:].expand(whole - count, -1)])
        return torch.cat([self._of(part) for part in torch.split(filled, self._rows)])[:count]

    @property
    def takes_any_rows(self) -> bool:
        """Whether it can be given fewer or more rows than the text has: some models insist on its length.

        Raises
        ------
        JtvizError
            If rows are mixed after the last block, so that one of them alone has no logits.
        """
        if self._takes_any is None:
            stream = self._stream().flip(0)
            wanted = self.logits.flip(0)
            with torch.no_grad():
                if not _alike(self._of(stream), wanted):
                    raise JtvizError(
                        f"{type(self._twin).__name__} mixes its tokens after the last block, so that some "
                        f"rows alone cannot be read there."
                    )
                count = self._rows - 1 or 2
                some, wanted = stream.repeat(2, 1)[:count], wanted.repeat(2, 1)[:count]
                try:
                    self._takes_any = self._batch == 1 and _alike(self._of(some), wanted)
                except Exception:  # noqa: BLE001 - a model that insists on a length says so in any way
                    self._takes_any = False
        return self._takes_any

    def _of(self, stream: Tensor) -> Tensor:
        self._given = stream
        try:
            return self._forward(len(stream))
        finally:
            self._given = None

    def _forward(self, rows: int) -> Tensor:
        self._calls.clear()
        output = self._twin(*self._prepared.args, **self._prepared.kwargs)
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
            return x
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
