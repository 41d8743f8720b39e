"""Takes the artifact out of a train container and reads the metrics; never loads the model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath

from harness.config.spec import Handover
from harness.engine import Engine
from harness.engine.archive import read_files
from harness.errors import InfrastructureError
from harness.evidence.metrics import MetricRow, in_log, read
from harness.evidence.records import Artifact, Exit, FileHash
from harness.evidence.run_folder import disk_errors
from harness.runner.stages import Run
from harness.runner.training_variants import has_volume

MAX_METRICS = 64 * 1024**2
LOG = "train/log.txt"


def collect(run: Run, container: str, ended: Exit, *, into: str = "artifact", log: str = LOG) -> Artifact:
    """Copy what training left into a folder of the run's, with its hash, and read the metrics.

    What the image has at the place of the artifact, a `.gitkeep` say, is there after every training of it. So it
    belongs to the files, but where the artifact lies in the container's own files it is told from what was written.
    Metrics that stand in a log which is not whole, as its end says, are not read.
    """
    train = run.spec.block.train
    folder = run.folder.path / into
    with disk_errors(folder):
        files = taken = read_files(run.engine, container, train.artifact, folder)
    brought = () if has_volume(run.spec) else _brought(run, container, files or ())
    if run.spec.handover is Handover.TRAINED_IN_BUILD:
        # The stage's image holds the artifact of the build already: only what this run wrote counts.
        files = None if files is None else tuple(file for file in files if file.path not in brought)
        brought = ()
    elif files and len(brought) == len(files):  # the image had all of it: this training wrote nothing
        files, brought = (), ()
    path = train.metrics or f"{train.artifact}/metrics.jsonl"
    metrics: tuple[MetricRow, ...] | None
    lost = False
    if train.loss_pattern is not None:
        path = log
        metrics, error = _in_log(train.loss_pattern, train.loss, run.folder.path / log, ended)
        lost = metrics is None
    elif within := _within(path, train.artifact, taken or ()):
        metrics, error = _read(path, folder, within)
    else:
        metrics, error = _metrics(run.engine, container, path, run.folder.path / f"{into}-metrics")
    return Artifact(
        path=train.artifact,
        files=files or (),
        missing=f"nothing at {train.artifact}" if files is None else None,
        metrics_path=path,
        metrics_declared=train.metrics is not None or train.loss_pattern is not None,
        metrics=metrics,
        metrics_error=error,
        brought=brought,
        metrics_lost=lost,
    )


def _brought(run: Run, container: str, files: Sequence[FileHash]) -> tuple[str, ...]:
    """Return the files in the container's own file system that are as the image has them."""
    place = run.spec.block.train.artifact
    mounts = run.engine.inspect(container).get("Mounts") or ()
    if not files or any(PurePosixPath(place).is_relative_to(mount["Destination"]) for mount in mounts):
        return ()  # in a volume, which an image may declare itself, the engine does not tell what was written
    written = run.engine.changed_paths(container)
    single = len(files) == 1 and files[0].path == PurePosixPath(place).name
    return tuple(f.path for f in files if (place if single else f"{place}/{f.path}") not in written)


def _in_log(pattern: str, key: str, log: Path, ended: Exit) -> tuple[tuple[MetricRow, ...] | None, str | None]:
    """Read the metrics that stand in a log: the rows, or why they cannot be all that there were."""
    if ended.unread:
        return None, f"the log is not whole: {ended.unread}"
    try:
        return in_log(pattern, key, log), None
    except FileNotFoundError:  # not a line was printed
        return (), None
    except OSError as exc:
        raise InfrastructureError(f"cannot read {log}: {exc}", hint="Check the folder's permissions.") from exc
    except ValueError as exc:
        return None, str(exc)


def _metrics(
    engine: Engine, container: str, path: str, folder: Path
) -> tuple[tuple[MetricRow, ...] | None, str | None]:
    """Copy metrics out of a container and read them: the rows, or what is wrong with them."""
    with disk_errors(folder):
        files = read_files(engine, container, path, folder)
    if files is None:
        return None, f"there is no {path}"
    return _read(path, folder, {file.path: file for file in files})


def _within(path: str, artifact: str, files: Sequence[FileHash]) -> dict[str, FileHash]:
    """Return the files of the metrics that came with the artifact, by the names that they have below `path`.

    The engine needs 0.07 s of a core to pack even one small file, so it is not asked for them again.
    """
    place = PurePosixPath(path)
    if not place.is_relative_to(artifact):
        return {}
    inside = place.relative_to(artifact)
    if single := [file for file in files if PurePosixPath(file.path) == inside]:
        return {place.name: single[0]}
    return {
        str(PurePosixPath(file.path).relative_to(inside)): file
        for file in files
        if PurePosixPath(file.path).is_relative_to(inside)
    }


def _read(path: str, folder: Path, files: Mapping[str, FileHash]) -> tuple[tuple[MetricRow, ...] | None, str | None]:
    """Read metrics that lie in a folder, given by their names: the rows, or what is wrong with them."""
    if (size := sum(file.size for file in files.values())) > MAX_METRICS:
        return None, f"{path} holds {size} bytes, more than {MAX_METRICS}"
    try:
        return read(path, {name: (folder / file.path).read_bytes() for name, file in files.items()}), None
    except ValueError as exc:
        return None, str(exc)
