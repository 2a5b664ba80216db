"""What an embedded model is, how it was made, how good it is, and what it gets wrong.

Required: every figure in a card was measured by the script that trained the model, on the weights
that are shipped (or says of what else it is).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from .store import DamagedModelError, write_json

CARD = "card.json"


@dataclass(frozen=True)
class Card:
    """The card of an embedded model; last in a cell, it is shown as a page.

    Attributes
    ----------
    model : str
        What it is, in one sentence.
    data, licence : str
        What it was trained on, and what may be done with the weights.
    command : str
        Trains it again.
    seed : int
        Of every random choice of that command.
    parameters : int
        How many numbers were trained.
    figures : mapping of str to number or str
        What was measured on the shipped weights; the key says how.
    wrong : tuple of str
        What it gets wrong.
    curve : tuple of mapping
        The course of training, a point each: what was counted (``"epoch"`` or ``"step"``), the loss, and
        what else was measured on the way.

    Examples
    --------
    >>> import jtviz
    >>> jtviz.demo.card("induction").parameters
    49408
    """

    model: str
    data: str
    licence: str
    command: str
    seed: int
    parameters: int
    figures: Mapping[str, float | str]
    wrong: Sequence[str]
    curve: Sequence[Mapping[str, float]]

    @classmethod
    def read(cls, folder: Path) -> Card:
        """Read the card in a folder.

        Raises
        ------
        DamagedModelError
            If it is not there, or not a card.
        """
        try:
            content = json.loads((folder / CARD).read_text(encoding="utf-8"))
            return cls(**content)
        except (OSError, ValueError, TypeError):
            state = "is not a card" if (folder / CARD).exists() else "is missing"
            raise DamagedModelError(f"{folder / CARD} {state}: install jtviz again.") from None

    def write(self, folder: Path) -> None:
        """Write the card into a folder."""
        write_json(folder / CARD, asdict(self))

    def chart(self) -> Any:
        """Return the loss over the course of training, as a `bqplot.Figure`."""
        import bqplot

        counted = next(iter(self.curve[0]))
        losses = [name for name in self.curve[0] if name.startswith("loss")]
        x = [point[counted] for point in self.curve]
        y = [[point[name] for point in self.curve] for name in losses]
        scales = {"x": bqplot.LinearScale(), "y": bqplot.LinearScale(min=0)}
        colors = ["#4269d0", "#c2781c"]
        lines = bqplot.Lines(x=x, y=y, scales=scales, colors=colors, labels=losses)
        # Two lines are named where they end, one by its axis.
        names = bqplot.Label(
            x=[x[-1]] * len(losses),
            y=[line[-1] for line in y],
            text=[name.removeprefix("loss of the ") for name in losses] if len(losses) > 1 else [""],
            scales=scales,
            colors=colors,
            align="end",
            y_offset=-12,
            default_size=12,
            font_weight="normal",
        )
        quiet = {"grid_lines": "none", "color": "gray", "label_color": "gray"}
        axes = [
            bqplot.Axis(scale=scales["x"], label=counted, side="bottom", label_offset="2.8em", **quiet),
            bqplot.Axis(scale=scales["y"], label="training loss", side="left", label_offset="3.8em", **quiet),
        ]
        return bqplot.Figure(
            marks=[lines, names],
            axes=axes,
            layout={"width": "100%", "max_width": "640px", "height": "280px"},
            fig_margin={"top": 16, "bottom": 48, "left": 72, "right": 16},
        )

    def _repr_markdown_(self) -> str:
        rows = {
            "data": self.data,
            "licence": self.licence,
            "parameters": f"{self.parameters:,}",
            "train it again": f"`{self.command}`",
            "seed": self.seed,
            **self.figures,
        }
        table = [f"| {name} | {value} |" for name, value in rows.items()]
        wrong = [f"- {line}" for line in self.wrong]
        return "\n".join(
            [f"**{self.model}**", "", "| | |", "|---|---|", *table, "", "What it gets wrong:", "", *wrong]
        )
