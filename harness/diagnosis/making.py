"""Makes a cause of a failure: the lines of its log that matter, and what well-known lines advise."""

from __future__ import annotations

from harness.diagnosis.known import symptom
from harness.diagnosis.lines import LINES, clean, relevant
from harness.diagnosis.record import Cause, CauseKind, Failure

BUILD_LINES = 12


def whole(failure: Failure) -> str:
    """Say where the whole log is."""
    return f"the whole log is {failure.log_file} of the run."


def caused(failure: Failure, kind: CauseKind, summary: str, advice: str, limit: str = "") -> Cause:
    """Make a cause whose advice is known already."""
    lines = relevant(failure.log, BUILD_LINES if failure.build else LINES)
    said = clean(failure.message.splitlines())[-BUILD_LINES:]
    return Cause(kind=kind, subject=failure.subject, summary=summary, lines=lines or said, limit=limit, advice=advice)


def caused_by_log(failure: Failure, kind: CauseKind, summary: str, advice: str = "") -> Cause:
    """Make a cause whose advice is in the log, where that tells of something well known."""
    lines = relevant(failure.log)
    name, known, limit = symptom(failure, lines)
    whole_log = f"The whole log is {failure.log_file} of the run."
    then = whole_log if known or advice else f"Read the log lines above; {whole(failure)}"
    return Cause(
        kind=kind,
        subject=failure.subject,
        summary=summary,
        lines=lines,
        limit=limit,
        advice=" ".join(filter(None, (known or advice, then))),
        symptom=name,
    )
