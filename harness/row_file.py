"""Reads the rows of a CSV or JSON-lines file, in their order; the values of a CSV stay text."""

from __future__ import annotations

import csv
import io
import json
from itertools import islice
from pathlib import Path
from typing import Any


def read_rows(path: Path, limit: int | None = None) -> list[dict[str, Any]]:
    """Return the first `limit` rows, all for None. Raises OSError and ValueError."""
    text = path.read_text(encoding="utf-8-sig")
    if path.suffix == ".csv":
        rows = list(islice(csv.DictReader(io.StringIO(text, newline="")), limit))
    else:
        rows = [json.loads(line) for line in islice(filter(str.strip, text.splitlines()), limit)]
    if not rows:
        raise ValueError("the file holds no rows")
    if strangers := [row for row in rows if not isinstance(row, dict) or None in row]:
        raise ValueError(f"expected rows with a value for each column, received {strangers[0]!r}")
    return rows
