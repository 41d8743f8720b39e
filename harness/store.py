"""An artifact store: a folder in the OCI image layout, to which artifacts are published by digest.

Each artifact is an OCI manifest with a layer for each file, its name in the annotation `org.opencontainers.image.title`
as ORAS writes it, so that `oras pull --oci-layout` and `oras copy --from-oci-layout` take it from here to a registry.
Its provenance is a manifest of its own that refers to it (`subject`). Source: OCI image specification 1.1, "Image
Layout", "Image Manifest" (artifact usage and `subject`).
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import re
import secrets
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.errors import DescriptionError, InfrastructureError
from harness.evidence import disk_errors, write_atomic
from harness.provenance import FILE, PREDICATE, Statement, hash_file, parse_statement
from harness.records import FileHash

ARTIFACT = "application/vnd.ml-container-harness.model.v1"
IN_TOTO = "application/vnd.in-toto+json"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"
EMPTY = {
    "mediaType": "application/vnd.oci.empty.v1+json",
    "digest": f"sha256:{hashlib.sha256(b'{}').hexdigest()}",
    "size": 2,
}
TITLE = "org.opencontainers.image.title"
REFERENCE = "org.opencontainers.image.ref.name"
LAYOUT = "oci-layout"
_DIGEST = re.compile(r"^sha256:[0-9a-f]{64}$")

Descriptor = dict[str, Any]


@dataclass(frozen=True)
class Stored:
    """One artifact of a store: its digest, its files with their SHA-256, and what is said of it."""

    digest: str
    files: dict[str, str]
    statements: tuple[Statement, ...]


def is_store(path: Path) -> bool:
    """Whether a folder is in the OCI image layout."""
    return (path / LAYOUT).is_file()


def publish(folder: Path, files: Sequence[FileHash], said: Statement, to: Path) -> str:
    """Put an artifact and its provenance into a store; return the artifact's digest.

    What is there already stays; the index comes last, so that a reader sees an artifact as a whole or not at all.
    Raises DescriptionError where a file is no longer the one that the run recorded, or `to` holds something else.
    """
    if to.exists() and not is_store(to) and any(to.iterdir()):
        raise DescriptionError(f"{to} holds something else than an artifact store", hint="Name a new folder.")
    with disk_errors(to), _locked(to):
        write_atomic(to / LAYOUT, '{"imageLayoutVersion": "1.0.0"}')
        _put(to, b"{}")
        layers = [_put_file(to, folder / file.path, file) for file in files]
        model = _put_manifest(to, {"artifactType": ARTIFACT, "config": EMPTY, "layers": layers})
        text = json.dumps(said, sort_keys=True).encode()
        about = {TITLE: FILE, "in-toto.io/predicate-type": PREDICATE}
        layer = {**_put(to, text), "mediaType": IN_TOTO, "annotations": about}
        link = {key: model[key] for key in ("mediaType", "digest", "size")}
        referrer = {"artifactType": IN_TOTO, "config": EMPTY, "layers": [layer], "subject": link}
        reference = {REFERENCE: model["digest"].partition(":")[2][:12]}
        _list(to, [{**model, "annotations": reference}, _put_manifest(to, referrer)])
    return str(model["digest"])


def stored(path: Path) -> Iterator[Stored]:
    """Yield the artifacts of a store. Raises DescriptionError where it is broken; a blob that was changed is named."""
    manifests = {entry["digest"]: _manifest(path, entry) for entry in _index(path)["manifests"]}
    for digest, manifest in manifests.items():
        if manifest.get("artifactType") != ARTIFACT:
            continue
        referrers = [m for m in manifests.values() if m.get("subject", {}).get("digest") == digest]
        statements = [
            parse_statement(_blob(path, layer["digest"]).read_bytes(), f"the provenance of {digest}")
            for referrer in referrers
            for layer in referrer["layers"]
            if layer["mediaType"] == IN_TOTO
        ]
        files = {layer["annotations"][TITLE]: hash_file(_blob(path, layer["digest"])) for layer in manifest["layers"]}
        yield Stored(digest, files, tuple(statements))


def _manifest(path: Path, entry: Descriptor) -> Any:
    blob = _blob(path, entry["digest"])
    if f"sha256:{hash_file(blob)}" != entry["digest"]:
        raise DescriptionError(f"{blob} is not what its name says", hint="Publish the artifact again, to a new folder.")
    return json.loads(blob.read_bytes())


def _index(path: Path) -> Any:
    file = path / "index.json"
    if not file.is_file():
        return {"schemaVersion": 2, "mediaType": INDEX, "manifests": []}
    return json.loads(file.read_text(encoding="utf-8"))


def _blob(path: Path, digest: str) -> Path:
    if not _DIGEST.match(digest):
        raise DescriptionError(f"{path}: expected a digest sha256:<64 hex digits>, received {digest!r}")
    blob = path / "blobs" / "sha256" / digest.partition(":")[2]
    if not blob.is_file():
        raise DescriptionError(f"{blob} is missing", hint="Publish the artifact again.")
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


def _put(to: Path, content: bytes) -> Descriptor:
    """Store bytes under their digest; return their descriptor."""
    digest = hashlib.sha256(content).hexdigest()
    target = to / "blobs" / "sha256" / digest
    if not target.is_file():
        with _new(target) as temporary:
            temporary.write_bytes(content)
    return {"digest": f"sha256:{digest}", "size": len(content)}


def _put_file(to: Path, source: Path, file: FileHash) -> Descriptor:
    target = to / "blobs" / "sha256" / file.sha256
    if not target.is_file():
        if not source.is_file():
            raise DescriptionError(f"{source} is missing", hint="The run folder is incomplete: run again.")
        with _new(target) as temporary:
            shutil.copyfile(source, temporary)
            if (found := hash_file(temporary)) != file.sha256:
                raise DescriptionError(
                    f"{source}: SHA-256 {found}, where the run recorded {file.sha256}",
                    hint="Somebody has changed the run folder: run again.",
                )
    about = {TITLE: file.path}
    return {
        "mediaType": "application/octet-stream",
        "digest": f"sha256:{file.sha256}",
        "size": file.size,
        "annotations": about,
    }


def _put_manifest(to: Path, content: Descriptor) -> Descriptor:
    whole = {"schemaVersion": 2, "mediaType": MANIFEST, **content}
    text = json.dumps(whole, sort_keys=True, separators=(",", ":")).encode()
    return {"mediaType": MANIFEST, **_put(to, text), "artifactType": content["artifactType"]}


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


def _list(to: Path, entries: Sequence[Descriptor]) -> None:
    """Add manifests to the index; those that stand there already stay as they are."""
    try:
        index = _index(to)
        known = {entry["digest"] for entry in index["manifests"]}
    except (ValueError, KeyError, TypeError) as exc:
        raise InfrastructureError(f"{to}/index.json is broken: {exc!r}", hint="Publish to a new folder.") from exc
    index["manifests"] += [entry for entry in entries if entry["digest"] not in known]
    write_atomic(to / "index.json", json.dumps(index, indent=1))
