"""Judges one condition on labelled rows: pass, fail or unknown, with its bounds and the rows that it would need."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from harness.config.gate_language import CONFIDENCE, FINEST, Condition, Measure
from harness.config.metric_names import METRICS, Family
from harness.evidence.records.scored import BASELINE, NEW, HoldoutRow, Prediction, Scored, scored, selected
from harness.statistics import sample_size
from harness.statistics.intervals import Interval, bootstrap, bootstrap_rows, exact, paired, paired_t, tango
from harness.statistics.metrics import averaged, is_per_row, is_proportion, measured, per_row, proportion, statistic

POWER = 0.8


class ConditionVerdict(StrEnum):
    """What the rows say of a condition."""

    PASS = "pass"
    FAIL = "fail"
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class Needed:
    """Rows that would suffice, and for what."""

    rows: int
    why: str


@dataclass(frozen=True)
class ConditionOutcome:
    """One condition, judged."""

    condition: Condition
    verdict: ConditionVerdict
    estimate: float
    given: int  # rows
    confidence: float
    interval: Interval | None  # None: the rows give no bounds
    beside: Interval | None = None  # by another method, which decides nothing
    needed: tuple[Needed, ...] = ()

    @property
    def is_clear(self) -> bool:
        """Whether the bounds leave no doubt on which side of the threshold the value lies."""
        return self.interval is not None and by_bounds(self.condition, self.interval) is not ConditionVerdict.UNKNOWN


def assess(condition: Condition, rows: Sequence[HoldoutRow]) -> ConditionOutcome:
    """Judge a condition. Raises UnmeasurableError where its metric has no value on the rows that it speaks of."""
    chosen = selected(rows, condition.measure.where)
    if condition.is_difference:
        new, old = scored(chosen, NEW, BASELINE)
        return _difference(condition, new, old)
    return _single(condition, *scored(chosen, NEW))


def library(condition: Condition) -> str:
    """Return the slowest module that judging a condition imports: who knows can import it while others work."""
    measure = condition.measure
    if condition.is_difference:
        return "numpy" if measure.metric == "accuracy" else "scipy.stats"
    if is_proportion(measure.metric, measure.of_class):
        return "scipy.special"
    return "scipy.stats" if condition.confidence is not None or is_per_row(measure.metric) else "numpy"


def by_bounds(condition: Condition, interval: Interval) -> ConditionVerdict:
    """Return pass where all between the bounds satisfies the condition, fail where nothing does, else unknown."""
    good, bad = (interval.low, interval.high) if condition.wants_more else (interval.high, interval.low)
    if condition.holds(good):
        return ConditionVerdict.PASS
    return ConditionVerdict.UNKNOWN if condition.holds(bad) else ConditionVerdict.FAIL


def _single(condition: Condition, new: Scored) -> ConditionOutcome:
    measure = condition.measure
    estimate = measured(measure.metric, measure.of_class, new)
    confidence = condition.confidence or CONFIDENCE
    counts = proportion(measure.metric, measure.of_class, new)
    given = counts[1] if counts else len(new)
    interval = None
    if counts is not None:
        interval = exact(*counts, confidence) if counts[1] else None
    elif condition.confidence is not None or per_row(measure.metric, new) is not None:
        interval = _resampled(measure, new, confidence)
    if condition.confidence is None:
        verdict = ConditionVerdict.PASS if condition.holds(estimate) else ConditionVerdict.FAIL
    else:
        verdict = by_bounds(condition, interval) if interval else ConditionVerdict.UNKNOWN
    if counts is None:
        rows = _width_rows(condition, estimate, interval, given)
    else:
        rows = _proportion_rows(condition, estimate, confidence)
    return ConditionOutcome(condition, verdict, estimate, given, confidence, interval, needed=tuple(rows))


def _difference(condition: Condition, new: Scored, old: Scored) -> ConditionOutcome:
    measure = condition.measure
    confidence = condition.confidence or CONFIDENCE
    estimate = measured(measure.metric, measure.of_class, new) - measured(measure.metric, measure.of_class, old)
    given = len(new)
    beside = None
    if measure.metric == "accuracy":
        only_old, only_new = disagreements(new, old)
        interval: Interval | None = paired(only_old, only_new, given, confidence)
        beside = tango(only_old, only_new, given, confidence)
        rows = _difference_rows(condition, confidence, (only_old + only_new + 2) / (given + 2))
    else:
        interval, beside = _resampled_difference(measure, new, old, confidence)
        rows = _width_rows(condition, estimate, interval, given)
    verdict = by_bounds(condition, interval) if interval else ConditionVerdict.UNKNOWN
    return ConditionOutcome(condition, verdict, estimate, given, confidence, interval, beside, tuple(rows))


def disagreements(new: Scored, old: Scored) -> tuple[int, int]:
    """Return on how many rows only the old model is right, and on how many only the new one."""
    right = [
        (truth == left, truth == right)
        for truth, left, right in zip(new.labels, new.predicted, old.predicted, strict=True)
    ]
    return right.count((False, True)), right.count((True, False))


def _resampled(measure: Measure, new: Scored, confidence: float) -> Interval | None:
    losses = per_row(measure.metric, new)
    if losses is not None:
        return bootstrap(losses, averaged(measure.metric), confidence)
    return bootstrap_rows(len(new), statistic(measure.metric, measure.of_class, new), confidence)


def _resampled_difference(
    measure: Measure, new: Scored, old: Scored, confidence: float
) -> tuple[Interval | None, Interval | None]:
    """Return the BCa bounds of the difference on resampled rows, and Student's where it is a mean of differences."""
    if METRICS[measure.metric].family is Family.LABELS:
        return _eased_difference(measure, new, old, confidence), None
    if new.predictions == old.predictions:  # nothing to resample: the same model, or as good as that
        return Interval(0.0, 0.0, "the same predictions on every row"), None
    left, right = per_row(measure.metric, new), per_row(measure.metric, old)
    if left is not None and right is not None and measure.metric != "rmse":
        return bootstrap(left - right, averaged(measure.metric), confidence), paired_t(left - right, confidence)
    ours = statistic(measure.metric, measure.of_class, new)
    theirs = statistic(measure.metric, measure.of_class, old)
    return bootstrap_rows(len(new), lambda places: ours(places) - theirs(places), confidence), None


def _eased_difference(measure: Measure, new: Scored, old: Scored, confidence: float) -> Interval | None:
    """Return the bounds on rows to which each class adds two: only the new model is right on one, the old on the other.

    So Bonett and Price (2012) ease the difference of two accuracies. Without these, few labels have few disagreements
    or none, and resampling what is not there takes a worse model for an equal one: at 10 rows with 10 % disagreement
    it passes 40 % of the models that are worse by the margin, at 30 rows 14 %.
    """
    names = sorted({*new.labels, *new.predicted, *old.predicted})
    if len(names) == 1:
        return None  # no other class that could be predicted
    more = [(name, names[(names.index(name) + 1) % len(names)]) for name in sorted(set(new.labels))]
    truth = (*new.truth, *(name for name, _ in more for _ in range(2)))
    eased = [
        Scored(truth, (*each.predictions, *(Prediction(pair[place]) for pair in more for place in order)))
        for each, order in ((new, (0, 1)), (old, (1, 0)))
    ]
    ours, theirs = (statistic(measure.metric, measure.of_class, each) for each in eased)
    found = bootstrap_rows(len(truth), lambda places: ours(places) - theirs(places), confidence)
    return found and replace(found, method=f"{found.method}, a disagreement of each class added for either side")


def _proportion_rows(condition: Condition, estimate: float, confidence: float) -> list[Needed]:
    if condition.epsilon is not None:
        return [_hoeffding(condition.epsilon, confidence, 1.0)]
    rows = sample_size.exact(estimate, condition.threshold, confidence)
    return [] if rows is None else [Needed(rows, f"to tell {estimate:.3g} from {condition.threshold:g}")]


def _difference_rows(condition: Condition, confidence: float, disagreement: float) -> list[Needed]:
    found = []
    if condition.epsilon is not None:
        most = min(1.0, math.ceil(100 * disagreement) / 100)
        found.append(_hoeffding(condition.epsilon, confidence, 2.0))
        rows = sample_size.bennett(condition.epsilon, 1 - confidence, most)
        found.append(Needed(rows, f"Bennett, where the models differ on at most {most:.0%} of the rows"))
    if (margin := condition.epsilon or abs(condition.threshold)) >= FINEST:
        rows = sample_size.powered(margin, disagreement, confidence, POWER)
        found.append(Needed(rows, f"for an equal model to pass a margin of {margin:g} in {POWER:.0%} of all cases"))
    return found


def _width_rows(condition: Condition, estimate: float, interval: Interval | None, given: int) -> list[Needed]:
    """Return the rows at which the bounds are as near as asked for, or leave the threshold outside."""
    near = condition.epsilon or abs(estimate - condition.threshold)
    if interval is None or not near:
        return []
    reach = max(estimate - interval.low, interval.high - estimate)
    if not condition.epsilon:  # the bound on the threshold's side must leave it outside
        reach = max(0.0, estimate - interval.low if estimate > condition.threshold else interval.high - estimate)
    why = (
        f"for bounds within {near:.3g}" if condition.epsilon else f"to tell {estimate:.3g} from {condition.threshold:g}"
    )
    return [Needed(max(2, sample_size.scaled(given, reach, near)), f"{why}, by the width of these")]


def _hoeffding(epsilon: float, confidence: float, width: float) -> Needed:
    rows = sample_size.hoeffding(epsilon, 1 - confidence, width)
    return Needed(rows, f"Hoeffding, for +/- {epsilon:g} whatever the model")
