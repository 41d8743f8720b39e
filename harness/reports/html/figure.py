"""A picture of the evidence: drawn, told in words, and as a table of the same numbers; or why there is none."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from xml.etree.ElementTree import Element, tostring

from markupsafe import Markup

from harness.evidence.records import Evidence
from harness.reports.html.drawing import element

MAX_ROWS = 200  # of a table in the page; the run folder has all of them


@dataclass(frozen=True)
class Table:
    """Numbers of a picture: the first column names the row, the others hold text or figures."""

    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    left_out: int = 0

    @classmethod
    def of(cls, columns: Sequence[str], rows: Iterable[Sequence[str]]) -> Table:
        """Make a table, evenly thinned out where it has too many rows."""
        whole = [tuple(row) for row in rows]
        step = -(-len(whole) // MAX_ROWS) or 1
        kept = whole[::step]
        return cls(tuple(columns), tuple(kept), len(whole) - len(kept))


@dataclass(frozen=True)
class Drawing:
    """Marks in a coordinate system of so many units; `wide` and `narrow` ones suit such screens only."""

    width: float
    height: float
    marks: tuple[Element, ...]
    screen: str = ""


@dataclass(frozen=True)
class Figure:
    """One picture."""

    name: str  # unique in the page, letters and hyphens
    title: str
    alt_text: str  # what is to be seen, for those who cannot see it
    drawings: tuple[Drawing, ...]
    table: Table
    source: str  # the files of the run folder that it was drawn from
    caption: str = ""  # for those who can see it; empty: the same as `alt_text`

    @property
    def svgs(self) -> tuple[Markup, ...]:
        """The drawings as SVG, each with its title and description."""
        return tuple(self._svg(drawing) for drawing in self.drawings)

    def _svg(self, drawing: Drawing) -> Markup:
        name = f"{self.name}-{drawing.screen or 'any'}"
        svg = element(
            "svg",
            viewBox=f"0 0 {drawing.width:g} {drawing.height:g}",
            role="img",
            aria_labelledby=f"{name}-title {name}-told",
            class_=f"picture {drawing.screen}".rstrip(),
        )
        svg.append(element("title", self.title, id=f"{name}-title"))
        svg.append(element("desc", self.alt_text, id=f"{name}-told"))
        svg.extend(drawing.marks)
        # Every text and attribute is escaped by the serialiser: what the evidence holds cannot end an element.
        return Markup(tostring(svg, encoding="unicode"))  # noqa: S704


@dataclass(frozen=True)
class MissingFigure:
    """A picture that cannot be drawn, and why."""

    name: str
    title: str
    why: str


@dataclass(frozen=True)
class Group:
    """Pictures on one thing: those that are drawn, and what keeps the others from it."""

    name: str
    title: str
    pictures: tuple[Figure | MissingFigure, ...]

    @property
    def drawn(self) -> tuple[Figure, ...]:
        """The pictures."""
        return tuple(each for each in self.pictures if isinstance(each, Figure))

    @property
    def missing(self) -> tuple[MissingFigure, ...]:
        """Those that cannot be drawn."""
        return tuple(each for each in self.pictures if isinstance(each, MissingFigure))


def unrecorded(evidence: Evidence, stage: str) -> str:
    """Say why a stage left no record."""
    reason = next((time.outcome for time in evidence.stages if time.name == stage and time.outcome != "done"), "")
    return f"the stage `{stage}` left no record{f': {reason}' if reason else ''}."
