"""Checks of the training run."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import TypeGuard

from harness.checks import check, failed, passed, skipped, warned
from harness.records import Artifact, Finding, Training
from harness.spec import Spec

LOG_LINES = 12
FAILURE_CHARACTERS = 1024


@check("train.exits-cleanly", rubric="Infra 3: The full ML pipeline is integration tested")
def exits_cleanly(spec: Spec, train: Training) -> Iterator[Finding]:
    """Training ends within its time with exit code 0."""
    if train.exit.code == 0:
        yield passed(f"exit code 0 after {train.exit.seconds:.1f} s")
        return
    if train.exit.timed_out:
        advice = "Make the fixture smaller, or raise `train.timeout`."
    elif train.exit.oom_killed or train.exit.code == 137:  # noqa: PLR2004 - 128 + SIGKILL
        limit = f"{train.memory_limit / 2**20:.0f} MiB" if train.memory_limit else "that of the machine"
        advice = f"The memory limit is {limit}: raise `mem_limit` of the service, or make the fixture smaller."
    else:
        advice = "Read the log lines above; the whole log is train/log.txt of the run."
    yield failed(
        expected=f"exit code 0 within {spec.block.train.timeout:g} s",
        received="\n".join([train.exit.describe(), *_failure(train), *train.exit.log_tail[-LOG_LINES:]]),
        advice=advice,
    )


def _failure(train: Training) -> list[str]:
    """Return the reason that training wrote down, as much of it as SageMaker itself shows."""
    return [f"it says why: {train.failure[:FAILURE_CHARACTERS]}"] if train.failure else []


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


@check("train.loss-decreases", rubric="Infra 2: Model specification code is unit tested")
def loss_decreases(spec: Spec, artifact: Artifact) -> Iterator[Finding]:
    """The loss is finite and lower at the end of training than at its start."""
    key, where = spec.block.train.loss, artifact.metrics_path
    if artifact.metrics is None and not artifact.metrics_declared:
        yield skipped(f"no metrics: {artifact.metrics_error}, and `train.metrics` names no other file")
        return
    losses = [m[key] for m in artifact.metrics or () if key in m]
    numbers = [float(v) for v in losses if _is_finite(v)]
    broken = [v for v in losses if not _is_finite(v)]
    if broken:
        yield failed(
            expected=f"finite numbers for `{key}` in {where}",
            received=f"{len(broken)} of {len(losses)} are not, the first is {broken[0]!r}",
            advice="A loss that is NaN or infinite: lower the learning rate, look for NaN in the features.",
        )
    elif len(numbers) < 2:  # noqa: PLR2004 - a fall needs a first and a last point
        yield failed(
            expected=f"at least two lines with `{key}` in {where}",
            received=artifact.metrics_error or f"{len(numbers)} among {len(artifact.metrics or ())} lines",
            advice='Write one JSON object an epoch, for example {"epoch": 1, "loss": 0.9}, or correct `train.loss`.',
        )
    elif numbers[-1] >= numbers[0]:
        yield failed(
            expected=f"the last `{key}` below the first",
            received=f"first {numbers[0]:.6g}, last {numbers[-1]:.6g} over {len(numbers)} points",
            advice="The model does not learn: look at the learning rate, the labels and the gradient's sign.",
        )
    else:
        yield passed(f"{numbers[0]:.4g} -> {numbers[-1]:.4g} over {len(numbers)} points")


def _is_finite(value: float | str | None) -> TypeGuard[float]:
    """Whether a metric is a number that a float can hold: not NaN, not infinite, no integer beyond all floats."""
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= sys.float_info.max
