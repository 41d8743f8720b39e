"""Markdown for the summary of a job and for a comment: verdict, what is not well, metrics, times, how to reproduce.

A comment on GitHub has at most 65,536 characters, a summary 1 MiB. Whole rows are left out where there is no room, and
the report says how many. The first line is a hidden mark that stays the same for a project, so that CI can find its
comment and update it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence

from harness.evidence import measurements
from harness.evidence.records import Status
from harness.reports.cases import WELL, Case, cases, explain, verdict, well
from harness.reports.run_report import RunReport
from harness.reports.text import plain, shorten, tail

COMMENT_BYTES = 65_536  # of UTF-8: never more characters than that
LEAST = 20 * 1024  # bytes in which the parts that are never left out have room
CELL, LINE, DETAIL = 240, 600, 3000  # characters of a cell, of a paragraph, of what is folded
MAX_ROWS = 40  # of a table of measurements
SEPARATOR, SLACK = 2, 64  # bytes between two blocks; for what is said of the blocks that are left out
MARKS = {Status.FAIL: "❌", Status.ERROR: "💥", Status.WARN: "⚠️", Status.PASS: "✅", Status.SKIP: "⏭️"}
TABLE = "| | check | expected | received |\n|---|---|---|---|"
FOR_ROWS = 0.6  # part of the room for the table, the rest is for what is folded
# Characters of Markdown as numbers: a character reference can be no part of Markdown's structure (CommonMark 2.5).
SPECIAL = {ord(sign): f"&#{ord(sign)};" for sign in r"\`*_[]|~!<>&$"}
MENTION = re.compile(r"(?<!\w)@|#(?=\d)|\bGH-(?=\d)")  # of a person, of an issue
LINK = re.compile(r":(?=//)|(?<=\bwww)\.", re.IGNORECASE)  # GitHub makes links of bare addresses too
BREAK = "&#8203;"  # zero-width space: what is broken by it is no mention


def marker(project: str) -> str:
    """Return the hidden first line by which CI finds its comment."""
    return f"<!-- ml-container-harness summary of {re.sub(r'[^A-Za-z0-9_.]', '-', project)} -->"


def render(report: RunReport, *, limit: int = COMMENT_BYTES) -> str:
    """Return the summary of a run, in at most `limit` bytes of UTF-8, of which there must be LEAST."""
    bad = [case for case in cases(report) if case.status not in WELL]
    bad.sort(key=lambda case: case.status is Status.WARN)
    ending = "\n\n".join(
        part for part in (_reproduce(report), *_measured(report, limit // 4), _machine(report)) if part
    )
    head = [marker(report.evidence.spec.project), _headline(report)]
    room = limit - _bytes("\n\n".join([*head, ending, TABLE])) - SLACK
    table = _fitting([_row(case) for case in bad], int(room * FOR_ROWS), "| | {} more, see report.html | | |")
    if table:
        head.append("\n".join([TABLE, *table]))
    room -= sum(_bytes(line) + SEPARATOR for line in table)
    folded = _fitting([_details(case) for case in bad], room, "{} more are not shown here.")
    return "\n\n".join([*head, *folded, ending]) + "\n"


def escape(text: str, limit: int = CELL) -> str:
    """Return text that shows as it is in a table or a line: no Markdown, no HTML, no mention of anybody."""
    shown = shorten(text.strip(), limit).translate(SPECIAL)
    shown = LINK.sub(lambda match: f"&#{ord(match[0])};", shown)
    shown = MENTION.sub(lambda match: f"{match[0]}{BREAK}", shown.replace("&#", "\0")).replace("\0", "&#")
    return "<br>".join(line.strip() for line in shown.splitlines())


def table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table of plain texts, empty without rows; of more than MAX_ROWS it says how many are left out."""
    if not rows:
        return ""
    lines = [f"| {' | '.join(escape(cell) for cell in row)} |" for row in rows[:MAX_ROWS]]
    if len(rows) > MAX_ROWS:
        lines.append(f"| {len(rows) - MAX_ROWS} more |{' |' * (len(heads) - 1)}")
    return "\n".join([f"| {' | '.join(heads)} |", f"|{'---|' * len(heads)}", *lines])


def _bytes(text: str) -> int:
    return len(text.encode("utf-8", "replace"))


def _fitting(blocks: Sequence[str], room: int, more: str) -> list[str]:
    """Return the first blocks that fit into so many bytes, and one that says how many do not."""
    kept: list[str] = []
    for number, block in enumerate(blocks):
        taken = _bytes(block) + SEPARATOR
        reserve = 0 if number == len(blocks) - 1 else len(more) + SLACK
        if taken + reserve > room:
            return [*kept, more.format(len(blocks) - number)]
        room -= taken
        kept.append(block)
    return kept


def _headline(report: RunReport) -> str:
    word = "✅" if well(report) else "❌"
    lines = [f"## {word} {escape(report.evidence.spec.project)}: {escape(verdict(report))}"]
    end = report.evidence.end
    if end is not None and end.message:
        lines.append(f"**{escape(end.kind)}**: {escape(end.message, LINE)}")
    if end is not None and end.hint:
        lines.append(f"Do: {escape(end.hint, LINE)}")
    commit = report.evidence.provenance.commit[:12] if report.evidence.provenance else ""
    lines.append(f"Run {escape(report.id)}, {report.seconds:.1f} s{f', commit {escape(commit)}' if commit else ''}")
    return "\n\n".join(lines)


def _row(case: Case) -> str:
    first = next(finding for finding in case.findings if finding.status is case.status)
    others = f"<br>and {len(case.findings) - 1} more findings" if len(case.findings) > 1 else ""
    cells = (MARKS[case.status], escape(case.check), escape(first.expected), escape(first.received) + others)
    return f"| {' | '.join(cells)} |"


def _details(case: Case) -> str:
    """Return a folded block: every finding whole, what to do, and the last lines of the log."""
    told = "\n\n".join(explain(finding) for finding in case.findings if finding.status not in WELL)
    parts = [_fenced(shorten(told, DETAIL))]
    if case.logs and (last := tail(case.logs[0], lines=15, width=200)):
        parts.append(f"The last lines of {escape(case.logs[0].name)}:\n\n{_fenced(last)}")
    return _folded(f"{MARKS[case.status]} {escape(case.check)}", "\n\n".join(parts))


def _folded(title: str, body: str) -> str:
    return f"<details><summary>{title}</summary>\n\n{body}\n\n</details>"


def _fenced(text: str) -> str:
    """Return a code block that the text cannot end."""
    longest = max((len(run) for run in re.findall(r"`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}text\n{plain(text)}\n{fence}"


def _reproduce(report: RunReport) -> str:
    name = plain(report.id)
    bundle = f".harness/bundles/{name}.harness.tar.gz"
    lines = [f"harness replay {name}", f"harness replay {bundle}   # elsewhere, with the bundle of this run"]
    return "### Reproduce\n\n" + _fenced("\n".join(lines))


def _measured(report: RunReport, limit: int) -> Iterator[str]:
    """Yield the tables of what was measured, as many as fit."""
    makers: tuple[Callable[[RunReport], str], ...] = (_metrics, _times, _images)
    for maker in makers:
        text = maker(report)
        limit -= _bytes(text)
        if limit < 0:
            yield "Measurements are left out here for want of room; report.html has them."
            return
        yield text


def _metrics(report: RunReport) -> str:
    rows = [
        (metric.name, f"{metric.value:.4g}", "" if metric.baseline is None else f"{metric.baseline:.4g}", metric.change)
        for metric in measurements.metrics(report.evidence)
    ]
    rows += [
        (f"training: {name}", f"{value:.4g}", "", "") for name, value in measurements.trained(report.evidence).items()
    ]
    rows += [
        (f"latency {name}", f"{value * 1000:.1f} ms", "", "")
        for name, value in measurements.latencies(report.evidence).items()
    ]
    text = table(("metric", "value", "baseline", "change"), rows)
    return f"### Metrics\n\n{text}" if text else ""


def _times(report: RunReport) -> str:
    rows = [(stage.name, f"{stage.seconds:.1f} s", stage.outcome) for stage in report.evidence.stages if stage.seconds]
    text = table(("stage", "time", ""), rows)
    return _folded(f"Times: {report.seconds:.1f} s", text) if text else ""


def _images(report: RunReport) -> str:
    images = report.evidence.images
    rows = [(image.service, measurements.image_facts(image)) for image in (images.images if images else ())]
    rows += [("base", base) for base in measurements.bases(report.evidence)]
    text = table(("image", ""), rows)
    return _folded("Images", text) if text else ""


def _machine(report: RunReport) -> str:
    environment = report.evidence.environment
    if environment is None:
        return ""
    memory = environment.memory / 2**30
    told = (
        f"harness {environment.harness}, engine {environment.engine}, {environment.compose}, "
        f"{environment.cores} cores, {memory:.1f} GiB, {environment.host}"
    )
    return f"<sub>{escape(told, LINE)}</sub>"
