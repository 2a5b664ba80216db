"""Find a Chromium for the browser tests, and on request see to it that there is one.

Run as ``python tests/browser/find_browser.py [--install]``: prints the browser's path.
The order is ``$JTVIZ_CHROMIUM``, a Chromium or Chrome on the PATH, then Playwright's own.
``--install`` asks Playwright for its Chromium and, where its download is out of reach and apt-get
may be used, Debian for the package; also for Chinese glyphs, which the screenshots need.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
from pathlib import Path

from playwright.sync_api import sync_playwright

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
ADVICE = "No Chromium was found: run `make setup`, or set JTVIZ_CHROMIUM to the path of one."


def find_browser() -> Path | None:
    """Return the browser to test with, or None where there is none."""
    chosen = os.environ.get("JTVIZ_CHROMIUM")
    if chosen:
        return Path(chosen)
    for name in NAMES:
        if found := shutil.which(name):
            return Path(found)
    with sync_playwright() as playwright:
        own = Path(playwright.chromium.executable_path)
    return own if own.exists() else None


def install_browser() -> None:
    """Have Playwright or, failing that, Debian install a Chromium."""
    done = subprocess.run(
        [sys.executable, "-m", "playwright", "install", "chromium"], check=False, stdin=subprocess.DEVNULL
    )
    if done.returncode != 0 and may_use_apt():
        apt_install("chromium")


def install_chinese_glyphs() -> None:
    """Install a font with Chinese glyphs where none is there and apt-get may be used."""
    if shutil.which("fc-list") is None or not may_use_apt():
        return
    fonts = subprocess.run(["fc-list", ":lang=zh"], capture_output=True, text=True, check=False)
    if not fonts.stdout.strip():
        apt_install("fonts-noto-cjk")


def may_use_apt() -> bool:
    return shutil.which("apt-get") is not None and os.geteuid() == 0


def apt_install(package: str) -> None:
    quiet = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for arguments in (["update", "-qq"], ["install", "-qq", "--yes", "--no-install-recommends", package]):
        subprocess.run(["apt-get", *arguments], env=quiet, check=True, stdin=subprocess.DEVNULL)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--install", action="store_true", help="install one where there is none")
    if parser.parse_args().install:
        if find_browser() is None:
            install_browser()
        install_chinese_glyphs()
    found = find_browser()
    print(found or ADVICE)
    return 0 if found else 1


if __name__ == "__main__":
    raise SystemExit(main())
