"""Put rows through functions of the project: `python features.py TABLES.json ANSWERS.json`.

TABLES is a list of {transform, takes, rows}; ANSWERS gets for each of them {rows} or {error}. A value that JSON does
not have becomes what it reads as: NaN and pandas' missing values null, arrays lists, anything else its text.
"""

from __future__ import annotations

import importlib
import json
import math
import sys
import traceback
from pathlib import Path
from typing import Any

MAX_ERROR = 2000  # characters, from the end


def transform(name: str, rows: list[dict[str, Any]], takes: str) -> list[dict[str, Any]]:
    """Return the rows that a function makes of others, as dicts."""
    module, _, path = name.partition(":")
    function: Any = importlib.import_module(module)
    for part in path.split("."):
        function = getattr(function, part)
    if takes == "row":
        return [row_of(function(dict(row))) for row in rows]
    return rows_of(function(table_of(rows) if takes == "table" else [dict(row) for row in rows]))


def table_of(rows: list[dict[str, Any]]) -> Any:
    """Return a DataFrame, or the rows themselves where the image has no pandas."""
    try:
        import pandas as pd
    except ImportError:
        return [dict(row) for row in rows]
    return pd.DataFrame(rows)


def rows_of(result: Any) -> list[dict[str, Any]]:
    """Return what a function gave as a list of dicts."""
    if hasattr(result, "to_frame"):  # a pandas Series
        result = result.to_frame(result.name if result.name is not None else "value")
    if hasattr(result, "to_dict") and hasattr(result, "columns"):
        columns, made = [str(column) for column in result.columns], result.itertuples(index=False, name=None)
        return [row_of(dict(zip(columns, values))) for values in made]  # noqa: B905 - Python 3.9 has no `strict`
    if isinstance(result, dict):  # columns
        return [row_of(dict(zip(result, values))) for values in zip(*result.values())]  # noqa: B905
    if hasattr(result, "toarray"):  # a sparse matrix
        result = result.toarray()
    return [row_of(row) for row in result]


def row_of(value: Any) -> dict[str, Any]:
    """Return one row as a dict: the values of a list by their number, a single value as `value`."""
    row = plain(value)
    if isinstance(row, list):
        return {str(number): value for number, value in enumerate(row)}
    return row if isinstance(row, dict) else {"value": row}


def plain(value: Any) -> Any:
    """Return a value as JSON has it."""
    if isinstance(value, dict):
        return {str(key): plain(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(each) for each in value]
    if hasattr(value, "tolist"):  # NumPy's arrays and scalars
        return plain(value.tolist())
    if value is None or isinstance(value, (bool, int, str)):
        return value
    if isinstance(value, float):
        return None if math.isnan(value) else value
    return None if str(value) in ("NaT", "<NA>") else str(value)


def main(tables: str, answers: str) -> None:
    """Answer each table by itself: one that raises does not hide the others."""
    sys.path[0] = str(Path.cwd())  # as `python -m` has it
    found: list[dict[str, Any]] = []
    asked = json.loads(Path(tables).read_text(encoding="utf-8"))
    for table in asked:
        try:
            found.append({"rows": transform(table["transform"], table["rows"], table["takes"])})
        except Exception:  # noqa: BLE001 - whatever a project's function raises is its answer
            found.append({"error": traceback.format_exc()[-MAX_ERROR:]})
    Path(answers).write_text(json.dumps(found), encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
