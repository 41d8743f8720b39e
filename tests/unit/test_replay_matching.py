"""Whether a failure that came again is the same one."""

from __future__ import annotations

import pytest

from harness.evidence.records import Ending, Finding, Status
from harness.evidence.records.replay import Match
from harness.reproduce.replay.matching import RUN, compare, compare_endings, match, normalised


def _fail(received: str, check: str = "contract.examples", status: Status = Status.FAIL) -> Finding:
    return Finding(status, received, "expected", "advice", check)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("12 of 50 rows differ by 0.25", "13 of 51 rows differ by 1e-3"),
        ("p99 203 ms", "p99 1.5 s"),
        ("stopped at its time limit after 60.1 s", "stopped at its time limit after 60.4 s"),
        ("run 20261125T003619Z-8c018d left /tmp/a1/x", "run 20261125T003620Z-aaaaaa left /tmp/b2/y"),
        ("layer sha256:af3527b42d6e", "layer sha256:bf3527b42d6e"),
        ("<object at 0x7ff77b004fd0>", "<object at 0x7ff77b004fd1>"),
        ("2026-11-25T00:36:19Z refused by 172.17.0.2:8080", "2026-11-26T01:00:00.5Z refused by 172.17.0.3:8080"),
        ("a  b\n", "a b"),
        ("expected 3.0, received nan", "expected 3.0, received -inf"),
    ],
)
def test_equal_but_for_numbers(old: str, new: str) -> None:
    """Numbers, units, times, IDs, addresses and temporary paths do not tell two failures apart."""
    assert match(old, new) is Match.EQUAL


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("exit code 1", "exit code 137"),
        ("ended by signal 11 (exit code 139)", "ended by signal 4 (exit code 132)"),
        ("GET /health: 200; POST /predict: 500", "GET /health: 200; POST /predict: 503"),
        ("status 400", "status 500"),
        ("column age is missing", "column sex is missing"),
        ("killed because it used all its memory (exit code 137)", "ended by signal 9 (exit code 137)"),
    ],
)
def test_another_cause(old: str, new: str) -> None:
    """Exit codes, signals, statuses and words tell two failures apart."""
    assert match(old, new) is Match.OTHER


def test_the_same_first_line() -> None:
    """Of several lines the first tells the failure, where the others are a log."""
    assert match("training failed\nepoch one", "training failed\nanother order") is Match.HEAD
    assert match("training failed\nx", "serving failed\nx") is Match.OTHER
    assert match("word for word", "word for word") is Match.IDENTICAL


def test_codes_stay_where_they_stand() -> None:
    """What is kept of the numbers stays in its place."""
    text = "POST /predict: 500 after 3 s, then exit code 1 in 20 ms"
    assert normalised(text) == "POST /predict: 500 after #, then exit code 1 in #"


def test_each_failure_is_matched_once() -> None:
    """Two failures of one check need two failures; what is left over has not come again."""
    one, two = _fail("row a is wrong by 1"), _fail("row b is wrong by 2")
    again = compare([one, two], [_fail("row b is wrong by 7"), _fail("row a is wrong by 1")])
    assert [each.match for each in again] == [Match.IDENTICAL, Match.EQUAL]
    (first, second) = compare([one, one], [one])
    assert (first.is_same, second.is_same) == (True, False)


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        ([_fail("it timed out")], Match.OTHER),
        ([_fail("wrong", status=Status.ERROR)], Match.OTHER),
        ([_fail("all well", status=Status.PASS)], Match.PASSED),
        ([_fail("not so well", status=Status.WARN)], Match.PASSED),
        ([_fail("not reached: training failed", status=Status.SKIP)], Match.UNREACHED),
        ([_fail("wrong", check="contract.schema")], Match.UNREACHED),
        ([], Match.UNREACHED),
    ],
)
def test_not_the_same(found: list[Finding], expected: Match) -> None:
    """Another text, another status, success, a skip or another check's failure is not the same failure."""
    (again,) = compare([_fail("wrong")], found)
    assert again.match is expected
    assert not again.is_same


def test_what_passed_is_not_compared() -> None:
    """Only failures and errors of the recorded run have to come again."""
    assert compare([_fail("well", status=Status.PASS), _fail("so", status=Status.WARN)], []) == ()


def test_an_error_that_ended_the_run() -> None:
    """It comes again where a run ends with an error of the same kind and words; a verdict is no such end."""
    old = Ending(2, "the description is wrong", "the container cannot start: no such file")
    same = compare_endings(old, old, ())
    assert (same.check, same.match) == (RUN, Match.IDENTICAL)
    kind = compare_endings(old, Ending(3, "the disk is full", old.message), ())
    assert kind.match is Match.OTHER
    judged = compare_endings(old, None, [_fail("wrong")])
    assert judged.match is Match.PASSED
    assert "contract.examples: wrong" in judged.received
