"""Recognisers of how a container failed: before its program ran, while it ran, or by never becoming ready."""

from __future__ import annotations

import re

from harness.diagnosis.known import size
from harness.diagnosis.making import caused, caused_by_log
from harness.diagnosis.record import Cause, CauseKind, Failure
from harness.diagnosis.signals import SIGKILL, advice_of, name_of, signal_of
from harness.evidence.records import ReadinessProbe

NEAR = 0.9  # of the memory limit: a peak that was seen this close to it, and then SIGKILL
NOT_EXECUTABLE, NOT_FOUND = 126, 127  # exit codes, as in a shell
NO_SUCH_PATH = (404, 405, 410)  # statuses
CANNOT_START = "the container cannot start"
FORMAT_FAULT = re.compile(r"exec format error", re.IGNORECASE)
MISSING_PROGRAM = re.compile(
    r"executable file not found|no such file or directory|(?:^|\s)(?P<program>\S+): (?:command )?not found",
    re.MULTILINE,
)
FORBIDDEN_PROGRAM = re.compile(r"permission denied", re.IGNORECASE)


def wrong_platform(failure: Failure) -> Cause | None:
    """The program is made for another processor, or a script without its first line."""
    if failure.code == 0 or not FORMAT_FAULT.search("\n".join((*failure.log[-3:], failure.message))):
        return None
    advice = (
        "Build for the engine's processor (`platform` of the service, `--platform` in FROM), or begin the script with "
        "`#!/bin/sh`."
    )
    return caused(failure, CauseKind.WRONG_PLATFORM, "the program has the format of another processor", advice)


def out_of_memory(failure: Failure) -> Cause | None:
    """A container was killed for memory: the engine says so, or it died by SIGKILL with a peak near its limit."""
    end, limit = failure.exit, failure.limits.memory
    if end is None or end.timed_out or end.code in (0, None):
        return None
    if end.oom_killed or end.ooms:
        summary = end.describe() if end.oom_killed else f"a process of it ran out of memory; {end.describe()}"
    elif signal_of(end.code) == SIGKILL and limit and (failure.peak or 0) >= NEAR * limit:
        summary = f"{end.describe()} with a peak of {size(failure.peak or 0, '')}: it used all its memory"
    else:
        return None
    shown = size(limit, "that of the machine")
    return caused(
        failure,
        CauseKind.OUT_OF_MEMORY,
        f"the service ended while it was asked: {summary}" if failure.served else summary,
        f"The memory limit is {shown}: raise `mem_limit` of the service, or make the fixture smaller.",
        f"memory {shown}",
    )


def timeout(failure: Failure) -> Cause | None:
    """A container did not end within its time."""
    if failure.exit is None or not failure.exit.timed_out:
        return None
    key = failure.timeout_key or "its time limit"
    limit = f"{key} {failure.timeout:g} s" if failure.timeout else ""
    limit += f", {failure.limits.cpus:g} CPUs" if limit and failure.limits.cpus else ""
    advice = f"Make the fixture smaller, or raise `{key}`."
    return caused(failure, CauseKind.TIMEOUT, failure.exit.describe(), advice, limit)


def command_not_found(failure: Failure) -> Cause | None:
    """The image has no such program."""
    refused = _refused_start(failure)
    if not (MISSING_PROGRAM.search(refused) if refused else failure.code == NOT_FOUND):
        return None
    advice = failure.hint or (
        "Correct `command` or `entrypoint` of the service, or install the program in the image; the word before "
        "`not found` is the one that is missing."
    )
    said = "the image has no such program" if refused else f"a command was not found ({_how(failure)})"
    return caused(failure, CauseKind.COMMAND_NOT_FOUND, said, advice)


def not_executable(failure: Failure) -> Cause | None:
    """The program is there and may not be run."""
    refused = _refused_start(failure)
    if refused:
        matches = bool(FORBIDDEN_PROGRAM.search(refused)) and not MISSING_PROGRAM.search(refused)
    else:
        matches = failure.code == NOT_EXECUTABLE
    if not matches:
        return None
    advice = "Make the file executable (`chmod +x`, `COPY --chmod=755`), or start it with its interpreter."
    said = "the program may not be run" if refused else f"a command cannot be run ({_how(failure)})"
    return caused(failure, CauseKind.NOT_EXECUTABLE, said, advice)


def crashed_while_serving(failure: Failure) -> Cause | None:
    """The service was ready, and ended while it was asked."""
    if not failure.served or failure.exit is None:
        return None
    summary = f"the service ended while it was asked: {failure.exit.describe()}"
    return caused_by_log(failure, CauseKind.CRASHED_WHILE_SERVING, summary)


def loopback_only(failure: Failure) -> Cause | None:
    """The service listens where nobody outside its container can reach it."""
    service = failure.service
    sockets = [s for s in service.listening if s.endswith(f":{service.port}")] if service else []
    if service is None or not sockets or not all(s.startswith(("127.", "[::1]")) for s in sockets):
        return None
    advice = f"It listens on 127.0.0.1 only: bind 0.0.0.0:{service.port} inside the container."
    return caused(failure, CauseKind.LOOPBACK_ONLY, _last_answer(failure), advice, _time_to_start(failure))


def wrong_port(failure: Failure) -> Cause | None:
    """The service listens, but on another port than the one that is asked."""
    service = failure.service
    if service is None or not service.listening or str(service.port) in {_port(s) for s in service.listening}:
        return None
    advice = f"It listens on {', '.join(service.listening)}: correct `serve.port` or the server's own setting."
    return caused(failure, CauseKind.WRONG_PORT, _last_answer(failure), advice, _time_to_start(failure))


def never_ready(failure: Failure) -> Cause | None:
    """The service runs and never became ready: it does not listen at all, or says no."""
    if failure.service is None or failure.exit is not None or loopback_only(failure) or wrong_port(failure):
        return None
    advice = f"Nothing listens inside the container: start the server on 0.0.0.0:{failure.service.port}."
    if failure.service.listening:
        advice = "It listens on the right port: look at what the ready path waits for, or raise `serve.timeout`."
        if any(_is_not_there(asked) for asked in failure.service.asked[-1:]):
            advice = (
                "It answers, and has nothing at the paths that are asked: correct `contract.predict`"
                " and `serve.ready` (which may be left out: then a prediction that is answered says that it is ready)."
            )
    return caused(failure, CauseKind.NEVER_READY, _last_answer(failure), advice, _time_to_start(failure))


def _is_not_there(last: ReadinessProbe) -> bool:
    """Whether the service has no such ready path, and no such path of predictions where it was asked for one."""
    return last.code in NO_SUCH_PATH and last.predicted in (None, *NO_SUCH_PATH)


def ended_by_signal(failure: Failure) -> Cause | None:
    """A signal ended the container's first process."""
    number = signal_of(failure.code)
    if failure.exit is None or number is None or failure.served or out_of_memory(failure):
        return None
    summary = f"{failure.exit.describe()}: {name_of(number)}"
    return caused_by_log(failure, CauseKind.SIGNAL, summary, advice_of(number, size(failure.limits.memory, "")))


def _refused_start(failure: Failure) -> str:
    return failure.message if failure.message.startswith(CANNOT_START) else ""


def _how(failure: Failure) -> str:
    return failure.exit.describe() if failure.exit else "it did not start"


def _port(socket: str) -> str:
    return socket.rpartition(":")[2]


def _last_answer(failure: Failure) -> str:
    service = failure.service
    return f"after {service.seconds:.1f} s the last answer was {service.last_answer}" if service else ""


def _time_to_start(failure: Failure) -> str:
    return f"{failure.timeout_key} {failure.timeout:g} s" if failure.timeout else ""
