"""What people install: the wheel holds what it must and nothing else, and importing it is quick."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

BUNDLE_LIMIT = 60_000  # bytes; Jupyter sends a bundle once per widget instance
MODEL_LIMIT = 8_000_000  # bytes; all embedded models together

MEASURE = """
import sys, time
import torch, ipywidgets
before = set(sys.modules)
started = time.perf_counter()
import jtviz
print(time.perf_counter() - started)
print(*sorted({name.partition(".")[0] for name in set(sys.modules) - before}))
"""


@pytest.fixture(scope="module")
def wheel(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[zipfile.ZipFile]:
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation"]
    environment = {name: value for name, value in os.environ.items() if name != "JTVIZ_SKIP_FRONT_END"}
    done = subprocess.run(
        [*command, "--wheel-dir", folder, repository],
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    (file,) = folder.glob("jtviz-*.whl")
    with zipfile.ZipFile(file) as opened:
        yield opened


@pytest.mark.parametrize(("view", "at_least"), [("attention", 5_000), ("selection", 200)])
def test_the_wheel_holds_the_built_front_end(wheel: zipfile.ZipFile, view: str, at_least: int) -> None:
    bundle = wheel.read(f"jtviz/static/{view}.js").decode()
    assert at_least <= len(bundle.encode()) <= BUNDLE_LIMIT
    assert "sourceMappingURL" not in bundle
    assert "export" in bundle


def test_the_wheel_holds_the_embedded_models_and_stays_small(
    wheel: zipfile.ZipFile, repository: Path
) -> None:
    demo = {e.filename: e for e in wheel.infolist() if e.filename.startswith("jtviz/demo/")}
    weights = repository / "jtviz" / "demo" / "weights"
    shipped = {file.relative_to(repository).as_posix() for file in weights.rglob("*.[js]*") if file.is_file()}
    assert len([name for name in shipped if name.endswith(".safetensors")]) == 4
    assert len([name for name in shipped if name.endswith("card.json")]) == 3
    assert shipped <= set(demo)
    assert sum(entry.compress_size for entry in demo.values()) <= MODEL_LIMIT


def test_the_wheel_holds_the_package_and_nothing_else(wheel: zipfile.ZipFile) -> None:
    names = wheel.namelist()
    assert {name.partition("/")[0].partition("-")[0] for name in names} == {"jtviz"}
    assert "jtviz/py.typed" in names
    assert any(name.endswith("licenses/LICENSE") for name in names)
    unwanted = [name for name in names if name.endswith((".pyc", ".ts", ".map", ".built", ".tsv", ".pt"))]
    assert not unwanted


def test_importing_jtviz_is_quick_and_leaves_the_optional_libraries_alone() -> None:
    seconds = []
    # As it is once installed: compiled.
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    for _ in range(3):
        printed = subprocess.run(
            [sys.executable, "-c", MEASURE], check=True, capture_output=True, text=True, env=environment
        )
        time, modules = printed.stdout.splitlines()
        seconds.append(float(time))
        assert "jtviz" in modules.split()
        assert not {"transformers", "captum", "bqplot", "matplotlib", "pandas", "sklearn"} & set(
            modules.split()
        )
    # On top of torch and ipywidgets; the best of three, because a busy machine is not our doing.
    assert min(seconds) < 0.3


ROOMS = ("tokens", "capture", "analysis", "views")
"""In the order in which a sentence walks through them."""


def test_no_room_imports_one_further_along(repository: Path) -> None:
    for place, room in enumerate(ROOMS):
        for path in (repository / "jtviz" / room).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
                if isinstance(node, ast.ImportFrom):
                    inside = path.relative_to(repository).parts[:-1]
                    start = ".".join(inside[: len(inside) - node.level + 1]) if node.level else ""
                    names = [".".join(part for part in (start, node.module) if part)]
                for name in names:
                    own = name.split(".")
                    further = {f"jtviz.{other}" for other in (*ROOMS[place + 1 :], "show")}
                    assert ".".join(own[:2]) not in further, f"{path} imports {name}"
