"""How far the training rows are from the reference sample, column by column."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from xml.etree.ElementTree import Element

from harness.config.blocks import DataLimits
from harness.evidence.records import Drift, Evidence
from harness.reports.html.drawing import RIGHT, WIDTH, Scale, element, fitted, hint, text, tick_text
from harness.reports.html.figure import Drawing, Figure, MissingFigure, Table, unrecorded
from harness.reports.html.plain import counted, number

NAME, TITLE = "drift", "Drift by column"
MAX_COLUMNS = 25
ROW, HEAD, LEFT = 24.0, 8.0, 134.0


def drift(evidence: Evidence) -> Figure | MissingFigure:
    """Draw the distance of each column, and the one from which on it is a drift."""
    block = evidence.spec.block.data
    if block is None or evidence.data is None:
        return MissingFigure(NAME, TITLE, unrecorded(evidence, "data") if block else "x-harness names no `data`.")
    if not evidence.data.drift:
        why = "no column in common, or no rows." if block.reference else "x-harness.data names no `reference` sample."
        return MissingFigure(NAME, TITLE, why)
    columns = sorted(
        evidence.data.drift, key=lambda column: column.distance / _allowed(column, block.limits), reverse=True
    )
    over = [column.column for column in columns if column.distance > _allowed(column, block.limits)]
    first = columns[0]
    alt_text = f"{counted(len(columns), 'column')} held against {block.reference}; the one nearest to its limit is "
    alt_text += f"{first.column}: {first.measure} {number(first.distance, 3)} of "
    alt_text += f"{number(_allowed(first, block.limits), 3)} allowed. "
    alt_text += f"Beyond its limit: {', '.join(over)}." if over else "None is beyond its limit."
    if len(columns) > MAX_COLUMNS:
        alt_text += f" The {MAX_COLUMNS} nearest to their limits are drawn."
    drawn = columns[:MAX_COLUMNS]
    drawing = Drawing(WIDTH, HEAD + ROW * len(drawn) + 56, tuple(_marks(drawn, block.limits)))
    rows = [
        (
            c.column,
            c.measure,
            number(c.distance, 3),
            number(c.noise, 3),
            number(_allowed(c, block.limits), 3),
            f"{c.missing[0]:.1%}",
            f"{c.missing[1]:.1%}",
        )
        for c in columns
    ]
    names = (
        "column",
        "measure",
        "distance",
        "of small samples",
        "allowed",
        "missing in reference",
        "missing in training",
    )
    return Figure(NAME, TITLE, alt_text, (drawing,), Table.of(names, rows), "data.json")


def _allowed(column: Drift, limits: DataLimits) -> float:
    """Return the distance that the check `data.drift` allows: its limit beyond what small samples differ by."""
    return column.noise + (limits.numbers if column.measure == "Jensen-Shannon" else limits.categories)


def _marks(columns: Sequence[Drift], limits: DataLimits) -> Iterator[Element]:
    values = [value for column in columns for value in (column.distance, _allowed(column, limits))]
    x = Scale.over(values, LEFT, WIDTH - RIGHT, zero=True)
    bottom = HEAD + ROW * len(columns)
    for tick in x.ticks():
        yield element("line", x1=x.at(tick), x2=x.at(tick), y1=HEAD, y2=bottom, class_="grid", stroke_opacity="0.2")
        yield text(x.at(tick), bottom + 16, tick_text(tick), "middle", "tick")
    for place, column in enumerate(columns):
        top = HEAD + ROW * place
        allowed = _allowed(column, limits)
        kind = "bad" if column.distance > allowed else "c1"
        said = f"{column.column}: {column.measure} {column.distance:.3g}, allowed {allowed:.3g}"
        yield text(LEFT - 8, top + 16, fitted(column.column, LEFT - 12), "end")
        yield element(
            "rect",
            hint(said),
            x=LEFT,
            y=top + 6,
            width=max(1.5, x.at(column.distance) - LEFT),
            height=ROW - 12,
            rx="2",
            class_=f"bar {kind}",
            fill_opacity="0.7",
        )
        at = x.at(allowed)
        yield element(
            "line", hint(said), x1=at, x2=at, y1=top + 3, y2=top + ROW - 3, stroke_width="2", class_="reference"
        )
    yield text(WIDTH - RIGHT, bottom + 34, "distance to the reference sample", "end", "name")
    yield text(WIDTH - RIGHT, bottom + 50, "upright mark: what is allowed", "end", "name")
