"""The widget of an explanation: its parts as an attribution view, with what is known of their worth.

Required: analyses know no views; this module tells them how they are drawn when it is loaded.
"""

from __future__ import annotations

from typing import Any

import ipywidgets

from jtviz.analysis import Explanation
from jtviz.capture import JtvizError, Trace

from .attribution import AttributionView
from .trusted import trusted


def explanation_view(found: Explanation) -> Any:
    """Return an explanation as a widget, linked with every view of the same text.

    Parameters
    ----------
    found : Explanation
        What `jtviz.explain` returned.

    Returns
    -------
    AttributionView
        Of several readings (``"zero-shot"``) one below the other, as an `ipywidgets.VBox`.

    Raises
    ------
    JtvizError
        If there is nothing to show, or the model is gone or changed.
    """
    title = f"{found.task}: {found.prediction}"
    if not found.parts:
        raise JtvizError(f"there is nothing to show: {found.prediction}.")
    traces = found.traces
    if len(set(traces)) == 1:
        return _view(traces[0], found, title)
    parts = zip(traces, found, found.names, strict=True)
    return ipywidgets.VBox([_view(trace, one, f"{title}: {name}") for trace, one, name in parts])


def _view(trace: Trace, found: Explanation, title: str) -> AttributionView:
    view = AttributionView(trace, found.parts, how=found.how, title=title)
    view.trusts = dict(enumerate(found.trust or ()))
    view.trusted = {str(number): trusted(one) for number, one in view.trusts.items()}
    return view


Explanation.drawn_by = explanation_view
