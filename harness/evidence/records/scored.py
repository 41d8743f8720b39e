"""Labelled rows and what models predict of them; labels of a CSV file and of a JSON answer are made comparable."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

Scalar = bool | int | float | str

NEW = "new"  # the served model
BASELINE = "baseline"  # the one that it must not be worse than
DUMMY = "dummy"  # one answer for every row
LINEAR = "linear"


@dataclass(frozen=True)
class Prediction:
    """What a model predicts of one row."""

    value: Scalar
    probabilities: Mapping[str, float] | None = None  # of each class, where the answer has them


@dataclass(frozen=True)
class HoldoutRow:
    """One hold-out row: its label, the columns that conditions select by, and the predictions of each model."""

    number: int  # in its file, from 1
    truth: Scalar | None  # None: the file has no label for it
    columns: Mapping[str, str] = field(default_factory=dict)
    predictions: Mapping[str, Prediction] = field(default_factory=dict)  # NEW, BASELINE, DUMMY, LINEAR
    problem: str = ""  # why the served model has no prediction


@dataclass(frozen=True)
class Scored:
    """The truth and the predictions of one model, row by row."""

    truth: tuple[Scalar, ...]
    predictions: tuple[Prediction, ...]

    def __len__(self) -> int:
        return len(self.truth)

    @property
    def labels(self) -> tuple[str, ...]:
        """The truth as labels."""
        return tuple(label(value) for value in self.truth)

    @property
    def predicted(self) -> tuple[str, ...]:
        """The predictions as labels."""
        return tuple(label(prediction.value) for prediction in self.predictions)


def selected(rows: Iterable[HoldoutRow], where: Sequence[tuple[str, str]]) -> list[HoldoutRow]:
    """Return the rows that have all these values in these columns."""
    return [row for row in rows if all(label(row.columns.get(key, "")) == label(value) for key, value in where)]


def scored(rows: Sequence[HoldoutRow], *models: str) -> tuple[Scored, ...]:
    """Return the predictions of each model on the labelled rows of which all of them have one."""
    paired = [(row, row.truth) for row in rows if row.truth is not None and all(m in row.predictions for m in models)]
    truth = tuple(value for _, value in paired)
    return tuple(Scored(truth, tuple(row.predictions[model] for row, _ in paired)) for model in models)


def label(value: Scalar) -> str:
    """Return a label as text: 1, 1.0 and "1.0" are one label, and so are True, "True" and "true"."""
    if isinstance(value, bool) or (isinstance(value, str) and value.strip() in ("True", "False")):
        return str(value).strip().lower()
    if isinstance(value, str):
        return _label_of_text(value.strip())
    return str(int(value)) if math.isfinite(value) and value == int(value) else repr(value)


def _label_of_text(text: str) -> str:
    for kind in (int, float):  # an integer first: a float does not hold a large one
        try:
            return label(kind(text)) if "_" not in text else text
        except ValueError:
            continue
    return text
