"""Traces on disk: one ``.safetensors`` file that opens without the model.

Required: what is opened is what was saved, to the bit; a file that is damaged or not a trace is refused
with one sentence. Queries, keys, values and patterns are mapped into memory and read where somebody
looks; each site is compared with its checksum before its first number is shown.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any, TypeVar

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from ..tokens import Tokens
from .blocks import BlockCall
from .errors import JtvizError, SiteRefusedError
from .mask import Bias, Diagonals, Mask, Packed, Rule
from .site import HELD, FusedSite, Site, WrittenSite
from .stages import STAGES, Stage
from .target import Target
from .trace import Trace
from .weights import Weight

FORMAT = 1
ALONG = ("output_projections", "unembedding")
_MASKS = {kind.__name__: kind for kind in (Rule, Packed, Diagonals, Bias)}
_SITES = {"fused": FusedSite, "written": WrittenSite}
_PLAIN = (
    "name", "path", "call", "batch", "heads", "queries", "keys", "causal", "difference", "tolerance", "group",
    "sums", "width",
)  # fmt: skip
Made = TypeVar("Made")


class TraceFileError(JtvizError):
    """A file that is not a trace, or is damaged, or was written by a newer jtviz."""


def save(trace: Trace, path: str | Path, along: Sequence[str] = ()) -> None:
    """Do what `Trace.save` promises."""
    path = Path(path)
    if unknown := {along} if isinstance(along, str) else set(along) - set(ALONG):
        raise JtvizError(f"along= lists {' and '.join(map(repr, ALONG))}, not {min(unknown)!r}.")
    if path.is_dir() or not path.parent.is_dir():
        raise JtvizError(f"a trace cannot be saved as {path}: name a file in a folder that is there.")
    tensors: dict[str, Tensor] = {}
    masks: list[dict[str, Any]] = []
    known: list[Mask] = []
    stages: dict[str, Any] = {}
    for stage in trace.stages:
        sites = []
        for i in range(trace.layers(stage)):
            site = trace.site(stage, i)
            site.unchanged()
            sites.append(_describe(site, f"{stage}.{i}", tensors, known, masks))
        stages[stage] = {"sites": sites, "stream": _streams(trace, stage, tensors)}
    if trace.logits is not None:
        tensors["logits"] = trace.logits
    tensors |= _weights(trace, along)
    seen: set[int] = set()
    tensors = {name: _own(tensor, seen) for name, tensor in tensors.items()}
    content = {
        "tokens": {side: asdict(tokens) for side, tokens in trace.tokens.items()},
        "predicts": trace.predicts,
        "chances": trace.chances,
        "target": None if trace.target is None else asdict(trace.target),
        "notes": trace.notes,
        "stages": stages,
        "masks": masks,
        "tensors": {name: _fingerprint(tensor) for name, tensor in tensors.items()},
    }
    said = json.dumps(content, ensure_ascii=False)
    metadata = {"jtviz": said, "format": str(FORMAT), "checksum": str(zlib.crc32(said.encode()))}
    beside = path.with_name(f"{path.name}.new")
    try:
        save_file(tensors, beside, metadata)
        # Whole or not at all: an older file stays until the new one is complete.
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)


def load(path: str | Path) -> Trace:
    """Open a trace that `Trace.save` wrote; the model is not needed.

    Parameters
    ----------
    path : str or Path
        The file.

    Returns
    -------
    Trace
        On the CPU. Everything a trace can be asked. Masks, the residual stream and the logits are read at
        once; the attention of a layer when it is looked at, so keep the file as long as the trace.

    Raises
    ------
    TraceFileError
        If there is no such file, it is not a trace, it is damaged, or it is of a newer format. Damage to
        the numbers of one layer is noticed when that layer is first looked at.

    Examples
    --------
    >>> import jtviz, tempfile
    >>> trace = jtviz.demo.induction().trace("abcabc")
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     trace.save(f"{folder}/abc.safetensors")
    ...     jtviz.load(f"{folder}/abc.safetensors").stages
    ('decoder',)
    """
    path = Path(path)
    if not path.is_file():
        raise TraceFileError(f"there is no file {path}.")
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            content = _content(metadata, path)
            tensors = {name: file.get_tensor(name) for name in content["tensors"]}
        return _opened(content, tensors, path)
    except JtvizError:
        raise
    except OSError as error:
        raise TraceFileError(f"{path} cannot be read: {error.strerror or error}.") from None
    except (SafetensorError, ValueError, LookupError, TypeError, RuntimeError, AttributeError):
        raise _damaged(path) from None


# -- writing -----------------------------------------------------------------------------------------


def _describe(
    site: Site, name: str, tensors: dict[str, Tensor], known: list[Mask], masks: list[dict[str, Any]]
) -> dict[str, Any]:
    said = {field: getattr(site, field) for field in _PLAIN}
    held = [part for part in HELD if isinstance(getattr(site, part, None), Tensor)]
    if isinstance(site, WrittenSite) and site.gradient is None:
        held.remove("value")
    tensors.update({f"{name}.{part}": getattr(site, part) for part in held})
    if isinstance(site, WrittenSite):
        return {"kind": "written", **said, "held": held}
    if not isinstance(site, FusedSite):
        raise JtvizError(f"{site.name} is of a kind that cannot be saved.")
    number = None
    if site.mask is not None:
        number = next((i for i, mask in enumerate(known) if mask is site.mask), len(known))
        if number == len(known):
            known.append(site.mask)
            masks.append(_described_mask(site.mask, f"mask.{number}", tensors))
    return {
        "kind": "fused",
        **said,
        "held": held,
        "scale": site.scale,
        "mask": number,
        "lse_from_kernel": site.lse_from_kernel,
    }


def _described_mask(mask: Mask, name: str, tensors: dict[str, Tensor]) -> dict[str, Any]:
    said: dict[str, Any] = {"kind": type(mask).__name__, "held": []}
    for field, value in vars(mask).items():
        if isinstance(value, Tensor):
            tensors[f"{name}.{field}"] = value
            said["held"].append(field)
        else:
            said[field] = value
    return said


def _streams(trace: Trace, stage: str, tensors: dict[str, Tensor]) -> int:
    """Keep the residual stream of a stage, and return in how many parts; none where there is none."""
    try:
        stream = trace.hidden(stage) if stage != "cross" or "decoder" not in trace.stages else None
    except SiteRefusedError:
        raise
    except JtvizError:
        stream = None  # the model has none that can be found
    if stream is None:
        return 0
    (first, *_) = trace.site(stage, 0).kept
    small = stream.to(first.dtype)
    stream = small if torch.equal(small.float(), stream) else stream
    tensors.update({f"{stage}.stream.{i}": part for i, part in enumerate(stream)})
    return len(stream)


def _weights(trace: Trace, along: Sequence[str]) -> dict[str, Tensor]:
    """Return the weights that are saved along, ``[in, out]``, as the model has them."""
    out: dict[str, Tensor] = {}
    if "output_projections" in along:
        for stage in trace.stages:
            for i in range(trace.layers(stage)):
                trace.output_projection(stage, i)  # says what is wrong, if anything is
                projection = trace.site(stage, i).projection
                if projection is not None:
                    out[f"{stage}.{i}.projection"] = projection.read("a projection")
    if "unembedding" in along:
        trace.unembedding()
        if trace.unembedding_weight is not None:
            out["unembedding"] = trace.unembedding_weight.read("the unembedding")
    return out


def _own(tensor: Tensor, seen: set[int]) -> Tensor:
    """Return a tensor with memory of its own, on the CPU: a file holds no views, and nothing twice."""
    tensor = tensor.detach().cpu().contiguous()
    storage = tensor.untyped_storage()
    if storage.nbytes() != tensor.numel() * tensor.element_size() or storage.data_ptr() in seen:
        tensor = tensor.clone()
    seen.add(tensor.untyped_storage().data_ptr())
    return tensor


def _fingerprint(tensor: Tensor) -> list[Any]:
    checksum = zlib.crc32(tensor.flatten().view(torch.uint8).numpy().data) if tensor.numel() else 0
    return [str(tensor.dtype), list(tensor.shape), checksum]


# -- reading -----------------------------------------------------------------------------------------


def _content(metadata: Mapping[str, str], path: Path) -> dict[str, Any]:
    if "jtviz" not in metadata:
        raise TraceFileError(f"{path} is not a trace: open what trace.save() wrote.")
    version = metadata.get("format", "")
    if version.isdecimal() and int(version) > FORMAT:
        raise TraceFileError(f"{path} was written by a newer jtviz (format {version}): update jtviz.")
    said = metadata["jtviz"]
    if version != str(FORMAT) or metadata.get("checksum") != str(zlib.crc32(said.encode())):
        raise _damaged(path)
    content: dict[str, Any] = json.loads(said)
    return content


def _opened(content: Mapping[str, Any], tensors: Mapping[str, Tensor], path: Path) -> Trace:
    def checked(*names: str) -> None:
        for name in names:
            if _fingerprint(tensors[name]) != content["tensors"][name]:
                raise _damaged(path)

    def held(said: Mapping[str, Any], name: str) -> dict[str, Tensor]:
        return {part: tensors[f"{name}.{part}"] for part in said["held"]}

    def weight(name: str) -> Weight | None:
        if name not in tensors:
            return None
        return Weight(tensors[name], transposed=False, first_look=_later(checked, [name]))

    masks = []
    for number, said in enumerate(content["masks"]):
        checked(*(f"mask.{number}.{part}" for part in said["held"]))
        masks.append(_made(_MASKS[said["kind"]], {**said, **held(said, f"mask.{number}")}))
    by_stage: dict[Stage, list[Site]] = {}
    for stage in STAGES:
        if stage not in content["stages"]:
            continue
        streams = [tensors[f"{stage}.stream.{i}"] for i in range(content["stages"][stage]["stream"])]
        checked(*(f"{stage}.stream.{i}" for i in range(len(streams))))
        by_stage[stage] = []
        for i, said in enumerate(content["stages"][stage]["sites"]):
            parts = held(said, f"{stage}.{i}")
            block = (_block(said["path"], streams[i], streams[i + 1]),) if streams else ()
            extra = {"query_bits": 0, "key_bits": 0, "bit": 0, "blocks": block}
            given = {**said, **parts, **extra, "sums": tuple(said["sums"])}
            if said["kind"] == "fused":
                given["mask"] = None if said["mask"] is None else masks[said["mask"]]
            site = _made(_SITES[said["kind"]], given)
            site.watch()
            site.first_look = _later(checked, [f"{stage}.{i}.{part}" for part in parts])
            site.projection = weight(f"{stage}.{i}.projection")
            by_stage[stage].append(site)
    checked(*(["logits"] if "logits" in tensors else []))
    tokens = {side: Tokens(**_tupled(said)) for side, said in content["tokens"].items()}
    predicts, chances = (
        None if content[name] is None else tuple(content[name]) for name in ("predicts", "chances")
    )
    target = None if content["target"] is None else Target(**content["target"])
    notes = tuple(content["notes"])
    unembedding = weight("unembedding")
    return Trace(tokens, predicts, tensors.get("logits"), notes, by_stage, chances, target, unembedding)


def _made(kind: Callable[..., Made], given: Mapping[str, Any]) -> Made:
    wanted = {field.name for field in fields(kind)}  # type: ignore[arg-type]
    return kind(**{name: value for name, value in given.items() if name in wanted})


def _block(path: str, before: Tensor, after: Tensor) -> BlockCall:
    block = BlockCall(path, before)
    block.leave(after)
    return block


def _later(check: Callable[..., None], names: list[str]) -> Callable[[], None]:
    return lambda: check(*names)


def _tupled(said: Mapping[str, Any]) -> dict[str, Any]:
    spans = tuple(None if span is None else tuple(span) for span in said["spans"])
    rest = {name: tuple(v) if isinstance(v, list) else v for name, v in said.items()}
    return {**rest, "spans": spans}


def _damaged(path: Path) -> TraceFileError:
    return TraceFileError(f"{path} is damaged or not a trace of jtviz: save it again from the model.")
