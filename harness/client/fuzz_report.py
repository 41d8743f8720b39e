"""Reads what schemathesis reports: one event a line, as its documentation describes the NDJSON report."""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from harness.client.json_text import read_json

NO_ANSWER = "no_answer"
SERVER_ERROR = "not_a_server_error"
REFUSED = "positive_data_acceptance"
DOCUMENT_ERRORS = ("InvalidSchema", "InvalidRegex", "Unsatisfiable", "Unsupported", "Unresolvable", "InfiniteRecursive")
NETWORK_ERRORS = ("Timeout", "ConnectionError", "ChunkedEncodingError", "ContentDecodingError", "ServerUnavailable")
SPENT = 0.95  # part of its share of the time after which an operation was cut off, or nearly


@dataclass(frozen=True)
class FailedCase:
    """One failed test case, as the tool saw it."""

    check: str
    title: str
    message: str
    operation: str
    method: str
    url: str
    headers: Mapping[str, str]
    body: bytes
    status: int | None
    content_type: str
    count: int = 1

    @property
    def kind(self) -> tuple[str, str, str, int | None, bool]:
        """What failures must have in common to be one and the same to the user.

        A refusal of `2.0` for an integer is of another kind: see `harness.evidence.records.FuzzFailure.integers`.
        """
        whole = self.check == REFUSED and with_integers(self.body) is not None
        return self.check, self.operation, self.title, self.status, whole

    @property
    def size(self) -> int:
        """Bytes of the request: the smallest one of its kind says most."""
        return len(self.body) + len(self.url) + sum(len(n) + len(v) for n, v in self.headers.items())


@dataclass(frozen=True)
class Report:
    """What the tool reported; `found` holds the smallest case of each kind of failure."""

    found: tuple[FailedCase, ...] = ()
    cases: int = 0
    accepted: int = 0
    stopped: str = ""  # why the tool ended; empty: it did not end by itself
    untested: tuple[str, ...] = ()
    errors: tuple[str, ...] = ()
    silent: tuple[str, ...] = ()  # what the network said where nothing came back
    operations: int = 0  # that the tool took
    deadline: float = math.inf  # of the tool, in seconds since the epoch
    covered: int = 0  # operations of which the coverage phase is over
    cut: bool = False  # the coverage phase of an operation ended at its share of the time


def with_integers(body: bytes) -> bytes | None:
    """Return a JSON body with `2` for each `2.0`; None where it holds none, or is no JSON."""
    try:
        value = read_json(body)
        changed = _with_integers(value)
    except (ValueError, RecursionError):
        return None
    # As text: in Python 2.0 equals 2.
    return json.dumps(changed).encode() if json.dumps(changed) != json.dumps(value) else None


def _with_integers(value: Any) -> Any:
    match value:
        case dict():
            return {key: _with_integers(child) for key, child in value.items()}
        case list():
            return [_with_integers(child) for child in value]
        case float() if value.is_integer():
            return int(value)
        case _:
            return value


def read(path: Path, before: Report, *, limit: float) -> Report:
    """Read the report of at most `limit` seconds, as far as it goes, and add it to what an earlier one says.

    Raises OSError; a line that is no event is an error of the report.
    """
    report = replace(before, stopped="")
    if not path.is_file():
        return report
    with path.open(encoding="utf-8") as lines:
        for line in lines:
            try:
                [(name, event)] = json.loads(line).items()
                report = _add(report, name, event, limit)
            except (ValueError, KeyError, TypeError, AttributeError) as exc:
                report = replace(report, errors=(*report.errors, f"a line of {path.name} cannot be read: {exc!r}"))
    if report.silent and not any(each.check == NO_ANSWER for each in report.found):
        return replace(report, errors=(*report.errors, *report.silent))  # and no case to blame for it
    return report


def _add(report: Report, name: str, event: Mapping[str, Any], limit: float) -> Report:
    changes: dict[str, Any] = {}
    match name:
        case "LoadingFinished":
            changes = {"operations": event["statistic"]["operations"]["selected"]}
        case "EngineStarted":
            changes = {"deadline": event["timestamp"] + limit}
        case "ScenarioFinished":
            return _add_scenario(report, event)
        case "NonFatalError":
            return _add_error(report, event)
        case "FatalError":
            changes = {"errors": (*report.errors, _said(event.get("exception", event)))}
        case "EngineFinished":
            changes = {"stopped": str(event.get("stop_reason", "completed"))}
    return replace(report, **changes)


def _add_error(report: Report, event: Mapping[str, Any]) -> Report:
    """Tell a document that cannot be tested from a tool that failed; a service that failed shows in the cases."""
    kind, text = event["value"]["type"], _said(event["value"])
    if kind.startswith(DOCUMENT_ERRORS):
        text = f"{event['label']}: {text}"
        return report if text in report.untested else replace(report, untested=(*report.untested, text))
    if kind.endswith(NETWORK_ERRORS):
        return replace(report, silent=(*report.silent, text))
    return replace(report, errors=(*report.errors, f"{event['label']}: {text}"))


def _add_scenario(report: Report, event: Mapping[str, Any]) -> Report:
    recorder = event["recorder"]
    exchanges = recorder.get("interactions", {})
    statuses = [(each.get("response") or {}).get("status_code") for each in exchanges.values()]
    kinds = {each.kind: each for each in report.found}
    for found in _failures(recorder):
        known = kinds.get(found.kind)
        smallest = found if known is None or found.size < known.size else known
        kinds[found.kind] = replace(smallest, count=1 + (known.count if known else 0))
    covers = event["phase"] == "coverage"
    return replace(
        report,
        covered=report.covered + covers,
        cut=report.cut or (covers and _is_cut(report, event)),
        found=tuple(kinds.values()),
        cases=report.cases + len(exchanges),
        accepted=report.accepted + sum(status is not None and 200 <= status < 300 for status in statuses),  # noqa: PLR2004
    )


def _is_cut(report: Report, event: Mapping[str, Any]) -> bool:
    """Whether an operation used up its share of the time: the tool divides what is left among those that are left."""
    seconds = float(event["elapsed_time"])
    left = report.deadline - (float(event["timestamp"]) - seconds)
    return seconds > SPENT * left / max(1, report.operations - report.covered)


def _failures(recorder: Mapping[str, Any]) -> Iterator[FailedCase]:
    label = recorder["label"]
    for identifier, exchange in recorder.get("interactions", {}).items():
        request, response = exchange["request"], exchange.get("response")
        if response is None:
            yield _found({"name": NO_ANSWER, "title": "No answer"}, label, request, None)
            continue
        for check in recorder.get("checks", {}).get(identifier, ()):
            is_consequence = response["status_code"] >= 500 and check["name"] != SERVER_ERROR  # noqa: PLR2004 - 5xx
            if check["status"] == "failure" and not is_consequence:
                yield _found({**check["failure_info"]["failure"], "name": check["name"]}, label, request, response)


def _found(
    failure: Mapping[str, Any], label: str, request: Mapping[str, Any], response: Mapping[str, Any] | None
) -> FailedCase:
    headers = {name: values[0] for name, values in request.get("headers", {}).items()}
    types = [
        values[0] for name, values in (response or {}).get("headers", {}).items() if name.lower() == "content-type"
    ]
    return FailedCase(
        check=failure["name"],
        title=failure["title"],
        message=failure.get("message") or "",
        operation=failure.get("operation") or label,
        method=request["method"],
        url=request["uri"],
        headers=headers,
        body=_bytes(request.get("body")),
        status=response["status_code"] if response else None,
        content_type=types[0] if types else "",
    )


def _bytes(body: object) -> bytes:
    match body:
        case {"$base64": str(encoded)}:
            return base64.b64decode(encoded)
        case str(text):
            return text.encode()
        case _:
            return b""


def _said(error: object) -> str:
    if isinstance(error, Mapping) and "message" in error:
        return f"{error.get('type', 'error')}: {error['message']}"
    return json.dumps(error)
