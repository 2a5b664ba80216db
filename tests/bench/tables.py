"""Print what was measured: one table a figure, with the ratios to the peers and the targets beside them."""

from __future__ import annotations

from collections.abc import Mapping

from .opened_page import Figures
from .peers import AT, BERTVIZ, CIRCUITSVIS, LENGTHS, LIMITS, LIVE, LONG, LONG_TARGET, SAVED_PAGE, TARGETS

Measured = Mapping[tuple[str, int], Figures | str]
IDLE = "idle frame, ms"
SHOWN = (
    "bytes",
    "first paint, ms",
    "layer change, ms",
    "head toggle, ms",
    "first hover, ms",
    "later hover, ms",
    IDLE,
    "DOM elements",
    "JS heap, MB",
)
EVENTS = ("layer change, ms", "head toggle, ms", "later hover, ms")
OURS, PEERS = (SAVED_PAGE.name, LIVE), (BERTVIZ.name, CIRCUITSVIS.name)
WIDE = 13


def print_tables(measured: Measured) -> None:
    """Print the tables of all figures, then what only jtviz is asked."""
    for figure in SHOWN:
        _print_figure(measured, figure)
    print()
    for (name, length), why in measured.items():
        if isinstance(why, str):
            print(f"{name}, {length} tokens: {why}")
    _print_limits(measured)
    _print_live(measured)


def figure_of(measured: Measured, name: str, length: int, figure: str) -> float | str:
    """Return a number, or the words that stand for it."""
    figures = measured.get((name, length), "-")
    return figures if isinstance(figures, str) else figures.get(figure, "-")


def _print_figure(measured: Measured, figure: str) -> None:
    ratios = [(our, peer) for our in OURS for peer in PEERS]
    over = [*[""] * 4, *(our.removeprefix("jtviz, ") + " :" for our, _ in ratios)]
    heads = [*OURS, *PEERS, *(peer for _, peer in ratios)]
    print(f"\n{figure}")
    print(f"{'':>6} " + " ".join(f"{head:>{WIDE}}" for head in over))
    print(f"{'tokens':>6} " + " ".join(f"{head:>{WIDE}}" for head in heads))
    for length in LENGTHS:
        cells = [_said(figure_of(measured, name, length, figure)) for name in (*OURS, *PEERS)]
        cells += [_said_ratio(_ratio(measured, pair, length, figure)) for pair in ratios]
        print(f"{length:>6} " + " ".join(f"{cell:>{WIDE}}" for cell in cells))
    if figure in TARGETS:
        for our in OURS:
            ratio = _ratio(measured, (our, BERTVIZ.name), AT, figure)
            wanted = f"at most {_said_ratio(TARGETS[figure])} of {BERTVIZ.name} at {AT} tokens"
            print(f"  {our}: {wanted}: {_verdict(ratio, TARGETS[figure])}{_beyond(measured, our, figure)}")


def _print_limits(measured: Measured) -> None:
    print(f"\n{SAVED_PAGE.name}, {AT} tokens")
    for figure, limit in LIMITS.items():
        found = figure_of(measured, SAVED_PAGE.name, AT, figure)
        print(f"  {figure}: {_said(found)}, at most {limit}: {_verdict(found, limit)}")


def _print_live(measured: Measured) -> None:
    print(f"\n{LIVE}")
    for length in LENGTHS:
        said = [
            f"{figure} {_said(figure_of(measured, LIVE, length, figure))}"
            for figure in ("bytes", "bytes sent to the kernel", "very first paint, ms")
        ]
        print(f"{length:>6} tokens: {', '.join(said)}")
    paints = [figure_of(measured, f"{LIVE}, queries and keys", n, "first paint, ms") for n in (AT, LONG)]
    ratio: float | str = "-"
    if isinstance(paints[0], float) and isinstance(paints[1], float):
        ratio = paints[1] / paints[0]
    print(
        f"  first paint from queries and keys: {_said(paints[0])} ms at {AT} tokens, {_said(paints[1])} ms "
        f"at {LONG}; {_said(ratio)} times, at most {LONG_TARGET}: {_verdict(ratio, LONG_TARGET)}"
    )


def _ratio(measured: Measured, pair: tuple[str, str], length: int, figure: str) -> float | str:
    ours, peers = (figure_of(measured, name, length, figure) for name in pair)
    if isinstance(ours, str) or isinstance(peers, str) or not ours or not peers:
        return "-"
    return ours / peers


def _beyond(measured: Measured, our: str, figure: str) -> str:
    """Say the ratio of what an event adds: no tool is faster than a frame, whatever it does in it."""
    if figure not in EVENTS:
        return ""
    added = []
    for name in (our, BERTVIZ.name):
        took, idle = (figure_of(measured, name, AT, of) for of in (figure, IDLE))
        if isinstance(took, str) or isinstance(idle, str) or took <= idle:
            return ""
        added.append(took - idle)
    ratio = added[0] / added[1]
    return f" ({_said_ratio(ratio)} beyond an idle frame: {_verdict(ratio, TARGETS[figure])})"


def _verdict(found: float | str, most: float) -> str:
    if isinstance(found, str):
        return "not measured"
    return "reached" if found <= most else "not reached"


def _said(found: float | str) -> str:
    if isinstance(found, str):
        return found.split(":")[0]  # the whole is said below the tables
    return f"{found:,.0f}" if found >= 100 else f"{found:.1f}"


def _said_ratio(ratio: float | str) -> str:
    if isinstance(ratio, str):
        return ratio
    return f"1/{1 / ratio:,.0f}" if ratio < 0.5 else f"{ratio:.2f}"
