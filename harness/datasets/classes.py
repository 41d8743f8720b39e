"""The classes of a target column."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

MAX_CLASSES = 100


def is_number(target: pd.Series) -> bool:
    """Whether a target is a quantity to regress on: numbers with a fraction, or whole ones of many values."""
    import pandas as pd

    known = target.dropna()
    if not pd.api.types.is_numeric_dtype(known) or pd.api.types.is_bool_dtype(known):
        return False
    distinct = known.nunique()
    return bool((known % 1 != 0).any() and distinct > 2) or distinct > max(20, len(known) // 20)  # noqa: PLR2004


def labels(target: pd.Series) -> pd.Series:
    """Return the classes as text: a whole number is the same class whether it was read as 1 or as 1.0."""
    import pandas as pd

    known = target.dropna()
    if pd.api.types.is_float_dtype(known) and not (known % 1 != 0).any():
        known = known.astype("int64")
    return known.astype(str)


def counts(train: pd.Series, holdout: pd.Series) -> dict[str, tuple[int, int]]:
    """Return the rows of each class in both tables, most frequent first, at most `MAX_CLASSES`."""
    left, right = (Counter(labels(series).tolist()) for series in (train, holdout))
    both = {name: (left[name], right[name]) for name in {**left, **right}}
    ordered = sorted(both.items(), key=lambda item: (min(item[1]) > 0, -sum(item[1]), item[0]))
    return dict(ordered[:MAX_CLASSES])
