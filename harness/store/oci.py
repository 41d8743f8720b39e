"""The form of a published artifact: OCI manifests, alike in a folder and in a registry.

An artifact is a manifest with a layer for each file, its name in the annotation `org.opencontainers.image.title` as
ORAS writes it. What is said of it are manifests that refer to it (`subject`): its provenance, and what it predicted of
the hold-out rows, both once for each run that made it. Source: OCI image specification 1.1, "Image Manifest"
(artifact usage and `subject`).
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Protocol

from harness.config.reference import DIGEST
from harness.errors import DescriptionError, TamperedError
from harness.evidence.provenance import FILE, PREDICATE, Statement, hash_file, parse_statement
from harness.evidence.records import FileHash
from harness.evidence.run_folder import disk_errors, write_atomic

ARTIFACT = "application/vnd.ml-container-harness.model.v1"
PREDICTIONS = "application/vnd.ml-container-harness.predictions.v1"
IN_TOTO = "application/vnd.in-toto+json"
JSON_LINES = "application/x-ndjson"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"
TITLE = "org.opencontainers.image.title"
HOLDOUT = "ml-container-harness.holdout"
HOLDOUT_SHA256 = "ml-container-harness.holdout.sha256"
RUN = "ml-container-harness.run"
MAX_READ = 64 * 1024 * 1024  # bytes of a manifest, a provenance or predictions: they are read as a whole

Descriptor = dict[str, Any]


@dataclass(frozen=True)
class Blob:
    """Bytes, or a file that should have this content."""

    digest: str
    size: int
    source: bytes | Path

    def checked(self) -> None:
        """Raise DescriptionError where a file is missing or no longer the one that the run recorded."""
        if isinstance(self.source, Path):
            if not self.source.is_file():
                raise DescriptionError(f"{self.source} is missing", hint="The run folder is incomplete: run again.")
            same(self.source, f"sha256:{hash_file(self.source)}", self.digest)


@dataclass(frozen=True)
class OciManifest:
    """A manifest as it is stored."""

    content: bytes
    artifact_type: str

    @property
    def digest(self) -> str:
        """Its name."""
        return digest_of(self.content)

    @property
    def descriptor(self) -> Descriptor:
        """What an index says of it."""
        about = {"mediaType": MANIFEST, "digest": self.digest, "size": len(self.content)}
        return {**about, "artifactType": self.artifact_type}


@dataclass(frozen=True)
class HoldoutPredictions:
    """What an artifact predicted of hold-out rows: a file as the quality stage writes it, and of what rows."""

    run: str
    predictions: bytes
    holdout: str  # file, relative to the project
    holdout_sha256: str


@dataclass(frozen=True)
class Publication:
    """All that a store takes up of one run."""

    blobs: tuple[Blob, ...]
    artifact: OciManifest
    referrers: tuple[OciManifest, ...]


@dataclass(frozen=True)
class Published:
    """One artifact of a store: its digest, its files with their digests, and what is said of it, oldest first."""

    digest: str
    files: Mapping[str, str]
    statements: tuple[Statement, ...]
    measured: tuple[HoldoutPredictions, ...]


class ArtifactStore(Protocol):
    """A store that artifacts are read from. Everything raises DescriptionError or InfrastructureError."""

    def artifacts(self) -> Sequence[str]:
        """Return the digests of the artifacts, the newest last. Raises NotPublishedError where there is none."""

    def referrers(self, digest: str) -> Sequence[str]:
        """Return the digests of the manifests that refer to one."""

    def manifest(self, digest: str) -> bytes:
        """Return what is stored under a manifest's digest."""

    def chunks(self, digest: str) -> Iterator[bytes]:
        """Yield what is stored under a blob's digest, in pieces."""


def packed(
    folder: Path, files: Sequence[FileHash], said: Statement, measured: HoldoutPredictions | None
) -> Publication:
    """Return the files of a folder with what is said of them in the form of a store."""
    empty = _blob(b"{}")
    config = {"mediaType": "application/vnd.oci.empty.v1+json", "digest": empty.digest, "size": empty.size}
    blobs = [empty, *(Blob(f"sha256:{file.sha256}", file.size, folder / file.path) for file in files)]
    layers = [
        _layer(blob, "application/octet-stream", {TITLE: file.path})
        for blob, file in zip(blobs[1:], files, strict=True)
    ]
    artifact = _manifest(ARTIFACT, config, layers)
    subject = {key: artifact.descriptor[key] for key in ("mediaType", "digest", "size")}
    statement = _blob(json.dumps(said, sort_keys=True).encode())
    layer = _layer(statement, IN_TOTO, {TITLE: FILE, "in-toto.io/predicate-type": PREDICATE})
    referrers = [_manifest(IN_TOTO, config, [layer], subject=subject)]
    blobs.append(statement)
    if measured is not None:
        blobs.append(_blob(measured.predictions))
        about = {RUN: measured.run, HOLDOUT: measured.holdout, HOLDOUT_SHA256: measured.holdout_sha256}
        layer = _layer(blobs[-1], JSON_LINES, {TITLE: "predictions.jsonl"})
        referrers.append(_manifest(PREDICTIONS, config, [layer], subject=subject, annotations=about))
    return Publication(tuple(blobs), artifact, tuple(referrers))


def published(source: ArtifactStore, digest: str) -> Published:
    """Read one artifact, but not its files. Raises TamperedError where something is not what its name says."""
    whole = _read(source, digest)
    if whole.get("artifactType") != ARTIFACT:
        raise DescriptionError(
            f"{digest} is no artifact that the harness published: its type is {whole.get('artifactType')!r}",
            hint="Name one that `harness publish` made.",
        )
    statements, measured = [], []
    for manifest in [_read(source, referrer) for referrer in source.referrers(digest)]:
        for layer in manifest["layers"]:
            if manifest.get("artifactType") == IN_TOTO and layer["mediaType"] == IN_TOTO:
                text = verified(source.chunks(layer["digest"]), layer["digest"])
                statements.append(parse_statement(text, f"the provenance of {digest}"))
            elif manifest.get("artifactType") == PREDICTIONS:
                about = manifest["annotations"]
                text = verified(source.chunks(layer["digest"]), layer["digest"])
                measured.append(HoldoutPredictions(about[RUN], text, about[HOLDOUT], about[HOLDOUT_SHA256]))
    # A registry lists them in any order; the ID of a run starts with its time.
    measured.sort(key=lambda each: each.run)
    statements.sort(key=_run_of)
    return Published(digest, _files(whole["layers"]), tuple(statements), tuple(measured))


def hashes(source: ArtifactStore, artifact: Published) -> dict[str, str]:
    """Return file -> SHA-256 of what is really stored for each file of an artifact; one that is missing is left out."""
    found = {}
    for name, digest in artifact.files.items():
        with suppress(TamperedError):
            found[name] = _hash(source.chunks(digest))
    return found


def unpack(publication: Publication, said: Statement, folder: Path) -> None:
    """Copy the files of a publication and its provenance to a folder. Raises DescriptionError where one was changed."""
    for name, digest in _files(json.loads(publication.artifact.content)["layers"]).items():
        named = (blob.source for blob in publication.blobs if blob.digest == digest)
        source = next(each for each in named if isinstance(each, Path))
        path = folder / name
        with disk_errors(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, path)
        same(source, f"sha256:{hash_file(path)}", digest)
    _explain(folder, said)


def pull(source: ArtifactStore, artifact: Published, folder: Path) -> None:
    """Write the files of an artifact and its newest provenance to a new folder, each verified as it comes.

    Raises TamperedError where one is not what its name says, DescriptionError where the folder holds something.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise DescriptionError(f"{folder} is there already", hint="Name a new folder.")
    for name, digest in artifact.files.items():
        path = folder / name
        found = hashlib.sha256()
        with disk_errors(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("wb") as stream:
                for chunk in source.chunks(digest):
                    found.update(chunk)
                    stream.write(chunk)
            try:
                same(path, f"sha256:{found.hexdigest()}", digest, error=TamperedError)
            except TamperedError:
                path.unlink()  # a broken file must not look like the model
                raise
    for said in artifact.statements[-1:]:
        _explain(folder, said)


def verified(chunks: Iterator[bytes], digest: str) -> bytes:
    """Return a small content. Raises TamperedError where it is not what its name says."""
    found = bytearray()
    for chunk in chunks:
        found += chunk
        if len(found) > MAX_READ:
            raise TamperedError(f"{digest} is larger than {MAX_READ} bytes", hint="Publish the artifact again.")
    same(digest, digest_of(found), digest, error=TamperedError)
    return bytes(found)


def same(what: object, found: str, expected: str, *, error: type[DescriptionError] = DescriptionError) -> None:
    """Raise where a content does not have the digest that it should have."""
    if found != expected:
        hint = "Somebody has changed the run folder: run again."
        if error is TamperedError:
            hint = "The store was changed or is damaged: publish the artifact again, to a new place."
        raise error(f"{what}: expected {expected}, received a content with {found}", hint=hint)


def digest_of(content: bytes | bytearray) -> str:
    """Return what a content is named by."""
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def _explain(folder: Path, said: Statement) -> None:
    """Put a statement beside the files that it is about."""
    if not (folder / FILE).exists():  # a model may have a file of that name
        write_atomic(folder / FILE, json.dumps(said, indent=1, sort_keys=True))


def _blob(content: bytes) -> Blob:
    return Blob(digest_of(content), len(content), content)


def _layer(blob: Blob, kind: str, annotations: Mapping[str, str]) -> Descriptor:
    return {"mediaType": kind, "digest": blob.digest, "size": blob.size, "annotations": dict(annotations)}


def _manifest(kind: str, config: Descriptor, layers: Sequence[Descriptor], **more: Any) -> OciManifest:
    whole = {"schemaVersion": 2, "mediaType": MANIFEST, "artifactType": kind, "config": config, "layers": layers}
    return OciManifest(json.dumps({**whole, **more}, sort_keys=True, separators=(",", ":")).encode(), kind)


def _read(source: ArtifactStore, digest: str) -> Any:
    return json.loads(verified(iter([source.manifest(digest)]), digest))


def _files(layers: Sequence[Descriptor]) -> dict[str, str]:
    """Return file -> digest. Raises DescriptionError for a name that would lead out of a folder."""
    found: dict[str, str] = {}
    for layer in layers:
        name, digest = layer["annotations"][TITLE], layer["digest"]
        path = PurePosixPath(name)
        if path.is_absolute() or not path.parts or ".." in path.parts or "\0" in name or name in found:
            raise DescriptionError(f"expected the relative path of a file, once, received {name!r}")
        if not DIGEST.fullmatch(digest):
            raise DescriptionError(f"expected a digest sha256:<64 hex digits>, received {digest!r}")
        found[name] = digest
    return found


def _run_of(said: Statement) -> str:
    return str(said["predicate"]["runDetails"]["metadata"]["invocationId"])


def _hash(chunks: Iterator[bytes]) -> str:
    found = hashlib.sha256()
    for chunk in chunks:
        found.update(chunk)
    return found.hexdigest()
