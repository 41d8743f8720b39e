"""The metrics by name: what each looks at and where its values lie. Light, so that the description can be read."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Family(StrEnum):
    """What a metric looks at."""

    LABELS = "labels"
    PROBABILITIES = "probabilities"
    NUMBERS = "numbers"


@dataclass(frozen=True)
class Metric:
    """One metric: `low` and `high` bound its values, None where they have no bound."""

    name: str
    family: Family
    low: float | None = 0.0
    high: float | None = 1.0
    rises: bool = True  # a larger value is better
    of_class: bool = False  # may be asked for one class: `recall[Adelie]`


METRICS = {
    metric.name: metric
    for metric in (
        Metric("accuracy", Family.LABELS),
        Metric("balanced_accuracy", Family.LABELS),
        Metric("precision", Family.LABELS, of_class=True),
        Metric("recall", Family.LABELS, of_class=True),
        Metric("f1", Family.LABELS, of_class=True),
        Metric("roc_auc", Family.PROBABILITIES, of_class=True),
        Metric("log_loss", Family.PROBABILITIES, high=None, rises=False),
        Metric("brier", Family.PROBABILITIES, high=2.0, rises=False),
        Metric("ece", Family.PROBABILITIES, rises=False),
        Metric("rmse", Family.NUMBERS, high=None, rises=False),
        Metric("mae", Family.NUMBERS, high=None, rises=False),
        Metric("r2", Family.NUMBERS, low=None),
    )
}
