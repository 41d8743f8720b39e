"""Opens the store that a text names: a folder, or a repository of a registry."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from harness.config.reference import DIGEST, SCHEME, Reference
from harness.errors import DescriptionError, TamperedError
from harness.store.folder import Folder, is_store
from harness.store.oci import ArtifactStore
from harness.store.registry import connected


def is_stored(where: str) -> bool:
    """Whether a text names a registry, or a folder that is a store."""
    return where.startswith(SCHEME) or is_store(_folder(where).path)


def reference_of(where: str, *, plain_http: bool) -> Reference | None:
    """Return the reference that a text is; None for a folder. Raises DescriptionError."""
    if not where.startswith(SCHEME):
        return None
    try:
        return Reference.parse(where, plain_http=plain_http)
    except ValueError as exc:
        raise DescriptionError(str(exc), hint=f"For example {SCHEME}127.0.0.1:5000/models/penguins:v1") from exc


@contextmanager
def opened(where: str, *, root: Path | None = None, plain_http: bool = False) -> Iterator[ArtifactStore]:
    """Open a store for reading: DIR[@DIGEST] or oci://...

    A folder is relative to `root`, by default to the current one. Whatever is wrong with what a store holds becomes a
    TamperedError.
    """
    reference = reference_of(where, plain_http=plain_http)
    try:
        if reference is None:
            yield _folder(where, root)
            return
        with connected(reference) as registry:
            yield registry
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as exc:
        raise TamperedError(f"{where} is broken: {exc!r}", hint="Publish the artifact again, to a new place.") from exc


def _folder(where: str, root: Path | None = None) -> Folder:
    name, _, digest = where.rpartition("@")
    if not name or not DIGEST.fullmatch(digest):
        name, digest = where, ""
    return Folder((root or Path()) / name, digest)
