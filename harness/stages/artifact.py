"""Takes the artifact out of the train container and reads the metrics; never loads the model."""

from __future__ import annotations

import json
from pathlib import PurePosixPath

from harness.archive import read_files, read_text
from harness.engine import Engine
from harness.evidence import disk_errors
from harness.records import Artifact
from harness.spec import Handover
from harness.stages import Run

MAX_METRICS = 64 * 1024**2


def collect(run: Run, container: str) -> Artifact:
    """Copy what training left into the run folder, with its hash, and read the metrics."""
    train = run.spec.block.train
    folder = run.folder.path / "artifact"
    with disk_errors(folder):
        files = read_files(run.engine, container, train.artifact, folder)
    if files and run.spec.handover is Handover.TRAINED_IN_BUILD:
        # The stage's image holds the artifact of the build already: only what this run wrote counts.
        written = run.engine.changed_paths(container)
        single = len(files) == 1 and files[0].path == PurePosixPath(train.artifact).name
        files = tuple(f for f in files if (train.artifact if single else f"{train.artifact}/{f.path}") in written)
    metrics_path = train.metrics or f"{train.artifact}/metrics.jsonl"
    metrics, error = _metrics(run.engine, container, metrics_path)
    return Artifact(
        path=train.artifact,
        files=files or (),
        missing=f"nothing at {train.artifact}" if files is None else None,
        metrics_path=metrics_path,
        metrics_declared=train.metrics is not None,
        metrics=metrics,
        metrics_error=error,
    )


def _metrics(
    engine: Engine, container: str, path: str
) -> tuple[tuple[dict[str, float | int | str | bool | None], ...] | None, str | None]:
    """Read JSON lines from a container: the objects, or what is wrong with them."""
    text = read_text(engine, container, path, MAX_METRICS)
    if text is None:
        return None, f"there is no {path}"
    found = []
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        try:
            entry = json.loads(line)
        except (ValueError, RecursionError) as exc:
            return None, f"{path}, line {number}: {exc}"
        if not isinstance(entry, dict):
            return None, f"{path}, line {number}: expected a JSON object, received {line[:60]}"
        found.append({k: v for k, v in entry.items() if v is None or isinstance(v, float | int | str | bool)})
    return tuple(found), None
