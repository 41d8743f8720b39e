"""How fast the service answered: the distribution of the latencies, and what more clients made of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from xml.etree.ElementTree import Element

from harness.evidence.records import Evidence, Step
from harness.reports.html.drawing import BOTTOM, HEIGHT, LEFT, RIGHT, TOP, WIDTH, Scale, axes, element, hint, text
from harness.reports.html.figure import Drawing, Figure, MissingFigure, Table, unrecorded
from harness.reports.html.plain import counted, duration, number

BINS = 24
GOOD = ("example", "batch", "single", "skew", "again", "fields", "reversed", "behaviour")  # kinds of good requests
PERCENTILES = (50, 95, 99)


def latency(evidence: Evidence) -> Figure | MissingFigure:
    """Draw a histogram of the latencies of the steady stream; without one, of the good requests of the contract."""
    stream = evidence.load.stream if evidence.load else None
    if stream and stream.latencies:
        pace = f"a steady stream of {stream.rate:.3g} requests a second" if stream.rate else "a stream of requests"
        return _histogram(evidence, stream, pace, "load.json")
    single = sorted(
        each.seconds
        for kind in GOOD
        for each in (evidence.contract.of(kind) if evidence.contract else ())
        if each.status is not None and each.status < 400  # noqa: PLR2004 - 4xx is a refusal
    )
    if not single:
        return MissingFigure("latency", "Latency", unrecorded(evidence, "load"))
    step = Step(None, 1, sum(single), len(single), len(single), tuple(single))
    return _histogram(evidence, step, "good requests sent one by one, not a measurement under load", "exchanges.ndjson")


def _histogram(evidence: Evidence, step: Step, what: str, source: str) -> Figure:
    milliseconds = [seconds * 1000 for seconds in step.latencies]
    marks_at = {f"p{p}": step.percentile(p) * 1000 for p in PERCENTILES}
    x = Scale.over(milliseconds, LEFT, WIDTH - RIGHT, zero=True)
    width = (x.high - x.low) / BINS
    counts = [0] * BINS
    for value in milliseconds:
        counts[min(BINS - 1, int((value - x.low) / width))] += 1
    y = Scale.over(counts, HEIGHT - BOTTOM, TOP, zero=True)
    marks = [*axes(x, y, "milliseconds", "answers")]
    for place, count in enumerate(counts):
        if count:
            start = x.low + place * width
            said = hint(f"{counted(count, 'answer')} from {number(start, 3)} to {number(start + width, 3)} ms")
            box = {"x": x.at(start) + 0.5, "width": x.at(start + width) - x.at(start) - 1}
            top = y.at(count)
            marks.append(element("rect", said, y=top, height=y.start - top, class_="bar c1", fill_opacity="0.7", **box))
    marks += _percentiles(marks_at, x)
    alt_text = (
        f"{counted(len(milliseconds), 'answer')} to {what}: "
        + ", ".join(f"{name} {number(value, 3)} ms" for name, value in marks_at.items())
        + f", the slowest {number(max(milliseconds), 3)} ms."
    )
    budget = evidence.spec.block.contract.latency
    limits = {p: limit for p, limit in ((50, budget.p50), (95, budget.p95), (99, budget.p99)) if limit is not None}
    if limits and step.rate:
        alt_text += " Declared: " + ", ".join(f"p{p} at most {duration(limit)}" for p, limit in limits.items()) + "."
    rows = [(name, number(value, 4)) for name, value in marks_at.items()] + [("slowest", number(max(milliseconds)))]
    rows += [
        (f"{number(x.low + n * width, 3)} to {number(x.low + (n + 1) * width, 3)} ms", f"{count} answers")
        for n, count in enumerate(counts)
        if count
    ]
    return Figure(
        "latency",
        "Latency",
        alt_text,
        (Drawing(WIDTH, HEIGHT, tuple(marks)),),
        Table.of(("what", "milliseconds or answers"), rows),
        source,
    )


def _percentiles(places: dict[str, float], x: Scale) -> Iterator[Element]:
    """Mark the percentiles; names that would overlap stand one above the other."""
    last, row = -100.0, 0
    for name, value in places.items():
        at = x.at(value)
        row = row + 1 if at - last < 30 else 0  # noqa: PLR2004 - units that a name takes
        last = at
        yield element("line", x1=at, x2=at, y1=TOP - 2, y2=HEIGHT - BOTTOM, class_="reference", stroke_dasharray="4 3")
        place, anchor = (at + 4, "start") if at < WIDTH - 50 else (at - 4, "end")
        yield text(place, TOP - 6 - 13 * row, name, anchor, "tick")


def steps(evidence: Evidence) -> tuple[Figure | MissingFigure, ...]:
    """Draw the throughput, and the 95th percentile of the latency, over the number of clients."""
    title = "Load: more and more clients"
    if evidence.load is None:
        return (MissingFigure("load", title, unrecorded(evidence, "load")),)
    found = [step for step in evidence.load.steps if step.clients]
    if not found:
        return (MissingFigure("load", title, "no request was sent under load: no good request was answered before."),)
    limit = evidence.spec.block.contract.load.p95
    slow = [(step, step.percentile(95) * 1000) for step in found if step.latencies]
    table = Table.of(
        ("clients", "answers a second", "p50 (ms)", "p95 (ms)", "errors", "crossed"),
        [
            (
                str(step.clients),
                number(step.throughput, 3),
                *(number(step.percentile(p) * 1000, 3) if step.latencies else "-" for p in (50, 95)),
                str(sum(step.errors.values())),
                str(sum(step.crossed.values())),
            )
            for step in found
        ],
    )
    best = max(found, key=lambda step: step.throughput)
    errors = sum(sum(step.errors.values()) for step in found)
    alt_text = f"Most answers a second: {number(best.throughput, 3)}, with {counted(best.clients or 0, 'client')}. "
    alt_text += f"{errors} of {sum(step.sent for step in found)} requests got no good answer."
    bars = tuple(_bars(found, [step.throughput for step in found], "answers a second", "c1"))
    figures: list[Figure | MissingFigure] = [
        Figure("throughput", "Load: answers a second", alt_text, (Drawing(WIDTH, HEIGHT, bars),), table, "load.json")
    ]
    if slow:
        times = [time for _, time in slow]
        alt_text = f"The 95th percentile of the latency goes from {number(times[0], 3)} ms with "
        alt_text += f"{counted(slow[0][0].clients or 0, 'client')} to {number(times[-1], 3)} ms with "
        alt_text += f"{counted(slow[-1][0].clients or 0, 'client')}; the declared limit is {duration(limit)}."
        marks = tuple(_bars([step for step, _ in slow], times, "p95, milliseconds", "c2", limit * 1000))
        figures.append(Figure("p95", "Load: latency", alt_text, (Drawing(WIDTH, HEIGHT, marks),), table, "load.json"))
    return tuple(figures)


def _bars(
    found: Sequence[Step], values: Sequence[float], name: str, kind: str, limit: float | None = None
) -> Iterator[Element]:
    """Draw a bar for each number of clients; a limit that is far above all of them is left to the text."""
    shown = limit if limit is not None and limit <= 3 * max(values) else None
    y = Scale.over([*values, shown or 0.0], HEIGHT - BOTTOM, TOP, zero=True)
    yield from axes(None, y, "clients at once", name)
    room = (WIDTH - RIGHT - LEFT) / len(found)
    for place, (step, value) in enumerate(zip(found, values, strict=True)):
        middle, top = LEFT + room * (place + 0.5), y.at(value)
        width = min(44.0, room * 0.6)
        said = hint(f"{counted(step.clients or 0, 'client')}: {number(value, 3)} {name}")
        yield element(
            "rect",
            said,
            x=middle - width / 2,
            width=width,
            y=top,
            height=y.start - top,
            class_=f"bar {kind}",
            fill_opacity="0.7",
        )
        yield text(middle, top - 6, number(value, 3), "middle", "figure")
        yield text(middle, HEIGHT - BOTTOM + 17, str(step.clients), "middle", "tick")
    if shown:
        at = y.at(shown)
        yield element("line", x1=LEFT, x2=WIDTH - RIGHT, y1=at, y2=at, class_="reference bad", stroke_dasharray="4 3")
        yield text(WIDTH - RIGHT, at - 5, f"limit {number(shown, 3)}", "end", "tick")
