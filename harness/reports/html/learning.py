"""How training learned: the loss and the score of the run, beside those of its controls."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from xml.etree.ElementTree import Element

from harness.evidence.records import Evidence
from harness.reports.html.drawing import (
    BOTTOM,
    HEIGHT,
    LEFT,
    RIGHT,
    SERIES,
    WIDTH,
    Scale,
    axes,
    below_legend,
    legend,
    path,
)
from harness.reports.html.figure import Drawing, Figure, MissingFigure, Table, unrecorded
from harness.reports.html.plain import number

CONTROLS = (("small-batch", "small batch"), ("shuffled", "shuffled labels"), ("seed", "another seed"))
MAX_POINTS = 300  # of a line
LOG_RATIO = 50.0  # from the least to the greatest value, beyond which equal factors are drawn equally far apart


@dataclass(frozen=True)
class Curve:
    """The values of one run; `points` are steps and finite values, `unfinite` counts the others."""

    name: str
    points: tuple[tuple[float, float], ...]
    unfinite: int = 0


def loss(evidence: Evidence) -> Figure | MissingFigure:
    """Draw the loss over the epochs."""
    key = evidence.spec.block.train.loss
    return _curves(evidence, key, "loss", "Loss", "falls")


def score(evidence: Evidence) -> Figure | MissingFigure | None:
    """Draw the score over the epochs; nothing where the project names none."""
    key = evidence.spec.block.train.score
    return _curves(evidence, key, "score", f"Score: {key}", "rises") if key else None


def _curves(evidence: Evidence, key: str, name: str, title: str, good: str) -> Figure | MissingFigure:
    if evidence.artifact is None:
        return MissingFigure(name, title, unrecorded(evidence, "artifact"))
    found = list(_found(evidence, key))
    if not found or not found[0].points:
        why = (
            evidence.artifact.metrics_error or f"{evidence.artifact.metrics_path} holds no finite number under `{key}`"
        )
        return MissingFigure(name, title, f"{why}.")
    values = [value for curve in found for _, value in curve.points]
    steps = [step for curve in found for step, _ in curve.points]
    is_log = min(values) > 0 and max(values) / min(values) > LOG_RATIO
    over = Scale.over_powers if is_log else Scale.over
    names = [curve.name for curve in found]
    y = over(values, HEIGHT - BOTTOM, below_legend(names))
    x = Scale(min(steps), max(steps) if max(steps) > min(steps) else min(steps) + 1, LEFT, WIDTH - RIGHT)
    step = "epoch" if "epoch" in (evidence.artifact.metrics or ({},))[0] else "recorded point"
    y_name = f"{key}{', logarithmic' if is_log else ''}"
    marks = (*axes(x, y, step, y_name), *legend(names), *_lines(found, x, y))
    alt_text = " ".join(_alt_text(curve, key) for curve in found)
    caption = f"In a run that learns, it {good}; with shuffled labels there is nothing to learn."
    source = "artifact.json, trainings.json" if len(found) > 1 else "artifact.json"
    return Figure(name, title, alt_text, (Drawing(WIDTH, HEIGHT, marks),), _table(found, step), source, caption)


def _found(evidence: Evidence, key: str) -> Iterator[Curve]:
    """Yield the curve of the run, then those of its controls."""
    yield _curve("training", evidence.artifact.metrics if evidence.artifact else None, key)
    for name, shown in CONTROLS:
        run = evidence.trainings.of(name) if evidence.trainings else None
        curve = _curve(shown, run.metrics if run else None, key)
        if curve.points:
            yield curve


def _curve(name: str, metrics: Sequence[Mapping[str, float | int | str | bool | None]] | None, key: str) -> Curve:
    points, unfinite = [], 0
    for place, each in enumerate(metrics or (), 1):
        value, step = each.get(key), each.get("epoch", place)
        if isinstance(value, bool) or not isinstance(value, int | float):
            continue
        if math.isfinite(value):
            points.append((float(step) if isinstance(step, int | float) else float(place), float(value)))
        else:
            unfinite += 1
    return Curve(name, tuple(points), unfinite)


def _lines(found: Sequence[Curve], x: Scale, y: Scale) -> Iterator[Element]:
    for curve, style in zip(found, SERIES, strict=False):
        stride = -(-len(curve.points) // MAX_POINTS)
        kept = [*curve.points[:-1:stride], curve.points[-1]]
        yield path([(x.at(step), y.at(value)) for step, value in kept], dict(style))


def _alt_text(curve: Curve, key: str) -> str:
    (first, start), (last, stop) = curve.points[0], curve.points[-1]
    lost = f", {curve.unfinite} values are not finite and not drawn" if curve.unfinite else ""
    return f"{curve.name}: {key} {number(start)} at {number(first)}, {number(stop)} at {number(last)}{lost}."


def _table(found: Sequence[Curve], step: str) -> Table:
    by_step = [dict(curve.points) for curve in found]
    steps = sorted({at for points in by_step for at in points})
    rows = [(number(at), *(number(points[at]) if at in points else "-" for points in by_step)) for at in steps]
    return Table.of((step, *(curve.name for curve in found)), rows)
