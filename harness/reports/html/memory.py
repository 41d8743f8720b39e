"""How much memory training and serving used, beside what they may use."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from xml.etree.ElementTree import Element

from harness.evidence.records import Evidence
from harness.reports.html.drawing import (
    BOTTOM,
    HEIGHT,
    LEFT,
    RIGHT,
    SERIES,
    TOP,
    WIDTH,
    Scale,
    axes,
    element,
    hint,
    path,
    text,
)
from harness.reports.html.figure import Drawing, Figure, MissingFigure, Table, unrecorded
from harness.reports.html.plain import duration, size

MIB = 2**20
FAR = 4  # times the highest use


def training(evidence: Evidence) -> Figure | MissingFigure:
    """Draw the memory of training over its time, or its peak alone where only that is recorded; what is allowed."""
    title, train = "Memory of training", evidence.train
    if train is None:
        return MissingFigure("memory-training", title, unrecorded(evidence, "train"))
    if train.peak is None:
        return MissingFigure("memory-training", title, "the engine said nothing of its memory while it ran.")
    budget = evidence.spec.block.train.max_memory
    found = [("peak", train.peak), ("budget", budget), ("limit", train.memory_limit)]
    rows = [(name, value) for name, value in found if value]
    alt_text = (
        f"The highest use was {size(train.peak)} ({train.peak_source}), last looked at {duration(train.peak_at)} "
    )
    alt_text += f"after the start of {duration(train.exit.seconds)}; "
    alt_text += "; ".join(f"the {name} is {size(value)}" for name, value in rows[1:]) or "there is no limit"
    table = Table.of(("what", "bytes", "MiB"), [(name, f"{value:,}", f"{value / MIB:,.1f}") for name, value in rows])
    drawing = Drawing(WIDTH, 46.0 * len(rows) + 14, tuple(_levels(rows)))
    if len(train.memory) > 1:
        end = max(train.exit.seconds, train.memory[-1][0])
        drawing = _over_time(train.memory, end, "seconds of training", train.memory_limit or budget)
        moments = [(f"after {s:.2f} s", f"{v:,}", f"{v / MIB:,.1f}") for s, v in train.memory]
        table = Table.of(("what", "bytes", "MiB"), [*table.rows, *moments])
    return Figure("memory-training", title, f"{alt_text}.", (drawing,), table, "train/record.json")


def _levels(rows: list[tuple[str, int]]) -> Iterator[Element]:
    x = Scale(0.0, max(value for _, value in rows), 6.0, WIDTH - 6)
    for place, (name, value) in enumerate(rows):
        top = 22.0 + 46 * place
        yield text(6.0, top, name, class_="label")
        yield text(WIDTH - 6, top, f"{value / MIB:,.0f} MiB", "end", "figure")
        width = max(2.0, x.at(value) - 6)
        kind = "c1" if name == "peak" else "beside"
        yield element(
            "rect",
            hint(size(value)),
            x=6.0,
            y=top + 6,
            width=width,
            height=14.0,
            rx="2",
            class_=f"bar {kind}",
            fill_opacity="0.7",
        )


def serving(evidence: Evidence) -> Figure | MissingFigure:
    """Draw the memory of the service over the time of the load."""
    title = "Memory of the service under load"
    if evidence.load is None:
        return MissingFigure("memory-serving", title, unrecorded(evidence, "load"))
    points, at = [], 0.0
    for step in filter(None, (evidence.load.stream, *evidence.load.steps)):
        points += [(at + since, used) for since, used in step.memory]
        at += step.seconds
    if not points:
        return MissingFigure("memory-serving", title, "the engine said nothing of its memory while it was under load.")
    limit, used = _limit(evidence), [value for _, value in points]
    drawing = _over_time(points, at, "seconds of load", limit)
    alt_text = f"Before {size(used[0])}, at most {size(max(used))}, in the end {size(used[-1])}; "
    alt_text += f"the limit is {size(limit)}." if limit else "there is no limit."
    table = Table.of(("second", "MiB"), [(f"{s:.2f}", f"{v / MIB:,.2f}") for s, v in points])
    return Figure("memory-serving", title, alt_text, (drawing,), table, "load.json")


def _over_time(points: Sequence[tuple[float, int]], end: float, axis: str, limit: int | None) -> Drawing:
    """Draw bytes over seconds; a limit that is far above them would make them a flat line, and is left out."""
    used = [value for _, value in points]
    shown = limit is not None and limit <= FAR * max(used)
    values = [value / MIB for value in used] + ([limit / MIB] if limit and shown else [])
    y = Scale.over(values, HEIGHT - BOTTOM, TOP - 14, zero=True)
    x = Scale.over([0.0, max(end, *(since for since, _ in points))], LEFT, WIDTH - RIGHT)
    places = [(x.at(s), y.at(v / MIB)) for s, v in points]
    marks = [*axes(x, y, axis, "MiB"), path(places, dict(SERIES[0]))]
    for (s, v), (cx, cy) in zip(points, places, strict=True):
        tooltip = hint(f"{size(v)} after {s:.1f} s")
        marks.append(element("circle", tooltip, cx=cx, cy=cy, r="3", class_="dot c1", fill="currentColor"))
    if limit and shown:
        line = {"x1": LEFT, "x2": WIDTH - RIGHT, "y1": y.at(limit / MIB), "y2": y.at(limit / MIB)}
        marks.append(element("line", **line, class_="reference bad", stroke_dasharray="4 3"))
        marks.append(text(WIDTH - RIGHT, y.at(limit / MIB) - 5, "limit", "end", "tick"))
    return Drawing(WIDTH, HEIGHT, tuple(marks))


def _limit(evidence: Evidence) -> int | None:
    """Return the memory limit of the serving container as Compose writes it: a number of bytes."""
    service = evidence.spec.model.get("services", {}).get(evidence.spec.block.serve.service) or {}
    try:
        return int(service["mem_limit"]) or None
    except (KeyError, ValueError, TypeError):
        return None
