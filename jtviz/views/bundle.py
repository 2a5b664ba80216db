"""Where a view's built front end is."""

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
