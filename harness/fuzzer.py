"""The only caller of schemathesis: configures it, runs it as a program of its own, and reads its report.

Its command line, its configuration file and its NDJSON report are documented
(https://schemathesis.readthedocs.io, "CLI reference", "Configuration options", "Reporting"); its engine is no public
interface of Python. As a program it can also be ended at any time, and what it imports costs the harness nothing.
"""

from __future__ import annotations

import base64
import json
import os
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from harness.process import stream

PACKAGE = "schemathesis"
SMOKE = ("examples", "coverage")  # the examples of the document; every keyword of its schemas kept and broken once
DEEP = (*SMOKE, "fuzzing")
NO_ANSWER = "no_answer"
SERVER_ERROR = "not_a_server_error"
REFUSED = "positive_data_acceptance"
CHECKS = (
    SERVER_ERROR,
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
    "negative_data_rejection",
    REFUSED,
    "missing_required_header",
)
DOCUMENT_ERRORS = ("InvalidSchema", "InvalidRegex", "Unsatisfiable", "Unsupported", "Unresolvable", "InfiniteRecursive")
GRACE = 15.0  # seconds beyond its budget that the tool has to load the document and to end
# A proxy or a password file of the user must not come between the tool and the service.
UNWANTED = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "PYTHONWARNINGS", "SCHEMATHESIS_HOOKS")

DOCUMENT = "openapi.json"
CONFIGURATION = "schemathesis.toml"
REPORT = "report.ndjson"
LOG = "log.txt"


@dataclass(frozen=True)
class Found:
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

        A refusal of `2.0` for an integer is of another kind: see `harness.records.FuzzFailure.integers`.
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

    found: tuple[Found, ...] = ()
    cases: Mapping[str, int] = field(default_factory=dict)  # phase -> number
    accepted: int = 0
    stopped: str = ""  # why the tool ended; empty: it did not end by itself
    untested: tuple[str, ...] = ()
    errors: tuple[str, ...] = ()


def with_integers(body: bytes) -> bytes | None:
    """Return a JSON body with `2` for each `2.0`; None where it holds none, or is no JSON."""
    try:
        value = json.loads(body)
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


def installed() -> str | None:
    """Return the tool's version, None where it is not installed."""
    try:
        return version(PACKAGE)
    except PackageNotFoundError:
        return None


def configure(folder: Path, *, seed: int, budget: float, timeout: float) -> None:
    """Write the tool's configuration, so that none of the user's is read. Raises OSError.

    It asks nobody but the service, follows no redirect, and keeps no examples from run to run.
    """
    lines = [
        f"seed = {seed}",
        f"max-time = {max(1, round(budget))}",
        f"request-timeout = {timeout}",
        "request-retries = 0",
        "max-redirects = 0",
        "workers = 1",
        "continue-on-failure = true",
        "warnings = false",
        'suppress-health-check = ["all"]',
        "cache = {enabled = false}",
        'generation = {database = "none"}',
        "auth = {auto-signup = false}",
        "analysis = {constants = {enabled = false}}",
        "output = {sanitization = {enabled = false}, truncation = {max-recorded-payload-size = 65536}}",
        "[phases.coverage]",
        "unexpected-methods = []  # contract.rejects-method sends them",
    ]
    (folder / CONFIGURATION).write_text("\n".join(lines) + "\n", encoding="utf-8")


def run(folder: Path, cache: Path, url: str, phases: tuple[str, ...], *, budget: float) -> str:
    """Run the tool in a folder that holds its configuration and the document; return what went wrong, if anything.

    It is ended `GRACE` seconds after its budget. `cache` takes tables of Unicode that cost it two seconds. Raises
    OSError.
    """
    argv = [sys.executable, "-P", "-m", f"{PACKAGE}.cli", "--config-file", CONFIGURATION, "--no-color"]
    argv += ["run", DOCUMENT, "--url", url, "--phases", ",".join(phases), "--checks", ",".join(CHECKS)]
    argv += ["--report", "ndjson", "--report-ndjson-path", REPORT]
    with (folder / LOG).open("w", encoding="utf-8") as log:
        ended = stream(
            argv, _environment(cache), lambda line: _write(log, line), timeout=budget + GRACE, grace=1.0, folder=folder
        )
    if ended.expired:
        return f"{PACKAGE} did not end within {budget + GRACE:g} s and was ended"
    if ended.code not in (0, 1):  # 1: it found something
        return f"{PACKAGE} ended with exit code {ended.code}"
    return ""


def read(folder: Path) -> Report:
    """Read the report, as far as it goes. Raises OSError; a line that is no event is an error of the report."""
    report = Report()
    path = folder / REPORT
    if not path.is_file():
        return report
    with path.open(encoding="utf-8") as lines:
        for line in lines:
            try:
                [(name, event)] = json.loads(line).items()
                report = _add(report, name, event)
            except (ValueError, KeyError, TypeError, AttributeError) as exc:
                report = replace(report, errors=(*report.errors, f"a line of {REPORT} cannot be read: {exc!r}"))
    return report


def _add(report: Report, name: str, event: Mapping[str, Any]) -> Report:
    match name:
        case "ScenarioFinished":
            return _add_scenario(report, event)
        case "NonFatalError":
            return _add_error(report, event)
        case "FatalError":
            return replace(report, errors=(*report.errors, _said(event.get("exception", event))))
        case "EngineFinished":
            return replace(report, stopped=str(event.get("stop_reason", "completed")))
        case _:
            return report


def _add_error(report: Report, event: Mapping[str, Any]) -> Report:
    """Tell a document that cannot be tested from a tool that failed; a service that failed shows in the cases."""
    kind, text = event["value"]["type"], _said(event["value"])
    if kind.startswith(DOCUMENT_ERRORS):
        text = f"{event['label']}: {text}"
        return report if text in report.untested else replace(report, untested=(*report.untested, text))
    if kind == "ServerUnavailable" or event["label"] in {each.operation for each in _unanswered(report)}:
        return report
    if kind.endswith(("Timeout", "ConnectionError", "ChunkedEncodingError", "ContentDecodingError")):
        return report
    return replace(report, errors=(*report.errors, f"{event['label']}: {text}"))


def _unanswered(report: Report) -> Iterator[Found]:
    return (each for each in report.found if each.check == NO_ANSWER)


def _add_scenario(report: Report, event: Mapping[str, Any]) -> Report:
    recorder = event["recorder"]
    exchanges = recorder.get("interactions", {})
    statuses = [(each.get("response") or {}).get("status_code") for each in exchanges.values()]
    kinds = {each.kind: each for each in report.found}
    for found in _failures(recorder):
        known = kinds.get(found.kind)
        smallest = found if known is None or found.size < known.size else known
        kinds[found.kind] = replace(smallest, count=1 + (known.count if known else 0))
    cases = {**report.cases, event["phase"]: report.cases.get(event["phase"], 0) + len(exchanges)}
    return replace(
        report,
        found=tuple(kinds.values()),
        cases=cases,
        accepted=report.accepted + sum(status is not None and 200 <= status < 300 for status in statuses),  # noqa: PLR2004
    )


def _failures(recorder: Mapping[str, Any]) -> Iterator[Found]:
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
) -> Found:
    headers = {name: values[0] for name, values in request.get("headers", {}).items()}
    types = [
        values[0] for name, values in (response or {}).get("headers", {}).items() if name.lower() == "content-type"
    ]
    return Found(
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


def _write(log: Any, line: str) -> None:
    log.write(line + "\n")


def _environment(cache: Path) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if name.upper() not in UNWANTED}
    return {
        **kept,
        "NO_PROXY": "*",
        "NETRC": os.devnull,
        "PYTHONHASHSEED": "0",  # a seed says which cases are made only together with the order of sets
        "HYPOTHESIS_STORAGE_DIRECTORY": str(cache.absolute()),
    }
