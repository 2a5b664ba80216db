"""A model and its tokenizer, ready to be looked into.

Required: the model is left exactly as it was found; nothing of it is kept alive by jtviz; what is
wrong with a request is said before any work is done.
"""

from __future__ import annotations

import threading
import weakref
from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor, nn

from ..tokens import Tokens, codec, find_tokenizer
from .asfound import as_found
from .classes import checked_classes, class_logits, probabilities
from .errors import JtvizError, NoAttentionError
from .flow import tensors
from .generation import generate_ids
from .inputs import (
    Prepared,
    checked_text,
    encode,
    forward_arguments,
    predicted_text,
    prepare_inputs,
    prepare_text,
    vocabulary,
)
from .memory import Memory, contents, fingerprint
from .record import Recorder
from .stages import SideName, sort_into_stages
from .structure import device_of, is_encoder_decoder, setting
from .trace import Trace, match_lengths

_LOGITS_LIMIT = 1 << 28  # bytes: longer texts over large vocabularies keep no logits


class HookedTransformer:
    """A wrapper round any `torch.nn.Module` with attention in it. Made by `hook`.

    Attributes
    ----------
    model : nn.Module
        The model itself, unchanged.
    memory : Memory
        The last few traces, and the lock under which the model runs.
    pattern_limit : int
        Bytes of patterns to keep in one trace of a model that writes its attention out.

    Examples
    --------
    >>> import torch
    >>> model = nn.TransformerEncoder(nn.TransformerEncoderLayer(8, 2, batch_first=True), 1)
    >>> trace = hook(model).trace(inputs=(torch.randn(1, 3, 8),))
    >>> trace.attention("encoder", layer=0).shape
    torch.Size([2, 3, 3])
    """

    pattern_limit: int = 1 << 30

    def __init__(self, model: nn.Module, tokenizer: Any = None, memory: Memory | None = None) -> None:
        self.model = model
        self._tokenizer = tokenizer
        self.memory = memory or Memory()

    def __repr__(self) -> str:
        """Name the model."""
        return f"HookedTransformer({type(self.model).__name__})"

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run the model, unobserved."""
        return self.model(*args, **kwargs)

    @property
    def tokenizer(self) -> Any:
        """The tokenizer, looked for at first need.

        Raises
        ------
        TokenizerNotFoundError
            If none was given and none can be found.
        """
        if self._tokenizer is None:
            self._tokenizer = self.memory.tokenizer or find_tokenizer(self.model)
            self.memory.tokenizer = self._tokenizer
        return self._tokenizer

    def reads_with(self, tokenizer: Any) -> bool:
        """Return whether this is the tokenizer already in use, or None, which leaves the choice."""
        return tokenizer is None or tokenizer is self._tokenizer

    def generate(self, text: str, max_new_tokens: int = 60, num_beams: int | None = None) -> str:
        """Return what the model writes: a translation or answer, or the continuation of a text.

        Parameters
        ----------
        text : str
            The sentence.
        max_new_tokens : int
            Stop after so many tokens, if the model does not end before.
        num_beams : int, optional
            How many continuations to keep in play (beam search), where the model's ``generate`` can; one
            takes the likeliest token at each step. As the model is set if left out.

        Raises
        ------
        JtvizError
            If the text is blank or too long, or the model cannot generate, or not with beams.
        """
        checked_text(text, "text")
        tokens = encode(self.model, self.tokenizer, text, "encoder")
        with self.memory.lock, as_found(self.model):
            given = forward_arguments(self.model, self.tokenizer, text, tokens)
            ids = generate_ids(
                self.model, self.tokenizer, given, max_new_tokens=max_new_tokens, num_beams=num_beams
            )
        if is_encoder_decoder(self.model):
            return codec(self.tokenizer, "target").decode(ids)
        return codec(self.tokenizer).decode(ids[len(tokens) :])

    def classify(self, text: str) -> dict[str, float]:
        """Return the probability of each class of a text, by its name.

        Parameters
        ----------
        text : str
            The text.

        Returns
        -------
        dict of str to float
            They sum to one, except where ``config.problem_type`` says that classes do not exclude each other.

        Raises
        ------
        JtvizError
            If the text is blank or too long, or the model tells no classes apart.

        Examples
        --------
        >>> import jtviz
        >>> chances = jtviz.demo.classifier().classify("Woman, 31. Has a runny nose.")
        >>> max(chances, key=chances.get)
        'can wait'
        """
        checked_text(text, "text")
        checked_classes(self.model)
        tokens = encode(self.model, self.tokenizer, text, "encoder")
        with self.memory.lock, as_found(self.model):
            given = forward_arguments(self.model, self.tokenizer, text, tokens)
            device = device_of(self.model)
            return probabilities(self.model, self.model(**{k: v.to(device) for k, v in given.items()}))

    def trace(
        self,
        text: str | None = None,
        *,
        target_text: str | None = None,
        inputs: Mapping[str, Any] | Sequence[Any] | Tensor | None = None,
        tokens: Mapping[str, Sequence[str]] | None = None,
        generate: int | None = None,
    ) -> Trace:
        """Run one forward pass and return what it left.

        Parameters
        ----------
        text : str, optional
            The sentence. An encoder-decoder generates its answer first, then reads it teacher-forced.
        target_text : str, optional
            The answer to read teacher-forced instead of a generated one.
        inputs : dict or tuple, optional
            Instead of a text: what the forward takes. Of a batch, the first example is shown.
        tokens : dict of str to list of str, optional
            With ``inputs``: names for the tokens of ``"encoder"`` and ``"decoder"``; positions if left out.
        generate : int, optional
            How many tokens to generate first: at most 60 for an encoder-decoder, otherwise none.

        Returns
        -------
        Trace
            The same object for the same inputs, as long as the weights are unchanged.

        Raises
        ------
        JtvizError
            One sentence for whatever is wrong with the request, before any work is done.
        NoAttentionError
            If the model ran but no attention was seen.
        SiteRefusedError
            If recomputed attention does not reproduce the model's own output.
        """
        if (text is None) == (inputs is None):
            raise JtvizError("pass either a text or inputs= (a dict of what the model's forward takes).")
        if inputs is not None and (target_text is not None or generate is not None):
            raise JtvizError("target_text= and generate= go with a text; inputs= are traced as they are.")
        if text is not None and tokens is not None:
            raise JtvizError("tokens= names the tokens of inputs=; a text is named by its tokenizer.")
        if generate is not None and generate < 0:
            raise JtvizError(f"generate= is a number of tokens, not {generate!r}.")
        for name, given in (("text", text), ("target_text", target_text)):
            if given is not None:
                checked_text(given, name)
        with self.memory.lock:
            request = (text, target_text, contents(inputs), contents(tokens), generate, self.pattern_limit)
            key = (fingerprint(self.model), id(self._tokenizer), request)
            known = self.memory.find(key)
            if known is None:
                with as_found(self.model) as notes:
                    if text is None:
                        prepared = prepare_inputs(self.model, self._attached(), inputs, tokens)
                    else:
                        prepared = prepare_text(self.model, self.tokenizer, text, target_text, generate)
                    known = self._run(prepared, notes)
                key = (fingerprint(self.model), id(self._tokenizer), request)
                self.memory.keep(key, known)
            return known

    def _attached(self) -> Any:
        return getattr(self.model, "tokenizer", None) if self._tokenizer is None else self._tokenizer

    def _run(self, prepared: Prepared, notes: list[str]) -> Trace:
        model = self.model
        batch, examples = _batch(prepared)
        with Recorder(model, batch=batch, examples=examples, pattern_limit=self.pattern_limit) as recorder:
            output = model(*prepared.args, **prepared.kwargs)
        if not recorder.sites:
            raise NoAttentionError(
                f"no attention was found in {type(model).__name__}: its forward called neither "
                f"scaled_dot_product_attention nor a softmax over keys that is then multiplied by values; "
                f"hook the module that does."
            )
        by_stage = sort_into_stages(recorder.sites, decoder=_says_decoder(model))
        lengths = match_lengths(by_stage)
        two = len(lengths) > 1
        tokens: dict[str, Tokens] = {}
        for side in ("encoder", "decoder"):
            if side in lengths:
                found = prepared.target if two and side == "decoder" else prepared.source
                tokens[side] = _named(prepared, side, found, lengths[side])
        logits = _logits(
            output, vocabulary(self._attached(), model), lengths.get("decoder", lengths.get("encoder", 0))
        )
        predicts = self._predicts(prepared, logits, lengths.get("decoder")) if "decoder" in lengths else None
        if logits is not None and logits.numel() * logits.element_size() > _LOGITS_LIMIT:
            notes.append("logits are not kept: tokens times vocabulary is too large")
            logits = None
        if logits is None:
            logits = class_logits(model, output)
        return Trace(tokens, predicts, logits, tuple(notes), by_stage)

    def _predicts(
        self, prepared: Prepared, logits: Tensor | None, rows: int | None
    ) -> tuple[str, ...] | None:
        following = prepared.following
        if following is None or rows is None or len(following) == rows:
            return following
        if logits is None or len(following) != rows - 1 or self._attached() is None:
            return None
        side = "target" if prepared.target is not None else "source"
        return (*following, predicted_text(self._attached(), int(logits[-1].argmax()), side))


_hooked: weakref.WeakKeyDictionary[nn.Module, tuple[weakref.ref[HookedTransformer], Memory, Any]]
_hooked = weakref.WeakKeyDictionary()
_hooking = threading.Lock()


def hook(model: Any, tokenizer: Any = None) -> HookedTransformer:
    """Open a model.

    Parameters
    ----------
    model : nn.Module, pipeline or HookedTransformer
        Any module with attention in it; an object with ``model`` and ``tokenizer``, such as a Hugging
        Face pipeline; or what `hook` returned.
    tokenizer : object, optional
        A Hugging Face tokenizer, a `tokenizers.Tokenizer` or a `TokenizerPair`. Left out, it is looked
        for when a text is given.

    Returns
    -------
    HookedTransformer
        The same one for the same model and tokenizer.

    Raises
    ------
    JtvizError
        If the object is not a model.
    """
    if isinstance(model, HookedTransformer):
        if model.reads_with(tokenizer):
            return model
        model = model.model
    if not isinstance(model, nn.Module) and isinstance(getattr(model, "model", None), nn.Module):
        tokenizer = getattr(model, "tokenizer", None) if tokenizer is None else tokenizer
        model = model.model
    # torch.compile(model) is a wrapper; a trace runs uncompiled, so the names are those inside.
    model = getattr(model, "_orig_mod", model)
    if not isinstance(model, nn.Module):
        raise JtvizError(f"jtviz opens a torch.nn.Module or a pipeline, not {type(model).__name__}.")
    if tokenizer is not None:
        codec(tokenizer)
    with _hooking:
        reference, memory, known = _hooked.get(model, (None, Memory(), None))
        found = reference() if reference is not None else None
        if tokenizer is None:
            tokenizer = known
        if found is None or not found.reads_with(tokenizer):
            memory = memory if known is tokenizer else Memory(memory.lock)
            found = HookedTransformer(model, tokenizer, memory)
        _hooked[model] = (weakref.ref(found), found.memory, tokenizer)
        return found


def _named(prepared: Prepared, side: SideName, found: Tokens | None, length: int) -> Tokens:
    named = prepared.names.get(side, found)
    if named is None:
        return Tokens.positions(length)
    if len(named) != length:
        if side not in prepared.names:
            return Tokens.positions(length)
        raise JtvizError(f"tokens[{side!r}] has {len(named)} names, but the {side} has {length} tokens.")
    return named


def _batch(prepared: Prepared) -> tuple[int | None, list[tuple[int, int | None]]]:
    """Return the size of the batch, if it is known, and what a leading axis of examples could look like.

    Token ids have their rows in front, whatever the length of the sentence: ``[(rows, None)]``. Vectors
    may have them in front, with this many tokens: ``[(rows, tokens), ...]``.
    """
    given = list(tensors([prepared.args, prepared.kwargs]))
    rows = next((len(t) for t in given if t.ndim == 2 and not t.is_floating_point()), None)
    if rows is not None:
        return rows, [(rows, None)]
    return None, [(t.shape[0], t.shape[1]) for t in given if t.ndim == 3 and t.is_floating_point()]


def _says_decoder(model: nn.Module) -> bool:
    config = getattr(model, "config", None)
    return bool(getattr(config, "is_decoder", False)) or setting(model, "n_ctx") is not None


def _logits(output: Any, size: int | None, rows: int) -> Tensor | None:
    found = next(tensors(getattr(output, "logits", output)), None)
    if found is None or found.ndim != 3 or found.shape[1] != rows:
        return None
    # A hidden state looks the same, but for its width.
    return found[0].detach() if found.shape[-1] == size else None
