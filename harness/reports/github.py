"""Annotations of GitHub Actions, within its limits, and the summary of a job.

The workflow command is `::error file=...,line=...,title=...::message`; `%`, CR and LF are escaped in the message, in a
property also `:` and `,`. GitHub shows 10 errors, 10 warnings and 10 notices of a step; a summary has at most 1 MiB.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from harness.evidence.records import Finding, Status
from harness.reports import markdown
from harness.reports.cases import FOLDER, ORDER, VERDICT, Case, cases, verdict, well
from harness.reports.foreign import command
from harness.reports.run_report import Place, RunReport
from harness.reports.text import plain, shorten

PER_LEVEL = 10
MAX_MESSAGE = 2000  # characters
SUMMARY_BYTES = 1024 * 1024
LEVELS = {Status.FAIL: "error", Status.ERROR: "error", Status.WARN: "warning"}


def commands(report: RunReport) -> list[str]:
    """Return the workflow commands of a run: the most important first, the last of ten says how many more there are.

    How a run ended without a verdict is left to the console, which says it before.
    """
    found = [(f, place, case) for case in cases(report) for f, place in zip(case.findings, case.places, strict=True)]
    found = [each for each in found if each[2].check != VERDICT and each[0].status in LEVELS]
    found.sort(key=lambda each: (each[2].check == FOLDER, ORDER.index(each[0].status)))
    lines: list[str] = []
    for level in ("error", "warning"):
        lines += _limited(report, level, [each for each in found if LEVELS[each[0].status] == level])
    if well(report):
        lines.append(_command("notice", plain(report.evidence.spec.project), verdict(report)))
    return lines


def _limited(report: RunReport, level: str, found: Sequence[tuple[Finding, Place, Case]]) -> Iterator[str]:
    shown = found if len(found) <= PER_LEVEL else found[: PER_LEVEL - 1]
    for finding, place, case in shown:
        file = report.shown(report.evidence.spec.root / place.file)
        yield _command(level, case.check, report.redacted(_message(finding)), file, place.line)
    if more := found[len(shown) :]:
        names = ", ".join(dict.fromkeys(case.check for _, _, case in more))
        yield _command(level, f"{len(more)} more", f"{len(more)} more {level}s, see the job summary: {names}")


def _message(finding: Finding) -> str:
    parts = (("expected: ", finding.expected), ("received: ", finding.received), ("do: ", finding.advice))
    return "\n".join(f"{title}{text}" for title, text in parts if text)


def _command(level: str, title: str, message: str, file: str = "", line: int = 0) -> str:
    return command(level, shorten(message, MAX_MESSAGE), file=file, line=str(line) if line else "", title=title)


def append_summary(report: RunReport, path: Path) -> bool:
    """Append the summary of a run to that of the job, as far as GitHub's limit allows; return whether it did."""
    taken = path.stat().st_size if path.is_file() else 0
    room = SUMMARY_BYTES - taken - 1
    if room < markdown.LEAST:
        return False
    with path.open("a", encoding="utf-8") as stream:
        stream.write(report.redacted(markdown.render(report, limit=room)) + "\n")
    return True
