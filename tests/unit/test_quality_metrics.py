"""Metrics of labels, probabilities and numbers, held against scikit-learn; and how labels are compared."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
import pytest
from sklearn.metrics import (
    balanced_accuracy_score,
    brier_score_loss,
    f1_score,
    log_loss,
    mean_absolute_error,
    r2_score,
    roc_auc_score,
    root_mean_squared_error,
)

from harness.config.gate_language import parse
from harness.config.metric_names import METRICS, Family
from harness.evidence.records.scored import HoldoutRow, Prediction, Scalar, Scored, label, scored, selected
from harness.statistics.metrics import UnmeasurableError, measured, per_row, statistic, summary

TRUTH = ["a", "b", "c", "a", "b", "c", "a", "a"]
PREDICTED = ["a", "b", "b", "a", "c", "c", "b", "a"]
CHANCES = [
    [0.8, 0.1, 0.1],
    [0.2, 0.6, 0.2],
    [0.1, 0.5, 0.4],
    [0.9, 0.1, 0.0],
    [0.1, 0.4, 0.5],
    [0.0, 0.2, 0.8],
    [0.3, 0.4, 0.3],
    [1.0, 0.0, 0.0],
]
NUMBERS, GUESSES = [1.0, 2.0, 3.5, 4.0, 10.0], [1.5, 2.0, 3.0, 5.0, 8.0]


def _scored(
    truth: Sequence[Scalar], predicted: Sequence[Scalar], chances: Sequence[Mapping[str, float] | None] = ()
) -> Scored:
    rows = chances or [None] * len(truth)
    return Scored(tuple(truth), tuple(Prediction(v, c) for v, c in zip(predicted, rows, strict=True)))


LABELS = _scored(TRUTH, PREDICTED, [dict(zip("abc", row, strict=True)) for row in CHANCES])
REGRESSION = _scored(NUMBERS, GUESSES)
BINARY = _scored([1, 0, 1, 0], ["1", "0", "0", "0"], [{"0": 1 - p, "1": p} for p in (0.9, 0.2, 0.4, 0.5)])


@pytest.mark.parametrize(
    ("metric", "of_class", "value"),
    [
        ("accuracy", None, 5 / 8),
        ("balanced_accuracy", None, balanced_accuracy_score(TRUTH, PREDICTED)),
        ("precision", "a", 1.0),
        ("precision", "b", 1 / 3),
        ("recall", "a", 3 / 4),
        ("precision", None, (1 + 1 / 3 + 1 / 2) / 3),
        ("recall", None, (3 / 4 + 1 / 2 + 1 / 2) / 3),
        ("f1", None, f1_score(TRUTH, PREDICTED, average="macro")),
        ("f1", "c", 0.5),
        ("log_loss", None, log_loss(TRUTH, CHANCES)),
        ("brier", None, brier_score_loss(TRUTH, CHANCES, labels=["a", "b", "c"])),
        ("roc_auc", "b", roc_auc_score([t == "b" for t in TRUTH], [row[1] for row in CHANCES])),
    ],
)
def test_labels(metric: str, of_class: str | None, value: float) -> None:
    """What scikit-learn says, of all classes and of one."""
    assert measured(metric, of_class, LABELS) == pytest.approx(value)


@pytest.mark.parametrize(
    ("metric", "value"),
    [
        ("rmse", root_mean_squared_error(NUMBERS, GUESSES)),
        ("mae", mean_absolute_error(NUMBERS, GUESSES)),
        ("r2", r2_score(NUMBERS, GUESSES)),
    ],
)
def test_numbers(metric: str, value: float) -> None:
    """What scikit-learn says, of numbers that a CSV file holds as text too."""
    assert measured(metric, None, REGRESSION) == pytest.approx(value)
    assert measured(metric, None, _scored([str(n) for n in NUMBERS], GUESSES)) == pytest.approx(value)


def test_two_classes() -> None:
    """With two classes the larger label is the positive one, and Brier's score is that of its probability alone."""
    chances = [0.9, 0.2, 0.4, 0.5]
    assert measured("roc_auc", None, BINARY) == pytest.approx(roc_auc_score([1, 0, 1, 0], chances))
    assert measured("brier", None, BINARY) == pytest.approx(brier_score_loss([1, 0, 1, 0], chances))
    assert measured("log_loss", None, BINARY) == pytest.approx(log_loss([1, 0, 1, 0], chances))
    assert measured("accuracy", None, BINARY) == 0.75


def test_area_with_ties() -> None:
    """Equal chances count half, on resampled rows too, as scikit-learn counts them; one class alone has no area."""
    random = np.random.default_rng(3)
    truth, chances = random.integers(0, 2, 60), random.integers(0, 6, 60) / 5
    rows = _scored(truth.tolist(), truth.tolist(), [{"0": 1 - p, "1": p} for p in chances.tolist()])
    area = statistic("roc_auc", None, rows)
    for _ in range(50):
        places = random.integers(0, 60, 60)
        assert area(places) == pytest.approx(roc_auc_score(truth[places], chances[places]), rel=1e-12)
    assert math.isnan(area(np.flatnonzero(truth)))


def test_area_under_the_curve_as_published() -> None:
    """Hanley and McNeil (1982), table I: 109 images rated from 1 to 5, nearly all of them tied; W = 0.893."""
    normal, abnormal = [33, 6, 6, 11, 2], [3, 2, 2, 11, 33]
    rated = [
        (kind, n / 6) for kind, counts in enumerate((normal, abnormal)) for n in range(5) for _ in range(counts[n])
    ]
    rows = _scored([kind for kind, _ in rated], [0] * 109, [{"0": 1 - p, "1": p} for _, p in rated])
    assert measured("roc_auc", None, rows) == pytest.approx(0.893, abs=5e-4)


@pytest.mark.parametrize(
    ("truth", "predicted"),
    [
        ([2.0, 2.0, 2.0], [2.0, 2.0, 2.0]),  # constant and met
        ([2.0, 2.0, 2.0], [2.0, 2.0, 2.1]),  # constant and not met
        ([1.0, 2.0, 4.0], [1.0, 2.0, 4.0]),
        ([1.0, 2.0, 3.0], [2.0, 2.0, 2.0]),
        ([1.0, 2.0, 3.0], [3.0, 2.0, 1.0]),
        ([1e8 + 1, 1e8 + 2], [1e8 + 1, 1e8 + 1]),
        ([-1e-9, 1e-9, 0.0], [0.0, 0.0, 1e3]),
        ([1e-200, 2e-200], [1e-200, 1.0]),  # a variance that underflows
    ],
)
def test_r2_at_the_edges(truth: list[float], predicted: list[float]) -> None:
    """What scikit-learn says, of resampled rows too."""
    rows = _scored(truth, predicted)
    assert measured("r2", None, rows) == pytest.approx(r2_score(truth, predicted))
    score, generator = statistic("r2", None, rows), np.random.default_rng(2)
    for _ in range(50):
        places = generator.integers(0, len(truth), size=len(truth))
        assert score(places) == pytest.approx(r2_score(np.array(truth)[places], np.array(predicted)[places]))


def test_r2_of_a_constant_that_has_no_exact_mean() -> None:
    """It is 0 as of every constant that is not met: scikit-learn divides by the rounding error, and says -1.7e31."""
    assert np.mean([0.1] * 3) != 0.1
    assert measured("r2", None, _scored([0.1] * 3, [0.1, 0.1, 0.2])) == 0
    assert measured("r2", None, _scored([0.1] * 3, [0.1] * 3)) == 1


def test_calibration_error() -> None:
    """By hand: two answers of 0.7, one right, and one of 0.9, right: (|1 - 1.4| + |1 - 0.9|) / 3."""
    rows = _scored(["a", "b", "a"], ["a", "a", "a"], [{"a": p, "b": 1 - p} for p in (0.7, 0.7, 0.9)])
    assert measured("ece", None, rows) == pytest.approx((0.4 + 0.1) / 3)
    sure = _scored(["a"], ["a"], [{"a": 1.0, "b": 0.0}])
    assert measured("ece", None, sure) == 0


def test_losses_of_rows_make_the_metric() -> None:
    """Metrics that are compared row by row are the mean of what their rows lose."""
    for metric in ("log_loss", "brier"):
        losses = per_row(metric, LABELS)
        assert losses is not None
        assert np.mean(losses) == pytest.approx(measured(metric, None, LABELS))
    assert per_row("f1", LABELS) is None


@pytest.mark.parametrize(
    ("metric", "of_class", "rows", "message"),
    [
        ("accuracy", None, _scored([], []), "there is no row"),
        ("f1", "x", LABELS, "no row has the class x: there are a, b, c"),
        ("recall", "x", LABELS, "no row has the class x"),
        ("rmse", None, LABELS, "the label 'a' is no number"),
        ("rmse", None, _scored([1.0], ["x"]), "the prediction 'x' is no number"),
        ("mae", None, _scored([1.0], [True]), "the prediction True is no number"),
        ("r2", None, _scored([1.0], [1.0]), "r2 needs two rows"),
        ("log_loss", None, _scored(["a"], ["a"]), "the answers hold no probabilities"),
        ("ece", None, _scored(["a"], ["a"]), "the answers hold no probabilities"),
        ("roc_auc", None, LABELS, "roc_auc of 3 classes: name one, for example roc_auc[a]"),
        (
            "roc_auc",
            None,
            _scored([1, 1], [1, 1], [{"0": 0.2, "1": 0.8}] * 2),
            "roc_auc is not defined on these 2 rows",
        ),
    ],
)
def test_what_cannot_be_measured(metric: str, of_class: str | None, rows: Scored, message: str) -> None:
    """A metric without a value says why, instead of a number that means nothing."""
    with pytest.raises(UnmeasurableError) as caught:
        measured(metric, of_class, rows)
    assert message in str(caught.value)


def test_a_class_that_was_never_predicted() -> None:
    """Its precision is 0, as with zero_division=0 of scikit-learn, and nothing warns."""
    rows = _scored(["a", "b"], ["a", "a"])
    assert measured("precision", "b", rows) == 0
    assert measured("f1", None, rows) == pytest.approx(f1_score(["a", "b"], ["a", "a"], average="macro"))


def test_summary_names_what_conditions_name() -> None:
    """The evidence holds every metric that has a value, of each class too, and leaves the others out."""
    found = summary(LABELS, frozenset({Family.LABELS, Family.PROBABILITIES}))
    assert {"accuracy", "f1", "f1[a]", "recall[b]", "precision[c]", "roc_auc[a]", "log_loss", "ece"} <= set(found)
    assert "roc_auc" not in found
    assert "rmse" not in found
    assert set(summary(REGRESSION, frozenset({Family.NUMBERS}))) == {"rmse", "mae", "r2"}
    assert summary(_scored([], []), frozenset({Family.LABELS})) == {}
    odd = summary(_scored(["a, b", '"'], ["a, b", '"']), frozenset({Family.LABELS}))
    assert {parse(f"{name} > 0.5").measure.of_class for name in odd} == {None, "a, b", '"'}
    assert set(METRICS) >= {name.partition("[")[0] for name in found}


@pytest.mark.parametrize(
    ("left", "right"),
    [
        (1, "1"),
        (1.0, "1"),
        ("1.0", 1),
        (True, "True"),
        (True, "true"),
        (False, "False"),
        (" a ", "a"),
        (0.5, "0.50"),
        (10**17 + 1, str(10**17 + 1)),
        (float("inf"), "inf"),
    ],
)
def test_equal_labels(left: Scalar, right: Scalar) -> None:
    """A label of a CSV file equals that of a JSON answer."""
    assert label(left) == label(right)


@pytest.mark.parametrize(
    ("left", "right"), [(1, 2), ("a", "A"), (True, 1), ("nan", 0), (10**17, 10**17 + 1), ("1_0", 10)]
)
def test_different_labels(left: Scalar, right: Scalar) -> None:
    """What differs stays different, large integers too."""
    assert label(left) != label(right)


def test_rows_are_chosen() -> None:
    """A slice has the rows with these values; a comparison those of which all models have a prediction."""
    rows = [
        HoldoutRow(1, "a", {"year": "2007", "sex": "male"}, {"new": Prediction("a"), "baseline": Prediction("b")}),
        HoldoutRow(2, "a", {"year": "2008.0"}, {"new": Prediction("b")}),
        HoldoutRow(3, None, {"year": "2008"}, {"new": Prediction("b")}),
        HoldoutRow(4, "b", {"year": "2008"}),
    ]
    assert [row.number for row in selected(rows, [("year", "2008")])] == [2, 3, 4]
    assert selected(rows, [("year", "2007"), ("sex", "female")]) == []
    assert [len(each) for each in scored(rows, "new")] == [2]
    assert [each.predicted for each in scored(rows, "new", "baseline")] == [("a",), ("b",)]
