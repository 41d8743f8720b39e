"""Shows a comparison of two runs: as lines for a terminal, as Markdown, as JSON."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import asdict

from harness.evidence.records import Status
from harness.reports.comparison import Comparison, Section, Turn, Turned
from harness.reports.foreign import as_json as to_json
from harness.reports.markdown import escape, table
from harness.reports.text import first_line

WIDTH = 40  # characters of a value in a line
NOTHING = "-"


def lines(compared: Comparison) -> Iterator[str]:
    """Yield the lines for a terminal: findings first, the most important before the others."""
    yield f"before  {compared.before}"
    yield f"after   {compared.after}"
    yield ""
    for each in compared.turned:
        yield f"{each.turn.value:<10} {each.check:<31} {_turn(each)}"
        if each.turn in (Turn.REGRESSED, Turn.NEW):
            yield f"{'':<10} {first_line(each.received)}"
    yield f"{compared.unchanged} checks have the same verdict"
    for section in compared.sections:
        if not section.same and not section.differences:
            continue
        yield ""
        yield _title(section)
        rows = list(_rows(section, WIDTH))
        widths = [max((len(row[column]) for row in rows), default=0) for column in range(4)]
        for row in rows:
            yield "  " + "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()


def markdown(compared: Comparison) -> str:
    """Return the comparison as Markdown."""
    parts = [f"## {escape(compared.before)} → {escape(compared.after)}"]
    turned = [(each.turn.value, each.check, _turn(each), first_line(each.received)) for each in compared.turned]
    parts.append(table(("", "check", "verdict", "received"), turned))
    parts.append(f"{compared.unchanged} checks have the same verdict.")
    for section in compared.sections:
        rows = list(_rows(section, 200))
        if rows:
            parts.append(f"### {_title(section)}\n\n{table(('', 'before', 'after', 'change'), rows)}")
    return "\n\n".join(part for part in parts if part) + "\n"


def as_json(compared: Comparison) -> str:
    """Return the comparison as JSON, in the form of its records; the change of a number is given too."""
    whole = asdict(compared)
    for section, known in zip(whole["sections"], compared.sections, strict=True):
        for difference, each in zip(section["differences"], known.differences, strict=True):
            difference["change"] = each.change
            difference |= {side: _finite(difference[side]) for side in ("before", "after")}
    return to_json(whole, indent=1)


def _finite(value: str | float | None) -> str | float | None:
    """Return a value as JSON has it: there is no NaN and no infinity."""
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value


def _title(section: Section) -> str:
    return f"{section.name}: {len(section.differences)} differ, {section.same} are equal"


def _rows(section: Section, width: int) -> Iterator[tuple[str, str, str, str]]:
    for each in section.differences:
        yield first_line(each.name, width), _value(each.before, width), _value(each.after, width), each.change


def _value(value: str | float | None, width: int) -> str:
    if value is None:
        return NOTHING
    return f"{value:.6g}" if isinstance(value, float) else first_line(str(value), width)


def _turn(each: Turned) -> str:
    return f"{_status(each.before)} -> {_status(each.after)}"


def _status(status: Status | None) -> str:
    return status.value if status else "none"
