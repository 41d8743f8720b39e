"""Elements of SVG, scales and axes. A drawing looks right without the style sheet too: some CI servers refuse it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Self
from xml.etree.ElementTree import Element

from harness.reports.html.plain import clean

WIDTH, HEIGHT = 360.0, 240.0  # of a small picture: its text is legible on a phone of 360 pixels
LEFT, RIGHT, TOP, BOTTOM = 46.0, 14.0, 44.0, 40.0
CHARACTER = 7.0  # mean width of one, in units: small screens show a larger font
KEY_ROW = 17.0  # height of a row of the key
SERIES = (  # told apart by dashes and marks too, never by colour alone
    {"class_": "line c1"},
    {"class_": "line c2", "stroke_dasharray": "6 3"},
    {"class_": "line c3", "stroke_dasharray": "2 3"},
    {"class_": "line c4", "stroke_dasharray": "9 3 2 3"},
)
PLAIN = {
    "text": {"fill": "currentColor", "font_size": "12"},
    "line": {"stroke": "currentColor"},
    "polyline": {"fill": "none", "stroke": "currentColor"},
    "rect": {"fill": "currentColor"},
}


def element(tag: str, *content: str | Element, **attributes: object) -> Element:
    """Make an element: `class_` is written `class`, `stroke_width` `stroke-width`; numbers are rounded."""
    written = {"viewBox": "viewBox"}
    made = Element(tag)
    for name, value in {**PLAIN.get(tag, {}), **attributes}.items():
        shown = f"{value:.2f}".rstrip("0").rstrip(".") if isinstance(value, float) else clean(str(value))
        made.set(written.get(name, name.rstrip("_").replace("_", "-")), shown)
    for part in content:
        if isinstance(part, Element):
            made.append(part)
        else:
            made.text = (made.text or "") + clean(part)
    return made


def text(at_x: float, at_y: float, said: str, anchor: str = "start", class_: str = "label") -> Element:
    """Write a text."""
    return element("text", said, x=at_x, y=at_y, text_anchor=anchor, class_=class_)


def fitted(said: str, room: float) -> str:
    """Return a text that fits into so many units, with dots for what does not."""
    most = max(2, int(room / CHARACTER))
    said = clean(said)
    return said if len(said) <= most else said[: most - 1] + "…"


def hint(said: str) -> Element:
    """Say what a mark is when the pointer rests on it."""
    return element("title", said)


@dataclass(frozen=True)
class Scale:
    """Maps the values `low` to `high` to the places `start` to `end`."""

    low: float
    high: float
    start: float
    end: float
    is_log: bool = False

    @classmethod
    def over(cls, values: Sequence[float], start: float, end: float, *, zero: bool = False) -> Self:
        """Make a scale for finite values, from zero where asked for, that ends at a round number."""
        low, high = min(values), max(values)
        if zero:
            low, high = min(0.0, low), max(0.0, high)
        if low == high:
            low, high = low - (abs(low) / 2 or 0.5), high + (abs(high) / 2 or 0.5)
            low = 0.0 if zero and low < 0 <= min(values) else low
        step = _step(high - low)
        return cls(math.floor(low / step + 1e-9) * step, math.ceil(high / step - 1e-9) * step, start, end)

    @classmethod
    def over_powers(cls, values: Sequence[float], start: float, end: float) -> Self:
        """Make a logarithmic scale for positive values, from one power of ten to another."""
        low, high = 10.0 ** math.floor(math.log10(min(values))), 10.0 ** math.ceil(math.log10(max(values)))
        return cls(low, high if high > low else low * 10, start, end, is_log=True)

    def at(self, value: float) -> float:
        """Return the place of a value."""
        if self.is_log:
            part = math.log(value / self.low) / math.log(self.high / self.low)
        else:
            part = (value - self.low) / (self.high - self.low)
        return self.start + part * (self.end - self.start)

    def ticks(self) -> list[float]:
        """Return round values, about five."""
        if self.is_log:
            first, last = round(math.log10(self.low)), round(math.log10(self.high))
            stride = max(1, -(-(last - first) // 5))
            return [10.0**power for power in range(first, last + 1, stride)]
        step = _step(self.high - self.low)
        first, last = math.ceil(self.low / step - 1e-9), math.floor(self.high / step + 1e-9)
        return [tick * step for tick in range(first, last + 1)]

    def reversed_to(self, start: float, end: float) -> Scale:
        """Return the same scale elsewhere."""
        return replace(self, start=start, end=end)


def _step(span: float) -> float:
    """Return a step of 1, 2 or 5 times a power of ten that divides a span into at most six."""
    raw = span / 5
    power = 10.0 ** math.floor(math.log10(raw))
    return next(factor * power for factor in (1, 2, 5, 10) if factor * power >= raw * 0.999)


def tick_text(value: float) -> str:
    """Write the value of a tick."""
    value = round(value, 12)
    if value and not 1e-4 <= abs(value) < 1e5:  # noqa: PLR2004 - beyond, powers of ten are shorter
        return f"{value:.0e}".replace("e-0", "e-").replace("e+0", "e")
    return f"{value:g}"


def axes(
    x: Scale | None, y: Scale | None, x_name: str, y_name: str, *, bottom: float = HEIGHT - BOTTOM
) -> Iterator[Element]:
    """Draw the grid, the ticks, and the names: that of the y axis stands above it, so that nobody turns the head."""
    right = WIDTH - RIGHT
    for tick in y.ticks() if y else ():
        at = y.at(tick) if y else 0.0
        yield element("line", x1=LEFT, x2=right, y1=at, y2=at, class_="grid", stroke_opacity="0.2")
        yield text(LEFT - 7, at + 4, tick_text(tick), "end", "tick")
    yield element("line", x1=LEFT, x2=right, y1=bottom, y2=bottom, class_="axis")
    for tick in x.ticks() if x else ():
        at = x.at(tick) if x else 0.0
        yield element("line", x1=at, x2=at, y1=bottom, y2=bottom + 4, class_="axis")
        yield text(at, bottom + 17, tick_text(tick), "middle", "tick")
    yield text(right, bottom + 34, x_name, "end", "name")
    yield text(6.0, 14.0, y_name, class_="name")


def legend(names: Sequence[str]) -> tuple[Element, ...]:
    """Draw a sample of each series with its name, in rows below the name of the y axis."""
    marks = []
    for (at, row), name, style in zip(_places(names), names, SERIES, strict=False):
        top = 30.0 + KEY_ROW * row
        marks.append(element("line", x1=at, x2=at + 22, y1=top, y2=top, stroke_width="2", **style))
        marks.append(text(at + 27, top + 4, name))
    return tuple(marks)


def below_legend(names: Sequence[str]) -> float:
    """Return where a picture with such a legend begins."""
    return TOP + KEY_ROW * max(row for _, row in _places(names))


def _places(names: Sequence[str]) -> list[tuple[float, int]]:
    """Return place and row of each name of a legend."""
    found, at, row = [], 6.0, 0
    for name in names:
        width = 27 + len(name) * CHARACTER
        if at > 6.0 and at + width > WIDTH:  # noqa: PLR2004 - not the first of its row
            at, row = 6.0, row + 1
        found.append((at, row))
        at += width + 12
    return found


def path(points: Sequence[tuple[float, float]], style: dict[str, str]) -> Element:
    """Draw a line through points; a single one becomes a dot."""
    if len(points) == 1:
        ((x, y),) = points
        return element("circle", cx=x, cy=y, r="3", fill="currentColor", class_=style["class_"].replace("line", "dot"))
    places = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    return element("polyline", points=places, stroke_width="2", **style)
