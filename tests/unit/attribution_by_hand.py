"""Models opened by hand, and each method of Captum called on them by hand: what attributions are held to.

Required: nothing here comes from `jtviz.capture` or `jtviz.analysis`, so that agreement means something.
"""

from __future__ import annotations

import copy
import functools
import math
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import captum.attr
import numpy as np
import torch
from torch import Tensor, nn

import jtviz
from tests.zoo.families import FAMILIES

SEED = 0
STEPS = 9
SAMPLES = 5


@dataclass(frozen=True, eq=False)
class ByHand:
    """One number of a model as a function of the vectors of its tokens, and what Captum needs beside."""

    model: Any
    number: Callable[..., Tensor]
    vectors: tuple[Tensor, ...]
    baselines: tuple[Tensor, ...]
    layers: Sequence[tuple[int, nn.Module]] = field(default=())
    """The side whose tokens a block reads, and the block."""


class _Module(nn.Module):
    def __init__(self, case: ByHand) -> None:
        super().__init__()
        self.model, self.number = case.model, case.number

    def forward(self, *vectors: Tensor) -> Tensor:
        return self.number(*vectors)


@functools.cache
def double(name: str) -> Any:
    """Return a copy of an embedded model in double precision, the same at every call."""
    hooked = getattr(jtviz.demo, name)()
    return jtviz.hook(copy.deepcopy(hooked.model).double(), hooked.tokenizer)


def of_class(model: Any, ids: Sequence[int], index: int, special: int = 1, pad: int = 0) -> ByHand:
    """Open the embedded classifier: the log-probability of a class, against padding."""
    kept = torch.arange(len(ids)) < special

    def number(vectors: Tensor) -> Tensor:
        stream = vectors + model.positions.weight[: vectors.shape[1]]
        logits: Tensor = model.classify(model.encoder(stream)[:, 0])
        return logits.log_softmax(-1)[:, index]

    own = model.embedding.weight[torch.tensor(ids)].detach()
    baseline = torch.where(kept[:, None], own, model.embedding.weight[pad].detach())
    layers = [(0, layer) for layer in model.encoder.layers]
    return ByHand(model, number, (own[None],), (baseline[None],), layers)


def of_token(
    model: Any, source: Sequence[int], target: Sequence[int], kept: Sequence[bool], row: int, index: int
) -> ByHand:
    """Open the embedded translator: the log-probability of a token in a row, against padding."""
    scale, pad = math.sqrt(model.config.width), model.config.pad

    def number(read: Tensor, written: Tensor) -> Tensor:
        places = [model.positions[: x.shape[1]] for x in (read, written)]
        memory = model.transformer.encoder(read * scale + places[0])
        causal = nn.Transformer.generate_square_subsequent_mask(written.shape[1], dtype=read.dtype)
        decoded = model.transformer.decoder(written * scale + places[1], memory, causal, tgt_is_causal=True)
        logits: Tensor = model.project(decoded[:, row])
        return logits.log_softmax(-1)[:, index]

    own = [
        table.weight[torch.tensor(ids)].detach()
        for table, ids in ((model.source_embedding, source), (model.target_embedding, target))
    ]
    stays = [torch.tensor(kept), torch.arange(len(target)) < 1]
    pads = [model.source_embedding.weight[pad].detach(), model.target_embedding.weight[pad].detach()]
    baselines = [torch.where(k[:, None], x, p) for k, x, p in zip(stays, own, pads, strict=True)]
    sides = (model.transformer.encoder.layers, model.transformer.decoder.layers)
    layers = [(side, layer) for side, stack in enumerate(sides) for layer in stack]
    return ByHand(model, number, tuple(x[None] for x in own), tuple(b[None] for b in baselines), layers)


@functools.cache
def random_bert(implementation: str = "sdpa") -> Any:
    """Return a random BERT that tells three classes apart, in double precision, the same at every call."""
    import transformers

    settings = copy.deepcopy(FAMILIES["BERT"].settings) | {"num_labels": 3}
    config = transformers.BertConfig(**settings)
    torch.manual_seed(3)
    made: Any = transformers.BertForSequenceClassification
    model = made._from_config(config, attn_implementation=implementation).eval().double()
    with torch.no_grad():
        # A fresh BERT is so even that nothing speaks for anything.
        for weight in model.parameters():
            weight.add_(0.3 * torch.randn_like(weight) * (weight.ndim > 1))
    return model


def of_bert(model: Any, ids: Tensor, index: int) -> ByHand:
    """Open a BERT: the logit of a class, against vectors of zeros."""
    mask = torch.ones_like(ids)

    def number(vectors: Tensor) -> Tensor:
        logits: Tensor = model(
            inputs_embeds=vectors, attention_mask=mask.expand(len(vectors), -1), use_cache=False
        ).logits
        return logits[:, index]

    own = model.get_input_embeddings()(ids).detach()
    return ByHand(
        model, number, (own,), (torch.zeros_like(own),), [(0, layer) for layer in model.bert.encoder.layer]
    )


def asked(case: ByHand, method: str) -> list[Any]:
    """Call Captum, and return for each side ``[tokens]`` (``[layers, tokens]`` by layer)."""
    attr, f, x, b = captum.attr, case.number, case.vectors, case.baselines
    opened = tuple(v.clone().requires_grad_() for v in x)
    masks: list[Tensor] = []
    for v in x:
        start = sum(m.shape[1] for m in masks)
        masks.append(torch.arange(start, start + v.shape[1])[None, :, None].expand_as(v).contiguous())
    path: dict[str, Any] = {"n_steps": STEPS}
    torch.manual_seed(SEED)
    state = np.random.get_state()  # noqa: NPY002 - Captum draws from it
    np.random.seed(SEED)  # noqa: NPY002 - Captum draws from it
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if method in {"saliency_l1", "saliency_l2"}:
            found = attr.Saliency(f).attribute(opened, abs=False)
            out = [g[0].norm(p=int(method[-1]), dim=-1) for g in found]
        elif method == "input_x_gradient":
            out = [g[0].sum(-1) for g in attr.InputXGradient(f).attribute(opened)]
        elif method == "integrated_gradients":
            out = [g[0].sum(-1) for g in attr.IntegratedGradients(f).attribute(x, b, **path)]
        elif method == "smooth_grad":
            tunnel = attr.NoiseTunnel(attr.Saliency(f))
            stdevs = tuple(0.1 * float(v.max() - v.min()) for v in x)
            found = tunnel.attribute(opened, nt_samples=SAMPLES, stdevs=stdevs, abs=False)
            out = [g[0].norm(dim=-1) for g in found]
        elif method == "deep_lift":
            out = [g[0].sum(-1) for g in attr.DeepLift(_Module(case)).attribute(opened, b)]
        elif method == "gradient_shap":
            found = attr.GradientShap(f).attribute(opened, b, n_samples=SAMPLES, stdevs=0.0)
            out = [g[0].sum(-1) for g in found]
        elif method in {"layer_conductance", "layer_integrated_gradients"}:
            name = {"layer_conductance": "LayerConductance"}.get(method, "LayerIntegratedGradients")
            sides: list[list[Tensor]] = [[] for _ in x]
            for side, layer in case.layers:
                found = getattr(attr, name)(f, layer).attribute(x, b, **path)
                sides[side].append((found[0] if isinstance(found, tuple) else found)[0].sum(-1))
            out = [torch.stack(rows) for rows in sides]
        elif method == "occlusion":
            windows = tuple((3, v.shape[2]) for v in x)
            found = attr.Occlusion(f).attribute(x, windows, baselines=b)
            out = [g[0, :, 0] for g in found]
        else:
            name = {"feature_ablation": "FeatureAblation"}.get(method, "ShapleyValueSampling")
            many = {} if method == "feature_ablation" else {"n_samples": SAMPLES}
            found = getattr(attr, name)(f).attribute(x, b, feature_mask=tuple(masks), **many)
            out = [g[0, :, 0] for g in found]
    np.random.set_state(state)  # noqa: NPY002 - as it was
    return [part.detach().numpy() for part in out]
