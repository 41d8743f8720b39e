"""Looks for trained models among the files that git tracks."""

from __future__ import annotations

import re
from pathlib import Path, PurePosixPath

from harness.evidence.records import Tracked, TrackedFile
from harness.project import git
from harness.project.git import IndexEntry, NoRepositoryError
from harness.runner.stages import Recording
from harness.scanner.recognise import model_format

MAX_FILES = 50_000  # files that are opened; their first bytes are read
MAX_MODELS = 100
POINTER = 1024  # bytes; a pointer of Git LFS has about 130
_LFS = "version https://git-lfs"
_HEAD = 64 * 1024
_NAME = re.compile(
    r"\.(?:pkl|pickle|joblib|dill|cloudpickle|skops|pt|pth|ckpt|h5|hdf5|keras|tflite|onnx|safetensors|gguf|ubj|cbm|bst)"
    r"(?:\.(?:gz|z|bz2|xz|lzma|lz4|zst))?$",
    re.IGNORECASE,
)


def collect(run: Recording) -> Tracked:
    """Look at every file of the index by its name and its first bytes."""
    root = run.spec.root
    try:
        entries = list(git.tracked(root))
        return _look(root, entries)
    except NoRepositoryError as exc:
        return Tracked(skipped=str(exc))


def _look(root: Path, entries: list[IndexEntry]) -> Tracked:
    found: list[TrackedFile] = []
    pointers = sum(entry.path.endswith(".dvc") for entry in entries)
    for entry in entries[:MAX_FILES]:
        reason = _reason(root / entry.path, entry.path)
        if reason is None or len(found) >= MAX_MODELS:
            continue
        # The working tree holds what a pointer of LFS stands for: git's own copy decides.
        size = git.size(root, entry.blob)
        if size <= POINTER and git.text(root, entry.blob).startswith(_LFS):
            pointers += 1
        elif size:
            found.append(TrackedFile(entry.path, size, reason))
    return Tracked(tuple(found), min(len(entries), MAX_FILES), pointers, unread=max(len(entries) - MAX_FILES, 0))


def _reason(path: Path, name: str) -> str | None:
    """Return why a file looks like a model, None where it does not."""
    if _NAME.search(PurePosixPath(name).name):
        return "by its name"
    try:
        if path.is_symlink():
            return None
        with path.open("rb") as file:
            head = file.read(_HEAD)
            size = path.stat().st_size
    except OSError:
        return None  # deleted in the working tree, or a name that is no text
    found = model_format(head, size)
    return f"{found} by its content" if found else None
