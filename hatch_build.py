"""Build the front end (js/ -> jtviz/static/) whenever a wheel is built.

Required: a wheel never lacks its front end by accident, and whoever cannot build it is told why in
one sentence. ``JTVIZ_SKIP_FRONT_END=1`` skips the build; an editable install skips it when the
bundles are there already (``make watch`` keeps those fresh).
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class FrontEnd(BuildHookInterface):  # type: ignore[type-arg]  # its type parameter is hatchling's own affair
    """The hook hatchling calls before it collects the files of a wheel."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:  # noqa: ARG002  # a fixed signature
        """Build the front end; ``version`` is ``"standard"`` or ``"editable"``."""
        root = Path(self.root)
        built = any((root / "jtviz" / "static").glob("*.js"))
        if os.environ.get("JTVIZ_SKIP_FRONT_END") == "1" or (version == "editable" and built):
            return
        npm = shutil.which("npm")
        if npm is None:
            raise RuntimeError(
                "Node 20 or newer is needed to build jtviz from source, and npm was not found on the PATH: "
                "install Node from https://nodejs.org, or jtviz from a wheel (pip install jtviz)."
            )
        if not (root / "js" / "node_modules").is_dir():
            self._run(npm, "ci")
        self._run(npm, "run", "build")

    def _run(self, *command: str) -> None:
        done = subprocess.run(
            command,
            cwd=Path(self.root) / "js",
            text=True,
            capture_output=True,
            check=False,
            stdin=subprocess.DEVNULL,
        )
        if done.returncode != 0:
            raise RuntimeError(
                f"Building the front end failed at `npm {' '.join(command[1:])}`:\n{done.stdout}{done.stderr}"
            )
