"""Where a view's built front end is."""

import os
from pathlib import Path

STATIC = Path(__file__).parent.parent / "static"


def bundle(name: str) -> Path:
    """Return the path of ``static/NAME.js``.

    Raises
    ------
    ImportError
        If it was not built, as in a checkout where nobody ran ``make setup`` yet.
    """
    path = STATIC / f"{name}.js"
    if not path.is_file():
        msg = f"The front end of jtviz is not built ({path.name} is missing): run 'make setup' in its folder."
        raise ImportError(msg)
    return path


def front_end(name: str) -> str | Path:
    """Return the code of a view: its text, or with ``ANYWIDGET_HMR`` its path, which is watched.

    What anywidget is given a path of, it keeps every widget alive for: all of them hear of a change.
    """
    path = bundle(name)
    return path if os.environ.get("ANYWIDGET_HMR") else path.read_text(encoding="utf-8")
