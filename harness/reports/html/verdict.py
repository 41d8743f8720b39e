"""How a run ended, in one word and one sentence."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from harness.checks.judge import exit_code
from harness.errors import CHECK_FAILED, INTERRUPTED, PASSED
from harness.evidence.records import Finding, StageTime, Status
from harness.evidence.records.run import error_of
from harness.reports.html.plain import counted, duration
from harness.reports.run_report import RunReport

_STARTED = re.compile(r"(\d{8}T\d{6})Z-")
NAMES = {
    Status.PASS: "passed",
    Status.WARN: "warned",
    Status.FAIL: "failed",
    Status.ERROR: "in error",
    Status.SKIP: "skipped",
}
EXITS = {
    0: "passed",
    1: "a check failed",
    2: "the description is wrong",
    3: "the infrastructure failed",
    4: "a check crashed",
    70: "the harness crashed",
    130: "interrupted",
}


@dataclass(frozen=True)
class VerdictView:
    """The verdict of a run: `icon` and `kind` are those of a finding's status."""

    word: str
    kind: str
    sentence: str
    message: str = ""  # of the error that ended the run
    hint: str = ""
    code: str = ""


def outcome(report: RunReport) -> VerdictView:
    """Return the verdict; a run without one says what ended it."""
    end = report.evidence.end
    if (error := error_of(end)) is not None:
        word, kind = ("Interrupted", "warn") if error.exit_code == INTERRUPTED else ("Error", "error")
        sentence = f"The run ended without a verdict: {error.kind}. {_until_then(report.findings)}"
        return VerdictView(word, kind, sentence, error.message, error.hint, _code(error.exit_code))
    if not report.findings:
        return VerdictView("No verdict", "error", "The run folder holds no findings: the run did not come to its end.")
    code = exit_code(report.findings)
    sentence = f"{_counts(report.findings)}."
    if end is None:
        sentence += " Nothing is recorded of how the run ended."
    elif end.exit_code != code:
        sentence += f" The run itself ended with exit code {end.exit_code}; it was judged again since."
    if code == PASSED:
        return VerdictView("Passed", "pass", sentence, code=_code(code))
    word, kind = ("Failed", "fail") if code == CHECK_FAILED else ("Error", "error")
    return VerdictView(word, kind, sentence, code=_code(code))


def started(run: str) -> datetime | None:
    """Return when a run began, as its ID says; None for another kind of name."""
    found = _STARTED.match(run)
    try:
        return datetime.strptime(found[1], "%Y%m%dT%H%M%S").replace(tzinfo=UTC) if found else None
    except ValueError:
        return None


def took(stages: Sequence[StageTime]) -> str:
    """Return how long a run took; empty where no stage is recorded."""
    return duration(max(stage.start + stage.seconds for stage in stages)) if stages else ""


def _counts(findings: Sequence[Finding]) -> str:
    order = (Status.FAIL, Status.ERROR, Status.WARN, Status.PASS, Status.SKIP)
    counts = [(status, sum(finding.status is status for finding in findings)) for status in order]
    return f"{counted(len(findings), 'finding')}: " + ", ".join(f"{n} {NAMES[status]}" for status, n in counts if n)


def _until_then(findings: Sequence[Finding]) -> str:
    return f"Until then: {_counts(findings)}." if findings else "No check was judged until then."


def _code(code: int) -> str:
    return f"exit code {code}" + (f" ({EXITS[code]})" if code in EXITS else "")
