"""The requests that a finding speaks of, as command lines, and what came back."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass

from harness.client import minimize
from harness.client.http import Target
from harness.config.spec import Spec
from harness.evidence.records import Evidence, Exchange, Finding
from harness.reports.html.plain import cut, duration

MOST = 2  # requests of one finding
MAX_ANSWER = 1_500  # characters
BODY = "request.body"
# How the finding of a check names an exchange: by its case, by what stands behind the colon (`tail`), by its row.
# Where a check sends one request of its kind there is nothing to name, so the form is empty.
MENTIONS = {
    "contract.examples": ("example", "\n{tail}: status"),
    "contract.conforms": ("conforms", "({tail})"),
    "contract.recovers": ("recovers", "first after {what}: "),
    "contract.finite": ("", "\n{case}: "),
    "contract.schema": ("", ", first {case}: "),
    "contract.batch-invariant": ("single", "first row {tail}: "),
    "contract.skew": ("skew", "\nrow {row}: "),
    "contract.invariance": ("behaviour", "\n{name}: "),
    "contract.directional": ("behaviour", "\n{name}: "),
    "contract.minimum": ("behaviour", "\n{name}: "),
    "contract.row-order": ("reversed", ""),
    "contract.field-order": ("fields", ""),
    "contract.repeatable": ("again", ""),
    "contract.volatile": ("again", ""),
}
REJECTS = "contract.rejects-"
_STEP = re.compile(r"(?:request|step) (?:\d+ to )?(\d+)")


@dataclass(frozen=True)
class Sent:
    """One request and its answer, to be read and to be sent again."""

    case: str
    line: str  # the command
    before: str  # a command that writes the body to a file first, empty where the line holds it
    answer: str  # `200 in 9 ms, application/json`, or why there was none
    body: str


def base_url(spec: Spec) -> str:
    """Return where the service answers that `docker compose up` starts: the port that the Compose file publishes."""
    service = spec.model.get("services", {}).get(spec.block.serve.service) or {}
    ports = service.get("ports") or ()
    published = next((str(port["published"]) for port in ports if isinstance(port, dict) and port.get("published")), "")
    return f"http://127.0.0.1:{published if published.isdigit() else spec.port}"


def requests_of(finding: Finding, evidence: Evidence, run: str) -> tuple[Sent, ...]:
    """Return the requests that a finding names; none where it names none: nothing is guessed."""
    target = Target.parse(base_url(evidence.spec))
    place = f".harness/runs/{run}"
    if finding.check == "contract.fuzz":
        return tuple(
            _sent(f.sent, minimize.curl(target, f.sent, f.headers, f"{place}/fuzz/{number}.body"))
            for number, f in enumerate(evidence.fuzz.failures if evidence.fuzz else (), 1)
            if f.curl and f.curl in finding.advice
        )[:MOST]
    found = []
    for exchange in _named(finding, evidence):
        line = minimize.curl(target, exchange, {}, BODY)
        before = _writes_body(exchange, f"{place}/exchanges.ndjson") if f"@{BODY}" in line else ""
        found.append(_sent(exchange, line, before))
    return tuple(found)


def _named(finding: Finding, evidence: Evidence) -> Iterator[Exchange]:
    kind, form = MENTIONS.get(finding.check, ("", ""))
    if finding.check.startswith(REJECTS):
        kind, form = finding.check.removeprefix("contract."), ", such as {tail}\n"
    if evidence.contract is None or not (kind or form):
        return
    said = f"\n{finding.expected}\n{finding.received}\n"
    candidates = evidence.contract.of(kind) if kind else evidence.contract.exchanges
    named = [exchange for exchange in candidates if _form(form, exchange) in said]
    step = _STEP.search(finding.received) if kind == "behaviour" else None
    # A longer case may hold a shorter one, so the longest is meant; of a behavioural test the step that is named.
    named.sort(key=lambda e: (step is not None and not e.case.endswith(f"/{step[1]}"), -len(e.case)))
    yield from named[: MOST if form.startswith("\nrow") else 1]


def _form(form: str, exchange: Exchange) -> str:
    """Fill in a form by plain replacement: a case may hold braces itself."""
    tail = exchange.case.partition(":")[2]
    fields = {
        "{case}": exchange.case,
        "{tail}": tail,
        "{what}": exchange.case.partition(":rejects-")[2],
        "{row}": str(int(tail) + 1) if tail.isdecimal() else "",
        "{name}": tail.rpartition("/")[0],
    }
    found = next((field for field in fields if field in form), None)
    return form.replace(found, fields[found]) if found else form


def _sent(exchange: Exchange, line: str, before: str = "") -> Sent:
    body = cut(exchange.response.decode("utf-8", "replace"), MAX_ANSWER)
    return Sent(exchange.case, line, before, _answer(exchange), body)


def _writes_body(exchange: Exchange, file: str) -> str:
    """Return the command that takes a body, which no line can hold, out of the recorded exchanges."""
    chosen = f"select(.case == {json.dumps(exchange.case)}).request"
    try:
        exchange.request.decode()
    except UnicodeDecodeError:
        return f"{shlex.join(['jq', '-r', f'{chosen}.base64', file])} | base64 -d > {BODY}"
    return f"{shlex.join(['jq', '-j', f'{chosen}.text', file])} > {BODY}"


def _answer(exchange: Exchange) -> str:
    if exchange.status is None:
        return f"no answer after {duration(exchange.seconds)}: {exchange.error}"
    kind = f", {exchange.content_type}" if exchange.content_type else ""
    return f"status {exchange.status} after {duration(exchange.seconds)}{kind}"
