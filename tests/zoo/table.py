"""The table of what works how, in ``docs/coverage.md``: written with ``python -m tests.zoo.table``."""

from __future__ import annotations

from pathlib import Path

from jtviz.capture import Trace, hook
from jtviz.capture.site import FusedSite

from .families import FAMILIES, Family
from .plain import PLAIN, Plain

PAGE = Path(__file__).parent.parent.parent / "docs" / "coverage.md"
ABSENT = "not in the model"
HEAD = """# What jtviz can look into

Written by `python -m tests.zoo.table`, checked by the tests. Each family of `transformers` is built small,
with random weights, and its attention compared with the model's own under `attn_implementation="eager"`, at
1e-5: alone and (where examples can be told apart) in a batch, and for texts without padding and with padding
on either side, whose own rows mean nothing and are left out. The table is of
`transformers` 5; `make test-transformers4` compares the same families under 4.57.

- *fused*: the kernel is given queries, keys and values, and the pattern is computed for what is looked at.
- *written out*: the model computes the whole pattern, which is kept: memory grows with the square of the
  length, up to a limit that says so.

| family | sdpa | eager | stages | examples of a batch | peculiar |
|---|---|---|---|---|---|
"""
BETWEEN = """
Models written with PyTorch alone:

| model | how | stages | peculiar | the trace says |
|---|---|---|---|---|
"""
END = """
## What a saved trace can show

`trace.save(path)` keeps what was computed, and `jtviz.load(path)` opens it without the model:

| question | needs | in the file |
|---|---|---|
| `attention`, `overview`, every way of drawing attention | queries, keys, masks (or patterns) | always |
| `hidden` (residual stream) | the stream | where the model has numbered blocks |
| `probabilities`, `tokens[...].probability` | logits | where the model predicts tokens, up to 256 MiB |
| `gradient` | values, gradients at the sites | where the trace was taken with `target=` or `output=` |
| `output_projection` (what each head adds) | W_O of each layer | with `along=["output_projections"]` |
| `unembedding` (from a stream to logits) | the last weight | with `along=["unembedding"]` |
| another text, generating, `classify` | the model | never |
"""


def kinds(trace: Trace) -> str:
    """Say how the sites of a trace are kept."""
    found = {"fused" if isinstance(site, FusedSite) else "written out" for site in trace.sites}
    return " and ".join(sorted(found))


def row(name: str, family: Family) -> str:
    """Return one line of the table."""
    if family.refused is not None:
        cells = ["refused by name" if i in family.implementations else ABSENT for i in ("sdpa", "eager")]
        return f"| {name} | {cells[0]} | {cells[1]} | | | {family.peculiar} |"
    traces = {
        implementation: hook(family.build(implementation)).trace(inputs=family.inputs(1, "none"))
        for implementation in family.implementations
    }
    cells = [kinds(traces[i]) if i in traces else ABSENT for i in ("sdpa", "eager")]
    stages = ", ".join(traces["eager"].stages)
    batch = "any can be chosen" if family.batches else "one at a time"
    return f"| {name} | {cells[0]} | {cells[1]} | {stages} | {batch} | {family.peculiar} |"


def plain_row(name: str, plain: Plain) -> str:
    """Return one line of the table of plain models."""
    model, inputs = plain.made()
    trace = hook(model).trace(inputs=inputs)
    notes = "; ".join(trace.notes)
    return f"| {name} | {kinds(trace)} | {', '.join(trace.stages)} | {plain.peculiar} | {notes} |"


def page() -> str:
    """Return the whole page."""
    families = "\n".join(row(name, family) for name, family in FAMILIES.items())
    plain = "\n".join(plain_row(name, made) for name, made in PLAIN.items())
    return f"{HEAD}{families}\n{BETWEEN}{plain}\n{END}"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
