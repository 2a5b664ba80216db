"""The ways of attributing a prediction to its tokens: what each is called, means and promises.

Required: what a method promises (to sum to the difference, to have a sign) is said here once, and read by
everything that shows or checks it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Kind = Literal["gradient", "layer", "perturbation", "attention"]


@dataclass(frozen=True)
class Method:
    """One way of attributing.

    Attributes
    ----------
    name : str
        What it is called in a call.
    label : str
        What it is called in a view.
    words : str
        What it does, in plain words.
    source : str
        The paper.
    kind : {"gradient", "layer", "perturbation", "attention"}
        What it is computed by: gradients with respect to the tokens' vectors, or to the output of each
        layer; replacing tokens; attention.
    has_baseline : bool
        Whether the answer depends on what an absent token is.
    is_signed : bool
        Whether a token may speak against the target.
    is_complete : bool
        Whether scores are meant to sum to the difference between the text and the baseline.
    has_points : bool
        Whether it is computed from points on a path or random samples: the more, the finer.
    """

    name: str
    label: str
    words: str
    source: str
    kind: Kind
    has_baseline: bool = False
    is_signed: bool = True
    is_complete: bool = False
    has_points: bool = False


_ALL = (
    Method(
        "saliency_l1",
        "saliency (L1)",
        "how steeply the number changes with a token's vector: the sum of the absolute gradient",
        "Simonyan et al. 2014",
        "gradient",
        is_signed=False,
    ),
    Method(
        "saliency_l2",
        "saliency (L2)",
        "how steeply the number changes with a token's vector: the length of the gradient",
        "Simonyan et al. 2014",
        "gradient",
        is_signed=False,
    ),
    Method(
        "input_x_gradient",
        "input × gradient",
        "the gradient times the token's vector: what the token adds if the model were linear",
        "Shrikumar et al. 2016",
        "gradient",
    ),
    Method(
        "integrated_gradients",
        "integrated gradients",
        "the gradient added up on the straight way from the baseline to the text",
        "Sundararajan et al. 2017",
        "gradient",
        has_baseline=True,
        is_complete=True,
        has_points=True,
    ),
    Method(
        "smooth_grad",
        "SmoothGrad",
        "the mean gradient of many slightly noisy copies of the text: its length",
        "Smilkov et al. 2017",
        "gradient",
        is_signed=False,
        has_points=True,
    ),
    Method(
        "deep_lift",
        "DeepLift",
        "differences from the baseline handed back through the layers by the rescale rule",
        "Shrikumar et al. 2017",
        "gradient",
        has_baseline=True,
        is_complete=True,
    ),
    Method(
        "gradient_shap",
        "GradientSHAP",
        "the gradient at random points between the baseline and the text",
        "Lundberg & Lee 2017",
        "gradient",
        has_baseline=True,
        is_complete=True,
        has_points=True,
    ),
    Method(
        "layer_conductance",
        "layer conductance",
        "how much of the integrated gradients flows through each token in each layer",
        "Dhamdhere et al. 2018",
        "layer",
        has_baseline=True,
        is_complete=True,
        has_points=True,
    ),
    Method(
        "layer_integrated_gradients",
        "layer integrated gradients",
        "integrated gradients from the output of each layer on, token by token",
        "Sundararajan et al. 2017",
        "layer",
        has_baseline=True,
        is_complete=True,
        has_points=True,
    ),
    Method(
        "occlusion",
        "occlusion",
        "what is lost when a window of tokens is replaced by the baseline",
        "Zeiler & Fergus 2014",
        "perturbation",
        has_baseline=True,
    ),
    Method(
        "feature_ablation",
        "feature ablation",
        "what is lost when one token is replaced by the baseline",
        "Li et al. 2016",
        "perturbation",
        has_baseline=True,
    ),
    Method(
        "shapley_sampling",
        "Shapley sampling",
        "what a token adds, on average over random orders in which tokens come in",
        "Castro et al. 2009",
        "perturbation",
        has_baseline=True,
        is_complete=True,
        has_points=True,
    ),
    Method(
        "attention_x_gradient",
        "attention × gradient",
        "attention to a token times its gradient, over all layers, heads and queries",
        "Kobayashi et al. 2020; Chefer et al. 2021, equation 5 without the positive part",
        "attention",
    ),
    Method(
        "rollout",
        "rollout",
        "attention followed down through the layers",
        "Abnar & Zuidema 2020",
        "attention",
        is_signed=False,
    ),
    Method(
        "attention_flow",
        "attention flow",
        "how much attention can flow from a token to the prediction at most",
        "Abnar & Zuidema 2020",
        "attention",
        is_signed=False,
    ),
    Method(
        "relevance",
        "relevance",
        "attention weighted by its gradient (of minus the loss, where that is the scale), followed through "
        "encoder, decoder and cross attention",
        "Chefer et al. 2021",
        "attention",
        is_signed=False,
    ),
)

METHODS: dict[str, Method] = {method.name: method for method in _ALL}
"""Every method by its name."""
