"""An artifact store in a folder: an OCI image layout, to which artifacts are published by digest.

`oras pull --oci-layout` and `oras copy --from-oci-layout` take artifacts from here. Source: OCI image specification
1.1, "Image Layout".
"""

from __future__ import annotations

import fcntl
import json
import os
import secrets
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.config.reference import DIGEST
from harness.errors import DescriptionError, InfrastructureError, NotPublishedError, TamperedError
from harness.evidence.provenance import CHUNK
from harness.evidence.run_folder import disk_errors, write_atomic
from harness.store.oci import ARTIFACT, INDEX, Blob, Descriptor, OciManifest, Publication, verified

REFERENCE = "org.opencontainers.image.ref.name"
LAYOUT = "oci-layout"


def is_store(path: Path) -> bool:
    """Whether a folder is in the OCI image layout."""
    return (path / LAYOUT).is_file()


def publish(publication: Publication, to: Path) -> None:
    """Put an artifact, and what is said of it, into a store.

    What is there already stays; the index comes last, so that a reader sees an artifact as a whole or not at all.
    Raises DescriptionError where a file is no longer the one that the run recorded, or `to` holds something else.
    """
    if to.exists() and not is_store(to) and (not to.is_dir() or any(to.iterdir())):
        raise DescriptionError(f"{to} holds something else than an artifact store", hint="Name a new folder.")
    with disk_errors(to), _locked(to):
        write_atomic(to / LAYOUT, '{"imageLayoutVersion": "1.0.0"}')
        for blob in publication.blobs:
            _put(to, blob)
        manifests = [publication.artifact, *publication.referrers]
        for manifest in manifests:
            _put(to, Blob(manifest.digest, len(manifest.content), manifest.content))
        _list(to, manifests)


@dataclass(frozen=True)
class Folder:
    """A store to read from."""

    path: Path
    digest: str = ""  # where given it is of this artifact alone

    def artifacts(self) -> Sequence[str]:
        """Return the digests of the artifacts, the last published last. Raises NotPublishedError."""
        if not is_store(self.path):
            if not self.path.exists() or (self.path.is_dir() and not any(self.path.iterdir())):
                raise NotPublishedError(f"nothing is published yet in {self.path}", hint="`harness publish` does.")
            raise DescriptionError(f"{self.path} is no artifact store", hint="Name a folder that publish made.")
        found = [digest for digest, manifest in self._manifests() if manifest.get("artifactType") == ARTIFACT]
        if self.digest and self.digest not in found:
            raise NotPublishedError(
                f"{self.path} holds no {self.digest}", hint=f"The newest is {found[-1:] or 'none'}."
            )
        if not found:
            raise NotPublishedError(f"nothing is published yet in {self.path}", hint="`harness publish` adds one.")
        return [self.digest] if self.digest else found

    def referrers(self, digest: str) -> Sequence[str]:
        """Return the digests of the manifests that refer to one, the oldest first."""
        return [key for key, manifest in self._manifests() if manifest.get("subject", {}).get("digest") == digest]

    def manifest(self, digest: str) -> bytes:
        """Return what is stored under a digest."""
        return _blob(self.path, digest).read_bytes()

    def chunks(self, digest: str) -> Iterator[bytes]:
        """Yield what is stored under a digest, in pieces."""
        with _blob(self.path, digest).open("rb") as stream:
            while chunk := stream.read(CHUNK):
                yield chunk

    def _manifests(self) -> Iterator[tuple[str, Any]]:
        """Yield all manifests that the index names. Raises TamperedError."""
        for entry in _index(self.path)["manifests"]:
            yield entry["digest"], json.loads(verified(self.chunks(entry["digest"]), entry["digest"]))


def _index(path: Path) -> Any:
    file = path / "index.json"
    if not file.is_file():
        return {"schemaVersion": 2, "mediaType": INDEX, "manifests": []}
    return json.loads(file.read_text(encoding="utf-8"))


def _blob(path: Path, digest: str) -> Path:
    if not DIGEST.fullmatch(digest):
        raise DescriptionError(f"{path}: expected a digest sha256:<64 hex digits>, received {digest!r}")
    blob = path / "blobs" / "sha256" / digest.partition(":")[2]
    if not blob.is_file():
        raise TamperedError(f"{blob} is missing", hint="Publish the artifact again.")
    return blob


@contextmanager
def _locked(to: Path) -> Iterator[None]:
    """Let one process at a time add to a store."""
    to.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(to, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _put(to: Path, blob: Blob) -> None:
    """Store a blob under its digest."""
    target = to / "blobs" / "sha256" / blob.digest.partition(":")[2]
    if target.is_file():
        return
    with _new(target) as temporary:
        if isinstance(blob.source, bytes):
            temporary.write_bytes(blob.source)
            return
        blob.checked()
        shutil.copyfile(blob.source, temporary)
        Blob(blob.digest, blob.size, temporary).checked()  # nobody wrote to it meanwhile


@contextmanager
def _new(target: Path) -> Iterator[Path]:
    """Yield a temporary path that becomes `target` at the end, unless the block raises."""
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f".{target.name}.{secrets.token_hex(4)}")
    try:
        yield temporary
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)


def _list(to: Path, manifests: Sequence[OciManifest]) -> None:
    """Put manifests at the end of the index, where the newest stands; what else is there stays as it is."""
    entries: list[Descriptor] = [each.descriptor for each in manifests]
    entries[0]["annotations"] = {REFERENCE: manifests[0].digest.partition(":")[2][:12]}
    new = {each.digest for each in manifests}
    try:
        index = _index(to)
        index["manifests"] = [entry for entry in index["manifests"] if entry["digest"] not in new] + entries
    except (ValueError, KeyError, TypeError) as exc:
        raise InfrastructureError(f"{to}/index.json is broken: {exc!r}", hint="Publish to a new folder.") from exc
    write_atomic(to / "index.json", json.dumps(index, indent=1))
