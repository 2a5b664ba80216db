"""One weight taken apart: the products of a query and a key, dimension by dimension.

Required: what adds up is what the model computed with, rotary positions applied.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from jtviz.capture import JtvizError, OutOfRangeError, Trace
from jtviz.capture.part import is_int
from jtviz.capture.site import FusedSite


@dataclass(frozen=True, eq=False)
class Products:
    """How one weight comes about: ``weight = exp(sum(query * key) * scale + added - log_sum_exp)``.

    Attributes
    ----------
    query, key : Tensor
        Float32 ``[d]``, as the attention kernel was given them.
    products : Tensor
        ``query * key``, ``[d]``: what each dimension adds to their similarity.
    scale : float
        What the sum of the products is multiplied with, often ``d ** -0.5``.
    added : float
        What a mask, a bias or a relative position adds: ``-inf`` (or a very low number) where the query
        cannot look.
    score : float
        The scaled sum and what is added.
    log_sum_exp : float
        Of the scores of the whole row.
    weight : float
        The softmax of the row, at this key.
    """

    query: Tensor
    key: Tensor
    products: Tensor
    scale: float
    added: float
    score: float
    log_sum_exp: float
    weight: float


def products(trace: Trace, stage: str, *, layer: int, head: int, query: int, key: int) -> Products:
    """Take one attention weight apart (Vaswani et al. 2017, equation 1).

    Parameters
    ----------
    trace : Trace
        Of a model that hands queries and keys to a kernel.
    stage, layer, head
        Which head.
    query, key : int
        Positions of the token that looks and of the one that is looked at.

    Returns
    -------
    Products
        The numbers, with their sum, scale and softmax.

    Raises
    ------
    JtvizError
        If there is no such stage, or its model wrote its attention out, so that no queries were kept.
    OutOfRangeError
        If there is no such layer, head or token.

    Examples
    --------
    >>> import jtviz
    >>> trace = jtviz.hook(jtviz.demo.translator()).trace("I like tea.")
    >>> found = products(trace, "cross", layer=1, head=0, query=2, key=1)
    >>> found.products.shape, abs(float(found.products.sum()) * found.scale - found.score) < 1e-5
    (torch.Size([48]), True)
    """
    site = trace.site(stage, layer)
    if not isinstance(site, FusedSite):
        raise JtvizError(
            f"queries and keys of layer {layer} of the {stage} were not kept, since its model wrote its "
            f"attention out: trace it under sdpa."
        )
    for name, index, count in (
        ("head", head, site.heads),
        ("query", query, site.queries),
        ("key", key, site.keys),
    ):
        if not is_int(index) or not -count <= index < count:
            raise OutOfRangeError(f"{name} {index!r} is not there: they are 0 to {count - 1}.")
    head, query, key = int(head) % site.heads, int(query) % site.queries, int(key) % site.keys
    row, col = slice(query, query + 1), slice(key, key + 1)
    weight = float(trace.attention(stage, layer=layer, head=head, rows=query, cols=key))
    looks = site.query[head, query].float().cpu()
    seen = site.key[head // site.group, key].float().cpu()
    added = torch.zeros(1, 1, 1, device=site.query.device)
    if site.mask is not None:
        site.mask.add_to(added, [head], row, col)
    score = float(looks @ seen) * site.scale + float(added)
    return Products(
        query=looks,
        key=seen,
        products=looks * seen,
        scale=site.scale,
        added=float(added),
        score=score,
        log_sum_exp=float(site.log_sum_exp([head], row)),
        weight=weight,
    )
