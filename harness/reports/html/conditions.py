"""The conditions on quality: what was measured, its bounds, and the threshold, as the checks have found them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from xml.etree.ElementTree import Element

from harness.config.gate_language import Condition, ConditionError, parse
from harness.evidence.records import Evidence, Finding, Status
from harness.reports.html.drawing import RIGHT, WIDTH, Scale, element, fitted, hint, text, tick_text
from harness.reports.html.figure import Drawing, Figure, MissingFigure, Table, unrecorded
from harness.reports.html.plain import counted, number

NAME, TITLE = "conditions", "Conditions on quality"
CHECKS = ("quality.gate", "quality.slices")
# The bounds are read from the findings, as `harness.checks.quality` words them, and not computed once more: the
# picture must show what was judged, and a bootstrap takes seconds.
_FIGURE = r"[-+]?(?:\d+\.?\d*(?:e[-+]?\d+)?|inf|nan)"
_MEASURED = re.compile(rf" is (?P<estimate>{_FIGURE}) on (?P<rows>\d+) rows")
_BOUNDS = re.compile(rf"bounds at (?P<sure>[\d.]+): (?P<low>{_FIGURE}) to (?P<high>{_FIGURE}) \((?P<method>[^)]*)\)")
ROW = 62.0
WORDS = {Status.PASS: "holds", Status.FAIL: "broken", Status.WARN: "unknown", Status.ERROR: "error"}


@dataclass(frozen=True)
class Judged:
    """One condition, what its finding says of it, and the bounds where there are some."""

    condition: Condition
    finding: Finding
    estimate: float
    rows: int
    bounds: tuple[float, float] | None
    method: str

    @property
    def extent(self) -> tuple[float, ...]:
        """All that has a place on the scale."""
        return (self.estimate, self.condition.threshold, *(self.bounds or ()))


def conditions(evidence: Evidence, findings: Sequence[Finding]) -> Figure | MissingFigure:
    """Draw each condition on its own scale: threshold, estimate and bounds."""
    block = evidence.spec.block.quality
    if block is None:
        return MissingFigure(NAME, TITLE, "x-harness.quality names no conditions.")
    found = [judged for text_ in block.conditions if (judged := _judged(text_, findings))]
    if not found:
        why = (
            unrecorded(evidence, "quality")
            if evidence.quality is None
            else "no condition was measured: see the checks."
        )
        return MissingFigure(NAME, TITLE, why)
    alt_text = " ".join(_alt_text(each) for each in found)
    holding = sum(each.finding.status is Status.PASS for each in found)
    caption = f"{holding} of {counted(len(block.conditions), 'condition')} hold; {len(found)} could be measured."
    rows = [
        (
            each.condition.text,
            WORDS.get(each.finding.status, each.finding.status.value),
            number(each.estimate),
            f"{number(each.bounds[0])} to {number(each.bounds[1])} ({each.method})" if each.bounds else "none",
            f"{each.rows:,}",
        )
        for each in found
    ]
    drawing = Drawing(WIDTH, ROW * len(found) + 30, tuple(_marks(found)))
    table = Table.of(("condition", "verdict", "measured", "bounds", "rows"), rows)
    return Figure(NAME, TITLE, alt_text, (drawing,), table, "findings.json", caption)


def _judged(said: str, findings: Sequence[Finding]) -> Judged | None:
    """Find the finding on a condition, and the figures in it."""
    quoted = f"`{said}`"
    finding = next(
        (f for f in findings if f.check in CHECKS and (f.expected == quoted or f.received.startswith(f"{quoted}:"))),
        None,
    )
    measured = _MEASURED.search(finding.received) if finding else None
    try:
        condition = parse(said)
    except ConditionError:
        return None
    if finding is None or measured is None:
        return None
    bounds = _BOUNDS.search(finding.received)
    interval = (float(bounds["low"]), float(bounds["high"])) if bounds else None
    method = f"{bounds['method']}, {bounds['sure']}" if bounds else ""
    return Judged(condition, finding, float(measured["estimate"]), int(measured["rows"]), interval, method)


def _alt_text(each: Judged) -> str:
    word = WORDS.get(each.finding.status, each.finding.status.value)
    bounds = f", bounds {number(each.bounds[0])} to {number(each.bounds[1])}" if each.bounds else ""
    return f"{each.condition.text}: {word}, measured {number(each.estimate)} on {each.rows:,} rows{bounds}."


def _marks(found: Sequence[Judged]) -> Iterator[Element]:
    """Draw the conditions; those on a proportion share the scale from 0 to 1, so that they can be compared."""
    shared = [v for each in found for v in each.extent if not each.condition.is_difference]
    unit = bool(shared) and min(shared) >= 0 and max(shared) <= 1
    for place, each in enumerate(found):
        top = ROW * place
        x = Scale(0.0, 1.0, 8.0, WIDTH - RIGHT)
        if not unit or each.condition.is_difference:
            x = Scale.over(each.extent, 8.0, WIDTH - RIGHT, zero=each.condition.is_difference)
        yield from _row(each, x, top)
    bottom = ROW * len(found)
    yield element("line", x1=8.0, x2=8.0, y1=bottom + 12, y2=bottom + 24, stroke_width="2", class_="reference")
    yield text(16.0, bottom + 22, "threshold", class_="name")
    yield element("circle", cx=110.0, cy=bottom + 18, r="4", fill="currentColor", class_="dot c1")
    yield text(120.0, bottom + 22, "measured, with its bounds", class_="name")


def _row(each: Judged, x: Scale, top: float) -> Iterator[Element]:
    middle = top + 30
    good = each.finding.status is Status.PASS
    kind = "c1" if good else "warn" if each.finding.status is Status.WARN else "bad"
    yield text(8.0, top + 14, fitted(each.condition.text, WIDTH - 90), class_="label")
    yield text(WIDTH - RIGHT, top + 14, WORDS.get(each.finding.status, ""), "end", "figure")
    yield element("line", x1=x.start, x2=x.end, y1=middle, y2=middle, class_="grid", stroke_opacity="0.3")
    if each.bounds:
        low, high = x.at(each.bounds[0]), x.at(each.bounds[1])
        said = hint(f"bounds {number(each.bounds[0])} to {number(each.bounds[1])} ({each.method})")
        yield element(
            "line",
            said,
            x1=low,
            x2=high,
            y1=middle,
            y2=middle,
            stroke_width="5",
            class_=f"bounds {kind}",
            stroke_opacity="0.5",
        )
    at = x.at(each.condition.threshold)
    yield element(
        "line",
        hint(f"threshold {each.condition.threshold:g}"),
        x1=at,
        x2=at,
        y1=middle - 7,
        y2=middle + 7,
        stroke_width="2",
        class_="reference",
    )
    yield element(
        "circle",
        hint(f"measured {number(each.estimate)}"),
        cx=x.at(each.estimate),
        cy=middle,
        r="4.5",
        fill="currentColor",
        class_=f"dot {kind}",
    )
    yield text(x.start, middle + 19, tick_text(x.low), class_="tick")
    yield text(x.end, middle + 19, tick_text(x.high), "end", "tick")
