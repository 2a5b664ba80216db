"""Watch one forward pass and note every attention call in it.

Required: the model computes exactly what it computes unwatched, through its own kernels; nothing is
patched, so another thread sees nothing; what is kept of a call is its site. Three things meet
here: a torch function mode (which calls), `Modules` (in which module), and `Flow` (from what).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from .check import Claim, check_fused, check_written
from .errors import SiteRefusedError
from .flow import Flow
from .gradient import Outputs
from .kernels import LogSumExp, exactly, multi_head_attention
from .mask import MaskBook
from .modules import Modules
from .site import FusedSite, Site, WrittenSite
from .weights import Multiplications
from .written import Pattern, Patterns

if TYPE_CHECKING:
    from .intervention.intervention import Intervention

_CARRIES = (Tensor, list, tuple)
_LIGHT = 1.15  # views may pin this much more than they show before they are copied


class Recorder(TorchFunctionMode):
    """Record the attention calls of one forward pass.

    Parameters
    ----------
    model : nn.Module
        The model whose module paths name the sites.
    batch : int or None
        Examples in the batch, where it is known.
    pattern_limit : int
        Bytes of patterns to keep where a model writes its attention out.
    examples : sequence of (int, int or None)
        What a leading axis of examples could look like: how many, with how many tokens (None: any).
    example : int
        Which example of the batch is kept.
    gradients : bool
        Whether to note the outputs too, so that `outputs` can be differentiated.
    interventions : sequence of Intervention
        What is done to the output of each site, once it is noted.

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
        example: int = 0,
        gradients: bool = False,
        interventions: Sequence[Intervention] = (),
    ) -> None:
        super().__init__()
        self._interventions = interventions
        self.sites: list[Site] = []
        self.outputs = Outputs() if gradients else None
        self.weights = Multiplications()
        self._batch, self._examples, self._example = batch, examples, example
        self._flow = Flow()
        self._modules = Modules(model, self._flow, self.sites)
        self._patterns = Patterns(pattern_limit)
        self._masks = MaskBook(example)
        self._head_counts: list[int] = []
        self._claims: list[Claim] = []

    def __enter__(self) -> Self:
        """Put on the hooks and start watching this thread."""
        try:
            self._modules.put_on_hooks()
            super().__enter__()  # type: ignore[no-untyped-call]
        except BaseException:
            self._modules.take_off_hooks()
            raise
        return self

    def __exit__(self, *exception: object) -> None:
        """Stop watching, take the hooks off, and check what was seen."""
        try:
            super().__exit__(*exception)  # type: ignore[no-untyped-call]
        finally:
            self._modules.take_off_hooks()
        if not any(exception):
            check_fused(self._claims)
        self._claims.clear()

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
        weight = self.weights.follow(func, args, kwargs, result)
        if weight is not None:
            self._modules.multiplied(weight, weight.numel() // result.shape[-1], result.shape[-1], args)
        bits = self._flow.of(args) | (self._flow.of(kwargs) if kwargs else 0)
        if pattern is not None:
            site, result = self._written(pattern)
            bits |= site.bit
        if bits:
            self._flow.mark(args[0] if func is Tensor.__setitem__ else result, bits)
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
        if query.ndim > 4 and query.shape[:-3].numel() != self._batch:
            raise SiteRefusedError(
                f"{self._modules.path or 'the model'} has several axes before its tokens, and which of them "
                f"are heads cannot be told: let it attend over [examples, heads, tokens, width]."
            )
        bit = self._flow.new_bit()
        site = FusedSite(
            **self._modules.where(),
            bit=bit,
            batch=query.shape[:-3].numel() if query.ndim > 3 else 1,
            heads=query.shape[-3] if query.ndim > 2 else 1,
            queries=query.shape[-2],
            keys=key.shape[-2],
            query_bits=self._flow.of(query),
            key_bits=self._flow.of(key),
            causal=None,
            scale=given.get("scale") or query.shape[-1] ** -0.5,
            width=value.shape[-1],
        )
        self._has_example(site.batch)
        own_key, own_value = _once(self._own(key), self._own(value), site.heads)
        site.group = site.heads // len(own_key)
        site.query, site.key, site.value = _keep([self._own(query), own_key, own_value])
        site.mask = self._masks.enter(
            given.get("attn_mask"), site.queries, site.keys, is_causal=bool(given.get("is_causal", False))
        )
        if site.queries > 1 or site.keys > 1:
            site.causal = site.mask is not None and site.mask.causal
        elif given.get("is_causal"):  # one token hides nothing from itself
            site.causal = True
        if kernel.found is not None:
            site.lse, site.lse_from_kernel = self._own_rows(kernel.found), True
        self._claims.append(Claim.of(site, self._own(output)))
        self._add(site)
        if self.outputs is not None:
            output = self.outputs.watch(site, output, self._own)
        for intervention in self._interventions:
            output = intervention.fused(site.path, site.call, output)
        self.weights.await_projection(output, site, self._own(output)[:, 0].flatten())
        self._flow.mark(output, bit | site.query_bits | site.key_bits | self._flow.of(value))
        return output

    def _written(self, pattern: Pattern) -> tuple[Site, Tensor]:
        """Note a written-out site; return it, and what the model goes on with."""
        bit = self._flow.new_bit()
        if pattern.weights.ndim == 3:
            self._refuse_mixed(pattern.weights.shape[0], pattern.weights.shape[1])
        heads = self._head_counts[-1] if self._head_counts else None
        if heads is not None and pattern.weights.ndim == 3:
            self._has_example(len(pattern.weights) // heads)
        weights, value, output = pattern.of_example(self._example, heads, self._batch)
        key_bits = self._flow.of(pattern.value)
        site = WrittenSite(
            **self._modules.where(),
            bit=bit,
            batch=pattern.weights.numel() // weights.numel(),
            heads=weights.shape[0],
            queries=weights.shape[1],
            keys=weights.shape[2],
            # The pattern came from queries and keys together, the keys from where the values came from.
            query_bits=self._flow.of(pattern.weights) | key_bits,
            key_bits=key_bits,
            causal=None,
            pattern=weights,
            width=value.shape[-1],
        )
        self._has_example(site.batch)
        site.causal = looks_causal(weights)
        # Heads that share their values share their keys.
        site.group = site.heads // len(_once(value, value, site.heads)[0])
        with exactly(weights.device):
            check_written(site, value, output)
        output = pattern.output
        if self.outputs is not None:
            (site.value,) = _keep([value])
            output = self.outputs.watch(
                site,
                output,
                lambda gradient: pattern.arranged_output(gradient, self._example, heads, self._batch),
            )
        for intervention in self._interventions:
            output = intervention.written(
                site.path, site.call, replace(pattern, output=output), is_mixed=heads is not None
            )
        own = pattern.arranged_output(output, self._example, heads, self._batch)
        self.weights.await_projection(output, site, own[:, 0].flatten())
        self._add(site)
        return site, output

    def _own(self, x: Tensor) -> Tensor:
        """Return ``[heads, tokens, d]`` of the example that is kept."""
        x = x.detach()
        if x.ndim == 2:
            return x[None]
        if x.ndim == 3:
            return x
        x = x if x.ndim == 4 else x.flatten(0, -4)
        # One for all examples is each example's.
        return x[self._example if len(x) > 1 else 0]

    def _own_rows(self, lse: Tensor) -> Tensor:
        """Return the log-sum-exp ``[heads, queries]`` of the example that is kept."""
        return self._own(lse[..., None])[..., 0].float().contiguous()

    def _has_example(self, parts: int) -> None:
        """Refuse to take one example of what is no batch of examples."""
        if self._example and (self._example >= parts or self._batch not in {None, parts}):
            raise SiteRefusedError(
                f"{self._modules.path or 'the model'} attends in {parts} parts, and which is example "
                f"{self._example} cannot be told: trace that example alone."
            )

    def _refuse_mixed(self, leading: int, queries: int) -> None:
        """Refuse one leading axis that may hold examples, heads or both: no number tells which is which."""
        if self._head_counts:  # torch.nn.MultiheadAttention: examples, then heads
            return
        for examples, tokens in self._examples:
            if examples > 1 and leading % examples == 0 and tokens in (None, queries):
                raise SiteRefusedError(
                    f"the attention of {self._modules.where()['path']} has examples and heads in one "
                    f"axis, and which is which cannot be told: trace one example at a time."
                )

    def _add(self, site: Site) -> None:
        site.example = self._example
        site.name = site.path if site.call == 0 else f"{site.path}#{site.call}"
        if site.causal is None:
            # One token hides nothing from itself; what the module says of itself decides.
            said = getattr(self._modules.innermost, "is_causal", None)
            site.causal = said if isinstance(said, bool) else None
        site.watch()
        self.sites.append(site)


def looks_causal(weights: Tensor) -> bool | None:
    """Whether no query of a written-out pattern sees a later key; None if nothing tells."""
    # A wholly masked row (padding on the left) is spread evenly by finfo.min, or NaN: it says nothing.
    even = (weights == weights[..., :1]).all(-1) | weights.isnan().any(-1)
    if weights.shape[1] != weights.shape[2] or bool(even[:, :-1].all()):
        return None
    return not bool(weights.masked_fill(even[..., None], 0).triu(1).any())


def _once(key: Tensor, value: Tensor, heads: int) -> tuple[Tensor, Tensor]:
    """Return keys and values ``[key heads, keys, d]``, each once where a model repeats them for queries."""
    if len(key) != heads or len(value) != heads or heads < 2 or not torch.equal(key[0], key[1]):
        return key, value
    other = (i for i in range(2, heads) if not torch.equal(key[0], key[i]))
    group = next(other, heads)
    if heads % group:
        return key, value
    for x in (key, value):
        repeated = torch.unflatten(x, 0, (heads // group, group))
        if not torch.equal(repeated, repeated[:, :1].expand_as(repeated)):
            return key, value
    return key[::group], value[::group]


def _keep(parts: list[Tensor]) -> list[Tensor]:
    """Return the tensors, copied if as views they would pin much more memory than they show."""
    needed = sum(x.numel() * x.element_size() for x in parts)
    pinned = {x.untyped_storage().data_ptr(): x.untyped_storage().nbytes() for x in parts}
    if sum(pinned.values()) > _LIGHT * needed or any(x.is_inference() for x in parts):
        return [x.clone() for x in parts]
    return parts
