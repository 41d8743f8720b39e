"""Reads a table: CSV, JSON lines, and Parquet where pyarrow is installed."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from harness.errors import DescriptionError

if TYPE_CHECKING:
    import pandas as pd

LARGE = 16 * 2**20  # bytes of JSON lines that are read in pieces
PIECE = 20_000  # lines
TABLES = (".csv", ".parquet", ".jsonl")


def read(path: Path) -> pd.DataFrame:
    """Return the whole table. Raises DescriptionError."""
    import pandas as pd

    require(path)
    try:
        if path.suffix == ".parquet":
            return pd.read_parquet(path)
        if path.suffix == ".jsonl":
            return _lines(path)
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


def _lines(path: Path) -> pd.DataFrame:
    """Read JSON lines, many of them in pieces: pandas reads a file in one step, in which no thread can be interrupted.

    Pieces that do not agree on the types of the columns are read again as a whole, which alone can tell what they are.
    """
    import pandas as pd

    if path.stat().st_size > LARGE:
        with pd.read_json(path, lines=True, chunksize=PIECE) as reader:
            pieces: list[pd.DataFrame] = []
            for piece in reader:
                pieces.append(piece)
                if not piece.dtypes.equals(pieces[0].dtypes):
                    break
            else:
                return pd.concat(pieces, ignore_index=True)
    return pd.read_json(path, lines=True)
