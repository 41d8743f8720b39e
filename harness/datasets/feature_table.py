"""Reads a table of values for a transform: the given ones, and those that are expected of it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.datasets.row_file import read_rows

PREFIX = "expect:"
WORDS = {"": None, "true": True, "false": False}


@dataclass(frozen=True)
class Rows:
    """The rows of one table, without those columns that belong to the other side."""

    given: tuple[dict[str, Any], ...]
    expected: tuple[dict[str, Any], ...]


def read_table(path: Path) -> Rows:
    """Return the rows of a CSV file, or of a JSON list of {given, expect}. Raises OSError, ValueError.

    A text of a CSV file that reads as a number is one, an empty one is missing, true and false are booleans: where
    that is wrong (`007`), JSON says what is meant.
    """
    rows = _of_csv(path) if path.suffix.lower() == ".csv" else _of_json(path)
    if empty := [number for number, (_, expected) in enumerate(rows, start=1) if not expected]:
        raise ValueError(
            f"row {empty[0]} expects nothing: name a column `{PREFIX}NAME` in a CSV file, or give JSON "
            'as [{"given": {...}, "expect": {...}}]'
        )
    return Rows(tuple(given for given, _ in rows), tuple(expected for _, expected in rows))


def _of_csv(path: Path) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    return [
        (
            {name: _value(text) for name, text in row.items() if not name.startswith(PREFIX)},
            {name[len(PREFIX) :]: _value(text) for name, text in row.items() if name.startswith(PREFIX)},
        )
        for row in read_rows(path)
    ]


def _of_json(path: Path) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    rows = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(rows, list) or not rows:
        raise ValueError("expected a JSON list with at least one row")
    for number, row in enumerate(rows, start=1):
        if not isinstance(row, dict) or not all(isinstance(row.get(key), dict) for key in ("given", "expect")):
            raise ValueError(
                f"row {number}: expected an object with the objects `given` and `expect`, received {row!r}"
            )
    return [(row["given"], row["expect"]) for row in rows]


def _value(text: str | None) -> Any:
    if text is None or text.lower() in WORDS:
        return WORDS[(text or "").lower()]
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text
