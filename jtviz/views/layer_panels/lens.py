"""The lens: what each layer would predict, for the positions in sight. Twin: js/src/layers/lens.ts.

Required: a position is looked at once, however often it comes into sight; a tuned lens that was trained for
another model is refused; training in the page can be stopped, and says why it could not be done.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Hashable
from dataclasses import dataclass
from typing import Any

import torch
import traitlets as t

from jtviz.analysis.attribution.progress import Progress
from jtviz.analysis.layers.lens import LogitLens, logit_lens, taken, together
from jtviz.analysis.layers.tuned import TunedLens, tuned_lens
from jtviz.capture import JtvizError, hook
from jtviz.capture.ending import stopped_at_the_end
from jtviz.capture.lm_head import predicting
from jtviz.capture.part import Index, chosen, is_int, positions

from .panel import Answer, Message, Panel

KINDS = ("logit", "tuned")
COLOURS = ("probability", "entropy", "divergence", "rank")
TOP = 5
"""How many tokens are named in each layer and position."""
MOST = 64
"""Positions that one question may ask for."""
FOLLOWED = 8
"""Tokens that one question may follow through the layers."""


class LensPanel(Panel):
    """The tab "lens"."""

    through = t.Enum(KINDS, "logit").tag(sync=True, echo_update=False)
    """Through what layers are looked: the model's own head, or a tuned lens."""

    lens_colour = t.Enum(COLOURS, "probability").tag(sync=True, echo_update=False)
    """What cells are coloured by."""

    tuned: Any = t.Instance(TunedLens, default_value=None, allow_none=True)
    """The tuned lens; None until one is trained or given."""

    tuned_about = t.Dict().tag(sync=True)
    """What the page says of the tuned lens; empty when there is none."""

    training = t.Bool(default_value=False).tag(sync=True)
    """Whether a tuned lens is being trained in the page."""

    training_problem = t.Unicode().tag(sync=True)
    """Why no tuned lens could be trained; empty where there is nothing to say."""

    _trainer: threading.Thread | None = None
    _stopped: threading.Event | None = None

    @property
    def lens_side(self) -> str:
        """Whose rows predict tokens, and are looked at: of a translator the decoder, whatever is shown."""
        return predicting(self.trace)[1]

    @property
    def lens(self) -> LogitLens:
        """What every layer predicts in every position, through what `through` says.

        The page shows only the positions in sight; those that nobody has looked at yet are computed now.
        """
        return self.lens_of()

    def lens_of(self, rows: Index = None, through: str | None = None) -> LogitLens:
        """Return what every layer predicts in some positions; what was computed before is not again.

        Parameters
        ----------
        rows : int, list of int, slice or None
            Positions of the text; None means all.
        through : {"logit", "tuned"}, optional
            What `through` says, if left out.

        Raises
        ------
        JtvizError
            If the model predicts no tokens, or there is no tuned lens.

        Examples
        --------
        >>> import jtviz
        >>> panels = jtviz.show_layers(jtviz.demo.translator(), "I like tea.", tab="lens").panels
        >>> panels.lens_of([0, 1])
        LogitLens(3 layers, 2 rows of the decoder)
        """
        kind = through or self.through
        tuned = self._needed() if kind == "tuned" else None
        side, cpu = self.lens_side, torch.device("cpu")
        count = len(self.trace.tokens[side])
        wanted = torch.unique(positions(chosen(rows, count, "row", f"the {side}", cpu), cpu))
        key: Hashable = ("lens", id(tuned))
        with self._computing:
            known: _Known = self._once(key, lambda: _Known(tuned))
            missing = [i for i in wanted.tolist() if known.lens is None or i not in known.rows]
            if missing or known.lens is None:
                with self._doing("reading what each layer predicts …"):
                    look = tuned or logit_lens
                    found = look(self.trace, top=TOP, rows=missing or None)
                known.lens = found if known.lens is None else together(known.lens, found)
                known.rows = frozenset(known.lens.rows.tolist())
            return taken(known.lens, wanted)

    def train_lens(self, texts: Any, **how: Any) -> TunedLens:
        """Train a tuned lens for the model, and look through it from now on.

        Parameters
        ----------
        texts : list of str
            Other texts than the one that is looked at.
        **how
            ``steps``, ``rate``, ``seed``, ``memory`` and ``progress`` of `jtviz.analysis.tuned_lens`.

        Raises
        ------
        JtvizError
            If the model predicts no tokens, or the texts are none, or too many for ``memory``.

        Examples
        --------
        >>> import jtviz
        >>> panels = jtviz.show_layers(jtviz.demo.induction(), "xyzxyz", tab="lens").panels
        >>> panels.train_lens(["abcabcabc", "qmzqmzqmz"], steps=20).rows, panels.through
        (18, 'tuned')
        """
        reading, side = predicting(self.trace)
        made = tuned_lens(hook(reading.model, reading.tokenizer), texts, side=side, **how)
        self.tuned, self.through = made, "tuned"
        return made

    def _end_panels(self) -> None:
        if self._stopped is not None:
            self._stopped.set()
        super()._end_panels()

    def _needed(self) -> TunedLens:
        if self.tuned is None:
            raise JtvizError("there is no tuned lens yet: train one, or set `tuned`.")
        found: TunedLens = self.tuned
        return found

    @t.validate("tuned")
    def _valid_tuned(self, proposal: dict[str, Any]) -> Any:
        if proposal["value"] is not None:
            try:
                proposal["value"].check(self.trace)
            except JtvizError as error:
                raise t.TraitError(str(error)) from None
        return proposal["value"]

    @t.observe("tuned")
    def _tell_tuned(self, change: dict[str, Any]) -> None:
        lens: TunedLens | None = self.tuned
        if isinstance(change["old"], TunedLens):
            with self._computing:
                self._once_kept.pop(("lens", id(change["old"])), None)
        if lens is None:
            self.tuned_about = {}
            return
        self.tuned_about = {
            "number": self.tuned_about.get("number", 0) + 1,
            "rows": lens.rows,
            "seen": lens.has_seen(self.trace),
            "before": lens.before.tolist(),
            "after": lens.after.tolist(),
        }

    def _answer_lens(self, message: Message) -> Answer:
        """Answer with positions ``first`` to ``last`` - 1: numbers by layer, and words of the tokens."""
        count = len(self.trace.tokens[self.lens_side])
        first, last = self._number(message, "first", count), self._number(message, "last", count + 1)
        if not 0 < last - first <= MOST:
            raise JtvizError(f"a question asks for 1 to {MOST} positions, not {last - first}.")
        lens = self.lens_of(slice(first, last), _kind(message))
        ids = torch.unique(torch.cat([lens.ids.flatten(), lens.answer]))
        words = dict(zip(map(str, ids.tolist()), lens.words(ids), strict=True))
        numbers = (lens.probability, lens.entropy, lens.divergence, lens.answer_probability)
        buffers = [
            lens.ids.int().numpy().tobytes(),
            lens.answer.int().numpy().tobytes(),
            lens.rank.int().numpy().tobytes(),
            *(x.float().numpy().tobytes() for x in numbers),
        ]
        layers, rows, top = lens.ids.shape
        told = {"side": lens.side, "first": first, "rows": rows, "layers": layers, "top": top}
        return {**told, "vocabulary": self._vocabulary_size(), "words": words}, buffers

    def _answer_lens_path(self, message: Message) -> Answer:
        """Answer with the probability and rank, in each layer, of the answer of a position and of tokens."""
        row = self._number(message, "row", len(self.trace.tokens[self.lens_side]))
        tokens = message.get("tokens", [])
        if not isinstance(tokens, list) or len(tokens) > FOLLOWED or not all(map(is_int, tokens)):
            raise JtvizError(f"tokens are at most {FOLLOWED} numbers of the vocabulary.")
        lens = self.lens_of(row, _kind(message))
        followed = list(dict.fromkeys([int(lens.answer[0]), *tokens]))
        probability, rank = lens.path(row, followed)
        told = {"row": row, "tokens": followed, "words": lens.words(torch.tensor(followed))}
        return told, [probability.numpy().tobytes(), rank.int().numpy().tobytes()]

    def _answer_lens_train(self, message: Message) -> Answer:
        """Begin to train, in a thread of its own: what the page asks meanwhile is answered."""
        texts = [line.strip() for line in str(message.get("texts", "")).splitlines() if line.strip()]
        if self._trainer is not None and self._trainer.is_alive():
            raise JtvizError("a lens is being trained already: stop that first.")
        if not texts:
            raise JtvizError("there are no texts: write some, one a line.")
        steps: Any = message.get("steps")
        if not is_int(steps) or steps < 1:
            raise JtvizError(f"steps are a whole number, at least 1, not {steps!r}.")
        self.training, self.training_problem = True, ""
        self._stopped = threading.Event()
        self._trainer = threading.Thread(target=self._train, args=(texts, int(steps)), daemon=True)
        stopped_at_the_end(self._trainer, self._stopped)
        self._trainer.start()
        return {}, []

    def _answer_lens_stop(self, _: Message) -> Answer:
        if self._stopped is not None:
            self._stopped.set()
        return {}, []

    def _train(self, texts: list[str], steps: int) -> None:
        stopped = self._stopped
        try:
            self.train_lens(texts, steps=steps, progress=_Told(self, steps, stopped or threading.Event()))
        except _StoppedError:
            pass
        except Exception as error:  # noqa: BLE001 - whatever went wrong is said in the view
            self.training_problem = str(error) or type(error).__name__
        finally:
            self.busy, self.share, self.training = "", None, False

    def _vocabulary_size(self) -> int:
        """Return how many tokens a rank is a place among."""
        logits = self.trace.logits
        if logits is not None:
            return int(logits.shape[-1])
        return int(self._once("vocabulary", lambda: self.lens_of(0).logits(-1, 0).shape[-1]))


@dataclass
class _Known:
    """What was looked at through one lens, which lives as long as this does."""

    tuned: TunedLens | None
    lens: LogitLens | None = None
    rows: frozenset[int] = frozenset()


class _StoppedError(Exception):
    """Somebody said to stop."""


class _Told(Progress):
    """Progress that is said in a view, and that can be stopped there."""

    def __init__(self, view: LensPanel, total: int, stopped: threading.Event) -> None:
        super().__init__("training", total, shown=False, seconds=0)
        self._view, self._stopped = view, stopped
        self._done, self._said = 0, 0.0

    def advance(self, count: int) -> None:
        """Say how far it is, a few times a second; stop where that is wanted."""
        if self._stopped.is_set():
            raise _StoppedError
        if count == 0:
            self._view.busy, self._view.share = "reading the texts …", None
            return
        self._done += count
        now = time.perf_counter()
        if now - self._said > 0.2 or self._done >= self._total:
            self._said = now
            self._view.busy = f"training the lens: step {self._done:,} of {self._total:,} …"
            self._view.share = min(1.0, self._done / self._total)


def _kind(message: Message) -> str:
    kind = message.get("through", "logit")
    if kind not in KINDS:
        raise JtvizError(f"through is one of {', '.join(KINDS)}, not {kind!r}.")
    return str(kind)
