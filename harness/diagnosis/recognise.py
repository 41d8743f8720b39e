"""The table of the recognisers, small functions, each for one kind of cause: the first that knows a failure names it.

Those of the machine come first: what it did is never blamed on the model. `LAST` know whatever nobody else knew.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from harness.diagnosis import container, machine
from harness.diagnosis.known import symptom
from harness.diagnosis.lines import relevant
from harness.diagnosis.making import BUILD_LINES, caused, caused_by_log, whole
from harness.diagnosis.record import Cause, CauseKind, Failure
from harness.errors import ComposeError, DescriptionError, HarnessError

Recogniser = Callable[[Failure], Cause | None]


def build_failed(failure: Failure) -> Cause | None:
    """A step of a Dockerfile failed."""
    if not failure.build:
        return None
    lines = relevant(failure.log, BUILD_LINES)
    name, known, _ = symptom(failure, lines)
    return Cause(
        kind=CauseKind.BUILD_FAILED,
        subject=failure.subject,
        summary=f"the build of {failure.build} failed",
        lines=lines,
        advice=" ".join(filter(None, (known, f"Read the last step above; {whole(failure)}"))),
        symptom=name,
    )


# --- whatever nobody else knew


def ended_with_code(failure: Failure) -> Cause | None:
    """The container ended with an exit code that says no more."""
    if failure.exit is None:
        return None
    return caused_by_log(failure, CauseKind.EXIT_CODE, failure.exit.describe())


def run_ended(failure: Failure) -> Cause | None:
    """The run ended without a verdict, and its error has a kind."""
    kinds = {
        DescriptionError.kind: CauseKind.DESCRIPTION,
        ComposeError.kind: CauseKind.COMPOSE_FAILED,
        "interrupted": CauseKind.INTERRUPTED,
        "the harness crashed": CauseKind.HARNESS_CRASHED,
    }
    return caused(failure, kinds.get(failure.error, CauseKind.INFRASTRUCTURE), failure.error, failure.hint)


MACHINE: tuple[Recogniser, ...] = (
    machine.engine_gone,
    machine.ended_from_outside,
    machine.disk_full_on_the_host,
    machine.disk_full_on_the_engine,
    machine.disk_full_in_the_container,
    machine.address_pool_exhausted,
    machine.port_taken,
    machine.builder_unusable,
    machine.image_unavailable,
    machine.no_network_while_building,
    machine.engine_failed,
)
RECOGNISERS: tuple[Recogniser, ...] = (
    *MACHINE,
    container.wrong_platform,
    container.out_of_memory,
    container.timeout,
    container.command_not_found,
    container.not_executable,
    container.crashed_while_serving,
    container.loopback_only,
    container.wrong_port,
    container.never_ready,
    container.ended_by_signal,
)
LAST: tuple[Recogniser, ...] = (build_failed, ended_with_code, run_ended)


def advice_for(error: type[HarnessError], message: str) -> str:
    """Return what to try after an error of the machine; empty where its message tells of nothing well known."""
    return cause_of(Failure(subject="run", error=error.kind, message=message)).advice


def machine_fault(lines: Sequence[str]) -> Cause | None:
    """Return what of the machine ended a build; None where the Dockerfile did."""
    failure = Failure(subject="images", log=tuple(lines), log_file="images/build.log", build="an image")
    return next((cause for recogniser in MACHINE if (cause := recogniser(failure))), None)


def cause_of(failure: Failure) -> Cause:
    """Return the cause of a failure: of the first recogniser that knows it."""
    found = (recogniser(failure) for recogniser in (*RECOGNISERS, *LAST))
    cause = next(cause for cause in found if cause is not None)
    lost = failure.exit.lost if failure.exit else ""
    return replace(cause, lines=(*cause.lines, f"its log is not whole: {lost}")) if lost else cause
