"""What of a view stays: a figure, a page, and a picture for whatever shows a notebook without its widgets.

Required: what cannot be saved is refused with one sentence before any work; a file is there whole or not at
all.
"""

from __future__ import annotations

import base64
import os
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jtviz.capture import JtvizError

if TYPE_CHECKING:
    from .attention import AttentionView

ENDINGS = (".svg", ".png", ".html")
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
    from .figures import as_png, as_svg, look_at
    from .page import page

    path = Path(path)
    _refuse(path, theme, scale)
    pointed = view.selection.check("pinned", hovered)
    if path.suffix.lower() == ".html":
        _write(path, page(view, budget).html.encode())
        return
    look = look_at(view, theme, pointed)
    is_vector = path.suffix.lower() == ".svg"
    _write(path, as_svg(look).encode() if is_vector else as_png(look, scale))


def picture(view: AttentionView) -> str | None:
    """Return a small PNG of a view in base64; None where none can be drawn, so that the view still shows."""
    from .figures import glance

    try:
        return base64.b64encode(glance(view)).decode()
    except Exception:  # noqa: BLE001 - a notebook shows the widget also where this computer cannot draw
        return None


def with_picture(view: AttentionView, bundle: Any) -> Any:
    """Add a picture to what ipywidgets returns for a cell's output: a dict, or a dict and its metadata."""
    data = bundle[0] if isinstance(bundle, tuple) else bundle
    if isinstance(data, dict) and (png := picture(view)) is not None:
        data["image/png"] = png
    return bundle


def _refuse(path: Path, theme: str, scale: float) -> None:
    from .figures import THEMES

    if path.suffix.lower() not in ENDINGS:
        raise JtvizError(f"a view is saved as {', '.join(ENDINGS)}, not as {path.name!r}: choose an ending.")
    if path.is_dir() or not path.parent.is_dir():
        raise JtvizError(f"a view cannot be saved as {path}: name a file in a folder that is there.")
    if theme not in THEMES:
        raise JtvizError(f"theme is {' or '.join(map(repr, THEMES))}, not {theme!r}.")
    if not 0 < scale <= LARGEST_SCALE:
        raise JtvizError(f"scale is a number up to {LARGEST_SCALE}, not {scale!r}.")


def _write(path: Path, data: bytes) -> None:
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
