"""Whether a folder of wheels belongs to a hash-locked requirements file."""

from __future__ import annotations

import hashlib
from pathlib import Path

STAMP = ".requirements.sha256"  # written last: a folder with the right stamp is complete


def digest(requirements: Path) -> str:
    """Return the SHA-256 of a requirements file."""
    return hashlib.sha256(requirements.read_bytes()).hexdigest()


def is_current(requirements: Path, folder: Path) -> bool:
    """Whether `folder` was filled from this very requirements file; several may share one folder."""
    stamp = folder / STAMP
    return stamp.is_file() and digest(requirements) in stamp.read_text().split()
