"""Attribution by Captum, on the vectors that stand for the tokens.

Required: each is Captum's own algorithm, called with the reader's model, text and baseline; here is only
the wiring. Sums over a token's vector keep their sign.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from jtviz.capture import JtvizError

Vectors = tuple[Tensor, ...]
Scores = tuple[Tensor, ...]
"""For each side ``[tokens]``; of the methods by layer ``[layers, tokens]``."""


@dataclass(frozen=True, eq=False)
class Problem:
    """What Captum is asked.

    Attributes
    ----------
    function : callable
        Takes the vectors of each side, ``[batch, tokens, width]``, to ``[batch]`` numbers.
    model : nn.Module
        Whose parts DeepLift looks at.
    vectors, baselines : tuple of Tensor
        ``[1, tokens, width]`` of each side.
    layers : tuple of (int, nn.Module)
        For each layer the number of the side whose tokens it reads, and its module.
    units : tuple of Tensor
        For each side the number of the unit that each token belongs to, ``[tokens]``.
    n_steps, n_samples : int
        Points on a path; random samples.
    at_once : int
        Examples in one batch.
    window : int
        Tokens that are occluded together.
    noise : float
        Spread of the noise of SmoothGrad, as a share of the range of the vectors.
    """

    function: Callable[..., Tensor]
    model: nn.Module
    vectors: Vectors
    baselines: Vectors
    layers: Sequence[tuple[int, nn.Module]]
    units: tuple[Tensor, ...]
    n_steps: int = 50
    n_samples: int = 25
    at_once: int = 1
    window: int = 3
    noise: float = 0.1


def saliency(problem: Problem, *, order: int) -> Scores:
    """Return the L1 or L2 norm of the gradient of each token."""
    found = load().Saliency(problem.function).attribute(_open(problem.vectors), abs=False)
    return tuple(_rows(g).norm(p=order, dim=-1) for g in found)


def input_x_gradient(problem: Problem) -> Scores:
    """Return the gradient times the vector of each token."""
    return _summed(load().InputXGradient(problem.function).attribute(_open(problem.vectors)))


def integrated_gradients(problem: Problem) -> Scores:
    """Return integrated gradients, by Gauss-Legendre quadrature."""
    with _known_warnings():
        found = (
            load()
            .IntegratedGradients(problem.function)
            .attribute(
                problem.vectors,
                problem.baselines,
                n_steps=problem.n_steps,
                internal_batch_size=problem.at_once,
            )
        )
    return _summed(found)


def smooth_grad(problem: Problem) -> Scores:
    """Return the length of the mean gradient over noisy copies."""
    spread = tuple(problem.noise * float(v.max() - v.min()) for v in problem.vectors)
    found = (
        load()
        .NoiseTunnel(load().Saliency(problem.function))
        .attribute(
            _open(problem.vectors),
            nt_type="smoothgrad",
            nt_samples=problem.n_samples,
            nt_samples_batch_size=min(problem.at_once, problem.n_samples),
            stdevs=spread,
            abs=False,
        )
    )
    return tuple(_rows(g).norm(p=2, dim=-1) for g in found)


def deep_lift(problem: Problem) -> Scores:
    """Return what the rescale rule hands back; activations that are no modules count as linear."""
    with _known_warnings():
        found = load().DeepLift(_AsModule(problem)).attribute(_open(problem.vectors), problem.baselines)
    return _summed(found)


def gradient_shap(problem: Problem) -> Scores:
    """Return gradients at random points between the baseline and the text, times the difference."""
    total: Scores | None = None
    left = problem.n_samples
    while left:
        count = min(left, problem.at_once)
        part = (
            load()
            .GradientShap(problem.function)
            .attribute(_open(problem.vectors), problem.baselines, n_samples=count, stdevs=0.0)
        )
        weighed = tuple(x * (count / problem.n_samples) for x in _summed(part))
        total = weighed if total is None else tuple(a + b for a, b in zip(total, weighed, strict=True))
        left -= count
    if total is None:
        raise JtvizError("n_samples= is a number of samples, at least 1.")
    return total


def by_layer(problem: Problem, name: str) -> Scores:
    """Return layer conductance or layer integrated gradients, of every layer of each side."""
    found: list[list[Tensor]] = [[] for _ in problem.vectors]
    maker = {
        "layer_conductance": load().LayerConductance,
        "layer_integrated_gradients": load().LayerIntegratedGradients,
    }[name]
    for side, block in problem.layers:
        with _known_warnings(), _stream(block) as stream:
            parts = maker(problem.function, stream).attribute(
                problem.vectors,
                problem.baselines,
                n_steps=problem.n_steps,
                internal_batch_size=problem.at_once,
            )
        first = parts[0] if isinstance(parts, tuple | list) else parts
        found[side].append(_rows(first).sum(-1))
    return tuple(
        torch.stack(rows) if rows else vectors.new_zeros((0, vectors.shape[1]))
        for rows, vectors in zip(found, problem.vectors, strict=True)
    )


@contextmanager
def _stream(block: nn.Module) -> Iterator[nn.Module]:
    """Yield a module that what a block hands on goes through.

    Blocks return it alone, or in a tuple with what Captum cannot take (None) or should not (the position
    bias of T5).
    """
    passed = nn.Identity()

    def through(_: nn.Module, __: Any, output: Any) -> Any:
        if isinstance(output, Tensor):
            return passed(output)
        if isinstance(output, tuple | list) and output and isinstance(output[0], Tensor):
            return type(output)([passed(output[0]), *output[1:]])
        raise JtvizError(
            f"{type(block).__name__} returns neither a tensor nor one in front: choose a method that is not "
            f"by layer."
        )

    handle = block.register_forward_hook(through)
    try:
        yield passed
    finally:
        handle.remove()


def feature_ablation(problem: Problem) -> Scores:
    """Return what is lost when each unit is replaced by the baseline, shared among its tokens."""
    found = (
        load()
        .FeatureAblation(problem.function)
        .attribute(
            problem.vectors,
            problem.baselines,
            feature_mask=_masks(problem),
            perturbations_per_eval=problem.at_once,
        )
    )
    return _shared(found, problem)


def shapley_sampling(problem: Problem) -> Scores:
    """Return what each unit adds, over random orders, shared among its tokens."""
    found = (
        load()
        .ShapleyValueSampling(problem.function)
        .attribute(
            problem.vectors,
            problem.baselines,
            feature_mask=_masks(problem),
            n_samples=problem.n_samples,
            perturbations_per_eval=problem.at_once,
        )
    )
    return _shared(found, problem)


def occlusion(problem: Problem) -> Scores:
    """Return what is lost when windows of tokens are replaced, averaged over the windows of a token."""
    windows = tuple((min(problem.window, v.shape[1]), *v.shape[2:]) for v in problem.vectors)
    found = (
        load()
        .Occlusion(problem.function)
        .attribute(
            problem.vectors,
            sliding_window_shapes=windows,
            baselines=problem.baselines,
            perturbations_per_eval=problem.at_once,
        )
    )
    return tuple(_rows(part)[:, 0] for part in found)


class _AsModule(nn.Module):
    """The function as a module, with the model's parts in it, which DeepLift puts its hooks on."""

    def __init__(self, problem: Problem) -> None:
        super().__init__()
        self.model = problem.model
        self._function = problem.function

    def forward(self, *vectors: Tensor) -> Tensor:
        return self._function(*vectors)


def load() -> Any:
    """Return `captum.attr`, which takes a second to import.

    Raises
    ------
    JtvizError
        If Captum is not installed.
    """
    try:
        import captum.attr
    except ModuleNotFoundError:
        raise JtvizError(
            "attribution is computed by Captum: install it with `pip install jtviz[explain]`."
        ) from None
    return captum.attr


def _open(vectors: Vectors) -> Vectors:
    return tuple(v.detach().clone().requires_grad_() for v in vectors)


def _rows(x: Tensor) -> Tensor:
    """Return ``[tokens, width]`` of one example."""
    return x.detach()[0].flatten(1)


def _summed(found: Sequence[Tensor]) -> Scores:
    return tuple(_rows(x).sum(-1) for x in found)


def _masks(problem: Problem) -> Vectors:
    return tuple(
        units[None].reshape(1, -1, *[1] * (v.ndim - 2)).expand(1, *v.shape[1:]).contiguous().to(v.device)
        for units, v in zip(problem.units, problem.vectors, strict=True)
    )


def _shared(found: Sequence[Tensor], problem: Problem) -> Scores:
    out = []
    for part, units in zip(found, problem.units, strict=True):
        sizes = torch.bincount(units.to(part.device), minlength=int(units.max()) + 1)
        out.append(_rows(part)[:, 0] / sizes[units.to(part.device)])
    return tuple(out)


@contextmanager
def _known_warnings() -> Iterator[None]:
    """Captum warns of what is meant here."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*Setting forward, backward hooks and attributes.*")
        warnings.filterwarnings("ignore", message=".*internal.batch.size.*")
        warnings.filterwarnings("ignore", message=".*backward hooks.*")
        yield


RUN: dict[str, Callable[[Problem], Scores]] = {
    "saliency_l1": lambda problem: saliency(problem, order=1),
    "saliency_l2": lambda problem: saliency(problem, order=2),
    "input_x_gradient": input_x_gradient,
    "integrated_gradients": integrated_gradients,
    "smooth_grad": smooth_grad,
    "deep_lift": deep_lift,
    "gradient_shap": gradient_shap,
    "layer_conductance": lambda problem: by_layer(problem, "layer_conductance"),
    "layer_integrated_gradients": lambda problem: by_layer(problem, "layer_integrated_gradients"),
    "feature_ablation": feature_ablation,
    "shapley_sampling": shapley_sampling,
    "occlusion": occlusion,
}
