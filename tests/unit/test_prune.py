"""A pruned copy answers as the model does with the same parts switched off, and its weights are gone."""

from __future__ import annotations

import copy
import io
import math
import pickle
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import jtviz
from jtviz.capture import HookedTransformer, JtvizError, Mask, OutOfRangeError, hook, prune
from jtviz.capture.pruning.attention import PrunedAttention
from jtviz.capture.pruning.cutting import Journal
from jtviz.capture.pruning.groups import balanced, whole_groups
from jtviz.demo import embedded

SENTENCE = "I like to drink tea."
ANSWER = "我喜欢喝茶。"
NOTE = "Man, 60. Has crushing chest pain."
HEAD = 4 * 48 * 192 + 3 * 48
"""Parameters of one head of the translator: rows of three projections, columns of the output's."""
UNIT = 2 * 192 + 1


def fresh() -> HookedTransformer:
    hooked = hook(*embedded.open_translator(embedded.FOLDER / "translator"))
    hooked.trace(SENTENCE, target_text=ANSWER)
    return hooked


def fresh_classifier() -> HookedTransformer:
    hooked = hook(*embedded.open_classifier(embedded.FOLDER / "classifier/honest"))
    hooked.trace(NOTE)
    return hooked


def reopened(model: nn.Module) -> Any:
    file = io.BytesIO()
    torch.save(model, file)
    file.seek(0)
    return torch.load(file, weights_only=False)


def test_the_translator_without_heads_and_units_is_smaller_and_writes_what_the_ablated_one_writes() -> None:
    hooked = fresh()
    heads: Any = {("encoder", 0): [1, 2], ("decoder", 1): [3], ("cross", 1): [0]}
    units: Any = {("encoder", 1): slice(0, 100), ("decoder", 0): [5]}
    pruned = prune(hooked, heads=heads, units=units)
    assert pruned.saved == 4 * HEAD + 101 * UNIT
    assert pruned.parameters_before == sum(p.numel() for p in hooked.model.parameters())
    assert pruned.parameters_after == sum(p.numel() for p in pruned.model.parameters())
    assert pruned.removed == pruned.mask
    assert not len(pruned.masked)
    assert not pruned.reasons
    for number, sentence in enumerate([SENTENCE, "Where is the nearest station?", "Tom is my friend."]):
        with hooked.ablate(heads=heads, units=units):
            wanted = hooked.generate(sentence, num_beams=1 + number)
            logits = hooked.trace(sentence, target_text=ANSWER).logits
        assert pruned.hooked.generate(sentence, num_beams=1 + number) == wanted
        found = pruned.hooked.trace(sentence, target_text=ANSWER)
        torch.testing.assert_close(found.logits, logits, atol=1e-5, rtol=1e-5)
        assert max(found.check().values()) < 1e-5
    assert found.places is not None
    assert [place.heads for place in found.places.heads] == [2, 4, 4, 3, 4, 3]
    assert [place.units for place in found.places.units] == [512, 412, 511, 512]


def test_heads_that_are_left_look_where_they_looked() -> None:
    hooked = fresh()
    pruned = prune(hooked, heads={("cross", 1): [0, 2]})
    found = pruned.hooked.trace(SENTENCE, target_text=ANSWER).attention("cross", layer=1)
    wanted = hooked.trace(SENTENCE, target_text=ANSWER).attention("cross", layer=1, head=[1, 3])
    torch.testing.assert_close(found, wanted, atol=1e-6, rtol=0)


def test_the_model_itself_is_left_as_it_was() -> None:
    hooked = fresh()
    before = copy.deepcopy(hooked.model.state_dict())
    prune(hooked, heads={("encoder", 0): None}, units={("encoder", 0): [0]})
    after = hooked.model.state_dict()
    assert list(before) == list(after)
    assert all(torch.equal(value, before[name]) for name, value in after.items())
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in hooked.model.modules())
    assert isinstance(
        hooked.model.get_submodule("transformer.encoder.layers.0.self_attn"), nn.MultiheadAttention
    )
    assert hooked.generate(SENTENCE) == ANSWER


def test_random_numbers_are_drawn_as_if_nothing_had_been_pruned() -> None:
    hooked = fresh_classifier()
    torch.manual_seed(5)
    wanted = torch.rand(3)
    torch.manual_seed(5)
    prune(hooked, heads={("encoder", 0): [1]}, units={("encoder", 1): [2]})
    assert torch.equal(torch.rand(3), wanted)


def test_a_layer_keeps_a_head_and_a_unit_that_add_nothing() -> None:
    hooked = fresh()
    pruned = prune(hooked, heads={("encoder", 0): None}, units={("decoder", 1): None})
    assert pruned.removed.heads == (("encoder", 0, 1), ("encoder", 0, 2), ("encoder", 0, 3))
    assert pruned.masked == Mask(heads=(("encoder", 0, 0),), units=(("decoder", 1, 0),))
    assert set(pruned.reasons.values()) == {"a layer keeps one, so that it is still a layer of later traces"}
    assert {(place.stage, place.layer) for place in pruned.reasons} == {("encoder", 0), ("decoder", 1)}
    assert repr(pruned) == (
        f"Pruned(3 heads and 511 units removed, 1 head and 1 unit masked for good: "
        f"{3 * HEAD + 511 * UNIT:,} of 2,992,179 parameters saved)"
    )
    with hooked.ablate(heads={("encoder", 0): None}, units={("decoder", 1): None}):
        wanted = hooked.trace(SENTENCE, target_text=ANSWER).logits
    found = pruned.hooked.trace(SENTENCE, target_text=ANSWER)
    torch.testing.assert_close(found.logits, wanted, atol=1e-5, rtol=1e-5)
    assert [found.layers(stage) for stage in found.stages] == [2, 2, 2]


def test_a_mask_and_what_is_named_beside_it_add_up() -> None:
    hooked = fresh_classifier()
    with hooked.ablate(heads={("encoder", 1): [0, 3]}) as ablation:
        pass
    pruned = prune(hooked, ablation.mask, units={("encoder", 0): [7]})
    assert pruned.mask == Mask(heads=(("encoder", 1, 0), ("encoder", 1, 3)), units=(("encoder", 0, 7),))
    assert repr(prune(hooked, Mask())) == "Pruned(nothing to remove: 0 of 90,626 parameters saved)"


def test_a_text_is_traced_where_none_was() -> None:
    model, tokenizer = embedded.open_classifier(embedded.FOLDER / "classifier/honest")
    assert prune(model, heads={("encoder", 0): [1]}, tokenizer=tokenizer, text=NOTE).saved == 4 * 16 * 64 + 48
    model, _ = embedded.open_classifier(embedded.FOLDER / "classifier/honest")
    pruned = prune(model, heads={("encoder", 0): [1]}, inputs={"input_ids": [[5, 6, 7]]})
    assert pruned.saved == 4 * 16 * 64 + 48


def test_a_pruned_copy_can_be_explained_ablated_and_pruned_again() -> None:
    hooked = fresh_classifier()
    pruned = prune(hooked, heads={("encoder", 0): [1]})
    asked: dict[str, Any] = {"target": "urgent", "method": "saliency_l2", "trust": False, "progress": False}
    found = jtviz.explain(pruned.hooked, NOTE, **asked)
    with hooked.ablate(heads={("encoder", 0): [1]}):
        wanted = jtviz.explain(hooked, NOTE, **asked)
    for side, scores in wanted.parts[0].scores.items():
        assert found.parts[0].scores[side] == pytest.approx(scores, abs=1e-5)
    with hooked.ablate(heads={("encoder", 0): [1, 2], ("encoder", 1): [3]}):
        chances = hooked.classify(NOTE)
    # What was head 2 is head 1 now.
    with pruned.hooked.ablate(heads={("encoder", 0): [1], ("encoder", 1): [3]}):
        assert pruned.hooked.classify(NOTE) == pytest.approx(chances, abs=1e-5)
    again = prune(pruned.hooked, heads={("encoder", 0): [1], ("encoder", 1): [3]})
    assert again.hooked.classify(NOTE) == pytest.approx(chances, abs=1e-5)
    assert (pruned.saved, again.saved) == (4 * 16 * 64 + 48, 2 * (4 * 16 * 64 + 48))


def test_a_pruned_copy_trains() -> None:
    pruned = prune(fresh_classifier(), heads={("encoder", 0): [1]}, units={("encoder", 1): [2]})
    model: Any = pruned.model.train()
    ids = torch.tensor([[5, 6, 7, 8]])
    optimiser = torch.optim.SGD(model.parameters(), lr=0.1)
    losses = []
    for _ in range(4):
        model.eval()
        losses.append(nn.functional.cross_entropy(model(ids), torch.tensor([0])))
        model.train()
        optimiser.zero_grad()
        losses[-1].backward()  # type: ignore[no-untyped-call]
        assert all(p.grad is not None for p in model.parameters())
        optimiser.step()
    assert losses[-1] < losses[0]


def test_a_pruned_copy_is_saved_pickled_and_copied() -> None:
    pruned = prune(fresh(), heads={("encoder", 0): [1], ("cross", 0): [0, 1]}, units={("encoder", 0): [3]})
    model: Any = pruned.model
    source, target = torch.tensor([[5, 6, 7, 2]]), torch.tensor([[1, 8, 9]])
    with torch.no_grad():
        wanted = model(source, target)
        for other in (reopened(model), pickle.loads(pickle.dumps(model)), copy.deepcopy(model)):  # noqa: S301 - our own
            assert torch.equal(other(source, target), wanted)
        for parameter in other.parameters():
            parameter.zero_()
        other.load_state_dict(model.state_dict())
        assert torch.equal(other(source, target), wanted)


def test_what_is_left_is_bit_for_bit_what_it_was_also_in_half_precision_and_frozen() -> None:
    model: Any = fresh_classifier().model
    model = copy.deepcopy(model).to(torch.bfloat16).train()
    model.encoder.layers[0].self_attn.in_proj_weight.requires_grad_(False)
    model.encoder.layers[0].linear1.weight.requires_grad_(False)
    pruned: Any = prune(
        model, heads={("encoder", 0): [1]}, units={("encoder", 0): [0]}, inputs=torch.tensor([[5, 6, 7]])
    ).model
    assert {p.dtype for p in pruned.parameters()} == {torch.bfloat16}
    assert all(module.training for module in pruned.modules())
    left, own = pruned.encoder.layers[0], model.encoder.layers[0]
    keep = [i for i in range(64) if not 16 <= i < 32]
    assert torch.equal(left.self_attn.q_proj.weight, own.self_attn.in_proj_weight[:64][keep])
    assert torch.equal(left.self_attn.v_proj.bias, own.self_attn.in_proj_bias[128:][keep])
    assert torch.equal(left.self_attn.out_proj.weight, own.self_attn.out_proj.weight[:, keep])
    assert torch.equal(left.linear1.weight, own.linear1.weight[1:])
    assert torch.equal(left.linear2.weight, own.linear2.weight[:, 1:])
    frozen = {name for name, p in left.named_parameters() if not p.requires_grad}
    assert frozen == {f"self_attn.{name}_proj.weight" for name in "qkv"} | {"linear1.weight"}


# The module that stands in for nn.MultiheadAttention


@pytest.mark.parametrize(
    ("settings", "given"),
    [
        ({}, {}),
        ({"batch_first": True}, {}),
        ({"batch_first": True}, {"need_weights": False}),
        ({"bias": False}, {"average_attn_weights": False}),
        ({"kdim": 6, "vdim": 10}, {}),
        ({"batch_first": True}, {"attn_mask": "bool"}),
        ({"batch_first": True}, {"attn_mask": "float", "need_weights": False}),
        ({"batch_first": True}, {"attn_mask": "each", "average_attn_weights": False}),
        ({}, {"key_padding_mask": "bool", "attn_mask": "bool"}),
        ({"batch_first": True}, {"key_padding_mask": "float", "need_weights": False}),
        ({"batch_first": True}, {"attn_mask": "bool", "is_causal": True, "need_weights": False}),
    ],
)
@pytest.mark.parametrize("batched", [True, False])
def test_pruned_attention_is_multihead_attention_without_the_heads(
    settings: dict[str, Any], given: dict[str, Any], *, batched: bool
) -> None:
    torch.manual_seed(0)
    attention = nn.MultiheadAttention(12, 4, **settings)
    for bias in (p for name, p in attention.named_parameters() if "bias" in name):
        nn.init.normal_(bias)
    pruned = PrunedAttention.of_attention(attention, kept=[0, 3])
    with torch.no_grad():
        attention.out_proj.weight[:, 3:9] = 0
    first = bool(settings.get("batch_first"))
    batch, queries, keys = 2, 5, 7
    causal = torch.ones(queries, keys, dtype=torch.bool).triu(1)
    padding = torch.zeros(batch, keys, dtype=torch.bool)
    padding[0, -2:] = True
    masks = {
        ("attn_mask", "bool"): causal,
        ("attn_mask", "float"): torch.randn(queries, keys),
        ("attn_mask", "each"): torch.randn((batch if batched else 1) * 4, queries, keys),
        ("key_padding_mask", "bool"): padding,
        ("key_padding_mask", "float"): torch.zeros(batch, keys).masked_fill(padding, -3.0),
    }
    kwargs: dict[str, Any] = {k: masks[k, v] if isinstance(v, str) else v for k, v in given.items()}
    if not batched and "key_padding_mask" in kwargs:
        kwargs["key_padding_mask"] = kwargs["key_padding_mask"][0]

    def made(length: int, width: int) -> Tensor:
        shape = (batch, length, width) if first else (length, batch, width)
        return torch.randn(shape if batched else (length, width))

    x = made(queries, 12), made(keys, settings.get("kdim", 12)), made(keys, settings.get("vdim", 12))
    wanted, weights = attention(*x, **kwargs)
    found, own = pruned(*x, **kwargs)
    torch.testing.assert_close(found, wanted, atol=1e-6, rtol=1e-5)
    if weights is None:
        assert own is None
    elif given.get("average_attn_weights") is False:
        torch.testing.assert_close(own, weights[..., [0, 3], :, :], atol=1e-6, rtol=1e-5)
    else:
        _, each = attention(*x, **kwargs, average_attn_weights=False)
        torch.testing.assert_close(own, each[..., [0, 3], :, :].mean(-3), atol=1e-6, rtol=1e-5)


def test_pruned_attention_drops_weights_out_while_training_only() -> None:
    attention = PrunedAttention(8, 2, kept=[0, 1], of=4, dropout=0.5, batch_first=True)
    x = torch.randn(1, 6, 8)
    for need_weights in (True, False):
        assert not torch.equal(
            attention.train()(x, x, x, need_weights=need_weights)[0],
            attention(x, x, x, need_weights=need_weights)[0],
        )
        first = attention.eval()(x, x, x, need_weights=need_weights)[0]
        assert torch.equal(first, attention(x, x, x, need_weights=need_weights)[0])
    assert "2 of 4 heads, 2 wide" in repr(attention)


def test_pruned_attention_without_a_mask_can_be_told_to_be_causal() -> None:
    attention = PrunedAttention(8, 2, kept=[0, 1], of=4, batch_first=True)
    x = torch.randn(1, 6, 8)
    mask = torch.ones(6, 6, dtype=torch.bool).triu(1)
    torch.testing.assert_close(
        attention(x, x, x, is_causal=True)[0], attention(x, x, x, attn_mask=mask)[0], atol=1e-6, rtol=0
    )


@pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors")
def test_pruned_layers_of_torch_run_as_the_whole_ones_do_also_with_padding_packed_away() -> None:
    torch.manual_seed(0)
    # With these settings torch packs examples of different lengths into one nested tensor.
    encoder = nn.TransformerEncoder(nn.TransformerEncoderLayer(8, 2, 16, batch_first=True), 2).eval()
    x = torch.randn(2, 5, 8)
    padding = torch.tensor([[False] * 5, [False] * 3 + [True] * 2])
    heads: Any = {("encoder", 1): [1]}
    hooked = hook(encoder)
    pruned: Any = prune(hooked, heads=heads, inputs=(x[:1],))
    with torch.no_grad():
        for given in ({}, {"src_key_padding_mask": padding}, {"mask": torch.ones(5, 5).triu(1).bool()}):
            with hooked.ablate(heads=heads):
                wanted = encoder(x, **given)
            read = ~padding if "src_key_padding_mask" in given else torch.ones_like(padding)
            torch.testing.assert_close(pruned.model(x, **given)[read], wanted[read], atol=1e-5, rtol=0)
    assert encoder.use_nested_tensor
    assert not pruned.model.use_nested_tensor


@pytest.mark.filterwarnings("ignore:enable_nested_tensor is True")
def test_a_transformer_of_torch_without_batch_first_is_pruned() -> None:
    torch.manual_seed(0)
    model = nn.Transformer(12, 3, 2, 2, 20, batch_first=False).eval()
    inputs = {"src": torch.randn(6, 1, 12), "tgt": torch.randn(4, 1, 12)}
    hooked = hook(model)
    heads: Any = {("encoder", 0): [0], ("decoder", 1): [1, 2], ("cross", 0): [2]}
    pruned = prune(hooked, heads=heads, units={("decoder", 1): [3]}, inputs=inputs)
    assert len(pruned.removed) == 5
    with torch.no_grad(), hooked.ablate(heads=heads, units={("decoder", 1): [3]}):
        wanted = model(**inputs)
    with torch.no_grad():
        torch.testing.assert_close(pruned.model(**inputs), wanted, atol=1e-5, rtol=0)


# Models of a reader's own


REFUSED = "every way to cut it changed what the model answers, or did not run"


class Own(nn.Module):
    """Attention with names and an order of features that nobody would guess."""

    def __init__(
        self, *, norm: bool = False, tie: bool = False, project: bool = True, guard: bool = False
    ) -> None:
        super().__init__()
        self.h, self.guard = 4, guard
        self.mixed, self.back = nn.Linear(16, 48), nn.Linear(16, 16)
        self.other = nn.Linear(16, 48)
        if tie:
            self.other.weight = self.mixed.weight
        self.norm = nn.LayerNorm(16, elementwise_affine=False) if norm else None
        self.project = project

    def forward(self, x: Tensor) -> Tensor:
        batch, length = x.shape[:2]
        if self.guard and self.mixed.out_features != 48:
            raise RuntimeError
        # Features of one head are far apart: [d, head, (v, q, k)].
        v, q, k = self.mixed(x).view(batch, length, -1, self.h, 3).permute(4, 0, 3, 1, 2)
        read = nn.functional.scaled_dot_product_attention(q, k, v)
        together = read.permute(0, 2, 3, 1).flatten(2)
        if self.norm is not None:
            together = self.norm(together)
        y: Tensor = self.back(together) if self.project else together
        added: Tensor = x + y + self.other(x)[..., :16]
        return added


def pruned_own(**settings: bool) -> tuple[Any, Any]:
    torch.manual_seed(0)
    model = Own(**settings).eval()
    x = torch.randn(1, 5, 16)
    hooked = hook(model)
    pruned = prune(hooked, heads={("encoder", 0): [1, 2]}, inputs=(x,))
    y = torch.randn(3, 4, 16)
    with torch.no_grad(), hooked.ablate(heads={("encoder", 0): [1, 2]}):
        wanted = model(y)
    with torch.no_grad():
        torch.testing.assert_close(pruned.model(y), wanted, atol=1e-5, rtol=0)
    return model, pruned


def test_rows_and_columns_are_found_wherever_they_are() -> None:
    model, pruned = pruned_own()
    assert len(pruned.removed) == 2
    assert pruned.saved == 2 * (4 * 3 * 16 + 4 * 3 + 4 * 16)
    own = model.mixed.weight.view(4, 4, 3, 16)[:, [0, 3]].flatten(0, 2)
    assert torch.equal(pruned.model.mixed.weight, own)
    assert pruned.model.h == 2
    assert (pruned.model.mixed.out_features, pruned.model.back.in_features) == (24, 8)


def test_heads_that_are_normalised_together_are_masked_since_a_cut_would_change_the_others() -> None:
    _, pruned = pruned_own(norm=True)
    assert len(pruned.masked) == 2
    assert pruned.saved == 0
    assert set(pruned.reasons.values()) == {"no weights that make it and read it are its own"}


def test_a_model_that_refuses_fewer_heads_has_them_masked() -> None:
    model, pruned = pruned_own(guard=True)
    assert len(pruned.masked) == 2
    assert set(pruned.reasons.values()) == {REFUSED}
    assert pruned.model.h == model.h
    assert pruned.model.mixed.weight.shape == model.mixed.weight.shape
    assert not pruned.model.back.weight.view(16, 4, 4)[:, :, [1, 2]].any()


class Quiet(Own):
    """Counts its heads in a word that tells nothing, and hardly counts for what it returns."""

    def __init__(self) -> None:
        super().__init__()
        self.slots = self.h
        del self.h

    def __getattr__(self, name: str) -> Any:
        return self.slots if name == "h" else super().__getattr__(name)

    def forward(self, x: Tensor) -> Tensor:
        return x + 1e-7 * super().forward(x)


def test_a_cut_that_garbles_what_hardly_counts_is_seen_for_what_it_is() -> None:
    torch.manual_seed(0)
    model = Quiet().eval()
    x = torch.randn(1, 5, 16)
    pruned: Any = prune(model, heads={("encoder", 0): [1, 2]}, inputs=(x,)).model
    seen: list[Tensor] = []
    for one in (model, pruned):
        one.back.register_forward_hook(lambda _, __, output: seen.append(output))
    with hook(model).ablate(heads={("encoder", 0): [1, 2]}):
        model(x)
    pruned(x)
    torch.testing.assert_close(seen[1], seen[0], atol=1e-5, rtol=0)
    assert pruned.slots == 2


def test_weights_that_another_module_has_too_are_not_cut() -> None:
    _, pruned = pruned_own(tie=True)
    assert len(pruned.masked) == 2
    assert set(pruned.reasons.values()) == {"its weights are another module's, too"}


def test_a_head_without_an_output_projection_is_masked_where_its_values_are_made() -> None:
    model, pruned = pruned_own(project=False)
    assert len(pruned.masked) == 2
    assert set(pruned.reasons.values()) == {"no weights that make it and read it are its own"}
    changed = (pruned.model.mixed.weight != model.mixed.weight).any(-1).view(4, 4, 3)
    assert changed[:, [1, 2]].all()
    assert not changed[:, [0, 3]].any()


class Bare(nn.Module):
    """Attention whose values and outputs have no weights."""

    def __init__(self) -> None:
        super().__init__()
        self.query = nn.Linear(8, 8)

    def forward(self, x: Tensor) -> Tensor:
        q, k, values = (y.view(*x.shape[:2], 2, 4).transpose(1, 2) for y in (self.query(x), self.query(x), x))
        return x + nn.functional.scaled_dot_product_attention(q, k, values).transpose(1, 2).flatten(2)


def test_a_head_that_no_weight_switches_off_is_refused_by_name() -> None:
    with pytest.raises(JtvizError, match=r"head 1 of encoder layer 0 cannot be pruned: no weight of Bare"):
        prune(Bare(), heads={("encoder", 0): [1]}, inputs=(torch.randn(1, 3, 8),))


class Reader(nn.Module):
    """Cross-attention that may also look at nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(8, 2, batch_first=True, add_zero_attn=True)

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        read: Tensor = self.attention(x, y, y)[0]
        return x + read


def test_keys_of_its_own_keep_an_attention_as_it_is() -> None:
    hooked = hook(Reader().eval())
    (stage,) = hooked.trace(inputs=(torch.randn(1, 3, 8), torch.randn(1, 5, 8))).stages
    pruned = prune(hooked, heads={(stage, 0): [1]})
    assert set(pruned.reasons.values()) == {"it has keys of its own"}
    assert len(pruned.masked) == 1


def test_a_model_that_is_its_attention_is_masked() -> None:
    x, y = torch.randn(1, 3, 8), torch.randn(1, 5, 8)
    hooked = hook(nn.MultiheadAttention(8, 2, batch_first=True).eval())
    (stage,) = hooked.trace(inputs=(x, y, y)).stages
    pruned = prune(hooked, heads={(stage, 0): [1]})
    assert set(pruned.reasons.values()) == {"the model is this attention itself"}
    assert not pruned.model.out_proj.weight[:, 4:].any()  # type: ignore[index, union-attr]


def test_query_heads_that_share_a_key_head_go_so_that_equal_groups_are_left() -> None:
    assert balanced([0, 1, 2], 8, 4) == ()
    assert balanced([0, 1, 5], 8, 4) == (0, 5)
    assert balanced([0, 1, 2, 3, 6], 8, 4) == (0, 1, 2, 3, 6)
    assert whole_groups([0, 1, 2, 3, 6], 8, 4) == (0, 1, 2, 3)
    assert balanced([0, 1, 2, 3, 4, 5, 6, 7], 8, 4) == whole_groups(range(8), 8, 4) == tuple(range(8))


def test_what_is_put_back_is_as_it_was() -> None:
    layer, journal = nn.Linear(4, 3), Journal()
    before, parameter = layer.weight.clone(), layer.weight
    journal.fill_with_zero(layer.weight, 1, torch.tensor([True, False, False, True]))
    journal.set(layer, "weight", nn.Parameter(torch.zeros(2, 4)))
    journal.set(layer, "out_features", 2)
    journal.undo()
    assert layer.weight is parameter
    assert torch.equal(layer.weight, before)
    assert layer.out_features == 3


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({}, "say what to prune: a mask, or heads= or units="),
        ({"mask": {("decoder", 1): [0]}}, "mask is a jtviz.Mask, not dict"),
        ({"heads": [("decoder", 1, 0)]}, "by stage and layer, .*, not"),
        ({"heads": {("middle", 0): [0]}}, "there is no attention layer of stage 'middle'"),
    ],
)
def test_what_cannot_be_meant_is_refused_at_once(asked: dict[str, Any], words: str) -> None:
    with pytest.raises(JtvizError, match=words):
        prune(fresh(), **asked)


def test_a_head_that_is_not_there_is_refused_also_in_a_mask() -> None:
    with pytest.raises(OutOfRangeError, match="head 9 is not there"):
        prune(fresh(), Mask(heads=(("encoder", 0, 9),)))
    with pytest.raises(OutOfRangeError, match="unit 512 is not there"):
        prune(fresh(), units={("encoder", 0): [512]})


def test_a_model_that_nobody_traced_is_refused() -> None:
    model, tokenizer = embedded.open_classifier(embedded.FOLDER / "classifier/honest")
    with pytest.raises(JtvizError, match="trace a text first, or pass text= or inputs="):
        prune(model, heads={("encoder", 0): [0]}, tokenizer=tokenizer)


def test_a_model_with_parts_switched_off_is_not_pruned_meanwhile() -> None:
    hooked = fresh_classifier()
    with (
        hooked.ablate(heads={("encoder", 0): [0]}),
        pytest.raises(JtvizError, match="outside of that context"),
    ):
        prune(hooked, heads={("encoder", 0): [1]})


def test_a_model_that_cannot_be_copied_or_is_not_in_memory_is_refused() -> None:
    hooked = fresh_classifier()
    hooked.model.stream = Path(__file__).open(encoding="utf-8")  # type: ignore[assignment]  # noqa: SIM115 - cannot be copied
    try:
        with pytest.raises(JtvizError, match=r"cannot be copied, .* copy.deepcopy raises TypeError"):
            prune(hooked, heads={("encoder", 0): [1]})
    finally:
        hooked.model.stream.close()  # type: ignore[operator, union-attr]
    hooked = fresh_classifier()
    hooked.trace(NOTE)
    hooked.model.to("meta")
    with pytest.raises(JtvizError, match="not in memory: load it whole"):
        prune(hooked, heads={("encoder", 0): [1]})


def test_saved_parameters_count_shared_ones_once() -> None:
    pruned = prune(fresh(), heads={("encoder", 0): [1]})
    # The embedding of the translator is its output layer, too.
    everything = sum(math.prod(value.shape) for value in pruned.model.state_dict().values())
    assert pruned.parameters_after < everything
