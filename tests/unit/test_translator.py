"""The embedded translator: that it translates, and that its training script makes such a model."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import jtviz
from jtviz.demo import embedded, train_translator

SENTENCE = "Where is the nearest station?"


@pytest.mark.parametrize(
    ("english", "chinese"),
    [
        (SENTENCE, ("站", "哪")),
        ("I like to drink tea.", ("喜欢", "茶")),
        ("He is a doctor.", ("他", "医生")),
        ("What time is it now?", ("现在", "几点")),
        ("Can you help me?", ("你", "帮", "吗")),
        ("She bought a red car.", ("她", "买", "红", "车")),
        ("I don't know her name", ("我", "不知道", "名字")),
    ],
)
def test_everyday_sentences_are_translated(english: str, chinese: tuple[str, ...]) -> None:
    translation = jtviz.demo.translator().generate(english)
    assert all(part in translation for part in chinese), translation


def test_attention_is_what_pytorch_itself_returns_with_need_weights() -> None:
    hooked = jtviz.demo.translator()
    transformer: Any = hooked.model.transformer
    trace = hooked.trace(SENTENCE)
    source, target = (torch.tensor([trace.tokens[side].ids]) for side in ("encoder", "decoder"))
    sites = {
        "encoder": [layer.self_attn for layer in transformer.encoder.layers],
        "decoder": [layer.self_attn for layer in transformer.decoder.layers],
        "cross": [layer.multihead_attn for layer in transformer.decoder.layers],
    }
    for stage, modules in sites.items():
        for layer, module in enumerate(modules):
            expected = _need_weights(hooked.model, module, source, target)
            weights = trace.attention(stage, layer=layer)
            torch.testing.assert_close(weights, expected, atol=1e-6, rtol=0)
            torch.testing.assert_close(weights.sum(-1), torch.ones(weights.shape[:2]), atol=1e-6, rtol=0)


def _need_weights(
    model: nn.Module, site: nn.Module, source: torch.Tensor, target: torch.Tensor
) -> torch.Tensor:
    """Call the site once more with the inputs it had, and ask PyTorch for the weights."""
    seen: list[tuple[tuple[Any, ...], dict[str, Any]]] = []
    handle = site.register_forward_pre_hook(
        lambda _, args, kwargs: seen.append((args, kwargs)), with_kwargs=True
    )
    try:
        with torch.no_grad():
            model(source, target)
            args, kwargs = seen[0]
            weights: torch.Tensor = site(
                *args, **{**kwargs, "need_weights": True, "average_attn_weights": False}
            )[1]
    finally:
        handle.remove()
    return weights[0]


def test_loading_leaves_the_random_numbers_alone() -> None:
    state = torch.random.get_rng_state()
    model, _ = embedded.load(embedded.FOLDER)
    assert torch.equal(state, torch.random.get_rng_state())
    assert not model.training
    assert 2e6 <= sum(parameter.numel() for parameter in model.parameters()) <= 3e6


def test_the_card_says_what_the_model_is() -> None:
    card = json.loads((embedded.FOLDER / "card.json").read_text(encoding="utf-8"))
    assert "tatoeba.org, CC BY 2.0 FR" in card["data"]
    assert card["test"]["pairs"] == 500
    assert {"bleu", "chrf"} <= set(next(v for k, v in card["test"].items() if k != "pairs"))


def test_training_makes_a_model_that_loads_and_goes_on_where_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    nouns = {"dog": "狗", "cat": "猫", "book": "书", "cup": "杯子"}
    subjects = {"I": "我", "You": "你", "We": "我们", "They": "他们"}
    verbs = {"see": "看见", "want": "想要", "like": "喜歡"}
    pairs = [
        f"{who} {does} the {what}.\t{zh_who}{zh_does}{zh_what}.\tour own"
        for who, zh_who in subjects.items()
        for does, zh_does in verbs.items()
        for what, zh_what in nouns.items()
    ]
    (tmp_path / "pairs.tsv").write_text("\n".join(pairs), encoding="utf-8")
    out = tmp_path / "model"
    for epochs in (1, 2):
        command = ["train", "--pairs", str(tmp_path / "pairs.tsv"), "--out", str(out), "--held-out", "4"]
        monkeypatch.setattr(sys, "argv", [*command, "--epochs", str(epochs), "--batch", "8"])
        train_translator.main()
    card = json.loads((out / "card.json").read_text(encoding="utf-8"))
    assert [point["epoch"] for point in card["curve (development)"]] == [1, 2]
    model, tokenizers = embedded.load(out)
    ids = tokenizers.source.encode("I see the dog.").ids
    assert model.generate(torch.tensor([ids]), max_new_tokens=5).shape[0] == 1
    assert "欢" in tokenizers.target.get_vocab()  # simplified
    assert "歡" not in tokenizers.target.get_vocab()


def test_held_out_english_occurs_nowhere_in_training() -> None:
    pairs = [(f"Sentence {i // 2}.", f"句子{i}。") for i in range(60)]
    training, development, test = train_translator.split_pairs(pairs, 5, seed=3)
    english = [{e for e, _ in part} for part in (training, development, test)]
    assert sum(map(len, english)) == len(set().union(*english)) == 30
    assert len(development) == len(test) == 5
