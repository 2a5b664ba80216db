"""The attention view. Twin: js/src/views/attention.ts.

Required: everything drawn comes from the trace through the tile server; what is chosen in the
browser can be read, set and observed here, and the other way round.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import ipywidgets
import traitlets as t

from jtviz.capture import Trace

from . import keep, numbers
from .bundle import front_end
from .describe import Spans, describe
from .frozen import Frozen, freeze
from .linked import SHARED, Linked
from .settings import SETTINGS, Settings
from .shown import Choice, Shown
from .snapshot import snapshot
from .switching import Switching
from .tiles import TileServer

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd


class AttentionView(Settings, Switching, Linked):
    """Attention of one trace as links, as a matrix and over the text.

    Parameters
    ----------
    trace : Trace
        What `HookedTransformer.trace` left.
    spans : mapping, optional
        Named parts of the text to choose from, as in `jtviz.show_attention`.
    **choices
        Initial ``stage``, ``layer``, ``heads``, ``pinned`` and ``marked``, which are shared with every other
        view of the trace, and any trait of `jtviz.views.settings.Settings`.

    Raises
    ------
    traitlets.TraitError
        If the trace has no such stage, layer, head or token, or a setting has no such value; nothing is
        changed then.

    Examples
    --------
    >>> view = AttentionView(trace)                             # doctest: +SKIP
    >>> view.stage, view.layer, view.heads = "cross", 1, [0]    # doctest: +SKIP
    >>> view.observe(lambda change: print(change.new), "pinned")  # doctest: +SKIP
    """

    _esm = front_end("attention")

    meta = t.Dict().tag(sync=True)
    """Stages, layers, heads and tokens of the trace, as the front end needs them."""

    snapshot = t.Dict().tag(sync=True)
    """What the first picture is drawn from, at most `jtviz.views.snapshot.LIMIT` bytes: it is there before
    the kernel answers, and in a saved notebook."""

    def __init__(self, trace: Trace, *, spans: Spans | None = None, **choices: Any) -> None:
        self._server = TileServer(trace, self._send_later)
        meta = describe(trace, spans) | {"can_prune": trace.reading is not None}
        given = {name: value for name, value in choices.items() if value is not None}
        own = {name: value for name, value in given.items() if name not in SHARED}

        def traits(state: dict[str, Any]) -> dict[str, Any]:
            return {"meta": meta, "snapshot": snapshot(self._server, {**state, **own}), **own}

        self._begin(trace, given, traits)
        self._begin_switching(trace)
        self.on_msg(self._on_message)

    def __repr__(self) -> str:
        """Say in one line what is shown: a saved notebook has this where the widget was."""
        names = [name for name in (*SHARED, "mode") if name != "marked" or self.marked]
        choices = ", ".join(f"{name}={getattr(self, name)!r}" for name in names)
        return f"{type(self).__name__}({choices})"

    def _repr_mimebundle_(self, **kwargs: Any) -> Any:
        return keep.with_picture(self, super()._repr_mimebundle_(**kwargs))

    @property
    def choice(self) -> Choice:
        """What is shown and how it is weighed."""
        also = [tuple(pair) for pair in self.also if pair[0] != self.layer]
        members = tuple((self.layer, head) for head in self.heads) + tuple(also)
        state = {name: getattr(self, name) for name in SETTINGS}
        return Choice.of({**state, "stage": self.stage, "members": members})

    @property
    def shown(self) -> Shown:
        """The numbers of the choice, whole or in parts."""
        return Shown(self._drawn_server.source, self.choice)

    def to_dict(self) -> dict[str, Any]:
        """Return everything chosen in the view as plain values, for `restore` or `jtviz.show_attention`.

        Examples
        --------
        >>> import jtviz
        >>> translator = jtviz.demo.translator()
        >>> view = jtviz.show_attention(translator, "I like tea.", stage="cross", mode="matrix")
        >>> state = view.to_dict()
        >>> again = jtviz.show_attention(translator, "I like tea.", **state)
        >>> again.mode
        'matrix'
        """
        return {name: getattr(self, name) for name in (*SHARED, *SETTINGS)}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Choose again what `to_dict` returned; what is not named in `state` stays.

        Raises
        ------
        traitlets.TraitError
            If the trace has no such stage, layer, head or token, or a setting has no such value; nothing
            is changed then.
        """
        before = self.to_dict()
        if unknown := set(state) - set(before):
            msg = f"There is no setting {min(unknown)!r} in a view; it has {', '.join(before)}."
            raise t.TraitError(msg)
        try:
            # In the order of `SHARED`: a layer is checked against the stage.
            for name in before:
                if name in state:
                    self.set_trait(name, state[name])
        except t.TraitError:
            for name, value in before.items():
                self.set_trait(name, value)
            raise

    def to_numpy(self) -> np.ndarray:
        """Return what is shown, ``[heads, queries, keys]``, float32: the numbers behind the picture.

        Weighed, without hidden tokens, by words, and what the filters leave, as chosen in the view.

        Raises
        ------
        JtvizError
            If that is more than 67 million weights.

        Examples
        --------
        >>> import jtviz
        >>> view = jtviz.show_attention(jtviz.demo.translator(), "I like tea.", stage="encoder", heads=[0, 2])
        >>> view.to_numpy().shape
        (2, 5, 5)
        """
        return numbers.array(self.shown)

    def to_dataframe(self) -> pd.DataFrame:
        """Return the weights shown as a table: one row each, with layer, head, query, key and their names.

        A pinned token leaves only its weights: what a pinned query looks at, or who looks at a pinned key.

        Raises
        ------
        JtvizError
            If that is more than 67 million weights.

        Examples
        --------
        >>> import jtviz
        >>> translator = jtviz.demo.translator()
        >>> view = jtviz.show_attention(translator, "I like tea.", heads=[0], pinned={"query": 2})
        >>> view.to_dataframe().columns.to_list()
        ['layer', 'head', 'query', 'query token', 'key', 'key token', 'weight']
        """
        return numbers.frame(self.shown, self.pinned)

    def save(
        self,
        path: str | Path,
        *,
        theme: str = "light",
        scale: float = keep.SCALE,
        hovered: Mapping[str, int | None] | None = None,
        budget: int = keep.BUDGET,
    ) -> None:
        """Save what is shown as a figure, or as a page that works without Python and without a network.

        Parameters
        ----------
        path : str or Path
            ``.svg`` for a vector figure and ``.png`` for pixels, with a legend and a caption that says what
            is shown, hidden and left out; ``.html`` for one file with the whole view and its data.
        theme : {"light", "dark"}
            Colours of a figure; a page follows its reader's.
        scale : float
            Pixels of a PNG to a CSS pixel.
        hovered : mapping, optional
            The token a reader points at, ``{"query": 3}``: in a figure it counts as pinned, without its mark.
        budget : int
            Bytes of a page at most. Layers nearest to the one shown come first; the page says which it has.

        Raises
        ------
        JtvizError
            If the ending is another, the folder is not there, a page with the layer shown has more than
            `budget` bytes, no head is chosen, or no font is there for a PNG.
        traitlets.TraitError
            If there is no such token to point at.

        Examples
        --------
        >>> import jtviz, tempfile
        >>> view = jtviz.show_attention(jtviz.demo.translator(), "I like tea.")
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     view.save(f"{folder}/tea.svg")
        """
        keep.save(self, path, theme=theme, scale=scale, hovered=hovered, budget=budget)

    def freeze(self, budget: int = 2_000_000) -> Frozen:
        """Return the view as it is now, with its data, for a cell's output: it needs no kernel ever after.

        Last in a cell, it lives on in the saved notebook: in JupyterLab, Notebook 7 and VS Code once the
        notebook is trusted, and in what nbconvert makes of it. GitHub, nbviewer and an untrusted notebook
        show a picture instead. It no longer follows other views.

        Parameters
        ----------
        budget : int
            Bytes of the page at most; the picture comes on top.

        Raises
        ------
        JtvizError
            If the page has more bytes with the layer shown alone.

        Examples
        --------
        >>> import jtviz
        >>> view = jtviz.show_attention(jtviz.demo.translator(), "I like tea.")
        >>> view.freeze()
        Frozen(all 6 layers of 3 stages, ... KB)
        """
        return freeze(self, budget)

    def close(self) -> None:
        """Close the widget, and no longer follow the Selection."""
        self._server.cancel()
        super().close()

    def _on_message(self, _: ipywidgets.Widget, message: Any, __: list[memoryview]) -> None:
        if not isinstance(message, dict):
            return
        if message.get("op") == "ping":
            self.send({"op": "pong", "id": message.get("id")})
        elif reply := self._server.answer(message) or keep.answer(self, message):
            self.send(*reply)

    def _send_later(self, message: dict[str, Any], buffers: list[bytes]) -> None:
        if self.comm is not None:  # closed meanwhile
            self.send(message, buffers)
