"""What a view says of how far an attribution can be trusted. Twin: js/src/attribution/trust.ts.

Required: a figure stands beside what it compares with; what could not be computed is said.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from jtviz.analysis.attribution import METHODS
from jtviz.analysis.trust import Faithfulness, Trust


def trusted(found: Trust) -> dict[str, Any]:
    """Return a verdict, sentences and tables, in what JSON has."""
    faith, why = found.faithfulness, "; ".join(found.left_out.values())
    tables = [] if faith is None else [_figures(faith)]
    if found.by_method:
        tables.append(_methods(found.by_method))
    if found.agreement is not None:
        names = [METHODS[name].label for name in found.agreement.methods]
        tables.append(_square("Rank correlation of methods", names, found.agreement.correlation))
    if found.sensitivity is not None:
        tables.append(
            _square(
                "Rank correlation of baselines",
                [_shortened(name) for name in found.sensitivity.baselines],
                found.sensitivity.correlation,
            )
        )
    return {
        "doubtful": found.is_doubtful,
        "told": faith is None or not faith.is_too_short,
        "verdict": why if faith is None else _verdict(faith),
        "sentences": list(found.sentences),
        "tables": tables,
        "compared": found.agreement is not None,
    }


def _figures(faith: Faithfulness) -> dict[str, Any]:
    figures = (
        ("comprehensiveness", faith.aopc_comprehensiveness),
        ("sufficiency (low is good)", faith.aopc_sufficiency),
        ("area under deletion (low is good)", faith.deletion_area),
        ("area under insertion", faith.insertion_area),
    )
    return {
        "title": f"Faithfulness, in {faith.measure}",
        "columns": ["these scores", "random order", "spread"],
        "rows": [[name, float(one), one.mean, one.spread] for name, one in figures],
        "digits": None,
    }


def _methods(found: Mapping[str, Faithfulness]) -> dict[str, Any]:
    """Return what is lost without the tokens that each method scores highest; those no better are marked."""
    ordered = sorted(found.items(), key=lambda item: -float(item[1].aopc_comprehensiveness))
    rows = []
    for name, faith in ordered:
        lost = faith.aopc_comprehensiveness
        mark = "?" if faith.is_too_short else "✓" if faith.beats_random else "⚠"
        rows.append([f"{mark} {METHODS[name].label}", float(lost), lost.mean])
    return {
        "title": "What is lost without the tokens that a method scores highest (⚠: no better than random)",
        "columns": ["comprehensiveness", "random order"],
        "rows": rows,
        "digits": None,
    }


def _square(title: str, names: Sequence[str], numbers: np.ndarray) -> dict[str, Any]:
    rows = [
        [name, *(None if math.isnan(x) else float(x) for x in row)]
        for name, row in zip(names, numbers, strict=True)
    ]
    return {"title": title, "columns": list(names), "rows": rows, "digits": 2}


def _shortened(name: str) -> str:
    return name if len(name) <= 20 else f"{name[:19]}…"


def _verdict(faith: Faithfulness) -> str:
    """Return the verdict without its figures, which are in the table."""
    lost = faith.aopc_comprehensiveness
    return (
        f"{lost.verdict.split(' (')[0]}: without the tokens scored highest, the {faith.measure} loses "
        f"{lost.value:.3g}; without as many at random, {lost.mean:.3g}"
    )
