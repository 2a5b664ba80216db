"""What the embedded translator loses as heads go: BLEU on its held-out pairs against the share that is off.

``python -m tests.bench.bleu_curve --pairs pairs.tsv`` (the file that `jtviz.demo.train_translator` takes, and
its split: heads are ranked on development pairs, and BLEU is measured on test pairs; neither was trained on).
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import jtviz
from jtviz.analysis import head_importance, pruning_curve
from jtviz.demo.sentences import read_pairs, split_pairs


def main() -> None:
    """Print the curve."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pairs", type=Path, required=True)
    parser.add_argument("--count", type=int, default=500, help="pairs of each part")
    parser.add_argument("--draws", type=int, default=5, help="random orders")
    parser.add_argument("--methods", nargs="+", help="whose orders to measure; all if left out")
    arguments = parser.parse_args()
    _, development, test = split_pairs(read_pairs(arguments.pairs), 500, seed=1)
    translator = jtviz.demo.translator()
    begin = time.perf_counter()
    methods = ["exact", "greedy", "gradient", "confidence"]
    ranked = head_importance(translator, development[: arguments.count], method=methods, progress=False)
    print(f"{ranked!r}: {time.perf_counter() - begin:.1f} s")
    print(ranked.to_pandas().to_string(index=False, float_format=lambda x: f"{x:.4f}"))
    print(ranked.agreement().round(2).to_string())
    begin = time.perf_counter()
    curve = pruning_curve(
        translator,
        test[: arguments.count],
        ranked,
        metric="bleu",
        methods=arguments.methods,
        draws=arguments.draws,
        progress=False,
    )
    print(f"{curve!r}: {time.perf_counter() - begin:.1f} s; intact {curve.intact}")
    table = curve.to_pandas().pivot_table(index="heads", columns="method", values="value")
    if arguments.draws:
        table["random ±"] = curve.random_deviation
    print(table.round(2).to_string())


if __name__ == "__main__":
    main()
