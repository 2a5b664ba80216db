"""From what the reader gives (a text, ids, tensors) to what one forward pass takes.

Required: everything that can be wrong with a text is said before the model runs; a translation is
generated first and then fed back, so that all rows come from one teacher-forced forward: decoder row
*i* reads token *i* and predicts token *i + 1*.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeGuard

import torch
from torch import Tensor, nn

from ..tokens import Tokens, codec
from .errors import JtvizError, OutOfRangeError
from .flow import tensors
from .generation import decoder_begin, generate_ids
from .part import is_int
from .patches import Patches
from .structure import accepts, device_of, is_encoder_decoder, is_hugging_face, longest, parameters

UNREAD = -100
"""Stands for the id of a token of padding, as in the labels of `transformers`."""


Text = str | tuple[str, str]
"""A text, or a pair of texts that are read together, such as a question and where its answer stands."""


@dataclass
class Prepared:
    """One forward pass, ready to run.

    Attributes
    ----------
    args, kwargs
        What the forward is called with.
    source, target : Tokens or None
        The tokens read, and (encoder-decoder) written; None where only the shapes will tell.
    following : tuple of str or None
        For each decoder row the text of the token after it, as far as known.
    following_ids : tuple of int or None
        The ids of those tokens, `UNREAD` where one, or the token that predicts it, is padding.
    read : tuple of bool or None
        Whether each decoder row reads a token, not padding; None where all do.
    batch : int or None
        Examples in the batch, where token ids tell.
    answer : int or None
        The first row that predicts a token of an answer; None where a text is only read.
    names : mapping
        The reader's own names for the tokens of each side.
    ids : mapping
        The token ids among the arguments, by ``"source"`` and ``"target"``.
    patches : Patches or None
        How a picture among the arguments is cut into tokens, known once it was read.
    """

    args: tuple[Any, ...] = ()
    kwargs: dict[str, Any] = field(default_factory=dict)
    source: Tokens | None = None
    target: Tokens | None = None
    following: tuple[str, ...] | None = None
    following_ids: tuple[int, ...] | None = None
    read: tuple[bool, ...] | None = None
    batch: int | None = None
    answer: int | None = None
    names: Mapping[str, Tokens] = field(default_factory=dict)
    ids: dict[str, Tensor] = field(default_factory=dict)
    patches: Patches | None = None


def prepare_text(
    model: nn.Module, tokenizer: Any, text: Text, target_text: str | None, generate: int | None
) -> Prepared:
    """Turn a text, or a pair of texts, into one forward pass.

    Raises
    ------
    JtvizError
        If the text is too long, or what is asked for needs what the model cannot do.
    """
    if is_encoder_decoder(model):
        return _two_sides(model, tokenizer, text, target_text, generate)
    if isinstance(text, tuple) and target_text is not None:
        raise JtvizError("a pair of texts has no target_text= in a model of one side: give one text.")
    whole = text if target_text is None or isinstance(text, tuple) else text + target_text
    tokens = encode(model, tokenizer, whole, "encoder")
    kwargs = forward_arguments(model, tokenizer, whole, tokens)
    answer = None
    if target_text is not None:
        # What the answer is scored by: the row before its first token.
        starts = (i for i, span in enumerate(tokens.spans) if span is not None and span[1] > len(text))
        answer = max(0, next(starts, len(tokens)) - 1)
    if generate:
        answer = len(tokens) - 1
        ids = generate_ids(model, tokenizer, kwargs, max_new_tokens=generate)
        prompt = len(tokens)
        tokens = Tokens.from_ids(tokenizer, ids)
        tokens = replace(tokens, generated=tuple(i >= prompt for i in range(len(ids))))
        kwargs = forward_arguments(model, tokenizer, None, tokens)
    prepared = Prepared(kwargs=kwargs, source=tokens, following=tokens[1:], answer=answer)
    prepared.following_ids = None if tokens.ids is None else tokens.ids[1:]
    return _placed(model, prepared)


def last_read(read: Sequence[bool] | None, rows: int) -> int:
    """Return the last row that reads a token, not padding."""
    return max((i for i, is_read in enumerate(read or ()) if is_read), default=rows - 1)


def checked_texts(text: object) -> Text:
    """Return a text or a pair of them that have something in them; raise if they have not."""
    if isinstance(text, tuple) and len(text) == 2:
        return checked_text(text[0], "the first text"), checked_text(text[1], "the second text")
    return checked_text(text, "text")


def checked_text(text: object, name: str) -> str:
    """Return a text that has something in it; raise if it has not."""
    if not isinstance(text, str):
        raise JtvizError(
            f"{name} must be a string, not {type(text).__name__}; token ids and tensors go into inputs=."
        )
    if not text.strip():
        raise JtvizError(f"{name} is empty: give a sentence to look into.")
    return text


def encode(model: nn.Module, tokenizer: Any, text: Text, side: str) -> Tokens:
    """Cut a text into tokens, and check that an encoder (or a model of one side) can read so many."""
    tokens = Tokens.encode(tokenizer, text, "source" if side == "encoder" else "target")
    if not len(tokens):
        raise JtvizError(f"the tokenizer makes no token of {text!r}: give another text.")
    if side == "encoder":
        _fits(model, side, "text", len(tokens))
    return tokens


def _fits(model: nn.Module, side: str, what: str, count: int) -> None:
    limit = longest(model, side)
    if limit is not None and count > limit:
        raise JtvizError(f"the {what} has {count} tokens, but the model reads at most {limit}: shorten it.")


def _two_sides(
    model: nn.Module, tokenizer: Any, text: Text, target_text: str | None, generate: int | None
) -> Prepared:
    source = encode(model, tokenizer, text, "encoder")
    kwargs = forward_arguments(model, tokenizer, text, source)
    if target_text is None:
        ids = generate_ids(model, tokenizer, kwargs, max_new_tokens=60 if generate is None else generate)
    else:
        ids = answer_ids(model, tokenizer, target_text)
    # The last token is predicted, never read.
    _fits(model, "decoder", "answer", len(ids) - 1)
    if len(ids) < 2:
        raise JtvizError("nothing was generated: pass target_text=, the answer to look at.")
    written = Tokens.from_ids(tokenizer, ids, "target")
    target = Tokens.from_ids(tokenizer, ids[:-1], "target")
    if target_text is None:
        target = replace(target, generated=tuple(i > 0 for i in range(len(target))))
    kwargs[decoder_argument(model)] = torch.tensor([ids[:-1]])
    prepared = Prepared(kwargs=kwargs, source=source, target=target, following=written[1:], answer=0)
    prepared.following_ids = tuple(ids[1:])
    return _placed(model, prepared)


def answer_ids(model: nn.Module, tokenizer: Any, target_text: str) -> list[int]:
    """Return the ids of a given answer, from the begin token on; raise if the decoder cannot read so many."""
    answer = encode(model, tokenizer, target_text, "decoder").ids or ()
    begin = decoder_begin(model, tokenizer)
    # A tokenizer pair writes the begin token itself; BART's labels start with one more.
    ids = [*answer] if not is_hugging_face(model) and answer[0] == begin else [begin, *answer]
    _fits(model, "decoder", "answer", len(ids) - 1)
    return ids


def decoder_argument(model: nn.Module) -> str:
    """Return the name of the argument of an encoder-decoder that takes the tokens written."""
    return "decoder_input_ids" if is_hugging_face(model) else list(parameters(model))[1]


def forward_arguments(model: nn.Module, tokenizer: Any, text: Text | None, tokens: Tokens) -> dict[str, Any]:
    """Return the keyword arguments for one text: ids, and what else the tokenizer makes for the model."""
    ids = torch.tensor([tokens.ids])
    if not is_hugging_face(model):
        return {next(iter(parameters(model))): ids}
    made = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
    if text is not None and callable(tokenizer) and hasattr(tokenizer, "convert_ids_to_tokens"):
        # A list of two would be a batch.
        texts = text if isinstance(text, tuple) else (text,)
        made |= {name: torch.as_tensor([value]) for name, value in tokenizer(*texts).items()}
    return {name: value for name, value in made.items() if accepts(model, name)}


def _placed(model: nn.Module, prepared: Prepared) -> Prepared:
    """Return the forward pass of one text, on the model's device."""
    prepared.batch = 1
    device = device_of(model)
    prepared.kwargs = {k: v.to(device) if isinstance(v, Tensor) else v for k, v in prepared.kwargs.items()}
    prepared.ids = _ids_of_sides(model, prepared.kwargs)
    if is_hugging_face(model) and accepts(model, "use_cache"):
        prepared.kwargs["use_cache"] = False
    return prepared


def _ids_of_sides(model: nn.Module, kwargs: Mapping[str, Any]) -> dict[str, Tensor]:
    """Return the ids of a text's one side or two among the arguments that were made for it."""
    names = ["input_ids", "decoder_input_ids"] if is_hugging_face(model) else list(parameters(model))[:2]
    sides = zip(("source", "target"), names, strict=False)
    return {side: kwargs[name] for side, name in sides if _are_ids(kwargs.get(name))}


def prepare_inputs(
    model: nn.Module,
    tokenizer: Any,
    inputs: Any,
    tokens: Mapping[str, Sequence[str]] | None,
    example: int = 0,
) -> Prepared:
    """Turn ready-made inputs into one forward pass.

    Parameters
    ----------
    model : nn.Module
        The model.
    tokenizer : object or None
        Names token ids, where there are any and no names are given.
    inputs : mapping, tuple, list or Tensor
        Keyword arguments, or positional ones; or token ids, of one text or of several of one length. Lists
        of numbers and NumPy arrays are welcome where tensors are.
    tokens : mapping of str to list of str, or None
        Names for the tokens of ``"encoder"`` and ``"decoder"``.
    example : int
        Which example of a batch they name.
    """
    prepared = Prepared(names=named_sides(tokens))
    if isinstance(inputs, Mapping):
        prepared.kwargs = {
            name: _tensor(model, value, name, f"inputs[{name!r}]") for name, value in inputs.items()
        }
    elif _are_ids_in_lists(inputs) or isinstance(inputs, Tensor) or hasattr(inputs, "__array__"):
        prepared.args = (_tensor(model, inputs, "input_ids", "inputs"),)
    elif isinstance(inputs, tuple | list):
        prepared.args = tuple(_tensor(model, value, "", f"inputs[{i}]") for i, value in enumerate(inputs))
    else:
        raise JtvizError(
            f"inputs must be a dict of keyword arguments or a tuple, not {type(inputs).__name__}."
        )
    if accepts(model, "use_cache") and is_hugging_face(model):
        prepared.kwargs.setdefault("use_cache", False)
    given = dict(zip(parameters(model), prepared.args, strict=False)) | prepared.kwargs
    order = [
        value
        for name, value in given.items()
        if _are_ids(value) and not any(part in name for part in ("mask", "type", "label", "position"))
    ]
    if not order:
        mask = given.get("attention_mask")
        if is_hugging_face(model) and isinstance(mask, Tensor) and mask.ndim == 2:
            prepared.batch = len(mask)
        return prepared
    two = is_encoder_decoder(model)
    source, target = given.get("input_ids", order[0]), given.get("decoder_input_ids")
    if is_hugging_face(model) and "input_ids" in given:
        _can_be_read(model, source)
    if target is None and two and len(order) > 1:
        target = order[1]
    shift = getattr(model, "prepare_decoder_input_ids_from_labels", None)
    if target is None and shift is not None and _are_ids(given.get("labels")):
        target = shift(given["labels"])
    target = target if _are_ids(target) else None
    if tokenizer is not None:
        prepared.source = Tokens.from_ids(tokenizer, _row(source, example))
        prepared.target = (
            None if target is None else Tokens.from_ids(tokenizer, _row(target, example), "target")
        )
        read = prepared.target if two else prepared.source
        prepared.following = None if read is None else read[1:]
    ids = target if two else source
    prepared.ids = {"source": source} | ({} if target is None else {"target": target})
    prepared.answer = 0 if two else None
    prepared.batch = len(source) if source.ndim > 1 else None
    if ids is not None:
        mask = given.get("decoder_attention_mask" if two else "attention_mask")
        prepared.read = (True,) * ids.shape[-1]
        if isinstance(mask, Tensor) and mask.shape == ids.shape:
            prepared.read = tuple(map(bool, _row(mask.ne(0).long(), example)))
        following = zip(_row(ids, example)[1:], prepared.read, prepared.read[1:], strict=False)
        prepared.following_ids = tuple(i if all(is_read) else UNREAD for i, *is_read in following)
    labels = given.get("labels")
    if two and _are_ids(labels) and labels.ndim == 2:
        # What the model itself is scored against: the last label, too, and padding as it marks it.
        prepared.following_ids = tuple(_row(labels, example))
        prepared.read = tuple(i != UNREAD for i in prepared.following_ids)
    return prepared


def vocabulary(tokenizer: Any, model: nn.Module) -> int | None:
    """Return the size of the vocabulary that the model writes, None if unknown."""
    size = getattr(getattr(model, "config", None), "vocab_size", None)
    if isinstance(size, int):
        return size
    if tokenizer is None:
        return None
    reader = codec(tokenizer, "target")
    count = getattr(getattr(reader, "tokenizer", None), "get_vocab_size", None)
    return None if count is None else int(count())


def named_sides(tokens: Mapping[str, Sequence[str]] | None) -> dict[str, Tokens]:
    """Return the reader's names of each side's tokens; raise if a side or a list is none."""
    out = {}
    if tokens is not None and not isinstance(tokens, Mapping):
        raise JtvizError('tokens= is a dict with a list for "encoder", "decoder" or both.')
    for side, strings in (tokens or {}).items():
        if side not in ("encoder", "decoder"):
            raise JtvizError(f"tokens= names the sides 'encoder' and 'decoder', not {side!r}.")
        if isinstance(strings, str):
            raise JtvizError(f"tokens[{side!r}] must be a list with one string a token, not one string.")
        out[side] = strings if isinstance(strings, Tokens) else Tokens.from_strings(strings)
    return out


_IN_EXAMPLES = {
    "input_ids", "decoder_input_ids", "attention_mask", "decoder_attention_mask", "token_type_ids",
    "position_ids",
}  # fmt: skip
"""Inputs of Hugging Face models that have an axis of examples, also where people leave it out."""


def _are_ids_in_lists(value: object) -> bool:
    """Whether this is a list of token ids, or of such lists; a tuple of lists is of several inputs."""
    if not isinstance(value, list | tuple) or not value:
        return False
    return all(map(is_int, value)) or (isinstance(value, list) and all(map(_are_ids_in_lists, value)))


def _tensor(model: nn.Module, value: Any, name: str, said: str) -> Any:
    """Return lists and arrays of numbers as a tensor that the model can use; anything else as it is.

    One text's token ids get the axis of examples that Hugging Face models expect.
    """
    is_array = hasattr(value, "__array__") and not isinstance(value, Tensor)
    if is_array or (isinstance(value, list) and not list(tensors(value))):
        try:
            value = torch.tensor(value, device=device_of(model))
        except (TypeError, ValueError, RuntimeError, OverflowError):
            raise JtvizError(
                f"{said} is no tensor: give numbers, and pad rows that differ in length or type."
            ) from None
        if not value.numel():
            raise JtvizError(f"{said} is empty: give at least one token.")
        if value.is_floating_point():
            value = value.to(next((p.dtype for p in model.parameters() if p.is_floating_point()), None))
        elif value.dtype is not torch.bool:
            value = value.long()
    lacks_axis = name in _IN_EXAMPLES and isinstance(value, Tensor) and value.ndim == 1
    return value[None] if lacks_axis and is_hugging_face(model) else value


def _can_be_read(model: nn.Module, ids: Any) -> None:
    """Raise if token ids are too many for a model, or not in its vocabulary."""
    size = getattr(getattr(model, "config", None), "vocab_size", None)
    if not _are_ids(ids) or not ids.numel() or ids.is_meta:
        return
    _fits(model, "encoder", "text", ids.shape[-1])
    least, most = (int(i) for i in ids.aminmax())
    if isinstance(size, int) and not 0 <= least <= most < size:
        wrong = least if least < 0 else most
        raise OutOfRangeError(f"token {wrong} is not there: the model's ids are 0 to {size - 1}.")


def _are_ids(value: Any) -> TypeGuard[Tensor]:
    return isinstance(value, Tensor) and value.ndim in (1, 2) and value.dtype in (torch.int64, torch.int32)


def _row(ids: Tensor, example: int) -> list[int]:
    if ids.ndim > 1 and example >= len(ids):
        raise OutOfRangeError(f"example {example} is not there: examples are 0 to {len(ids) - 1}.")
    return [int(i) for i in (ids if ids.ndim == 1 else ids[example]).tolist()]
