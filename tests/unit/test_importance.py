"""How important each head is: every method against a reference of its own.

The references: weights set to zero by hand, finite differences, hooks, and the model's own attentions.
"""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import jtviz
from jtviz.analysis.importance import HeadImportance, head_importance
from jtviz.analysis.importance.examples import examples_of
from jtviz.analysis.importance.metrics import metric_named
from jtviz.analysis.importance.opened import opened
from jtviz.capture import JtvizError, OutOfRangeError, hook
from jtviz.capture.memory import fingerprint
from tests.unit.explaining import build, words
from tests.zoo.families import FAMILIES
from tests.zoo.plain import HeadsByLayer

NOTES = [
    ("Man, 60. Has crushing chest pain.", "urgent"),
    ("Woman, 31. Has a runny nose.", "can wait"),
    ("Man, 44. Has a sore throat and a cough.", "can wait"),
    ("Woman, 70. Has fainted twice today.", "urgent"),
    ("Man, 25. Has an itchy rash.", "urgent"),
]
TEXTS = ["the cat sat on the mat .", "a dog", "Ann lives in Rome , Ann Lee", "the big red rug was big"]
PAIRS = [
    ("The old farmer drinks hot tea in the kitchen.", "老农民在厨房里喝热茶。"),
    ("My sister reads books after dinner.", "我姐姐晚饭后看书。"),
    ("Where can we buy fresh bread?", "我们在哪里可以买到新鲜的面包？"),
    ("I like to drink tea.", "我喜欢喝茶。"),
    ("It rains today.", "今天不冷。"),
]


def losses(hooked: Any, dataset: Any, metric: str = "loss") -> np.ndarray[Any, Any]:
    """Return the metric of each example, run alone."""
    found = examples_of(hooked, dataset)
    with torch.no_grad():
        each = [metric_named(metric).measure(hooked.model, b) for b in found.batches(1)]
    out = np.zeros(len(found))
    for batch, values in zip(found.batches(1), each, strict=True):
        out[list(batch.indices)] = values.numpy()
    return out


def triage() -> tuple[Any, Any]:
    """Return the classifier as nobody has traced it yet."""
    hooked = jtviz.demo.classifier()
    return copy.deepcopy(hooked.model), hooked.tokenizer


@pytest.mark.parametrize("metric", ["loss", "probability", "accuracy"])
def test_exact_importance_is_what_the_metric_loses_without_the_weights(metric: str) -> None:
    found = head_importance(*triage()[:1], NOTES, metric=metric, tokenizer=triage()[1], batch_size=3)
    intact = losses(hook(*triage()), NOTES, metric)
    assert found.intact.value == pytest.approx(intact.mean(), abs=1e-6)
    assert found.intact.error == pytest.approx(intact.std(ddof=1) / 5**0.5, abs=1e-6)
    sign = 1 if metric == "loss" else -1
    for (stage, layer, head), each in zip(found.heads, found.per_example["exact"], strict=True):
        model, tokenizer = triage()
        with torch.no_grad():
            model.encoder.layers[layer].self_attn.out_proj.weight[:, head * 16 : (head + 1) * 16] = 0
        wanted = sign * (losses(hook(model, tokenizer), NOTES, metric) - intact)
        np.testing.assert_allclose(each, wanted, atol=1e-5)
        assert found.scores()[stage][layer, head] == pytest.approx(wanted.mean(), abs=1e-5)
        assert found.errors()[stage][layer, head] == pytest.approx(wanted.std(ddof=1) / 5**0.5, abs=1e-5)


OUTPUT: dict[str, Callable[[Any, int], Any]] = {
    "GPT-2": lambda model, layer: model.transformer.h[layer].attn.c_proj,
    "Llama": lambda model, layer: model.model.layers[layer].self_attn.o_proj,
}


@pytest.mark.parametrize("name", OUTPUT)
def test_exact_importance_of_a_language_model_is_that_of_zeroed_weights(name: str) -> None:
    family = FAMILIES[name]
    ids = family.inputs(3, "none")["input_ids"]
    dataset = [{"input_ids": row[: 9 - i]} for i, row in enumerate(ids)]

    def made() -> Any:
        model = family.build("sdpa")
        for parameter in model.parameters():  # so that heads matter
            parameter.data.mul_(4 if parameter.ndim > 1 else 1)
        return model

    found = head_importance(made(), dataset)
    intact = losses(hook(made()), dataset)
    assert found.intact.value == pytest.approx(intact.mean(), abs=1e-5)
    assert len(found.heads) == 8
    for (_, layer, head), each in zip(found.heads, found.per_example["exact"], strict=True):
        model = made()
        weight = OUTPUT[name](model, layer).weight.data
        part = slice(head * 8, (head + 1) * 8)
        (weight[part] if name == "GPT-2" else weight[:, part]).zero_()
        wanted = losses(hook(model), dataset) - intact
        np.testing.assert_allclose(each, wanted, atol=1e-5)
        assert np.abs(wanted).max() > 1e-3


def test_bleu_is_lost_as_a_corpus_and_its_error_is_by_bootstrap() -> None:
    sacrebleu = pytest.importorskip("sacrebleu")
    found = head_importance(
        jtviz.demo.translator(), PAIRS, metric="bleu", method=["exact", "gradient"], seed=3
    )
    assert "loss" in found.notes[-1]
    hooked = jtviz.demo.translator()
    references = [[reference for _, reference in PAIRS]]

    def bleu() -> float:
        written = [hooked.generate(text) for text, _ in PAIRS]
        return float(sacrebleu.corpus_bleu(written, references, tokenize="zh").score)

    intact = bleu()
    assert found.intact.value == pytest.approx(intact, abs=1e-6)
    for stage, layer, head in (("cross", 0, 0), ("cross", 1, 1), ("encoder", 1, 1)):
        with hooked.ablate(heads={(stage, layer): [head]}):
            wanted = intact - bleu()
        assert found.scores("exact")[stage][layer, head] == pytest.approx(wanted, abs=1e-6)
    errors = np.concatenate([x.ravel() for x in found.errors("exact").values()])
    drops = np.concatenate([x.ravel() for x in found.scores("exact").values()])
    assert (errors[drops == 0] == 0).all()
    assert (errors[np.abs(drops) > 1] > 0).all()
    assert (drops > 1).any()
    assert "exact" not in found.per_example


def test_a_function_of_ones_own_can_be_the_metric() -> None:
    def margin(logits: Tensor, example: Any) -> Tensor:
        right = 1 if example["label"] == "urgent" else 0
        return logits[right] - logits[1 - right]

    found = head_importance(
        *triage()[:1], NOTES, metric=margin, tokenizer=triage()[1], method=["exact", "gradient"]
    )
    assert found.metric == "margin"
    assert not found.is_loss
    assert found.notes == ()
    model, tokenizer = triage()
    with torch.no_grad():
        model.encoder.layers[1].self_attn.out_proj.weight[:, 16:32] = 0
    other = head_importance(model, NOTES, metric=margin, tokenizer=tokenizer)
    drop = found.intact.value - other.intact.value
    assert found.scores("exact")["encoder"][1, 1] == pytest.approx(drop, abs=1e-5)
    # To first order it is about that.
    assert found.signed["encoder"][1, 1] == pytest.approx(drop, rel=0.5, abs=0.1)


def test_the_mean_output_over_the_data_set_stands_in_where_that_is_asked_for() -> None:
    hooked = hook(*triage())
    found = head_importance(hooked, NOTES, mode="mean")
    intact = losses(hooked, NOTES)
    for head in (0, 3):
        texts = [text for text, _ in NOTES]
        with hooked.ablate(heads={("encoder", 0): [head]}, mode="mean", reference=texts):
            wanted = losses(hooked, NOTES) - intact
        assert found.scores()["encoder"][0, head] == pytest.approx(wanted.mean(), abs=1e-5)
    assert found.mode == "mean"


def by_hand(run: Callable[[], Tensor], modules: list[Any]) -> list[Tensor]:
    """Return what goes into each module, and its gradient: ``[2, ..]`` each."""
    seen: list[Tensor] = []

    def keep(_: Any, args: tuple[Tensor, ...]) -> None:
        args[0].retain_grad()
        seen.append(args[0])

    handles = [module.register_forward_pre_hook(keep) for module in modules]
    run().backward()  # type: ignore[no-untyped-call]
    for handle in handles:
        handle.remove()
    return [torch.stack([one.detach(), one.grad]) for one in seen if one.grad is not None]


def bert() -> tuple[Any, Any]:
    return build("Bert", "ForSequenceClassification", num_labels=3), words()


def test_gradient_importance_is_that_of_michel_and_others() -> None:
    """Equation 3: ``I = E |Att(x)^T dL / dAtt(x)|``, the sum over tokens of output times gradient."""
    model, tokenizer = bert()
    labelled = [(text, i % 3) for i, text in enumerate(TEXTS)]
    found = head_importance(model, labelled, tokenizer=tokenizer, method=["gradient", "taylor"])
    signed, units = [], []
    for text, label in labelled:
        given = tokenizer(text, return_tensors="pt")
        layers = model.bert.encoder.layer
        modules = [part for x in layers for part in (x.attention.output.dense, x.output.dense)]

        def loss(given: Any = given, label: int = label) -> Tensor:
            found: Tensor = model(**given, labels=torch.tensor([label])).loss
            return found

        seen = by_hand(loss, modules)
        products = [value * gradient for value, gradient in seen]
        signed.append(torch.stack([p[0].unflatten(-1, (2, -1)).sum((0, 2)) for p in products[0::2]]))
        # Molchanov and others 2017, equation 8: the mean over positions, then its absolute value.
        units.append(torch.stack([p[0].mean(0) for p in products[1::2]]))
    each = torch.stack(signed)
    assert np.ptp(found.scores()["encoder"]) > 1e-5
    np.testing.assert_allclose(found.scores()["encoder"], each.abs().mean(0), atol=1e-6)
    np.testing.assert_allclose(found.signed["encoder"], -each.mean(0), atol=1e-6)
    np.testing.assert_allclose(found.errors()["encoder"], each.abs().std(0, correction=1) / 2, atol=1e-6)
    assert found.units is not None
    np.testing.assert_allclose(found.units["encoder"], torch.stack(units).abs().mean(0), atol=1e-7)
    assert found.units["encoder"].max() > 1e-5


@pytest.mark.parametrize("name", ["GPT-2", "Llama", "T5", "BLOOM"])
def test_gradient_importance_is_what_finite_differences_say(name: str) -> None:
    from dataclasses import replace

    from jtviz.capture.intervention.edits import Edit
    from jtviz.capture.intervention.intervention import Intervention

    family = FAMILIES[name]
    if name == "T5":  # whose ReLU has kinks
        family = replace(family, settings={**family.settings, "feed_forward_proj": "gated-gelu"})
    hooked = hook(family.build("eager").double())
    dataset = [{k: v[i : i + 1] for k, v in family.inputs(3, "none").items()} for i in range(3)]
    found = head_importance(hooked, dataset, method="gradient")
    metric, step = metric_named("loss"), 1e-2
    with opened(hooked, examples_of(hooked, dataset), 1) as session, torch.no_grad():
        for row, (stage, layer, head) in list(enumerate(found.heads))[::3]:
            place = session.places.head(stage, layer)
            for batch in session.batches:
                moved = []
                for sign in (1, -1):
                    keep = torch.ones(place.heads, dtype=torch.double)
                    keep[head] += sign * step
                    with Intervention(session.model, session.places, {place: Edit(keep)}):
                        moved.append(float(metric.measure(session.model, batch)))
                # Without the head the mask is less by one.
                wanted = -(moved[0] - moved[1]) / (2 * step)
                own = found.per_example["gradient"][row, batch.indices[0]]
                assert own == pytest.approx(wanted, rel=0.01, abs=1e-9)


def test_padding_changes_no_gradient_and_no_mean_over_tokens() -> None:
    alone, together = (
        head_importance(*bert()[:1], TEXTS, tokenizer=bert()[1], method="all", batch_size=size)
        for size in (1, 4)
    )
    for method in ("exact", "gradient", "confidence"):
        np.testing.assert_allclose(together.per_example[method], alone.per_example[method], atol=1e-6)
    assert together.units is not None
    assert alone.units is not None
    np.testing.assert_allclose(together.units["encoder"], alone.units["encoder"], atol=1e-7)


@pytest.mark.parametrize("batch_first", [True, False])
def test_as_many_examples_as_tokens_are_told_apart(batch_first: bool) -> None:
    class Two(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            layer = nn.TransformerEncoderLayer(16, 2, 24, batch_first=batch_first)
            self.encoder = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
            self.out = nn.Linear(16, 2)

        def forward(self, x: Tensor) -> Tensor:
            x = x if batch_first else x.transpose(0, 1)
            y = self.encoder(x)
            return self.out(y.mean(1 if batch_first else 0))  # type: ignore[no-any-return]

    with torch.random.fork_rng():
        torch.manual_seed(0)
        model, x = Two().eval(), torch.randn(4, 4, 16)
    dataset = [{"x": one, "label": i % 2} for i, one in enumerate(x[:, None])]
    together, alone = (head_importance(model, dataset, method="all", batch_size=n) for n in (4, 1))
    assert together.units is not None
    assert alone.units is not None
    np.testing.assert_allclose(together.units["encoder"], alone.units["encoder"], atol=1e-7)
    np.testing.assert_allclose(together.per_example["gradient"], alone.per_example["gradient"], atol=1e-6)


def test_confidence_is_the_largest_weight_of_the_models_own_attention() -> None:
    model, tokenizer = build("Bert", "ForSequenceClassification"), words()
    model.set_attn_implementation("eager")
    wanted = []
    for text in TEXTS:
        given = tokenizer(text, return_tensors="pt")
        with torch.no_grad():
            attentions = torch.stack(model(**given, output_attentions=True).attentions)[:, 0]
        special = [i in tokenizer.all_special_ids for i in given["input_ids"][0].tolist()]
        assert special[0]
        assert special[-1]
        wanted.append(attentions[..., ~torch.tensor(special)].amax(-1).mean(-1))
    model.set_attn_implementation("sdpa")
    found = head_importance(model, TEXTS, tokenizer=tokenizer, method="confidence")
    each = torch.stack(wanted)
    np.testing.assert_allclose(found.scores()["encoder"], each.mean(0), atol=1e-5)
    np.testing.assert_allclose(found.errors()["encoder"], each.std(0, correction=1) / 2, atol=1e-5)


def test_confidence_leaves_padding_and_the_end_token_out_without_a_tokenizer() -> None:
    model = FAMILIES["GPT-2"].build("eager")
    ids = torch.tensor([[5, 6, 7, 8, 2, 0, 0]])
    mask = torch.tensor([[1, 1, 1, 1, 1, 0, 0]])
    found = head_importance(model, [{"input_ids": ids, "attention_mask": mask}] * 2, method="confidence")
    with torch.no_grad():
        attentions = torch.stack(model(ids[:, :5], output_attentions=True).attentions)[:, 0]
    wanted = attentions[..., :4].amax(-1).mean(-1)
    np.testing.assert_allclose(found.scores()["decoder"], wanted, atol=1e-5)


def test_layers_with_fewer_heads_end_with_nan() -> None:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = HeadsByLayer().eval()
    dataset = [{"x": torch.randn(1, 5, 32, generator=torch.Generator().manual_seed(i))} for i in range(3)]
    found = head_importance(model, dataset, metric=lambda y, _: y[0, :4].sum(), method="all")
    scores = found.scores("exact")["encoder"]
    assert scores.shape == (3, 8)
    assert [int(np.isfinite(row).sum()) for row in scores] == [2, 4, 8]
    assert len(found.ranking()) == 14
    assert np.isfinite(found.to_pandas()["exact"]).all()


def repeats() -> list[dict[str, Tensor]]:
    """Return random sequences that repeat themselves, scored on the repeat."""
    generator = torch.Generator().manual_seed(0)
    out = []
    for _ in range(8):
        half = torch.randint(1, 95, (24,), generator=generator)
        labels = torch.cat([torch.full((25,), -100), half[1:]])
        out.append({"input_ids": torch.cat([half, half]), "labels": labels})
    return out


def test_without_the_head_that_looks_back_one_token_nothing_is_repeated() -> None:
    hooked = jtviz.demo.induction()
    found = head_importance(hooked, repeats(), metric="accuracy", method="all")
    assert found.intact.value > 0.95
    first = found.scores("exact")["decoder"][0]
    trace = hooked.trace(inputs={"input_ids": repeats()[0]["input_ids"][None]})
    looks_back = int(jtviz.analysis.repeat_scores(trace, 24).previous_token[0].argmax())
    left = found.intact.value - first
    assert left[looks_back] < 0.5
    assert (np.delete(left, looks_back) > 0.5).all()
    assert found.ranking("exact")[-1][:3] == ("decoder", 0, looks_back)


@pytest.fixture(scope="module")
def measured() -> HeadImportance:
    return head_importance(jtviz.demo.classifier(), NOTES, method="all")


def test_heads_are_ranked_and_masked_from_the_least_important_on(measured: HeadImportance) -> None:
    ranking = measured.ranking("exact")
    assert [score for *_, score in ranking] == sorted(measured.scores("exact")["encoder"].ravel())
    assert set(measured.mask(0.25, "exact").heads) == {tuple(one[:3]) for one in ranking[:2]}
    assert len(measured.mask(0, "exact")) == 0
    assert len(measured.mask(1.0, "exact")) == 8


def test_methods_are_compared_by_rank(measured: HeadImportance) -> None:
    from scipy.stats import spearmanr

    table = measured.agreement()
    assert list(table) == ["exact", "gradient", "confidence"]
    exact, gradient = (measured.scores(m)["encoder"].ravel() for m in ("exact", "gradient"))
    assert table.loc["exact", "gradient"] == pytest.approx(spearmanr(exact, gradient).statistic)
    worst = measured.misranked(3)
    assert len(worst) == 3
    off = [
        abs(int((exact > e).sum()) - int((gradient > g).sum())) for e, g in zip(exact, gradient, strict=True)
    ]
    assert (worst.rank_exact - worst.rank_gradient).abs().tolist() == sorted(off, reverse=True)[:3]
    frame = measured.to_pandas()
    assert frame["confidence"].tolist() == measured.scores("confidence")["encoder"].ravel().tolist()
    assert frame["exact_error"].tolist() == measured.errors("exact")["encoder"].ravel().tolist()


def test_a_result_can_be_pickled(measured: HeadImportance) -> None:
    again = pickle.loads(pickle.dumps(measured))  # noqa: S301 - our own
    assert repr(again) == repr(measured)
    assert again.ranking("gradient") == measured.ranking("gradient")
    assert again.units["encoder"].tolist() == measured.units["encoder"].tolist()  # type: ignore[index]
    assert "8 heads by exact, gradient, taylor, confidence; loss (nats) over 5 examples" in repr(again)


def test_an_interruption_leaves_the_model_as_it_was() -> None:
    model, tokenizer = triage()
    model.train()
    hooked = hook(model, tokenizer)
    before = fingerprint(model)
    calls = iter(range(9))

    def stops(logits: Tensor, _: Any) -> float:
        if next(calls) == 8:
            raise KeyboardInterrupt
        return float(logits[0])

    with pytest.raises(KeyboardInterrupt):
        head_importance(hooked, NOTES, metric=stops)
    assert fingerprint(model) == before
    assert all(module.training for module in model.modules())
    assert "forward" not in vars(model.encoder.layers[0])
    assert not model._forward_hooks
    assert torch.is_grad_enabled()


def test_a_head_that_is_off_already_stays_off() -> None:
    hooked = hook(*triage())
    with hooked.ablate(heads={("encoder", 1): [2]}):
        found = head_importance(hooked, NOTES)
    model, tokenizer = triage()
    with torch.no_grad():
        model.encoder.layers[1].self_attn.out_proj.weight[:, 32:48] = 0
    wanted = head_importance(model, NOTES, tokenizer=tokenizer)
    assert found.intact.value == pytest.approx(wanted.intact.value, abs=1e-6)
    np.testing.assert_allclose(found.scores()["encoder"], wanted.scores()["encoder"], atol=1e-5)
    assert found.scores()["encoder"][1, 2] == pytest.approx(0, abs=1e-7)


def test_a_model_without_feed_forward_layers_is_measured_without_them() -> None:
    found = head_importance(jtviz.demo.induction(), repeats(), method="all", metric="accuracy")
    assert found.methods == ("exact", "gradient", "confidence")
    assert found.units is None
    assert any("'taylor' was left out" in note for note in found.notes)
    assert any("accuracy has none" in note for note in found.notes)


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"method": "exakt"}, "there is no method 'exakt'; did you mean 'exact'?"),
        ({"method": []}, "method= is 'all', or one or several of 'exact'"),
        ({"metric": "los"}, "there is no metric 'los'; did you mean 'loss'?"),
        ({"mode": "average"}, "mode= is one of 'zero', 'mean', not 'average'"),
        ({"batch_size": 0}, "batch_size= is a number, at least 1, not 0"),
        ({"seed": -1}, "seed= is a number, at least 0, not -1"),
        ({"metric": "bleu"}, "metric 'bleu' is of translations"),
        ({"dataset": [NOTES[0]]}, "a data set has at least 2 examples"),
    ],
)
def test_what_makes_no_sense_is_said_in_a_sentence(asked: dict[str, Any], said: str) -> None:
    with pytest.raises(JtvizError, match=said):
        head_importance(jtviz.demo.classifier(), asked.pop("dataset", NOTES), **asked)


def test_what_cannot_be_differentiated_is_said() -> None:
    dataset = [{"x": torch.randn(1, 5, 32)} for _ in range(2)]
    with pytest.raises(
        JtvizError, match="'gradient' needs a gradient, and <lambda> has none: choose 'exact'"
    ):
        head_importance(HeadsByLayer(), dataset, metric=lambda y, _: float(y[0, 0]), method="gradient")
    with pytest.raises(JtvizError, match="'taylor' needs a gradient, and <lambda> has none"):
        head_importance(HeadsByLayer(), dataset, metric=lambda y, _: y.numpy()[0, 0], method="taylor")
    with pytest.raises(JtvizError, match="'taylor' is of feed-forward units, and none were found"):
        head_importance(jtviz.demo.induction(), repeats(), method="taylor")


def test_what_was_not_measured_is_said(measured: HeadImportance) -> None:
    with pytest.raises(OutOfRangeError, match="not measured by 'taylor': choose from 'exact', 'gradient'"):
        measured.scores("taylor")
    with pytest.raises(JtvizError, match="fraction is a share of the heads, 0 to 1, not 2"):
        measured.mask(2)
    with pytest.raises(JtvizError, match="k is a number of heads, at least 1, not 0"):
        measured.misranked(0)


def test_greedy_measures_again_after_each_head_that_went() -> None:
    """Against removing by hand, with `ablate`, in the induction model, whose heads back each other up."""
    hooked = jtviz.demo.induction()
    texts = ["k7Qm2xRtWzAb" * 2, "Zy9Xw8Vu7TsR" * 2, "pLo0Ki9Ju8Hy" * 2]
    found = jtviz.head_importance(
        hooked, texts, metric="accuracy", method=["exact", "greedy"], progress=False
    )

    def accuracy(off: list[tuple[str, int, int]]) -> float:
        heads: dict[tuple[str, int], list[int]] = {}
        for stage, layer, head in off:
            heads.setdefault((stage, layer), []).append(head)
        right = []
        with hooked.ablate(heads=heads):
            for text in texts:
                trace = hooked.trace(text)
                assert trace.logits is not None
                ids = torch.tensor(trace.tokens["decoder"].ids)
                right.append(float((trace.logits[:-1].argmax(-1) == ids[1:]).float().mean()))
        return sum(right) / len(right)

    whole, left, before = accuracy([]), list(found.heads), -np.inf
    gone: list[tuple[str, int, int]] = []
    for stage, layer, head, value in found.ranking("greedy"):
        drops = {one: whole - accuracy([*gone, one]) for one in left}
        assert drops[stage, layer, head] == pytest.approx(min(drops.values()), abs=1e-6)
        before = max(before, drops[stage, layer, head])
        assert value == pytest.approx(before, abs=1e-6)
        gone.append((stage, layer, head))
        left.remove((stage, layer, head))
    # Alone each head of the second layer is worth nothing; the last of them that is left is worth all.
    alone = max(value for _, layer, _, value in found.ranking("exact") if layer == 1)
    last = max(value for _, layer, _, value in found.ranking("greedy") if layer == 1)
    assert alone < 0.05
    assert last > 0.3


def test_greedy_is_asked_for_by_name() -> None:
    found = jtviz.head_importance(
        jtviz.demo.induction(), ["abcabcabcabc", "xyzuxyzuxyzu"], method="all", progress=False
    )
    assert "greedy" not in found.methods
