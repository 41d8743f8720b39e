"""The stages of a run, as far as a verdict and a report must know them: their records, logs, and when there are any.

Which stage needs which is said by the functions that do the work (`harness.runner.order`); this table is what can be
known without them, by whoever judges or shows a run that is over.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from harness.config.companions import dependencies, needed_by
from harness.config.spec import Handover, Spec

SERVE_LOG = ("serve/log.txt",)


def _always(_: Spec) -> bool:
    return True


def _has_companions(spec: Spec) -> bool:
    return bool(spec.model) and bool(dependencies(spec))  # of a service that runs elsewhere nothing is known


def _has_companions_of_training(spec: Spec) -> bool:
    return bool(spec.model) and bool(needed_by(spec, spec.train_key))


@dataclass(frozen=True)
class StageInfo:
    """One stage of a run."""

    name: str
    record: str = ""  # the field of Evidence that it makes, or completes; empty: the one of its name
    is_main: bool = False  # of the main line, which each picture shows apart
    is_fast: bool = False  # done with --fast too
    guard: str = ""  # the check that says why a run ended at this stage: it is judged whatever a run was asked for
    logs: tuple[str, ...] = ()  # in the run folder, as in Path.glob
    is_there: Callable[[Spec], bool] = _always  # whether a project has anything for it

    @property
    def makes(self) -> str:
        """The field of Evidence that it makes, or completes."""
        return self.record or self.name


STAGES: Mapping[str, StageInfo] = {
    stage.name: stage
    for stage in (
        StageInfo("images", is_main=True, is_fast=True, guard="images.built", logs=("images/build.log",)),
        StageInfo("data", is_main=True, is_fast=True, is_there=lambda spec: spec.block.data is not None),
        StageInfo("tracked", is_fast=True),
        StageInfo(
            "services",
            is_fast=True,
            guard="services.ready",
            logs=("services/*.txt",),
            is_there=_has_companions_of_training,
        ),
        StageInfo("train", is_main=True, is_fast=True, guard="train.exits-cleanly", logs=("train/log.txt",)),
        StageInfo("artifact", is_main=True, is_fast=True, guard="artifact.present", logs=("train/log.txt",)),
        StageInfo("manifest", is_fast=True),
        StageInfo("scan", is_fast=True),
        StageInfo("provenance", is_fast=True),
        StageInfo(
            "code",
            logs=("code/*.txt",),
            is_there=lambda spec: spec.block.train.unit_tests is not None or bool(spec.block.code.features),
        ),
        StageInfo("trainings", logs=("trainings/*/log.txt",)),
        StageInfo(
            "bake",
            record="images",
            is_fast=True,
            guard="images.built",
            logs=("images/build.log",),
            is_there=lambda spec: spec.handover is not Handover.MOUNTED,
        ),
        StageInfo(
            "steps",
            record="services",
            is_fast=True,
            guard="services.ready",
            logs=("services/*.txt",),
            is_there=_has_companions,
        ),
        StageInfo("serve", is_main=True, is_fast=True, guard="serve.ready", logs=SERVE_LOG),
        StageInfo("contract", is_main=True, is_fast=True, logs=SERVE_LOG),
        StageInfo("loaded", is_fast=True, logs=SERVE_LOG),
        StageInfo("skew", logs=("skew/log.txt",), is_there=lambda spec: spec.block.contract.skew is not None),
        StageInfo("quality", logs=SERVE_LOG, is_there=lambda spec: spec.block.quality is not None),
        StageInfo("robustness", logs=("robustness/*.txt",)),
        StageInfo("fuzz", logs=("fuzz/log.txt", *SERVE_LOG)),
        StageInfo("load", logs=SERVE_LOG),
        StageInfo("stop", logs=SERVE_LOG),
    )
}
RECORDS = frozenset(stage.makes for stage in STAGES.values())
SLOW = frozenset(stage.makes for stage in STAGES.values() if not stage.is_fast)  # records that --fast does without
GUARDS: Mapping[str, str] = {stage.guard: stage.makes for stage in STAGES.values() if stage.guard}  # check -> record


def makers(record: str) -> tuple[str, ...]:
    """Return the stages that make a record, in the order in which they work: the last of them completes it."""
    return tuple(stage.name for stage in STAGES.values() if stage.makes == record)


def absent(spec: Spec) -> frozenset[str]:
    """Return the stages that a project has nothing for: the checks say what they make of that."""
    return frozenset(stage.name for stage in STAGES.values() if not stage.is_there(spec))


def whole(settled: Iterable[str]) -> frozenset[str]:
    """Return the records to which nothing more comes, where of the stages in `settled` nothing more comes."""
    over = frozenset(settled)
    return frozenset(record for record in RECORDS if over.issuperset(makers(record)))
