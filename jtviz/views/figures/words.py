"""What a figure says of itself: the caption beneath it. Twin of the words: js/src/core/words.ts."""

from __future__ import annotations

from collections.abc import Sequence

from jtviz.views.source import ALL, THROUGH

from .look import Look

COUNTED = 1 << 22
"""The share that is hidden is said where it takes at most so many weights."""


def number(weight: float) -> str:
    """Return a weight as it is written everywhere: three digits, and 0 and 1 as they are."""
    size = abs(weight)
    if 0 < size < 1e-4:
        return "< 0.0001" if weight > 0 else "> −0.0001"
    if size in {0, 1}:
        return f"{weight:.0f}".replace("-", "−")
    said = f"{size:.3f}" if size >= 0.1 else f"{size:#.3g}".rstrip(".")
    return f"−{said}" if weight < 0 else said


def headline(look: Look) -> str:
    """Return what is shown: ``Cross attention, layer 1, mean of heads 0 and 2``."""
    return f"{look.stage} attention, {_members(look)}"


def caption(look: Look, more: Sequence[str]) -> str:
    """Return the whole caption; `more` are sentences of the way it is drawn."""
    sentences = [headline(look) + "."]
    if look.choice.weighting != "raw":
        sentences.append(_sentence(f"Weight: {ALL[look.choice.weighting]}"))
    if look.choice.unit == "word":
        sentences.append("By words: summed over the tokens looked at, mean over those that look.")
    if look.is_predicted:
        sentences.append("Queries are named by the token they predict.")
    if any(look.marks.values()):
        sentences.append("Marked tokens are underlined.")
    sentences += [_sentence(note) for note in look.trace.notes if "switched off" in note]
    sentences += [*_hidden(look), *_filters(look), *more]
    return " ".join(sentences)


def heads_together(look: Look) -> str:
    """Return how several patterns became one, after a comma; empty for one."""
    many = len(look.members)
    if many < 2:
        return ""
    what = "layers" if look.choice.weighting in THROUGH else "heads"
    return f", {look.choice.combine} of {many} {what}"


def pooled_in_words(look: Look, factor: int, sampled: int | None) -> str:
    """Return which tokens the cells of a pooled matrix stand for."""
    said = f"{_range(look, 'query', look.rows)}, pooled {factor} × {factor}, {look.settings['pool']}"
    if look.cols != look.rows:
        said = f"Queries {_span(look.rows)}, keys {_span(look.cols)}, pooled {factor} × {factor}, "
        said += look.settings["pool"]
    if sampled is not None:
        rows = "row" if sampled == 1 else "rows"
        said += f", seen in a sample of {sampled} {rows} of each block"
    return _sentence(said)


def outside(look: Look, rows: slice, cols: slice) -> list[str]:
    """Return what is said of a window: which tokens are there, and what of the focus is not."""
    words = []
    shown = [
        f"{'queries' if role == 'query' else 'keys'} {_span(part)} of {len(look.axis(role)):,}"
        for role, part in (("query", rows), ("key", cols))
        if part != slice(0, len(look.axis(role)))
    ]
    if shown:
        words.append(_sentence(f"{' and '.join(shown)} are shown"))
    at = look.focus("query")
    if at is not None and cols != look.cols:
        row = look.combined(slice(at, at + 1), look.cols)[0]
        share = abs(row[cols.start - look.cols.start : cols.stop - look.cols.start]).sum()
        whole = abs(row).sum()
        if whole > 0:
            words.append(f"{share / whole:.0%} of the weight of the query in focus is on them.")
    return words


def _members(look: Look) -> str:
    choice = look.choice
    layers: dict[int, list[int]] = {}
    for layer, head in choice.members:
        layers.setdefault(layer, []).append(head)
    if choice.weighting in THROUGH:
        return f"{'layers' if len(layers) > 1 else 'layer'} {listed([*layers])}"
    is_one_picture = look.settings["mode"] != "links" and len(choice.members) > 1
    how = f"{choice.combine} of " if is_one_picture else ""
    if len(layers) == 1:
        layer, heads = next(iter(layers.items()))
        many = look.trace.heads(choice.stage, layer)
        if len(heads) == many > 1:
            return f"layer {layer}, {how or ''}all {many} heads"
        return f"layer {layer}, {how}{'heads' if len(heads) > 1 else 'head'} {listed(heads)}"
    return how + "; ".join(
        f"layer {layer} {'heads' if len(heads) > 1 else 'head'} {listed(heads)}"
        for layer, heads in layers.items()
    )


def listed(numbers: Sequence[int]) -> str:
    """Return numbers as a person writes them: ``0, 2 and 5``, or ``0–3`` where none is left out."""
    said = [str(n) for n in numbers]
    if len(said) > 2 and list(numbers) == list(range(numbers[0], numbers[-1] + 1)):
        return f"{said[0]}–{said[-1]}"
    return said[0] if len(said) == 1 else f"{', '.join(said[:-1])} and {said[-1]}"


def _hidden(look: Look) -> list[str]:
    choice = look.choice
    what = [f"‘{text}’" for text in choice.hide]
    what += ["special tokens"] if choice.hide_special else []
    what += ["the first token"] if choice.hide_first else []
    sentences = []
    if what:
        sentences.append(f"Left out as keys: {', '.join(what)}{_share(look)}.")
    for role, span in (("Queries", choice.query_span), ("Keys", choice.key_span)):
        if span is not None:
            sentences.append(f"{role} {span[0]:,} to {span[1] - 1:,} only.")
    if choice.renormalise and choice.weighting != "gradient" and (what or choice.key_span is not None):
        sentences.append("What is left of each row sums to 1 again.")
    return sentences


def _share(look: Look) -> str:
    queries, keys = look.shown.query.starts[-1], look.shown.key.starts[-1]
    if queries * keys * len(look.choice.members) > COUNTED or look.choice.key_span is not None:
        return ""
    return f" ({float(look.shown.hidden_share().mean()):.0%} of the weight)"


def _filters(look: Look) -> list[str]:
    choice = look.choice
    kept = []
    if choice.top_k > 0:
        kept.append(f"the {choice.top_k} strongest weights of each row")
    if choice.top_mass < 1:
        kept.append(f"the strongest weights that make up {choice.top_mass:.0%} of each row")
    if choice.threshold > 0:
        kept.append(f"weights of at least {choice.threshold:g}")
    return [f"Only {', of these '.join(kept)}."] if kept else []


def _range(look: Look, role: str, part: slice) -> str:
    unit = "Words" if look.axis(role).place is not None else "Tokens"
    return f"{unit} {_span(part)}"


def _span(part: slice) -> str:
    return f"{part.start:,} to {part.stop - 1:,}"


def _sentence(said: str) -> str:
    return f"{said[0].upper()}{said[1:]}."
