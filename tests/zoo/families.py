"""The families of `transformers` that jtviz is tested on, as small models with random weights.

Required: no model hub; each family keeps what is peculiar to it (grouped queries, a window shorter
than the text, a soft cap, sinks, relative positions, sides of different depth).
"""

from __future__ import annotations

import copy
from dataclasses import dataclass, field
from typing import Any

import torch
import transformers
from torch import Tensor

WORDS = 60
LENGTH = 9
ANSWER = 7
WINDOW = 4  # shorter than the text

_IDS: dict[str, Any] = {"vocab_size": WORDS, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}
_BERT: dict[str, Any] = {
    "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 48,
    "max_position_embeddings": 64, **_IDS,
}  # fmt: skip
_LLAMA: dict[str, Any] = {**_BERT, "num_key_value_heads": 2}
_GPT: dict[str, Any] = {"n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 64, **_IDS}
_BART: dict[str, Any] = {
    "d_model": 32, "encoder_layers": 2, "decoder_layers": 3, "encoder_attention_heads": 4,
    "decoder_attention_heads": 2, "encoder_ffn_dim": 48, "decoder_ffn_dim": 48, "max_position_embeddings": 64,
    "decoder_start_token_id": 2, **_IDS,
}  # fmt: skip
_TOWER: dict[str, Any] = {
    "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 48,
}  # fmt: skip
_IMAGE: dict[str, Any] = {"image_size": 16, "patch_size": 4}


@dataclass(frozen=True)
class Family:
    """One family: how to build it, and what is peculiar to it.

    Attributes
    ----------
    model, config : str
        Names of the classes in `transformers`.
    settings : dict
        Of the configuration.
    peculiar : str
        What makes it a case of its own, for the table.
    kind : {"text", "two sides", "audio", "image"}
        What it reads.
    batches : bool
        Whether one example of a batch can be told apart.
    refused : str or None
        What the refusal says, where the family cannot be shown.
    """

    model: str
    config: str
    settings: dict[str, Any] = field(default_factory=dict)
    peculiar: str = ""
    kind: str = "text"
    batches: bool = True
    refused: str | None = None

    @property
    def implementations(self) -> tuple[str, ...]:
        """The attention implementations that run on a CPU without a compiler."""
        # Gemma 2 and gpt-oss refuse sdpa, which knows neither soft caps nor sinks.
        supports = getattr(transformers, self.model)._supports_sdpa
        return ("sdpa", "eager") if supports else ("eager",)

    def build(self, implementation: str) -> Any:
        """Return a model in evaluation mode with the same random weights for every implementation."""
        config = getattr(transformers, self.config)(**copy.deepcopy(self.settings))
        with torch.random.fork_rng():
            torch.manual_seed(0)
            model = getattr(transformers, self.model)._from_config(config, attn_implementation=implementation)
        return model.eval()

    def inputs(self, batch: int, padding: str) -> dict[str, Tensor]:
        """Return arguments for its forward; the first example is padded."""
        generator = torch.Generator().manual_seed(1)

        def ids(length: int) -> Tensor:
            return torch.randint(3, WORDS, (batch, length), generator=generator)

        if self.kind == "image":
            return {"pixel_values": torch.randn(batch, 3, 16, 16, generator=generator)}
        if self.kind == "audio":
            features = torch.randn(batch, 8, 20, generator=generator)
            return {"input_features": features, "decoder_input_ids": ids(ANSWER)}
        mask = torch.ones(batch, LENGTH, dtype=torch.long)
        if padding == "right":
            mask[0, -3:] = 0
        elif padding == "left":
            mask[0, :2] = 0
        made = {"input_ids": ids(LENGTH), "attention_mask": mask}
        if self.kind == "two sides":
            made["decoder_input_ids"] = ids(ANSWER)
        return made


def _text(name: str, suffix: str, settings: dict[str, Any], peculiar: str = "", **more: Any) -> Family:
    return Family(f"{name}{suffix}", f"{name}Config", settings, peculiar, **more)


FAMILIES: dict[str, Family] = {
    "BERT": _text("Bert", "Model", _BERT),
    "RoBERTa": _text("Roberta", "Model", _BERT, "positions start after the padding id"),
    "DistilBERT": _text(
        "DistilBert",
        "Model",
        {"dim": 32, "n_layers": 2, "n_heads": 4, "hidden_dim": 48, "max_position_embeddings": 64, **_IDS},
    ),
    "ALBERT": _text("Albert", "Model", {**_BERT, "embedding_size": 16}, "one module, called for each layer"),
    "ELECTRA": _text("Electra", "Model", {**_BERT, "embedding_size": 16}),
    "DeBERTa-v2": _text(
        "DebertaV2",
        "Model",
        {**_BERT, "relative_attention": True, "pos_att_type": ["p2c", "c2p"], "position_buckets": 8,
         "norm_rel_ebd": "layer_norm", "share_att_key": True},
        "disentangled positions; examples and heads in one axis",
        batches=False,
    ),
    "ModernBERT": _text(
        "ModernBert",
        "Model",
        {**_BERT, "local_attention": WINDOW, "global_attn_every_n_layers": 2, "cls_token_id": 1,
         "sep_token_id": 2},
        "local window in every other layer",
    ),
    "XLNet": _text(
        "XLNet",
        "Model",
        {"d_model": 32, "n_layer": 2, "n_head": 4, "d_inner": 48, **_IDS},
        "relative positions",
    ),
    "GPT-2": _text("GPT2", "LMHeadModel", _GPT),
    "GPT-Neo": _text(
        "GPTNeo",
        "ForCausalLM",
        {"hidden_size": 32, "num_layers": 2, "num_heads": 4, "intermediate_size": 48, "window_size": WINDOW,
         "max_position_embeddings": 64, "attention_types": [[["global", "local"], 1]], **_IDS},
        "local window in every other layer",
    ),
    "GPT-NeoX": _text("GPTNeoX", "ForCausalLM", _BERT, "rotary positions in part"),
    "GPT-J": _text("GPTJ", "ForCausalLM", {**_GPT, "rotary_dim": 4}, "rotary positions in part"),
    "OPT": _text(
        "OPT",
        "ForCausalLM",
        {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "ffn_dim": 48,
         "max_position_embeddings": 64, "word_embed_proj_dim": 32, **_IDS},
    ),
    "BLOOM": _text(
        "Bloom",
        "ForCausalLM",
        {"hidden_size": 32, "n_layer": 2, "n_head": 4, **_IDS},
        "ALiBi; examples and heads in one axis",
        batches=False,
    ),
    "Falcon": _text(
        "Falcon",
        "ForCausalLM",
        {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "multi_query": True, **_IDS},
        "one key head for all query heads",
    ),
    "Llama": _text("Llama", "ForCausalLM", _LLAMA, "grouped queries"),
    "Mistral": _text(
        "Mistral", "ForCausalLM", {**_LLAMA, "sliding_window": WINDOW}, "sliding window, grouped queries"
    ),
    "Qwen2": _text("Qwen2", "ForCausalLM", _LLAMA, "grouped queries"),
    "Qwen3": _text("Qwen3", "ForCausalLM", {**_LLAMA, "head_dim": 8}, "normalised queries and keys"),
    "Gemma 2": _text(
        "Gemma2",
        "ForCausalLM",
        {**_LLAMA, "head_dim": 8, "sliding_window": WINDOW, "attn_logit_softcapping": 5.0,
         "query_pre_attn_scalar": 8},
        "soft cap, window in every other layer",
    ),
    "Gemma 3": Family(
        "Gemma3ForCausalLM",
        "Gemma3TextConfig",
        {**_LLAMA, "head_dim": 8, "sliding_window": WINDOW, "query_pre_attn_scalar": 8},
        "window in most layers",
    ),
    "Phi": _text("Phi", "ForCausalLM", _BERT, "rotary positions in part"),
    "Phi-3": _text("Phi3", "ForCausalLM", _LLAMA, "one projection for queries, keys and values"),
    "Mixtral": _text("Mixtral", "ForCausalLM", {**_LLAMA, "num_local_experts": 2}, "mixture of experts"),
    "DeepSeek-V3": _text(
        "DeepseekV3",
        "ForCausalLM",
        {**_BERT, "num_key_value_heads": 4, "moe_intermediate_size": 16, "n_routed_experts": 4,
         "num_experts_per_tok": 2, "n_group": 1, "topk_group": 1, "first_k_dense_replace": 1,
         "kv_lora_rank": 8, "q_lora_rank": 8, "qk_rope_head_dim": 4, "qk_nope_head_dim": 4, "v_head_dim": 8,
         "n_shared_experts": 1},
        "latent attention (MLA), mixture of experts",
    ),
    "gpt-oss": _text(
        "GptOss",
        "ForCausalLM",
        {**_LLAMA, "head_dim": 8, "num_local_experts": 2, "num_experts_per_tok": 1, "sliding_window": WINDOW},
        "sinks: rows sum to less than one",
    ),
    "T5": _text(
        "T5",
        "ForConditionalGeneration",
        {"d_model": 32, "num_layers": 2, "num_decoder_layers": 3, "num_heads": 4, "d_kv": 8, "d_ff": 48,
         "decoder_start_token_id": 0, **_IDS},
        "relative positions, no scale",
        kind="two sides",
    ),
    "BART": _text(
        "Bart", "ForConditionalGeneration", _BART, "sides differ in depth and heads", kind="two sides"
    ),
    "mBART": _text("MBart", "ForConditionalGeneration", _BART, kind="two sides"),
    "Marian": _text("Marian", "MTModel", {**_BART, "decoder_start_token_id": 0}, kind="two sides"),
    "Pegasus": _text(
        "Pegasus", "ForConditionalGeneration", {**_BART, "decoder_start_token_id": 0}, kind="two sides"
    ),
    "Whisper": _text(
        "Whisper",
        "ForConditionalGeneration",
        {**{k: v for k, v in _BART.items() if k != "max_position_embeddings"}, "num_mel_bins": 8,
         "max_source_positions": 10, "max_target_positions": 30, "suppress_tokens": None,
         "begin_suppress_tokens": None},
        "reads sound",
        kind="audio",
    ),
    "ViT": _text("ViT", "Model", {**_TOWER, **_IMAGE}, "reads images", kind="image"),
    "CLIP, text": Family(
        "CLIPTextModel",
        "CLIPTextConfig",
        {**_TOWER, **_IDS, "max_position_embeddings": 64},
        "one tower of two",
    ),
    "CLIP, image": Family(
        "CLIPVisionModel", "CLIPVisionConfig", {**_TOWER, **_IMAGE}, "one tower of two", kind="image"
    ),
    "Longformer": _text(
        "Longformer",
        "Model",
        {**_BERT, "attention_window": WINDOW},
        "sparse: windows in blocks",
        refused="no attention was found in LongformerModel",
    ),
}  # fmt: skip
