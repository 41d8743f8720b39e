"""The checks of quality: records that pass each of them, and records that do not."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import builders
import pytest
from defects import defect

from harness.checks import all_checks
from harness.checks.judge import judge_one
from harness.evidence.records import Evidence, Finding, Quality, Status
from harness.evidence.records.scored import DUMMY, LINEAR, NEW, HoldoutRow, Prediction

PASS, WARN, FAIL, SKIP, ERROR = Status.PASS, Status.WARN, Status.FAIL, Status.SKIP, Status.ERROR
CHECKS = {check.name: check for check in all_checks() if check.name.startswith("quality.")}
NOT_WORSE = "new - baseline > -0.05 +/- 0.05 @ 0.95"


def _row(number: int, truth: str | None = "a", island: str = "Dream", **predictions: str) -> HoldoutRow:
    made = {name: Prediction(value) for name, value in {NEW: "a", **predictions}.items()}
    return HoldoutRow(number, truth, {"island": island}, made)


def _quality(*rows: HoldoutRow, **changes: Any) -> Quality:
    found = rows or tuple(_row(number, baseline="a", dummy="a", linear="a") for number in range(1, 101))
    whole = Quality("holdout.csv", "species", ("species", "island"), found, baseline="baseline.jsonl")
    return replace(whole, **changes)


def _judged(name: str, quality: Quality | None, *conditions: str, **block: Any) -> list[Finding]:
    spec = builders.spec({"quality": {"conditions": list(conditions or ["accuracy >= 0.9"]), **block}})
    return list(judge_one(builders.evidence(spec=spec, quality=quality), CHECKS[name]))


def _half(right: int, wrong: int, **predictions: str) -> tuple[HoldoutRow, ...]:
    """Rows of two classes, so that one answer for all of them is no good model."""
    truths = ["a", "b"] * (right // 2) + ["b"] * wrong
    return tuple(
        _row(
            number,
            truth,
            new="a" if number > right else truth,
            **{k: truth if v == "truth" else v for k, v in predictions.items()},
        )
        for number, truth in enumerate(truths, start=1)
    )


def test_there_are_three() -> None:
    """Each has a sentence, and an item of the ML Test Score."""
    assert set(CHECKS) == {"quality.gate", "quality.slices", "quality.beats-baselines"}
    assert all(check.sentence and check.rubric for check in CHECKS.values())


@pytest.mark.parametrize("name", CHECKS)
def test_nothing_declared(name: str) -> None:
    """A project without conditions is told so, with a skip."""
    [finding] = judge_one(builders.evidence(spec=builders.spec({"quality": None})), CHECKS[name])
    assert (finding.status, finding.received) == (SKIP, "x-harness.quality names no conditions")


@pytest.mark.parametrize("name", CHECKS)
def test_lost_evidence(name: str) -> None:
    """Conditions without a record are an error, never a pass."""
    [finding] = _judged(name, None, "accuracy >= 0.9", "accuracy[island=Dream] >= 0.9")
    assert finding.status is ERROR


@pytest.mark.parametrize("name", CHECKS)
def test_not_reached(name: str) -> None:
    """Where the line ended before, the checks are skipped with that reason."""
    spec = builders.spec({"quality": ["accuracy >= 0.9", "accuracy[island=Dream] >= 0.9"]})
    evidence: Evidence = builders.evidence(
        spec=spec, quality=None, stages=builders.stages("quality", reason="training did not end well")
    )
    [finding] = judge_one(evidence, CHECKS[name])
    assert (finding.status, finding.received) == (SKIP, "not reached: training did not end well")


def test_gate_passes() -> None:
    """A finding for each condition, with rows given, rows needed and bounds."""
    findings = _judged("quality.gate", _quality(), "accuracy >= 0.9", NOT_WORSE)
    assert [finding.status for finding in findings] == [PASS, PASS]
    first, second = (finding.received for finding in findings)
    assert "`accuracy >= 0.9`: accuracy is 1 on 100 rows; bounds at 0.95: 0.9705 to 1 (Clopper-Pearson)" in first
    assert "rows: 100 given; needed: 29 (to tell 1 from 0.9)" in first
    assert "rows: 100 given; needed: 2,397 (Hoeffding" in second
    assert "(Bonett-Price)" in second
    assert "(Tango)" in second


@defect("quality.gate", "accuracy below the condition")
def test_gate_fails_its_condition_alone() -> None:
    """A condition that does not hold fails with what was expected and received."""
    findings = _judged("quality.gate", _quality(*_half(80, 20)), "accuracy >= 0.9", "accuracy >= 0.7")
    assert [finding.status for finding in findings] == [FAIL, PASS]
    assert findings[0].expected == "`accuracy >= 0.9`"
    assert findings[0].received.startswith("accuracy is 0.8 on 100 rows; bounds at 0.95: ")
    assert findings[0].advice


@pytest.mark.parametrize(("unknown", "status"), [("warn", WARN), ("fail", FAIL), ("pass", PASS)])
def test_unknown_falls_where_the_project_says(unknown: str, status: Status) -> None:
    """Too few rows to decide: the project has chosen the side, and the finding says so."""
    rows = tuple(_row(number, baseline="a") for number in range(1, 21))
    [finding] = _judged("quality.gate", _quality(*rows), NOT_WORSE, unknown=unknown)
    assert finding.status is status
    assert "20 rows are too few for +/- 0.05" in finding.received
    assert f"`quality.unknown: {unknown}`" in finding.received or f"`{unknown}`" in finding.advice


@defect("quality.gate", "bounds that resampling cannot give", status="warn")
def test_bounds_that_resampling_cannot_give() -> None:
    """A perfect f1 has no bounds; the finding names the metrics that have exact ones."""
    [finding] = _judged("quality.gate", _quality(), "f1 >= 0.9 @ 0.95")
    assert finding.status is WARN
    assert "100 rows are too few or too much alike" in finding.received
    assert "ask for accuracy" in finding.advice


def test_too_few_rows_are_said_in_a_pass() -> None:
    """The measured value decides, but nobody reads a pass on ten rows as certain."""
    rows = tuple(_row(number) for number in range(1, 11))
    [finding] = _judged("quality.gate", _quality(*rows))
    assert finding.status is PASS
    assert "10 rows are too few to be sure of this side of 0.9" in finding.received


@defect("quality.gate", "rows without a prediction")
def test_rows_without_a_prediction_fail() -> None:
    """A row that the service does not answer is no row that can be left out."""
    silent = tuple(HoldoutRow(number, "a", problem="status 422: no such island") for number in range(11, 16))
    rows = (*(_row(number) for number in range(1, 11)), *silent)
    first, second = _judged("quality.gate", _quality(*rows), "accuracy >= 0.5")
    assert (first.status, second.status) == (FAIL, PASS)
    assert first.received.startswith("5 rows have none\nrow 11: status 422: no such island\n")
    assert first.received.endswith("and 2 more rows")


@defect("quality.gate", "no row has a prediction")
def test_no_row_has_a_prediction() -> None:
    """Then no condition can be judged."""
    rows = (HoldoutRow(1, "a", problem="no answer: refused"),)
    findings = _judged("quality.gate", _quality(*rows))
    assert [finding.status for finding in findings] == [FAIL, FAIL]
    assert findings[1].received == "no labelled row of it has a prediction"


@defect("quality.gate", "rows without a label", status="warn")
def test_rows_without_a_label_warn() -> None:
    """They are left out, and that is said."""
    rows = (*(_row(number) for number in range(1, 31)), _row(31, None))
    findings = _judged("quality.gate", _quality(*rows))
    assert [finding.status for finding in findings] == [WARN, PASS]
    assert findings[0].received == "1 of 31 rows have none and are left out"


@pytest.mark.parametrize(
    ("changes", "status"), [({"problem": "holdout.csv has no column species"}, FAIL), ({"rows": ()}, FAIL)]
)
@defect("quality.gate", "the hold-out file cannot be used")
def test_unusable_file(changes: Mapping[str, Any], status: Status) -> None:
    """A hold-out file that cannot be used fails the gate."""
    [finding] = _judged("quality.gate", replace(_quality(), **changes))
    assert finding.status is status


@defect("quality.gate", "there is no baseline", status="warn")
def test_missing_baseline() -> None:
    """A comparison without a baseline is an open question, and the finding says how to make one."""
    rows = tuple(_row(number) for number in range(1, 31))
    [finding] = _judged("quality.gate", _quality(*rows, baseline=None), NOT_WORSE)
    assert (finding.status, finding.received) == (WARN, "there is no baseline to compare with")
    assert "quality/predictions.jsonl" in finding.advice


def test_baseline_of_other_rows() -> None:
    """What the baseline lacks is said beside the comparison of the rest."""
    problem = "baseline.jsonl lacks 3 of 103 rows"
    rows = (*_quality().rows, *(_row(number) for number in range(101, 104)))
    [finding] = _judged("quality.gate", _quality(*rows, baseline_problem=problem), NOT_WORSE)
    assert finding.status is PASS
    assert f"compared on the rows that both have: {problem}" in finding.received


@pytest.mark.parametrize(("unknown", "status"), [("warn", WARN), ("fail", FAIL), ("pass", PASS)])
def test_a_part_that_the_baseline_does_not_have(unknown: str, status: Status) -> None:
    """Rows of a new island have nothing to be compared with: an open question, as without any baseline."""
    rows = (*(_row(n, baseline="a") for n in range(1, 51)), *(_row(n, island="Biscoe") for n in range(51, 101)))
    quality = _quality(*rows, baseline_problem="baseline.jsonl lacks 50 of 100 rows")
    [finding] = _judged("quality.slices", quality, "accuracy[island=Biscoe]: new - baseline > -0.05", unknown=unknown)
    assert finding.status is status
    assert "of none of these rows (baseline.jsonl lacks 50 of 100 rows)" in finding.received


@defect("quality.gate", "worse than the baseline")
def test_worse_than_the_baseline() -> None:
    """A model that lost what the old one had fails."""
    rows = _half(60, 40, baseline="truth")
    [finding] = _judged("quality.gate", _quality(*rows), NOT_WORSE)
    assert finding.status is FAIL
    assert "accuracy: new - baseline is -0.4 on 100 rows" in finding.received


@defect("quality.gate", "a metric that the answers cannot give")
def test_a_metric_that_cannot_be_measured() -> None:
    """A condition on what the answers do not hold fails with that reason."""
    [finding] = _judged("quality.gate", _quality(), "log_loss <= 0.5")
    assert (finding.status, finding.received) == (FAIL, "the answers hold no probabilities of the classes")


@defect("quality.slices", "one part of the rows is predicted wrongly")
def test_slices_pass_and_fail() -> None:
    """Each part of the data is judged by itself."""
    rows = tuple(_row(n, "a" if n <= 40 else "b", "Dream" if n <= 40 else "Biscoe") for n in range(1, 51))
    conditions = ("accuracy[island=Dream] >= 0.9", "accuracy[island=Biscoe] >= 0.9")
    findings = _judged("quality.slices", _quality(*rows), *conditions)
    assert [finding.status for finding in findings] == [PASS, FAIL]
    assert findings[1].received.startswith("accuracy[island=Biscoe] is 0 on 10 rows")
    [only] = _judged("quality.gate", _quality(*rows), *conditions)
    assert only.received == "no condition speaks of all rows; see quality.slices"


@pytest.mark.parametrize(
    ("condition", "received"),
    [
        ("accuracy[isle=Dream] >= 0.9", "holdout.csv has no column isle: it has species, island"),
        ("accuracy[island=Dreem] >= 0.9", "no row has island=Dreem: there are Dream"),
    ],
)
@defect("quality.slices", "the part has no column or no row")
def test_slices_that_are_not_there(condition: str, received: str) -> None:
    """A slice without rows is a mistake, never a pass."""
    [finding] = _judged("quality.slices", _quality(), condition)
    assert (finding.status, finding.received) == (FAIL, received)


@defect("quality.slices", "no row has all values of the part")
def test_slices_that_exclude_each_other() -> None:
    """No row has both values."""
    rows = (_row(1, island="Dream"), replace(_row(2), columns={"island": "Biscoe", "sex": "male"}))
    quality = _quality(*rows, columns=("island", "sex"))
    [finding] = _judged("quality.slices", quality, "accuracy[island=Dream, sex=male] >= 0.9")
    assert (finding.status, finding.received) == (FAIL, "no row has all of island=Dream, sex=male")


def test_slices_are_skipped() -> None:
    """Without a condition of a slice there is nothing to judge; and a file that cannot be used is the gate's."""
    [none] = _judged("quality.slices", _quality())
    assert none.status is SKIP
    [unusable] = _judged("quality.slices", _quality(problem="x"), "accuracy[island=Dream] >= 0.9")
    assert (unusable.status, unusable.received) == (SKIP, "see quality.gate: x")


@pytest.mark.parametrize(
    ("rows", "status"),
    [
        (_half(90, 10, dummy="a", linear="a"), PASS),
        (_half(90, 10, dummy="a", linear="truth"), WARN),  # the linear model knows all
        (_half(20, 80, dummy="b", linear="a"), WARN),  # one answer for all is better
        (_half(98, 2, dummy="a", linear="truth"), PASS),  # two rows are no difference
    ],
)
def test_simpler_models(rows: tuple[HoldoutRow, ...], status: Status) -> None:
    """A simpler model that does better on the same rows is a warning."""
    [finding] = _judged("quality.beats-baselines", _quality(*rows))
    assert finding.status is status
    assert finding.received.startswith("accuracy on 100 rows: ")


@pytest.mark.parametrize(("error", "status"), [(0.1, PASS), (3.0, WARN), (9.0, WARN)])
def test_simpler_models_of_numbers(error: float, status: Status) -> None:
    """A regression is compared by its mean absolute error: the linear one here errs by 1, the dummy by 5."""
    rows = tuple(
        HoldoutRow(
            number,
            float(number),
            {},
            {
                NEW: Prediction(number + error * (1 + number / 100)),
                DUMMY: Prediction(number + 5.0),
                LINEAR: Prediction(number + 1.0),
            },
        )
        for number in range(1, 41)
    )
    [finding] = _judged("quality.beats-baselines", _quality(*rows), "rmse <= 20")
    assert finding.status is status
    assert finding.received.startswith("mae on 40 rows: ")


@pytest.mark.parametrize(
    ("quality", "received"),
    [
        (_quality(others_problem="there is no table train.*"), "nothing to compare with: there is no table train.*"),
        (_quality(problem="no rows"), "nothing to compare with: no rows"),
        (_quality(_row(1)), "nothing to compare with: no labelled row has a prediction"),
    ],
)
def test_no_simpler_model(quality: Quality, received: str) -> None:
    """Without training rows there is nothing to compare with, and that is said."""
    [finding] = _judged("quality.beats-baselines", quality)
    assert (finding.status, finding.received) == (SKIP, received)
