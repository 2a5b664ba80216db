"""A model whose output is a sum that can be done by hand, for the tests of what is said about trust."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import torch
import torch.nn.functional as F
from torch import Tensor, nn

import jtviz
from jtviz.analysis import Attribution, attribute

VALUES = (0.0, 2.0, -1.0, 0.5, 3.0, 0.25, 1.0)
"""What each token of the vocabulary adds to the logit."""
NOTE = "Man, 60. Has crushing chest pain. No sore throat. Lives alone."
IDS = (1, 2, 3, 4, 5)


class Sum(nn.Module):
    """Answers yes with the probability sigmoid(sum of the values of the tokens)."""

    def __init__(self) -> None:
        super().__init__()
        self.config = SimpleNamespace(labels=("yes", "no"))
        self.embedding = nn.Embedding(len(VALUES), 2)
        with torch.no_grad():
            self.embedding.weight.copy_(torch.tensor([(value, 0.1 * value) for value in VALUES]))

    def forward(self, input_ids: Tensor) -> Tensor:
        x = self.embedding(input_ids)
        looked = x[:, None]
        # Attention that changes nothing, so that there is something to trace.
        nothing = 0 * F.scaled_dot_product_attention(looked, looked, looked)[:, 0]
        total = (x + nothing)[..., 0].sum(1)
        return torch.stack([total, torch.zeros_like(total)], -1)


MODEL = Sum()


def trace(ids: tuple[int, ...] = IDS) -> jtviz.Trace:
    return jtviz.hook(MODEL).trace(inputs={"input_ids": torch.tensor([ids])})


def attributed(
    method: str = "integrated_gradients", output: str = "logit", ids: tuple[int, ...] = IDS
) -> Attribution:
    return attribute(trace(ids), method, target="yes", output=output, baseline="zero")


def negated(attribution: Attribution) -> Attribution:
    return replace(attribution, scores={side: -row for side, row in attribution.scores.items()})
