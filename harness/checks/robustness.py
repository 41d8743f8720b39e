"""Checks of what the service does beyond answering: how it starts, what it needs, and how it stops."""

from __future__ import annotations

from collections.abc import Iterator

from harness.checks import check, failed, passed, skipped, warned
from harness.checks.volatile import LeftOut, left_out
from harness.client.compare import SAME, compare, described, parse
from harness.client.protocols import DIALECTS
from harness.config.spec import Spec
from harness.diagnosis import relevant
from harness.evidence.records import Contract, Exchange, Finding, ReadinessProbe, Robustness, Serving, Start, Stop

LOG_LINES = 8
CANNOT_RUN = (126, 127)  # as a shell says that a command cannot be run, or is not there
SIGNALLED = 128  # added to the number of the signal that ended a process
BROKEN = {"artifact-missing": "its artifact missing", "artifact-truncated": "every file of its artifact cut in half"}
RUNGS = {
    "no-network": (
        "a network without a way out",
        "Put what it fetches at start (models, tokenizers, telemetry) into the image or the artifact.",
    ),
    "read-only": (
        "a read-only root file system with a writable /tmp",
        "Write below /tmp only, or to a volume: set the caches' variables (HOME, HF_HOME, MPLCONFIGDIR) to /tmp.",
    ),
    "arbitrary-uid": (
        "a user ID that the image does not know, in group 0, as OpenShift gives it",
        "Let group 0 read what the service reads (chgrp -R 0, chmod -R g=u), and need no name for the user.",
    ),
    "no-capabilities": (
        "no capabilities and no new privileges",
        "Listen on a port above 1023, and neither chown nor change the user at start.",
    ),
}


@check("serve.ready-is-honest")
def ready_is_honest(spec: Spec, serve: Serving, robustness: Robustness) -> Iterator[Finding]:
    """The service says that it is ready only when it can predict, and never without its whole artifact."""
    good: list[str] = []
    if lie := next((asked for asked in serve.asked if asked.ready and not asked.honest), None):
        yield _lie(lie)
    else:
        good.append("ready only when it could predict")
    for name, what in BROKEN.items():
        start = robustness.start(name)
        problem = None if start is None else _without_artifact(start, what, strict=spec.block.contract.strict)
        if problem is not None:
            yield problem
        elif start is None or start.impossible:
            good.append(f"{name} could not be tried: {start.impossible if start else 'not recorded'}")
        else:
            good.append(f"{name}: {_ending(start)}")
    if len(good) == 1 + len(BROKEN):
        yield passed("; ".join(good))


@check("serve.healthcheck-works")
def healthcheck_works(robustness: Robustness) -> Iterator[Finding]:
    """The health check of the container succeeds beside a live service, and fails where nothing serves."""
    health = robustness.health
    if health is None or not health.command:
        yield warned(
            expected="a HEALTHCHECK in the image, or `healthcheck` in Compose",
            received="none: the engine cannot tell a hanging service from a working one",
            advice="Add one that asks the ready path with a program that the image has.",
        )
        return
    command = " ".join(health.command)
    if health.alive_code in CANNOT_RUN:
        yield failed(
            expected=f"`{command}` runs inside the container",
            received=f"exit code {health.alive_code}, it cannot be run: {_tail(health.alive_output)}",
            advice="The image does not have that program: install it, or ask with one that it has (python, wget).",
        )
    elif health.alive_code != 0:
        yield failed(
            expected=f"exit code 0 of `{command}` beside a service that answers",
            received=f"{_code(health.alive_code, health.timeout)}: {_tail(health.alive_output)}",
            advice="Correct the address, the path or the time-out of the health check: the engine reports a good "
            "service as unhealthy.",
        )
    elif health.dead_code == 0:
        yield failed(
            expected=f"another exit code than 0 of `{command}` where nothing serves",
            received="exit code 0: it finds every service healthy",
            advice="Ask the service itself, and let an error be the exit code (`curl --fail`, no `|| true`).",
        )
    else:
        yield passed(f"exit code 0 beside the service, {_code(health.dead_code, health.timeout)} where nothing serves")


@check("serve.unprivileged")
def unprivileged(spec: Spec, robustness: Robustness) -> Iterator[Finding]:
    """The service does not run as root."""
    configured = robustness.user.partition(":")[0] or "root"
    root = robustness.uid == 0 if robustness.uid is not None else configured in ("0", "root")
    known = f"user ID {robustness.uid}" if robustness.uid is not None else f"user {configured}"
    if not root:
        yield passed(known)
        return
    yield (failed if spec.block.contract.strict else warned)(
        expected="the first process runs as a user of its own",
        received=f"{known}: who breaks into the service is root in its container",
        advice="Add for example `USER 10001:10001` to the serving Dockerfile, or `user` to the service.",
    )


@check("serve.hermetic")
def hermetic(spec: Spec, serve: Serving, robustness: Robustness) -> Iterator[Finding]:
    """The service also serves without network, on a read-only root, as any user, without capabilities."""
    if serve.asked and not serve.asked[-1].honest:
        yield skipped(f"it does not predict without restrictions either: {serve.asked[-1].prediction}")
        return
    together = robustness.start("hermetic")
    starts = {rung: robustness.start(rung) for rung in RUNGS}
    left_out = [f"{rung} could not be tried: {s.impossible}" for rung, s in starts.items() if s and s.impossible]
    bad = [start for start in starts.values() if start and not start.impossible and not start.answered]
    report = failed if spec.block.contract.strict else warned
    for start in bad:
        what, advice = RUNGS[start.name]
        yield report(expected=f"it serves with {what}", received=f"{start.name}: {_unwell(start)}", advice=advice)
    if together is not None and together.answered:
        held = [rung for rung, start in starts.items() if start is None or not start.impossible]
        yield passed("; ".join([f"holds all at once: {', '.join(held)}", *left_out]))
    elif together is None:
        yield skipped("; ".join(left_out) or "no such start was recorded")
    elif not bad:
        yield report(
            expected="it serves with all restrictions at once, as it does with each alone",
            received=f"all at once: {_unwell(together)}",
            advice="Look at what it needs under one restriction because of another.",
        )


@check("serve.stops-gracefully")
def stops_gracefully(spec: Spec, contract: Contract, stop: Stop) -> Iterator[Finding]:
    """Asked to stop under load, the service answers what is in flight and ends in time with a good exit code."""
    promised = DIALECTS[contract.interface.dialect].stop_within is not None
    report = failed if spec.block.contract.strict or promised else warned
    problems = 0
    aside = left_out(spec, contract)
    lost = [(e, why) for e in stop.in_flight if (why := _loss(e, contract, aside))]
    if lost:
        problems += 1
        yield report(
            expected=f"an answer to each of {len(stop.in_flight)} requests that were in flight at {stop.signal}",
            received=f"{len(lost)} lost, such as {lost[0][0].case}: {lost[0][1]}",
            advice="At the signal accept no new connections, finish the open ones, then end.",
        )
    if stop.killed:
        problems += 1
        yield report(
            expected=f"it ends within {stop.limit:g} s of {stop.signal}",
            received="it did not end and was killed",
            advice="Handle the signal. As the first process of a container a program ignores it by default (`init: "
            "true` in Compose helps), and `sh -c` does not pass it on (use `exec`).",
        )
    elif stop.code not in (0, *(() if stop.number is None else (SIGNALLED + stop.number,))):
        problems += 1
        yield report(
            expected=f"exit code 0, or {SIGNALLED + (stop.number or 0)}, after {stop.signal}",
            received=f"exit code {stop.code} after {stop.seconds:.1f} s",
            advice="Let a requested end be no error: orchestrators report other codes as crashes.",
        )
    if problems:
        return
    end = f"exit code {stop.code} {stop.seconds:.1f} s after {stop.signal}"
    if stop.in_flight:
        yield passed(f"{len(stop.in_flight)} of {len(stop.in_flight)} requests in flight answered, {end}")
    else:
        yield warned(
            expected="requests in flight when the signal comes",
            received=f"none was, of {stop.clients} sent just before; {end}",
            advice="Give examples that get a prediction; of a service that answers at once little can be in flight.",
        )


def _lie(asked: ReadinessProbe) -> Finding:
    return failed(
        expected="a yes of the ready path only when a prediction is answered",
        received=f"{asked.at:.1f} s after the start {asked.answer}, and then {asked.prediction}",
        advice="Let the ready path answer 503 until the model is loaded and has predicted once: traffic comes at "
        "the first yes.",
    )


def _without_artifact(start: Start, what: str, *, strict: bool) -> Finding | None:
    """Return what is wrong with a start without the whole artifact; None where nothing is."""
    if start.impossible:
        return None
    expected = f"with {what} it ends, or says that it is not ready"
    if start.ready:
        also = " and even predicts" if start.answered else ""
        return failed(
            expected=expected,
            received=f"it says that it is ready{also}: {start.last_answer}",
            advice="Load and check the artifact before the ready path says yes; better still, end with an error.",
        )
    if start.exit is not None or start.heard:
        return None
    return (failed if strict else warned)(
        expected=expected,
        received=f"it neither ended nor answered within {start.watched:.1f} s: {start.last_answer}",
        advice="End with an error, so that the orchestrator and its people see it.",
    )


def _ending(start: Start) -> str:
    return f"{start.exit.describe()}" if start.exit else f"not ready ({start.last_answer})"


def _unwell(start: Start) -> str:
    """Say how a start failed, with the lines that matter of what it printed."""
    end = start.exit.describe() if start.exit else f"not ready after {start.watched:.1f} s"
    return "\n".join([f"{end}; {start.last_answer}", *relevant(start.log_tail)])


def _code(code: int | None, timeout: float) -> str:
    return f"no end within {timeout:g} s" if code is None else f"exit code {code}"


def _tail(output: str) -> str:
    return "\n".join(output.splitlines()[-LOG_LINES:]) or "no output"


def _loss(exchange: Exchange, contract: Contract, aside: LeftOut) -> str:
    """Say how a request in flight was lost; empty where it got its recorded answer."""
    if exchange.status is None or exchange.error:
        return exchange.error or "no answer"
    known = contract.answer(exchange.case)
    if known is None or (known.status, known.response) == (exchange.status, exchange.response):
        return ""
    try:
        different = known.status != exchange.status or any(
            compare(aside.of(parse(known)), aside.of(parse(exchange)), SAME)
        )
    except (ValueError, RecursionError):
        different = True
    return f"another answer than before: {described(exchange)}" if different else ""
