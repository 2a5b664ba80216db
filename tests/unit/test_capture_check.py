"""Nothing plausible but wrong: what does not reproduce the model's own output is refused by name."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention
from torch.overrides import TorchFunctionMode

from jtviz.capture import JtvizError, NoAttentionError, SiteRefusedError, hook


class Block(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.MultiheadAttention(16, 4, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.inner(x, x, x, need_weights=False)[0]
        return out


class Tampered(TorchFunctionMode):
    """A kernel that computes something else: half the scale, or a constant added."""

    def __init__(self, how: str) -> None:
        super().__init__()
        self.how = how

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func is scaled_dot_product_attention:
            if self.how == "scale":
                return func(args[0] * 0.5, *args[1:], **kwargs)
            return func(*args, **kwargs) + 0.01
        return func(*args, **kwargs)


@pytest.mark.parametrize("how", ["scale", "constant"])
def test_a_kernel_that_computes_something_else_is_refused_by_name(how: str) -> None:
    x = 3 * torch.randn(1, 6, 16)
    with Tampered(how), pytest.raises(SiteRefusedError, match=r"inner.*differs"):
        hook(Block()).trace(inputs=(x,))


def test_nan_in_the_weights_is_named() -> None:
    model = Block()
    with torch.no_grad():
        model.inner.in_proj_weight[0, 0] = torch.nan
    with pytest.raises(SiteRefusedError, match=r"inner.*NaN"):
        hook(model).trace(inputs=(torch.randn(1, 6, 16),))


def test_every_site_is_checked_on_every_trace() -> None:
    trace = hook(nn.Sequential(Block(), Block())).trace(inputs=(torch.randn(1, 6, 16),))
    assert list(trace.check()) == ["0.inner", "1.inner"]
    assert all(site.difference <= site.tolerance < 1e-3 for site in trace.sites)


def test_a_tensor_changed_after_the_trace_is_not_shown() -> None:
    trace = hook(Block()).trace(inputs=(torch.randn(1, 6, 16),))
    trace.sites[0].kept[1].add_(1)
    with pytest.raises(SiteRefusedError, match="changed in place"):
        trace.attention("encoder", layer=0)


class Wrong(nn.Module):
    """Dropout that is left on: what was multiplied is not what was normalised, and never the same twice."""

    def forward(self, x: Tensor) -> Tensor:
        return scaled_dot_product_attention(x, x, x, dropout_p=0.5)


def test_dropout_left_on_is_refused() -> None:
    with pytest.raises(SiteRefusedError):
        hook(Wrong()).trace(inputs=(torch.randn(1, 2, 6, 16),))


class Router(nn.Module):
    """A softmax that is no attention: over experts, and over the vocabulary."""

    def __init__(self) -> None:
        super().__init__()
        self.gate, self.head = nn.Linear(16, 4), nn.Linear(16, 30)

    def forward(self, x: Tensor) -> Tensor:
        gates = self.gate(x.flatten(0, 1)).softmax(-1)
        logits: Tensor = self.head(x * (gates @ torch.ones(4, 16)).view_as(x))
        return logits.softmax(-1)


def test_a_softmax_that_is_no_attention_is_not_taken_for_one() -> None:
    with pytest.raises(NoAttentionError, match="no attention was found in Router"):
        hook(Router()).trace(inputs=(torch.randn(1, 6, 16),))


class Long(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return (x @ x.mT).softmax(-1) @ x


def test_patterns_that_would_not_fit_are_refused_with_advice() -> None:
    hooked = hook(Long())
    hooked.pattern_limit = 1 << 20
    with pytest.raises(JtvizError, match="shorten the text"):
        hooked.trace(inputs=(torch.randn(1, 2, 600, 8),))
    hooked.pattern_limit = 1 << 30
    assert hooked.trace(inputs=(torch.randn(1, 2, 600, 8),)).heads("encoder", 0) == 2
