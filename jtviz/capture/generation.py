"""Let a model write: with its own ``generate``, or greedily through its forward.

Required: without randomness, and without touching the model's settings. What comes back are token
ids of one sequence, from the begin token on.
"""

from __future__ import annotations

import inspect
from typing import Any

import torch
from torch import Tensor, nn

from ..tokens import TokenizerPair
from .errors import JtvizError
from .flow import tensors
from .structure import device_of, is_encoder_decoder, is_hugging_face, longest, parameters, setting

_ANSWER = "pass target_text= (the answer to look at) or inputs="


def decoder_begin(model: nn.Module, tokenizer: Any) -> int:
    """Return the id of the token a decoder starts with.

    Raises
    ------
    JtvizError
        If neither the configuration nor the tokenizer says.
    """
    begin = setting(model, "decoder_start_token_id", "begin", "bos_token_id", "bos")
    if begin is None and isinstance(tokenizer, TokenizerPair):
        begin = next(iter(tokenizer.target.encode("").ids), None)
    if begin is None:
        raise JtvizError(
            f"the token that {type(model).__name__} starts an answer with is not known: pass inputs= instead."
        )
    return begin


def generate_ids(
    model: nn.Module,
    tokenizer: Any,
    kwargs: dict[str, Any],
    *,
    max_new_tokens: int,
    num_beams: int | None = None,
) -> list[int]:
    """Generate one sequence.

    Parameters
    ----------
    model : nn.Module
        In evaluation mode.
    tokenizer : object
        Knows the begin and end tokens where the configuration does not.
    kwargs : dict
        What the forward takes for the text.
    max_new_tokens : int
        Stop after so many, or at the end token, or where the model's positions end.
    num_beams : int, optional
        How many continuations to keep in play, for a model whose own ``generate`` can; one is greedy. As
        the model is set if left out.

    Returns
    -------
    list of int
        Encoder-decoder: begin token, answer, end token (if reached). Otherwise: the text and what follows.

    Raises
    ------
    JtvizError
        If the model can neither generate nor be decoded greedily, or cannot search with beams.
    """
    if num_beams is not None and num_beams < 1:
        raise JtvizError(f"num_beams= is a number of beams, at least 1, not {num_beams!r}.")
    two = is_encoder_decoder(model)
    device = device_of(model)
    given = {name: value.to(device) for name, value in kwargs.items() if isinstance(value, Tensor)}
    read = 1 if two else next(iter(given.values())).shape[-1]
    limit = longest(model, "decoder")
    # The decoder reads all but the last token.
    count = max_new_tokens if limit is None else max(0, min(max_new_tokens, limit - read + (1 if two else 0)))
    if limit is not None and count == 0 and max_new_tokens > 0:
        raise JtvizError(
            f"the text fills all {limit} positions of the model, and leaves none to write: shorten it."
        )
    own = getattr(model, "generate", None)
    if is_hugging_face(model):
        if own is None:
            raise JtvizError(
                f"{type(model).__name__} cannot generate (it has no output layer for words): {_ANSWER}."
            )
        beams = {} if num_beams is None else {"num_beams": num_beams}
        ids = own(**given, max_new_tokens=count, do_sample=False, **beams)
        return [int(i) for i in ids[0]]
    takes = inspect.signature(own).parameters if own is not None and two else {}
    if num_beams not in (None, 1) and "num_beams" not in takes:
        raise JtvizError(f"{type(model).__name__} cannot search with beams: leave num_beams= out.")
    if own is not None and two:
        options = {"max_new_tokens": count, "num_beams": num_beams}
        allowed = {name: value for name, value in options.items() if name in takes and value is not None}
        ids = [int(i) for i in own(next(iter(given.values())), **allowed)[0]]
        begin = decoder_begin(model, tokenizer)
        ids = ids if ids[:1] == [begin] else [begin, *ids]
        pad = setting(model, "pad_token_id", "pad")
        while len(ids) > 2 and ids[-1] == pad:
            ids.pop()
        return ids
    return _greedy(model, tokenizer, given, count, two=two)


def _greedy(
    model: nn.Module, tokenizer: Any, given: dict[str, Tensor], count: int, *, two: bool
) -> list[int]:
    source = next(iter(given.values()))
    end = setting(model, "eos_token_id", "end", "eos")
    if end is None and isinstance(tokenizer, TokenizerPair):
        end = next(reversed(tokenizer.target.encode("").ids), None)
    written = torch.tensor([[decoder_begin(model, tokenizer)]], device=source.device) if two else source
    name = list(parameters(model))[1 if two else 0]
    for _ in range(count):
        output = model(**(given | {name: written}))
        logits = next(tensors(getattr(output, "logits", output)), None)
        if logits is None or logits.ndim != 3 or len(logits) != 1:
            raise JtvizError(
                f"{type(model).__name__} returns no logits [batch, tokens, vocabulary] to decode from: "
                f"{_ANSWER}."
            )
        following = logits[:, -1].argmax(-1, keepdim=True)
        written = torch.cat([written, following], dim=1)
        if int(following) == end:
            break
    return [int(i) for i in written[0]]
