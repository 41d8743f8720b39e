"""Measures a model on labelled rows, as scikit-learn does; every library is imported where it is used."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from harness.config.gate_language import Measure
from harness.config.metric_names import METRICS, Family
from harness.evidence.records.scored import Scalar, Scored, label

if TYPE_CHECKING:
    from harness.statistics.intervals import Numbers, Places

BINS = 15  # of the expected calibration error, as in Guo et al. (2017)
BINARY = 2


class UnmeasurableError(ValueError):
    """A metric has no value on these rows; the text says why."""


def measured(metric: str, of_class: str | None, scored: Scored) -> float:
    """Return the value of a metric. Raises UnmeasurableError."""
    import numpy as np

    if not len(scored):
        raise UnmeasurableError("there is no row")
    if (counts := proportion(metric, of_class, scored)) is not None:
        return counts[0] / counts[1] if counts[1] else 0.0
    if (losses := per_row(metric, scored)) is not None:
        return float(averaged(metric)(losses, axis=-1))
    value = statistic(metric, of_class, scored)(np.arange(len(scored)))
    if not math.isfinite(value):
        raise UnmeasurableError(f"{metric} is not defined on these {len(scored)} rows")
    return value


def is_proportion(metric: str, of_class: str | None) -> bool:
    """Whether a metric is a proportion of rows."""
    return metric == "accuracy" or (of_class is not None and metric in ("precision", "recall"))


def proportion(metric: str, of_class: str | None, scored: Scored) -> tuple[int, int] | None:
    """Return (right, of how many) for a metric that is a proportion of rows; None for any other."""
    pairs = list(zip(scored.labels, scored.predicted, strict=True))
    if metric == "accuracy":
        return sum(truth == predicted for truth, predicted in pairs), len(pairs)
    if of_class is None or not is_proportion(metric, of_class):
        return None
    name = _known(of_class, scored)
    side = 1 if metric == "precision" else 0
    chosen = [pair for pair in pairs if pair[side] == name]
    return sum(truth == predicted for truth, predicted in chosen), len(chosen)


def is_per_row(metric: str) -> bool:
    """Whether a metric is the mean of what single rows lose, or its root."""
    return metric in ("mae", "rmse", "log_loss", "brier")


def per_row(metric: str, scored: Scored) -> Numbers | None:
    """Return the loss of each row, for a metric that is the mean of losses or its root; None for any other.

    Raises UnmeasurableError.
    """
    import numpy as np

    match metric:
        case "mae" | "rmse":
            truth, predicted = _numbers(scored)
            return np.abs(truth - predicted) if metric == "mae" else (truth - predicted) ** 2
        case "log_loss":
            chances, places, _ = _probabilities(scored)
            tiny = float(np.finfo(np.float64).eps)  # what scikit-learn clips at
            loss: Numbers = -np.log(np.clip(chances[np.arange(len(places)), places], tiny, 1 - tiny))
            return loss
        case "brier":  # over all classes; halved for two, so that it is the squared error of one probability
            chances, places, names = _probabilities(scored)
            whole: Numbers = ((chances - np.eye(len(names))[places]) ** 2).sum(axis=1)
            return whole / 2 if len(names) == BINARY else whole
    return None


def averaged(metric: str) -> Callable[..., Numbers]:
    """Return what makes the metric of the losses of rows: takes an array and `axis`."""
    import numpy as np

    def root(losses: Numbers, axis: int = -1) -> Numbers:
        found: Numbers = np.sqrt(np.mean(losses, axis=axis))
        return found

    return root if metric == "rmse" else np.mean


def statistic(metric: str, of_class: str | None, scored: Scored) -> Callable[[Places], float]:
    """Return the metric as a function of the places of rows, so that it can be resampled. Raises UnmeasurableError."""
    if (losses := per_row(metric, scored)) is not None:
        return lambda places: float(averaged(metric)(losses[places], axis=-1))
    if METRICS[metric].family is Family.LABELS:
        return _of_labels(metric, of_class, scored)
    if metric == "r2":
        return _r2(scored)
    return _roc_auc(of_class, scored) if metric == "roc_auc" else _ece(scored)


def summary(scored: Scored, families: frozenset[Family]) -> dict[str, float]:
    """Return every metric that can be measured on these rows, of each class too, under its name in a condition."""
    classes = sorted(set(scored.labels))
    found: dict[str, float] = {}
    for name, metric in METRICS.items():
        if metric.family not in families:
            continue
        wanted: list[str | None] = [None, *(classes if metric.of_class else [])]
        for of_class in wanted:
            try:
                found[str(Measure(name, of_class))] = measured(name, of_class, scored)
            except UnmeasurableError:
                continue
    return found


def _of_labels(metric: str, of_class: str | None, scored: Scored) -> Callable[[Places], float]:
    """Return a metric of the confusion matrix: of one class, or the mean of all that occur (macro average).

    As scikit-learn's with zero_division=0, but fast enough to be resampled.
    """
    import numpy as np

    names = sorted({*scored.labels, *scored.predicted})
    codes = {name: code for code, name in enumerate(names)}
    size = len(names)
    cells = np.array(
        [codes[truth] * size + codes[guess] for truth, guess in zip(scored.labels, scored.predicted, strict=True)]
    )
    chosen = codes[_known(of_class, scored)] if of_class is not None else None

    def score(places: Places) -> float:
        matrix = np.bincount(cells[places], minlength=size * size).reshape(size, size)
        right, true, guessed = matrix.diagonal(), matrix.sum(axis=1), matrix.sum(axis=0)
        if metric == "accuracy":
            return float(right.sum() / len(places))
        of = {"precision": guessed, "f1": (true + guessed) / 2}.get(metric, true)
        values = right / np.maximum(of, 0.5)  # a class with none has a score of 0
        if chosen is not None:
            return float(values[chosen])
        there = true > 0 if metric == "balanced_accuracy" else true + guessed > 0
        return float(values[there].mean())

    return score


def _r2(scored: Scored) -> Callable[[Places], float]:
    """Coefficient of determination, as scikit-learn's: a truth that never changes is met (1) or not (0)."""
    import numpy as np

    truth, predicted = _numbers(scored)
    if len(scored) < 2:  # noqa: PLR2004 - one row has no variance
        raise UnmeasurableError("r2 needs two rows")
    losses = (truth - predicted) ** 2

    def score(places: Places) -> float:
        true, lost = truth[places], losses[places].sum()
        # The mean of equal numbers may be off in the last digit, and a variance of almost 0 is no divisor.
        spread = ((true - true.mean()) ** 2).sum() if np.ptp(true) else 0.0
        return float(1 - lost / spread) if spread else float(not lost)

    return score


def _roc_auc(of_class: str | None, scored: Scored) -> Callable[[Places], float]:
    """The area under the ROC curve: how often a row of the class has a larger probability of it than another row has.

    That is Mann and Whitney's U / (n1 n0), a tie counting half (Hanley and McNeil 1982). Probabilities are sorted once
    and then counted, so that it is fast enough to be resampled.
    """
    import numpy as np

    chances, places, names = _probabilities(scored)
    if of_class is None and len(names) != BINARY:
        raise UnmeasurableError(f"roc_auc of {len(names)} classes: name one, for example roc_auc[{names[0]}]")
    positive = names.index(_known(of_class, scored)) if of_class is not None else 1
    ranked, ranks = np.unique(chances[:, positive], return_inverse=True)
    cells = 2 * ranks + (places == positive)

    def score(at: Places) -> float:
        others, own = np.bincount(cells[at], minlength=2 * len(ranked)).reshape(-1, 2).T
        pairs = int(own.sum()) * int(others.sum())
        below = others.cumsum() - others / 2  # rows of other classes with less than this, and half of those with this
        return float(own @ below) / pairs if pairs else math.nan

    return score


def _ece(scored: Scored) -> Callable[[Places], float]:
    """Expected calibration error (Guo et al. 2017): the mean gap of confidence and accuracy over bins of confidence."""
    import numpy as np

    chances, places, _ = _probabilities(scored)
    confidence, right = chances.max(axis=1), chances.argmax(axis=1) == places
    bins = np.minimum((confidence * BINS).astype(np.int64), BINS - 1)

    def score(at: Places) -> float:
        gaps = np.bincount(bins[at], weights=right[at] - confidence[at])
        return float(np.abs(gaps).sum() / len(at))

    return score


def _probabilities(scored: Scored) -> tuple[Numbers, Places, list[str]]:
    """Return the probability of each class in each row, the place of the true class, and the classes."""
    import numpy as np

    rows: list[Mapping[str, float]] = []
    for prediction in scored.predictions:
        if prediction.probabilities is None:
            raise UnmeasurableError("the answers hold no probabilities of the classes")
        rows.append({label(name): chance for name, chance in prediction.probabilities.items()})
    names = sorted({*scored.labels, *(name for row in rows for name in row)})
    codes = {name: code for code, name in enumerate(names)}
    chances = np.array([[row.get(name, 0.0) for name in names] for row in rows], dtype=np.float64)
    return chances, np.array([codes[name] for name in scored.labels]), names


def _numbers(scored: Scored) -> tuple[Numbers, Numbers]:
    import numpy as np

    truth = [_number(value, "label") for value in scored.truth]
    predicted = [_number(prediction.value, "prediction") for prediction in scored.predictions]
    return np.array(truth, dtype=np.float64), np.array(predicted, dtype=np.float64)


def _number(value: Scalar, what: str) -> float:
    try:
        number = float(value)
    except (ValueError, OverflowError):
        number = math.nan
    if isinstance(value, bool) or not math.isfinite(number):
        raise UnmeasurableError(f"the {what} {value!r} is no number")
    return number


def _known(of_class: str, scored: Scored) -> str:
    """Return a class as label. Raises UnmeasurableError where neither truth nor prediction has it."""
    name = label(of_class)
    known = {*scored.labels, *scored.predicted}
    if name not in known:
        raise UnmeasurableError(f"no row has the class {of_class}: there are {', '.join(sorted(known))}")
    return name
