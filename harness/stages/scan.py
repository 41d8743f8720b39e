"""Scans the artifact on the host, where nothing of it is ever loaded."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

from harness.records import Artifact, Scan, ScannedFile
from harness.scan import scan_file
from harness.scan.known import Category, categorise
from harness.scan.source import Budget
from harness.stages import Recording

SECONDS = 300.0  # for all files together
MAX_SOURCES = 50_000  # files of the project that are looked at for its own modules
_PASSED_OVER = {".git", ".harness", ".tox", ".venv", "venv", "node_modules", "__pycache__", "site-packages"}


def collect(run: Recording, artifact: Artifact) -> Scan:
    """Scan every file of the run folder's artifact, and find out which imports are the project's own code."""
    start = time.monotonic()
    files = tuple(
        scan_file(
            run.folder.path / "artifact" / file.path,
            file.path,
            Budget(seconds=max(SECONDS - (time.monotonic() - start), 0.0)),
        )
        for file in artifact.files
    )
    own = own_modules(run.spec.root, files)
    return Scan(files, own, time.monotonic() - start)


def own_modules(root: Path, files: tuple[ScannedFile, ...]) -> tuple[str, ...]:
    """Return the modules that the artifact imports, that nobody knows, and of which the project holds the source.

    `features.build` is the project's own when a file `features/build.py` or `features/build/__init__.py` lies
    anywhere below it: where its images put it is theirs to say.
    """
    imports = {(i.module, i.name) for file in files for i in file.imports}
    wanted = {module for module, name in imports if categorise(module, name) is Category.UNKNOWN}
    if not wanted:
        return ()
    parts = {tuple(module.split(".")): module for module in wanted}
    longest = max(map(len, parts))
    found = set()
    for path in _sources(root):
        module = path.parts[:-1] if path.name == "__init__.py" else (*path.parts[:-1], path.stem)
        found |= {parts[tail] for n in range(1, longest + 1) if (tail := tuple(module[-n:])) in parts}
    return tuple(sorted(found))


def _sources(root: Path) -> Iterator[Path]:
    seen = 0
    for folder, folders, names in os.walk(root):
        folders[:] = sorted(name for name in folders if name not in _PASSED_OVER)
        for name in names:
            seen += 1
            if seen > MAX_SOURCES:
                return
            if name.endswith(".py"):
                yield (Path(folder) / name).relative_to(root)
