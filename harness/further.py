"""Lends the further training runs what other stages do: delivering a dataset, taking an artifact, predicting."""

from __future__ import annotations

from harness.records import Artifact, Repeated, Training, Trainings
from harness.reruns import has_volume
from harness.stages import Run
from harness.stages import artifact as artifact_stage
from harness.stages import data as data_stage
from harness.stages import repeated as repeated_stage
from harness.stages import trainings as trainings_stage
from harness.stages.trainings import Deliver, Prepared, Start


def prepare_again(run: Run, start: Start, *, deep: bool) -> Prepared:
    """Create what the further training runs of a project need. Raises RunOverError when the run ends meanwhile."""
    return trainings_stage.prepare(run, start, deliver=_deliverer(run, start), deep=deep)


def train_again(
    run: Run, start: Start, prepared: Prepared, training: Training, artifact: Artifact, *, deep: bool
) -> Trainings:
    """Make the further training runs of a project. Raises RunOverError when the run ends meanwhile."""
    deliver = _deliverer(run, start)

    def take(container: str, into: str, log: str) -> Artifact:
        return artifact_stage.collect(run, container, into=into, log=log, written_only=not has_volume(run.spec))

    def repeat(second: str) -> Repeated | None:
        return repeated_stage.collect(run, start.images, start.data_volume, second=second, deliver=deliver)

    return trainings_stage.collect(
        run, start, prepared, training, artifact, deliver=deliver, take=take, repeat=repeat, deep=deep
    )


def _deliverer(run: Run, start: Start) -> Deliver:
    image = start.images.of(run.spec.train_key).id
    return lambda folder: data_stage.deliver_folder(run, folder, image)
