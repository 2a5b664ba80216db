"""A view that stays in the output of a cell.

Required: works in a saved notebook without a kernel; a reader that runs no scripts shows a picture.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from .keep import picture
from .page import page

if TYPE_CHECKING:
    from .attention import AttentionView

# The picture lies under the frame: whoever removes the frame, as Jupyter does where it trusts a notebook
# not, leaves the picture.
HTML = (
    '<div style="position:relative;height:{height}px;overflow:hidden">{picture}'
    '<iframe title="jtviz attention" width="100%" height="{height}" frameborder="0" loading="lazy"'
    ' sandbox="allow-scripts" style="position:absolute;left:0;top:0;width:100%;border:0"'
    " srcdoc='{page}'></iframe></div>"
)
ROW = 24
TALLEST = 528
AROUND = 232
"""Pixels of everything but the picture."""


@dataclass(frozen=True)
class Frozen:
    """A view as it was, with its data. Made by `AttentionView.freeze`."""

    html: str = field(repr=False)
    png: str | None = field(repr=False)
    said: str
    contents: str

    def __repr__(self) -> str:
        """Say what is in it."""
        return f"Frozen({self.contents})"

    def _repr_mimebundle_(self, **_: Any) -> dict[str, str]:
        bundle = {"text/plain": f"{self!r} of {self.said}", "text/html": self.html}
        return bundle if self.png is None else {**bundle, "image/png": self.png}


def freeze(view: AttentionView, budget: int) -> Frozen:
    """Do what `AttentionView.freeze` promises."""
    made, png = page(view, budget), picture(view)
    tokens = view.trace.tokens
    height = AROUND + min(TALLEST, ROW * max(map(len, tokens.values())))
    under = (
        f'<img alt="" src="data:image/png;base64,{png}" style="max-width:100%;max-height:100%">'
        if png
        else ""
    )
    html = HTML.format(
        height=height,
        picture=under,
        page=made.html.replace("&", "&amp;").replace("'", "&#39;"),
    )
    return Frozen(html, png, repr(view), made.contents)
