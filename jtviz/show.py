"""The front door: one call from a model and a sentence to a view."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, overload

from .asked import refuse_other, refuse_unknown, traced
from .capture import STAGES, HookedTransformer, Trace, hook

if TYPE_CHECKING:
    from torch import nn

    from .analysis import Explanation
    from .capture.inputs import Text
    from .capture.intervention.ablation import Which
    from .views import AttentionView, GradientsView, PruningView
    from .views.layers_view import LayersView


def show_attention(
    model: HookedTransformer | nn.Module | Trace | None = None,
    text: str | None = None,
    *,
    tokenizer: Any = None,
    target_text: str | None = None,
    generate: int | None = None,
    inputs: Mapping[str, Any] | Sequence[Any] | None = None,
    tokens: Mapping[str, Sequence[str]] | None = None,
    trace: Trace | None = None,
    stage: str | None = None,
    layer: int | None = None,
    heads: Sequence[int] | None = None,
    pinned: Mapping[str, int | None] | None = None,
    marked: Mapping[str, Sequence[int]] | None = None,
    mode: str = "links",
    spans: Mapping[str, str | tuple[int, int]] | None = None,
    target: Any = None,
    output: str | None = None,
    **settings: Any,
) -> AttentionView:
    """Show the attention of a model reading a sentence.

    Parameters
    ----------
    model : HookedTransformer or torch.nn.Module
        Any PyTorch model with attention in it. A `Trace` may stand here too.
    text : str
        The sentence. A translator translates it first; `target_text` gives the translation instead.
    tokenizer : optional
        Of Hugging Face or of ``tokenizers``; found by itself where the model knows it.
    target_text : str, optional
        A given translation or answer, fed teacher-forced.
    generate : int, optional
        How many tokens to generate before tracing.
    inputs : mapping or sequence, optional
        Arguments of the model's ``forward``, instead of `text`, for a model without a tokenizer.
    tokens : mapping, optional
        Names of the tokens of each side, ``{"encoder": [...], "decoder": [...]}``, with `inputs`.
    trace : Trace, optional
        A trace taken earlier, instead of `model` and `text`. Views of one trace are linked.
    stage, layer, heads, pinned, marked, mode : optional
        What to show first: ``"encoder"``, ``"decoder"`` or ``"cross"``; a layer and heads counted from
        0; ``{"query": index, "key": index}``; ``{"encoder": [indices]}``; ``"links"``, ``"matrix"`` or
        ``"text"``.
    spans : mapping, optional
        Parts of the text to choose from when only some queries or keys are to be seen: by name, words that
        stand in the text or ``(first, last + 1)`` in tokens, ``{"question": "Who?", "context": (4, 90)}``.
        Prompt and answer, and what separators part, are found by themselves.
    target, output : optional
        As in `HookedTransformer.trace`: what to take gradients of, for the weightings ``"gradient"`` and
        ``"relevance"``.
    **settings
        Any other setting of the view, such as ``weighting="output"``, ``unit="word"`` or what
        ``view.to_dict()`` returned: see `jtviz.views.settings.Settings`.

    Returns
    -------
    AttentionView
        A widget; last in a cell, it is shown. Its ``stage``, ``layer``, ``heads``, ``pinned`` and
        ``marked`` can be read, set and observed.

    Raises
    ------
    TypeError
        For an unknown keyword, or when there is nothing to trace.
    ValueError
        For a stage or mode that does not exist, empty text, text longer than the model's positions, a
        model without attention, a tokenizer that cannot be found.
    traitlets.TraitError
        For a stage, layer, head or token that is not there.

    Examples
    --------
    >>> import jtviz
    >>> translator = jtviz.demo.translator()
    >>> view = jtviz.show_attention(translator, "I like to drink tea.", stage="cross", layer=1)
    >>> view.heads = [0]
    """
    # Imported here so that tracing without a browser does not load the widgets.
    from .views import MODES, SETTINGS, AttentionView

    refuse_unknown(show_attention, {k: v for k, v in settings.items() if k not in SETTINGS}, SETTINGS)
    refuse_other("stage", stage, STAGES)
    refuse_other("mode", mode, MODES)
    given = {
        "target_text": target_text, "generate": generate, "inputs": inputs, "tokens": tokens,
        "target": target, "output": output,
    }  # fmt: skip
    trace = traced("show_attention", given, model=model, text=text, tokenizer=tokenizer, trace=trace)
    heads = list(heads) if isinstance(heads, Sequence) else heads
    choices = {"stage": stage, "layer": layer, "heads": heads, "pinned": pinned, "marked": marked}
    return AttentionView(trace, spans=spans, mode=mode, **choices, **settings)


def show_gradients(
    model: HookedTransformer | nn.Module | Trace | None = None,
    text: str | None = None,
    *,
    tokenizer: Any = None,
    target: Any = None,
    output: str = "logit",
    against: Any = None,
    target_text: str | None = None,
    generate: int | None = None,
    inputs: Mapping[str, Any] | Sequence[Any] | None = None,
    tokens: Mapping[str, Sequence[str]] | None = None,
    trace: Trace | None = None,
    method: str = "integrated_gradients",
    baseline: str | None = None,
    n_steps: int = 50,
    n_samples: int = 25,
    unit: Any = "token",
    memory: int | None = None,
    check: bool = True,
    progress: bool | None = None,
    **settings: Any,
) -> GradientsView:
    """Show what a prediction rests on: each token shaded by its score, and the scores as bars.

    Parameters
    ----------
    model : HookedTransformer or torch.nn.Module
        Any PyTorch model with attention in it. A `Trace` may stand here too.
    text : str
        The sentence.
    tokenizer : optional
        Of Hugging Face or of ``tokenizers``; found by itself where the model knows it.
    target, output : optional
        What is explained, as in `HookedTransformer.trace`, and on which scale: ``"logit"``, ``"log_prob"``,
        ``"prob"`` or ``"loss"``. Left out: the likeliest class; every token of a translation or of what was
        generated, one column each; what the last token of a text predicts. ``output="loss"`` alone is the
        loss of the whole answer: against a reference with `target_text`.
    against : optional
        A second class or token: why `target` rather than this, the difference of the two numbers.
    target_text : str, optional
        A given translation or answer, fed teacher-forced.
    generate : int, optional
        How many tokens to generate first.
    inputs, tokens, trace : optional
        As in `show_attention`. Views of one trace are linked.
    method : str
        One of `jtviz.analysis.METHODS`.
    baseline : str, optional
        What an absent token is, as in `jtviz.analysis.attribute`.
    n_steps, n_samples : int
        Points on a path, and random samples.
    unit : {"token", "word", "sentence"} or list of (int, int)
        What ablation and Shapley sampling replace as one, spans of tokens as ``(first, last + 1)``, and what
        is shaded: tokens, or words where it is ``"word"``.
    memory : int, optional
        Bytes that one batch may take beside the model; a gibibyte if left out.
    check : bool
        Whether to take the tokens away, those scored highest first, and say how far the scores can be
        trusted (`jtviz.analysis.trust`). Of several outputs that is the one shown; others when they are.
    progress : bool, optional
        Whether to show a bar; where it takes more than two seconds, if left out.
    **settings
        ``part``, ``mode`` and ``annotate`` of the view, and ``stage``, ``layer``, ``heads``, ``pinned`` and
        ``marked``.

    Returns
    -------
    GradientsView
        The strip (``.strip``) and the chart (``.chart``); last in a cell, both are shown.

    Raises
    ------
    TypeError
        For an unknown keyword, or when there is nothing to trace.
    ValueError
        For a method, baseline, target or scale that does not exist, or a text that cannot be read.

    Examples
    --------
    >>> import jtviz
    >>> view = jtviz.show_gradients(
    ...     jtviz.demo.translator(), "I like tea.", target_text="我喜欢茶。", output="loss"
    ... )
    >>> [part.score.words for part in view.attributions]
    ['loss of all']
    """
    from .analysis.attribution import MEMORY, How, checked_how, method_named, opened, targets_of
    from .analysis.attribution.attribute import checked_answer
    from .capture.target import checked_scale
    from .views.gradients import gradients_view

    known = ("part", "mode", "annotate", "stage", "layer", "heads", "pinned", "marked")
    refuse_unknown(show_gradients, {k: v for k, v in settings.items() if k not in known}, known)
    checked_scale(output)
    memory = MEMORY if memory is None else memory
    how = How(method_named(method), baseline, n_steps, n_samples, unit=unit, memory=memory)
    checked_how(how)
    given = {"target_text": target_text, "generate": generate, "inputs": inputs, "tokens": tokens}
    trace = traced("show_gradients", given, model=model, text=text, tokenizer=tokenizer, trace=trace)
    shaded = unit if unit == "word" else "token"
    with opened(trace) as session:
        checked_answer(session, target_text)
        wanted = [
            session.score(one, output, against) for one in targets_of(session.outcome(), target, output)
        ]
        return gradients_view(session, wanted, how, progress=progress, check=check, unit=shaded, **settings)


def show_pruning(
    model: HookedTransformer | nn.Module | Trace | None = None,
    text: str | None = None,
    *,
    tokenizer: Any = None,
    target: Any = None,
    target_text: str | None = None,
    generate: int | None = None,
    inputs: Mapping[str, Any] | Sequence[Any] | None = None,
    tokens: Mapping[str, Sequence[str]] | None = None,
    trace: Trace | None = None,
    heads: Which | None = None,
    units: Which | None = None,
    mode: str = "zero",
    reference: Any = None,
    colouring: str | None = None,
    **settings: Any,
) -> PruningView:
    """Switch attention heads and feed-forward units off in the picture, and see what the model says without.

    Parameters
    ----------
    model : HookedTransformer or torch.nn.Module
        Any PyTorch model with attention in it. A `Trace` may stand here too.
    text : str
        The sentence.
    tokenizer : optional
        Of Hugging Face or of ``tokenizers``; found by itself where the model knows it.
    target : optional
        Whose probability is followed, as in `HookedTransformer.trace`. Left out: the whole of what was
        written; the likeliest class; what the last token of a text predicts.
    target_text, generate : optional
        A given translation or answer, fed teacher-forced; how many tokens to generate first.
    inputs, tokens, trace : optional
        As in `show_attention`. Views of one trace are linked.
    heads, units : mapping, optional
        What is off at first, ``{("decoder", 3): [0, 5]}``, as in `HookedTransformer.ablate`.
    mode : {"zero", "mean"}
        What stands in for what is off: nothing, or what it adds on average.
    reference : str, mapping or list of them, optional
        Texts, or inputs of the forward, that the average is over; the text itself if left out.
    colouring : {"effect", "gradient", "none"}, optional
        What heads are coloured by: what switching each off alone changes, where that is quick, else the
        gradient.
    **settings
        ``stage``, ``layer``, ``pinned`` and ``marked``.

    Returns
    -------
    PruningView
        A widget; last in a cell, it is shown. Its ``effect`` has the numbers, ``switch_off`` and ``undo``
        drive it.

    Raises
    ------
    TypeError
        For an unknown keyword, or when there is nothing to trace.
    ValueError
        For a stage, layer, head, unit or mode that does not exist, or a text that cannot be read.

    Examples
    --------
    >>> import jtviz
    >>> view = jtviz.show_pruning(jtviz.demo.translator(), "I like to drink tea.", heads={("cross", 1): None})
    >>> view.effect.intact.text
    '我喜欢喝茶。'
    """
    from .capture.intervention.ablation import checked, checked_mode
    from .views import PruningView
    from .views.pruning import COLOURINGS

    known = ("stage", "layer", "pinned", "marked")
    refuse_unknown(show_pruning, {k: v for k, v in settings.items() if k not in known}, known)
    checked_mode(mode)
    checked(heads, "heads")
    checked(units, "units")
    refuse_other("colouring", colouring, [name for name, _, _ in COLOURINGS])
    given = {"target_text": target_text, "generate": generate, "inputs": inputs, "tokens": tokens}
    trace = traced("show_pruning", given, model=model, text=text, tokenizer=tokenizer, trace=trace)
    return PruningView(
        trace, target=target, heads=heads, units=units, mode=mode, reference=reference, colouring=colouring,
        **settings,
    )  # fmt: skip


def show_layers(
    model: HookedTransformer | nn.Module | Trace | None = None,
    text: str | None = None,
    *,
    tokenizer: Any = None,
    target_text: str | None = None,
    generate: int | None = None,
    inputs: Mapping[str, Any] | Sequence[Any] | None = None,
    tokens: Mapping[str, Sequence[str]] | None = None,
    trace: Trace | None = None,
    tab: str | None = None,
    hidden_layer: int | None = None,
    texts: Any = None,
    **settings: Any,
) -> LayersView:
    """Show what each layer of a model knows: its features, trajectories, similarities, lenses and neurons.

    Parameters
    ----------
    model : HookedTransformer or torch.nn.Module
        Any PyTorch model with attention in it. A `Trace` may stand here too.
    text : str
        The sentence. A translator translates it first; `target_text` gives the translation instead.
    tokenizer : optional
        Of Hugging Face or of ``tokenizers``; found by itself where the model knows it.
    target_text, generate : optional
        A given translation or answer, fed teacher-forced; how many tokens to generate first.
    inputs, tokens, trace : optional
        As in `show_attention`. Views of one trace are linked.
    tab : {"features", "trajectories", "similarity", "lens", "neurons", "direct"}, optional
        Which tab is open first.
    hidden_layer : int, optional
        Which layer of `Trace.hidden` is shown first.
    texts : list of str, or data frame, optional
        A data set in which the tokens are looked for that set a feed-forward unit off.
    **settings
        Traits of the panels, and ``stage``, ``layer``, ``heads``, ``pinned`` and ``marked``. Also
        ``tuned``, a `jtviz.analysis.TunedLens` to look through.

    Returns
    -------
    LayersView
        The panels (``.panels``) over the charts of the open one; last in a cell, they are shown.

    Raises
    ------
    TypeError
        For an unknown keyword, or when there is nothing to trace.
    ValueError
        For a tab, stage or value of a trait that does not exist, or a text that cannot be read.
    traitlets.TraitError
        For a stage, layer, head or token that is not there.

    Examples
    --------
    >>> import jtviz
    >>> view = jtviz.show_layers(jtviz.demo.translator(), "I like to drink tea.", tab="lens")
    >>> view.panels.tab
    'lens'
    """
    from .views.layer_options import checked_values, data_set
    from .views.layers import OPTIONS, TABS, LayersPanels
    from .views.layers_view import LayersView

    known = (*OPTIONS, "stage", "layer", "heads", "pinned", "marked")
    refuse_unknown(show_layers, {k: v for k, v in settings.items() if k not in known}, known)
    refuse_other("tab", tab, tuple(TABS))
    refuse_other("stage", settings.get("stage"), STAGES)
    of_panels = {k: v for k, v in settings.items() if k in OPTIONS}
    if hidden_layer is not None:
        of_panels["hidden_layer"] = hidden_layer
    settings |= checked_values(LayersPanels.class_traits(), of_panels)
    texts = data_set(texts)
    given = {"target_text": target_text, "generate": generate, "inputs": inputs, "tokens": tokens}
    trace = traced("show_layers", given, model=model, text=text, tokenizer=tokenizer, trace=trace)
    return LayersView(LayersPanels(trace, tab=tab, texts=texts, **settings))


@overload
def explain(
    model: HookedTransformer | nn.Module, text: list[str] | list[tuple[str, str]], **asked: Any
) -> list[Explanation]: ...
@overload
def explain(model: HookedTransformer | nn.Module, text: Text | None = None, **asked: Any) -> Explanation: ...
def explain(
    model: HookedTransformer | nn.Module,
    text: Text | list[str] | list[tuple[str, str]] | None = None,
    *,
    tokenizer: Any = None,
    task: str | None = None,
    target: Any = None,
    against: Any = None,
    output: str = "logit",
    context: str | None = None,
    labels: Sequence[str] | None = None,
    hypothesis: str | None = None,
    target_text: str | None = None,
    generate: int | None = None,
    image: Any = None,
    inputs: Mapping[str, Any] | Sequence[Any] | None = None,
    tokens: Mapping[str, Sequence[str]] | None = None,
    method: str = "integrated_gradients",
    baseline: str | None = None,
    n_steps: int = 50,
    n_samples: int = 25,
    unit: Any = "token",
    memory: int | None = None,
    seed: int = 0,
    progress: bool | None = None,
    trust: bool = True,
    **unknown: Any,
) -> Explanation | list[Explanation]:
    """Explain what a model predicts: by what it reads, for whatever task it does.

    Parameters
    ----------
    model : HookedTransformer, torch.nn.Module or pipeline
        Any PyTorch model with attention in it.
    text : str, (str, str) or list
        What it reads; a tuple of two is read as a pair. A list gives a list of explanations.
    tokenizer : optional
        Of Hugging Face or of ``tokenizers``; found by itself where the model knows it. With `image`, the
        image processor.
    task : str, optional
        One of `jtviz.analysis.TASKS`, or what a pipeline of ``transformers`` calls it. Left out, it is told
        from what the model returns.
    target : optional
        What is explained instead of what the model predicts. A class by name or number; a list of them; a
        token, a row, or ``{"row": 3, "token": "tea"}``, as in `HookedTransformer.trace`. Of an answer in the
        text, its words or ``(first, last)`` token; of entities a token or ``{"row": 3, "label": "B-PER"}``.
        A function takes the model's output and returns one number.
    against : optional
        A second class, label or token: why `target` rather than this, the difference of the two numbers.
    output : {"logit", "log_prob", "prob", "loss"}
        The scale.
    context : str, optional
        Where the answer to the question `text` stands.
    labels, hypothesis : optional
        Classes to choose from, and the sentence that each is put into, ``"This example is {}."``, for a
        model of entailment.
    target_text, generate : optional
        A given translation or answer, fed teacher-forced; how many tokens to generate first.
    image : optional
        ``[channels, rows, columns]`` numbers as the model reads them; any picture, with an image processor.
    inputs, tokens : optional
        Arguments of the model's ``forward`` instead of a text, and names of their tokens.
    method : str
        One of `jtviz.analysis.METHODS`.
    baseline : str, optional
        What an absent token is: ``"pad"``, ``"mask"``, ``"zero"``, ``"mean"``, or a text of one's own with as
        many tokens. If left out padding, where the model has it, else as in `jtviz.analysis.attribute`.
        Special tokens stay.
    n_steps, n_samples : int
        Points on a path, and random samples.
    unit : {"token", "word", "sentence"} or list of (int, int)
        What ablation and Shapley sampling replace as one.
    memory : int, optional
        Bytes that one batch may take beside the model; a gibibyte if left out.
    seed : int
        Of what is random.
    progress : bool, optional
        Whether to show a bar; of one text where it takes more than two seconds, if left out.
    trust : bool
        Whether to compute how far each part can be trusted.

    Returns
    -------
    Explanation or list of Explanation
        Scores in units of `output`. Last in a cell, an explanation is shown, linked with other views of the
        same text.

    Raises
    ------
    TypeError
        For an unknown keyword.
    ValueError
        For a task, target, method or scale that does not exist, a task that cannot be told, or a text that
        cannot be read.

    Examples
    --------
    >>> import jtviz
    >>> found = jtviz.explain(jtviz.demo.classifier(), "Man, 60. Has crushing chest pain.", trust=False)
    >>> found.task, found.target.name
    ('sequence-classification', 'urgent')
    >>> jtviz.explain(jtviz.demo.translator(), "I like tea.", trust=False).prediction
    '我喜欢茶。'
    """
    from .analysis.attribution import MEMORY, How, checked_how, method_named
    from .analysis.explain import Request, all_explained, explained, task_named
    from .capture.target import checked_scale

    # They say how an explanation is drawn; where the front end is not built it is HTML and a table.
    with contextlib.suppress(ImportError):
        from . import views  # noqa: F401
    refuse_unknown(explain, unknown)
    checked_scale(output)
    if task is not None:
        task = task_named(task).name
    memory = MEMORY if memory is None else memory
    how = How(method_named(method), baseline, n_steps, n_samples, unit=unit, memory=memory, seed=seed)
    checked_how(how)
    given: list[Any] = text if isinstance(text, list) else [text]
    texts = given if context is None else [(question, context) for question in given]
    request = Request(
        None, target, against, output, target_text, generate, labels, hypothesis, image,
        tokenizer or getattr(model, "image_processor", None), inputs, tokens,
    )  # fmt: skip
    hooked = hook(model, None if image is not None else tokenizer)
    if isinstance(text, list):
        return all_explained(hooked, texts, request, how, task=task, trust=trust, progress=progress)
    request = replace(request, text=texts[0])
    return explained(hooked, request, how, task=task, trust=trust, progress=progress)
