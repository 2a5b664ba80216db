"""Close widgets with all that they are made of: marks, axes, scales and layouts of a chart.

Required: nothing of a closed view is left among the kernel's widgets.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import ipywidgets


def close_all(*widgets: Any) -> None:
    """Close widgets and every widget in their traits."""
    for widget in {id(found): found for found in _inside(widgets, set())}.values():
        widget.close()


def _inside(value: Any, seen: set[int]) -> Iterator[Any]:
    if isinstance(value, ipywidgets.Widget):
        if id(value) in seen:
            return
        seen.add(id(value))
        yield value
        for name in value.keys:
            yield from _inside(getattr(value, name, None), seen)
    elif isinstance(value, Mapping):
        for part in value.values():
            yield from _inside(part, seen)
    elif isinstance(value, list | tuple):
        for part in value:
            yield from _inside(part, seen)
