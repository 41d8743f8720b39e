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
class MetricBounds:
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
        MetricBounds("accuracy", Family.LABELS),
        MetricBounds("balanced_accuracy", Family.LABELS),
        MetricBounds("precision", Family.LABELS, of_class=True),
        MetricBounds("recall", Family.LABELS, of_class=True),
        MetricBounds("f1", Family.LABELS, of_class=True),
        MetricBounds("roc_auc", Family.PROBABILITIES, of_class=True),
        MetricBounds("log_loss", Family.PROBABILITIES, high=None, rises=False),
        MetricBounds("brier", Family.PROBABILITIES, high=2.0, rises=False),
        MetricBounds("ece", Family.PROBABILITIES, rises=False),
        MetricBounds("rmse", Family.NUMBERS, high=None, rises=False),
        MetricBounds("mae", Family.NUMBERS, high=None, rises=False),
        MetricBounds("r2", Family.NUMBERS, low=None),
    )
}
