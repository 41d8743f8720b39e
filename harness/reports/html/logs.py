"""The part of a log that a finding is about: around the last error in it, else its end."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from harness.evidence.records import Evidence
from harness.reports.html.plain import clean, cut

LINES = 14  # of an excerpt
BEFORE = 8  # of them before the line that tells of the error
MAX_WIDTH = 240  # characters of a line
MAX_READ = 256 * 1024  # bytes from the end of a log: it may hold gigabytes
TELLING = re.compile(r"^(?:\w+(?:\.\w+)*(?:Error|Exception)\b|.*\b(?:ERROR|CRITICAL|FATAL|Traceback|Killed|panic)\b)")
# Check, or its subject, -> the log that its evidence left.
FILES = {
    "code.unit-tests": "code/unit-tests.txt",
    "code.api": "skew/log.txt",
    "contract.skew": "skew/log.txt",
    "contract.fuzz": "fuzz/log.txt",
    "artifact.loads": "serve/log.txt",
    "serve.ready-is-honest": "robustness/artifact-missing.txt",
    "serve.hermetic": "robustness/hermetic.txt",
    "train.overfits-small-batch": "trainings/small-batch/log.txt",
    "train.learns-signal": "trainings/shuffled/log.txt",
    "train.deterministic": "trainings/again/log.txt",
    "train.hermetic": "trainings/again/log.txt",
    "train.seed-matters": "trainings/seed/log.txt",
    "train.exit-code-truth": "trainings/no-column/log.txt",
    "train.interruptible": "trainings/interrupted/log.txt",
    "artifact": "train/log.txt",
    "train": "train/log.txt",
    "serve": "serve/log.txt",
    "contract": "serve/log.txt",
}


@dataclass(frozen=True)
class Excerpt:
    """Some lines of a log."""

    file: str
    what: str  # which lines they are
    lines: tuple[str, ...]


def log_of(check: str, folder: Path, evidence: Evidence) -> Excerpt | None:
    """Return the lines that belong to a check; None where nothing was printed or nothing belongs to it."""
    if check.startswith("images."):
        tail = evidence.images.log_tail if evidence.images else ()
        return excerpt("images.json", list(tail)) if tail else None
    file = FILES.get(check) or FILES.get(check.partition(".")[0])
    return read(folder, file) if file else None


def read(folder: Path, file: str) -> Excerpt | None:
    """Read the end of a log of the run folder; None where there is none. A link is not followed: it may lead out."""
    path = folder / file
    try:
        if path.is_symlink() or not path.is_file():
            return None
        with path.open("rb") as stream:
            stream.seek(max(0, path.stat().st_size - MAX_READ))
            lines = stream.read(MAX_READ).decode("utf-8", "replace").splitlines()
    except OSError:
        return None
    return excerpt(file, lines)


def excerpt(file: str, lines: list[str]) -> Excerpt | None:
    """Choose the lines around the last error, else the last ones."""
    shown = [cut(clean(line), MAX_WIDTH) for line in lines]
    while shown and not shown[-1].strip():
        shown.pop()
    if not shown:
        return None
    error = next((n for n in range(len(shown) - 1, -1, -1) if TELLING.match(shown[n])), None)
    if error is None or error >= len(shown) - (LINES - BEFORE):
        what = "all lines" if len(shown) <= LINES else f"last {LINES} lines"
        return Excerpt(file, what, tuple(shown[-LINES:]))
    start = max(0, error - BEFORE)
    return Excerpt(file, f"{LINES} lines around the last error", tuple(shown[start : start + LINES]))
