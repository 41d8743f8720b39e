"""The condition language: what it reads, and what it says of what it cannot read."""

from __future__ import annotations

import pytest

from harness.config.gate_language import CONFIDENCE, EXAMPLES, Condition, ConditionError, Measure, parse
from harness.config.metric_names import METRICS
from harness.errors import DescriptionError
from harness.project.description import parse_block

ACCURACY = Measure("accuracy")
ONE, DIFFERENCE = "one", "difference"


@pytest.mark.parametrize(
    ("text", "measure", "kind", "rest"),
    [
        ("accuracy >= 0.9", ACCURACY, ONE, (">=", 0.9, None, None)),
        ("accuracy>=.9", ACCURACY, ONE, (">=", 0.9, None, None)),
        ("  accuracy\t<= 9e-1 ", ACCURACY, ONE, ("<=", 0.9, None, None)),
        ("rmse < 3.5", Measure("rmse"), ONE, ("<", 3.5, None, None)),
        ("r2 > -1", Measure("r2"), ONE, (">", -1.0, None, None)),
        ("f1[Adelie] > 0.5", Measure("f1", "Adelie"), ONE, (">", 0.5, None, None)),
        (
            "accuracy[island=Dream] >= 0.8",
            Measure("accuracy", None, (("island", "Dream"),)),
            ONE,
            (">=", 0.8, None, None),
        ),
        (
            'recall["a, b", island = Big Island,sex="x=y"] >= 0.8',
            Measure("recall", "a, b", (("island", "Big Island"), ("sex", "x=y"))),
            ONE,
            (">=", 0.8, None, None),
        ),
        ("accuracy >= 0.9 @ 0.99", ACCURACY, ONE, (">=", 0.9, None, 0.99)),
        ("accuracy >= 0.9 +/- 0.05", ACCURACY, ONE, (">=", 0.9, 0.05, CONFIDENCE)),
        ("new - baseline > -0.02 +/- 0.02 @ 0.95", ACCURACY, DIFFERENCE, (">", -0.02, 0.02, 0.95)),
        ("new-baseline>0", ACCURACY, DIFFERENCE, (">", 0.0, None, CONFIDENCE)),
        ("mae: new - baseline < 0.1", Measure("mae"), DIFFERENCE, ("<", 0.1, None, CONFIDENCE)),
        (
            "accuracy[island=Dream]: new - baseline >= -0.1",
            Measure("accuracy", None, (("island", "Dream"),)),
            DIFFERENCE,
            (">=", -0.1, None, CONFIDENCE),
        ),
    ],
)
def test_good_conditions(
    text: str, measure: Measure, kind: str, rest: tuple[str, float, float | None, float | None]
) -> None:
    """Every part is read, whatever the spaces between."""
    operator, threshold, epsilon, confidence = rest
    made = Condition(text.strip(), measure, kind == DIFFERENCE, operator, threshold, epsilon, confidence)
    assert parse(text) == made


@pytest.mark.parametrize("text", EXAMPLES)
def test_examples_are_valid(text: str) -> None:
    """What an error shows as valid can be read."""
    assert parse(text).text == text


@pytest.mark.parametrize("name", METRICS)
def test_every_metric_can_be_named(name: str) -> None:
    """Each metric alone, and its difference to the baseline's."""
    assert parse(f"{name} >= 0.5").measure == Measure(name)
    assert parse(f"{name}: new - baseline < 0.5").is_difference


@pytest.mark.parametrize(
    ("text", "expected", "place"),
    [
        ("", "a metric or `new - baseline`", 1),
        (">= 0.9", "a metric or `new - baseline`", 1),
        ("acuracy >= 0.9", "a metric (did you mean accuracy?)", 1),
        ("Accuracy >= 0.9", "a metric (did you mean accuracy?)", 1),
        ("xyzzy >= 0.9", "a metric (there are accuracy, balanced_accuracy, ", 1),
        ("n - o > 0.1", "a metric (there are ", 1),
        ("accuracy => 0.9", "one of >=, <=, >, <", 10),
        ("accuracy == 0.9", "one of >=, <=, >, <", 10),
        ("accuracy", "one of >=, <=, >, <", 9),
        ("accuracy >=", "a number to compare with", 12),
        ("accuracy >= 90%", "a number to compare with", 13),
        ("accuracy >= high", "a number to compare with", 13),
        ("accuracy >= 0.9.1", "a number to compare with", 13),
        ("accuracy >= nan", "a number to compare with", 13),
        ("accuracy >= 90", "a threshold from 0 to 1, where accuracy lies", 13),
        ("accuracy >= -0.1", "a threshold from 0 to 1, where accuracy lies", 13),
        ("new - baseline > 2", "a threshold from -1 to 1, where accuracy lies", 18),
        ("rmse < -1", "a threshold of at least 0, where rmse lies", 8),
        ("r2 > 1.5", "a threshold of at most 1, where r2 lies", 6),
        ("accuracy >= 0.9 0.8", "the end, or `+/- 0.02`, or `@ 0.95`", 17),
        ("accuracy >= 0.9 +-0.1", "the end, or `+/- 0.02`, or `@ 0.95`", 17),
        ("accuracy >= 0.9 +/- ", "a number after `+/-`", 21),
        ("accuracy >= 0.9 +/- 0", "a precision above 0", 21),
        ("accuracy >= 0.9 @", "a confidence such as 0.95 after `@`", 18),
        ("accuracy >= 0.9 @ 95%", "a confidence such as 0.95 after `@`", 19),
        ("accuracy >= 0.9 @ 95", "a confidence between 0.5 and 1", 19),
        ("accuracy >= 0.9 @ 0.05", "a confidence between 0.5 and 1", 19),
        ("new > 0.1", "`new - baseline`", 5),
        ("new - old > 0.1", "`new - baseline`", 7),
        ("accuracy: rmse < 1", "`new - baseline` after the colon", 11),
        ("accuracy[", "a class, or column=value", 10),
        ("accuracy[]", "a class, or column=value", 10),
        ("accuracy[island=] > 0.1", "a value after `=`", 17),
        ("accuracy[island=Dream > 0.1", "`,` or `]`", 28),
        ("accuracy[Adelie] > 0.1", "column=value, because accuracy is not measured for one class", 10),
        ("f1[a, b] > 0.1", "column=value, because a class is named already", 7),
        ("accuracy >= 0,9", "a number to compare with", 13),
        ("accuracy > 1", "a threshold that can decide (never true)", 12),
        ("accuracy < 0", "a threshold that can decide (never true)", 12),
        ("accuracy >= 0", "a threshold that can decide (always true)", 13),
        ("accuracy <= 1", "a threshold that can decide (always true)", 13),
        ("rmse >= 0", "a threshold that can decide (always true)", 9),
        ("new - baseline >= -1", "a threshold that can decide (always true)", 19),
        ("new - baseline > 1", "a threshold that can decide (never true)", 18),
        ("rmse < 1e999", "a threshold from -1e+100 to 1e+100", 8),
        ("accuracy >= 0.9 +/- 2", "a precision from 1e-06 to less than 1, as accuracy is measured", 21),
        ("new - baseline > 0 +/- 1e-200", "a precision from 1e-06 to less than 1, as accuracy is measured", 24),
        ("rmse < 1 +/- 1e-300", "a precision from 1e-100 to less than 1e+100, as rmse is measured", 14),
        ("accuracy[island!=Dream] > 0.1", "column=value, because a slice knows no other comparison,", 16),
        ("accuracy[mass >=3] > 0.1", "column=value, because a slice knows no other comparison,", 15),
    ],
)
def test_bad_conditions(text: str, expected: str, place: int) -> None:
    """An error says what was expected and at which character, and shows a condition that is valid."""
    with pytest.raises(ConditionError) as caught:
        parse(text)
    message = str(caught.value)
    assert f"expected {expected}" in message
    assert f" at character {place}, received " in message
    shown = message.rpartition("valid is for example `")[2].removesuffix("`")
    assert shown in EXAMPLES


@pytest.mark.parametrize(
    ("selectors", "of_class", "where"),
    [
        ('"a, b", sex="x=y"', "a, b", (("sex", "x=y"),)),
        ('disk="5"" disk"', None, (("disk", '5" disk'),)),
        ('"""", "wow!"=a', '"', (("wow!", "a"),)),
        ('sex=""', None, (("sex", ""),)),  # the rows without a value
        ("île = São Tomé", None, (("île", "São Tomé"),)),
    ],
)
def test_a_measure_is_written_as_it_is_read(
    selectors: str, of_class: str | None, where: tuple[tuple[str, str], ...]
) -> None:
    """The name of a measure in a report can be put into a condition, whatever a class or a value is called."""
    measure = parse(f"recall[{selectors}] >= 0.8").measure
    assert measure == Measure("recall", of_class, where)
    assert parse(f"{measure} >= 0.8").measure == measure


@pytest.mark.parametrize("text", ["f1 > 0", "f1 < 1", "r2 < 1", "new - baseline > -1", "new - baseline < 1", "r2 > -9"])
def test_an_edge_that_can_decide(text: str) -> None:
    """A threshold at the end of the range is good where a value can be on either side of it."""
    assert parse(text).text == text


@pytest.mark.parametrize(
    ("operator", "holds"), [(">", (False, False, True)), (">=", (False, True, True)), ("<", (True, False, False))]
)
def test_comparison(operator: str, holds: tuple[bool, bool, bool]) -> None:
    """The operators mean what they say, equality included."""
    condition = parse(f"rmse {operator} 2")
    assert tuple(condition.holds(value) for value in (1.0, 2.0, 3.0)) == holds
    assert parse("rmse <= 2").holds(2.0)


def test_block_as_a_list() -> None:
    """A bare list is a list of conditions, all else has its default."""
    quality = parse_block({"version": 1, "quality": ["accuracy >= 0.9"]}).quality
    assert quality is not None
    assert (quality.conditions, quality.unknown, quality.baseline) == (("accuracy >= 0.9",), "warn", None)
    whole = parse_block({"version": 1, "quality": {"conditions": ["accuracy >= 0.9"]}}).quality
    assert whole == quality


@pytest.mark.parametrize(
    ("quality", "message"),
    [
        (["accuracy > 9"], "`x-harness.quality.conditions.0`: `accuracy > 9`: expected a threshold from 0 to 1"),
        ([], "`x-harness.quality.conditions`: expected at least one condition, for example `accuracy >= 0.9`"),
        ({"conditions": []}, "expected at least one condition"),
        ({}, "`x-harness.quality.conditions` is missing"),
        ([3], "`x-harness.quality.conditions.0`: input should be a valid string, received 3"),
        ("accuracy > 0.9", "`x-harness.quality`: input should be"),
        (
            {"conditions": ["f1 > 0.1"], "holdot": "x"},
            "unknown key `x-harness.quality.holdot`: did you mean `holdout`?",
        ),
        ({"conditions": ["f1 > 0.1"], "unknown": "warning"}, "there is no `warning`: did you mean `warn`?"),
    ],
)
def test_bad_blocks(quality: object, message: str) -> None:
    """A block that cannot be read is refused with the place and what is wrong."""
    with pytest.raises(DescriptionError) as caught:
        parse_block({"version": 1, "quality": quality})
    assert message in str(caught.value)
