"""The residual stream, against what each family returns with `output_hidden_states`."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from jtviz.capture import hook

from .families import FAMILIES

TOLERANCE = 1e-5

TEXTS = {name: one for name, one in FAMILIES.items() if one.kind in {"text", "two sides"} and not one.refused}


def states_of(output: Any, name: str) -> dict[str, tuple[Tensor, ...]]:
    """Return the states of each side, as the library calls them."""
    if getattr(output, "decoder_hidden_states", None) is not None:
        return {"encoder": output.encoder_hidden_states, "decoder": output.decoder_hidden_states}
    return {name: output.hidden_states}


def norms_of(model: nn.Module, width: int) -> list[nn.Module]:
    """Return the modules that may stand after the last block."""
    return [
        module
        for name, module in model.named_modules()
        if "norm" in type(module).__name__.lower() or name.rpartition(".")[2].startswith(("ln_f", "norm"))
        if getattr(module, "weight", torch.empty(0)).shape == (width,)
    ]


@pytest.mark.parametrize("name", TEXTS)
def test_hidden_states_are_those_that_the_model_returns(name: str) -> None:
    family = TEXTS[name]
    model = family.build(family.implementations[0])
    inputs = family.inputs(1, "none")
    with torch.no_grad():
        # First: it leaves hooks on the model.
        output = model(**inputs, output_hidden_states=True)
        trace = hook(model).trace(inputs=inputs)
        found = states_of(output, trace.query_side(trace.stages[0]))
        assert set(found) == set(trace.tokens)
        for side, states in found.items():
            ours = trace.hidden(side)
            assert len(ours) == len(states)
            assert trace.hidden_shape(side) == ours.shape
            for layer, wanted in enumerate(states[:-1]):
                torch.testing.assert_close(ours[layer], wanted[0], atol=TOLERANCE, rtol=0)
            # The library's last state may be after the final norm: a norm of the model leads there from ours.
            ways = [ours[-1], *(norm(ours[-1]) for norm in norms_of(model, ours.shape[-1]))]
            assert min(float((way - states[-1][0]).abs().max()) for way in ways) <= TOLERANCE
