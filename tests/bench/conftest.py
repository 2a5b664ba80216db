"""The benchmarks look at the view where its users do: in the browser tests' JupyterLab."""

from tests.browser.conftest import browser, context, lab, lab_server, open_notebook, page

__all__ = ["browser", "context", "lab", "lab_server", "open_notebook", "page"]
