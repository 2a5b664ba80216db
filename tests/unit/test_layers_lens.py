"""The lens of the view of layers: what the page is told is what the analysis says, and is computed once."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import numpy as np
import pytest
import torch
import traitlets

import jtviz
from jtviz.analysis.layers import TunedLens, logit_lens, tuned_lens
from jtviz.capture import JtvizError, OutOfRangeError
from jtviz.views.layer_panels import lens as panel_module
from jtviz.views.layers import LayersPanels

SENTENCE = "We went to the market with our friends."
TEXTS = ["I like tea.", "He wants a book.", "They see some water."]


def panels_of(model: Any = None, text: str = SENTENCE, **more: Any) -> LayersPanels:
    return jtviz.show_layers(model or jtviz.demo.translator(), text, tab="lens", **more).panels


def asked(panels: LayersPanels, **question: Any) -> tuple[dict[str, Any], list[bytes]]:
    """Ask as a page does."""
    sent: list[tuple[dict[str, Any], list[bytes]]] = []
    panels.send = lambda reply, buffers=(): sent.append((reply, list(buffers)))
    panels._on_message(panels, {"id": "1", **question}, [])
    (answer,) = sent
    return answer


@pytest.fixture(scope="module")
def tuned() -> TunedLens:
    return tuned_lens(jtviz.demo.translator(), TEXTS, steps=5, progress=False)


@pytest.mark.parametrize("through", ["logit", "tuned"])
def test_the_page_is_told_the_numbers_of_the_analysis(through: str, tuned: TunedLens) -> None:
    panels = panels_of(tuned=tuned)
    reply, buffers = asked(panels, op="lens", through=through, first=2, last=6)
    trace, rows = panels.trace, slice(2, 6)
    wanted = tuned(trace, rows=rows) if through == "tuned" else logit_lens(trace, rows=rows)
    assert (reply["ok"], reply["side"], reply["first"], reply["rows"]) == (True, "decoder", 2, 4)
    whole = [np.frombuffer(data, np.int32) for data in buffers[:3]]
    for found, exact in zip(whole, (wanted.ids, wanted.answer, wanted.rank), strict=True):
        assert found.tolist() == exact.flatten().tolist()
    real = [np.frombuffer(data, np.float32) for data in buffers[3:]]
    numbers = (wanted.probability, wanted.entropy, wanted.divergence, wanted.answer_probability)
    for values, precise in zip(real, numbers, strict=True):
        np.testing.assert_array_equal(values, precise.flatten().numpy())
    ids = wanted.ids.flatten().tolist()
    assert [reply["words"][str(i)] for i in ids] == wanted.words(wanted.ids)
    assert trace.logits is not None
    assert reply["vocabulary"] == trace.logits.shape[-1]


def test_the_last_row_reads_what_the_translator_writes() -> None:
    panels = panels_of()
    lens = panels.lens
    assert lens.words(lens.ids[-1, :, 0]) == list(panels.trace.predicts or ())
    # Of a translator it is the decoder, whatever is shown.
    panels.stage = "encoder"
    assert (panels.side, panels.lens_side, panels.lens.side) == ("encoder", "decoder", "decoder")


def test_a_position_is_looked_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    looked: list[Any] = []

    def counted(trace: jtviz.Trace, **more: Any) -> Any:
        looked.append(more["rows"])
        return logit_lens(trace, **more)

    monkeypatch.setattr(panel_module, "logit_lens", counted)
    panels = panels_of()
    assert panels.lens_of([4, 2]).rows.tolist() == [2, 4]
    assert panels.lens_of(slice(1, 5)).rows.tolist() == [1, 2, 3, 4]
    panels.lens_of(3)
    assert looked == [[2, 4], [1, 3]]
    whole, exact = panels.lens, logit_lens(panels.trace)
    assert looked[2:] == [[0, *range(5, len(exact.tokens))]]
    assert torch.equal(whole.ids, exact.ids)
    assert torch.equal(whole.rank, exact.rank)
    torch.testing.assert_close(whole.divergence, exact.divergence, atol=1e-5, rtol=1e-4)


def test_a_token_is_followed_through_the_layers() -> None:
    panels = panels_of()
    lens = panels.lens
    answer, token = int(lens.answer[3]), 5
    reply, buffers = asked(panels, op="lens_path", row=3, tokens=[token, answer])
    assert (reply["row"], reply["tokens"]) == (3, [answer, token])
    chance = np.frombuffer(buffers[0], np.float32).reshape(-1, 2)
    np.testing.assert_allclose(chance[:, 0], lens.answer_probability[:, 3], rtol=1e-3, atol=1e-9)
    ranks = np.frombuffer(buffers[1], np.int32).reshape(-1, 2)
    assert ranks[:, 0].tolist() == lens.rank[:, 3].tolist()
    assert ranks[:, 1].tolist() == [
        int((x > x[token]).sum()) + 1 for x in map(lens.logits, range(3), [3] * 3)
    ]


def test_a_lens_is_trained_in_the_page_and_looked_through() -> None:
    panels = panels_of()
    reply, _ = asked(panels, op="lens", through="tuned", first=0, last=2)
    assert (reply["ok"], reply["error"]) == (False, "there is no tuned lens yet: train one, or set `tuned`.")
    shares: list[float] = []
    panels.observe(lambda change: shares.append(change["new"]), "share")
    assert asked(panels, op="lens_train", texts="\n".join([*TEXTS, "", " "]), steps=12)[0]["ok"]
    assert panels._trainer is not None
    panels._trainer.join(120)
    assert (panels.training, panels.busy, panels.training_problem) == (False, "", "")
    assert panels.through == "tuned"
    assert 1.0 in shares
    lens: TunedLens = panels.tuned
    exact = tuned_lens(jtviz.demo.translator(), TEXTS, steps=12, progress=False)
    # Adam makes more of the last bits of a gradient, and those may differ from thread to thread.
    assert float((lens.weight - exact.weight).norm() / exact.weight.norm()) < 1e-2
    torch.testing.assert_close(lens.after, exact.after, atol=1e-4, rtol=1e-4)
    assert panels.tuned_about["after"] == lens.after.tolist()
    assert (panels.tuned_about["rows"], panels.tuned_about["seen"]) == (exact.rows, False)
    assert panels.lens.through is lens


def test_an_interpreter_that_ends_while_a_lens_is_trained_ends_well() -> None:
    code = (
        "import jtviz, threading\n"
        "panels = jtviz.show_layers(jtviz.demo.induction(), 'xyzxyz', tab='lens').panels\n"
        "is_training = threading.Event()\n"
        "panels.observe(lambda _: is_training.set(), 'share')\n"
        "asked = {'op': 'lens_train', 'texts': 'abcabcabc', 'steps': 1_000_000}\n"
        "panels._on_message(panels, asked, [])\n"
        "assert is_training.wait(60)\n"
        "print(panels.training)\n"
    )
    run = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120
    )
    assert run.stdout.strip() == "True"


def test_training_can_be_stopped_and_says_what_went_wrong() -> None:
    panels = panels_of()
    asked(panels, op="lens_train", texts="\n".join(TEXTS), steps=100_000)
    again, _ = asked(panels, op="lens_train", texts="Hello.", steps=2)
    assert again["error"] == "a lens is being trained already: stop that first."
    asked(panels, op="lens_stop")
    assert panels._trainer is not None
    panels._trainer.join(120)
    assert not panels._trainer.is_alive()
    assert (panels.training, panels.tuned, panels.through, panels.training_problem) == (
        False,
        None,
        "logit",
        "",
    )
    empty, _ = asked(panels, op="lens_train", texts=" \n", steps=2)
    assert empty["error"] == "there are no texts: write some, one a line."
    assert "at least 1" in asked(panels, op="lens_train", texts="Hello.", steps=0)[0]["error"]


def test_a_text_that_the_lens_was_trained_on_is_said() -> None:
    panels = panels_of(text=TEXTS[0])
    panels.train_lens(TEXTS, steps=1, progress=False)
    assert panels.tuned_about["seen"]
    number = panels.tuned_about["number"]
    panels.train_lens(TEXTS[1:], steps=1, progress=False)
    assert not panels.tuned_about["seen"]
    assert panels.tuned_about["number"] > number
    panels.tuned = None
    assert panels.tuned_about == {}


def test_a_lens_of_another_model_is_refused(tuned: TunedLens) -> None:
    with pytest.raises(traitlets.TraitError, match="trained for a Seq2SeqTransformer"):
        panels_of(jtviz.demo.induction(), "abcabc", tuned=tuned)
    panels = panels_of(jtviz.demo.induction(), "abcabc")
    with pytest.raises(traitlets.TraitError, match="train one for it"):
        panels.tuned = tuned
    assert panels.tuned is None


def test_a_model_that_predicts_no_tokens_has_no_lens() -> None:
    panels = panels_of(jtviz.demo.classifier(), "Has a runny nose.")
    lacks = {name: why for name, _, why in panels.meta["tabs"]}
    assert lacks["lens"] == "this model tells classes apart, and predicts no tokens: open one that does."
    with pytest.raises(JtvizError, match="tells classes apart"):
        panels.lens_of()


def test_questions_that_cannot_be_answered_are_said() -> None:
    panels = panels_of()
    assert "first is a number" in asked(panels, op="lens", first=99, last=100)[0]["error"]
    assert "1 to 64 positions" in asked(panels, op="lens", first=3, last=3)[0]["error"]
    assert "through is one of" in asked(panels, op="lens", through="x", first=0, last=1)[0]["error"]
    assert "numbers of the vocabulary" in asked(panels, op="lens_path", row=0, tokens=[9999])[0]["error"]
    assert "tokens are at most 8" in asked(panels, op="lens_path", row=0, tokens=["x"])[0]["error"]
    with pytest.raises(OutOfRangeError, match="row 99"):
        panels.lens_of(99)
