"""The embedded translator: that it translates, and that its training script makes such a model."""

import itertools
import json
import random
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import jtviz
from jtviz.demo import embedded, train_translator
from jtviz.demo.sentences import NAMES, split_pairs, vary
from jtviz.demo.seq2seq import Seq2SeqConfig, Seq2SeqTransformer

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


def test_beam_search_finds_what_trying_everything_finds() -> None:
    torch.manual_seed(5)
    config = Seq2SeqConfig(source_vocabulary=9, target_vocabulary=6, width=16, heads=2, feed_forward=16)
    model = Seq2SeqTransformer(config).eval()
    source = torch.tensor([[4, 7, 5], [8, 3, 0]])
    beams = model.generate(source, max_new_tokens=3, num_beams=6**3)
    for padded, found in zip(source, beams, strict=True):
        row = padded[padded != config.pad][None]
        score = {}
        for length in (1, 2, 3):
            for middle in itertools.product([t for t in range(6) if t != config.end], repeat=length - 1):
                ids = torch.tensor([[config.begin, *middle, config.end]])
                logits = model(row, ids[:, :-1]).log_softmax(-1)
                score[tuple(ids[0].tolist())] = logits.gather(-1, ids[:, 1:, None]).sum().item() / length
        best = max(score, key=lambda ids: score[ids])
        assert tuple(found[: len(best)].tolist()) == best
        assert not found[len(best) :].any()


def test_beams_translate_at_least_as_likely_as_the_greedy_choice() -> None:
    hooked = jtviz.demo.translator()
    tokenizer: Any = hooked.tokenizer
    source = torch.tensor([tokenizer.source.encode("We went to the market with our friends.").ids])

    def likelihood(ids: torch.Tensor) -> float:
        with torch.no_grad():
            scores = hooked.model(source, ids[:, :-1]).log_softmax(-1)
        return float(scores.gather(-1, ids[:, 1:, None]).mean())

    greedy, beams = (hooked.model.generate(source, num_beams=n) for n in (1, 4))  # type: ignore[operator]
    assert beams.tolist() != greedy.tolist()
    assert likelihood(beams) > likelihood(greedy)
    text = tokenizer.target.decode(beams[0].tolist())
    assert hooked.generate("We went to the market with our friends.", num_beams=4) == text


def test_loading_leaves_the_random_numbers_alone() -> None:
    state = torch.random.get_rng_state()
    model, _ = embedded.open_translator(embedded.FOLDER / "translator")
    assert torch.equal(state, torch.random.get_rng_state())
    assert not model.training
    assert 2e6 <= sum(parameter.numel() for parameter in model.parameters()) <= 3e6


def test_an_interrupted_run_ends_where_it_would_have_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pairs = [f"Tom sees {n}.\t汤姆看{n}。" for n in range(40)]
    (tmp_path / "pairs.tsv").write_text("\n".join(pairs), encoding="utf-8")

    def run(out: str) -> bytes:
        command = ["train", "--pairs", str(tmp_path / "pairs.tsv"), "--out", str(tmp_path / out)]
        monkeypatch.setattr(sys, "argv", [*command, "--held-out", "4", "--epochs", "3", "--batch", "16"])
        train_translator.main()
        state = torch.load(tmp_path / out / "resume.pt", weights_only=False)
        return b"".join(tensor.numpy().tobytes() for tensor in state["model"].values())

    expected = run("whole")
    real, calls = train_translator.evaluate, itertools.count()

    def interrupt(*args: Any) -> dict[str, float]:
        if next(calls) == 1:
            raise KeyboardInterrupt
        return real(*args)

    monkeypatch.setattr(train_translator, "evaluate", interrupt)
    with pytest.raises(KeyboardInterrupt):
        run("interrupted")
    monkeypatch.setattr(train_translator, "evaluate", real)
    torch.manual_seed(99)
    assert run("interrupted") == expected


def test_a_run_with_other_settings_does_not_go_on_where_another_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pairs = [f"I see {n}.\t我看{n}。" for n in range(40)]
    (tmp_path / "pairs.tsv").write_text("\n".join(pairs), encoding="utf-8")
    command = ["train", "--pairs", str(tmp_path / "pairs.tsv"), "--out", str(tmp_path / "out")]
    command += ["--held-out", "4", "--epochs", "1"]
    monkeypatch.setattr(sys, "argv", command)
    train_translator.main()
    monkeypatch.setattr(sys, "argv", [*command, "--seed", "7"])
    with pytest.raises(SystemExit, match="other settings: choose another --out"):
        train_translator.main()


def test_traditional_and_simplified_characters_are_not_mixed() -> None:
    from opencc import OpenCC

    tokenizer: Any = jtviz.demo.translator().tokenizer
    vocabulary = tokenizer.target.get_vocab()
    assert len(vocabulary) > 2000
    convert = OpenCC("t2s").convert
    assert [piece for piece in vocabulary if convert(piece) != piece] == []


def test_sentences_are_varied_on_both_sides_at_once() -> None:
    pairs = [("Tom is here.", "汤姆在这里。")] * 400
    varied = vary(pairs, random.Random(0))
    assert varied == vary(pairs, random.Random(0))
    names = dict(NAMES["Tom", "汤姆"]) | {"Tom": "汤姆"}
    for english, chinese in varied:
        said = english.replace(" is here", "").replace(".", "").split()
        assert "".join(f"{names[name]}在这里。" for name in said) == chinese
    share = [
        sum(test(e) for e, _ in varied) / len(varied)
        for test in (lambda e: "Tom" not in e, lambda e: e[-1] != ".", lambda e: e.count("here") == 2)
    ]
    assert share == pytest.approx([0.2, 0.1, 0.08], abs=0.05)


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
    assert [point["epoch"] for point in card["curve"]] == [1, 2]
    assert card["figures"]["test pairs"] == 4
    model, tokenizers = embedded.open_translator(out)
    ids = tokenizers.source.encode("I see the dog.").ids
    assert model.generate(torch.tensor([ids]), max_new_tokens=5).shape[0] == 1
    assert "欢" in tokenizers.target.get_vocab()  # simplified
    assert "歡" not in tokenizers.target.get_vocab()


def test_held_out_english_occurs_nowhere_in_training() -> None:
    pairs = [(f"Sentence {i // 2}.", f"句子{i}。") for i in range(60)]
    training, development, test = split_pairs(pairs, 5, seed=3)
    english = [{e for e, _ in part} for part in (training, development, test)]
    assert sum(map(len, english)) == len(set().union(*english)) == 30
    assert len(development) == len(test) == 5
