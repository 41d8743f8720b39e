"""JSON lines that are read in pieces are the table that they are as a whole."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from harness.datasets import tables


@pytest.mark.parametrize(
    "rows",
    [
        [{"a": n, "b": n / 3, "c": f"name {n}"} for n in range(50)],
        [{"a": n, "b": None if n == 49 else n} for n in range(50)],  # whole numbers, but for the last
        [{"a": n} for n in range(25)] + [{"a": n, "late": True} for n in range(25)],
        [{"a": "1" if n < 25 else "x"} for n in range(50)],
        [{"a": n, "date": f"2026-01-{n % 28 + 1:02}"} for n in range(50)],
        [{"a": [n, n + 1], "b": {"c": n}} for n in range(50)],
        [{"a": n % 2 == 0} for n in range(50)],
    ],
    ids=["plain", "a-late-gap", "a-late-column", "a-late-text", "dates", "nested", "booleans"],
)
def test_pieces_are_the_whole(rows: list[dict[str, Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever comes late: the types are those that pandas finds with all rows before it."""
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    monkeypatch.setattr(tables, "LARGE", 0)
    monkeypatch.setattr(tables, "PIECE", 7)
    pd.testing.assert_frame_equal(tables.read(path), pd.read_json(path, lines=True))
