"""The Common Test Report Format (ctrf.io, specification 0.0.0): JSON that dashboards and pull-request actions read."""

from __future__ import annotations

import uuid
from datetime import timedelta
from typing import Any

from harness.evidence.records import Environment, Status
from harness.reports.cases import WELL, Case, cases, explain, well
from harness.reports.foreign import as_json
from harness.reports.run_report import RunReport
from harness.reports.text import first_line, plain, shorten

NAME = "ml-container-harness"
SPECIFICATION = "0.0.0"
MAX_MESSAGE = 4000  # characters
STATUS = {Status.PASS: "passed", Status.WARN: "passed", Status.FAIL: "failed", Status.ERROR: "failed"}
SPACE = uuid.uuid5(uuid.NAMESPACE_URL, NAME)  # equal runs have equal reports


def render(report: RunReport) -> str:
    """Return `ctrf-report.json` of a run; times are milliseconds, those of the epoch since 1970."""
    found = cases(report)
    begun = int(report.started.timestamp() * 1000)
    tests = [_test(report, case, begun) for case in found]
    counts = {name: sum(test["status"] == name for test in tests) for name in ("passed", "failed", "skipped")}
    environment = report.evidence.environment
    tool = {"name": NAME} | ({"version": environment.harness} if environment else {})
    whole = {
        "reportFormat": "CTRF",
        "specVersion": SPECIFICATION,
        "reportId": str(uuid.uuid5(SPACE, report.id)),
        "runId": plain(report.id),
        "timestamp": (report.started + timedelta(seconds=report.seconds)).isoformat(timespec="seconds"),
        "generatedBy": NAME,
        "results": {
            "tool": tool,
            "summary": {
                "tests": len(tests),
                **counts,
                "pending": 0,
                "other": 0,
                "suites": len({case.subject for case in found}),
                "start": begun,
                "stop": begun + int(report.seconds * 1000),
                "duration": int(report.seconds * 1000),
            },
            "tests": tests,
            "environment": _environment(report, environment),
        },
    }
    return as_json(whole, indent=1, ensure_ascii=False) + "\n"


def _environment(report: RunReport, environment: Environment | None) -> dict[str, Any]:
    evidence = report.evidence
    extra = {"run": plain(report.id)}
    if environment is not None:
        told = {"engine": environment.engine, "compose": environment.compose, "cores": str(environment.cores)}
        extra |= {name: plain(value) for name, value in told.items()}
    found: dict[str, Any] = {"appName": plain(evidence.spec.project), "healthy": well(report), "extra": extra}
    if evidence.provenance is not None and evidence.provenance.commit:
        found["commit"] = plain(evidence.provenance.commit)
    if environment is not None:
        found["osVersion"] = plain(environment.host)
    return found


def _test(report: RunReport, case: Case, begun: int) -> dict[str, Any]:
    test: dict[str, Any] = {
        "testId": plain(case.check),
        "name": plain(case.check),
        "status": STATUS.get(case.status, "skipped"),
        "rawStatus": case.status.value,
        "duration": round(case.seconds * 1000),
        "suite": [plain(case.subject)],
        "tags": [plain(case.subject)],
        "filePath": plain(report.shown(report.evidence.spec.root / case.place.file)),
        "line": case.place.line,
        "message": first_line(case.findings[0].received, MAX_MESSAGE),
    }
    if case.stage is not None:
        test["start"] = begun + int(case.stage.start * 1000)
        test["stop"] = begun + int((case.stage.start + case.stage.seconds) * 1000)
    if case.status not in WELL:
        told = [finding for finding in case.findings if finding.status not in WELL]
        test["message"] = shorten("\n\n".join(explain(finding) for finding in told), MAX_MESSAGE)
        test["attachments"] = [
            {"name": log.relative_to(report.folder).as_posix(), "contentType": "text/plain", "path": report.shown(log)}
            for log in case.logs
        ]
    return test
