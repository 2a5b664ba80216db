"""What of a view stays: a figure, a page, and a picture for whatever shows a notebook without its widgets.

Required: what cannot be saved is refused with one sentence before any work; a file is there whole or not at
all.
"""

from __future__ import annotations

import base64
import os
import secrets
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jtviz.capture import JtvizError

from .tiles import Reply

if TYPE_CHECKING:
    from .attention import AttentionView

TYPES = {".svg": "image/svg+xml", ".png": "image/png", ".html": "text/html"}
"""Endings, and what their files are."""

SCALE = 2
BUDGET = 8_000_000
LARGEST_SCALE = 8


def save(
    view: AttentionView,
    path: str | Path,
    *,
    theme: str,
    scale: float,
    hovered: Mapping[str, int | None] | None,
    budget: int,
) -> None:
    """Do what `AttentionView.save` promises."""
    path = Path(path)
    refuse(path, theme, scale)
    pointed = view.selection.check("pinned", hovered)
    write(path, _made(view, path.suffix.lower(), theme=theme, scale=scale, hovered=pointed, budget=budget))


def answer(view: AttentionView, message: Mapping[str, Any]) -> Reply | None:
    """Return a file that the browser asks for with ``{op: "save", format, theme, hovered}``, to download.

    It is answered with ``{op: "saved", format, type}`` and the bytes, or an ``error``.
    """
    if message.get("op") != "save":
        return None
    ending = f".{message.get('format')}"
    reply: dict[str, Any] = {"op": "saved", "format": message.get("format"), "type": TYPES.get(ending)}
    try:
        _refuse_ending(ending, f"attention{ending}")
        hovered = view.selection.check("pinned", message.get("hovered"))
        made = _made(view, ending, theme=message["theme"], scale=SCALE, hovered=hovered, budget=BUDGET)
    except Exception as error:  # noqa: BLE001 - whatever went wrong is said where it was asked for
        return {**reply, "error": str(error) or type(error).__name__}, []
    return reply, [made]


def picture(view: AttentionView) -> str | None:
    """Return a small PNG of a view in base64; None where none can be drawn, so that the view still shows."""
    from .figures import glance

    try:
        return base64.b64encode(glance(view)).decode()
    except Exception:  # noqa: BLE001 - a notebook shows the widget also where this computer cannot draw
        return None


def in_base64(draw: Callable[[], bytes]) -> str | None:
    """Return a picture in base64; None where it cannot be drawn, as without a font: the view still shows."""
    try:
        return base64.b64encode(draw()).decode()
    except JtvizError:
        return None


def with_picture(view: AttentionView, bundle: Any) -> Any:
    """Add a picture to what ipywidgets returns for a cell's output: a dict, or a dict and its metadata."""
    return with_image(bundle, picture(view))


def with_image(bundle: Any, png: str | None) -> Any:
    """Add a PNG in base64 to a cell's output, where there is one."""
    data = bundle[0] if isinstance(bundle, tuple) else bundle
    if isinstance(data, dict) and png is not None:
        data["image/png"] = png
    return bundle


def _made(
    view: AttentionView,
    ending: str,
    *,
    theme: str,
    scale: float,
    hovered: Mapping[str, int | None],
    budget: int,
) -> bytes:
    # Imported here: they need the view.
    from .figures import as_png, as_svg, look_at
    from .page import page

    if ending == ".html":
        return page(view, budget).html.encode()
    look = look_at(view, theme, hovered)
    return as_svg(look).encode() if ending == ".svg" else as_png(look, scale)


def refuse(path: Path, theme: str, scale: float, endings: Sequence[str] = tuple(TYPES)) -> None:
    """Raise if nothing can be saved as this."""
    from .figures import THEMES

    _refuse_ending(path.suffix.lower(), path.name, endings)
    if path.is_dir() or not path.parent.is_dir():
        raise JtvizError(f"a view cannot be saved as {path}: name a file in a folder that is there.")
    if theme not in THEMES:
        raise JtvizError(f"theme is {' or '.join(map(repr, THEMES))}, not {theme!r}.")
    if not 0 < scale <= LARGEST_SCALE:
        raise JtvizError(f"scale is a number up to {LARGEST_SCALE}, not {scale!r}.")


def _refuse_ending(ending: str, name: str, endings: Sequence[str] = tuple(TYPES)) -> None:
    if ending not in endings:
        raise JtvizError(f"a view is saved as {', '.join(endings)}, not as {name!r}: choose an ending.")


def write(path: Path, data: bytes) -> None:
    """Write a file, whole or not at all."""
    beside = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        beside.write_bytes(data)
        beside.replace(path)
    except OSError as error:
        raise JtvizError(
            f"{path} cannot be written: {error.strerror or os.strerror(error.errno or 0)}."
        ) from error
    finally:
        beside.unlink(missing_ok=True)
