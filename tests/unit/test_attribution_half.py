"""Models of half precision are attributed by every method, as the same weights in float32 are."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch

import jtviz
from jtviz.analysis.attribution import METHODS, attribute
from tests.unit.explaining import TEXT, build, words

# Of the strongest score: float16 has 11 bits and bfloat16 8, of which the gradients through two layers lose
# a few.
SHARE = {torch.float16: 0.04, torch.bfloat16: 0.25}


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
@pytest.mark.parametrize(("family", "head"), [("Bert", "ForSequenceClassification"), ("GPT2", "LMHeadModel")])
@pytest.mark.parametrize("method", METHODS)
def test_half_precision_gives_what_float32_does(
    method: str, family: str, head: str, dtype: torch.dtype
) -> None:
    half = build(family, head).to(dtype)
    tokenizer = words(with_marks=family == "Bert")
    scores = []
    target = None
    for model in (copy.deepcopy(half).float(), half):
        trace = jtviz.hook(model, tokenizer).trace(TEXT)
        found = attribute(trace, method, target=target, raise_steps=False, n_steps=20)
        row, index = found.score.target.row, found.score.target.index
        assert index is not None
        target = index if row is None else {"row": row, "token": index}
        scores.append(next(iter(found.scores.values())))
    wanted, given = scores
    strongest = np.abs(wanted).max()
    assert strongest > 0.01
    np.testing.assert_allclose(given, wanted, atol=SHARE[dtype] * strongest, rtol=0)
