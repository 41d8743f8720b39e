"""The fixture dataset: hashed and held against its schema on the host, delivered by a content-addressed volume."""

from __future__ import annotations

import hashlib
import json
import tarfile
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict
from itertools import chain
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from harness.config.blocks import DataBlock
from harness.config.spec import Spec
from harness.datasets import drift, pointers, secrets, splits
from harness.datasets.tables import TABLES, read
from harness.datasets.violations import violations
from harness.engine import Engine, Leftover, labels
from harness.errors import DescriptionError, InfrastructureError
from harness.evidence.records import Data, Drift, DvcPointer, FileHash, Violation, digest_of
from harness.evidence.run_folder import VIOLATIONS, RunFolder, disk_errors
from harness.project import dvc
from harness.project.named_files import verify_files
from harness.runner.stages import Run, relative

if TYPE_CHECKING:
    import pandas as pd

MAX_VIOLATIONS = 50  # that a record keeps; their number is always whole
MAX_LISTED = 1_000_000  # that the file beside it keeps: about 150 MB
MAX_UNASKED = 64 * 2**20  # bytes of tables that are read although the description asks nothing of them
FILL_TIMEOUT = 600.0
MOUNT = "/harness-data"
READY = "-ready"  # suffix of the marker volume


def collect(spec: Spec, folder: RunFolder | None = None) -> Data:
    """Hash the dataset and validate its tables; all breaches of the schema are written into the folder of the run.

    Raises DescriptionError for a schema that cannot be read.
    """
    block = spec.block.data
    if block is None:
        raise ValueError("collect is only called where there is a dataset")
    path, tracked = locate(spec.root, block)
    files = hash_files(path)
    tables = tuple(f.path for f in files if Path(f.path).suffix in TABLES)
    frames, problem = _frames(path, tables, block)
    few: tuple[Violation, ...] = ()
    count = listed = 0
    if block.schema_ is not None:
        schema = _schema(spec.root / block.schema_)
        files_of = {name: path / name if path.is_dir() else path for name in frames}
        found = (violations(schema, frame, name, files_of[name]) for name, frame in frames.items())
        few, count, listed = _kept(chain.from_iterable(found), folder)
    return Data(
        path=relative(path, spec.root),
        files=files,
        sha256=digest_of(files),
        tables=tables,
        rows=sum(len(frame) for frame in frames.values()),
        violations=few,
        violation_count=count,
        violations_listed=listed,
        split=splits.compare(frames, block, problem),
        drift=_drift(spec.root, frames, block),
        secrets=secrets.scan(path, tuple(f.path for f in files), frames),
        dvc=tracked,
    )


def locate(root: Path, block: DataBlock) -> tuple[Path, tuple[DvcPointer, ...]]:
    """Return the dataset, and the `.dvc` pointers for it held against what is here; what is missing is pulled.

    What is here and differs is left as it is: it may be somebody's work. Raises DescriptionError and
    InfrastructureError.
    """
    given = root / block.path
    found = []
    for pointer in pointers.find(root, given):
        verify_files(root, pointer.target, f"`x-harness.data.path`: {pointer.file.name}")
        missing = not pointer.target.exists()
        if missing:
            dvc.pull(pointer.file, root)
        found.append(pointers.compare(root, pointer, pulled=missing))
    path = pointers.target_of(given)
    if not path.exists():
        raise DescriptionError(f"the dataset {block.path} is not in what DVC tracks", hint="Correct `data.path`.")
    verify_files(root, path, "`x-harness.data.path`")
    return path, tuple(found)


def digest(spec: Spec) -> str | None:
    """Return the hash of the dataset as `harness.lock` pins it, what a pointer names pulled; None without a dataset."""
    return digest_of(hash_files(locate(spec.root, spec.block.data)[0])) if spec.block.data else None


def hash_files(path: Path) -> tuple[FileHash, ...]:
    """Hash a file, or all files of a folder, sorted by their relative POSIX path."""
    files = sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path]
    found = []
    for file in files:
        with file.open("rb") as stream:
            sha256 = hashlib.file_digest(stream, "sha256").hexdigest()
        name = file.relative_to(path).as_posix() if path.is_dir() else file.name
        found.append(FileHash(name, file.stat().st_size, sha256))
    return tuple(sorted(found, key=lambda f: f.path))


def volume_name(data: Data) -> str:
    """Return the name of the volume of a dataset."""
    return f"harness-data-{data.sha256[:32]}"


def deliver(run: Run, data: Data, image: str) -> str:
    """Return the name of the volume that holds the dataset, filled once for all runs with the same data.

    Two empty markers on the engine make that safe between runs and machines: the name of the helper container is
    the lock (the engine gives a name once), and the volume `...-ready` exists only when the filling is complete.
    """
    volume = volume_name(data)
    ready, helper = f"{volume}{READY}", f"{volume}-fill"
    kept = {labels.PROJECT: run.spec.project, labels.DATA: data.sha256}
    deadline = time.monotonic() + FILL_TIMEOUT
    while not (run.engine.has_volume(ready) and run.engine.has_volume(volume)):
        run.engine.create_volume(volume, kept)
        lock = {**run.labels, labels.OWNER: str(labels.Owner.current()), labels.STAGE: "data"}  # is never kept
        container = run.engine.helper(image, helper, volume, MOUNT, lock)
        if container is None:
            _wait_for_other(run, ready, helper, deadline)
            continue
        with tempfile.TemporaryFile() as tar:
            with disk_errors(Path(tempfile.gettempdir())):
                _pack(run.spec.root / data.path, data, tar)
            run.engine.write(container, MOUNT, tar)
        run.engine.create_volume(ready, kept)
        run.engine.remove(Leftover("container", container, helper, {}))
    return volume


def deliver_folder(run: Run, folder: Path, image: str) -> str:
    """Return the volume of a dataset that the harness made itself."""
    files = hash_files(folder)
    return deliver(run, Data(path=str(folder), files=files, sha256=digest_of(files)), image)


def remove_unused(engine: Engine) -> list[Leftover]:
    """Remove the datasets that no container uses; return what was removed.

    The marker goes first: a volume without one is filled anew, a marker without its volume would deceive.
    """
    volumes = sorted(engine.labelled(labels.DATA), key=lambda volume: not volume.name.endswith(READY))
    idle = {volume.name for volume in volumes if not engine.is_used(volume.name)}
    return [volume for volume in volumes if volume.name.removesuffix(READY) in idle and engine.remove(volume)]


def _wait_for_other(run: Run, ready: str, helper: str, deadline: float) -> None:
    """Wait while another run fills the volume; remove its lock when that run is dead."""
    for other in run.engine.labelled(labels.STAGE):
        if other.name == helper and labels.is_abandoned(other.labels, time.time()):
            run.engine.remove(other)
            return
    if time.monotonic() > deadline:
        raise InfrastructureError(
            f"another run has been filling {ready.removesuffix(READY)} for {FILL_TIMEOUT:.0f} s",
            hint="If no other run is alive, `harness clean` removes its lock.",
        )
    time.sleep(0.1)  # the engine has no event that a name is free again


def _pack(path: Path, data: Data, tar: IO[bytes]) -> None:
    """Write the dataset as a tar whose bytes depend on names and contents only, readable by every user."""
    with tarfile.open(fileobj=tar, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for file in data.files:
            info = tarfile.TarInfo(file.path)
            info.size, info.mode = file.size, 0o444
            with (path / file.path if path.is_dir() else path).open("rb") as source:
                archive.addfile(info, source)
    tar.seek(0)


def _schema(path: Path) -> Any:
    from pandera.io.pandas_io import from_yaml

    try:
        schema: Any = from_yaml(path.read_text(encoding="utf-8"))  # type: ignore[no-untyped-call]
        if not (schema.columns or schema.checks or schema.index):
            raise ValueError("it expects nothing: neither columns nor checks")
    except Exception as exc:  # pandera raises what its YAML happens to break
        raise DescriptionError(
            f"`x-harness.data.schema`: {path.name} is no pandera schema: {type(exc).__name__}: {exc}",
            hint="Write it with pandera: DataFrameSchema(...).to_yaml().",
        ) from exc
    return schema


def _frames(path: Path, tables: tuple[str, ...], block: DataBlock) -> tuple[dict[str, pd.DataFrame], str]:
    """Read the tables; where the description asks nothing of them, one that cannot be read is only a problem.

    Raises DescriptionError.
    """
    asked = any((block.schema_, block.target, block.train, block.holdout, block.reference))
    files = {name: path / name if path.is_dir() else path for name in tables}
    size = sum(file.stat().st_size for file in files.values())
    if size > MAX_UNASKED and not asked:
        return {}, f"{size >> 20} MiB of tables, which are read only where `data` names a schema or a target"
    frames = {}
    for name, file in files.items():
        try:
            frames[name] = read(file)
        except DescriptionError as exc:
            if asked:
                raise
            return {}, str(exc)
    return frames, ""


def _drift(root: Path, frames: dict[str, pd.DataFrame], block: DataBlock) -> tuple[Drift, ...] | None:
    """Hold the training tables against the reference. Raises DescriptionError where that cannot be read."""
    if block.reference is None:
        return None
    train, _ = splits.find(tuple(frames), block.train, block.holdout)
    if not train:
        return ()
    return drift.drift(read(root / block.reference), splits.joined({name: frames[name] for name in train}))


def _kept(found: Iterator[Violation], folder: RunFolder | None) -> tuple[tuple[Violation, ...], int, int]:
    """Write the breaches of the schema, one a line, as they are found.

    Returns the first ones, for the record, how many there are, and how many of them stand in the file.
    """
    first = next(found, None)
    if first is None:
        return (), 0, 0
    few: list[Violation] = []
    count = 0

    def lines() -> Iterator[str]:
        nonlocal count
        for violation in chain((first,), found):
            count += 1
            if len(few) < MAX_VIOLATIONS:
                few.append(violation)
            if count <= MAX_LISTED:
                yield json.dumps(asdict(violation), ensure_ascii=False)

    listed = folder.write_lines(VIOLATIONS, lines()) if folder is not None else sum(0 for _ in lines())
    return tuple(few), count, listed
