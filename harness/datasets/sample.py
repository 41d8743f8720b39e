"""Draws a tiny fixture from a large table, in one pass and in memory that depends on the fixture only.

Every row gets a random key from a seeded generator; of each class those with the smallest keys are kept (a reservoir
by keys: Efraimidis and Spirakis 2006, with equal weights). At the end each class gets its share of the rows, and at
least `EACH`; rows with a missing value are kept for each column that has one.
"""

from __future__ import annotations

import heapq
import random
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from harness.errors import DescriptionError

EACH = 2  # rows of each class, where there are so many: one for training, one for hold-out
MAX_CLASSES = 10_000
MISSING = frozenset({"", "NA", "N/A", "NaN", "nan", "null", "NULL", "None", "<NA>", "#N/A"})


class SampledRow(NamedTuple):
    """One row: its number from 0, its class, the columns in which it lacks a value, and itself as it was read."""

    number: int
    label: str
    lacks: tuple[str, ...]
    raw: Any


@dataclass
class _Reservoir:
    """The rows with the smallest keys: a heap of (-key, row number, row)."""

    heap: list[tuple[float, int, SampledRow]] = field(default_factory=list)
    seen: int = 0

    def offer(self, key: float, row: SampledRow, size: int) -> int:
        """Keep the row if it belongs to the smallest; return by how many rows the reservoir grew."""
        if len(self.heap) < size:
            heapq.heappush(self.heap, (-key, row.number, row))
            return 1
        if -key > self.heap[0][0]:
            heapq.heapreplace(self.heap, (-key, row.number, row))
        return 0

    def smallest(self, count: int) -> list[SampledRow]:
        return [row for _, _, row in heapq.nlargest(count, self.heap)]


@dataclass(frozen=True)
class Drawn:
    """The rows in their order, and how many of each class were seen and kept."""

    rows: tuple[SampledRow, ...]
    seen: int
    classes: dict[str, tuple[int, int]]


def draw(source: Iterable[SampledRow], size: int, seed: int) -> Drawn:
    """Return `size` rows, or all where there are no more. Raises DescriptionError for too many classes."""
    keys = random.Random(seed)  # noqa: S311 - a sample is no secret
    classes: dict[str, _Reservoir] = {}
    lacking: dict[str, _Reservoir] = {}
    most_held = max(20 * size, 20_000)
    held = seen = 0
    for row in source:
        key = keys.random()
        seen += 1
        if (reservoir := classes.get(row.label)) is None:
            reservoir = classes[row.label] = _Reservoir()
            _verify(len(classes))
        reservoir.seen += 1
        held += reservoir.offer(key, row, size)
        for column in row.lacks:
            lacking.setdefault(column, _Reservoir()).offer(key, row, 1)
        if held > most_held:
            held = _shrink(classes, size, seen)
            most_held = max(most_held, 2 * held)
    return _chosen(classes, lacking, size, seen)


def _verify(classes: int) -> None:
    if classes > MAX_CLASSES:
        raise DescriptionError(
            f"the target has more than {MAX_CLASSES} values: it is no class",
            hint="Leave --target out: rows are then drawn at random.",
        )


def _shrink(classes: dict[str, _Reservoir], size: int, seen: int) -> int:
    """Forget what can hardly be chosen any more: beyond twice the share that a class has had so far."""
    for reservoir in classes.values():
        room = EACH + 2 * (size * reservoir.seen // seen + 1)
        if len(reservoir.heap) > room:
            reservoir.heap = heapq.nlargest(room, reservoir.heap)
            heapq.heapify(reservoir.heap)
    return sum(len(reservoir.heap) for reservoir in classes.values())


def _chosen(classes: dict[str, _Reservoir], lacking: dict[str, _Reservoir], size: int, seen: int) -> Drawn:
    if len(classes) > size:
        raise DescriptionError(
            f"{size} rows cannot hold a row of each of the {len(classes)} classes",
            hint=f"Ask for --rows {EACH * len(classes)}, or leave --target out.",
        )
    chosen = {label: reservoir.smallest(1) for label, reservoir in classes.items()}
    for column in sorted(lacking):  # one row for each column that lacks a value, as far as they fit
        (row,) = lacking[column].smallest(1)
        kept = [known for rows in chosen.values() for known in rows]
        if len(kept) < size and not any(column in known.lacks for known in kept):
            chosen[row.label].append(row)
    shares = _shares({label: (r.seen, len(r.heap)) for label, r in classes.items()},
                     {label: len(rows) for label, rows in chosen.items()}, size, seen)  # fmt: skip
    for label, reservoir in classes.items():
        taken = {row.number for row in chosen[label]}
        more = [row for row in reservoir.smallest(shares[label] + len(taken)) if row.number not in taken]
        chosen[label] += more[: shares[label] - len(taken)]
    rows = sorted((row for found in chosen.values() for row in found), key=lambda row: row.number)
    counted = {label: (classes[label].seen, len(chosen[label])) for label in sorted(classes)}
    return Drawn(tuple(rows), seen, counted)


def _shares(classes: dict[str, tuple[int, int]], taken: dict[str, int], size: int, seen: int) -> dict[str, int]:
    """Return the rows of each class: what is taken already, `EACH` where they fit, then those most below their share.

    `classes` holds how many rows of a class were seen, and how many of them are at hand.
    """
    shares = dict(taken)
    left = size - sum(shares.values())
    for label in sorted(classes, key=lambda label: (classes[label][0], label)):
        more = min(left, max(0, min(EACH, classes[label][1]) - shares[label]))
        shares[label] += more
        left -= more
    wants = [(shares[label] - size * classes[label][0] / seen, label) for label in classes]
    heapq.heapify(wants)
    while left and wants:
        above, label = heapq.heappop(wants)
        if shares[label] < classes[label][1]:
            shares[label] += 1
            left -= 1
            heapq.heappush(wants, (above + 1, label))
    return shares
