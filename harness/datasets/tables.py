"""Reads a table: CSV, JSON lines, and Parquet where pyarrow is installed."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from harness.errors import DescriptionError

if TYPE_CHECKING:
    import pandas as pd

TABLES = (".csv", ".parquet", ".jsonl")


def read(path: Path) -> pd.DataFrame:
    """Return the whole table. Raises DescriptionError."""
    import pandas as pd

    require(path)
    try:
        if path.suffix == ".parquet":
            return pd.read_parquet(path)
        if path.suffix == ".jsonl":
            return pd.read_json(path, lines=True)
        return pd.read_csv(path)
    except (ValueError, OSError, ImportError) as exc:
        raise DescriptionError(f"the table {path.name} cannot be read: {exc}", hint="Correct the dataset.") from exc


def require(path: Path) -> None:
    """Raise DescriptionError for a format that nothing here can read."""
    if path.suffix not in TABLES:
        raise DescriptionError(
            f"expected a table ending in {', '.join(TABLES)}, received {path.name}", hint="Convert it to CSV."
        )
    if path.suffix == ".parquet" and find_spec("pyarrow") is None and find_spec("fastparquet") is None:
        raise DescriptionError(
            f"the table {path.name} cannot be read: Parquet needs pyarrow, which is not installed",
            hint="Install it beside the harness: pip install pyarrow; or commit the fixture as CSV.",
        )
