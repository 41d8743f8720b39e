"""Holds tables against a schema: every breach with its file, line, column, value and rule, one after the other."""

from __future__ import annotations

import csv
from array import array
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.evidence.records import Violation

if TYPE_CHECKING:
    import pandas as pd


def violations(schema: Any, frame: pd.DataFrame, name: str, path: Path) -> Iterator[Violation]:
    """Yield the breaches of a pandera schema by the table `name`, which was read from `path`."""
    from pandera.errors import SchemaErrors

    try:
        schema.validate(frame, lazy=True)
    except SchemaErrors as exc:
        cases = exc.failure_cases
        lines = lines_of(path, len(frame))
        columns = ("index", "column", "failure_case", "check", "schema_context")
        for values in zip(*(cases[column] for column in columns), strict=True):
            yield _violation(dict(zip(columns, values, strict=True)), name, lines)


def lines_of(path: Path, rows: int) -> array[int]:
    """Return the line, counted from 1, on which each row of a CSV or JSON-lines file begins.

    It is empty for Parquet, which has no lines, and where counting finds other rows than the `rows` that were read:
    a wrong place would be worse than none.
    """
    if path.suffix == ".parquet":
        return array("q")
    with path.open(newline="", encoding="utf-8-sig") as stream:
        try:
            found = array("q", _csv_lines(stream) if path.suffix == ".csv" else _json_lines(stream))
        except (csv.Error, UnicodeDecodeError):
            return array("q")
    return found if len(found) == rows else array("q")


def _csv_lines(stream: Iterator[str]) -> Iterator[int]:
    """A quoted cell may hold line ends; a blank line is no row, as pandas reads it; the first row is the header."""
    reader, begins, header = csv.reader(stream), 1, True
    for record in reader:
        if len(record) > 1 or any(cell.strip() for cell in record):
            if not header:
                yield begins
            header = False
        begins = reader.line_num + 1


def _json_lines(stream: Iterator[str]) -> Iterator[int]:
    return (number for number, line in enumerate(stream, 1) if line.strip())


def _violation(case: dict[str, Any], name: str, lines: array[int]) -> Violation:
    index, column, value = case["index"], case["column"], case["failure_case"]
    if case["schema_context"] == "DataFrameSchema":  # a missing or surplus column: its name is the case
        column = value
    row = int(index) if index is not None and index == index else None  # noqa: PLR0124 - NaN is pandera's "no row"
    line = lines[row] if row is not None and row < len(lines) else None
    return Violation(name, str(column), row, str(value), str(case["check"]), line)
