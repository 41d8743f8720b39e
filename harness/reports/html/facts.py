"""What the run ran on and made: the machine, the images, the dataset, the files of the artifact."""

from __future__ import annotations

from dataclasses import dataclass

from harness.evidence.records import BaseImage, Evidence, digest_of
from harness.evidence.records.finding import FileHash
from harness.reports.html.plain import size

MAX_FILES = 100


@dataclass(frozen=True)
class FactRow:
    """One row of a table: what, and one or more values."""

    name: str
    values: tuple[str, ...]


@dataclass(frozen=True)
class Facts:
    """A table with its heading; where it has no rows, `why` says why."""

    name: str
    title: str
    columns: tuple[str, ...]
    rows: tuple[FactRow, ...]
    why: str = ""
    note: str = ""


def facts(evidence: Evidence) -> tuple[Facts, ...]:
    """Return all tables of facts."""
    return (_environment(evidence), _images(evidence), _data(evidence), _artifact(evidence))


def bases(evidence: Evidence) -> str:
    """Say in one line what the images are built on."""
    found = {_base(base) for base in evidence.images.bases} if evidence.images else set()
    return "; ".join(sorted(found))


def _base(base: BaseImage) -> str:
    if base.local:
        return f"{base.reference} (local base, packages {base.local[:12]}) in place of {base.default or 'its default'}"
    return base.reference if base.digest is None or base.digest in base.reference else f"{base.reference}@{base.digest}"


def _environment(evidence: Evidence) -> Facts:
    machine = evidence.environment
    if machine is None:
        return Facts("environment", "Environment", (), (), "the run ended before it looked at its machine.")
    rows = (
        ("harness", machine.harness),
        ("Python of the harness", machine.python),
        ("host", machine.host),
        ("engine", machine.engine),
        ("engine API", machine.api),
        ("Compose", machine.compose),
        ("storage", machine.storage),
        ("cores", str(machine.cores)),
        ("memory", size(machine.memory)),
        ("PYTHONHASHSEED", machine.hash_seed),
    )
    return Facts(
        "environment", "Environment", ("what", "value"), tuple(FactRow(name, (value,)) for name, value in rows)
    )


def _images(evidence: Evidence) -> Facts:
    images = evidence.images
    if images is None:
        return Facts("images", "Images", (), (), "the run ended before an image was built.")
    by_service: dict[str, str] = {base.service: _base(base) for base in images.bases}
    rows = [
        FactRow(
            i.service,
            (
                i.reference,
                f"{size(i.size)}, {i.platform}, user {i.user or 'root'}",
                i.id,
                by_service.pop(i.service, "-"),
            ),
        )
        for i in images.images
    ]
    rows += [FactRow(service, ("not built", "-", "-", base)) for service, base in by_service.items()]
    pins = "".join(f"\n{file}: SHA-256 {digest}" for file, digest in sorted(images.requirements.items()))
    note = f"Builder: {images.builder}.{pins}"
    why = "" if rows else f"no image was built{f': {images.failure} failed' if images.failure else ''}."
    return Facts("images", "Images", ("service", "reference", "size", "image ID", "base"), tuple(rows), why, note)


def _data(evidence: Evidence) -> Facts:
    data = evidence.data
    if data is None:
        why = "the run ended before the dataset was read." if evidence.spec.block.data else "x-harness names no `data`."
        return Facts("data", "Dataset", (), (), why)
    note = f"{data.path}: SHA-256 {data.sha256}; {data.rows:,} rows in {len(data.tables)} tables."
    return _files("data", "Dataset", data.files, note)


def _artifact(evidence: Evidence) -> Facts:
    artifact = evidence.artifact
    if artifact is None or not artifact.files:
        why = "the run ended before there was an artifact." if artifact is None else f"nothing at {artifact.path}."
        return Facts("artifact", "Artifact", (), (), why)
    note = f"{artifact.path}: SHA-256 {digest_of(artifact.files)} over all files."
    return _files("artifact", "Artifact", artifact.files, note)


def _files(name: str, title: str, files: tuple[FileHash, ...], note: str) -> Facts:
    rows = tuple(FactRow(file.path, (f"{file.size:,}", file.sha256)) for file in files[:MAX_FILES])
    if len(files) > MAX_FILES:
        note += f" {len(files) - MAX_FILES:,} more files are in the run folder."
    return Facts(name, title, ("file", "bytes", "SHA-256"), rows, "" if rows else "it has no files.", note)
