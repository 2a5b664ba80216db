"""Nothing plausible but wrong: compare recomputed attention with what the model itself computed.

Required: every site of every trace, at a cost that does not grow with the square of the length. A
few rows are recomputed over all heads, multiplied by V and compared with the output of the kernel.
"""

from __future__ import annotations

import functools
import html
import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import astuple, dataclass

import torch
from torch import Tensor

from .errors import SiteRefusedError
from .kernels import exactly
from .site import STREAM, SUNKEN, FusedSite, Site, WrittenSite, normalise


@dataclass(frozen=True)
class Claim:
    """What a kernel said at one site: its output ``[heads, sampled rows, d]`` of one example."""

    site: FusedSite
    output: Tensor

    @classmethod
    def of(cls, site: FusedSite, output: Tensor) -> Claim:
        """Keep the sampled rows of an output ``[heads, queries, d]``."""
        return cls(site, output.index_select(1, sampled_rows(site.queries, output.device)))

    @property
    def kind(self) -> tuple[object, ...]:
        """Claims of one kind are checked together."""
        site = self.site
        shapes = (site.query.shape, site.key.shape, site.value.shape)
        numbers = (site.query.dtype, self.output.dtype, site.query.device)
        return (*shapes, *numbers, id(site.mask), site.lse is None)


@dataclass(frozen=True)
class Check:
    """The truth check of one site, a line of `Checks`."""

    site: str
    stage: str
    layer: int
    kind: str
    log_sum_exp: str
    difference: float
    tolerance: float

    @classmethod
    def of(cls, site: Site, stage: str, layer: int) -> Check:
        """Return the line of a site."""
        kind, source = "written out", ""
        if isinstance(site, FusedSite):
            kind, source = "fused", "from the kernel" if site.lse_from_kernel else "computed"
        return cls(site.name, stage, layer, kind, source, site.difference, site.tolerance)


class Checks(Mapping[str, float]):
    """The truth checks of a trace: name of each site to its largest difference. Shown, it is a table.

    Attributes
    ----------
    lines : tuple of Check
        Site by site; `difference` is the largest between recomputed rows times V and the model's own output,
        `tolerance` what rounding allows (a site beyond it never becomes part of a trace), `log_sum_exp`
        where the sums of a fused site's rows came from.
    """

    _HEAD = ("site", "stage", "layer", "kind", "log-sum-exp", "largest difference", "rounding allows")

    def __init__(self, lines: Sequence[Check]) -> None:
        self.lines = tuple(lines)

    def __getitem__(self, site: str) -> float:
        """Return the largest difference at a site."""
        for line in self.lines:
            if line.site == site:
                return line.difference
        raise KeyError(site)

    def __iter__(self) -> Iterator[str]:
        """Iterate over the names of the sites."""
        return (line.site for line in self.lines)

    def __len__(self) -> int:
        """Return how many sites were checked."""
        return len(self.lines)

    def __repr__(self) -> str:
        """Return the table as text."""
        if not self.lines:
            return "no site of this trace could be checked: its attention was computed elsewhere"
        rows = [self._HEAD, *self._cells()]
        widths = [max(len(row[i]) for row in rows) for i in range(len(self._HEAD))]
        return "\n".join(
            "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
            for row in rows
        )

    def _repr_html_(self) -> str:
        if not self.lines:
            return f"<p>{html.escape(repr(self))}</p>"
        head = "".join(f"<th>{name}</th>" for name in self._HEAD)
        body = "".join(
            f"<tr>{''.join(f'<td>{html.escape(cell)}</td>' for cell in row)}</tr>" for row in self._cells()
        )
        return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"

    def _cells(self) -> list[tuple[str, ...]]:
        return [
            (*map(str, astuple(line)[:-2]), f"{line.difference:.2g}", f"{line.tolerance:.2g}")
            for line in self.lines
        ]


@functools.lru_cache(maxsize=64)
def sampled_rows(count: int, device: torch.device) -> Tensor:
    """Return up to four rows: first, last and two between."""
    with torch.inference_mode(mode=False):  # kept for traces outside of it
        return torch.tensor(sorted({0, count // 3, 2 * count // 3, count - 1}), device=device)


def check_fused(claims: Sequence[Claim]) -> None:
    """Check fused sites and their log-sum-exp; write `difference` and `tolerance` into each.

    Parameters
    ----------
    claims : sequence of Claim
        In the order the sites ran. A log-sum-exp that disagrees with the sampled rows is dropped (and
        computed anew where it is needed).

    Raises
    ------
    SiteRefusedError
        If what was recomputed differs from what the kernel returned.
    """
    # What was changed in place since is refused where it is looked at, by its own sentence.
    unchanged = [claim for claim in claims if not claim.site.is_changed]
    for claim in claims:
        if claim.site.is_changed:
            claim.site.difference = math.nan
    for _, alike in itertools.groupby(unchanged, key=lambda claim: claim.kind):
        for few in _few(list(alike)):
            with exactly(few[0].output.device):
                _check_alike(few)


def check_written(site: WrittenSite, value: Tensor, output: Tensor) -> None:
    """Check a written-out site: the kept pattern times ``value [heads, keys, d]`` is ``output``."""
    rows = sampled_rows(site.queries, output.device)
    value = value.float()
    site.sums = row_sums(site.pattern)
    if math.isnan(site.sums[0]):
        raise SiteRefusedError(_nan(site))
    recomputed = site.pattern[:, rows].float() @ value
    difference = _largest(recomputed - output[:, rows].float())
    _judge(site, float(difference), float(_largest(value)), site.pattern.dtype, output.dtype)


def row_sums(pattern: Tensor) -> tuple[float, float]:
    """Return the smallest and the largest sum of a row."""
    smallest, largest = pattern.sum(-1, dtype=torch.float32).aminmax()
    return float(smallest), float(largest)


def _few(claims: Sequence[Claim]) -> Iterator[Sequence[Claim]]:
    """Split claims so that their scores take no more memory than one block of a stream."""
    site, output = claims[0].site, claims[0].output
    step = max(1, STREAM // max(1, output.shape[1] * site.heads * site.keys))
    for start in range(0, len(claims), step):
        yield claims[start : start + step]


def _check_alike(claims: Sequence[Claim]) -> None:
    """Check sites of one shape: small operations are taken together, since there they cost the most."""
    sites = [claim.site for claim in claims]
    first = sites[0]
    rows = sampled_rows(first.queries, first.query.device)
    scores = torch.stack([site.products(site.all_heads, rows, first.all_cols) for site in sites])
    if first.mask is not None:
        first.mask.add_to(scores, first.all_heads, rows, first.all_cols)
    wanted = torch.logsumexp(scores, dim=-1)
    # The heads that share values multiply them together.
    shared = normalise(scores).view(len(sites), len(first.value), -1, first.keys)
    values = [site.value.float() for site in sites]
    recomputed = torch.stack([pattern @ value for pattern, value in zip(shared, values, strict=True)])
    output = torch.stack([claim.output for claim in claims]).float()
    difference = _largest(recomputed.view_as(output) - output, dim=(1, 2, 3)).tolist()
    # In one pass: a norm takes five times as long over strided values.
    sizes = torch.stack([torch.stack(value.aminmax()) for value in values]).abs().amax(-1).tolist()
    for site, claim, found, size in zip(sites, claims, difference, sizes, strict=True):
        _judge(site, found, size, site.query.dtype, claim.output.dtype)
    if first.lse is not None:
        given = torch.stack([site.lse.index_select(1, rows) for site in sites if site.lse is not None])
        slack = 1e-4 * wanted.abs().clamp(1, 100)
        wrong = ((given - wanted).abs() > slack) & (wanted > SUNKEN)
        for site, dropped in zip(sites, wrong.flatten(1).any(1).tolist(), strict=True):
            if dropped:
                site.lse, site.lse_from_kernel = None, False


def _judge(site: Site, difference: float, size: float, *precisions: torch.dtype) -> None:
    eps = max(torch.finfo(precision).eps for precision in precisions)
    site.tolerance = max(1e-4, 4 * eps) * max(1e-3, size)
    site.difference = difference
    if math.isnan(difference):
        raise SiteRefusedError(_nan(site))
    if difference > site.tolerance:
        raise SiteRefusedError(
            f"the attention recomputed for {site.path} differs from what the model computed by "
            f"{site.difference:.2g} (rounding allows {site.tolerance:.2g}), so it is not shown; "
            f"if the model can run another attention implementation, trace it under that one."
        )


def _largest(x: Tensor, dim: tuple[int, ...] | None = None) -> Tensor:
    found: Tensor = torch.linalg.vector_norm(x, torch.inf, dim=dim)
    return found


def _nan(site: Site) -> str:
    return (
        f"{site.path} computed NaN: look for NaN in the model's weights or inputs, or for a mask that lets a "
        f"token look at nothing."
    )
