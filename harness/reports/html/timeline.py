"""The timeline of the stages: what ran when, and what beside what."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from xml.etree.ElementTree import Element

from harness.evidence.records import Evidence, StageTime
from harness.evidence.stages import STAGES
from harness.reports.html.drawing import Scale, element, fitted, hint, text, tick_text
from harness.reports.html.figure import Drawing, Figure, MissingFigure, Table
from harness.reports.html.plain import counted, duration

MAIN = tuple(stage.name for stage in STAGES.values() if stage.is_main)
NAME, TITLE = "timeline", "Timeline of the stages"
ROW, HEAD, FOOT = 24.0, 8.0, 42.0
END = 58.0  # room for the time of the last stage
SCREENS = ((960.0, 104.0, "wide"), (350.0, 84.0, "narrow"))  # width, room for the names, screen


def timeline(evidence: Evidence) -> Figure | MissingFigure:
    """Draw each stage that took time as a bar from its start to its end."""
    ran = sorted((s for s in evidence.stages if s.done or s.seconds > 0), key=lambda s: (s.start, s.name not in MAIN))
    if not ran:
        return MissingFigure(NAME, TITLE, "the run recorded no stage.")
    end = max(stage.start + stage.seconds for stage in ran)
    longest = max(ran, key=lambda stage: stage.seconds)
    busy = sum(stage.seconds for stage in ran)
    alt_text = (
        f"{counted(len(ran), 'stage')} in {duration(end)}; one after the other: {duration(busy)}. "
        f"The longest is {longest.name}, {duration(longest.seconds)}."
    )
    if bad := [f"{stage.name} ended as: {stage.outcome}" for stage in ran if not stage.done]:
        alt_text += f" {'; '.join(bad)}."
    drawings = tuple(
        Drawing(width, HEAD + ROW * len(ran) + FOOT, tuple(_marks(ran, end, width, left)), screen)
        for width, left, screen in SCREENS
    )
    rows = [
        (s.name, "main line" if s.name in MAIN else "beside", f"{s.start:.2f}", f"{s.seconds:.2f}", s.outcome)
        for s in sorted(evidence.stages, key=lambda s: (s not in ran, s.start))
    ]
    table = Table.of(("stage", "line", "start (s)", "took (s)", "outcome"), rows)
    return Figure(NAME, TITLE, alt_text, drawings, table, "stages.json")


def _marks(ran: Sequence[StageTime], end: float, width: float, left: float) -> Iterator[Element]:
    scale = Scale(0.0, end or 1.0, left, width - END)
    bottom = HEAD + ROW * len(ran)
    for tick in scale.ticks():
        at = scale.at(tick)
        yield element("line", x1=at, x2=at, y1=HEAD, y2=bottom, class_="grid", stroke_opacity="0.2")
        yield text(at, bottom + 16, tick_text(tick), "middle", "tick")
    yield text(width - END, bottom + 34, "seconds", "end", "name")
    for number, stage in enumerate(ran):
        top = HEAD + ROW * number
        start, stop = scale.at(stage.start), scale.at(stage.start + stage.seconds)
        kind = "bad" if not stage.done else "c1" if stage.name in MAIN else "beside"
        said = f"{stage.name}: {duration(stage.seconds)}, from {stage.start:.1f} s on; {stage.outcome}"
        yield text(left - 8, top + 16, fitted(stage.name, left), "end")
        yield element(
            "rect",
            hint(said),
            x=start,
            y=top + 5,
            width=max(2.0, stop - start),
            height=ROW - 10,
            rx="2",
            class_=f"bar {kind}",
            fill_opacity="0.7",
        )
        mark = "" if stage.done else " ✕"
        yield text(max(start + 2, stop) + 6, top + 16, duration(stage.seconds) + mark, class_="tick")
    yield from _key(width, bottom + 34, left)


def _key(width: float, at: float, left: float) -> Iterator[Element]:
    """Say what the two kinds of bars are."""
    left = left if width == SCREENS[0][0] else 6.0
    for offset, kind, name in ((0.0, "c1", "main line"), (98.0, "beside", "beside it")):
        yield element(
            "rect", x=left + offset, y=at - 9, width=16.0, height=10.0, rx="2", class_=f"bar {kind}", fill_opacity="0.7"
        )
        yield text(left + offset + 22, at, name, class_="name")
