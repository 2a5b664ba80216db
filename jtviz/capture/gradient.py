"""The gradient of one number of the output with respect to each pattern.

Required: no pattern is stored for it. With ``O = A V``, the gradient with respect to the weights is
``dL/dA = dL/dO V^T`` (Vaswani et al. 2017, equation 1, differentiated): the gradient at the output of each
site is kept, and multiplied by the values for the tile that somebody asks for.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor
from torch.utils.checkpoint import CheckpointError

from .errors import JtvizError
from .site import Site


@dataclass
class Outputs:
    """The outputs of all sites of one forward pass that records gradients."""

    _seen: list[tuple[Site, Tensor, Callable[[Tensor], Tensor]]] = field(default_factory=list)

    def watch(self, site: Site, output: Tensor, arrange: Callable[[Tensor], Tensor]) -> Tensor:
        """Note the output of a site, and return what the model goes on with.

        Parameters
        ----------
        site : Site
            The site.
        output : Tensor
            What the kernel returned, as the model has it.
        arrange : callable
            Takes a gradient of that shape to ``[heads, queries, d]`` of the example that is kept.
        """
        if not torch.is_grad_enabled():
            raise JtvizError(
                f"{site.name} runs without gradients (the model turns them off, or checkpoints its layers): "
                f"trace without target= and output=, or turn that off first."
            )
        if not output.requires_grad:
            # The weights are frozen: what depends on this site is differentiated all the same.
            output.requires_grad_()
        self._seen.append((site, output, arrange))
        # A copy: what the model does to it in place leaves the output as the kernel returned it.
        return output.clone()

    def differentiate(self, number: Tensor) -> None:
        """Write the gradient of one number with respect to each output into its site."""
        outputs = [output for _, output, _ in self._seen]
        # A site that the number does not depend on has a gradient of zero.
        try:
            found = (
                torch.autograd.grad(number, outputs, allow_unused=True, materialize_grads=True)
                if number.requires_grad
                else [torch.zeros_like(output) for output in outputs]
            )
        except CheckpointError:
            raise JtvizError(
                "this model checkpoints its layers, and frozen weights cannot be differentiated through "
                "that: turn checkpointing off, or let its weights require gradients."
            ) from None
        for (site, _, arrange), gradient in zip(self._seen, found, strict=True):
            site.gradient = arrange(gradient).detach().clone()
        self._seen.clear()
