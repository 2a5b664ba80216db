"""The model, and torch, are left exactly as they were found."""

from __future__ import annotations

import gc
import subprocess
import sys
import weakref
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from jtviz.capture import JtvizError, hook
from jtviz.demo.seq2seq import Seq2SeqConfig, Seq2SeqTransformer


def translator() -> Seq2SeqTransformer:
    return Seq2SeqTransformer(Seq2SeqConfig(source_vocabulary=30, target_vocabulary=20))


def inputs() -> tuple[Tensor, Tensor]:
    return torch.randint(3, 20, (1, 6)), torch.randint(3, 20, (1, 4))


def state(model: nn.Module) -> dict[str, Any]:
    return {
        "weights": {
            name: (p.data_ptr(), p._version, p.requires_grad, p.grad) for name, p in model.named_parameters()
        },
        "values": [p.detach().clone().sum().item() for p in model.parameters()],
        "modes": [module.training for module in model.modules()],
        "hooks": [(dict(m._forward_hooks), dict(m._forward_pre_hooks)) for m in model.modules()],
        "attributes": [sorted(vars(module)) for module in model.modules()],
        "random": torch.get_rng_state().tolist(),
        "gradients": torch.is_grad_enabled(),
        "torch": (nn.functional.scaled_dot_product_attention, nn.functional.multi_head_attention_forward),
        "watching": torch._C._len_torch_function_stack(),
    }


@pytest.mark.parametrize("training", [True, False])
def test_a_trace_leaves_the_model_as_it_was(*, training: bool) -> None:
    model = translator().train(training)
    model.transformer.encoder.train(not training)
    given = inputs()
    before = state(model)
    trace = hook(model).trace(inputs=given)
    trace.attention("cross", layer=0)
    assert state(model) == before


class Breaks(Seq2SeqTransformer):
    error: type[BaseException] = RuntimeError

    def decode(self, target: Tensor, memory: Tensor, source: Tensor) -> Tensor:
        torch.rand(3)
        super().decode(target, memory, source)
        raise self.error


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_a_forward_that_raises_leaves_the_model_as_it_was(error: type[BaseException]) -> None:
    model = Breaks(Seq2SeqConfig(source_vocabulary=30, target_vocabulary=20)).train()
    model.error = error
    given = inputs()
    before = state(model)
    with pytest.raises(error):
        hook(model).trace(inputs=given)
    assert state(model) == before


def test_generating_leaves_random_numbers_and_mode_as_they_were() -> None:
    class Draws(Seq2SeqTransformer):
        def generate(self, source: Tensor, max_new_tokens: int = 60, num_beams: int = 1) -> Tensor:
            torch.rand(7)
            generated: Tensor = super().generate(source, max_new_tokens, num_beams)
            return generated

    from jtviz.demo.sentences import train_tokenizers
    from jtviz.tokens import TokenizerPair

    pair = TokenizerPair(*train_tokenizers([("I like tea.", "我喜欢茶。")] * 3, 40, 30))
    sizes = pair.source.get_vocab_size(), pair.target.get_vocab_size()
    model = Draws(Seq2SeqConfig(*sizes)).train()
    before = state(model)
    assert hook(model, pair).trace("I like tea.", generate=5).stages == ("encoder", "decoder", "cross")
    assert state(model) == before


def test_a_traced_output_is_bit_identical_to_an_untraced_one() -> None:
    model = translator().eval()
    given = inputs()
    kept: list[Tensor] = []
    handle = model.register_forward_hook(lambda *call: kept.append(call[-1]))
    hook(model).trace(inputs=given)
    # The one named exception: the encoder's fused fast path, which no mode can look into.
    fast = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    with torch.no_grad():
        model(*given)
    torch.backends.mha.set_fastpath_enabled(fast)
    with torch.no_grad():
        model(*given)
    handle.remove()
    assert torch.equal(kept[0], kept[1])
    torch.testing.assert_close(kept[0], kept[2], atol=1e-5, rtol=0)


def test_a_model_is_not_kept_alive() -> None:
    model = translator()
    trace = hook(model).trace(inputs=inputs())
    gone = weakref.ref(model)
    del model
    gc.collect()
    assert gone() is None
    assert trace.attention("cross", layer=0).shape == (4, 4, 6)


@pytest.mark.parametrize("context", [torch.inference_mode, torch.no_grad, torch.enable_grad])
def test_a_trace_is_the_same_in_any_gradient_mode(context: Any) -> None:
    model = translator()
    given = inputs()
    wanted = hook(translator().eval()).trace(inputs=given)
    del wanted
    outside = hook(model).trace(inputs=given).attention("cross", layer=1)
    other = translator()
    other.load_state_dict(model.state_dict())
    with context():
        trace = hook(other).trace(inputs=given)
    torch.testing.assert_close(trace.attention("cross", layer=1), outside, atol=0, rtol=0)
    assert not trace.attention("cross", layer=1).requires_grad


def test_reduced_precision_is_shown_as_it_was_computed() -> None:
    model = translator().eval()
    given = inputs()
    exact = hook(model).trace(inputs=given).attention("cross", layer=1)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        mixed = hook(translator_like(model)).trace(inputs=given)
    half = hook(translator_like(model).bfloat16()).trace(inputs=given)
    for trace in (mixed, half):
        found = trace.attention("cross", layer=1)
        assert found.dtype == torch.float32
        torch.testing.assert_close(found, exact, atol=0.02, rtol=0)


def translator_like(model: Seq2SeqTransformer) -> Seq2SeqTransformer:
    copy = translator().eval()
    copy.load_state_dict(model.state_dict())
    return copy


def test_capture_imports_neither_widgets_nor_transformers() -> None:
    # `import jtviz.capture` runs `jtviz/__init__.py` first, which is held to the same.
    heavy = "('transformers', 'captum', 'bqplot')"
    code = f"import sys, jtviz.capture; print([m for m in {heavy} if m in sys.modules])"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"


def test_tracing_does_not_import_torchs_compiler() -> None:
    code = (
        "import sys, torch\nfrom jtviz.capture import hook\n"
        "m = torch.nn.MultiheadAttention(8, 2, batch_first=True)\nx = torch.randn(1, 3, 8)\n"
        "hook(m).trace(inputs=(x, x, x)).attention('encoder', layer=0, cols=[0])\n"
        "print('torch._dynamo' in sys.modules)"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "False"


def test_something_that_is_no_model_is_refused() -> None:
    with pytest.raises(JtvizError, match=r"torch\.nn\.Module"):
        hook("bert-base-uncased")
