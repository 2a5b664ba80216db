"""What integrated gradients of a long text cost: memory beside the model, and time beside Captum by hand.

Run with ``make bench``, or this file alone with ``.venv/bin/pytest tests/bench/bench_attribution.py -s``. The
model has the shape of BERT base and random weights; the text has 512 tokens; 50 steps. Memory is the most
that a process of its own ever had, less what it had with the model and its trace.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import captum.attr
import psutil
import pytest
import torch
from torch import Tensor

from jtviz.analysis.attribution import MEMORY, attribute, opened
from jtviz.capture import Trace, hook

LENGTH, STEPS = 512, 50
SAID = f"{LENGTH} tokens, {STEPS} steps"


def bert(**sizes: Any) -> tuple[Any, Tensor]:
    from transformers import BertConfig, BertForSequenceClassification

    torch.manual_seed(0)
    made: Any = BertForSequenceClassification
    model = made._from_config(BertConfig(**sizes), attn_implementation="sdpa").eval()
    return model, torch.randint(1000, 30000, (1, LENGTH))


def warm_up() -> None:
    """Load what a first forward and backward pass load, with a model that takes no memory to speak of."""
    model, ids = bert(hidden_size=24, num_hidden_layers=1, num_attention_heads=2, intermediate_size=24)
    trace = traced(model, ids[:, :8])
    attribute(trace, target=0, n_steps=2, raise_steps=False, progress=False)


def traced(model: Any, ids: Tensor) -> Trace:
    return hook(model).trace(inputs={"input_ids": ids})


def at_once(trace: Trace, memory: int) -> int:
    """Return how many steps jtviz puts into one batch."""
    with opened(trace) as session:
        return session.cost(session.score(0, "logit")).at_once(STEPS, memory)


def by_hand(model: Any, ids: Tensor, batch: int) -> Tensor:
    """Return the same by Captum: from the mean of the vocabulary to the text."""
    table = model.get_input_embeddings()
    own = table(ids).detach()
    absent = table.weight.detach().mean(0).expand_as(own)
    found = captum.attr.IntegratedGradients(lambda x: model(inputs_embeds=x).logits[:, 0]).attribute(
        own, absent, n_steps=STEPS, internal_batch_size=batch
    )
    scores: Tensor = found.sum(-1)[0].detach()
    return scores


@contextmanager
def watched() -> Iterator[dict[str, int]]:
    """Watch the memory of this process: what there is before, and the most while it lasts."""
    process, found, done = psutil.Process(), {}, threading.Event()
    found["before"] = found["most"] = process.memory_info().rss

    def watch() -> None:
        while not done.wait(0.005):
            found["most"] = max(found["most"], process.memory_info().rss)

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield found
    finally:
        done.set()
        thread.join()
        # The kernel saw peaks between two looks, but also those before.
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        found["kernel"] = peak


def measure_memory(memory: int) -> dict[str, float]:
    warm_up()
    model, ids = bert()
    trace = traced(model, ids)
    with watched() as found:
        attribute(trace, target=0, n_steps=STEPS, memory=memory, raise_steps=False, progress=False)
    more, batch = found["most"] - found["before"], at_once(trace, memory)
    return {"more": more, "before": found["before"], "kernel": found["kernel"], "batch": batch}


def measure_time() -> dict[str, float]:
    model, ids = bert()
    trace = traced(model, ids)
    batch = at_once(trace, MEMORY)
    warm_up()
    ours, theirs = [], []
    for _ in range(2):  # the quicker of two, one after the other
        started = time.perf_counter()
        found = attribute(trace, target=0, n_steps=STEPS, raise_steps=False, progress=False)
        ours.append(time.perf_counter() - started)
        started = time.perf_counter()
        wanted = by_hand(model, ids, batch)
        theirs.append(time.perf_counter() - started)
    off = float(abs(torch.tensor(found.scores["encoder"]) - wanted).max())
    return {
        "ours": min(ours),
        "by hand": min(theirs),
        "ratio": min(ours) / min(theirs),
        "batch": batch,
        "off": off,
    }


MEASURES: dict[str, Callable[..., dict[str, float]]] = {"memory": measure_memory, "time": measure_time}


def measured(what: str, *arguments: Any) -> dict[str, float]:
    command = [sys.executable, "-W", "ignore", "-m", __name__, what, json.dumps(arguments)]
    found: dict[str, float] = json.loads(subprocess.check_output(command).splitlines()[-1])
    return found


# -- the table ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("memory", [MEMORY >> 2, MEMORY])
def test_memory_stays_within_what_is_granted(memory: int) -> None:
    found = measured("memory", memory)
    print(
        f"\n{SAID}, {memory / 2**20:.0f} MiB granted: {found['batch']:.0f} at a time, "
        f"{found['more'] / 2**20:.0f} MiB beside the model ({found['before'] / 2**20:.0f} MiB before, "
        f"{found['kernel'] / 2**20:.0f} MiB at most)"
    )
    # One example at a time is the least there is.
    assert found["more"] <= memory or found["batch"] == 1


def test_time_beside_captum_by_hand() -> None:
    found = measured("time")
    print(
        f"\n{SAID}, {found['batch']:.0f} at a time: {found['ours']:.1f} s, Captum by hand "
        f"{found['by hand']:.1f} s, {found['ratio']:.3f} times; they differ by at most {found['off']:.1e}"
    )
    assert found["off"] < 1e-6


if __name__ == "__main__":
    print(json.dumps(MEASURES[sys.argv[1]](*json.loads(sys.argv[2]))))
