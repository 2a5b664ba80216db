"""The residual stream in numbers: features, contributions, trajectories and similarity.

The references: torch by hand, the modules' own outputs caught by hooks, scikit-learn's PCA, SciPy's cosine.
"""

from __future__ import annotations

import itertools
import sys
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.spatial.distance import cdist
from sklearn.decomposition import PCA
from torch import Tensor

import jtviz
from jtviz.analysis import contributions, features, similarity, trajectories
from jtviz.capture import JtvizError, OutOfRangeError, hook
from jtviz.capture.memory import fingerprint
from tests.unit.planted import Planted, texts, tokenizer
from tests.zoo.families import FAMILIES

TEXT = "We went to the market with our friends."


def traced(text: str = TEXT) -> jtviz.Trace:
    return jtviz.demo.translator().trace(text)


def of(rows: Tensor) -> jtviz.Trace:
    """Return a trace of its own whose residual stream is this, ``[layers + 1, tokens, width]``."""
    trace = hook(Planted(), tokenizer()).trace("w0 w1 w2 w3")

    def hidden(stage: str) -> Tensor:
        del stage
        return rows

    trace.hidden = hidden  # type: ignore[method-assign]
    return trace


def planted(change: dict[tuple[int, int], float]) -> jtviz.Trace:
    """Trace four words whose embeddings have numbers put in by hand."""
    model = Planted()
    with torch.no_grad():
        for (word, dimension), value in change.items():
            model.embedding.weight[word, dimension] = value
    return hook(model, tokenizer()).trace("w0 w1 w2 w3")


@pytest.mark.parametrize("side", ["encoder", "decoder"])
def test_norms_and_variances_are_those_of_the_stream(side: str) -> None:
    trace = traced()
    hidden, found = trace.hidden(side), features(trace, side)
    torch.testing.assert_close(found.norms, hidden.square().sum(-1).sqrt(), atol=1e-4, rtol=1e-5)
    torch.testing.assert_close(found.added, (hidden[1:] - hidden[:-1]).norm(dim=-1), atol=1e-4, rtol=1e-5)
    np.testing.assert_allclose(found.variance, hidden.numpy().var(axis=1), atol=1e-4)
    table = found.to_pandas()
    assert isinstance(table, pd.DataFrame)
    assert table.query("layer == 2 and token == 3")["norm"].item() == float(found.norms[2, 3])
    assert table.query("layer == 0")["added"].isna().all()


def test_a_massive_activation_and_an_outlier_dimension_are_found_where_they_were_put() -> None:
    # Most numbers of the stream are zero, and so is their median: anything from 100 on is massive.
    found = features(planted({(2, 7): -5000.0, (1, 6): 99.0}))
    assert [(one.layer, one.token, one.dimension, one.value) for one in found.massive] == [
        (layer, 2, 7, -5000.0) for layer in range(5)
    ]
    assert found.massive[0].ratio == float("inf")
    # Six standard deviations of 32 numbers are more than one of them can be off.
    assert not found.outliers
    rows = torch.randn(40, 64)
    rows[3:9, 5] = torch.tensor([30.0, -40.0, 30.0, 30.0, 30.0, 30.0])
    alone = features(of(rows[None].repeat(3, 1, 1)))
    assert [(one.layer, one.dimension, one.value, one.tokens) for one in alone.outliers] == [
        (layer, 5, -40.0, 6) for layer in range(3)
    ]
    assert not alone.massive


def test_nothing_is_massive_that_is_not_a_thousand_times_the_median() -> None:
    rows = torch.ones(2, 10, 16)
    rows[0, 0, 0], rows[1, 0, 0] = 999.0, 1001.0
    found = features(of(rows)).massive
    assert [(one.layer, one.value, one.ratio) for one in found] == [(1, 1001.0, 1001.0)]


def test_dimensions_are_ordered_by_variance_and_clustered_with_those_that_move_together() -> None:
    trace = traced()
    found = features(trace, "encoder")
    assert found.by_variance(1).tolist() == trace.hidden("encoder")[1].numpy().var(0).argsort()[::-1].tolist()
    assert sorted(found.by_variance().tolist()) == list(range(192))
    base = torch.randn(30, 3)
    group = torch.tensor([0, 1, 2, 0, 1, 2, 0, 1, 2, 0])
    rows = base[:, group] * torch.tensor([1.0, 5.0, 2.0] * 3 + [1.5]) + 0.01 * torch.randn(30, 10)
    found = features(of(rows[None]))
    order = found.clustered(0, 3)
    assert sorted(order.tolist()) == list(range(10))
    together = group[order].tolist()
    assert sum(a != b for a, b in itertools.pairwise(together)) == 2
    assert together[0] == 1  # the cluster that varies most comes first
    with pytest.raises(JtvizError, match="clusters= is a number, 1 to 10"):
        found.clustered(0, 11)


def outputs(model: Any, inputs: dict[str, Any], ends: tuple[str, ...]) -> dict[str, Tensor]:
    """Return what modules whose names end so put out."""
    found: dict[str, Tensor] = {}
    hooks = [
        module.register_forward_hook(
            lambda _, __, out, name=name: found.setdefault(name, out[0] if isinstance(out, tuple) else out)
        )
        for name, module in model.named_modules()
        if name.endswith(ends)
    ]
    with torch.no_grad():
        model(**inputs)
    for one in hooks:
        one.remove()
    return found


def test_contributions_are_what_the_modules_put_out_and_sum_to_the_change_of_the_stream() -> None:
    case = FAMILIES["GPT-2"]
    model, inputs = case.build("sdpa"), case.inputs(1, "none")
    found = contributions(hook(model).trace(inputs=inputs))
    own = outputs(model, inputs, ("attn.c_proj", "mlp.c_proj"))
    for layer, block in enumerate(model.transformer.h):
        attention = own[f"transformer.h.{layer}.attn.c_proj"][0] - block.attn.c_proj.bias
        torch.testing.assert_close(
            found.attention[layer], attention.detach().norm(dim=-1), atol=1e-5, rtol=1e-4
        )
        added = own[f"transformer.h.{layer}.mlp.c_proj"][0]
        torch.testing.assert_close(found.feed_forward[layer], added.norm(dim=-1), atol=1e-5, rtol=1e-4)
    assert all(found.adds_up)
    assert found.cross.isnan().all()


@pytest.mark.parametrize(
    ("family", "adds_up"), [("BERT", False), ("GPT-2", True), ("Falcon", True), ("T5", True)]
)
@pytest.mark.parametrize("implementation", ["sdpa", "eager"])
def test_it_is_said_whether_a_block_is_the_sum_of_its_parts(
    family: str, adds_up: bool, implementation: str
) -> None:
    case = FAMILIES[family]
    model = case.build(implementation)
    trace = hook(model).trace(inputs=case.inputs(1, "none"))
    for side in [stage for stage in trace.stages if stage != "cross"]:
        assert set(contributions(trace, side).adds_up) == {adds_up}


def test_blocks_that_add_up_without_a_feed_forward_layer_have_none() -> None:
    found = contributions(jtviz.demo.induction().trace("abcab"))
    assert all(found.adds_up)
    assert found.feed_forward.isnan().all()
    assert found.notes == ()
    # Of a single token that cannot be told.
    found = contributions(jtviz.demo.induction().trace("a"))
    assert not any(found.adds_up)
    assert found.notes == ("no feed-forward layer was found in blocks 0, 1.",)


def test_contributions_of_a_decoder_have_cross_attention_and_leave_the_model_as_it_was() -> None:
    hooked = jtviz.demo.translator()
    before = fingerprint(hooked.model)
    found = contributions(hooked.trace(TEXT), "decoder")
    assert fingerprint(hooked.model) == before
    assert all(found.adds_up)
    assert (found.cross > 0).all()
    assert list(found.to_pandas().columns) == [
        "layer",
        "token",
        "attention",
        "cross",
        "feed_forward",
        "block",
    ]


def test_contributions_need_the_model_of_the_trace() -> None:
    trace = jtviz.Trace.from_qkv(torch.randn(1, 2, 3, 4), torch.randn(1, 2, 3, 4))
    with pytest.raises(JtvizError, match="without its model: trace the text again"):
        contributions(trace)


@pytest.mark.parametrize("dimensions", [2, 3])
def test_paths_are_those_of_scikit_learn(dimensions: int) -> None:
    trace = traced()
    found = trajectories(trace, "decoder", dimensions)
    hidden = trace.hidden("decoder").numpy()
    fitted = PCA(dimensions, svd_solver="full").fit(hidden.reshape(-1, hidden.shape[-1]))
    for layer, rows in enumerate(hidden):
        np.testing.assert_allclose(found.paths[layer], fitted.transform(rows), atol=1e-3)
    np.testing.assert_allclose(found.explained, fitted.explained_variance_ratio_, atol=1e-6)
    table = found.to_pandas()
    assert table.query("layer == 1 and token == 2")["x1"].item() == float(found.paths[1, 2, 1])
    assert table["text"][0] == trace.tokens["decoder"][0]


def test_all_dimensions_keep_all_distances() -> None:
    trace = traced("I like tea.")
    found = trajectories(trace, "encoder", 14)
    flat, paths = trace.hidden("encoder").flatten(0, 1), found.paths.flatten(0, 1)
    torch.testing.assert_close(torch.cdist(paths, paths), torch.cdist(flat, flat), atol=2e-2, rtol=1e-3)
    assert float(found.explained.sum()) == pytest.approx(1, abs=1e-4)


def test_similarities_are_cosines() -> None:
    trace = traced()
    hidden = trace.hidden("encoder").numpy()
    found = similarity(trace, "encoder", layer=1)
    np.testing.assert_allclose(found.tokens, 1 - cdist(hidden[1], hidden[1], "cosine"), atol=1e-5)
    for token in range(hidden.shape[1]):
        wanted = 1 - cdist(hidden[:, token], hidden[:, token], "cosine")
        np.testing.assert_allclose(found.layers[token], wanted, atol=1e-5)
    assert similarity(trace, "encoder").layer == 2
    assert found.to_pandas().shape == found.tokens.shape


def test_centred_similarities_are_correlations_of_what_is_left_without_the_mean() -> None:
    trace = traced()
    hidden = trace.hidden("decoder").numpy()
    found = similarity(trace, "decoder", layer=1, centred=True)
    away = hidden - hidden.mean(1, keepdims=True)
    np.testing.assert_allclose(found.tokens, 1 - cdist(away[1], away[1], "cosine"), atol=1e-5)
    for token in range(hidden.shape[1]):
        wanted = 1 - cdist(away[:, token], away[:, token], "cosine")
        np.testing.assert_allclose(found.layers[token], wanted, atol=1e-5)
    assert found.centred
    # What all tokens share is gone: the mean over the pairs is near 0, where it was near 1.
    rows = torch.randn(2, 50, 16) + 40
    whole, left = (similarity(of(rows), centred=centred).tokens for centred in (False, True))
    assert float(whole.min()) > 0.98
    assert abs(float(left.mean())) < 0.05
    # A text of one token, or of equal ones, has nothing left, not the direction of a rounding error.
    same = torch.randn(2, 1, 16).repeat(1, 3, 1) * 1e3
    assert bool((similarity(of(same), centred=True).tokens == 0).all())


def test_pairs_that_would_not_fit_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    trace = traced("I like tea.")
    monkeypatch.setattr(sys.modules["jtviz.analysis.layers.similarity"], "LIMIT", 4 * 5**2)
    similarity(trace, "encoder")
    monkeypatch.setattr(sys.modules["jtviz.analysis.layers.similarity"], "LIMIT", 4 * 5**2 - 1)
    with pytest.raises(JtvizError, match="all pairs of 5 tokens do not fit"):
        similarity(trace, "encoder")


def test_layers_and_sides_that_are_not_there_are_answered_with_those_that_are() -> None:
    trace = jtviz.demo.classifier().trace("A man has a cough.")
    with pytest.raises(OutOfRangeError, match="layers 0 to 2"):
        similarity(trace, layer=3)
    for analysis in (features, trajectories, similarity, contributions):
        with pytest.raises(JtvizError, match="side 'decoder' is not there: this model has 'encoder'"):
            analysis(trace, "decoder")
    with pytest.raises(JtvizError, match="dimensions= is a number, 1 to"):
        trajectories(trace, dimensions=0)


def test_texts_are_read_without_pushing_traces_out_of_memory() -> None:
    hooked = hook(Planted(), tokenizer())
    trace = hooked.trace("w0 w1")
    streamed = list(jtviz.analysis.read(hooked, texts()[0]))
    assert len(streamed) == 40
    assert hooked.trace("w0 w1") is trace
    torch.testing.assert_close(streamed[3].hidden("encoder"), hooked.trace(texts()[0][3]).hidden("encoder"))
