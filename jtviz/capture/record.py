"""Watch one forward pass and note every attention call in it.

Required: the model computes exactly what it computes unwatched, through its own kernels; nothing is
patched, so another thread sees nothing; what is kept of a call is its site. Three things meet
here: a torch function mode (which calls), forward hooks (in which module), and `Flow` (from what).
"""

from __future__ import annotations

import inspect
import threading
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from .blocks import BlockCall
from .check import Claim, check_fused, check_written
from .errors import SiteRefusedError
from .flow import Flow, tensors
from .kernels import LogSumExp, exactly, multi_head_attention, unseen
from .mask import MaskBook
from .site import FusedSite, Site, WrittenSite
from .written import Pattern, Patterns

_CARRIES = (Tensor, list, tuple)
_LIGHT = 1.15  # views may pin this much more than they show before they are copied


class _Frame:
    """One module call on the stack."""

    __slots__ = ("block", "module", "sites")

    def __init__(self, module: nn.Module, sites: int, block: BlockCall | None) -> None:
        self.module, self.sites, self.block = module, sites, block


class Recorder(TorchFunctionMode):
    """Record the attention calls of one forward pass.

    Parameters
    ----------
    model : nn.Module
        The model whose module paths name the sites.
    batch : int or None
        Examples in the batch, where it is known; the first is kept.
    pattern_limit : int
        Bytes of patterns to keep where a model writes its attention out.
    examples : sequence of (int, int or None)
        What a leading axis of examples could look like: how many, with how many tokens (None: any).

    Examples
    --------
    >>> layer = nn.MultiheadAttention(8, 2, batch_first=True).eval()
    >>> x = torch.randn(1, 3, 8)
    >>> with torch.no_grad(), Recorder(layer, batch=1, pattern_limit=1 << 30) as recorder:
    ...     _ = layer(x, x, x)
    >>> [(site.heads, site.queries, site.keys) for site in recorder.sites]
    [(2, 3, 3)]
    """

    def __init__(
        self,
        model: nn.Module,
        *,
        batch: int | None,
        pattern_limit: int,
        examples: Sequence[tuple[int, int | None]] = (),
    ) -> None:
        super().__init__()
        self._examples = examples
        self.sites: list[Site] = []
        self.flow = Flow()
        self.batch = batch
        self._model = model
        self._patterns = Patterns(pattern_limit)
        self._masks = MaskBook()
        self._stack: list[_Frame] = []
        self._names = {module: name for name, module in model.named_modules()}
        self._calls: Counter[str] = Counter()
        self._hooks: list[torch.utils.hooks.RemovableHandle] = []
        self._thread = threading.get_ident()
        self._head_counts: list[int] = []
        self._claims: list[Claim] = []

    # -- the modules -------------------------------------------------------------------------------

    def __enter__(self) -> Self:
        """Put on the hooks and start watching this thread."""
        try:
            self._put_on_hooks()
            super().__enter__()  # type: ignore[no-untyped-call]
        except BaseException:
            self._take_off_hooks()
            raise
        return self

    def __exit__(self, *exception: object) -> None:
        """Stop watching, take the hooks off, and check what was seen."""
        try:
            super().__exit__(*exception)  # type: ignore[no-untyped-call]
        finally:
            self._take_off_hooks()
        if not any(exception):
            check_fused(self._claims)
        self._claims.clear()

    def _put_on_hooks(self) -> None:
        for module, name in self._names.items():
            if isinstance(module, torch.jit.ScriptModule) or _has_no_attention(module):
                continue
            numbered = name.rpartition(".")[2].isdigit()
            self._hooks.append(
                module.register_forward_pre_hook(self._entering(numbered=numbered), with_kwargs=True)
            )
            self._hooks.append(module.register_forward_hook(self._left, with_kwargs=True))

    def _take_off_hooks(self) -> None:
        for hook in self._hooks:
            hook.remove()
        self._hooks.clear()
        self._stack.clear()

    def _entering(self, *, numbered: bool) -> Callable[..., None]:
        def enter(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
            if threading.get_ident() != self._thread:
                return
            block = None
            if numbered:
                with unseen():
                    first = kwargs.get(
                        "hidden_states", next((t for t in tensors([args, kwargs]) if t.ndim > 1), None)
                    )
                    block = BlockCall(self._names[module], first)
            if not self._stack:
                self._mark_inputs(module, args, kwargs)
            self._stack.append(_Frame(module, len(self.sites), block))

        return enter

    def _left(self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> None:
        if threading.get_ident() != self._thread:
            return
        # A model may catch an exception from a child: that child's frame never left by itself.
        while self._stack and self._stack[-1].module is not module:
            self._stack.pop()
        if not self._stack:
            return
        frame = self._stack.pop()
        if frame.block is None and isinstance(output, Tensor) and self.flow.known(output):
            return
        results = list(tensors(output))
        inside = self.sites[frame.sites :]
        with unseen():
            if frame.block is not None and inside:
                frame.block.leave(next((t for t in results if t.ndim > 1), None))
        unknown = [result for result in results if not self.flow.known(result)]
        if unknown:
            # Scripted and custom functions are not seen: what came out of their module came from what
            # went in.
            bits = self.flow.of(args) | self.flow.of(kwargs)
            for site in inside:
                bits |= site.bit
            with unseen():
                self.flow.mark(unknown, bits)

    def _mark_inputs(self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        for name, value in _named(module, args, kwargs).items():
            # Positions and masks reach queries and keys unevenly; they do not make a sequence another one.
            if not any(word in name for word in ("mask", "position", "cache", "past")):
                self.flow.mark(list(tensors(value)), self.flow.new_bit())

    # -- the calls ---------------------------------------------------------------------------------

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        """Run one torch function, and note it if it is attention."""
        kwargs = kwargs or {}
        if func is F.scaled_dot_product_attention:
            return self._fused(args, kwargs)
        if func is F.multi_head_attention_forward and set(types) <= {Tensor, nn.Parameter}:
            return self._multi_head(args, kwargs)
        result = func(*args, **kwargs)
        if not isinstance(result, _CARRIES) and func is not Tensor.__setitem__:
            return result  # a device, a number: with shapes a third of all calls
        if type(result) is torch.Size:
            return result
        pattern = self._patterns.follow(func, args, kwargs, result)
        bits = self.flow.of(args) | (self.flow.of(kwargs) if kwargs else 0)
        if pattern is not None:
            bits |= self._written(pattern)
        if bits:
            self.flow.mark(args[0] if func is Tensor.__setitem__ else result, bits)
        return result

    def _multi_head(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
        self._head_counts.append(kwargs["num_heads"] if "num_heads" in kwargs else args[4])
        # The mode again, without the hooks: while it handles a function it is off.
        TorchFunctionMode.__enter__(self)  # type: ignore[no-untyped-call]
        try:
            return multi_head_attention(*args, **kwargs)
        finally:
            TorchFunctionMode.__exit__(self, None, None, None)  # type: ignore[no-untyped-call]
            self._head_counts.pop()

    def _fused(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Tensor:
        with LogSumExp() as kernel:  # type: ignore[no-untyped-call]
            output: Tensor = F.scaled_dot_product_attention(*args, **kwargs)
        names = ("query", "key", "value", "attn_mask", "dropout_p", "is_causal")
        given = {**dict(zip(names, args, strict=False)), **kwargs}
        query, key, value = (given[name] for name in names[:3])
        if query.ndim == 3:
            self._refuse_mixed(query.shape[0], query.shape[1])
        bit = self.flow.new_bit()
        site = FusedSite(
            **self._where(bit),
            batch=query.shape[:-3].numel() if query.ndim > 3 else 1,
            heads=query.shape[-3] if query.ndim > 2 else 1,
            queries=query.shape[-2],
            keys=key.shape[-2],
            query_bits=self.flow.of(query),
            key_bits=self.flow.of(key),
            causal=None,
            scale=given.get("scale") or query.shape[-1] ** -0.5,
        )
        site.query, site.key, site.value = _keep([_first(query), _first(key), _first(value)])
        site.mask = self._masks.enter(
            given.get("attn_mask"), site.queries, site.keys, is_causal=bool(given.get("is_causal", False))
        )
        if site.queries > 1 or site.keys > 1:
            site.causal = site.mask is not None and site.mask.causal
        if kernel.found is not None:
            site.lse = _first_rows(kernel.found)
        self._claims.append(Claim.of(site, _first(output)))
        self._add(site)
        self.flow.mark(output, bit | site.query_bits | site.key_bits | self.flow.of(value))
        return output

    def _written(self, pattern: Pattern) -> int:
        """Note a written-out site, and return its bit."""
        bit = self.flow.new_bit()
        if pattern.weights.ndim == 3:
            self._refuse_mixed(pattern.weights.shape[0], pattern.weights.shape[1])
        weights, value, output = pattern.first_example(
            self._head_counts[-1] if self._head_counts else None,
            self.batch,
        )
        key_bits = self.flow.of(pattern.value)
        site = WrittenSite(
            **self._where(bit),
            batch=pattern.weights.numel() // weights.numel(),
            heads=weights.shape[0],
            queries=weights.shape[1],
            keys=weights.shape[2],
            # The pattern came from queries and keys together, the keys from where the values came from.
            query_bits=self.flow.of(pattern.weights) | key_bits,
            key_bits=key_bits,
            causal=None,
            pattern=weights,
        )
        site.causal = looks_causal(weights)
        with exactly(weights.device):
            check_written(site, value, output)
        self._add(site)
        return bit

    def _refuse_mixed(self, leading: int, queries: int) -> None:
        """Refuse one leading axis that may hold examples, heads or both: no number tells which is which."""
        if self._head_counts:  # torch.nn.MultiheadAttention: examples, then heads
            return
        for examples, tokens in self._examples:
            if examples > 1 and leading % examples == 0 and tokens in (None, queries):
                name = self._names.get(self._stack[-1].module, "") if self._stack else ""
                raise SiteRefusedError(
                    f"the attention of {name or type(self._model).__name__} has examples and heads in one "
                    f"axis, and which is which cannot be told: trace one example at a time."
                )

    def _where(self, bit: int) -> dict[str, Any]:
        path = self._names.get(self._stack[-1].module, "") if self._stack else ""
        call = self._calls[path]
        self._calls[path] += 1
        blocks = tuple(frame.block for frame in self._stack if frame.block is not None)
        name = path or type(self._model).__name__
        return {"path": name, "call": call, "bit": bit, "blocks": blocks}

    def _add(self, site: Site) -> None:
        site.name = site.path if site.call == 0 else f"{site.path}#{site.call}"
        if site.causal is None and self._stack:
            # One token hides nothing from itself; what the module says of itself decides.
            said = getattr(self._stack[-1].module, "is_causal", None)
            site.causal = said if isinstance(said, bool) else None
        site.watch()
        self.sites.append(site)


def _has_no_attention(module: nn.Module) -> bool:
    """Whether this is a layer of torch that has no parts: those compute no attention (but one has parts)."""
    return type(module).__module__.startswith("torch.nn.modules.") and not module._modules  # noqa: SLF001


def _named(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
    names = list(inspect.signature(module.forward).parameters)
    return {names[i] if i < len(names) else str(i): value for i, value in enumerate(args)} | kwargs


def _first(x: Tensor) -> Tensor:
    """Return ``[heads, tokens, d]`` of the first example."""
    x = x.detach()
    if x.ndim == 2:
        return x[None]
    if x.ndim == 4:
        return x[0]
    return x if x.ndim == 3 else x.flatten(0, -4)[0]


def _first_rows(lse: Tensor) -> Tensor:
    """Return the log-sum-exp ``[heads, queries]`` of the first example."""
    return _first(lse[..., None])[..., 0].float().contiguous()


def looks_causal(weights: Tensor) -> bool | None:
    """Whether no query of a written-out pattern sees a later key; None if nothing tells."""
    # A wholly masked row (padding on the left) is spread evenly by finfo.min, or NaN: it says nothing.
    even = (weights == weights[..., :1]).all(-1) | weights.isnan().any(-1)
    if weights.shape[1] != weights.shape[2] or bool(even[:, :-1].all()):
        return None
    return not bool(weights.masked_fill(even[..., None], 0).triu(1).any())


def _keep(parts: list[Tensor]) -> list[Tensor]:
    """Return the tensors, copied if as views they would pin much more memory than they show."""
    needed = sum(x.numel() * x.element_size() for x in parts)
    pinned = {x.untyped_storage().data_ptr(): x.untyped_storage().nbytes() for x in parts}
    if sum(pinned.values()) > _LIGHT * needed or any(x.is_inference() for x in parts):
        return [x.clone() for x in parts]
    return parts
