"""What a view shows as numbers: each step against a closed form or the analysis that defines it."""

import threading
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

import jtviz
from jtviz.analysis import by_words, head_measures, relevance, rollout, weighted
from jtviz.capture import JtvizError, Trace
from jtviz.views.describe import describe, find_spans
from jtviz.views.measured import measured
from jtviz.views.shown import Choice, Shown, sift
from jtviz.views.source import Source
from jtviz.views.thumbnails import thumbnails
from jtviz.views.tiles import TileServer

TEXT = "I bought the bookshop's unbelievable encyclopaedias yesterday."


@pytest.fixture(scope="module")
def trace() -> Trace:
    return jtviz.hook(jtviz.demo.translator()).trace(TEXT, target="我", output="log_prob")


def shown(trace: Trace, **chosen: object) -> Shown:
    said = {"stage": "encoder", "members": [[0, 1], [1, 2]], **chosen}
    return Shown(Source(trace), Choice.of(said))


@pytest.mark.parametrize("weighting", ["raw", "value", "output", "gradient"])
def test_weights_are_those_of_the_analysis(trace: Trace, weighting: str) -> None:
    found = shown(trace, weighting=weighting).weights()
    for member, (layer, head) in enumerate([(0, 1), (1, 2)]):
        expected = weighted(trace, weighting, "encoder", layer=layer, head=head)
        torch.testing.assert_close(found[member], expected)


def test_what_is_followed_through_layers_has_one_pattern_a_layer(trace: Trace) -> None:
    followed = shown(trace, weighting="rollout", members=[[1, 0], [1, 3]]).weights()
    torch.testing.assert_close(followed, rollout(trace, "encoder", 1)[None])
    rests = shown(trace, weighting="relevance", stage="cross").weights()
    cross = relevance(trace).cross
    assert cross is not None
    torch.testing.assert_close(rests[0], cross)


@pytest.mark.parametrize("combine", ["mean", "max", "sum"])
def test_members_are_combined(trace: Trace, combine: str) -> None:
    found = shown(trace, combine=combine)
    each = found.weights()
    expected = {"mean": each.mean(0), "max": each.amax(0), "sum": each.sum(0)}[combine]
    torch.testing.assert_close(found.combined(), expected)


def test_words_are_summed_as_keys_and_averaged_as_queries(trace: Trace) -> None:
    found = shown(trace, unit="word")
    expected = by_words(trace, "encoder", layer=0, head=1)
    assert found.query.labels == expected.queries
    assert len(expected.keys) < len(trace.tokens["encoder"])
    torch.testing.assert_close(found.weights()[0], expected.weights)
    torch.testing.assert_close(found.weights(slice(2, 4), slice(1, 3))[0], expected.weights[2:4, 1:3])


def test_hidden_tokens_say_how_much_they_had_and_the_rest_sums_to_one(trace: Trace) -> None:
    plain = trace.attention("encoder", layer=0, head=1)
    last = len(plain) - 1
    hiding = shown(trace, hide_special=True, hide_first=True, members=[[0, 1]])
    assert hiding.hidden.nonzero().flatten().tolist() == [0, last]
    torch.testing.assert_close(hiding.hidden_share()[0], plain[:, [0, last]].sum(1))
    assert not hiding.weights()[..., [0, last]].any()
    torch.testing.assert_close(hiding.weights()[0, :, 1:last], plain[:, 1:last])
    shared = shown(trace, hide_special=True, renormalise=True).weights()
    torch.testing.assert_close(shared.sum(-1), torch.ones(shared.shape[:2]))
    part = shown(trace, hide=["the"], renormalise=True)
    torch.testing.assert_close(part.weights(None, slice(1, 5)), part.weights()[..., 1:5])


def test_spans_leave_only_their_queries_and_keys(trace: Trace) -> None:
    found = shown(trace, query_span=[1, 3], key_span=[2, 5]).weights()
    plain = shown(trace).weights()
    torch.testing.assert_close(found[:, 1:3, 2:5], plain[:, 1:3, 2:5])
    assert found.count_nonzero() == 2 * 2 * 3


def test_a_span_that_cuts_a_word_shows_it_whole(trace: Trace) -> None:
    words = shown(trace, unit="word")
    long = next(w for w in range(len(words.query)) if words.query.starts[w + 1] - words.query.starts[w] > 2)
    start = words.query.starts[long]
    found = shown(trace, unit="word", query_span=[start + 1, start + 2]).weights()
    torch.testing.assert_close(found[:, long], words.weights()[:, long])
    assert found.abs().sum((0, 2)).nonzero().flatten().tolist() == [long]


def test_sifting_keeps_the_strongest() -> None:
    row = torch.tensor([[0.5, -0.3, 0.1, 0.1, 0.0]])
    assert sift(row, 2, 1).tolist() == pytest.approx(np.array([[0.5, -0.3, 0, 0, 0]]))
    # 0.5 of 1.0 is half of the mass, and no other weight is needed.
    assert sift(row, 0, 0.5).count_nonzero() == 1
    assert sift(row, 0, 0.51).count_nonzero() == 2
    # Of equal ones the first.
    assert sift(row, 3, 1)[0, 2:4].tolist() == pytest.approx([0.1, 0.0])


def test_the_threshold_is_that_of_what_is_drawn(trace: Trace) -> None:
    each = shown(trace).weights()
    found = shown(trace, threshold=0.2)
    assert torch.equal(found.weights(), each.masked_fill(each < 0.2, 0))
    mean = each.mean(0)
    assert torch.equal(found.combined(), mean.masked_fill(mean < 0.2, 0))


@pytest.mark.parametrize("pool", ["max", "mean"])
def test_a_sample_of_rows_is_said_and_lies_near(pool: str) -> None:
    torch.manual_seed(0)
    long = Trace.from_qkv(*torch.randn(2, 1, 2, 512, 8), causal=True)
    found = Shown(Source(long), Choice("decoder", ((0, 0), (0, 1))))
    rows = slice(0, 512)
    exact = found.pooled(rows, rows, factor=64, pool=pool)
    some = found.pooled(rows, rows, factor=64, pool=pool, samples=16)
    assert (exact.sampled, some.sampled) == (None, 16)
    dense = found.combined()
    blocks = dense.view(8, 64, 8, 64)
    expected = blocks.amax((1, 3)) if pool == "max" else blocks.mean((1, 3))
    torch.testing.assert_close(exact.values[0], expected, atol=1e-6, rtol=0)
    if pool == "max":
        assert (some.values <= exact.values + 1e-6).all()
    else:
        torch.testing.assert_close(some.values, exact.values, atol=2e-3, rtol=0.5)


def test_what_takes_long_is_sampled_and_then_exact(monkeypatch: pytest.MonkeyPatch) -> None:
    from jtviz.views import tiles

    monkeypatch.setattr(tiles, "AT_ONCE", 2**14)
    long = Trace.from_qkv(*torch.randn(2, 1, 1, 512, 8), causal=True)
    sent: list[tuple[dict[str, object], list[bytes]]] = []
    server = TileServer(long, lambda message, buffers: sent.append((message, buffers)))
    key = {
        "kind": "tile",
        "stage": "decoder",
        "members": [[0, 0]],
        "level": 4,
        "row": 0,
        "column": 0,
        "pool": "max",
    }
    answer, _ = server.answer_one(key)
    assert answer["later"]
    assert answer["sampled"] < 16
    for task in [*server._tasks.values()]:
        task.result(30)
    until = time.monotonic() + 30
    while not any(message["op"] == "tile" for message, _ in sent) and time.monotonic() < until:
        time.sleep(0.01)  # it is sent once the result is there
    exact, data = TileServer(long).answer_one(key)
    final = [(message, buffers) for message, buffers in sent if message["op"] == "tile"]
    assert len(final) == 1
    assert final[0][0]["shape"] == exact["shape"]
    assert final[0][1] == [data]
    server.answer_one(key)
    server.answer({"op": "cancel", "keep": []})
    assert not server._tasks


def _setting(event: threading.Event) -> Callable[[object], None]:
    return lambda _: event.set()


def test_a_tile_that_is_asked_for_again_before_its_work_has_stopped_is_computed_once_more(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from jtviz.views import tiles

    monkeypatch.setattr(tiles, "AT_ONCE", 2**14)
    gates, begun, real = (
        [threading.Event(), threading.Event()],
        [threading.Event() for _ in "12"],
        Shown.pooled,
    )
    works = iter(range(2))

    def pooled(self: Shown, *args: Any, **how: Any) -> Any:
        if "report" in how:
            number = next(works)
            begun[number].set()
            assert gates[number].wait(60)
            how["report"](0.5)
        return real(self, *args, **how)

    monkeypatch.setattr(Shown, "pooled", pooled)
    sent: list[dict[str, Any]] = []
    long = Trace.from_qkv(*torch.randn(2, 1, 1, 512, 8), causal=True)
    server = TileServer(long, lambda message, _: sent.append(message))
    key = {"kind": "tile", "stage": "decoder", "members": [[0, 0]], "level": 4, "row": 0, "column": 0}
    tasks, ended = [], [threading.Event(), threading.Event()]
    for number in range(2):
        assert server.answer_one(key | {"pool": "max"})[0]["later"]
        [task] = server._tasks.values()
        tasks.append(task)
        task.when_done(_setting(ended[number]))
        assert begun[number].wait(60)
        if number == 0:
            server.cancel()
    gates[0].set()
    assert ended[0].wait(60)
    assert [*server._tasks.values()] == tasks[1:]
    gates[1].set()
    assert ended[1].wait(60)
    assert not server._tasks
    assert ["shape" in message for message in sent if message["op"] == "tile"] == [True]


def test_a_large_layer_is_sent_with_three_digits() -> None:
    wide = Trace.from_qkv(*torch.randn(2, 1, 4, 100, 8), causal=True)
    answer, data = TileServer(wide).answer_one({"kind": "whole", "stage": "decoder", "layer": 0})
    assert answer["dtype"] == "float16"
    found = torch.frombuffer(bytearray(data), dtype=torch.float16).float().view(4, 100, 100)
    torch.testing.assert_close(found, wide.attention("decoder", layer=0), rtol=5e-4, atol=1e-7)


def test_thumbnails_are_maxima_of_blocks() -> None:
    torch.manual_seed(0)
    long = Trace.from_qkv(*torch.randn(2, 1, 2, 64, 8), causal=True)
    pictures, seen = thumbnails(Source(long), "raw", "decoder", 0, 16)
    blocks = long.attention("decoder", layer=0).view(2, 16, 4, 16, 4).amax((2, 4))
    expected = blocks / blocks.amax((1, 2), keepdim=True) * 255
    assert seen is None
    torch.testing.assert_close(pictures.float(), expected, atol=0.51, rtol=0)


def test_measures_of_a_view_are_those_of_the_analysis(trace: Trace) -> None:
    values, info = measured(trace, "encoder")
    assert set(info) == {"names", "least", "about"}
    assert set(info["about"]) == set(info["names"])
    for name, found in zip(info["names"], values, strict=True):
        torch.testing.assert_close(found, getattr(head_measures(trace, "encoder"), name), equal_nan=True)


def test_spans_are_found_by_words_by_tokens_and_by_themselves(trace: Trace) -> None:
    spans = find_spans(trace, {"thing": "bookshop", "start": (0, 2)})
    first, last = spans["encoder"][0][1:]
    assert "".join(trace.tokens["encoder"][first:last]) == "bookshop"
    assert ("start", 0, 2) in spans["encoder"]
    with pytest.raises(JtvizError, match="span 'no' is not in the text"):
        describe(trace, {"no": "elephant"})


def test_weightings_that_cannot_be_had_say_why(trace: Trace) -> None:
    assert not any(lack for _, _, lack in describe(trace)["weightings"])
    plain = describe(jtviz.hook(jtviz.demo.translator()).trace("Hi."))["weightings"]
    assert {name for name, _, lack in plain if lack} == {"gradient", "relevance"}
    long = describe(Trace.from_qkv(*torch.randn(2, 1, 1, 3000, 4), causal=True))["weightings"]
    assert "up to 2,048 tokens; this text has 3,000" in {name: lack for name, _, lack in long}["rollout"]


def test_a_state_is_restored_or_nothing_changes(trace: Trace) -> None:
    view = jtviz.show_attention(trace=trace, stage="cross", layer=1, heads=[0], unit="word", top_k=3)
    state = view.to_dict()
    view.restore({"stage": "encoder", "layer": 0, "unit": "token", "mode": "text"})
    assert (view.stage, view.mode) == ("encoder", "text")
    view.restore(state)
    assert view.to_dict() == state
    with pytest.raises(Exception, match="no layer 7"):
        view.restore({"unit": "token", "layer": 7})
    assert view.to_dict() == state
    with pytest.raises(Exception, match="no setting 'unti'"):
        view.restore({"unti": "word"})
