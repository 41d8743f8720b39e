"""How well one column alone tells the target: a copy of it, or a leak, scores about 1.

For classes a small decision tree on one number, or the majority class of each value, is fitted on one half of the
rows and scored on the other: a column of names or of row numbers tells nothing about new rows. For a number the
square of Pearson's or of Spearman's correlation.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from harness.datasets.classes import is_number, labels
from harness.evidence.records import Tell

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

MIN_ROWS = 20  # of known target in each half: with fewer a high score means nothing
MAX_DEPTH = 6
FEW = 0.2  # distinct values per row: beyond, a whole number or a text is a quantity or a name
STRAIGHT = 1 - 1e-9


def telling(train: pd.DataFrame, holdout: pd.DataFrame | None, target: str, limit: float) -> list[Tell]:
    """Return the columns whose skill exceeds `limit`; without a hold-out every other training row is one."""
    if holdout is None or target not in holdout:
        train, holdout = train.iloc[::2], train.iloc[1::2]
    train, holdout = train[train[target].notna()], holdout[holdout[target].notna()]
    if min(len(train), len(holdout)) < MIN_ROWS:
        return []
    columns = [name for name in train.columns if name != target and name in holdout.columns]
    judge = _number if is_number(train[target]) else _class
    found = [tell for name in columns if (tell := judge(train, holdout, name, target)) is not None]
    return [tell for tell in found if tell.skill > limit]


def _number(train: pd.DataFrame, holdout: pd.DataFrame, name: str, target: str) -> Tell | None:
    import pandas as pd

    both = pd.concat([train[[name, target]], holdout[[name, target]]]).dropna()
    if not pd.api.types.is_numeric_dtype(both[name]) or both[name].nunique() < MIN_ROWS:
        return None
    left, right = both[name].astype(float), both[target].astype(float)
    straight = float(left.corr(right)) ** 2
    ranked = float(left.rank().corr(right.rank())) ** 2
    score = max(straight, ranked)
    return Tell(name, score, score, straight >= STRAIGHT)


def _class(train: pd.DataFrame, holdout: pd.DataFrame, name: str, target: str) -> Tell | None:
    import pandas as pd

    fit, fit_labels = train[name], labels(train[target])
    seen, truth = holdout[name], labels(holdout[target])
    usual = fit_labels.mode().iloc[0]
    base = float((truth == usual).mean())
    if base == 1 or fit_labels.nunique() < 2:  # noqa: PLR2004 - one class needs no telling
        return None
    numeric = pd.api.types.is_numeric_dtype(fit) and pd.api.types.is_numeric_dtype(seen)
    if numeric and fit.nunique() > FEW * len(fit):
        guessed = pd.Series(_tree_guess(fit, fit_labels, seen), index=seen.index)
    else:
        by_value = fit_labels.groupby(_keys(fit)).agg(lambda group: group.mode().iloc[0])
        guessed = _keys(seen).map(by_value).fillna(usual)
    score = float((guessed == truth).mean())
    both_values, both_labels = pd.concat([_keys(fit), _keys(seen)]), pd.concat([fit_labels, truth])
    return Tell(str(name), score, (score - base) / (1 - base), _one_to_one(both_values, both_labels))


def _keys(column: pd.Series) -> pd.Series:
    """Return values that can be grouped: a missing one is a value too, as it may be what tells."""
    import pandas as pd

    if pd.api.types.is_numeric_dtype(column):
        return column.astype(float).astype(str)
    return column.astype(str).where(column.notna(), "nan")


def _one_to_one(values: pd.Series, classes: pd.Series) -> bool:
    import pandas as pd

    pairs = len(pd.DataFrame({"value": values.to_numpy(), "class": classes.to_numpy()}).drop_duplicates())
    return pairs == values.nunique() == classes.nunique()


def _tree_guess(fit: pd.Series, classes: pd.Series, seen: pd.Series) -> list[str]:
    """Return the guesses of a decision tree on one number (CART, Breiman et al. 1984: Gini impurity)."""
    import numpy as np
    import pandas as pd

    codes, names = pd.factorize(classes)
    values = fit.astype(float).fillna(-np.inf).to_numpy()
    order = np.argsort(values, kind="stable")
    one_hot = np.eye(len(names))[codes[order]]
    depth = min(MAX_DEPTH, int(np.ceil(np.log2(len(names)))) + 1)
    edges, leaves = _grow(values[order], one_hot, depth)
    places = np.searchsorted(edges, seen.astype(float).fillna(-np.inf).to_numpy(), "right")
    return [str(names[leaves[place]]) for place in places]


def _grow(values: np.ndarray[Any, Any], one_hot: np.ndarray[Any, Any], depth: int) -> tuple[list[float], list[int]]:
    """Return the thresholds in their order, and the majority class between them. `values` are sorted."""
    import numpy as np

    total = one_hot.sum(axis=0)
    leaf = int(total.argmax())
    places = np.flatnonzero(values[1:] > values[:-1]) + 1
    if depth == 0 or total.max() == len(values) or not len(places):
        return [], [leaf]
    left = one_hot.cumsum(axis=0)[places - 1]
    right = total - left
    purity = (left**2).sum(axis=1) / places + (right**2).sum(axis=1) / (len(values) - places)
    best = int(places[purity.argmax()])
    low, high = _grow(values[:best], one_hot[:best], depth - 1), _grow(values[best:], one_hot[best:], depth - 1)
    below, above = values[best - 1], values[best]
    edge = (below + above) / 2 if np.isfinite(below) else above
    return [*low[0], float(edge), *high[0]], [*low[1], *high[1]]
