"""What becomes of the outputs of heads and of feed-forward units.

Required: what is kept is kept bit for bit; gradients with respect to what is kept are exact, example by
example (Michel et al. 2019, *Are sixteen heads really better than one?*, section 2.3).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from ..errors import JtvizError


@dataclass(frozen=True)
class Edit:
    """How much of each part is kept, and what stands in for the rest: ``z * keep + instead * (1 - keep)``.

    Attributes
    ----------
    keep : Tensor
        ``[parts]`` or, one for each example, ``[batch, parts]``: 1 leaves a head or unit, 0 replaces it.
    instead : Tensor or None
        Of heads ``[heads, d]``, of units ``[units]``; zero if None.
    """

    keep: Tensor
    instead: Tensor | None = None

    def of_heads(self, output: Tensor, lay: Callable[[Tensor], Tensor]) -> Tensor:
        """Return the output of a site, edited.

        Parameters
        ----------
        output : Tensor
            As the model has it.
        lay : callable
            Takes ``[batch or 1, heads, 1, d or 1]`` to what can be multiplied with the output.
        """
        keep = self.keep if self.keep.ndim == 2 else self.keep[None]
        factor = lay(keep[..., None, None].to(output))
        edited = output * factor
        if self.instead is None:
            return edited
        instead = lay(self.instead[None, :, None].to(output))
        return edited + instead * (1 - factor)

    def of_units(self, given: Tensor) -> Tensor:
        """Return the inputs ``[batch, .., units]`` of a last linear layer, edited.

        Raises
        ------
        JtvizError
            If each example has a factor of its own, and the model has them side by side otherwise.
        """
        keep = self.keep.to(given)
        if keep.ndim == 2:
            if len(keep) == 1:
                keep = keep[0]
            elif given.ndim == 2 and len(given) % len(keep) == 0:
                # GPT-2 flattens examples and tokens into one axis.
                keep = keep.repeat_interleave(len(given) // len(keep), 0)
            elif given.ndim == 3 and len(given) == len(keep):
                keep = keep[:, None]
            elif given.ndim == 3 and given.shape[1] == len(keep):
                keep = keep[None]
            else:
                raise JtvizError(
                    "the examples of this batch cannot be told apart in its feed-forward layer: run one "
                    "example at a time."
                )
        edited = given * keep
        return edited if self.instead is None else edited + self.instead.to(given) * (1 - keep)


def lay_fused(output: Tensor, heads: int, group: int = 1) -> Callable[[Tensor], Tensor]:
    """Return how factors lie beside the output ``[.., heads, queries, d]`` of a fused kernel.

    Where `group` heads share a key head, ``[batch, key heads, group, d]`` of one query is known too.

    Raises
    ------
    JtvizError
        If its third axis from the end is not the heads.
    """
    if output.ndim == 2 and heads == 1:
        return lambda x: x[0, 0]
    if is_packed(output, heads, group):
        return lambda x: x.reshape(len(x), heads // group, group, x.shape[-1])
    if output.ndim < 3 or output.shape[-3] != heads:
        raise JtvizError(
            "examples and heads are in one axis of this model, and which is which cannot be told: run one "
            "example at a time."
        )
    return (lambda x: x[0]) if output.ndim == 3 else (lambda x: x)


def is_packed(output: Tensor, heads: int, group: int) -> bool:
    """Return whether heads that share a key head lie where queries do: so `transformers` packs one query."""
    return output.ndim == 4 and output.shape[1] != heads and output.shape[1:3] == (heads // group, group)
