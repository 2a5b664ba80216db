"""A real Jupyter server for the tests: JupyterLab or Notebook 7, on a free port, with its own settings.

Required: nothing of the person's own Jupyter is read or changed, and whatever was started here ends
here, kernels included, even when a test left one stopped or pytest itself was killed.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import nbformat
import psutil

Application = Literal["lab", "notebook"]

# Cells out of sight keep their DOM, nothing is saved behind a test's back, nobody asks for news.
SETTINGS: dict[str, dict[str, object]] = {
    "@jupyterlab/notebook-extension/tracker": {"windowingMode": "none"},
    "@jupyterlab/docmanager-extension/plugin": {"autosave": False},
    "@jupyterlab/apputils-extension/notification": {
        "checkForUpdates": False,
        "doNotDisturbMode": True,
        "fetchNews": "false",
    },
}


@dataclass
class JupyterServer:
    """A running server. ``root`` is the folder it serves, ``url`` has no trailing slash."""

    application: Application
    root: Path
    url: str
    token: str
    process: subprocess.Popen[bytes]
    log: Path

    def address(self, notebook: str) -> str:
        """Return the page that shows a notebook, in a JupyterLab workspace of its own."""
        if self.application == "lab":
            return f"{self.url}/lab/workspaces/{secrets.token_hex(4)}/tree/{notebook}?token={self.token}"
        return f"{self.url}/notebooks/{notebook}?token={self.token}"

    def write_notebook(self, path: str, sources: Sequence[str]) -> str:
        """Put a notebook of code cells into the served folder and return its path."""
        write_notebook(self.root / path, sources)
        return path

    def ask(self, path: str, method: str = "GET") -> Any:
        """Call the server's REST interface (``api/kernels``) and return the answer, decoded."""
        request = urllib.request.Request(  # noqa: S310  # always http://127.0.0.1
            f"{self.url}/{path}", method=method, headers={"Authorization": f"token {self.token}"}
        )
        with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310  # (as above)
            body = answer.read()
        return json.loads(body) if body else None

    def kernel_process(self, kernel_id: str) -> psutil.Process:
        """Return the operating system's process of a kernel."""
        for process in self._children():
            if any(f"kernel-{kernel_id}.json" in argument for argument in _command(process)):
                return process
        raise LookupError(f"The server at {self.url} has no process for kernel {kernel_id}")

    def end_kernels(self) -> None:
        """Shut every session down; a kernel that a test left stopped is woken for it."""
        for process in self._children():
            if process.is_running() and process.status() == psutil.STATUS_STOPPED:
                process.resume()
        for session in self.ask("api/sessions"):
            self.ask(f"api/sessions/{session['id']}", "DELETE")

    def stop(self) -> None:
        """End the server's process group, then whatever kernel outlived it."""
        children = self._children()
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGTERM)
        try:
            self.process.wait(15)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait(5)
        _, alive = psutil.wait_procs(children, timeout=5)
        for process in alive:
            process.kill()
        psutil.wait_procs(alive, timeout=5)

    def _children(self) -> list[psutil.Process]:
        # A kernel leads a session of its own, so the process group does not hold it; its parent does.
        try:
            return psutil.Process(self.process.pid).children(recursive=True)
        except psutil.NoSuchProcess:
            return []


def start_server(application: Application, folder: Path) -> JupyterServer:
    """Start a server that keeps everything it writes under ``folder`` and wait until it answers."""
    root = folder / "root"
    root.mkdir(parents=True)
    settings = folder / "settings"
    for name, values in SETTINGS.items():
        write_setting(settings, name, values)
    environment = {name: value for name, value in os.environ.items() if not name.startswith("JUPYTER")}
    environment |= {
        "IPYTHONDIR": str(folder / "ipython"),
        "JUPYTER_CONFIG_DIR": str(folder / "config"),
        "JUPYTER_DATA_DIR": str(folder / "data"),
        "JUPYTER_RUNTIME_DIR": str(folder / "runtime"),
        "JUPYTERLAB_SETTINGS_DIR": str(settings),
        "JUPYTERLAB_WORKSPACES_DIR": str(folder / "workspaces"),
    }
    port, token = _free_port(), secrets.token_hex(16)
    log = folder / "server.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [
                *_ends_with_us(),
                *(sys.executable, "-m", {"lab": "jupyterlab", "notebook": "notebook"}[application]),
                *("--no-browser", "--allow-root", "--expose-app-in-browser"),
                "--ServerApp.ip=127.0.0.1",
                f"--ServerApp.port={port}",
                "--ServerApp.port_retries=0",
                f"--ServerApp.root_dir={root}",
                f"--IdentityProvider.token={token}",
                "--LabApp.news_url=",
            ],
            cwd=root,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    server = JupyterServer(application, root, f"http://127.0.0.1:{port}", token, process, log)
    try:
        _wait_for_answer(server)
    except BaseException:
        server.stop()
        raise
    return server


def write_setting(settings: Path, name: str, values: dict[str, object]) -> None:
    """Write one plugin's settings as a person's own choice (``@jupyterlab/x-extension/plugin``)."""
    file = settings / f"{name}.jupyterlab-settings"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(values), encoding="utf-8")


def write_notebook(path: Path, sources: Sequence[str]) -> None:
    """Write a notebook of code cells that asks for no kernel choice."""
    notebook = nbformat.v4.new_notebook(
        cells=[nbformat.v4.new_code_cell(source) for source in sources],
        metadata={
            "kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"},
            "language_info": {"name": "python"},
        },
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    nbformat.write(notebook, path)


def _ends_with_us() -> list[str]:
    # A killed pytest runs no fixture's end; where the kernel (Linux) can see to it, let it.
    setpriv = shutil.which("setpriv")
    return [setpriv, "--pdeathsig", "TERM"] if setpriv else []


def _command(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:  # it ended meanwhile
        return []


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait_for_answer(server: JupyterServer, seconds: float = 60) -> None:
    until = time.monotonic() + seconds
    while time.monotonic() < until and server.process.poll() is None:
        try:
            server.ask("api/status")
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            time.sleep(0.2)
        else:
            return
    log = server.log.read_text(encoding="utf-8", errors="replace")
    raise RuntimeError(f"jupyter {server.application} did not answer:\n{log[-3000:]}")
