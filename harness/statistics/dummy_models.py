"""Two models that any good one should beat: one answer for all rows, and a linear one (Breck et al. 2017, Model 5)."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from statistics import median
from typing import Any

from harness.evidence.records.scored import Scalar

MAX_ROWS = 10_000  # learnt from: evenly spaced ones of a larger table
MAX_TEXTS = 1_000  # distinct ones, each a column of the linear model: more are no categories
SEED = 7

Features = Mapping[str, Any]


def sampled(train: Sequence[Features], truth: Sequence[Scalar]) -> tuple[Sequence[Features], Sequence[Scalar]]:
    """Return the rows that are learnt from: no more than `MAX_ROWS`, evenly spaced."""
    step = max(1, -(-len(train) // MAX_ROWS))
    return train[::step], truth[::step]


def predicted(
    train: Sequence[Features], truth: Sequence[Scalar], rows: Sequence[Features], *, numbers: bool
) -> tuple[list[Scalar], list[Scalar]]:
    """Return what scikit-learn's dummy and its linear model predict of `rows`, learnt from `train`.

    A missing number becomes the median, a missing text no class at all. Raises ValueError where they cannot learn.
    """
    from sklearn.dummy import DummyClassifier, DummyRegressor
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.feature_extraction import DictVectorizer
    from sklearn.linear_model import LogisticRegression, Ridge
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    if not train:
        raise ValueError("no row has a label")
    train, truth = sampled(train, truth)
    medians = _medians(train)
    known = [_filled(row, medians) for row in train]
    unknown = [_filled(row, medians) for row in rows]
    texts = {(name, value) for row in known for name, value in row.items() if isinstance(value, str)}
    if len(texts) > MAX_TEXTS:
        raise ValueError(f"the text fields hold {len(texts)} distinct values: too many for a linear model")
    learner = Ridge() if numbers else LogisticRegression(max_iter=1000, random_state=SEED)
    dummy = DummyRegressor() if numbers else DummyClassifier(strategy="most_frequent")
    linear = make_pipeline(DictVectorizer(sparse=False), StandardScaler(), learner)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return tuple(model.fit(known, truth).predict(unknown).tolist() for model in (dummy, linear))


def _medians(rows: Sequence[Features]) -> dict[str, float]:
    """Return the median of each column that holds nothing but numbers. Raises ValueError for any other than texts."""
    values: dict[str, list[Any]] = {}
    for row in rows:
        for name, value in row.items():
            if value is not None:
                values.setdefault(name, []).append(value)
    if odd := next((n for n, found in values.items() if any(isinstance(v, list | dict) for v in found)), None):
        raise ValueError(f"the field {odd} holds lists or objects")
    return {
        name: float(median(found))
        for name, found in values.items()
        if all(isinstance(value, int | float) for value in found)
    }


def _filled(row: Features, medians: Mapping[str, float]) -> dict[str, float | str]:
    numbers = {name: middle if row.get(name) is None else float(row[name]) for name, middle in medians.items()}
    texts = {name: str(value) for name, value in row.items() if name not in medians and value is not None}
    return {**numbers, **texts}
