"""Runs the train entrypoint in its container: time limit, exit code, memory, live log."""

from __future__ import annotations

from collections.abc import Callable

from harness.config.spec import Handover
from harness.engine import Peak
from harness.engine.archive import read_text
from harness.evidence.records import Images, Training
from harness.project.conventions import dialect_of
from harness.runner.stages import Run, not_for_want_of_disk

LOG = "train/log.txt"
MAX_FAILURE = 64 * 1024  # bytes


def collect(
    run: Run, images: Images, data_volume: str | None, meanwhile: Callable[[], object] = lambda: None
) -> tuple[Training, str]:
    """Train; return the record and the ID of the ended container, from which the artifact is taken.

    `meanwhile` is called as soon as the container runs.
    Raises DiskFullError when the training wrote to a full disk: that is never the model's fault.
    """
    spec = run.spec
    image = images.of(spec.train_key).id
    container = run.create(spec.train_key, images.ids(spec.train_key), data_volume)
    with run.log("train", LOG) as log, run.engine.started(container, log) as training, Peak(training) as peak:
        meanwhile()
        if not training.wait(spec.block.train.timeout):
            training.stop()
        ended = training.exit()
    inspect = run.engine.inspect(container)
    run.folder.write_json("train/inspect.json", inspect)
    not_for_want_of_disk(ended, "training")
    config = inspect.get("Config", {})
    record = Training(
        image=image,
        command=(*(config.get("Entrypoint") or ()), *(config.get("Cmd") or ())),
        exit=ended,
        in_image_build=spec.handover is Handover.TRAINED_IN_BUILD,
        memory_limit=inspect.get("HostConfig", {}).get("Memory", 0),
        peak=peak.bytes,
        peak_source=peak.source,
        peak_at=peak.at,
        memory=tuple(peak.samples),
        failure="" if ended.code == 0 else _failure(run, container),
    )
    return record, container


def _failure(run: Run, container: str) -> str:
    """Return the reason that a failed training wrote down, where its protocol names a file for it."""
    dialect = dialect_of(run.spec.block)
    if dialect is None or dialect.failure is None:
        return ""
    text = (read_text(run.engine, container, dialect.failure, MAX_FAILURE) or "").strip()
    if text:
        run.folder.append("train/failure.txt", text)
    return text
