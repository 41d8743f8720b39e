"""Checks of how good the served model is on labelled hold-out rows: the project's conditions, and simpler models."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from harness.checks import check, failed, passed, skipped, warned
from harness.config.gate_language import CONFIDENCE, Condition, parse
from harness.config.metric_names import METRICS, Family
from harness.config.quality import QualityBlock
from harness.config.spec import Spec
from harness.evidence.records import Finding, Quality, Status
from harness.evidence.records.scored import BASELINE, DUMMY, LINEAR, NEW, Scored, scored, selected
from harness.statistics.gate import ConditionOutcome, ConditionVerdict, Needed, assess, disagreements
from harness.statistics.intervals import Interval, paired, paired_t
from harness.statistics.metrics import UnmeasurableError, measured, per_row

NONE = "x-harness.quality names no conditions"
MAX_SHOWN = 3


@check("quality.gate", rubric="Infra 4")
def gate(spec: Spec, quality: Quality | None = None) -> Iterator[Finding]:
    """The served model meets the project's conditions on all hold-out rows, each of which gets a prediction."""
    conditions = _conditions(spec, sliced=False)
    if spec.block.quality is None:
        yield skipped(NONE)
    elif quality is None:
        yield _lost()
    elif quality.problem:
        yield failed(
            expected=f"predictions of the labelled rows of {quality.holdout}",
            received=quality.problem,
            advice="Correct the file, or `quality.holdout` and `quality.target`.",
        )
    else:
        yield from _unpredicted(quality)
        yield from _judged(spec.block.quality, quality, conditions)


@check("quality.slices", rubric="Model 6")
def slices(spec: Spec, quality: Quality | None = None) -> Iterator[Finding]:
    """The served model meets the conditions that speak of a part of the hold-out rows."""
    conditions = _conditions(spec, sliced=True)
    if spec.block.quality is None:
        yield skipped(NONE)
    elif not conditions:
        yield skipped("no condition speaks of a slice, as `accuracy[column=value] >= 0.8` would")
    elif quality is None:
        yield _lost()
    elif quality.problem:
        yield skipped(f"see quality.gate: {quality.problem}")
    else:
        yield from _judged(spec.block.quality, quality, conditions)


@check("quality.beats-baselines", rubric="Model 5")
def beats_baselines(spec: Spec, quality: Quality | None = None) -> Iterator[Finding]:
    """The served model is better than one answer for every row, and not worse than a linear model."""
    if spec.block.quality is None:
        yield skipped(NONE)
    elif quality is None:
        yield _lost()
    elif quality.problem or quality.others_problem:
        yield skipped(f"nothing to compare with: {quality.problem or quality.others_problem}")
    elif not scored(quality.rows, NEW, DUMMY, LINEAR)[0]:
        yield skipped("nothing to compare with: no labelled row has a prediction")
    else:
        yield _compared(_metric(spec.block.quality), *scored(quality.rows, NEW, DUMMY, LINEAR))


def _conditions(spec: Spec, *, sliced: bool) -> list[Condition]:
    texts = spec.block.quality.conditions if spec.block.quality else ()
    return [condition for condition in map(parse, texts) if bool(condition.measure.where) is sliced]


def _lost() -> Finding:
    return Finding(
        Status.ERROR, "there is no record of the hold-out rows", "the evidence that the check reads", "Run again."
    )


def _unpredicted(quality: Quality) -> Iterator[Finding]:
    """Find the rows that no condition can speak of."""
    silent = [row for row in quality.rows if row.problem]
    if silent:
        shown = "\n".join(f"row {row.number}: {row.problem}" for row in silent[:MAX_SHOWN])
        more = f"\nand {len(silent) - MAX_SHOWN} more rows" if len(silent) > MAX_SHOWN else ""
        yield failed(
            expected=f"a prediction for each of the {len(quality.rows)} rows of {quality.holdout}",
            received=f"{len(silent)} rows have none\n{shown}{more}",
            advice="Let the service answer such rows, or take them out of the file; "
            "where the answer's form is the trouble, name the place in `quality.prediction`.",
        )
    if unlabelled := sum(row.truth is None for row in quality.rows):
        yield warned(
            expected=f"a label in the column {quality.target} of every row of {quality.holdout}",
            received=f"{unlabelled} of {len(quality.rows)} rows have none and are left out",
            advice="Label them, or take them out of the file.",
        )


def _judged(block: QualityBlock, quality: Quality, conditions: Sequence[Condition]) -> Iterator[Finding]:
    for condition in conditions:
        if problem := _impossible(condition, quality):
            yield failed(
                expected=f"rows on which `{condition.text}` can be judged",
                received=problem,
                advice="Correct the condition, the hold-out file or the service.",
            )
        elif condition.is_difference and not _both(condition, quality):
            yield _without_baseline(block, quality, condition)
        else:
            try:
                yield _finding(block, quality, assess(condition, quality.rows))
            except UnmeasurableError as exc:
                yield failed(
                    expected=f"`{condition.text}` measured on {quality.holdout}",
                    received=str(exc),
                    advice="Correct the condition, or let the service answer what it needs.",
                )
    if not conditions:
        yield passed("no condition speaks of all rows; see quality.slices")


def _impossible(condition: Condition, quality: Quality) -> str:
    """Return why no row answers a condition; empty where some do."""
    for column, value in condition.measure.where:
        if column not in quality.columns:
            return f"{quality.holdout} has no column {column}: it has {', '.join(quality.columns)}"
        if not selected(quality.rows, [(column, value)]):
            values = sorted({row.columns.get(column, "") for row in quality.rows})
            return f"no row has {column}={value}: there are {', '.join(values[:10])}"
    chosen = selected(quality.rows, condition.measure.where)
    if not chosen:
        return f"no row has all of {', '.join(f'{column}={value}' for column, value in condition.measure.where)}"
    return "" if scored(chosen, NEW)[0] else "no labelled row of it has a prediction"


def _both(condition: Condition, quality: Quality) -> int:
    """Return how many labelled rows of a condition have a prediction of both models."""
    return len(scored(selected(quality.rows, condition.measure.where), NEW, BASELINE)[0])


def _without_baseline(block: QualityBlock, quality: Quality, condition: Condition) -> Finding:
    received = quality.baseline_problem or "there is no baseline to compare with"
    if scored(quality.rows, BASELINE)[0]:  # of other rows than those that the condition speaks of
        received = f"the baseline has a prediction of none of these rows ({received})"
    if quality.baseline_state == "unpublished":
        return skipped(f"`{condition.text}`: {received}; publish a run that passes, and the next has a baseline")
    if quality.baseline_state == "broken":
        return failed(
            expected=f"`{condition.text}` against what {quality.baseline} holds",
            received=received,
            advice="Find out who changed the store; publish a good run again, to a new place.",
        )
    return _unknown(
        block,
        expected=f"`{condition.text}`",
        received=received,
        advice="Commit quality/predictions.jsonl of a good run's folder and name it in `quality.baseline`, or "
        "`harness publish` a good run and name its store there.",
    )


def _finding(block: QualityBlock, quality: Quality, outcome: ConditionOutcome) -> Finding:
    condition = outcome.condition
    lines = list(_report(quality, outcome))
    if outcome.verdict is ConditionVerdict.PASS:
        return passed(f"`{condition.text}`: {'; '.join(lines)}")
    received = "\n".join(lines)
    if outcome.verdict is ConditionVerdict.FAIL:
        return failed(
            expected=f"`{condition.text}`",
            received=received,
            advice="Look at what changed in data, code or packages; where the new quality is what you want, change "
            "the condition.",
        )
    return _unknown(
        block,
        expected=f"`{condition.text}`",
        received=f"unknown: {received}",
        advice="Give more hold-out rows, or allow more in the condition."
        if outcome.interval
        else "Rows that are all alike cannot be resampled: ask for accuracy, or for precision or recall of one class, "
        "whose bounds are exact.",
    )


def _unknown(block: QualityBlock, *, expected: str, received: str, advice: str) -> Finding:
    """Let an open question fall on the side that the project has chosen."""
    if block.unknown == "pass":
        return passed(f"{expected}: {received}\n`quality.unknown: pass` lets it pass")
    advice = f"{advice} `quality.unknown` is `{block.unknown}`: it says what becomes of an open question."
    return (failed if block.unknown == "fail" else warned)(expected=expected, received=received, advice=advice)


def _report(quality: Quality, outcome: ConditionOutcome) -> Iterator[str]:
    """Yield the estimate with its bounds; the rows given and needed; and what makes it doubtful."""
    condition = outcome.condition
    name = f"{condition.measure}: new - baseline" if condition.is_difference else str(condition.measure)
    bounds = ", ".join(_bounds(each) for each in (outcome.interval, outcome.beside) if each)
    sure = f"bounds at {outcome.confidence:.4g}: {bounds}" if bounds else "no bounds"
    yield f"{name} is {outcome.estimate:.4g} on {outcome.given} rows; {sure}"
    yield f"rows: {outcome.given} given; needed: {'; '.join(map(_needed, outcome.needed)) or 'not known'}"
    if outcome.interval and condition.confidence is None and not outcome.is_clear:
        yield f"{outcome.given} rows are too few to be sure of this side of {condition.threshold:g}"
    if outcome.interval is None and condition.confidence is not None:
        yield f"the {outcome.given} rows are too few or too much alike to say how far off it may be"
    if condition.epsilon and outcome.interval and _reach(outcome, outcome.interval) > condition.epsilon:
        yield f"{outcome.given} rows are too few for +/- {condition.epsilon:g}"
    if condition.is_difference and quality.baseline_digest:
        yield f"the baseline is {quality.baseline_digest} of {quality.baseline}"
    if condition.is_difference and quality.baseline_problem:
        yield f"compared on the rows that both have: {quality.baseline_problem}"


def _reach(outcome: ConditionOutcome, interval: Interval) -> float:
    return max(outcome.estimate - interval.low, interval.high - outcome.estimate)


def _bounds(interval: Interval) -> str:
    return f"{interval.low:.4g} to {interval.high:.4g} ({interval.method})"


def _needed(needed: Needed) -> str:
    return f"{needed.rows:,} ({needed.why})"


def _metric(block: QualityBlock) -> str:
    """Return what the simpler models are compared by."""
    numbers = any(METRICS[parse(text).measure.metric].family is Family.NUMBERS for text in block.conditions)
    return "mae" if numbers else "accuracy"


def _compared(metric: str, new: Scored, dummy: Scored, linear: Scored) -> Finding:
    try:
        ours, of_dummy, of_linear = (measured(metric, None, each) for each in (new, dummy, linear))
        doubt = _ahead(metric, linear, new)
    except UnmeasurableError as exc:
        return skipped(f"nothing to compare with: {exc}")
    rises = METRICS[metric].rises
    received = f"{metric} on {len(new)} rows: {ours:.4g}, dummy {of_dummy:.4g}, linear {of_linear:.4g}"
    if ours <= of_dummy if rises else ours >= of_dummy:
        expected = f"{metric} better than that of one answer for every row"
    elif doubt is not None and (doubt.low > 0 if rises else doubt.high < 0):
        expected = f"{metric} not worse than that of a linear model"
        received += f"; linear - served is {_bounds(doubt)} at {CONFIDENCE:g}"
    else:
        return passed(received)
    return warned(
        expected=expected,
        received=received,
        advice="A simpler model does better on these rows: look at the features and the training, or serve that one.",
    )


def _ahead(metric: str, linear: Scored, new: Scored) -> Interval | None:
    """Return the bounds of linear - served."""
    if metric == "accuracy":
        only_new, only_linear = disagreements(linear, new)
        return paired(only_new, only_linear, len(new), CONFIDENCE)
    left, right = per_row(metric, linear), per_row(metric, new)
    return paired_t(left - right, CONFIDENCE) if left is not None and right is not None else None
