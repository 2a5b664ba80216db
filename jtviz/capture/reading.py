"""What was read, ready to be read again with other vectors in the place of the tokens'.

Required: nothing is assumed of the architecture. The look-up of token ids in an embedding is seen in the
forward pass itself (`torch.nn.functional.embedding`), so that tied, shared and scaled embeddings are all
the same; what the model does with the vectors afterwards is its own. The model is left as it was found.
"""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable, Hashable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from .asfound import as_found
from .change import version
from .errors import JtvizError, SiteRefusedError
from .flow import tensors
from .forward import Asked, run
from .inputs import Prepared
from .memory import fingerprint, is_as_marked
from .patches import Patches
from .trace import Trace
from .twin import twin_of

Vectors = Mapping[str, Tensor]
"""What stands in the place of the tokens: for each side ``[batch, tokens, width]``."""


class Reading:
    """What one forward pass reads, shared by all traces of it.

    Parameters
    ----------
    model : nn.Module
        Kept weakly.
    tokenizer : object or None
        Names tokens.
    prepared : Prepared
        What the forward takes.
    lock : RLock
        Under which the model runs.
    mark : hashable
        What `fingerprint` said of the model.
    is_compiled : bool
        Whether the model is known to be compiled as a whole.
    pattern_limit : int
        As in `HookedTransformer`.
    """

    def __init__(
        self,
        model: nn.Module,
        tokenizer: Any,
        prepared: Prepared,
        lock: threading.RLock,
        mark: Hashable,
        *,
        pattern_limit: int,
        is_compiled: bool = False,
    ) -> None:
        self._model = weakref.ref(model)
        self.tokenizer, self.prepared = tokenizer, prepared
        self._lock, self._mark, self._is_compiled = lock, mark, is_compiled
        self._pattern_limit = pattern_limit
        self._given = [(given, version(given)) for given in tensors([prepared.args, prepared.kwargs])]

    @property
    def mark(self) -> Hashable:
        """What `fingerprint` said of the model."""
        return self._mark

    @property
    def is_as_read(self) -> bool:
        """Whether none of the inputs was changed in place since: they are the reader's own tensors."""
        return all(version(given) == before for given, before in self._given)

    @property
    def model(self) -> nn.Module:
        """The model.

        Raises
        ------
        JtvizError
            If it is gone, its weights, hooks or settings changed since, or what it read did.
        """
        model = self._model()
        if model is None:
            raise JtvizError("the model of this trace is gone: keep it, and trace again.")
        if not is_as_marked(model, self._mark, self._lock):
            raise JtvizError("the model was changed since this trace: trace again.")
        if not self.is_as_read:
            raise JtvizError("the inputs of this trace were changed in place since: trace again.")
        return model

    def by(self, model: nn.Module) -> Reading:
        """Return the same, read by another model of the kind."""
        limit = self._pattern_limit
        return Reading(
            model, self.tokenizer, self.prepared, threading.RLock(), fingerprint(model), pattern_limit=limit
        )

    def traced(self, model: nn.Module, number: Callable[[Any], Tensor] | None = None) -> Trace:
        """Return a new trace of what was read.

        Parameters
        ----------
        model : nn.Module
            The model's twin, or another of the kind.
        number : callable, optional
            Takes the output to one number, which is differentiated.
        """
        gradients = number is not None
        asked = Asked(
            gradients=gradients, target=number, output="logit", pattern_limit=self._pattern_limit,
            keep_on=None, example=0,
        )  # fmt: skip
        with as_found(model, gradients=gradients) as notes:
            return run(model, self.tokenizer, self.prepared, asked, notes)

    @contextmanager
    def twin(self) -> Iterator[nn.Module]:
        """Make a twin of the model: what is done to that leaves the reader's model alone.

        Nobody runs the model while it is copied, and none but this thread where it cannot be copied.

        Raises
        ------
        JtvizError
            If the model is gone or was changed.
        """
        with ExitStack() as stack:
            # Where the model itself is changed, the lock is let go after it is as it was.
            held = stack.enter_context(ExitStack())
            held.enter_context(self._lock)
            model = self.model
            twin = stack.enter_context(twin_of(model))
            if twin is not model:
                held.close()
            yield twin

    @contextmanager
    def opened(self) -> Iterator[Forward]:
        """Put the model into the state for reading, and back.

        What it returns can be differentiated with respect to the vectors, not to its weights.

        Yields
        ------
        Forward
            Takes vectors in the place of tokens.

        Raises
        ------
        JtvizError
            If the model is gone or was changed, or reads its tokens in a way that cannot be followed.
        """
        with self.running(gradients=True) as twin:
            yield Forward(twin, self.prepared)

    @contextmanager
    def running(self, *, gradients: bool = False) -> Iterator[nn.Module]:
        """Put the model into the state for a forward pass, and back.

        Yields
        ------
        nn.Module
            Its twin: what is done to that leaves the reader's model alone.

        Raises
        ------
        JtvizError
            If the model is gone or was changed.
        """
        with (
            self._lock,
            self.twin() as twin,
            as_found(twin, gradients=gradients, is_compiled=self._is_compiled),
        ):
            yield twin


class Forward:
    """A model that takes vectors in the place of tokens. Made by `Reading.opened`.

    Attributes
    ----------
    model : nn.Module
        The model, or its twin: modules of its own on the same weights, which are not differentiated.
    vectors : dict of str to Tensor
        What the model looked up: ``[1, tokens, width]`` for ``"source"`` and, of an encoder-decoder,
        ``"target"``.
    output : object
        What the model returned for the tokens themselves.
    """

    def __init__(self, model: nn.Module, prepared: Prepared) -> None:
        self.model, self._prepared = model, prepared
        self._calls: dict[str, list[int]] = {}
        self._transposed: set[int] = set()
        self.vectors: dict[str, Tensor] = {}
        self._tables: dict[str, _Table] = {}
        self._input: str | int | None = None
        self._patches: Patches | None = None
        with torch.no_grad(), _Lookups() as lookups:
            self.output = model(*prepared.args, **prepared.kwargs)
        for side, ids in prepared.ids.items():
            self._find(side, ids, lookups)
        if not self.vectors:
            self._take_input()

    @property
    def reads_tokens(self) -> bool:
        """Whether tokens are looked up, so that others can be put in their place."""
        return bool(self._tables)

    def look_up(self, side: str, ids: Tensor) -> Tensor:
        """Return the vectors ``[tokens, width]`` of other token ids ``[tokens]``.

        Raises
        ------
        JtvizError
            If the side is not read as tokens.
        """
        if side not in self._tables:
            raise JtvizError("this model reads no tokens here, so that none can stand in their place.")
        with torch.no_grad():
            return self._tables[side](ids)

    def mean_vector(self, side: str) -> Tensor:
        """Return the mean ``[width]`` over the vocabulary of a side, else over what was read."""
        with torch.no_grad():
            table = self._tables.get(side)
            if table is None:
                first = 0 if self._patches is None else self._patches.before
                return self.vectors[side][0, first:].mean(0)
            return table.mean()

    def __call__(self, vectors: Vectors) -> Any:
        """Run the model on a batch of vectors; sides that are left out are read as they are."""
        batch = max(len(given) for given in vectors.values())
        args = [_repeated(value, batch) for value in self._prepared.args]
        kwargs = {name: _repeated(value, batch) for name, value in self._prepared.kwargs.items()}
        if self._input is not None:
            given = vectors["source"]
            if self._patches is not None:
                given = self._patches.joined(given)
            if isinstance(self._input, int):
                args[self._input] = given
            else:
                kwargs[self._input] = given
            return self.model(*args, **kwargs)
        replaced = {
            # Some models (XLNet) read [tokens, batch].
            call: vectors[side].transpose(0, 1) if call in self._transposed else vectors[side]
            for side, calls in self._calls.items()
            if side in vectors
            for call in calls
        }
        with _Lookups(replaced):
            return self.model(*args, **kwargs)

    def _find(self, side: str, ids: Tensor, lookups: _Lookups) -> None:
        alike = [n for n, (seen, _, _) in enumerate(lookups.seen) if _same(seen, ids)]
        own = [n for n in alike if lookups.seen[n][0].data_ptr() == ids.data_ptr()] or alike
        if not own:
            return
        if len({lookups.seen[n][1] for n in own}) > 1:
            raise JtvizError(
                f"{type(self.model).__name__} looks its tokens up in several tables, so that one vector "
                f"does not stand for a token: choose a method by attention."
            )
        self._calls[side] = own
        length = ids.numel()
        self._transposed.update(n for n in own if lookups.seen[n][0].shape == (length, 1) and length > 1)
        _, _, table = lookups.seen[own[0]]
        self.vectors[side] = lookups.results[own[0]].detach().clone().reshape(1, ids.numel(), -1)
        self._tables[side] = table

    def _take_input(self) -> None:
        """Without token ids: the one tensor of numbers that goes in."""
        given: list[tuple[str | int, Any]] = [*enumerate(self._prepared.args), *self._prepared.kwargs.items()]
        found = [
            (name, value) for name, value in given if isinstance(value, Tensor) and value.is_floating_point()
        ]
        found = [(name, value) for name, value in found if not (isinstance(name, str) and "mask" in name)]
        if len(found) != 1 or len(found[0][1]) != 1:
            raise JtvizError(
                f"what {type(self.model).__name__} reads could not be followed to an embedding of token "
                f"ids: explain one text at a time, or choose a method by attention."
            )
        self._input, value = found[0]
        self._patches = self._prepared.patches
        own = value.detach().clone()
        # Of a picture the vector of a token is its pixels.
        self.vectors["source"] = own if self._patches is None else self._patches.cut(own)


class _Lookups(TorchFunctionMode):
    """See every look-up in an embedding, and put other vectors in the place of some.

    Parameters
    ----------
    replaced : mapping of int to Tensor, optional
        Which call of the forward pass returns what.
    """

    def __init__(self, replaced: Mapping[int, Tensor] | None = None) -> None:
        super().__init__()
        self._replaced = replaced
        self._count = 0
        self.seen: list[tuple[Tensor, int, _Table]] = []
        self.results: list[Tensor] = []

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        """Run one torch function, or not."""
        kwargs = kwargs or {}
        if func is not F.embedding:
            return func(*args, **kwargs)
        call, self._count = self._count, self._count + 1
        if self._replaced is not None:
            return self._replaced[call] if call in self._replaced else func(*args, **kwargs)
        result = func(*args, **kwargs)
        ids = args[0] if args else kwargs["input"]
        weight = args[1] if len(args) > 1 else kwargs["weight"]
        self.seen.append((ids, weight.data_ptr(), _Table(weight)))
        self.results.append(result)
        return result


class _Table:
    """An embedding, by its weight."""

    def __init__(self, weight: Tensor) -> None:
        self._weight = weight

    def __call__(self, ids: Tensor) -> Tensor:
        return F.embedding(ids.to(self._weight.device), self._weight).detach()

    def mean(self) -> Tensor:
        """Return the mean ``[width]``, without a copy of what can be the largest matrix of a model."""
        return self._weight.detach().mean(0)


def _same(seen: Tensor, ids: Tensor) -> bool:
    return seen.numel() == ids.numel() and bool(torch.equal(seen.flatten(), ids.flatten().to(seen.device)))


def _repeated(value: Any, batch: int) -> Any:
    """Return an argument for a batch; what was made for one example is every example's."""
    if isinstance(value, Tensor) and value.ndim > 1 and len(value) == 1:
        return value.expand(batch, *value.shape[1:])
    return value


def checked_single(prepared: Prepared) -> None:
    """Raise if several texts are read at once."""
    if prepared.batch not in {None, 1}:
        raise SiteRefusedError("explain one example at a time: give inputs of one text.")
