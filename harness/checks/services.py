"""Checks of the services that train and serve depend on."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from harness.checks import check, failed, passed, skipped, warned
from harness.config.spec import Spec
from harness.diagnosis import of_container
from harness.evidence.records import Companion, Finding, Services

SHOWN = 10  # last lines of a log
ASKED = {
    "service_started": "starts",
    "service_healthy": "becomes healthy",
    "service_completed_successfully": "ends with exit code 0",
}


@check("services.ready")
def ready(spec: Spec, services: Services | None = None) -> Iterator[Finding]:
    """Every service that train and serve depend on starts, becomes healthy or ends well, as `depends_on` says."""
    if services is None or not services.companions:
        yield skipped("train and serve depend on no other service")
        return
    bad = [each for each in services.companions if each.problem]
    for each in bad:
        yield _found(spec, each)
    if not any(each.required for each in bad):
        yield passed("; ".join(_said(each) for each in services.companions if not each.problem) or "no other is needed")


def _found(spec: Spec, companion: Companion) -> Finding:
    name, log = companion.service, f"services/{companion.service}.txt"
    who = " and ".join(companion.needed_by)
    expected = f"{name} {ASKED.get(companion.condition, companion.condition)}: {who} waits for that"
    lines, advice = companion.log_tail[-SHOWN:], f"Correct the service {name}; its log is {log} in the run folder."
    if companion.exit is not None and companion.exit.code != 0:
        cause = of_container(spec, replace(companion.exit, log_tail=companion.log_tail), name, log, train=True)
        lines, advice = cause.lines, f"{cause.advice} It is the service {name}."
    say = failed if companion.required else warned
    return say(expected=expected, received="\n".join((f"{name} {companion.problem}", *lines)), advice=advice)


def _said(companion: Companion) -> str:
    how = {"service_healthy": "healthy", "service_completed_successfully": "exit code 0"}
    return f"{companion.service}: {how.get(companion.condition, 'started')} after {companion.seconds:.1f} s"
