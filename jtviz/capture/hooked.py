"""A model and its tokenizer, ready to be looked into.

Required: the model is left exactly as it was found; nothing of it is kept alive by jtviz; what is
wrong with a request is said before any work is done.
"""

from __future__ import annotations

import threading
import weakref
from collections.abc import Hashable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from ..tokens import codec, find_tokenizer
from .asfound import as_found
from .classes import checked_classes, probabilities
from .errors import JtvizError
from .forward import Asked, run
from .generation import generate_ids
from .inputs import (
    Text,
    checked_text,
    checked_texts,
    encode,
    forward_arguments,
    prepare_inputs,
    prepare_text,
)
from .intervention.ablation import Ablation, Mask, Mode, Which, checked, checked_mode, waiting
from .intervention.learning import ByTracing, Reference
from .memory import Memory, contents, fingerprint
from .part import is_int
from .reading import Reading
from .structure import device_of, is_encoder_decoder
from .target import TargetLike, checked_output
from .trace import Trace

if TYPE_CHECKING:
    import numpy as np

    from .intervention.places import Places


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
    is_compiled : bool
        Whether the model was handed over inside of `torch.compile`; it is traced without.

    Examples
    --------
    >>> import torch
    >>> model = nn.TransformerEncoder(nn.TransformerEncoderLayer(8, 2, batch_first=True), 1)
    >>> trace = hook(model).trace(inputs=(torch.randn(1, 3, 8),))
    >>> trace.attention("encoder", layer=0).shape
    torch.Size([2, 3, 3])
    """

    pattern_limit: int = 1 << 30
    is_compiled: bool = False

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
        self._settle(text)
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
        text: Text | None = None,
        *,
        target_text: str | None = None,
        inputs: Mapping[str, Any] | Sequence[Any] | Tensor | np.ndarray | None = None,
        tokens: Mapping[str, Sequence[str]] | None = None,
        generate: int | None = None,
        example: int = 0,
        target: TargetLike = None,
        output: str | None = None,
        keep_on: str | torch.device | None = None,
    ) -> Trace:
        """Run one forward pass and return what it left.

        Parameters
        ----------
        text : str or (str, str), optional
            The sentence, or a pair that is read together. An encoder-decoder generates its answer first, then
            reads it teacher-forced.
        target_text : str, optional
            The answer to read teacher-forced instead of a generated one.
        inputs : dict, tuple, array or list of int, optional
            Instead of a text: what the forward takes, or token ids.
        tokens : dict of str to list of str, optional
            With ``inputs``: names for the tokens of ``"encoder"`` and ``"decoder"``; positions if left out.
        generate : int, optional
            How many tokens to generate first: at most 60 for an encoder-decoder, otherwise none.
        example : int
            With ``inputs``: which example of a batch is shown.
        target : str, int, dict or callable, optional
            What to differentiate, so that `Trace.gradient` can be asked. Of a classifier: the name or number
            of a class, the likeliest if only `output` is given. Of a model that predicts tokens: a token in
            words, the number of a row (what that row predicts), or both, ``{"row": 3, "token": "tea"}``. A
            token alone is explained where the answer (a translation, what was generated or given) has it,
            and after a text that was only read, by the last row that is no padding. Words are as they are
            read, or as the vocabulary spells them (``##ing``); of two tokens that read the same, the one in
            the answer (or the text) is meant, otherwise the one after a space. If only `output` is given:
            what the last row predicts. Of any model: a function that takes what its forward returned and
            returns one number.
        output : {"logit", "log_prob", "prob", "loss"}, optional
            The scale: the logit if only `target` is given. The loss is the negative log-probability;
            without `target` its mean over all tokens of the answer or, where there is none, of the text.
        keep_on : str or torch.device, optional
            Where to keep what the trace holds, for instance ``"cpu"``; where it was computed if left out.

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

        Examples
        --------
        >>> import jtviz
        >>> classifier = jtviz.hook(jtviz.demo.classifier())
        >>> trace = classifier.trace("Man, 60. Has crushing chest pain.", target="urgent")
        >>> trace.target.name, trace.gradient("encoder", layer=0, head=0, rows=[0]).shape[1]
        ('urgent', 10)
        """
        if (text is None) == (inputs is None):
            raise JtvizError("pass either a text or inputs= (a dict of what the model's forward takes).")
        if inputs is not None and (target_text is not None or generate is not None):
            raise JtvizError("target_text= and generate= go with a text; inputs= are traced as they are.")
        if text is not None and tokens is not None:
            raise JtvizError("tokens= names the tokens of inputs=; a text is named by its tokenizer.")
        checked_output(output)
        if not is_int(example) or example < 0 or (example and inputs is None):
            raise JtvizError(f"example= is the number of one example of a batch of inputs=, not {example!r}.")
        gradients = target is not None or output is not None
        if gradients and any(p.is_inference() for p in self.model.parameters()):
            raise JtvizError(
                "weights made in torch.inference_mode cannot be differentiated: load the model outside of it."
            )
        asked = Asked(
            gradients=gradients,
            target=target,
            output=output or "logit",
            pattern_limit=self.pattern_limit,
            keep_on=None if keep_on is None else torch.device(keep_on),
            example=example,
        )
        if generate is not None and (not is_int(generate) or generate < 0):
            raise JtvizError(f"generate= is a number of tokens, not {generate!r}.")
        if text is not None:
            checked_texts(text)
        if target_text is not None:
            checked_text(target_text, "target_text")
        if waiting(self.model):
            self._settle(
                text,
                target_text=target_text,
                inputs=inputs,
                tokens=tokens,
                generate=generate,
                example=example,
            )
        with self.memory.lock:
            wanted = (contents(target), asked.output, gradients, asked.pattern_limit, asked.keep_on)
            request = (text, target_text, contents(inputs), contents(tokens), generate, example)

            def keys() -> tuple[tuple[Hashable, ...], Hashable]:
                of_reading = (fingerprint(self.model), id(self._tokenizer), request)
                return of_reading, (of_reading, wanted)

            of_reading, key = keys()
            known = self.memory.find(key)
            if known is None:
                reading = self.memory.find_reading(of_reading)
                with as_found(self.model, gradients=gradients, is_compiled=self.is_compiled) as notes:
                    if reading is None:
                        # Generating is not differentiated.
                        with torch.no_grad():
                            if text is None:
                                prepared = prepare_inputs(
                                    self.model, self._attached(), inputs, tokens, example
                                )
                            else:
                                prepared = prepare_text(
                                    self.model, self.tokenizer, text, target_text, generate
                                )
                    else:
                        prepared = reading.prepared
                    known = run(self.model, self._attached(), prepared, asked, notes)
                if known.places is not None:
                    self.memory.places = known.places
                of_reading, key = keys()
                known.reading = reading or Reading(
                    self.model,
                    self._attached(),
                    prepared,
                    self.memory.lock,
                    of_reading[0],
                    pattern_limit=self.pattern_limit,
                    is_compiled=self.is_compiled,
                )
                self.memory.keep_reading(of_reading, known.reading)
                self.memory.keep(key, known)
            return known

    def ablate(
        self,
        *,
        heads: Which | None = None,
        units: Which | None = None,
        mode: Mode = "zero",
        reference: Reference | None = None,
    ) -> Ablation:
        """Switch attention heads and feed-forward units off, for as long as the returned context is open.

        Everything that the model does inside is without them, in this thread: its own forward and `generate`,
        traces, `jtviz.explain`, and the backward pass, in which a model that checkpoints runs again. Weights
        are not touched. This measures the model as it is, without training it again: a head whose absence
        changes nothing may be backed up by another one.

        Parameters
        ----------
        heads : mapping, optional
            By stage and layer, ``{("decoder", 3): [0, 5], ("cross", 1): None}``; None means all heads of the
            layer. A head is switched off at the output of its attention, before the output projection.
        units : mapping, optional
            The same of feed-forward units, by ``"encoder"`` or ``"decoder"`` and layer: the inputs of the
            last linear layer of a block.
        mode : {"zero", "mean"}
            What stands in: nothing, or the mean over all tokens of the `reference` (Wang et al. 2023,
            *Interpretability in the wild*, section 2.2).
        reference : str, mapping or list of them, optional
            Texts, or inputs of the forward, that the mean is over; what is read first inside, if left out.

        Returns
        -------
        Ablation
            A context manager; its ``mask`` says what is off.

        Raises
        ------
        JtvizError
            If it is not said what to switch off, there is no such stage or mode, or the model has no
            feed-forward units that could be found.
        OutOfRangeError
            If there is no such layer, head or unit.

        Examples
        --------
        >>> import jtviz
        >>> translator = jtviz.demo.translator()
        >>> with translator.ablate(heads={("cross", 0): None, ("cross", 1): None}):
        ...     worse = translator.generate("I like to drink tea.")
        >>> worse == translator.generate("I like to drink tea.")
        False
        """
        if heads is None and units is None and reference is None:
            raise JtvizError("say what to switch off: heads= or units=, {('decoder', 3): [0, 5]}.")
        checked_mode(mode)
        checked(heads, "heads")
        checked(units, "units")

        def wanted(places: Places) -> Mask:
            return Mask.of(places, heads, units)

        if self.memory.places is not None:
            wanted(self.memory.places)  # said now, not when the context is entered
        return Ablation(self.model, ByTracing(self, reference), wanted, mode, is_compiled=self.is_compiled)

    @property
    def has_tokenizer(self) -> bool:
        """Whether a tokenizer is at hand, without looking for one."""
        return self._attached() is not None or self.memory.tokenizer is not None

    def _settle(self, text: Text | None, **given: Any) -> None:
        """Let ablations that wait for the first reading learn from this one, which runs whole for it."""
        for one in waiting(self.model):
            with one.paused():
                reading = self.trace(text, **given).reading
            if reading is not None:
                one.learn(reading.prepared.args, reading.prepared.kwargs)

    def _attached(self) -> Any:
        return getattr(self.model, "tokenizer", None) if self._tokenizer is None else self._tokenizer


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
    outer, model = model, getattr(model, "_orig_mod", model)
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
        found.is_compiled |= outer is not model
        _hooked[model] = (weakref.ref(found), found.memory, tokenizer)
        return found
