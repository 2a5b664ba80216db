"""Traces on disk: what is opened is what was saved, and a damaged file is refused, never shown."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

import jtviz
from jtviz.capture import JtvizError, SiteRefusedError, Trace, TraceFileError, from_arrays, hook, load

from .test_capture_huggingface import build, inputs_of


def assert_the_same(opened: Trace, trace: Trace) -> None:
    assert opened.stages == trace.stages
    assert opened.tokens == trace.tokens
    assert (opened.predicts, opened.notes) == (trace.predicts, trace.notes)
    assert opened.check() == trace.check()
    assert (opened.logits is None) == (trace.logits is None)
    if trace.logits is not None and opened.logits is not None:
        assert torch.equal(opened.logits, trace.logits)
    for stage in trace.stages:
        assert opened.layers(stage) == trace.layers(stage)
        for layer in range(trace.layers(stage)):
            for mine, others in zip(
                opened.site(stage, layer).kept, trace.site(stage, layer).kept, strict=True
            ):
                assert torch.equal(mine, others)
            # The same numbers laid out otherwise in memory may be added in another order.
            for cols in (None, [0], [1, 0]):
                patterns = [t.attention(stage, layer=layer, cols=cols) for t in (opened, trace)]
                torch.testing.assert_close(*patterns, atol=1e-5, rtol=0)
        assert torch.equal(opened.hidden(stage), trace.hidden(stage))


@pytest.mark.parametrize("family", ["Bert", "GPT2", "Llama", "Mistral", "T5", "Bart"])
@pytest.mark.parametrize("implementation", ["sdpa", "eager"])
@pytest.mark.parametrize("padding", ["none", "left"])
def test_what_is_opened_is_what_was_saved(
    tmp_path: Path, family: str, implementation: str, padding: str
) -> None:
    model = build(family, implementation)
    trace = hook(model).trace(inputs=inputs_of(model, padding))
    trace.save(tmp_path / "trace.safetensors")
    assert_the_same(load(tmp_path / "trace.safetensors"), trace)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_is_kept(tmp_path: Path, dtype: torch.dtype) -> None:
    model = build("Llama").to(dtype)
    trace = hook(model).trace(inputs=inputs_of(model, "none"))
    trace.save(tmp_path / "trace.safetensors")
    assert_the_same(load(tmp_path / "trace.safetensors"), trace)


def test_the_embedded_models_can_be_saved_with_their_words(tmp_path: Path) -> None:
    for name, text in (
        ("translator", "Where is the nearest station?"),
        ("classifier", "Man, 40. Has a cough."),
    ):
        trace = getattr(jtviz.demo, name)().trace(text)
        trace.save(tmp_path / "trace.safetensors")
        opened = jtviz.load(tmp_path / "trace.safetensors")
        assert_the_same(opened, trace)
        assert opened.tokens["encoder"].sentence == text
        assert jtviz.show_attention(opened).stage == "encoder"


def test_traces_computed_elsewhere_can_be_saved(tmp_path: Path) -> None:
    for number, trace in enumerate(
        (
            from_arrays(torch.rand(2, 3, 5, 5).softmax(-1)),
            Trace.from_qkv(*torch.randn(2, 2, 3, 5, 8), causal=True),
        )
    ):
        trace.save(tmp_path / f"{number}.safetensors")
        opened = load(tmp_path / f"{number}.safetensors")
        (stage,) = trace.stages
        found, wanted = (t.attention(stage, layer=1) for t in (opened, trace))
        torch.testing.assert_close(found, wanted, atol=1e-6, rtol=0)
        with pytest.raises(JtvizError, match="was not found"):
            opened.hidden(stage)


def test_a_mask_that_layers_share_is_saved_once(tmp_path: Path) -> None:
    layer = nn.TransformerEncoderLayer(16, 2, 16, batch_first=True)
    model = nn.TransformerEncoder(layer, 6, enable_nested_tensor=False).eval()
    mask = torch.rand(400, 400) > 0.5
    mask.fill_diagonal_(fill_value=False)
    trace = hook(model).trace(inputs={"src": torch.randn(1, 400, 16), "mask": mask})
    trace.save(tmp_path / "trace.safetensors")
    opened = load(tmp_path / "trace.safetensors")
    masks = {id(getattr(site, "mask", None)) for site in opened.sites}
    assert len(masks) == 1
    assert id(None) not in masks
    assert torch.equal(opened.attention("encoder", layer=5), trace.attention("encoder", layer=5))


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    jtviz.demo.induction().trace("abcabcab").save(tmp_path / "trace.safetensors")
    return tmp_path / "trace.safetensors"


def everything(trace: Trace) -> list[Tensor]:
    (stage,) = trace.stages
    return [trace.attention(stage, layer=i) for i in range(trace.layers(stage))] + [trace.hidden(stage)]


def test_a_file_mutated_anywhere_is_refused_and_nothing_else_is_raised(saved: Path) -> None:
    whole = saved.read_bytes()
    expected = everything(load(saved))
    rng = random.Random(0)
    refused = 0
    for _ in range(400):
        data = bytearray(whole)
        match rng.randrange(4):
            case 0:
                data = data[: rng.randrange(len(data))]
            case 1:
                data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
            case 2:
                start = rng.randrange(len(data))
                data[start : start + rng.randrange(1, 64)] = rng.randbytes(rng.randrange(64))
            case _:
                # The header is where most can go wrong.
                data[rng.randrange(3000)] = rng.randrange(256)
        mutated = saved.with_name("mutated.safetensors")
        mutated.write_bytes(data)
        try:
            found = everything(load(mutated))
        except TraceFileError:
            refused += 1
        else:
            # White space in the header, or a byte that was already so.
            assert all(torch.equal(a, b) for a, b in zip(found, expected, strict=True))
    assert refused > 300


def test_damage_to_a_layer_is_noticed_where_that_layer_is_looked_at(saved: Path) -> None:
    whole = bytearray(saved.read_bytes())
    query: Any = load(saved).site("decoder", 1).kept[0]
    at = whole.find(query.contiguous().numpy().tobytes())
    assert at > 0
    whole[at + 5] ^= 1
    saved.write_bytes(whole)
    opened = load(saved)
    assert opened.attention("decoder", layer=0).shape == (4, 8, 8)
    for _ in range(2):
        with pytest.raises(TraceFileError, match="is damaged"):
            opened.attention("decoder", layer=1)


def test_other_files_are_refused_each_with_its_sentence(tmp_path: Path, saved: Path) -> None:
    with pytest.raises(TraceFileError, match="there is no file"):
        load(tmp_path / "nothing.safetensors")
    (tmp_path / "text.safetensors").write_text("attention", encoding="utf-8")
    with pytest.raises(TraceFileError, match="is damaged or not a trace"):
        load(tmp_path / "text.safetensors")
    save_file({"weight": torch.ones(2)}, tmp_path / "model.safetensors")
    with pytest.raises(TraceFileError, match="is not a trace"):
        load(tmp_path / "model.safetensors")
    newer = saved.read_bytes().replace(b'"format":"1"', b'"format":"9"')
    assert newer != saved.read_bytes()
    saved.write_bytes(newer)
    with pytest.raises(TraceFileError, match=r"newer jtviz \(format 9\)"):
        load(saved)


def test_an_older_file_stays_when_saving_fails(saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = saved.read_bytes()

    def full(_: object, path: Path, *__: object) -> None:
        path.write_bytes(b"half of it")
        raise OSError("no space left on device")

    monkeypatch.setattr("jtviz.capture.files.save_file", full)
    with pytest.raises(OSError, match="no space"):
        jtviz.demo.induction().trace("xyzxyz").save(saved)
    assert saved.read_bytes() == before
    assert list(saved.parent.iterdir()) == [saved]


def test_a_place_that_is_not_there_is_refused_before_any_work(tmp_path: Path) -> None:
    trace = jtviz.demo.induction().trace("abcabc")
    for place in (tmp_path, tmp_path / "nowhere" / "x.safetensors"):
        with pytest.raises(JtvizError, match="name a file in a folder that is there"):
            trace.save(place)


@pytest.mark.parametrize("given", ["all", "key and value", "patterns", "no value"])
def test_tensors_that_are_one_and_the_same_are_saved(tmp_path: Path, given: str) -> None:
    x, pattern = torch.randn(1, 2, 5, 8), torch.rand(2, 5, 5).softmax(-1)
    trace = {
        "all": lambda: Trace.from_qkv(x, x, x),
        "key and value": lambda: Trace.from_qkv(torch.randn(1, 2, 5, 8), x, x),
        "patterns": lambda: from_arrays([pattern, pattern]),
        "no value": lambda: Trace.from_qkv(x, torch.randn(1, 2, 5, 8)),
    }[given]()
    trace.save(tmp_path / "trace.safetensors")
    opened = load(tmp_path / "trace.safetensors")
    assert torch.equal(opened.attention("encoder", layer=0), trace.attention("encoder", layer=0))
    assert opened.check() == trace.check() == {}


def test_a_stream_that_was_changed_since_is_refused_not_left_out(tmp_path: Path) -> None:
    layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
    model = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False).eval()
    trace = hook(model).trace(inputs={"src": torch.randn(1, 4, 8)})
    block = trace.site("encoder", 1).blocks[0]
    assert block.after is not None
    block.after.add_(1)
    with pytest.raises(SiteRefusedError, match="changed in place"):
        trace.save(tmp_path / "trace.safetensors")
