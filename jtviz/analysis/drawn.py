"""Results that become widgets where views are loaded, and words where they are not.

Required: analyses know no views; whoever loads these says how a result is drawn.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

from jtviz.capture import JtvizError


class Drawn:
    """A result that can be shown."""

    DRAWN: ClassVar[dict[str, Callable[[Any], Any]]] = {}
    """How results become widgets, by the names of their classes."""

    def view(self) -> Any:
        """Return it as a widget.

        Raises
        ------
        JtvizError
            If no views are loaded.
        """
        draw = self.DRAWN.get(type(self).__name__)
        if draw is None:
            raise JtvizError("no views are loaded that this could be drawn by: import jtviz.")
        return draw(self)

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, Any]:
        """Show the widget; where there are no views, the words."""
        del include, exclude
        still = {"text/plain": repr(self)}
        try:
            made = self.view()._repr_mimebundle_()
        except JtvizError:
            return still
        live: dict[str, Any] = made[0] if isinstance(made, tuple) else made
        return live | still
