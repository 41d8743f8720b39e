"""Rows that training and hold-out share, identical or nearly."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from harness.evidence.records import SharedRow

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

NUMBERS_ROWS = re.compile(r"(^|_)(id|idx|index|uuid|guid|rowid|row_?n(r|um(ber)?))$|^unnamed", re.IGNORECASE)
STEP = 0.5  # of the usual step between the values of a column
LONE_STEP = 0.001  # the same where one number alone tells the rows apart: two of them are close by chance
ALIKE = 0.9  # correlation of columns that are one
WITHIN = 1e-3  # of a column's standard deviation: what rounding or a change of format does to a number
SHOWN = 20
WINDOW = 2_000  # training rows that one hold-out row is compared with: bounds the work in coarse columns


@dataclass(frozen=True)
class Overlap:
    """What training and hold-out share; `chance` is the share that rows of so few values have without any leak."""

    rows: tuple[SharedRow, ...] = ()  # the first ones
    count: int = 0
    repeated: float = 0.0  # share of the training rows that training has more than once
    chance: float = 0.0
    ignored: tuple[str, ...] = ()


def shared(train: pd.DataFrame, holdout: pd.DataFrame) -> Overlap:
    """Look for the hold-out rows in training.

    Rows are equal when text is the same but for case and white space, whole numbers are the same, and other numbers
    differ by no more than `WITHIN` standard deviations and `STEP` of the usual step of the column. Columns that number
    the rows say nothing and are ignored. Both frames have the index (file, row).
    """
    import pandas as pd

    columns = [name for name in train.columns if name in holdout.columns]
    both = pd.concat([train[columns], holdout[columns]])
    ignored = tuple(str(name) for name in columns if _numbers_rows(both[name], str(name)))
    both = both.drop(columns=list(ignored))
    if both.shape[1] == 0 or train.empty or holdout.empty:
        return Overlap(ignored=ignored)
    exact, fine = _parts(both)
    raw = pd.util.hash_pandas_object(both.astype(str), index=False).to_numpy()
    codes = pd.factorize(pd.util.hash_pandas_object(exact, index=False).to_numpy())[0]
    cut = len(train)
    found: list[SharedRow] = []
    count = 0
    for held, trained in _pairs(codes, fine, cut):
        count += 1
        if len(found) < SHOWN:
            (train_file, train_row), (file, row) = both.index[trained], both.index[cut + held]
            same = bool(raw[trained] == raw[cut + held])
            found.append(SharedRow(str(file), int(row), str(train_file), int(train_row), same))
    repeated = float(pd.Series(raw[:cut]).duplicated(keep=False).mean())
    return Overlap(tuple(found), count, repeated, _chance(both, cut), ignored)


def _chance(both: pd.DataFrame, cut: int) -> float:
    """Return the share of hold-out rows that `cut` rows would have too if their columns were independent."""
    import numpy as np
    import pandas as pd

    likely = np.ones(len(both))
    for name in both.columns:
        codes = pd.factorize(both[name].astype(str), use_na_sentinel=False)[0]
        likely *= (np.bincount(codes)[codes] - 1) / max(1, len(codes) - 1)  # how many others have this value
    return float((1 - (1 - likely[cut:]) ** cut).mean())


def _numbers_rows(column: pd.Series, name: str) -> bool:
    """Whether a column is the number or the name of its row: called so, and different in (almost) every row."""
    return bool(NUMBERS_ROWS.search(name)) and column.astype(str).nunique() > 0.5 * len(column)


def _parts(both: pd.DataFrame) -> tuple[pd.DataFrame, np.ndarray[Any, Any]]:
    """Return what must be equal (text, whole numbers, where values are missing), and other numbers in tolerances."""
    import numpy as np
    import pandas as pd

    exact, fine, tolerances = {}, [], []
    for name in both.columns:
        column = both[name]
        if not pd.api.types.is_float_dtype(column) or _is_whole(column):
            exact[name] = _normalised(column)
            continue
        values = column.to_numpy(dtype=float)
        finite = np.isfinite(values)
        known = values[finite]
        exact[name] = pd.Series(np.where(finite, 0.0, values), index=column.index)
        steps = np.diff(np.unique(known))
        usual = float(np.median(steps)) if len(steps) else 0.0
        tolerances.append((WITHIN * float(np.std(known)), usual))
        fine.append(np.where(finite, values, 0.0))
    step = STEP if _independent(fine) > 1 else LONE_STEP
    scaled = [
        values / (min(within, step * usual) or 1.0) for values, (within, usual) in zip(fine, tolerances, strict=True)
    ]
    return pd.DataFrame(exact), np.column_stack(scaled) if scaled else np.zeros((len(both), 0))


def _is_whole(column: pd.Series) -> bool:
    import numpy as np

    finite = column[np.isfinite(column)]
    return not len(finite) or not bool((finite % 1 != 0).any())


def _independent(columns: list[np.ndarray[Any, Any]]) -> int:
    """Return how many columns say something that those before do not."""
    import numpy as np

    kept: list[np.ndarray[Any, Any]] = []
    for column in columns:
        if np.std(column) and all(abs(np.corrcoef(column, other)[0, 1]) < ALIKE for other in kept):
            kept.append(column)
            if len(kept) > 1:
                break
    return len(kept)


def _normalised(column: pd.Series) -> pd.Series:
    import pandas as pd

    if pd.api.types.is_numeric_dtype(column) or pd.api.types.is_datetime64_any_dtype(column):
        return column
    text = column.astype(str).where(column.notna(), "")
    return text.str.normalize("NFKC").str.casefold().str.split().str.join(" ")


def _pairs(codes: np.ndarray[Any, Any], fine: np.ndarray[Any, Any], cut: int) -> Iterator[tuple[int, int]]:
    """Yield each hold-out row that is near a training row, and that row.

    Training rows are sorted by their exact part, then by their most varied number: the rows that can be near a
    hold-out row then stand beside each other.
    """
    import numpy as np

    widest = max(range(fine.shape[1]), key=lambda n: len(np.unique(fine[:, n])), default=None)
    key = fine[:, widest] if widest is not None else np.zeros(len(codes))
    order = np.lexsort((key[:cut], codes[:cut]))
    sorted_codes, sorted_key = codes[order], key[order]
    starts = np.searchsorted(sorted_codes, codes[cut:], "left")
    ends = np.searchsorted(sorted_codes, codes[cut:], "right")
    for held in np.flatnonzero(ends > starts):
        row, start, end = cut + held, starts[held], ends[held]
        first = start + np.searchsorted(sorted_key[start:end], key[row] - 1, "left")
        last = start + np.searchsorted(sorted_key[start:end], key[row] + 1, "right")
        near = order[first : min(last, first + WINDOW)]
        fits = np.flatnonzero((np.abs(fine[near] - fine[row]) <= 1).all(axis=1))
        if len(fits):
            yield int(held), int(near[fits[0]])
