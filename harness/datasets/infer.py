"""Writes a first schema from a table: what was seen, with room for what was not. A person narrows or widens it."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import yaml

from harness.errors import DescriptionError

if TYPE_CHECKING:
    import pandas as pd

MAX_CATEGORIES = 20
ROWS_EACH = 5  # a category was seen that often, on average: else the next file has another one
ROOM = 0.5  # of the spread, on both sides of a range
DIGITS = 2


def infer(frame: pd.DataFrame, name: str) -> str:
    """Return a pandera DataFrameSchema as YAML. Raises DescriptionError for a table without rows."""
    if frame.empty:
        raise DescriptionError(f"{name} holds no rows", hint="Give a table with some rows of each kind.")
    schema = {
        "schema_type": "dataframe",
        "version": _version(),
        "columns": {str(column): _column(frame[column]) for column in frame.columns},
        "index": None,
        "coerce": True,
        "strict": True,
    }
    comment = (
        f"# Inferred from the {len(frame)} rows of {name}: ranges reach {ROOM:g} of the spread beyond what was seen.\n"
        "# Read it, and correct what you know better.\n"
    )
    return comment + yaml.safe_dump(schema, sort_keys=False, allow_unicode=True, width=120)


def _version() -> str:
    from importlib.metadata import version

    return version("pandera")


def _column(column: pd.Series) -> dict[str, Any]:
    import pandas as pd

    known = column.dropna()
    found: dict[str, Any] = {"nullable": bool(len(known) < len(column))}
    if known.empty:
        return {"dtype": None, **found}
    if pd.api.types.is_bool_dtype(known):
        return {"dtype": "bool" if known.dtype == column.dtype else None, **found}
    if pd.api.types.is_numeric_dtype(known):
        whole = pd.api.types.is_integer_dtype(column)
        dtype = str(column.dtype) if whole and str(column.dtype) in ("int64", "uint64") else "float64"
        return {"dtype": dtype, **found, **_checks(_numbers(known, whole=whole))}
    if all(isinstance(value, str) for value in known):
        return {"dtype": "str", **found, **_checks(_categories(known))}
    return {"dtype": None, **found}  # dates, lists, mixed values: what a person knows, and YAML cannot say


def _checks(checks: dict[str, Any]) -> dict[str, Any]:
    return {"checks": checks} if checks else {}


def _categories(known: pd.Series) -> dict[str, Any]:
    values = known.unique()
    few = len(values) <= min(MAX_CATEGORIES, len(known) // ROWS_EACH)
    return {"isin": sorted(map(str, values))} if few else {}


def _numbers(known: pd.Series, *, whole: bool) -> dict[str, Any]:
    """Return a range with room on both sides; what was never negative, or never beyond 1 as a share, stays so."""
    low, high = known.min(), known.max()
    if not (math.isfinite(low) and math.isfinite(high)):
        return {}
    room = (float(high) - float(low)) * ROOM
    least, most = _outward(float(low) - room, room, math.floor), _outward(float(high) + room, room, math.ceil)
    if low >= 0:
        least = max(0.0, least)
    if low >= 0 and high <= 1 and not whole:
        most = min(1.0, most)
    cast = int if whole and room else float
    if whole and not room:
        return {"isin": [int(low)]}
    return {"greater_than_or_equal_to": cast(least), "less_than_or_equal_to": cast(most)}


def _outward(value: float, room: float, to: Any) -> float:
    """Round a bound away from the values, to `DIGITS` digits of the room."""
    if not room:
        return value
    place = DIGITS - 1 - math.floor(math.log10(room))
    scale = 10.0**place
    return float(round(to(value * scale) / scale, max(0, place)))
