"""Packs a run into one file: equal content gives equal bytes, and no secret leaves the machine."""

from __future__ import annotations

import gzip
import hashlib
import os
import shutil
import tarfile
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import IO, Any

from harness import __version__
from harness.bundle import byhand, readme
from harness.bundle.contents import HERE, PROJECT, Candidate, env_files, of_project, of_run, variables
from harness.bundle.manifest import MAX_FILES, NAME, Absent, Entry, Image, Manifest, Redaction, collision, problem_of
from harness.bundle.redaction import SNIFFED, Redactor, blocks, is_env_file, marker
from harness.bundle.secret_names import collect, is_secret_name, secrets_in, secrets_of_model
from harness.engine import Engine
from harness.errors import DescriptionError, InfrastructureError
from harness.evidence import STORE, RunFolder, disk_errors
from harness.records import Evidence, Selection
from harness.spec import Spec

LIMIT = 32 * 2**20  # bytes of all files together, before compression; images and artifacts that are asked for apart
FILE_SHARE = 32  # a file of the project may have that part of the limit: 1 MiB
RUN_SHARE = 2  # and one of the run, such as all requests and answers, that part
SUFFIX = ".harness.tar.gz"
MTIME = 315_532_800  # 1980-01-01: what packs these files again, as a wheel, takes no earlier time
LEVEL = 6  # of gzip
CHUNK = 2**20
TOO_LARGE = "larger than the limit of a file in a bundle"


@dataclass(frozen=True)
class Packed:
    """A bundle that was written."""

    path: Path
    size: int  # bytes of the file
    manifest: Manifest


@dataclass
class _Stage:
    """The content of a bundle while it is put together, in a folder of its own."""

    folder: Path
    redactor: Redactor
    left: int  # bytes that still fit
    files: dict[str, Entry] = field(default_factory=dict)
    absent: list[Absent] = field(default_factory=list)

    def put(self, path: str, chunks: Iterable[bytes], *, executable: bool = False) -> None:
        """Add a file from pieces."""
        target = self.folder / path
        digest, size = hashlib.sha256(), 0
        target.parent.mkdir(parents=True, exist_ok=True)
        with target.open("wb") as out:
            for chunk in chunks:
                digest.update(chunk)
                size += len(chunk)
                out.write(chunk)
        target.chmod(0o755 if executable else 0o644)
        self.files[path] = Entry(digest.hexdigest(), size)

    def leave(self, candidate: Candidate, why: str, *, read: bool = True) -> None:
        """Note a file that stays out, with its hash where that may be told."""
        sha256, size = None, None
        if read and candidate.source.is_file():
            size = candidate.source.stat().st_size
            with candidate.source.open("rb") as stream:
                sha256 = hashlib.file_digest(stream, "sha256").hexdigest()
        how = candidate.how or "Look into the run folder on the machine of the run, or pack with a larger --limit."
        self.absent.append(Absent(candidate.path, sha256, size, why, how))

    def take(self, candidate: Candidate, limit: int | None) -> None:
        """Add a file, or note why it stays out; without a `limit` it may be as large as it is."""
        why = candidate.why or problem_of(candidate.path)
        if why:
            self.leave(candidate, why, read="credential" not in why)
            return
        size = candidate.source.stat().st_size
        if limit is not None and (size > min(limit, self.left) or len(self.files) >= MAX_FILES - 10):
            self.leave(candidate, TOO_LARGE if size > limit else "more than the limit of the bundle")
            return
        with candidate.source.open("rb") as stream:
            head = stream.read(SNIFFED)
            stream.seek(0)
            executable = bool(candidate.source.stat().st_mode & 0o100)
            if b"\0" not in head:
                self.put(candidate.path, self.redactor.redact_file(stream, candidate.path), executable=executable)
            elif name := next(filter(None, map(self.redactor.holds, blocks(stream))), None):
                self.redactor.note(name, candidate.path)
                self.leave(candidate, f"a binary file that holds the secret {name}", read=False)
                return
            else:
                stream.seek(0)
                self.put(candidate.path, iter(lambda: stream.read(CHUNK), b""), executable=executable)
        self.left -= size if limit is not None else 0


def place_of(folder: RunFolder) -> Path:
    """Return where the bundle of a run lies unless a place is named."""
    return folder.path.parents[1] / "bundles" / f"{folder.id}{SUFFIX}"


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
    evidence = replace(evidence, spec=_moved(evidence.spec, root))
    target = (out or place_of(folder)).absolute()
    with disk_errors(target), tempfile.TemporaryDirectory(prefix="harness-bundle-") as name:
        secrets = collect(_named_secrets(folder, evidence, root, environ), evidence.spec.model)
        stage = _Stage(Path(name), Redactor(secrets), limit)
        for candidate in sorted(of_run(folder.path, artifact=artifact), key=_records_first):
            stage.take(candidate, None if artifact and "/artifact/" in candidate.path else limit // RUN_SHARE)
        files, empty = of_project(evidence, root)
        for candidate in sorted(files, key=_smallest_first):
            if candidate.path != f"{PROJECT}/{HERE}":
                stage.take(candidate, limit // FILE_SHARE)
        _put_variables(stage, evidence.spec, root, environ)
        saved = _images(stage, evidence, images)
        manifest = _describe(stage, folder, evidence, empty, saved)
        _put_by_hand(stage, manifest, evidence, folder)
        whole = replace(manifest, files=dict(sorted(stage.files.items())), redactions=_redactions(stage.redactor))
        size = _write(stage.folder, whole, target)
    return Packed(target, size, whole)


def _records_first(candidate: Candidate) -> tuple[bool, str]:
    """Order the run's files so that its records come in whatever else does not fit."""
    return not candidate.path.endswith(".json"), candidate.path


def _smallest_first(candidate: Candidate) -> tuple[int, str]:
    return candidate.source.lstat().st_size if os.path.lexists(candidate.source) else 0, candidate.path


def _moved(spec: Spec, root: Path) -> Spec:
    """Return the description with its paths where the project is now."""
    old = str(spec.root)
    if spec.root == root:
        return spec

    def move(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: move(each) for key, each in value.items()}
        if isinstance(value, list):
            return [move(each) for each in value]
        if isinstance(value, str) and (value == old or value.startswith(f"{old}/")):
            return f"{root}{value[len(old) :]}"
        return value

    return replace(spec, root=root, files=tuple(Path(move(str(f))) for f in spec.files), model=move(spec.model))


def _named_secrets(
    folder: RunFolder, evidence: Evidence, root: Path, environ: Mapping[str, str]
) -> Iterator[tuple[str, str]]:
    """Yield name and value of every secret that can be told by its name."""
    import json

    spec = evidence.spec
    yield from secrets_in(environ)
    yield from secrets_of_model(_single_dollars(spec.model))
    yield from secrets_of_model({"hyperparameters": dict(spec.block.train.hyperparameters)})
    named = {root / HERE, *(file.parent / name for file in spec.files for name in env_files(file))}
    for file in sorted(named):
        yield from secrets_in(_variables_of(file))
    for secret, declared in (spec.model.get("secrets") or {}).items():  # its file is never packed, its value stands where?
        path = Path(str(declared.get("file", "")))
        if path.is_file() and path.stat().st_size < 2**16:
            yield secret, path.read_text(encoding="utf-8", errors="replace").strip()
        elif value := environ.get(str(declared.get("environment", ""))):
            yield secret, value
    for pattern in ("images/*.json", "*/inspect.json", "compose*.json"):
        for file in sorted(folder.path.glob(pattern)):
            try:
                yield from secrets_of_model(json.loads(file.read_bytes()))
            except (OSError, ValueError, RecursionError):
                continue


def _single_dollars(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _single_dollars(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_single_dollars(each) for each in value]
    return value.replace("$$", "$") if isinstance(value, str) else value


def _variables_of(file: Path) -> dict[str, str]:
    """Return the variables of a `.env` file as Compose reads the simple ones."""
    found: dict[str, str] = {}
    if file.is_file():
        for line in file.read_text(encoding="utf-8", errors="replace").splitlines():
            name, sign, value = line.removeprefix("export ").partition("=")
            if sign and not name.lstrip().startswith("#"):
                found[name.strip()] = value.strip().strip("\"'")
    return found


def _put_variables(stage: _Stage, spec: Spec, root: Path, environ: Mapping[str, str]) -> None:
    """Write a `.env` of the variables that the Compose files take, secrets apart: the project's own never leaves."""
    known = {**_variables_of(root / HERE), **environ}
    lines = []
    for name in variables(spec.files):
        if name in known:
            value = known[name]
            if is_secret_name(name) and value:
                stage.redactor.note(name, f"{PROJECT}/{HERE}")
                value = marker(name)
            lines.append(f"{name}='{value}'\n" if set(value) & set(" #\"$\\") and "'" not in value else f"{name}={value}\n")
    text = "".join(lines).encode()
    if text:
        stage.put(f"{PROJECT}/{HERE}", [stage.redactor.redact(text, f"{PROJECT}/{HERE}")])


def _images(stage: _Stage, evidence: Evidence, engine: Engine | None) -> dict[str, Image]:
    """Describe the images of the run, and save them where there is an engine to ask."""
    found = {}
    for image in evidence.images.images if evidence.images is not None else ():
        bases = [base.reference for base in evidence.images.bases if base.service == image.service] if evidence.images else []
        file = None
        if engine is not None:
            known = engine.image(image.reference) or {}
            named = image.reference if known.get("Id") == image.id else image.id
            file = f"images/{image.service}.tar"
            if engine.image(named) is None:
                how = "Build it: README.md says how."
                stage.absent.append(Absent(file, None, image.size, "the engine does not have the image any more", how))
                file = None
            else:
                (stage.folder / "images").mkdir(exist_ok=True)
                with (stage.folder / file).open("wb") as target:
                    engine.save(named, target)
                with (stage.folder / file).open("rb") as saved:
                    digest = hashlib.file_digest(saved, "sha256").hexdigest()
                stage.files[file] = Entry(digest, (stage.folder / file).stat().st_size)
        found[image.service] = Image(image.reference, tuple(bases), image.id, image.diff_ids, image.platform, file)
    return found


def _describe(
    stage: _Stage, folder: RunFolder, evidence: Evidence, empty: list[str], images: dict[str, Image]
) -> Manifest:
    spec = evidence.spec
    data = spec.block.data.path if spec.block.data is not None else None
    # Two names that a disk may take for one: the later one stays out.
    while clash := collision([*sorted(stage.files), *empty]):
        dropped = clash[1]
        stage.files.pop(dropped, None)
        empty = [name for name in empty if name != dropped]
        stage.absent.append(Absent(dropped, None, None, f"some disks take it for {clash[0]}", "Copy it by hand."))
    return Manifest(
        format=1,
        harness=__version__,
        run=folder.id,
        project=spec.project,
        command=("harness", "run", *arguments_of(evidence.selection)),
        compose_files=tuple(f.relative_to(spec.root).as_posix() for f in spec.files if f.is_relative_to(spec.root)),
        files={},
        folders=tuple(name for name in empty if not problem_of(name)),
        absent=tuple(sorted(stage.absent, key=lambda each: each.path)),
        images=images,
        data=PurePosixPath(data).as_posix() if data is not None and not problem_of(PurePosixPath(data).as_posix()) else None,
    )


def arguments_of(selection: Selection | None) -> list[str]:
    """Return the options of `harness run` that select what a run did."""
    if selection is None:
        return []
    found = [word for pattern in selection.only for word in ("--only", pattern)]
    found += [word for pattern in selection.skip for word in ("--skip", pattern)]
    found += ["--fast"] if selection.fast else []
    found += ["--deep"] if selection.deep else []
    found += ["--seed", str(selection.seed)] if selection.seed != 1 else []
    return [*found, *(["--budget", f"{selection.budget:g}s"] if selection.budget is not None else [])]


def _put_by_hand(stage: _Stage, manifest: Manifest, evidence: Evidence, folder: RunFolder) -> None:
    """Write what reproduces the run without the harness: a Compose file, the requests, and the README."""
    plan = byhand.plan(evidence, folder.findings() if _readable(folder) else (), manifest)
    for name, content in plan.files.items():
        chunks = stage.redactor.redact_file(_stream(content), name) if b"\0" not in content else [content]
        stage.put(name, chunks)
    redactions = _redactions(stage.redactor)
    stage.put("README.md", [stage.redactor.redact(readme.text(replace(manifest, redactions=redactions), plan, evidence).encode(), "README.md")])


def _readable(folder: RunFolder) -> bool:
    try:
        folder.findings()
    except DescriptionError:
        return False
    return True


def _stream(content: bytes) -> IO[bytes]:
    import io

    return io.BytesIO(content)


def _redactions(redactor: Redactor) -> tuple[Redaction, ...]:
    return tuple(Redaction(name, tuple(sorted(places))) for name, places in sorted(redactor.places.items()))


def _write(stage: Path, manifest: Manifest, target: Path) -> int:
    """Write the archive, atomically: the manifest first, then the files by name; return its size."""
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f".{target.name}.{os.getpid()}")
    (stage / NAME).write_bytes(manifest.to_json())
    try:
        with temporary.open("wb") as raw, gzip.GzipFile("", "wb", LEVEL, raw, mtime=0) as packed, tarfile.open(
            fileobj=packed, mode="w", format=tarfile.USTAR_FORMAT, encoding="utf-8", errors="surrogateescape"
        ) as archive:
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
