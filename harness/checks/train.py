"""Checks of the training run."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import replace
from statistics import median
from typing import TypeGuard

from harness.checks import check, failed, passed, skipped, warned, whole_log, whole_metrics
from harness.config.spec import Spec
from harness.diagnosis import of_training
from harness.evidence.records import Artifact, Finding, Training

MIB = 2**20
FAILURE_CHARACTERS = 1024
TREND = 4  # points: three that fall have still p = 0.17 by Kendall's test
FALL = 0.99  # of the first quarter's median: the last one must be below


@check("train.exits-cleanly")
def exits_cleanly(spec: Spec, train: Training) -> Iterator[Finding]:
    """Training ends within its time with exit code 0."""
    if train.exit.code == 0:
        yield passed(f"exit code 0 after {train.exit.seconds:.1f} s")
        return
    whole_log(train.exit, end_only=True)
    cause = of_training(spec, train)
    yield failed(
        expected=f"exit code 0 within {spec.block.train.timeout:g} s",
        received=replace(cause, lines=(*_failure(train), *cause.lines)).text,
        advice=cause.advice,
    )


def _failure(train: Training) -> list[str]:
    """Return the reason that training wrote down, as much of it as SageMaker itself shows."""
    return [f"it says why: {train.failure[:FAILURE_CHARACTERS]}"] if train.failure else []


@check("train.time", rubric="Monitor 6")
def time(spec: Spec, train: Training) -> Iterator[Finding]:
    """Training stays within its budget of time."""
    budget, took = spec.block.train.max_time, train.exit.seconds
    if budget is None:
        yield skipped(f"x-harness.train has no `max_time`; it took {took:.1f} s")
    elif took <= budget:
        yield passed(f"{took:.1f} s of {budget:g} s")
    else:
        yield failed(
            expected=f"at most {budget:g} s",
            received=f"{took:.1f} s",
            advice="Make the fixture smaller or training faster; raise `train.max_time` where the time is well spent.",
        )


@check("train.memory", rubric="Monitor 6")
def memory(spec: Spec, train: Training) -> Iterator[Finding]:
    """Training stays within its budget of memory."""
    budget, limit = spec.block.train.max_memory, train.memory_limit
    seen = "its peak is unknown: the engine said nothing while it ran"
    if train.peak is not None:
        until = f"last looked at {train.peak_at:.1f} s after the start of {train.exit.seconds:.1f} s"
        seen = f"peak {train.peak / MIB:.0f} MiB ({train.peak_source}; {until})"
    if budget is None:
        yield skipped(f"x-harness.train has no `max_memory`; {seen}")
    elif (train.peak or 0) > budget or (train.exit.oom_killed and limit):  # a limit above the budget was reached too
        yield failed(
            expected=f"at most {budget / MIB:.0f} MiB",
            received=f"it used all of its limit of {limit / MIB:.0f} MiB" if train.exit.oom_killed else seen,
            advice="Read the data in parts, free what is no longer used, or raise `train.max_memory`.",
        )
    elif limit and limit <= budget:
        yield passed(f"its limit of {limit / MIB:.0f} MiB is within {budget / MIB:.0f} MiB; {seen}")
    elif train.peak is None:
        yield warned(
            expected=f"at most {budget / MIB:.0f} MiB",
            received=seen,
            advice="Set `mem_limit` of the service to the budget: then it holds without a look.",
        )
    else:
        yield passed(f"{seen} of {budget / MIB:.0f} MiB")


@check("train.outside-build")
def outside_build(train: Training) -> Iterator[Finding]:
    """Training is a container run, not a step of an image build."""
    if not train.in_image_build:
        yield passed("training runs in a container")
        return
    yield warned(
        expected="a train service of its own",
        received="the project trains inside an image build",
        advice="A build has no memory or time limit and its cache hides a changed result: train in a service and hand "
        "the artifact over by a volume.",
    )


@check("train.loss-finite", rubric="Monitor 5")
def loss_finite(spec: Spec, artifact: Artifact) -> Iterator[Finding]:
    """Every loss that training records is a finite number."""
    key, where = spec.block.train.loss, artifact.metrics_path
    losses = [m[key] for m in whole_metrics(artifact) if key in m]
    broken = [v for v in losses if not is_finite(v)]
    if broken:
        yield failed(
            expected=f"finite numbers for `{key}` in {where}",
            received=f"{len(broken)} of {len(losses)} are not, the first is {broken[0]!r}",
            advice="A loss that is NaN or infinite: lower the learning rate, look for NaN in the features.",
        )
    elif losses:
        yield passed(f"{len(losses)} finite values of `{key}`")
    else:
        yield skipped(f"no `{key}` in {where}: train.loss-decreases says more")


@check("train.loss-decreases", rubric="Infra 2")
def loss_decreases(spec: Spec, artifact: Artifact) -> Iterator[Finding]:
    """The loss is lower at the end of training than at its start."""
    key, where = spec.block.train.loss, artifact.metrics_path
    if artifact.metrics is None and not artifact.metrics_declared:
        yield skipped(f"no metrics: {artifact.metrics_error}, and `train.metrics` names no other file")
        return
    losses = [m[key] for m in whole_metrics(artifact) if key in m]
    numbers = [float(v) for v in losses if is_finite(v)]
    if len(numbers) < len(losses):
        yield skipped("a loss that is not finite has no trend: see train.loss-finite")
    elif len(numbers) < 2:  # noqa: PLR2004 - a fall needs a first and a last point
        yield failed(
            expected=f"at least two lines with `{key}` in {where}",
            received=artifact.metrics_error or f"{len(numbers)} among {len(artifact.metrics or ())} lines",
            advice='Write one JSON object an epoch, for example {"epoch": 1, "loss": 0.9}, or correct `train.loss`.',
        )
    else:
        yield _falls(key, numbers)


def _falls(key: str, losses: list[float]) -> Finding:
    """Compare the medians of the first and the last quarter; too few points have only a first and a last one."""
    first, last = losses[0], losses[-1]
    advice = "The model does not learn: look at the learning rate, the labels and the gradient's sign."
    if len(losses) < TREND:
        if last < first:
            return passed(f"{first:.4g} -> {last:.4g} over {len(losses)} points: too few for a trend")
        received = f"first {first:.6g}, last {last:.6g} over {len(losses)} points"
        return failed(expected=f"the last `{key}` below the first", received=received, advice=advice)
    quarter = len(losses) // 4
    early, late = median(losses[:quarter]), median(losses[-quarter:])
    medians = f"the median of the first quarter {early:.6g}, of the last {late:.6g}"
    if late < early - (1 - FALL) * abs(early):
        return passed(f"{first:.4g} -> {last:.4g} over {len(losses)} points; {medians}")
    return failed(
        expected=f"the median `{key}` of the last quarter at least 1 % below that of the first",
        received=f"first {first:.6g}, last {last:.6g} over {len(losses)} points; {medians}",
        advice=advice,
    )


def is_finite(value: float | str | None) -> TypeGuard[float]:
    """Whether a metric is a number that a float can hold: not NaN, not infinite, no integer beyond all floats."""
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= sys.float_info.max
