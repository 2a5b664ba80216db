"""How long the embedded models take to open, beside reading the same weights with safetensors alone.

Run with ``make bench``. Each time is the median of seven fresh interpreters in which jtviz is imported
already; the peer reads the same file into tensors, and builds no model and no tokenizer.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys

import pytest

MEASURE = """
import json, sys, time
import torch, jtviz
from safetensors.torch import load_file
call, weights = sys.argv[1:]
started = time.perf_counter()
load_file(jtviz.demo.embedded.FOLDER / weights / "model.safetensors")
peer = time.perf_counter()
eval("jtviz.demo." + call)
print(json.dumps([time.perf_counter() - peer, peer - started]))
"""
MODELS = {
    "translator()": "translator",
    "induction()": "induction",
    "classifier()": "classifier/honest",
    "classifier(shortcut=True)": "classifier/shortcut",
}


@pytest.mark.parametrize("call", MODELS)
def test_opening_an_embedded_model(call: str) -> None:
    command = [sys.executable, "-c", MEASURE, call, MODELS[call]]
    runs = [json.loads(subprocess.check_output(command)) for _ in range(7)]
    ours, peer = (statistics.median(run[i] for run in runs) for i in (0, 1))
    print(f"\n{call:<26} {ours * 1000:7.1f} ms, {ours / peer:5.1f} times safetensors alone")
