"""A headless Chromium: that of the system, as the browsers that Playwright downloads are not reachable everywhere."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, sync_playwright
from turns import turn

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
INSTALL = ["apt-get", "-o", "DPkg::Lock::Timeout=300", "install", "-y", "--no-install-recommends", "chromium"]


def _found() -> str | None:
    return os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, NAMES)), None)


@pytest.fixture(scope="session")
def chromium() -> str:
    """The program; root installs it on Debian. Without one the tests fail: a skip would look like a success."""
    with turn(Path(tempfile.gettempdir()) / f"harness-browser-tests-{os.getuid()}", alone=True):
        if not _found() and os.geteuid() == 0 and shutil.which("apt-get"):  # the first worker; the others find it
            for command in (["apt-get", "update"], INSTALL):
                done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
                if done.returncode:
                    pytest.fail(f"`{' '.join(command)}` failed: {done.stderr[-500:]}")
    found = _found()
    if not found:
        pytest.fail(
            "no Chromium on this machine, and these tests need one: "
            "`apt-get install --no-install-recommends chromium`, or name the program in CHROMIUM"
        )
    return found


@pytest.fixture(scope="session")
def browser(chromium: str) -> Iterator[Browser]:
    """One browser for all tests."""
    with sync_playwright() as playwright:
        sandbox = [] if os.geteuid() else ["--no-sandbox"]  # Chromium refuses its sandbox to root
        found = playwright.chromium.launch(executable_path=chromium, args=sandbox)
        yield found
        found.close()


@pytest.fixture
def saved(tmp_path: Path) -> Callable[[str], str]:
    """Write a page and return its URL."""

    def save(page: str) -> str:
        file = tmp_path / "report.html"
        file.write_text(page, encoding="utf-8")
        return file.as_uri()

    return save
