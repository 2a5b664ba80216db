"""One observed forward pass, from prepared inputs to a trace.

Required: what the model returned is read, never guessed at: a hidden state is not taken for logits; what
cannot be told is left out of the trace.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import torch
from torch import Tensor, nn

from ..tokens import Tokens, label
from .classes import class_logits
from .errors import JtvizError, NoAttentionError, OutOfRangeError
from .flow import tensors
from .inputs import UNREAD, Prepared, last_read, vocabulary
from .intervention.intervention import active, passive
from .intervention.places import Places
from .kernels import exactly
from .patches import patches_of
from .placing import keep_together
from .record import Recorder
from .stages import SideName, match_lengths, sort_into_stages
from .structure import setting
from .target import Outcome, TargetLike
from .trace import Trace

_LOGITS_LIMIT = 1 << 28  # bytes: longer texts over large vocabularies keep no logits
_ROWS = 256  # rows of logits turned into probabilities at a time


@dataclass(frozen=True)
class Asked:
    """What a trace is to hold beside attention.

    Attributes
    ----------
    gradients : bool
        Whether to differentiate.
    target, output
        What to differentiate, and on which scale.
    pattern_limit : int
        Bytes of patterns to keep where a model writes its attention out.
    keep_on : torch.device or None
        Where to keep it; where it was computed if None.
    example : int
        Which example of a batch.
    """

    gradients: bool
    target: TargetLike
    output: str
    pattern_limit: int
    keep_on: torch.device | None
    example: int


def run(model: nn.Module, tokenizer: Any, prepared: Prepared, asked: Asked, notes: list[str]) -> Trace:
    """Run a model once, watched, and return the trace.

    Parameters
    ----------
    model : nn.Module
        In the state for a trace (see `jtviz.capture.asfound`).
    tokenizer : object or None
        Names predicted tokens.
    prepared : Prepared
        What the forward takes, and what is known of the tokens.
    asked : Asked
        What the trace is to hold.
    notes : list of str
        What had to run otherwise; grows.

    Raises
    ------
    NoAttentionError
        If the model ran but no attention was seen.
    """
    batch, examples = _batch(prepared)
    if batch is not None and asked.example >= batch:
        raise OutOfRangeError(f"example {asked.example} is not there: examples are 0 to {batch - 1}.")
    interventions = active(model)
    recorder = Recorder(
        model,
        batch=batch,
        examples=examples,
        example=asked.example,
        pattern_limit=asked.pattern_limit,
        gradients=asked.gradients,
        interventions=interventions,
    )
    args, kwargs = prepared.args, prepared.kwargs
    if asked.gradients:
        args, kwargs = _differentiable(args), _differentiable(kwargs)
    with passive(interventions), recorder:
        output = model(*args, **kwargs)
    notes.extend(one.words for one in interventions if one.words)
    if not recorder.sites:
        raise NoAttentionError(
            f"no attention was found in {type(model).__name__}: its forward called neither "
            f"scaled_dot_product_attention nor a softmax over keys that is then multiplied by values; "
            f"hook the module that does."
        )
    by_stage = sort_into_stages(recorder.sites, decoder=_says_decoder(model))
    lengths = match_lengths(by_stage)
    rows = lengths.get("decoder", lengths.get("encoder", 0))
    prepared.patches = patches_of(model, [args, kwargs], lengths.get("encoder", 0))
    logits = token_logits(output, vocabulary(tokenizer, model), rows, asked.example)
    target = None
    following = prepared.following_ids
    if recorder.outputs is not None:
        side: Literal["source", "target"] = "source" if prepared.target is None else "target"
        outcome = Outcome(
            model=model,
            output=output,
            logits=logits,
            following=following,
            read=prepared.read,
            tokenizer=tokenizer,
            side=side,
            is_decoder="decoder" in lengths,
            answer=prepared.answer,
            example=asked.example,
        )
        target, number = outcome.score(asked.target, asked.output)
        recorder.outputs.differentiate(number)
    if logits is not None:
        # A view would keep the logits of the whole batch alive.
        logits = logits.detach() if batch in {None, 1} else logits.detach().clone()
    tokens = _tokens(prepared, lengths)
    predicts, chances = None, None
    if "decoder" in lengths:
        predicted = _predicted(prepared, logits, lengths["decoder"])
        predicts = _predicts(prepared, tokenizer, predicted, lengths["decoder"])
        if predicted is not None and logits is not None:
            chances = _chances(logits, predicted)
            tokens["decoder"] = _with_chances(tokens["decoder"], chances)
    if logits is not None and logits.numel() * logits.element_size() > _LOGITS_LIMIT:
        notes.append("logits are not kept: tokens times vocabulary is too large")
        logits = None
    if logits is None:
        logits = class_logits(model, output, example=asked.example)
    if asked.keep_on is not None:
        keep_together(recorder.sites, asked.keep_on)
        logits = None if logits is None else logits.to(asked.keep_on)
    predicts_tokens = logits is not None and logits.ndim == 2
    unembedding = recorder.weights.last(logits.shape[-1]) if predicts_tokens and logits is not None else None
    places = Places.of(by_stage, recorder.sites)
    return Trace(
        tokens, predicts, logits, tuple(notes), by_stage, chances, target, unembedding, places=places
    )


def _differentiable(value: Any) -> Any:
    """Return arguments that a forward pass can be differentiated with: inference mode makes others."""
    if isinstance(value, Tensor):
        return value.clone() if value.is_inference() else value
    if isinstance(value, dict):
        return {name: _differentiable(part) for name, part in value.items()}
    if type(value) in {list, tuple}:
        return type(value)(_differentiable(part) for part in value)
    return value


def _tokens(prepared: Prepared, lengths: dict[SideName, int]) -> dict[str, Tokens]:
    two = len(lengths) > 1
    tokens: dict[str, Tokens] = {}
    for side in ("encoder", "decoder"):
        if side in lengths:
            found = prepared.target if two and side == "decoder" else prepared.source
            tokens[side] = _named(prepared, side, found, lengths[side])
    return tokens


def _named(prepared: Prepared, side: SideName, found: Tokens | None, length: int) -> Tokens:
    named = prepared.names.get(side, found)
    if named is None and side == "encoder" and prepared.patches is not None:
        return prepared.patches.names()
    if named is None:
        return Tokens.positions(length)
    if len(named) != length:
        if side not in prepared.names:
            return Tokens.positions(length)
        raise JtvizError(f"tokens[{side!r}] has {len(named)} names, but the {side} has {length} tokens.")
    return named


def _predicted(prepared: Prepared, logits: Tensor | None, rows: int) -> list[int] | None:
    """Return the id of what each row predicts, `UNREAD` where that is not known.

    That is the token that follows or, after the last token that was read, the likeliest one.
    """
    following = prepared.following_ids
    if following is None or not rows - 1 <= len(following) <= rows:
        return None
    ids = [*following, UNREAD][:rows]
    last = last_read(prepared.read, rows)
    if ids[last] == UNREAD and logits is not None:
        ids[last] = int(logits[last].argmax())
    return ids


def _predicts(
    prepared: Prepared, tokenizer: Any, predicted: Sequence[int] | None, rows: int
) -> tuple[str, ...] | None:
    following = prepared.following
    if following is None or len(following) == rows:
        return following
    if len(following) != rows - 1 or predicted is None or tokenizer is None:
        return None
    side: Literal["source", "target"] = "source" if prepared.target is None else "target"
    known = [*(prepared.following_ids or ()), UNREAD][:rows]
    words = zip([*following, ""], known, predicted, strict=True)
    return tuple(
        (word or "…") if j == UNREAD or (i == j and word) else label(tokenizer, j, side)
        for word, i, j in words
    )


def _chances(logits: Tensor, predicted: Sequence[int]) -> tuple[float | None, ...]:
    """Return the probability of what each row predicts, None where that is not known."""
    out: list[float | None] = []
    with exactly(logits.device):
        for start in range(0, len(logits), _ROWS):
            rows = logits[start : start + _ROWS].float().softmax(-1)
            ids = predicted[start : start + len(rows)]
            wanted = torch.tensor(ids, device=logits.device).clamp_(min=0)
            found = rows.gather(1, wanted[:, None])[:, 0].tolist()
            out += [None if i == UNREAD else chance for i, chance in zip(ids, found, strict=True)]
    return tuple(out)


def _with_chances(tokens: Tokens, chances: Sequence[float | None]) -> Tokens:
    return replace(tokens, probability=(None, *chances[: len(tokens) - 1]))


def _batch(prepared: Prepared) -> tuple[int | None, list[tuple[int, int | None]]]:
    """Return the size of the batch, if it is known, and what a leading axis of examples could look like.

    Token ids have their rows in front, whatever the length of the sentence: ``[(rows, None)]``. Vectors
    may have them in front, with this many tokens: ``[(rows, tokens), ...]``.
    """
    if prepared.batch is not None:
        return prepared.batch, [(prepared.batch, None)]
    given = list(tensors([prepared.args, prepared.kwargs]))
    return None, [(t.shape[0], t.shape[1]) for t in given if t.ndim == 3 and t.is_floating_point()]


def _says_decoder(model: nn.Module) -> bool:
    config = getattr(model, "config", None)
    return bool(getattr(config, "is_decoder", False)) or setting(model, "n_ctx") is not None


def token_logits(output: Any, size: int | None, rows: int, example: int) -> Tensor | None:
    """Return the logits ``[rows, vocabulary]`` of one example of a model's output, None if there are none.

    Parameters
    ----------
    output : object
        What the model returned.
    size, rows : int or None, int
        The size of the vocabulary, None if unknown, and how many rows there are.
    example : int
        Which example of the batch.
    """
    found = next(tensors(getattr(output, "logits", output)), None)
    if found is None or found.ndim != 3 or found.shape[1] != rows:
        return None
    # A hidden state looks the same, but for its width.
    return found[example] if found.shape[-1] == size else None
