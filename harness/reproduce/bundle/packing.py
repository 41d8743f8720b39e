"""Packs a run into one file: equal content gives equal bytes, and no secret leaves the machine."""

from __future__ import annotations

import gzip
import hashlib
import io
import os
import tarfile
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from harness import __version__
from harness.config.spec import Spec
from harness.engine import Engine
from harness.errors import DescriptionError, InfrastructureError
from harness.evidence.records import BuiltImage, Evidence
from harness.evidence.run_folder import RunFolder, disk_errors
from harness.reproduce.bundle import manual_repro, readme
from harness.reproduce.bundle.contents import HERE, PROJECT, Candidate, of_project, of_run
from harness.reproduce.bundle.interpolated import Interpolated, hidden_values, interpolated
from harness.reproduce.bundle.manifest import (
    FORMAT,
    NAME,
    Absent,
    BundleEntry,
    BundleManifest,
    Image,
    collision,
    problem_of,
)
from harness.reproduce.bundle.origin import arguments_of, moved
from harness.reproduce.bundle.redaction import Redactor, marker
from harness.reproduce.bundle.secret_names import NamedSecret, collect
from harness.reproduce.bundle.secret_sources import named_secrets
from harness.reproduce.bundle.stage import Stage

LIMIT = 32 * 2**20  # bytes of all files together, before compression; images and artifacts that are asked for apart
FILE_SHARE = 32  # a file of the project may have that part of the limit: 1 MiB
RUN_SHARE = 2  # and one of the run, such as all requests and answers, that part
SUFFIX = ".harness.tar.gz"
MTIME = 315_532_800  # 1980-01-01: what packs these files again, as a wheel, takes no earlier time
LEVEL = 6  # of gzip


@dataclass(frozen=True)
class Packed:
    """A bundle that was written."""

    path: Path
    size: int  # bytes of the file
    manifest: BundleManifest


def place_of(folder: RunFolder) -> Path:
    """Return where the bundle of a run lies unless a place is named."""
    return folder.path.parents[1] / "bundles" / f"{folder.id}{SUFFIX}"


def redactor_of(folder: RunFolder, spec: Spec, root: Path, environ: Mapping[str, str]) -> Redactor:
    """Return what takes the secrets of a run out of texts: of `environ`, of its description, of its containers."""
    return Redactor(_secrets(folder, spec, root, environ))


def _secrets(
    folder: RunFolder, spec: Spec, root: Path, environ: Mapping[str, str], more: Iterable[NamedSecret] = ()
) -> tuple[NamedSecret, ...]:
    """Return all secrets by name, and more values, the longest first."""
    found = collect(named_secrets(folder, spec, root, environ), spec.model)
    known = {secret.value for secret in found if secret.anywhere}
    further = [secret for secret in more if secret.value not in known]
    return tuple(sorted((*found, *further), key=lambda secret: (-len(secret.value), secret.name, secret.value)))


def pack(
    folder: RunFolder,
    root: Path,
    out: Path | None = None,
    *,
    limit: int = LIMIT,
    artifact: bool = False,
    images: Engine | None = None,
    environ: Mapping[str, str],
) -> Packed:
    """Pack a run, whatever is left of it, with what a rebuild and a rerun need of the project at `root`.

    `limit` is the number of bytes of all files before compression; a single file of the project may have a 32nd of it,
    one of the run the half. What does not fit is named with its hash. With `images` the engine's images come too.
    Secrets are those of `environ` (by name), of the description and of the containers. Raises DescriptionError
    where not even the description of the run can be read, and InfrastructureError.
    """
    evidence, _, amiss = folder.salvage()
    if evidence is None:
        raise DescriptionError(f"{folder.path} is no run: {amiss[-1]}", hint="Give the folder of a run.")
    root = root.resolve()
    evidence = replace(evidence, spec=moved(evidence.spec, root))
    target = (out or place_of(folder)).absolute()
    with disk_errors(target), tempfile.TemporaryDirectory(prefix="harness-bundle-") as name:
        found = interpolated(evidence.spec, root, environ)
        commit = (evidence.provenance.commit if evidence.provenance is not None else None) or ""
        hidden = tuple(hidden_values(found, evidence.spec, commit))
        stage = Stage(Path(name), Redactor(_secrets(folder, evidence.spec, root, environ, hidden)), limit)
        for candidate in sorted(of_run(folder.path, artifact=artifact), key=_records_first):
            stage.take(candidate, None if artifact and "/artifact/" in candidate.path else limit // RUN_SHARE)
        files, empty = of_project(evidence, root)
        for candidate in sorted(files, key=_smallest_first):
            if candidate.path != f"{PROJECT}/{HERE}":
                stage.take(candidate, limit // FILE_SHARE)
        _put_variables(stage, found)
        saved = _images(stage, evidence, images)
        manifest = _describe(stage, folder, evidence, empty, saved)
        _put_by_hand(stage, manifest, evidence, folder, {each.value: each.name for each in hidden})
        whole = replace(manifest, files=dict(sorted(stage.files.items())), redactions=stage.redactions)
        size = _write(stage.folder, whole, target)
    return Packed(target, size, whole)


def _records_first(candidate: Candidate) -> tuple[bool, str]:
    """Order the run's files so that its records come in whatever else does not fit."""
    return not candidate.path.endswith(".json"), candidate.path


def _smallest_first(candidate: Candidate) -> tuple[int, str]:
    return candidate.source.lstat().st_size if os.path.lexists(candidate.source) else 0, candidate.path


def _put_variables(stage: Stage, found: Interpolated) -> None:
    """Write a `.env` of the variables that the Compose files take, with values only of those that may leave."""
    lines = []
    for name in found.names:
        value = found.shown.get(name)
        if value is None:
            stage.redactor.note(name, f"{PROJECT}/{HERE}")
            value = marker(name)
        lines.append(f"{name}='{value}'\n" if set(value) & set(' #"$\\') and "'" not in value else f"{name}={value}\n")
    text = "".join(lines).encode()
    if text:
        stage.put(f"{PROJECT}/{HERE}", [stage.redactor.redact(text, f"{PROJECT}/{HERE}")])


def _images(stage: Stage, evidence: Evidence, engine: Engine | None) -> dict[str, Image]:
    """Describe the images of the run, and save them where there is an engine to ask."""
    record = evidence.images
    if record is None:
        return {}
    found = {}
    for image in record.images:
        bases = tuple(base.reference for base in record.bases if base.service == image.service)
        file = _save(stage, image, engine) if engine is not None else None
        names = [stage.redactor.redact(name.encode(), NAME).decode() for name in (image.reference, *bases)]
        found[image.service] = Image(names[0], tuple(names[1:]), image.id, image.diff_ids, image.platform, file)
    return found


def _save(stage: Stage, image: BuiltImage, engine: Engine) -> str | None:
    """Save an image, under its name where the name still means it; return its place, None where it is gone."""
    name = f"images/{image.service}.tar"
    known = engine.image(image.reference) or {}
    reference = image.reference if known.get("Id") == image.id else image.id
    if engine.image(reference) is None:
        why = "the engine does not have the image any more"
        stage.absent.append(Absent(name, None, image.size, why, "Build it: README.md says how."))
        return None
    target = stage.folder / name
    target.parent.mkdir(exist_ok=True)
    with target.open("wb") as stream:
        engine.save(reference, stream)
    with target.open("rb") as saved:
        if secret := stage.redactor.holds(saved, plain=True):
            stage.redactor.note(secret, name)
            target.unlink()
            stage.absent.append(Absent(name, None, image.size, f"it holds the secret {secret}", "Build it: README.md."))
            return None
        saved.seek(0)
        stage.files[name] = BundleEntry(hashlib.file_digest(saved, "sha256").hexdigest(), target.stat().st_size)
    return name


def _describe(
    stage: Stage, folder: RunFolder, evidence: Evidence, empty: list[str], images: dict[str, Image]
) -> BundleManifest:
    spec = evidence.spec
    data = PurePosixPath(spec.block.data.path).as_posix() if spec.block.data is not None else None
    empty = _distinct(stage, [name for name in empty if not problem_of(name)])
    return BundleManifest(
        format=FORMAT,
        harness=__version__,
        run=folder.id,
        project=spec.project,
        command=("harness", "run", *arguments_of(evidence.selection)),
        compose_files=tuple(f.relative_to(spec.root).as_posix() for f in spec.files if f.is_relative_to(spec.root)),
        files={},
        folders=tuple(empty),
        absent=tuple(sorted(stage.absent, key=lambda each: each.path)),
        images=images,
        data=None if data is None or problem_of(data) else data,
    )


def _distinct(stage: Stage, empty: list[str]) -> list[str]:
    """Leave out what some disk would take for another file or folder; return the empty folders that stay."""
    while clash := collision([*sorted(stage.files), *empty]):
        first, dropped = clash
        if stage.files.pop(dropped, None) is None:
            empty = [name for name in empty if name != dropped]
            stage.files = {name: entry for name, entry in stage.files.items() if not name.startswith(f"{dropped}/")}
        stage.absent.append(Absent(dropped, None, None, f"some disks take it for {first}", "Copy it by hand."))
    return empty


def _put_by_hand(
    stage: Stage, manifest: BundleManifest, evidence: Evidence, folder: RunFolder, hidden: Mapping[str, str]
) -> None:
    """Write what reproduces the run without the harness: a Compose file, the requests, and the README."""
    _, findings, _ = folder.salvage()
    plan = manual_repro.plan(evidence, findings, hidden)
    for name, content in plan.files.items():
        stage.put(name, stage.redactor.redact_file(io.BytesIO(content), name))
    text = readme.text(replace(manifest, redactions=stage.redactions), plan, evidence)
    stage.put("README.md", [stage.redactor.redact(text.encode(), "README.md")])


def _write(stage: Path, manifest: BundleManifest, target: Path) -> int:
    """Write the archive, atomically: the manifest first, then the files by name; return its size."""
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f".{target.name}.{os.getpid()}")
    (stage / NAME).write_bytes(manifest.to_json())
    try:
        with (
            os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as raw,
            gzip.GzipFile("", "wb", LEVEL, raw, mtime=0) as packed,
            tarfile.open(
                fileobj=packed, mode="w", format=tarfile.USTAR_FORMAT, encoding="utf-8", errors="surrogateescape"
            ) as archive,
        ):
            for name in (NAME, *manifest.files):
                _add(archive, stage / name, name)
        temporary.replace(target)
    except ValueError as exc:  # a size or a name that the format has no room for
        raise InfrastructureError(f"cannot pack: {exc}", hint="Pack without images.") from exc
    finally:
        temporary.unlink(missing_ok=True)
    return target.stat().st_size


def _add(archive: tarfile.TarFile, source: Path, name: str) -> None:
    info = tarfile.TarInfo(name)
    found = source.stat()
    info.size, info.mtime = found.st_size, MTIME
    info.mode = 0o755 if found.st_mode & 0o100 else 0o644
    with source.open("rb") as stream:
        archive.addfile(info, stream)
