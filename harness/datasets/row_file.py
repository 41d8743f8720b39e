"""Reads the rows of a CSV, JSON-lines or Parquet file, in their order; the values of a CSV stay text."""

from __future__ import annotations

import csv
import io
import json
from itertools import islice
from pathlib import Path
from typing import Any

SUFFIXES = (".csv", ".jsonl", ".parquet")


def read_rows(path: Path, limit: int | None = None) -> list[dict[str, Any]]:
    """Return the first `limit` rows, all for None. Raises OSError and ValueError."""
    if path.suffix == ".parquet":
        return _parquet(path)[:limit]
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


def _parquet(path: Path) -> list[dict[str, Any]]:
    import pandas as pd

    try:
        frame = pd.read_parquet(path)
    except ImportError as exc:
        raise ValueError(f"Parquet needs pyarrow beside pandas: {exc}") from exc
    if frame.empty:
        raise ValueError("the file holds no rows")
    return [json.loads(line) for line in frame.to_json(orient="records", lines=True, date_format="iso").splitlines()]
