"""One condition on labelled rows: which side it falls on, with which bounds, and how many rows it would need."""

from __future__ import annotations

import sys
from collections.abc import Sequence

import numpy as np
import pytest

from harness.config.gate_language import parse
from harness.evidence.records.scored import BASELINE, NEW, HoldoutRow, Prediction, Scalar
from harness.statistics.gate import ConditionOutcome, ConditionVerdict, assess, by_bounds, library
from harness.statistics.intervals import Interval
from harness.statistics.metrics import UnmeasurableError

PASS, FAIL, UNKNOWN = ConditionVerdict.PASS, ConditionVerdict.FAIL, ConditionVerdict.UNKNOWN


SLOWER = ("numpy", "scipy.special", "scipy.stats", "sklearn")  # to import, each than the one before


def _rows(right: Sequence[bool], old: Sequence[bool] | None = None) -> list[HoldoutRow]:
    """Rows of one class, predicted right or wrong by the new model, and by the baseline."""
    return [
        HoldoutRow(
            number,
            "a",
            {"half": "left" if number % 2 else "right"},
            {NEW: Prediction("a" if new else "b"), BASELINE: Prediction("a" if before else "b")},
        )
        for number, (new, before) in enumerate(zip(right, old or right, strict=True), start=1)
    ]


def _numbers(truth: Sequence[float], new: Sequence[float], old: Sequence[float]) -> list[HoldoutRow]:
    return [
        HoldoutRow(number, value, {}, {NEW: Prediction(left), BASELINE: Prediction(right)})
        for number, (value, left, right) in enumerate(zip(truth, new, old, strict=True), start=1)
    ]


def _mixed(right: int, wrong: int) -> list[bool]:
    return [True] * right + [False] * wrong


def _assessed(text: str, rows: Sequence[HoldoutRow]) -> ConditionOutcome:
    return assess(parse(text), rows)


@pytest.mark.parametrize(
    ("text", "right", "wrong", "verdict"),
    [
        ("accuracy >= 0.9", 9, 1, PASS),  # the measured value decides
        ("accuracy > 0.9", 9, 1, FAIL),
        ("accuracy >= 0.9 @ 0.95", 9, 1, UNKNOWN),
        ("accuracy >= 0.9 @ 0.95", 29, 0, PASS),
        ("accuracy >= 0.9 @ 0.95", 28, 0, UNKNOWN),
        ("accuracy >= 0.9 @ 0.95", 30, 30, FAIL),
        ("accuracy < 0.9 @ 0.95", 30, 30, PASS),
        ("accuracy < 0.9 @ 0.95", 29, 0, FAIL),
        ("recall[a] >= 0.9 @ 0.95", 29, 0, PASS),
    ],
)
def test_one_model(text: str, right: int, wrong: int, verdict: ConditionVerdict) -> None:
    """Without a confidence the measured value decides, with one its bound."""
    assert _assessed(text, _rows(_mixed(right, wrong))).verdict is verdict


@pytest.mark.parametrize(
    ("only_new", "only_old", "both", "verdict"),
    [
        (0, 0, 90, PASS),
        (5, 5, 290, PASS),
        (10, 0, 80, PASS),
        (0, 0, 20, UNKNOWN),  # too few, though nothing speaks against it
        (3, 5, 40, UNKNOWN),
        (0, 30, 60, FAIL),
    ],
)
def test_paired_with_the_baseline(only_new: int, only_old: int, both: int, verdict: ConditionVerdict) -> None:
    """The bound of the paired difference decides, on the rows that both models have."""
    new = [True] * only_new + [False] * only_old + [True] * both
    old = [False] * only_new + [True] * only_old + [True] * both
    outcome = _assessed("new - baseline > -0.05 +/- 0.05 @ 0.95", _rows(new, old))
    assert outcome.verdict is verdict
    assert outcome.given == len(new)
    assert outcome.estimate == pytest.approx((only_new - only_old) / len(new))
    assert outcome.interval is not None
    assert outcome.beside is not None
    assert (outcome.interval.method, outcome.beside.method) == ("Bonett-Price", "Tango")
    assert outcome.needed[0].rows == 2397, "Hoeffding, whatever the models"


def test_mirrored_condition() -> None:
    """A loss that must not rise is the same question upside down."""
    interval = Interval(-0.01, 0.03, "x")
    assert by_bounds(parse("mae: new - baseline < 0.05"), interval) is PASS
    assert by_bounds(parse("mae: new - baseline < 0.02"), interval) is UNKNOWN
    assert by_bounds(parse("mae: new - baseline < -0.02"), interval) is FAIL


@pytest.mark.parametrize("metric", ["mae", "rmse"])
@pytest.mark.parametrize(("shift", "verdict"), [(0.0, PASS), (0.5, FAIL)])
def test_regression_against_the_baseline(metric: str, shift: float, verdict: ConditionVerdict) -> None:
    """A new model as good as the old one passes a margin, and one that errs more fails it."""
    generator = np.random.default_rng(5)
    truth = generator.normal(size=80)
    old = truth + generator.normal(scale=0.1, size=80)
    new = truth + generator.normal(scale=0.1, size=80) + shift
    outcome = _assessed(f"{metric}: new - baseline < 0.1 @ 0.95", _numbers(truth.tolist(), new.tolist(), old.tolist()))
    assert outcome.verdict is verdict
    assert outcome.interval is not None
    assert outcome.interval.method == "BCa bootstrap"
    assert (outcome.beside is not None) == (metric == "mae"), "Student's t speaks of means"


def test_the_same_model_again() -> None:
    """Predictions that are the same on every row are no worse, though no bootstrap could say so."""
    outcome = _assessed("mae: new - baseline < 0.1", _numbers([1, 2, 3], [1, 2, 4], [1, 2, 4]))
    assert outcome.verdict is PASS
    assert outcome.interval == Interval(0.0, 0.0, "the same predictions on every row")


@pytest.mark.parametrize("metric", ["f1", "balanced_accuracy", "precision", "recall[0]", "precision[1]"])
def test_few_labels_that_agree_prove_nothing(metric: str) -> None:
    """As with accuracy, the same labels on 10 rows leave it open, and on 200 rows they are no worse."""
    few, many = (
        [HoldoutRow(n, n % 2, {}, {NEW: Prediction(n % 2), BASELINE: Prediction(n % 2)}) for n in range(rows)]
        for rows in (10, 200)
    )
    assert _assessed(f"{metric}: new - baseline > -0.05", few).verdict is UNKNOWN
    outcome = _assessed(f"{metric}: new - baseline > -0.05", many)
    assert (outcome.verdict, outcome.beside) == (PASS, None)
    assert outcome.interval is not None
    assert outcome.interval.method == "BCa bootstrap, a disagreement of each class added for either side"


def test_a_worse_model_of_few_labels_rarely_passes() -> None:
    """On 12 rows with 10 % disagreement, 5 points worse: plain resampling lets about a third of them pass."""
    generator = np.random.default_rng(3)
    passes = 0
    for _ in range(40):
        truth = generator.integers(0, 2, 12)
        right = generator.choice(3, 12, p=[0.075, 0.025, 0.9])  # 0: only the old model, 1: only the new one, 2: both
        new, old = (np.where(right == wrong, 1 - truth, truth).tolist() for wrong in (0, 1))
        rows = [
            HoldoutRow(n, value, {}, {NEW: Prediction(left), BASELINE: Prediction(before)})
            for n, (value, left, before) in enumerate(zip(truth.tolist(), new, old, strict=True))
        ]
        passes += _assessed("f1: new - baseline > -0.05", rows).verdict is PASS
    assert passes <= 2


def test_labels_of_one_class_have_no_bounds() -> None:
    """Where nobody predicts another class, no disagreement can be thought of."""
    outcome = _assessed("f1: new - baseline > -0.05", _rows([True] * 200))
    assert (outcome.verdict, outcome.interval) == (UNKNOWN, None)


def test_labels_that_got_worse_fail() -> None:
    """A class that the old model knew and the new one does not."""
    rows = [HoldoutRow(n, n % 2, {}, {NEW: Prediction(1), BASELINE: Prediction(n % 2)}) for n in range(40)]
    assert _assessed("recall[0]: new - baseline > -0.05", rows).verdict is FAIL
    assert _assessed("recall[1]: new - baseline < 0.3", rows).verdict is PASS


def test_a_margin_of_nearly_nothing() -> None:
    """No number of rows is needed for a margin below all precision; it crashes nothing."""
    assert _assessed("new - baseline > -1e-200", _rows([True] * 10)).needed == ()


def test_a_mean_is_as_exact_as_its_digits() -> None:
    """Recalls of 0.7, 0.8 and 0.9 have a mean of 0.8, though it is 0.7999999999999999 in floating point."""
    truth = [name for name in "abc" for _ in range(10)]
    guesses = [
        name for name, right in zip("abc", (7, 8, 9), strict=True) for name in [name] * right + ["x"] * (10 - right)
    ]
    rows = [HoldoutRow(n, t, {}, {NEW: Prediction(g)}) for n, (t, g) in enumerate(zip(truth, guesses, strict=True))]
    assert _assessed("balanced_accuracy >= 0.8", rows).estimate < 0.8
    assert _assessed("balanced_accuracy >= 0.8", rows).verdict is PASS
    assert _assessed("balanced_accuracy > 0.8", rows).verdict is FAIL
    assert _assessed("balanced_accuracy <= 0.8", rows).verdict is PASS
    assert _assessed("balanced_accuracy < 0.8", rows).verdict is FAIL


@pytest.mark.parametrize("metric", ["f1", "balanced_accuracy", "precision"])
def test_metrics_that_are_resampled(metric: str) -> None:
    """A metric that is no proportion gets its bounds from resampled rows, where a confidence asks for them."""
    predictions = ["a", "b"] * 20 + ["b", "a"] * 2
    truths = ["a", "b"] * 22
    rows = [
        HoldoutRow(n, t, {}, {NEW: Prediction(p)}) for n, (t, p) in enumerate(zip(truths, predictions, strict=True))
    ]
    plain = _assessed(f"{metric} >= 0.9", rows)
    assert (plain.verdict, plain.interval) == (PASS, None)
    bounded = _assessed(f"{metric} >= 0.6 @ 0.95", rows)
    assert bounded.verdict is PASS
    assert bounded.interval is not None
    assert bounded.interval.low < bounded.estimate < bounded.interval.high
    assert _assessed(f"{metric} >= 0.9 @ 0.95", rows).verdict is UNKNOWN


def test_bounds_that_cannot_be_had() -> None:
    """Where all resamples are alike, a bound that was asked for is unknown, not certain."""
    outcome = _assessed("f1 >= 0.9 @ 0.95", _rows([True] * 20))
    assert (outcome.verdict, outcome.interval, outcome.needed) == (UNKNOWN, None, ())


def test_slices() -> None:
    """Only the rows of the slice count."""
    rows = _rows([True, False] * 10)  # the odd ones are right
    assert _assessed("accuracy[half=left] >= 0.9", rows).verdict is PASS
    right = _assessed("accuracy[half=right] >= 0.9", rows)
    assert (right.verdict, right.given) == (FAIL, 10)
    assert _assessed("accuracy[half=left]: new - baseline > -0.5", rows).given == 10
    with pytest.raises(UnmeasurableError):
        _assessed("accuracy[half=middle] >= 0.9", rows)


@pytest.mark.parametrize(
    ("text", "rows", "needed"),
    [
        ("accuracy >= 0.9", _rows([True] * 10), [29]),
        ("accuracy >= 0.9 +/- 0.05", _rows([True] * 10), [600]),
        ("accuracy >= 0.9", _rows(_mixed(9, 1)), []),  # on the threshold itself: no number of rows decides
        ("new - baseline > 0", _rows([True] * 10), []),
    ],
)
def test_rows_needed(text: str, rows: list[HoldoutRow], needed: list[int]) -> None:
    """The rows that the asked precision needs, or that would tell the value from the threshold."""
    assert [each.rows for each in _assessed(text, rows).needed] == needed


def test_rows_needed_of_a_resampled_metric() -> None:
    """Four times the rows halve the width."""
    generator = np.random.default_rng(5)
    truth = generator.normal(size=100)
    guesses: list[Scalar] = (truth + generator.normal(size=100)).tolist()
    rows = [
        HoldoutRow(n, t, {}, {NEW: Prediction(g)}) for n, (t, g) in enumerate(zip(truth.tolist(), guesses, strict=True))
    ]
    outcome = _assessed("mae <= 2 +/- 0.05", rows)
    assert outcome.interval is not None
    reach = max(outcome.estimate - outcome.interval.low, outcome.interval.high - outcome.estimate)
    assert outcome.needed[0].rows == pytest.approx(100 * (reach / 0.05) ** 2, abs=1)


def test_rows_of_only_one_model_do_not_count() -> None:
    """Models are compared on the rows of which both have a prediction."""
    rows = [
        *_rows([True] * 5),
        HoldoutRow(6, "a", {}, {NEW: Prediction("b")}),
        HoldoutRow(7, None, {}, {NEW: Prediction("b")}),
    ]
    assert _assessed("new - baseline > -0.9", rows).given == 5
    assert _assessed("accuracy > 0.1", rows).given == 6


@pytest.mark.parametrize(
    ("text", "slowest"),
    [
        ("accuracy >= 0.9", "scipy.special"),
        ("accuracy[half=left] >= 0.9 +/- 0.1 @ 0.9", "scipy.special"),
        ("recall[0] >= 0.8", "scipy.special"),
        ("precision[1] >= 0.8 @ 0.95", "scipy.special"),
        ("new - baseline > -0.05 +/- 0.05 @ 0.95", "numpy"),
        ("f1 >= 0.5", "numpy"),
        ("f1[0] >= 0.5", "numpy"),
        ("recall >= 0.5", "numpy"),
        ("roc_auc >= 0.5", "numpy"),
        ("ece <= 0.5", "numpy"),
        ("r2 >= 0.5", "numpy"),
        ("f1 >= 0.5 @ 0.95", "scipy.stats"),
        ("roc_auc >= 0.5 @ 0.95", "scipy.stats"),
        ("r2 >= 0.5 +/- 0.1", "scipy.stats"),
        ("log_loss <= 0.5", "scipy.stats"),
        ("brier <= 0.5", "scipy.stats"),
        ("rmse <= 0.5", "scipy.stats"),
        ("mae <= 0.5", "scipy.stats"),
        ("recall[0]: new - baseline > -0.5", "scipy.stats"),
        ("mae: new - baseline < 0.5", "scipy.stats"),
    ],
)
def test_what_a_condition_imports(text: str, slowest: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """It can be judged without what is slower to import than what it names, and not without that."""
    rows = [
        HoldoutRow(
            n, n % 2, {"half": "left"}, {NEW: _chances(n % 2, n % 3 == 0), BASELINE: _chances(n % 2, n % 5 == 0)}
        )
        for n in range(40)
    ]
    condition = parse(text)
    place = SLOWER.index(slowest)
    assert library(condition) == slowest
    for name in SLOWER[place + 1 :]:
        monkeypatch.setitem(sys.modules, name, None)
    assert assess(condition, rows).given
    monkeypatch.setitem(sys.modules, slowest, None)
    with pytest.raises(ImportError, match=slowest):
        assess(condition, rows)


def _chances(truth: int, is_wrong: bool) -> Prediction:  # noqa: FBT001
    said = 1 - truth if is_wrong else truth
    return Prediction(said, {str(said): 0.8, str(1 - said): 0.2})
