"""Nothing plausible but wrong: compare recomputed attention with what the model itself computed.

Required: every site of every trace, at a cost that does not grow with the square of the length. A
few rows are recomputed over all heads, multiplied by V and compared with the output of the kernel.
"""

from __future__ import annotations

import torch
from torch import Tensor

from .errors import SiteRefusedError
from .site import FusedSite, Site, WrittenSite, normalise


def sampled_rows(count: int, device: torch.device) -> Tensor:
    """Return up to four rows: first, last and two between."""
    return torch.tensor(sorted({0, count // 3, 2 * count // 3, count - 1}), device=device)


def check_fused(site: FusedSite, output: Tensor) -> None:
    """Check a fused site and its log-sum-exp; write `difference` and `tolerance` into it.

    Parameters
    ----------
    site : FusedSite
        The site; a log-sum-exp that disagrees with the sampled rows is dropped (and streamed later).
    output : Tensor
        What the kernel returned for the same example, ``[heads, queries, d]``.
    """
    rows = sampled_rows(site.queries, output.device)
    heads = torch.arange(site.heads, device=output.device)
    scores = site.scores(heads, rows, None)
    value = site.value.float().repeat_interleave(site.group, dim=0)
    _compare(site, normalise(scores) @ value, output[:, rows], value, precision=site.query.dtype)
    if site.lse is not None:
        wanted = torch.logsumexp(scores, dim=-1)
        given = site.lse[:, rows]
        slack = 1e-4 * wanted.abs().clamp(1, 100)
        # finfo.min and -inf rows are never read from the log-sum-exp: see FusedSite.tile.
        if bool((((given - wanted).abs() > slack) & (wanted > -1e4)).any()):
            site.lse = None


def check_written(site: WrittenSite, value: Tensor, output: Tensor) -> None:
    """Check a written-out site: the kept pattern times ``value [heads, keys, d]`` is ``output``."""
    rows = sampled_rows(site.queries, output.device)
    heads = torch.arange(site.heads, device=output.device)
    value = value.float()
    if bool(site.pattern.isnan().any()):
        raise SiteRefusedError(_nan(site))
    _compare(site, site.tile(heads, rows, None) @ value, output[:, rows], value, precision=site.pattern.dtype)


def _compare(site: Site, recomputed: Tensor, output: Tensor, value: Tensor, precision: torch.dtype) -> None:
    eps = max(torch.finfo(precision).eps, torch.finfo(output.dtype).eps)
    site.tolerance = max(1e-4, 4 * eps) * max(1e-3, float(value.abs().max()))
    site.difference = float((recomputed - output.float()).abs().max())
    if site.difference != site.difference:
        raise SiteRefusedError(_nan(site))
    if site.difference > site.tolerance:
        raise SiteRefusedError(
            f"the attention recomputed for {site.path} differs from what the model computed by "
            f"{site.difference:.2g} (rounding allows {site.tolerance:.2g}), so it is not shown; "
            f"if the model can run another attention implementation, trace it under that one."
        )


def _nan(site: Site) -> str:
    return (
        f"{site.path} computed NaN: look for NaN in the model's weights or inputs, or for a mask that lets a "
        f"token look at nothing."
    )
