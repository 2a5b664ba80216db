"""The tuned lens: what each layer knows, read after a translation into the last layer's terms.

Required: the model is not touched; training is repeatable and says how much it gained; a lens is one
``.safetensors`` file.
"""

from __future__ import annotations

import hashlib
import json
import math
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from jtviz.capture import HookedTransformer, JtvizError, Trace, hook
from jtviz.capture.asfound import as_found
from jtviz.capture.forward import Asked, run
from jtviz.capture.inputs import checked_texts, prepare_inputs, prepare_text
from jtviz.capture.lm_head import LMHead, lm_head, predicting
from jtviz.capture.memory import fingerprint
from jtviz.capture.part import Index, is_int
from jtviz.capture.reading import Reading, checked_single

from ..attribution.progress import Progress, Shown, within
from .lens import LogitLens, divergence, looked_through
from .texts import SIDES, listed

if TYPE_CHECKING:
    import pandas as pd

FORMAT = 1
BATCH = 256
"""Rows in one step."""
HELD = 0.25
"""Seconds that steps have the model to themselves: then who waits for it, a view for one, has its turn."""
_TURN = 1e-3


@dataclass(frozen=True, eq=False)
class TunedLens:
    """One affine map for each layer. Made by `tuned_lens` or `TunedLens.load`; call it with a trace.

    Attributes
    ----------
    side : str
        Whose stream it reads.
    model : str
        The class of the model that it was trained for.
    weight : Tensor
        ``[layers, width, width]``: what is added is the stream times its transpose; the last has none.
    bias : Tensor
        ``[layers, width]``.
    rows : int
        How many rows it was trained on.
    before, after : Tensor
        ``[layers]``, in nats: the divergence from the last layer over those rows, of the logit lens and of
        this one.
    seen : frozenset of str
        Digests of the texts that it was trained on, see `has_seen`.

    Examples
    --------
    >>> import jtviz
    >>> hooked = jtviz.demo.induction()
    >>> lens = tuned_lens(hooked, ["abcabcabc", "qmzqmzqmz"], steps=20)
    >>> bool((lens.after < lens.before).all())
    True
    >>> lens(hooked.trace("xyxyxy"))
    LogitLens, tuned(3 layers, 6 rows of the decoder)
    """

    side: str
    model: str
    weight: Tensor = field(repr=False)
    bias: Tensor = field(repr=False)
    rows: int
    before: Tensor = field(repr=False)
    after: Tensor = field(repr=False)
    seen: frozenset[str] = field(repr=False, default=frozenset())

    def __call__(self, trace: Trace, top: int = 5, rows: Index = None) -> LogitLens:
        """Look through each layer of a trace.

        Parameters
        ----------
        trace : Trace
            Of the model that the lens was trained for.
        top : int
            How many tokens to name in each layer and row.
        rows : int, list of int, slice or None
            Which rows of the text; None means all.

        Raises
        ------
        JtvizError
            If it is of another model, or cannot be looked through (see `logit_lens`).
        """
        self.check(trace)
        return looked_through(trace, self.side, top, self, rows)

    def check(self, trace: Trace) -> None:
        """Refuse a trace that the lens cannot look at.

        Raises
        ------
        JtvizError
            If it is of another model than the lens was trained for, or predicts no tokens.
        """
        reading, _ = predicting(trace, self.side)
        streams = trace.hidden(self.side)
        name, shape = type(reading.model).__name__, (len(streams) - 1, streams.shape[-1])
        if (self.model, self.bias.shape) != (name, shape):
            raise JtvizError(
                f"this lens was trained for a {self.model} of {self.bias.shape[0]} layers and width "
                f"{self.bias.shape[1]}, and the trace is of a {name} of {shape[0]} and {shape[1]}: train one "
                f"for it."
            )

    def has_seen(self, trace: Trace) -> bool:
        """Return whether this very text is one that the lens was trained on: it knows the answers there."""
        return _digest(trace) in self.seen

    def translate(self, stream: Tensor, layer: int) -> Tensor:
        """Return rows ``[rows, width]`` of a layer of `Trace.hidden` in the terms of the last."""
        if layer == len(self.weight):
            return stream
        weight, bias = self.weight[layer].to(stream), self.bias[layer].to(stream)
        return stream + stream @ weight.T + bias

    def to_pandas(self) -> pd.DataFrame:
        """Return one row a layer: its divergence from the last, before and after training."""
        import pandas as pd

        layers = range(len(self.before))
        return pd.DataFrame({"layer": layers, "before": self.before.numpy(), "after": self.after.numpy()})

    def save(self, path: str | Path) -> None:
        """Write the lens into one ``.safetensors`` file.

        Raises
        ------
        JtvizError
            If the folder is not there.

        Examples
        --------
        >>> import jtviz, tempfile
        >>> lens = tuned_lens(jtviz.demo.induction(), "abcabcabc", steps=1)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     lens.save(f"{folder}/lens.safetensors")
        ...     TunedLens.load(f"{folder}/lens.safetensors").rows
        9
        """
        path = Path(path)
        if path.is_dir() or not path.parent.is_dir():
            raise JtvizError(f"a lens cannot be saved as {path}: name a file in a folder that is there.")
        told = {
            "format": FORMAT, "side": self.side, "model": self.model, "rows": self.rows,
            "seen": sorted(self.seen),
        }  # fmt: skip
        tensors = {name: getattr(self, name).contiguous() for name in _TENSORS}
        save_file(tensors, path, metadata={"jtviz.tuned_lens": json.dumps(told)})

    @staticmethod
    def load(path: str | Path) -> TunedLens:
        """Open what `save` wrote.

        Raises
        ------
        JtvizError
            If the file is no lens, or was written by a newer jtviz.
        """
        try:
            with safe_open(path, framework="pt") as file:
                told = json.loads((file.metadata() or {})["jtviz.tuned_lens"])
                tensors = {name: file.get_tensor(name) for name in _TENSORS}
        except (OSError, SafetensorError, KeyError, ValueError):
            raise JtvizError(f"{path} is no tuned lens: give a file that TunedLens.save wrote.") from None
        if told.get("format") != FORMAT:
            raise JtvizError(f"{path} was written by a newer jtviz: update jtviz.")
        seen = frozenset(told["seen"])
        return TunedLens(side=told["side"], model=told["model"], rows=told["rows"], seen=seen, **tensors)


_TENSORS = ("weight", "bias", "before", "after")


def tuned_lens(
    model: Any,
    texts: Any,
    *,
    side: str | None = None,
    steps: int = 250,
    rate: float = 1e-3,
    seed: int = 0,
    memory: int = 1 << 30,
    progress: Shown = None,
) -> TunedLens:
    """Train a tuned lens: for each layer the affine map that brings it closest to what the model says.

    Belrose et al. 2023, *Eliciting latent predictions from transformers with the tuned lens*: a translator
    starts as doing nothing, and the divergence of the last layer's prediction from its own is made small by
    gradient descent (Adam, with a rate that falls to zero). It tells what could be read off a layer, by one
    that learnt what the model says; give other texts than those that you mean to look at.

    Parameters
    ----------
    model : nn.Module, pipeline or HookedTransformer
        A model that predicts tokens.
    texts : list of str, data frame, or list of mappings
        What it reads, as in `read`; or inputs of its forward. An encoder-decoder writes its answers first.
        They are read one after the other, and only their residual streams are kept.
    side : {"encoder", "decoder"}, optional
        What predicts tokens, if left out.
    steps : int
        How many, of 256 rows each.
    rate : float
        The first learning rate.
    seed : int
        Of the order of rows.
    memory : int
        Bytes that the residual streams of all texts may take, ``4 * (layers + 1) * tokens * width``; while
        they are joined it is twice as much. Beside it are the maps, four times
        ``4 * layers * width * (width + 1)``, and the logits of 256 rows.
    progress : bool, optional
        Whether to show a bar; where it takes long, if left out. Or a `Progress` of one's own.

    Returns
    -------
    TunedLens
        To be called with a trace, and to be saved.

    Raises
    ------
    JtvizError
        If the model predicts no tokens, or the texts are none, or too many for `memory`.
    """
    _checked(rate, side, steps=(steps, 1), memory=(memory, 1), seed=(seed, 0))
    given, hooked = _several(texts), hook(model)
    streams, trace, side, seen = _read(hooked, given, side, memory, progress)
    layers, count, width = streams.shape
    generator = torch.Generator().manual_seed(seed)
    with lm_head(trace, side) as head:
        device = head.logits.device
        begin = time.perf_counter()
        before = _divergences(head, streams, None)
        # Forward and backward are about three times forward.
        seconds = (time.perf_counter() - begin) * 3 * steps * min(BATCH, count) / count
    maps = torch.zeros(layers - 1, width, width + 1, device=device, requires_grad=True)
    optimiser = torch.optim.Adam([maps], lr=rate)
    falling = torch.optim.lr_scheduler.LinearLR(optimiser, 1.0, 0.0, steps)
    words = f"tuned lens of {layers - 1} layers over {count} tokens"
    with within(progress, words, steps, seconds=seconds) as shown:
        left = steps
        while left:
            with lm_head(trace, side, gradients=True) as head:
                until = time.perf_counter() + HELD
                while left:
                    rows = torch.randint(count, (min(BATCH, count),), generator=generator)
                    _learn(head, streams[:, rows].to(device), maps)
                    torch.nn.utils.clip_grad_norm_([maps], 1.0)
                    optimiser.step()
                    optimiser.zero_grad()
                    falling.step()
                    shown.advance(1)
                    left -= 1
                    if time.perf_counter() > until:
                        break
            time.sleep(_TURN)  # a lock that is let go of and taken again at once is nobody else's
    weight, bias = (part.detach().cpu().contiguous() for part in (maps[..., :-1], maps[..., -1]))
    made = TunedLens(side, type(hooked.model).__name__, weight, bias, count, before, before, seen)
    with lm_head(trace, side) as head:
        return replace(made, after=_divergences(head, streams, made))


def _learn(head: LMHead, streams: Tensor, maps: Tensor) -> None:
    """Add the gradient of each layer's divergence; one layer's logits are kept at a time."""
    with torch.no_grad():
        final = head(streams[-1]).float().log_softmax(-1)
    for layer, stream in enumerate(streams[:-1]):
        translated = stream + stream @ maps[layer, :, :-1].T + maps[layer, :, -1]
        loss = divergence(final, head(translated).float().log_softmax(-1)).mean()
        loss.backward()  # type: ignore[no-untyped-call]  # torch has no types here


@torch.no_grad()
def _divergences(head: LMHead, streams: Tensor, through: TunedLens | None) -> Tensor:
    """Return the mean divergence of each layer but the last, ``[layers]``."""
    device, count = head.logits.device, streams.shape[1]
    total = torch.zeros(len(streams) - 1)
    for start in range(0, count, BATCH):
        part = streams[:, start : start + BATCH].to(device)
        final = head(part[-1]).float().log_softmax(-1)
        for layer, stream in enumerate(part[:-1]):
            given = stream if through is None else through.translate(stream, layer)
            total[layer] += divergence(final, head(given).float().log_softmax(-1)).sum().cpu()
    return total / count


def _read(
    hooked: HookedTransformer, given: Sequence[Any], side: str | None, memory: int, progress: Shown
) -> tuple[Tensor, Trace, str, frozenset[str]]:
    """Return all streams ``[layers + 1, rows, width]``, a trace of the longest, side and digests."""
    found: list[Tensor] = []
    seen: set[str] = set()
    longest: Trace | None = None
    held = 0
    with ExitStack() as stack:
        shown = progress if isinstance(progress, Progress) else None
        for one in given:
            if isinstance(progress, Progress):
                progress.advance(0)  # who shows it may want to stop
            begin = time.perf_counter()
            trace = _traced(hooked, one)
            if shown is None:
                seconds = (time.perf_counter() - begin) * len(given)
                shown = stack.enter_context(within(progress, "texts", len(given), seconds=seconds))
            _, side = predicting(trace, side)
            stream = trace.hidden(side).cpu()
            read = None if trace.reading is None else trace.reading.prepared.read
            if read is not None and len(read) == stream.shape[1]:
                stream = stream[:, torch.tensor(read)]
            held += stream.nbytes
            if held > memory:
                raise JtvizError(
                    f"the streams of these texts take more than memory={memory} bytes: give fewer than "
                    f"{len(found) + 1} texts, or more memory."
                )
            found.append(stream)
            seen.add(_digest(trace))
            if longest is None or len(trace.tokens[side]) > len(longest.tokens[side]):
                longest = trace
            if shown is not progress:
                shown.advance(1)
    if longest is None or side is None:
        raise JtvizError("texts= is empty: give texts to train on.")
    return torch.cat(found, 1), longest, side, frozenset(seen)


def _digest(trace: Trace) -> str:
    """Return what stands for the text that was given: of an encoder-decoder, what its encoder reads."""
    given = next(iter(trace.tokens.values()))
    return hashlib.sha256("\x1f".join(given).encode("utf-8", "replace")).hexdigest()[:16]


def _traced(hooked: HookedTransformer, one: Any) -> Trace:
    """Return a trace that nobody remembers: those that views are linked by stay where they are."""
    model, memory = hooked.model, hooked.memory
    is_compiled = hooked.is_compiled
    with memory.lock, as_found(model, is_compiled=is_compiled), torch.no_grad():
        if isinstance(one, Mapping):
            tokenizer = hooked.tokenizer if hooked.has_tokenizer else None
            prepared = prepare_inputs(model, tokenizer, one, None)
            checked_single(prepared)
        else:
            tokenizer = hooked.tokenizer
            prepared = prepare_text(model, tokenizer, checked_texts(one), None, None)
        limit = hooked.pattern_limit
        asked = Asked(
            gradients=False, target=None, output="logit", pattern_limit=limit, keep_on=None, example=0
        )
        trace = run(model, tokenizer, prepared, asked, [])
        trace.reading = Reading(
            model, tokenizer, prepared, memory.lock, fingerprint(model), pattern_limit=limit,
            is_compiled=is_compiled,
        )  # fmt: skip
    return trace


def _several(texts: Any) -> list[Any]:
    """Return what is read, one by one: texts, or inputs of the forward."""
    if isinstance(texts, str | Mapping):
        return [texts]
    given = texts if hasattr(texts, "columns") or not isinstance(texts, Iterable) else list(texts)
    if isinstance(given, list) and all(isinstance(one, Mapping) for one in given):
        if not given:
            raise JtvizError("texts= is empty: give texts to train on.")
        return given
    return list(listed(given))


def _checked(rate: Any, side: Any, **numbers: tuple[Any, int]) -> None:
    for name, (value, least) in numbers.items():
        if not is_int(value) or value < least:
            raise JtvizError(f"{name}= is a whole number, at least {least}, not {value!r}.")
    if isinstance(rate, bool) or not isinstance(rate, int | float) or not 0 < rate < math.inf:
        raise JtvizError(f"rate= is a learning rate above zero, not {rate!r}.")
    if side is not None and side not in SIDES:
        raise JtvizError(f"side= is 'encoder' or 'decoder', not {side!r}.")
