"""Makes datasets of the project's own: a small batch, shuffled labels, a lost column, noise. Nothing is interpreted.

Cells of CSV files stay the texts that they are. All tables of a dataset are changed alike, so that a score over the
hold-out speaks of the same change.
"""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.errors import DescriptionError
from harness.evidence.records import Labels
from harness.evidence.run_folder import disk_errors

if TYPE_CHECKING:
    import pandas as pd

HOLDOUT = ("holdout", "hold-out", "hold_out", "test", "val", "eval")
NOISE = 64  # bytes of a file that cannot be read
MANY = 20  # different numbers in a target: more of them are a regression

Tables = Mapping[str, "pd.DataFrame"]


def read_tables(source: Path, names: Sequence[str]) -> dict[str, pd.DataFrame]:
    """Read the tables of a dataset, name -> table. Raises DescriptionError."""
    return {name: _read(source / name if source.is_dir() else source) for name in names}


def write_dataset(source: Path, files: Sequence[str], tables: Tables, folder: Path) -> None:
    """Write a dataset with these tables, and with copies of the other files of the source."""
    with disk_errors(folder):
        folder.mkdir(parents=True)
        for name in files:
            target = folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            if name in tables:
                _write(tables[name], target)
            else:
                shutil.copyfile(source / name if source.is_dir() else source, target)


def write_noise(files: Sequence[str], folder: Path) -> None:
    """Write files of these names that no reader takes for what they should be: noise, not even text."""
    noise = b"\xff" + random.Random(0).randbytes(NOISE - 1)  # noqa: S311 - repeatable; 0xff begins no UTF-8
    with disk_errors(folder):
        for name in files:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(noise)


def training_table(tables: Tables, target: str | None) -> str | None:
    """Return the name of the table to train on: the one that says so, else the largest with the target."""
    fitting = [name for name, table in tables.items() if target is None or target in table.columns]
    named = [name for name in fitting if "train" in Path(name).stem.lower()]
    return max(named or fitting, key=lambda name: len(tables[name]), default=None)


def labels_of(tables: Tables, target: str) -> Labels | None:
    """Return what is known of the target in the hold-out; None without a table that training does not learn from."""
    training = training_table(tables, target)
    others = [name for name, table in tables.items() if name != training and target in table.columns and len(table)]
    if not others:
        return None
    name = next((n for n in others if any(word in Path(n).stem.lower() for word in HOLDOUT)), others[0])
    values = tables[name][target].astype(str)
    majority = float(values.value_counts(normalize=True).iloc[0])
    return Labels(table=name, rows=len(values), majority=majority, numeric=is_numeric(tables, target))


def is_numeric(tables: Tables, target: str) -> bool:
    """Whether the target is one of many numbers: a regression."""
    import pandas as pd

    values = pd.concat([table[target] for table in tables.values() if target in table.columns])
    numbers = pd.to_numeric(values, errors="coerce")
    return bool(numbers.notna().all() and numbers.nunique() > MANY)


def small_batch(tables: Tables, target: str | None, rows: int, tile: int) -> tuple[dict[str, pd.DataFrame], int]:
    """Let every table hold the same few rows, the one to train on as often as `tile`; return how many rows these are.

    They are the first distinct ones, each value of the target in turn. Two rows that differ in the target alone
    could not both be learned by heart: only the first is taken.
    """
    import pandas as pd

    name = training_table(tables, target)
    if name is None:
        return {}, 0
    table = tables[name]
    features = [column for column in table.columns if column != target]
    distinct = table.drop_duplicates(subset=features or None)
    if target is not None:
        turn = distinct.groupby(target, sort=False, dropna=False).cumcount()
        distinct = distinct.loc[turn.sort_values(kind="stable").index]
    batch = distinct.head(rows)
    found = {name: pd.concat([batch] * tile, ignore_index=True)}
    for other, held in tables.items():
        if other != name and set(held.columns) <= set(table.columns) and (target is None or target in held.columns):
            found[other] = batch[list(held.columns)]
    return found, len(batch)


def shuffled(tables: Tables, target: str, seed: int) -> dict[str, pd.DataFrame]:
    """Permute the target within each table, whether to train on or held out.

    The hold-out must be permuted too: else its labels still go with its clusters, and a learner that names the
    clusters at random is right about a whole cluster or wrong about it, which no binomial test allows for.
    """
    generator = random.Random(seed)  # noqa: S311 - repeatable, no secret
    found = {}
    for name, table in tables.items():
        if target in table.columns:
            values = list(table[target])
            generator.shuffle(values)
            found[name] = table.assign(**{target: values})
    return found


def without(tables: Tables, column: str) -> dict[str, pd.DataFrame]:
    """Take a column out of all tables."""
    return {name: table.drop(columns=column) for name, table in tables.items() if column in table.columns}


def _read(path: Path) -> pd.DataFrame:
    import pandas as pd

    readers: dict[str, Callable[[Path], pd.DataFrame]] = {
        ".csv": lambda p: pd.read_csv(p, dtype=str, keep_default_na=False, encoding="utf-8-sig"),
        ".jsonl": lambda p: pd.DataFrame(_lines(p), dtype=object),
        ".parquet": pd.read_parquet,
    }
    try:
        return readers[path.suffix](path)
    except (ValueError, OSError, ImportError, RecursionError) as exc:
        raise DescriptionError(f"the table {path.name} cannot be read: {exc}", hint="Correct the dataset.") from exc


def _lines(path: Path) -> list[Any]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8-sig").split("\n") if line.strip()]


def _write(table: pd.DataFrame, path: Path) -> None:
    if path.suffix == ".csv":
        table.to_csv(path, index=False)
    elif path.suffix == ".parquet":
        table.to_parquet(path, index=False)
    else:
        rows = ({k: v for k, v in row.items() if v == v} for row in table.to_dict("records"))  # noqa: PLR0124 - no NaN
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
