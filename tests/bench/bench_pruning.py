"""What importance of heads over a data set costs: by gradient beside training, exactly beside no reuse.

Run with ``make bench``, or this file alone with ``.venv/bin/pytest tests/bench/bench_pruning.py -s``. The
model has BERT's shape, but is narrower: 12 layers of 12 heads, width 192, random weights; examples have 32
tokens. What is compared runs by turns in one process.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from jtviz.analysis.attribution.progress import Progress
from jtviz.analysis.importance import head_importance
from jtviz.analysis.importance.examples import examples_of
from jtviz.analysis.importance.metrics import metric_named
from jtviz.analysis.importance.opened import opened
from jtviz.capture import HookedTransformer, hook
from jtviz.capture.intervention.ablation import Mask

LENGTH, BATCH = 32, 16
TURNS = 3
MOST, LEAST = 3.0, 1.5
"""Times training by gradient, at most; times faster with what is kept, at least."""


def bert(examples: int) -> tuple[HookedTransformer, list[dict[str, Any]]]:
    import transformers

    torch.manual_seed(0)
    config = transformers.BertConfig(
        vocab_size=1000, hidden_size=192, num_hidden_layers=12, num_attention_heads=12, intermediate_size=768
    )
    model: Any = transformers.BertForSequenceClassification(config)
    hooked = hook(model.eval())
    dataset = [{"input_ids": torch.randint(3, 1000, (LENGTH,)), "label": i % 2} for i in range(examples)]
    return hooked, dataset


def seconds(run: Callable[[], Any]) -> float:
    started = time.perf_counter()
    run()
    return time.perf_counter() - started


def by_turns(one: Callable[[], Any], other: Callable[[], Any]) -> tuple[float, float, float]:
    """Return the median of the seconds that each takes, and that of their ratios."""
    one()
    other()
    pairs = [(seconds(one), seconds(other)) for _ in range(TURNS)]
    ratio = statistics.median(a / b for a, b in pairs)
    return statistics.median(a for a, _ in pairs), statistics.median(b for _, b in pairs), ratio


@pytest.mark.parametrize("method", ["gradient", ["gradient", "taylor"]])
def test_gradients_of_masks_beside_those_of_weights(method: str | list[str]) -> None:
    hooked, dataset = bert(4 * BATCH)
    metric, model = metric_named("loss"), hooked.model
    batches = examples_of(hooked, dataset).batches(BATCH)

    def plain() -> None:
        for batch in batches:
            model.zero_grad(set_to_none=True)
            metric.per_example(batch, batch.run(model)).mean().backward()  # type: ignore[no-untyped-call]

    mine, theirs, ratio = by_turns(
        lambda: head_importance(hooked, dataset, method=method, batch_size=BATCH, progress=False), plain
    )
    print(
        f"\n{method}, {len(dataset)} examples of {LENGTH} tokens: {mine:.2f} s, forward and backward of the "
        f"weights {theirs:.2f} s, {ratio:.2f} times (at most {MOST:.0f}: "
        f"{'reached' if ratio <= MOST else 'not reached'})"
    )


def test_leaving_one_head_out_with_what_is_kept() -> None:
    hooked, dataset = bert(BATCH)
    metric, examples = metric_named("loss"), examples_of(hooked, dataset)
    with (
        opened(hooked, examples, BATCH) as kept,
        opened(hooked, examples, BATCH, can_skip=False) as again,
        Progress("", 0, shown=False, seconds=0) as progress,
    ):
        assert kept.can_skip
        masks = [Mask(heads=(head,)) for head in kept.heads]
        found = [one.measure(metric, masks, None, progress)[1] for one in (kept, again)]
        off = np.abs(found[0] - found[1]).max()
        mine, theirs, _ = by_turns(
            lambda: kept.measure(metric, masks, None, progress),
            lambda: again.measure(metric, masks, None, progress),
        )
    ratio = theirs / mine
    print(
        f"\nexact, {len(masks)} heads, {len(examples)} examples of {LENGTH} tokens: {mine:.2f} s, all "
        f"computed again {theirs:.2f} s, {ratio:.2f} times faster (at least {LEAST}: "
        f"{'reached' if ratio >= LEAST else 'not reached'}); they differ by at most {off:.1e}"
    )
    assert off < 1e-6
