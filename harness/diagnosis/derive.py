"""Takes failures out of the records of a run, and finds their causes. Pure: so old run folders have causes too."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from harness.config.spec import Spec
from harness.diagnosis.recognise import cause_of
from harness.diagnosis.record import Cause, Failure
from harness.evidence.records import Ending, Evidence, Exit, Images, Limits, Rerun, Serving, Start, Training
from harness.evidence.records.run import JUDGED
from harness.evidence.records.training_variants import INTERRUPTED, MUST_FAIL

TRAIN_TIMEOUT, SERVE_TIMEOUT = "train.timeout", "serve.timeout"
# Further trainings that are meant to fail: how they end is no failure of the project.
MEANT_TO_FAIL = frozenset({*MUST_FAIL, INTERRUPTED})
# Further starts that may end or never be ready.
MAY_FAIL = frozenset({"artifact-missing", "artifact-truncated"})


def causes_of(evidence: Evidence) -> tuple[Cause, ...]:
    """Return the cause of every failure that a run recorded, in the order of the line.

    A run that ended without a verdict has one more, of the error that ended it, with the subject `run`.
    """
    return tuple(_causes(evidence))


def of_training(spec: Spec, train: Training) -> Cause:
    """Return why training failed. Only for one that did."""
    limits = replace(train.exit.limits, memory=train.exit.limits.memory or train.memory_limit)  # of an old record too
    return cause_of(
        Failure(
            subject="train",
            exit=train.exit,
            log=train.exit.log_tail,
            log_file="train/log.txt",
            limits=limits,
            timeout=spec.block.train.timeout,
            timeout_key=TRAIN_TIMEOUT,
            peak=train.peak,
            requirements=tuple(spec.block.wheels),
        )
    )


def of_rerun(spec: Spec, run: Rerun) -> Cause:
    """Return why a further training failed. Only for one that did."""
    return of_container(spec, run.exit, f"trainings:{run.name}", f"trainings/{run.name}/log.txt", train=True)


def of_container(spec: Spec, ended: Exit, subject: str, log_file: str, *, train: bool = False) -> Cause:
    """Return why a container failed that ended; `train`: it had the time of training."""
    return cause_of(
        Failure(
            subject=subject,
            exit=ended,
            log=ended.log_tail,
            log_file=log_file,
            limits=ended.limits,
            timeout=spec.block.train.timeout if train else None,
            timeout_key=TRAIN_TIMEOUT if train else "",
            requirements=tuple(spec.block.wheels),
        )
    )


def of_serving(serve: Serving, requirements: tuple[str, ...] = ()) -> Cause:
    """Return why a service did not become ready. Only for one that did not."""
    return cause_of(
        Failure(
            subject="serve",
            exit=serve.died,
            log=serve.died.log_tail if serve.died else serve.log_tail,
            log_file="serve/log.txt",
            limits=serve.died.limits if serve.died else Limits(),
            timeout=serve.timeout,
            timeout_key=SERVE_TIMEOUT,
            requirements=requirements,
            service=None if serve.died else serve,
        )
    )


def of_death(died: Exit, subject: str, requirements: tuple[str, ...] = ()) -> Cause:
    """Return why a service ended that had been ready."""
    return cause_of(
        Failure(
            subject=subject,
            exit=died,
            log=died.log_tail,
            log_file="serve/log.txt",
            limits=died.limits,
            requirements=requirements,
            served=True,
        )
    )


def of_start(spec: Spec, start: Start) -> Cause | None:
    """Return why a further start of the service ended; None where it did not end."""
    if start.exit is None:
        return None
    return of_container(spec, start.exit, f"robustness:{start.name}", f"robustness/{start.name}.txt")


def of_build(images: Images) -> Cause:
    """Return why a build failed. Only where one did."""
    return cause_of(
        Failure(
            subject="images",
            log=images.log_tail,
            log_file="images/build.log",
            requirements=tuple(images.requirements),
            build=images.failure or "",
        )
    )


def of_ending(end: Ending) -> Cause | None:
    """Return why a run ended without a verdict; None where it has one."""
    if end.kind == JUDGED:
        return None
    return cause_of(Failure(subject="run", error=end.kind, message=end.message, hint=end.hint))


def _causes(evidence: Evidence) -> Iterator[Cause]:
    spec, requirements = evidence.spec, tuple(evidence.spec.block.wheels)
    if evidence.images is not None and evidence.images.failure:
        yield of_build(evidence.images)
    if evidence.train is not None and evidence.train.exit.code != 0:
        yield of_training(spec, evidence.train)
    if evidence.serve is not None and not evidence.serve.ready:
        yield of_serving(evidence.serve, requirements)
    asked = (("contract", evidence.contract), ("fuzz", evidence.fuzz), ("load", evidence.load))
    for subject, record in asked:
        if record is not None and record.died is not None:
            yield of_death(record.died, subject, requirements)
            break  # it ended once, whoever asks it afterwards
    yield from _beside(evidence)
    if evidence.end is not None and (cause := of_ending(evidence.end)):
        yield cause


def _beside(evidence: Evidence) -> Iterator[Cause]:
    """Yield the causes of what ran beside the line and was meant to end well."""
    spec = evidence.spec
    tests = evidence.code.unit_tests if evidence.code is not None else None
    if tests is not None and tests.exit is not None and tests.exit.code != 0:
        yield of_container(spec, tests.exit, "code", "code/unit-tests.txt", train=True)
    for run in evidence.trainings.runs if evidence.trainings is not None else ():
        if run.exit.code != 0 and run.name not in MEANT_TO_FAIL:
            yield of_rerun(spec, run)
    if evidence.skew is not None and evidence.skew.exit.code != 0 and evidence.skew.requests:
        yield of_container(spec, evidence.skew.exit, "skew", "skew/log.txt", train=True)
    for start in evidence.robustness.starts if evidence.robustness is not None else ():
        if start.name not in MAY_FAIL and not start.answered and (cause := of_start(spec, start)):
            yield cause
