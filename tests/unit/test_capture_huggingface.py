"""Hugging Face models, small and random, against their own eager ``output_attentions``."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from torch import Tensor, nn

from jtviz.capture import JtvizError, Trace, hook
from jtviz.capture.structure import longest
from jtviz.tokens import codec

transformers = pytest.importorskip("transformers")

TOLERANCE = 1e-5
WORDS = 60
LENGTH = 9
IDS: dict[str, Any] = {"vocab_size": WORDS, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}
BERT: dict[str, Any] = {
    "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 37, **IDS,
}  # fmt: skip
BART: dict[str, Any] = {
    "d_model": 32, "encoder_layers": 2, "decoder_layers": 3, "encoder_attention_heads": 4,
    "decoder_attention_heads": 4, "encoder_ffn_dim": 37, "decoder_ffn_dim": 37, "max_position_embeddings": 40,
    "decoder_start_token_id": 2, **IDS,
}  # fmt: skip
FAMILIES: dict[str, tuple[str, dict[str, Any]]] = {
    "Bert": ("Model", BERT),
    "DistilBert": ("Model", {"dim": 32, "n_layers": 2, "n_heads": 4, "hidden_dim": 37, **IDS}),
    "GPT2": ("LMHeadModel", {"n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 40, **IDS}),
    "Llama": ("ForCausalLM", {**BERT, "num_key_value_heads": 2}),
    "Mistral": ("ForCausalLM", {**BERT, "num_key_value_heads": 2, "sliding_window": 4}),
    "T5": (
        "ForConditionalGeneration",
        {"d_model": 32, "num_layers": 2, "num_decoder_layers": 2, "num_heads": 4, "d_kv": 8, "d_ff": 37,
         "decoder_start_token_id": 0, **IDS},
    ),
    "Bart": ("ForConditionalGeneration", BART),
    "Marian": ("MTModel", {**BART, "decoder_start_token_id": 0}),
}  # fmt: skip


def build(family: str, implementation: str = "sdpa") -> Any:
    suffix, settings = FAMILIES[family]
    config = getattr(transformers, f"{family}Config")(**copy.deepcopy(settings))
    return (
        getattr(transformers, family + suffix)._from_config(config, attn_implementation=implementation).eval()
    )


def inputs_of(model: Any, padding: str) -> dict[str, Tensor]:
    mask = torch.ones(1, LENGTH, dtype=torch.long)
    if padding != "none":
        mask[:, slice(-3, None) if padding == "right" else slice(0, 2)] = 0
    made = {"input_ids": torch.randint(3, WORDS, (1, LENGTH)), "attention_mask": mask}
    if model.config.is_encoder_decoder:
        made["decoder_input_ids"] = torch.randint(3, WORDS, (1, LENGTH))
    return made


def eager_attention(model: Any, inputs: dict[str, Tensor]) -> dict[str, list[Tensor]]:
    eager = copy.deepcopy(model)
    eager.set_attn_implementation("eager")
    with torch.no_grad():
        output = eager(**inputs, output_attentions=True)
    if model.config.is_encoder_decoder:
        return {s: list(getattr(output, f"{s}_attentions")) for s in ("encoder", "decoder", "cross")}
    return {"": list(output.attentions)}


def words() -> Any:
    """A tokenizer of the models' vocabulary size, built here: no hub."""
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Metaspace()
    special = ["<pad>", "<s>", "</s>", "<unk>"]
    trainer = trainers.UnigramTrainer(
        vocab_size=WORDS, special_tokens=special, unk_token="<unk>", show_progress=False
    )
    tokenizer.train_from_iterator(["I like to drink tea.", "Where is the nearest station?"] * 9, trainer)
    tokenizer.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 2)])
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token="<s>", eos_token="</s>", pad_token="<pad>", unk_token="<unk>"
    )


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("implementation", ["sdpa", "eager"])
@pytest.mark.parametrize("padding", ["none", "right", "left"])
def test_attention_equals_the_models_own(family: str, implementation: str, padding: str) -> None:
    model = build(family, implementation)
    inputs = inputs_of(model, padding)
    trace = hook(model).trace(inputs=inputs)
    # Rows of padding mean nothing: eager spreads them evenly, sdpa makes them zero.
    real = {"encoder": inputs["attention_mask"][0].bool(), "decoder": torch.ones(LENGTH, dtype=torch.bool)}
    if not model.config.is_encoder_decoder:
        real["decoder"] = real["encoder"]
    for stage, layers in eager_attention(model, inputs).items():
        stage = stage or trace.stages[0]  # noqa: PLW2901 - a model of one stage does not name it
        assert trace.layers(stage) == len(layers)
        for layer, wanted in enumerate(layers):
            rows = real[trace.query_side(stage)]
            found = trace.attention(stage, layer=layer)
            torch.testing.assert_close(found[:, rows], wanted[0][:, rows], atol=TOLERANCE, rtol=0)
    expected = {"Bert": ("encoder",), "DistilBert": ("encoder",)}
    decoder_only = ("decoder",) if not model.config.is_encoder_decoder else ("encoder", "decoder", "cross")
    assert trace.stages == expected.get(family, decoder_only)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("implementation", ["sdpa", "eager"])
def test_a_traced_forward_returns_what_an_untraced_one_does(family: str, implementation: str) -> None:
    model = build(family, implementation)
    inputs = inputs_of(model, "right")
    kept: list[Any] = []
    handle = model.register_forward_hook(lambda *call: kept.append(call[-1]))
    hook(model).trace(inputs=inputs)
    with torch.no_grad():
        model(**inputs, **({} if family == "DistilBert" else {"use_cache": False}))
    handle.remove()
    traced, untraced = (output.to_tuple() for output in kept)
    assert all(torch.equal(a, b) for a, b in zip(traced, untraced, strict=True))


def test_query_heads_share_key_heads_without_copies() -> None:
    trace = hook(build("Llama")).trace(inputs=inputs_of(build("Llama"), "none"))
    site: Any = trace.site("decoder", 0)
    assert (site.heads, len(site.key), site.group) == (4, 2, 2)


def test_an_encoder_reads_a_text() -> None:
    trace = hook(build("Bert"), words()).trace("I like tea.")
    assert trace.tokens["encoder"].sentence == "I like tea."
    assert trace.tokens["encoder"][-1] == "</s>"
    assert trace.predicts is None


def test_a_language_model_predicts_the_next_token_and_at_the_end_its_most_likely() -> None:
    model, tokenizer = build("GPT2"), words()
    trace = hook(model, tokenizer).trace("I like tea.")
    tokens = trace.tokens["decoder"]
    assert trace.predicts is not None
    assert trace.predicts[:-1] == tuple(tokens[1:])
    with torch.no_grad():
        likely = int(model(torch.tensor([tokens.ids])).logits[0, -1].argmax())
    assert trace.predicts[-1] == tokenizer.convert_ids_to_tokens(likely).lstrip("▁")


def test_a_language_model_generates_when_asked() -> None:
    model, tokenizer = build("GPT2"), words()
    ids = tokenizer("I like tea.", return_tensors="pt")["input_ids"]
    wanted = model.generate(ids, max_new_tokens=3, do_sample=False)[0].tolist()
    trace = hook(model, tokenizer).trace("I like tea.", generate=3)
    assert trace.tokens["decoder"].ids == tuple(wanted)


@pytest.mark.parametrize("family", ["T5", "Bart", "Marian"])
def test_an_encoder_decoder_generates_first_and_then_reads_what_it_wrote(family: str) -> None:
    model, tokenizer = build(family), words()
    ids = tokenizer("I like tea.", return_tensors="pt")["input_ids"]
    wanted = model.generate(ids, max_new_tokens=6, do_sample=False)[0].tolist()
    hooked = hook(model, tokenizer)
    trace = hooked.trace("I like tea.", generate=6)
    assert trace.tokens["decoder"].ids == tuple(wanted[:-1])
    assert trace.predicts is not None
    assert len(trace.predicts) == len(wanted) - 1
    assert hooked.generate("I like tea.", max_new_tokens=6) == codec(tokenizer).decode(wanted)
    assert trace.stages == ("encoder", "decoder", "cross")


@pytest.mark.parametrize("family", ["T5", "Bart", "Marian"])
def test_a_given_answer_is_read_as_the_model_reads_labels(family: str) -> None:
    model, tokenizer = build(family), words()
    labels = tokenizer(text_target="drink tea", return_tensors="pt")["input_ids"]
    trace = hook(model, tokenizer).trace("I like tea.", target_text="drink tea")
    begin = model.config.decoder_start_token_id
    assert trace.tokens["decoder"].ids == (begin, *labels[0].tolist()[:-1])
    assert trace.predicts is not None
    assert trace.predicts[-1] == "</s>"


def test_a_text_longer_than_learned_positions_is_refused_with_both_numbers() -> None:
    with pytest.raises(JtvizError, match=r"102 tokens.* 40"):
        hook(build("GPT2"), words()).trace("t" * 101)


@pytest.mark.parametrize(("family", "limit"), [("Bert", 12), ("Roberta", 10), ("OPT", 12), ("Bart", 12)])
def test_learned_positions_end_where_the_model_ends(family: str, limit: int) -> None:
    settings = {**(BART if family == "Bart" else BERT), "max_position_embeddings": 12, "pad_token_id": 1}
    extra = {"ffn_dim": 37, "word_embed_proj_dim": 32} if family == "OPT" else {}
    model = getattr(transformers, f"{family}Model")(
        getattr(transformers, f"{family}Config")(**settings, **extra)
    ).eval()
    assert longest(model, "encoder") == limit
    ids = torch.full((1, limit), 5)
    model(ids)
    with pytest.raises((IndexError, RuntimeError)):
        model(torch.full((1, limit + 1), 5))


def test_rotary_positions_have_no_end() -> None:
    model = transformers.LlamaForCausalLM(
        transformers.LlamaConfig(**FAMILIES["Llama"][1], max_position_embeddings=8)
    )
    assert len(hook(model, words()).trace("I like to drink tea.").tokens["decoder"]) > 8


def test_a_model_without_an_output_layer_asks_for_the_answer() -> None:
    model = transformers.BartModel(transformers.BartConfig(**BART))
    with pytest.raises(JtvizError, match="target_text="):
        hook(model, words()).trace("I like tea.")
    assert hook(model).trace("I like tea.", target_text="tea").logits is None


def test_a_pipeline_brings_its_tokenizer() -> None:
    pipeline = transformers.pipeline("text-generation", model=build("GPT2"), tokenizer=words())
    assert isinstance(hook(pipeline).trace("I like tea."), Trace)


def test_flex_attention_is_traced_under_sdpa_and_set_back(monkeypatch: pytest.MonkeyPatch) -> None:
    model = build("Llama")
    model.set_attn_implementation("flex_attention")
    trace = hook(model).trace(inputs=inputs_of(model, "none"))
    assert model.config._attn_implementation == "flex_attention"
    assert any("sdpa instead of flex_attention" in note for note in trace.notes)
    monkeypatch.setattr(model, "lm_head", nn.Linear(3, 3))
    with pytest.raises(RuntimeError):
        hook(model).trace(inputs=inputs_of(model, "none"))
    assert model.config._attn_implementation == "flex_attention"
