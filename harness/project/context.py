"""Build contexts: what a build would see, copied, or summed up in one fingerprint."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from harness.engine import context_files
from harness.evidence.run_folder import STORE
from harness.project.file_hash_cache import Hashes

# With one of these, more than the context decides what a build gives.
BEYOND_THE_CONTEXT = ("additional_contexts", "secrets", "ssh", "no_cache", "pull", "cache_from", "network")


def copy_context(source: Path, target: Path, dockerfile: str = "Dockerfile") -> None:
    """Copy what a build would see, without the harness's own folder and git's."""
    for name in files_of(source, dockerfile):
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        if (source / name).is_dir() and not (source / name).is_symlink():
            (target / name).mkdir(exist_ok=True)
        else:
            shutil.copy2(source / name, target / name, follow_symlinks=False)


def put_into(context: Path, name: str, artifact: Path) -> None:
    """Put the files of an artifact below a path in the copy of a context, in place of what is there.

    A symbolic link on the way is replaced, never followed: it may lead out of the copy.
    """
    for source in sorted(artifact.rglob("*")):
        if source.is_dir():
            continue
        target = context / name / source.relative_to(artifact)
        for place in (target, *target.parents[: len(target.relative_to(context).parts) - 1]):
            if place.is_symlink():
                place.unlink()
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(source, target)


def fingerprint(
    build: Mapping[str, Any], dockerfile: str, bases: Mapping[str, str], seen: dict[Path, str], hashes: Hashes
) -> str | None:
    """Return a SHA-256 over all that decides what a build gives; None where that cannot be known.

    `dockerfile` is its text, `bases` are the base images with their IDs.
    `seen` remembers the contexts of one run, for images that share one.
    """
    if any(build.get(key) for key in BEYOND_THE_CONTEXT):
        return None
    context = Path(build["context"])
    if not context.is_dir():
        return None  # a URL, say
    if context not in seen:
        seen[context] = _digest(context, build.get("dockerfile", "Dockerfile"), hashes)
    parts = [{**build, "context": ""}, dockerfile, dict(bases), seen[context]]  # where the context lies is no input
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def context_hashes(root: Path, hashes: Hashes, dockerfile: str = "Dockerfile") -> dict[Path, str]:
    """Return the files that a build would see with their SHA-256; nothing for a context that is no folder here."""
    found = {}
    for name in files_of(root, dockerfile) if root.is_dir() else ():
        path = root.resolve() / name
        if path.is_file() and not path.is_symlink():
            found[path] = hashes.of(path)
    return found


def _digest(context: Path, dockerfile: str, hashes: Hashes) -> str:
    """Hash names, modes and contents, as the engine's own build cache does (it leaves out the times)."""
    whole = hashlib.sha256()
    for name in files_of(context, dockerfile):
        path = context.resolve() / name
        if path.is_symlink():
            content = f"-> {path.readlink()}"
        elif path.is_file():
            content = hashes.of(path)
        else:
            content = "folder"
        whole.update(f"{name}\0{path.lstat().st_mode:o}\0{content}\n".encode())
    return whole.hexdigest()


def files_of(root: Path, dockerfile: str) -> list[str]:
    """Return what a build would see of its context, without the harness's own folder and git's."""
    return [name for name in context_files(root, dockerfile) if Path(name).parts[0] not in (STORE, ".git")]
