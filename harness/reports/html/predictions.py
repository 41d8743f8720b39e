"""What was predicted of the labelled hold-out rows, against what is true."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from xml.etree.ElementTree import Element

from harness.config.metric_names import METRICS, Family
from harness.evidence.records import Evidence, Quality
from harness.evidence.records.scored import NEW, Scored, scored
from harness.reports.html.drawing import (
    BOTTOM,
    HEIGHT,
    LEFT,
    RIGHT,
    TOP,
    WIDTH,
    Scale,
    axes,
    element,
    fitted,
    hint,
    text,
)
from harness.reports.html.figure import Drawing, Figure, MissingFigure, Table, unrecorded
from harness.reports.html.plain import counted, number

NAME, TITLE = "predictions", "Predicted against expected"
MAX_CLASSES = 12  # of the matrix; the rarer ones become one
MAX_DOTS = 1_500
OTHER = "others"
SIDE = 96.0  # room for the names of the classes
FAINT, STRONG = 0.1, 0.6  # opacities of an empty and of a full cell: its figure is legible on each between them


def predictions(evidence: Evidence) -> tuple[Figure | MissingFigure, ...]:
    """Draw a confusion matrix for classes; for numbers the predictions over the truth, and their errors."""
    quality = evidence.quality
    if quality is None:
        block = evidence.spec.block.quality
        why = unrecorded(evidence, "quality") if block else "x-harness.quality names no hold-out rows with labels."
        return (MissingFigure(NAME, TITLE, why),)
    (new,) = scored(quality.rows, NEW)
    if not new:
        return (MissingFigure(NAME, TITLE, f"{quality.problem or 'no labelled row has a prediction'}."),)
    if not _is_numeric(quality):
        return (_matrix(quality, new),)
    pairs = _pairs(new)
    if not pairs:
        return (MissingFigure(NAME, TITLE, "no row has both a finite label and a finite prediction."),)
    return (_scatter(quality, pairs, len(new)), _errors(quality, pairs))


def _is_numeric(quality: Quality) -> bool:
    families = {METRICS[name.partition("[")[0]].family for name in quality.metrics if name.partition("[")[0] in METRICS}
    return Family.NUMBERS in families


def _pairs(new: Scored) -> list[tuple[float, float]]:
    found = []
    for truth, prediction in zip(new.truth, new.predictions, strict=True):
        try:
            pair = float(truth), float(prediction.value)
        except (ValueError, OverflowError):
            continue
        if all(map(math.isfinite, pair)):
            found.append(pair)
    return found


def _matrix(quality: Quality, new: Scored) -> Figure:
    frequent = Counter([*new.labels, *new.predicted]).most_common()
    names = sorted(label for label, _ in frequent[:MAX_CLASSES])
    cells = Counter(
        (truth if truth in names else OTHER, said if said in names else OTHER)
        for truth, said in zip(new.labels, new.predicted, strict=True)
    )
    if len(frequent) > MAX_CLASSES:
        names.append(OTHER)
    right = sum(truth == said for truth, said in zip(new.labels, new.predicted, strict=True))
    alt_text = f"{right} of {counted(len(new), 'row')} of {quality.holdout} are predicted as labelled "
    alt_text += f"({right / len(new):.1%})."
    mistakes = [((truth, said), n) for (truth, said), n in cells.most_common() if truth != said]
    if mistakes:
        alt_text += " Most often mistaken: " + ", ".join(f"{t} for {s} ({n})" for (t, s), n in mistakes[:3]) + "."
    if OTHER in names:
        alt_text += f" Of {len(frequent)} classes the {MAX_CLASSES} most frequent are shown."
    size = min(70.0, (WIDTH - SIDE - RIGHT) / len(names))
    top = 46.0
    drawing = Drawing(WIDTH, top + size * len(names) + 24, tuple(_cells(names, cells, size, top)))
    rows = [(truth, *(str(cells[truth, said]) for said in names)) for truth in names]
    table = Table.of(("true \\ predicted", *names), rows)
    return Figure(NAME, f"{TITLE}: {quality.target}", alt_text, (drawing,), table, "quality.json")


def _cells(names: Sequence[str], cells: Counter[tuple[str, str]], size: float, top: float) -> Iterator[Element]:
    left = SIDE
    yield text(6.0, 14.0, "true class (down), predicted class (across)", class_="name")
    for column, said in enumerate(names):
        yield text(left + size * (column + 0.5), top - 8, fitted(said, size), "middle", "tick")
    for row, truth in enumerate(names):
        whole = sum(cells[truth, said] for said in names)
        middle = top + size * (row + 0.5)
        yield text(left - 8, middle + 4, fitted(truth, left - 12), "end", "tick")
        for column, said in enumerate(names):
            count = cells[truth, said]
            share = count / whole if whole else 0.0
            kind = "none" if not count else "right" if truth == said else "wrong"
            yield element(
                "rect",
                hint(f"{counted(count, 'row')} of class {truth} predicted as {said}"),
                x=left + size * column + 1,
                y=top + size * row + 1,
                width=size - 2,
                height=size - 2,
                rx="2",
                fill_opacity=f"{FAINT + (STRONG - FAINT) * share:.3f}" if count else "0.05",
                class_=f"cell {kind}",
            )
            if count or truth == said:
                yield text(left + size * (column + 0.5), middle + 4, f"{count:,}", "middle", "figure")


def _scatter(quality: Quality, pairs: Sequence[tuple[float, float]], rows: int) -> Figure:
    values = [value for pair in pairs for value in pair]
    x = Scale.over(values, LEFT, WIDTH - RIGHT)
    y = x.reversed_to(HEIGHT - BOTTOM, TOP - 14)
    marks = [*axes(x, y, f"true {fitted(quality.target, 150)}", f"predicted {fitted(quality.target, 150)}")]
    ends = {"x1": x.start, "y1": y.start, "x2": x.end, "y2": y.end}
    marks.append(element("line", hint("predicted as it is"), class_="reference", stroke_dasharray="4 3", **ends))
    marks += _dots([(x.at(truth), y.at(said)) for truth, said in pairs])
    mean = sum(abs(said - truth) for truth, said in pairs) / len(pairs)
    alt_text = (
        f"{counted(len(pairs), 'row')} of {quality.holdout}; the nearer a dot is to the diagonal, the better it is "
        f"predicted. Predictions are {number(mean)} off on average."
    )
    if len(pairs) < rows:
        alt_text += f" {counted(rows - len(pairs), 'row')} without finite numbers left out."
    table = Table.of(("true", "predicted", "error"), [(number(t), number(p), number(p - t)) for t, p in pairs])
    title = f"{TITLE}: {quality.target}"
    return Figure(NAME, title, alt_text, (Drawing(WIDTH, HEIGHT, tuple(marks)),), table, "quality.json")


def _errors(quality: Quality, pairs: Sequence[tuple[float, float]]) -> Figure:
    x = Scale.over([said for _, said in pairs], LEFT, WIDTH - RIGHT)
    y = Scale.over([said - truth for truth, said in pairs], HEIGHT - BOTTOM, TOP - 14, zero=True)
    marks = [*axes(x, y, f"predicted {fitted(quality.target, 150)}", "error: predicted - true")]
    zero = y.at(0.0)
    marks.append(element("line", x1=x.start, x2=x.end, y1=zero, y2=zero, class_="reference", stroke_dasharray="4 3"))
    marks += _dots([(x.at(said), y.at(said - truth)) for truth, said in pairs])
    above = sum(said > truth for truth, said in pairs)
    alt_text = (
        f"Of {counted(len(pairs), 'row')} {above} are predicted too high, "
        f"{sum(said < truth for truth, said in pairs)} too low. Good errors have no shape: they lie around zero "
        "everywhere."
    )
    rows = sorted(((p, p - t) for t, p in pairs), key=lambda pair: -abs(pair[1]))
    table = Table.of(("predicted", "error (largest first)"), [(number(p), number(e)) for p, e in rows])
    return Figure(
        "residuals",
        "Errors of the predictions",
        alt_text,
        (Drawing(WIDTH, HEIGHT, tuple(marks)),),
        table,
        "quality.json",
    )


def _dots(places: Sequence[tuple[float, float]]) -> list[Element]:
    stride = -(-len(places) // MAX_DOTS) or 1
    radius = "3" if len(places) <= MAX_DOTS // 5 else "2"
    return [
        element("circle", cx=x, cy=y, r=radius, class_="dot c1", fill="currentColor", fill_opacity="0.55")
        for x, y in places[::stride]
    ]
