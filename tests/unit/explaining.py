"""What the tests of `jtviz.explain` share: small random models, a tokenizer, and Captum called by hand.

The reference is Captum on the model's own word embedding (`LayerIntegratedGradients`), with ids, masks and
baselines written out here.
"""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
import transformers
from captum import attr
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors
from torch import Tensor

from jtviz.analysis import Explanation
from jtviz.capture.target import Target

TOLERANCE = 1e-6
PROBABILITY = 1e-5
WORDS = (
    "the a cat dog sat ran on in mat rug Ann Lee lives Rome ##s ? . , big red is was who where example This"
)
SPECIAL = ["[PAD]", "[CLS]", "[SEP]", "[UNK]", "[MASK]"]
VOCABULARY = {word: i for i, word in enumerate([*SPECIAL, *WORDS.split(), "<script>"])}
IDS: dict[str, Any] = {"vocab_size": len(VOCABULARY), "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}
WIDE = {"initializer_range": 0.3}  # so that predictions depend on the text
BERT: dict[str, Any] = {
    "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 24,
    "max_position_embeddings": 40, **WIDE, **IDS,
}  # fmt: skip
BART: dict[str, Any] = {
    "d_model": 16, "encoder_layers": 1, "decoder_layers": 1, "encoder_attention_heads": 2,
    "decoder_attention_heads": 2, "encoder_ffn_dim": 24, "decoder_ffn_dim": 24, "max_position_embeddings": 40,
    "decoder_start_token_id": 2, "init_std": 0.3, **IDS,
}  # fmt: skip
FAMILIES: dict[str, dict[str, Any]] = {
    "Bert": BERT,
    "Roberta": BERT,
    "DistilBert": {"dim": 16, "n_layers": 2, "n_heads": 2, "hidden_dim": 24, "max_position_embeddings": 40,
                   **WIDE, **IDS},
    "Bart": BART,
    "GPT2": {"n_embd": 16, "n_layer": 2, "n_head": 2, "n_positions": 40, **WIDE, **IDS},
    "ViT": {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 24,
            "image_size": 16, "patch_size": 4, **WIDE},
}  # fmt: skip
TEXT = "the big cat sat on the red mat ."
QUESTION, CONTEXT = "who sat on the mat ?", "the big cats sat on the red mat ."
OUTPUTS = ("logit", "log_prob", "prob", "loss")
KEPT = {1, 2, 4}  # [CLS], [SEP] and [MASK] stay in the baseline


def build(family: str, head: str, seed: int = 0, **settings: Any) -> Any:
    config = getattr(transformers, f"{family}Config")(**copy.deepcopy(FAMILIES[family] | settings))
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return getattr(transformers, family + head)(config).eval()


def words(*, with_marks: bool = True) -> Any:
    """A tokenizer with pieces, pairs and a mask, built here: no hub."""
    tokenizer = Tokenizer(models.WordPiece(VOCABULARY, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.decoder = decoders.WordPiece()
    if with_marks:
        tokenizer.post_processor = processors.TemplateProcessing(
            single="[CLS] $A [SEP]",
            pair="[CLS] $A [SEP] $B:1 [SEP]:1",
            special_tokens=[("[CLS]", 1), ("[SEP]", 2)],
        )
    made: Any = transformers.PreTrainedTokenizerFast
    return made(
        tokenizer_object=tokenizer, pad_token="[PAD]", cls_token="[CLS]", sep_token="[SEP]",
        unk_token="[UNK]", mask_token="[MASK]",
    )  # fmt: skip


def scaled(logits: Tensor, output: str) -> Tensor:
    log_prob = logits.log_softmax(-1)
    return {"logit": logits, "log_prob": log_prob, "prob": log_prob.exp(), "loss": -log_prob}[output]


def by_hand(
    model: Any, given: dict[str, Tensor], number: Callable[[Any], Tensor], steps: int | None, kept: set[int]
) -> np.ndarray[Any, Any]:
    """Return Captum's layer integrated gradients of the word embedding, padding as baseline."""
    ids = given["input_ids"]
    baseline = torch.where(torch.isin(ids, torch.tensor(sorted(kept))), ids, torch.zeros_like(ids))
    rest = {name: value for name, value in given.items() if name != "input_ids"}

    def forward(ids: Tensor) -> Tensor:
        repeated = {name: value.expand(len(ids), -1) for name, value in rest.items()}
        return number(model(input_ids=ids, **repeated))

    layer = model.get_input_embeddings()
    found = attr.LayerIntegratedGradients(forward, layer).attribute(ids, baseline, n_steps=steps or 0)
    scores: np.ndarray[Any, Any] = found.sum(-1)[0].detach().numpy()
    return scores


def logit_of(row: int, index: int) -> Callable[[Any], Tensor]:
    return lambda output: output.logits[:, row, index]


def chance_of(index: int, output: str) -> Callable[[Any], Tensor]:
    """Return a label's own probability, or its logarithm."""
    if output == "prob":
        return lambda out: out.logits[:, index].sigmoid()
    return lambda out: out.logits[:, index].sigmoid().log()


def place_of(field: str, place: int) -> Callable[[Any], Tensor]:
    return lambda output: getattr(output, field).log_softmax(-1)[:, place]


def encoded(model: Any, *texts: str, **options: Any) -> dict[str, Tensor]:
    made = words(**options)(*texts, return_tensors="pt")
    takes = inspect.signature(model.forward).parameters
    return {name: value for name, value in made.items() if name in takes}


def target(found: Explanation) -> Target:
    assert found.target is not None
    return found.target


def compared(found: Explanation, wanted: np.ndarray[Any, Any], part: int = 0) -> None:
    """Compare with the reference, which must not be zero: that would prove nothing."""
    assert np.abs(wanted).max() > 100 * TOLERANCE
    scores = [score for _, score in found[part].attributions]
    np.testing.assert_allclose(scores, wanted, atol=TOLERANCE, rtol=1e-5)
