"""Heads and units switched off: everything that a model does meanwhile is without them, and nothing stays."""

from __future__ import annotations

import threading
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import jtviz
from jtviz.capture import HookedTransformer, JtvizError, OutOfRangeError, hook
from jtviz.demo import embedded

SENTENCE = "I like to drink tea."
NOTE = "Man, 60. Has crushing chest pain."


def fresh() -> HookedTransformer:
    """Return the translator as nobody has traced it yet."""
    return hook(*embedded.open_translator(embedded.FOLDER / "translator"))


def without(stage: str, layer: int, head: int) -> HookedTransformer:
    """Return the translator with the weights of one head set to zero by hand."""
    model, tokenizer = embedded.open_translator(embedded.FOLDER / "translator")
    transformer: Any = model.transformer
    side = transformer.encoder if stage == "encoder" else transformer.decoder
    module = side.layers[layer].multihead_attn if stage == "cross" else side.layers[layer].self_attn
    with torch.no_grad():
        module.out_proj.weight[:, head * 48 : (head + 1) * 48] = 0
    return hook(model, tokenizer)


@pytest.mark.parametrize(("stage", "layer", "head"), [("encoder", 0, 1), ("decoder", 1, 3), ("cross", 1, 0)])
def test_a_translation_is_written_without_the_head(stage: str, layer: int, head: int) -> None:
    hooked, other = fresh(), without(stage, layer, head)
    with hooked.ablate(heads={(stage, layer): [head]}) as ablation:
        assert hooked.generate(SENTENCE) == other.generate(SENTENCE)
        found = hooked.trace(SENTENCE, target_text="我喜欢喝茶。")
    assert repr(ablation.mask) == f"Mask(heads off: {stage} {layer}.{head})"
    wanted = other.trace(SENTENCE, target_text="我喜欢喝茶。")
    torch.testing.assert_close(found.logits, wanted.logits, atol=1e-4, rtol=0)
    for name in wanted.stages:
        for number in range(2):
            torch.testing.assert_close(
                found.attention(name, layer=number), wanted.attention(name, layer=number), atol=1e-5, rtol=0
            )
    assert max(found.check().values()) < 1e-5
    assert any("switched off" in note for note in found.notes)
    assert hooked.generate(SENTENCE) == "我喜欢喝茶。"


def test_units_are_off_in_every_layer_that_is_named() -> None:
    hooked = fresh()
    with hooked.ablate(units={("encoder", 0): [3, 5], ("decoder", 1): slice(0, 256)}):
        found = hooked.trace(SENTENCE, target_text="我喜欢喝茶。").logits
    model, tokenizer = embedded.open_translator(embedded.FOLDER / "translator")
    transformer: Any = model.transformer
    with torch.no_grad():
        transformer.encoder.layers[0].linear2.weight[:, [3, 5]] = 0
        transformer.decoder.layers[1].linear2.weight[:, :256] = 0
    wanted = hook(model, tokenizer).trace(SENTENCE, target_text="我喜欢喝茶。").logits
    torch.testing.assert_close(found, wanted, atol=1e-4, rtol=0)


def test_an_explanation_is_of_the_model_without_the_head() -> None:
    hooked = fresh()
    asked: dict[str, Any] = {"target": "茶", "method": "saliency_l2", "trust": False, "progress": False}
    with hooked.ablate(heads={("cross", 1): [0]}):
        found = jtviz.explain(hooked, SENTENCE, target_text="我喜欢喝茶。", **asked)
    wanted = jtviz.explain(without("cross", 1, 0), SENTENCE, target_text="我喜欢喝茶。", **asked)
    for side, scores in wanted.parts[0].scores.items():
        assert found.parts[0].scores[side] == pytest.approx(scores, abs=1e-4)


def test_the_mean_over_the_reference_stands_in() -> None:
    hooked = jtviz.demo.classifier()
    texts = ["Man, 60. Has crushing chest pain.", "Woman, 31. Has a runny nose."]
    model: Any = hooked.model
    attention = model.encoder.layers[1].self_attn
    seen: list[Tensor] = []
    handle = attention.out_proj.register_forward_pre_hook(lambda _, args: seen.append(args[0]))
    handle.remove()

    # By hand: the layer's own values under its own attention, [heads, tokens, d].
    for text in texts:
        trace = hooked.trace(text)
        site = trace.site("encoder", 1)
        seen.append(trace.attention("encoder", layer=1)[2] @ site.value[2])
    mean = torch.cat(seen).mean(0)
    trace = hooked.trace(NOTE)
    site = trace.site("encoder", 1)
    instead = torch.zeros(4, 16)
    instead[2] = mean
    own = trace.attention("encoder", layer=1)[2] @ site.value[2]
    width = slice(32, 48)
    change = (mean - own) @ attention.out_proj.weight[:, width].T
    handle = attention.register_forward_hook(lambda _, __, output: (output[0] + change, *output[1:]))
    try:
        wanted = hooked.classify(NOTE)
    finally:
        handle.remove()
    with hooked.ablate(heads={("encoder", 1): [2]}, mode="mean", reference=texts):
        found = hooked.classify(NOTE)
    assert found == pytest.approx(wanted, abs=1e-5)
    assert found != pytest.approx(hooked.classify(NOTE), abs=1e-5)


def test_without_a_reference_the_mean_is_over_what_is_read_first() -> None:
    hooked = fresh()
    heads: Any = {("encoder", 0): [0, 1]}
    with hooked.ablate(heads=heads, mode="mean", reference=SENTENCE):
        wanted = hooked.generate(SENTENCE)
        numbers = hooked.trace(SENTENCE, target_text="我喜欢喝茶。").logits
    again = fresh()
    with again.ablate(heads=heads, mode="mean"):
        assert again.generate(SENTENCE) == wanted
        torch.testing.assert_close(
            again.trace(SENTENCE, target_text="我喜欢喝茶。").logits, numbers, atol=1e-4, rtol=0
        )


def test_a_model_that_was_never_traced_is_learnt_from_its_first_forward() -> None:
    model = nn.TransformerEncoder(nn.TransformerEncoderLayer(8, 2, batch_first=True), 2).eval()
    x = torch.randn(3, 5, 8)
    hooked = hook(model)
    with torch.no_grad(), hooked.ablate(heads={("encoder", 1): [1]}) as ablation:
        assert ablation.mask is None
        found = model(x)
    last: Any = model.layers[1]
    with torch.no_grad():
        last.self_attn.out_proj.weight[:, 4:] = 0
        torch.testing.assert_close(found, model(x), atol=1e-5, rtol=0)


def test_what_runs_before_it_is_known_where_heads_are_is_refused() -> None:
    model, _ = embedded.open_translator(embedded.FOLDER / "translator")
    hooked = hook(model)  # without its tokenizer it cannot be tried out
    with hooked.ablate(heads={("encoder", 0): [0]}), pytest.raises(JtvizError, match="trace a text first"):
        model.generate(torch.tensor([[5, 6, 2]]))


def test_two_ablations_add_up() -> None:
    hooked = fresh()
    with hooked.ablate(heads={("cross", 1): [0]}), hooked.ablate(heads={("encoder", 0): [1]}):
        nested = hooked.trace(SENTENCE, target_text="我喜欢喝茶。").logits
    with hooked.ablate(heads={("cross", 1): [0], ("encoder", 0): [1]}):
        both = hooked.trace(SENTENCE, target_text="我喜欢喝茶。").logits
    assert nested is not None
    torch.testing.assert_close(nested, both, atol=1e-5, rtol=0)


def test_another_thread_sees_nothing_of_it() -> None:
    hooked = jtviz.demo.classifier()
    intact = hooked.classify(NOTE)
    found: list[dict[str, float]] = []
    with hooked.ablate(heads={("encoder", 0): None, ("encoder", 1): None}):
        thread = threading.Thread(target=lambda: found.append(hooked.classify(NOTE)))
        thread.start()
        thread.join()
        assert hooked.classify(NOTE) != pytest.approx(intact, abs=1e-3)
    assert found[0] == pytest.approx(intact, abs=1e-6)


def test_the_model_is_as_it_was_also_after_an_exception() -> None:
    hooked = fresh()
    hooked.trace(SENTENCE)
    before = {name: value.clone() for name, value in hooked.model.state_dict().items()}

    def interrupted() -> None:
        with hooked.ablate(heads={("encoder", 0): [0]}):
            hooked.generate(SENTENCE)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in hooked.model.modules())
    assert all(torch.equal(value, before[name]) for name, value in hooked.model.state_dict().items())
    assert hooked.generate(SENTENCE) == "我喜欢喝茶。"


def test_a_trace_of_the_whole_model_is_the_same_object_again_afterwards() -> None:
    hooked = fresh()
    trace = hooked.trace(SENTENCE)
    with hooked.ablate(heads={("cross", 0): [2]}):
        assert hooked.trace(SENTENCE) is not trace
    assert hooked.trace(SENTENCE) is trace


def test_a_compiled_model_is_run_without_its_compiler() -> None:
    model, tokenizer = embedded.open_classifier(embedded.FOLDER / "classifier/honest")
    plain = hook(model, tokenizer)
    with plain.ablate(heads={("encoder", 0): [1]}):
        wanted = plain.classify(NOTE)
    compiled = hook(torch.compile(model, backend="eager"), tokenizer)
    with compiled.ablate(heads={("encoder", 0): [1]}):
        assert compiled.classify(NOTE) == pytest.approx(wanted, abs=1e-6)


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"heads": {("decoder", 1): [9]}}, "head 9 is not there: decoder layer 1 has heads 0 to 3"),
        ({"heads": {("decoder", 7): [0]}}, "layer 7 of the decoder has no attention here: choose from 0, 1"),
        ({"heads": {("middle", 0): [0]}}, "there is no attention layer of stage 'middle'"),
        ({"heads": [("decoder", 1, 0)]}, "by stage and layer, .*, not"),
        ({"units": {("cross", 0): [0]}}, "there is no feed-forward layer of stage 'cross'"),
        ({"units": {("encoder", 0): [512]}}, "unit 512 is not there"),
        ({"heads": {}, "mode": "median"}, "mode= is one of 'zero', 'mean', not 'median'"),
        ({"mode": "mean", "reference": []}, "reference= is a text"),
        ({}, "say what to switch off"),
    ],
)
def test_what_is_not_there_is_refused_at_once(asked: dict[str, Any], words: str) -> None:
    hooked = jtviz.demo.translator()
    hooked.trace(SENTENCE)
    with pytest.raises(JtvizError, match=words):
        hooked.ablate(**asked)


def test_a_model_without_feed_forward_layers_says_so() -> None:
    hooked = jtviz.demo.induction()
    hooked.trace("abcabc")
    with pytest.raises(JtvizError, match="no feed-forward units were found"):
        hooked.ablate(units={("decoder", 0): [0]})
    with pytest.raises(OutOfRangeError):
        hooked.ablate(heads={("decoder", 0): [-5]})
