"""Lends the further training runs what other stages do: delivering a dataset, taking an artifact, predicting."""

from __future__ import annotations

from pathlib import Path

from harness.evidence.records import Artifact, Exit, Repeated, Trainings
from harness.runner.stages import Run
from harness.runner.stages import artifact as artifact_stage
from harness.runner.stages import data as data_stage
from harness.runner.stages import prediction_repeatability as repeated_stage
from harness.runner.stages import training_variants as trainings_stage
from harness.runner.stages.training_variants import Main, TrainingStart


def train_again(run: Run, start: TrainingStart, main: Main, *, deep: bool) -> Trainings:
    """Make the further training runs of a project; `main` waits for the main one.

    Raises RunOverError when the run ends meanwhile.
    """
    image = start.images.of(run.spec.train_key).id

    def deliver(folder: Path) -> str:
        return data_stage.deliver_folder(run, folder, image)

    def take(container: str, into: str, log: str, ended: Exit) -> Artifact:
        return artifact_stage.collect(run, container, ended, into=into, log=log)

    def repeat(second: str) -> Repeated | None:
        return repeated_stage.collect(run, start.images, start.data_volume, second=second, deliver=deliver)

    return trainings_stage.collect(run, start, main, deliver=deliver, take=take, repeat=repeat, deep=deep)
