"""BLEU of a corpus, computed by sacrebleu, from statistics of each sentence that can be summed.

Required: the score is the one of ``sacrebleu.corpus_bleu`` (Papineni et al. 2002; Post 2018, *A Call for
Clarity in Reporting BLEU Scores*); the spread is the bootstrap's (Koehn 2004), with a fixed seed.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from jtviz.capture import JtvizError

from .collate import Batch

ORDERS = 4
RESAMPLED = 500
_CJK = re.compile("[\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff]")

Floats = np.ndarray[Any, np.dtype[np.float64]]


def sacrebleu_here() -> Any:
    """Return sacrebleu's BLEU; raise if it is not installed."""
    try:
        from sacrebleu.metrics.bleu import BLEU
    except ImportError:
        raise JtvizError("BLEU is computed by sacrebleu: pip install 'jtviz[prune]'.") from None
    return BLEU


def tokenize_for(references: Iterable[str]) -> str:
    """Return how sacrebleu cuts sentences: characters of Chinese and Japanese one by one, others as words."""
    return "zh" if any(_CJK.search(text) for text in references) else "13a"


def statistics(batch: Batch, written: list[str]) -> Tensor:
    """Return what BLEU is made of for each sentence, ``[batch, 10]``.

    N-grams that are right and all n-grams, of 1 to 4 tokens, and the lengths of answer and reference.
    """
    bleu = sacrebleu_here()(tokenize=batch.tokenize, effective_order=True)
    rows = []
    for text, item in zip(written, batch.items, strict=True):
        score = bleu.sentence_score(text, [item.reference])
        rows.append([*score.counts, *score.totals, score.sys_len, score.ref_len])
    return torch.tensor(rows, dtype=torch.float64)


def corpus_bleu(summed: Floats) -> float:
    """Return the BLEU, 0 to 100, of statistics that were summed, ``[10]``."""
    counts = [round(float(number)) for number in summed]
    score = sacrebleu_here().compute_bleu(
        correct=counts[:ORDERS],
        total=counts[ORDERS : 2 * ORDERS],
        sys_len=counts[-2],
        ref_len=counts[-1],
        smooth_method="exp",
    )
    return float(score.score)


def total(each: Floats) -> float:
    """Return the BLEU of all sentences together."""
    return corpus_bleu(each.sum(0))


def standard_error(each: Floats) -> float:
    """Return how far the BLEU would vary over data sets like this one, by bootstrap."""
    drawn = np.random.default_rng(0).multinomial(len(each), [1 / len(each)] * len(each), size=RESAMPLED)
    return float(np.std([corpus_bleu(summed) for summed in drawn @ each], ddof=1))
