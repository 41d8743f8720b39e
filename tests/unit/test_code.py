"""The project's code in the training image: reports, tables, the script that runs inside, and the checks."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import builders
import pytest
from builders import ended
from defects import shows

from harness.checks import all_checks
from harness.checks.judge import judge_one
from harness.datasets.feature_table import Rows, read_table
from harness.diagnosis import test_report
from harness.evidence.records import Code, Evidence, FailedTest, Finding, Status, Tally
from harness.runner.stages.code import JUNIT, RUNNER, with_junit

XML = """<?xml version="1.0"?><testsuites><testsuite name="pytest" tests="3">
<testcase classname="tests.test_a" name="test_good" time="0.1"/>
<testcase classname="tests.test_a" name="test_bad"><failure message="assert 1 == 2">long text</failure></testcase>
<testcase classname="" name="tests.test_b"><error message="collection failure">ImportError: no x</error></testcase>
<testcase classname="tests.test_a" name="test_later"><skipped message="not yet"/></testcase>
</testsuite></testsuites>"""
BOMB = '<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;">]><testsuites>&b;</testsuites>'


def test_junit() -> None:
    """Cases are counted, failures and errors named with what they say."""
    assert test_report.junit(XML) == Tally(
        "JUnit XML",
        total=4,
        skipped=1,
        failed=2,
        failures=(
            FailedTest("tests.test_a::test_bad", "assert 1 == 2"),
            FailedTest("tests.test_b", "collection failure"),
        ),
    )


@pytest.mark.parametrize("text", [BOMB, "<testsuites>", "", "no XML"])
def test_what_is_no_junit_is_refused(text: str) -> None:
    """Entities never expand; a file that broke off is no report."""
    with pytest.raises(ValueError, match="no JUnit XML"):
        test_report.junit(text)


UNITTEST = """
import unittest
class T(unittest.TestCase):
    def test_good(self): pass
    def test_bad(self): self.assertEqual(1, 2)
    def test_error(self): raise KeyError("sex")
    @unittest.skip("not yet")
    def test_later(self): pass
unittest.main()
"""


def test_the_text_of_unittest() -> None:
    """The text that this Python's own unittest prints is read."""
    done = subprocess.run([sys.executable, "-c", UNITTEST], capture_output=True, text=True, check=False)
    tally = test_report.unittest(done.stderr.splitlines())
    assert tally is not None
    assert (tally.total, tally.skipped, tally.failed) == (4, 1, 2)
    bad = {failure.name.partition(" ")[0]: failure.message.splitlines()[-1] for failure in tally.failures}
    assert bad == {"test_bad": "AssertionError: 1 != 2", "test_error": "KeyError: 'sex'"}


def test_no_tally_where_there_is_none() -> None:
    """Other output is no report."""
    assert test_report.unittest(["all good", "OK"]) is None
    assert test_report.unittest(["Ran 0 tests in 0.000s", "", "NO TESTS RAN"]) == Tally("unittest", 0, 0, 0)


@pytest.mark.parametrize(
    ("command", "added"),
    [
        (("python", "-m", "pytest", "-q"), True),
        (("/opt/venv/bin/pytest", "tests"), True),
        (("pytest", "--junit-xml=x.xml"), False),
        (("python", "-m", "unittest"), False),
        (("make", "test"), False),
    ],
)
def test_pytest_is_asked_for_junit(command: tuple[str, ...], *, added: bool) -> None:
    """Only pytest, and only where it does not write a report already."""
    made = with_junit(command)
    assert made[: len(command)] == command
    assert (f"--junit-xml={JUNIT}" in made) is added


def test_tables(tmp_path: Path) -> None:
    """CSV and JSON say what is given and what is expected."""
    (tmp_path / "a.csv").write_text("x,sex,expect:y\n1,,2.5\n3.0,m,\n", encoding="utf-8")
    rows = ({"x": 1, "sex": None}, {"x": 3.0, "sex": "m"})
    assert read_table(tmp_path / "a.csv") == Rows(rows, ({"y": 2.5}, {"y": None}))
    (tmp_path / "a.json").write_text('[{"given": {"zip": "007"}, "expect": {"y": true}}]', encoding="utf-8")
    assert read_table(tmp_path / "a.json") == Rows(({"zip": "007"},), ({"y": True},))


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("a.csv", "x,y\n1,2\n", "row 1 expects nothing"),
        ("a.csv", "x,expect:y\n", "holds no rows"),
        ("a.json", "[]", "at least one row"),
        ("a.json", '[{"given": 1}]', "row 1: expected an object"),
        ("a.json", "{", "Expecting"),
    ],
)
def test_tables_that_say_nothing(name: str, text: str, said: str, tmp_path: Path) -> None:
    """A table without expectations would always pass."""
    (tmp_path / name).write_text(text, encoding="utf-8")
    with pytest.raises(ValueError, match=said):
        read_table(tmp_path / name)


PROJECT = """
import numpy as np
def table(t): return t.assign(y=t["x"] * 2, m=np.nan)
def series(t): return t["x"] + 1
def array(t): return t[["x"]].to_numpy() * 3
def rows(rows): return [{"y": row["x"] * 2} for row in rows]
def one(row): return {"y": (row["x"], row["x"] == 1)}
class Steps:
    @staticmethod
    def half(rows): return [row["x"] / 2 for row in rows]
def shouts(rows):
    print("noise")
    raise KeyError("sex")
"""


def inside(tmp_path: Path, *asked: tuple[str, str]) -> list[Any]:
    """Run the script as the training image does, in the project's working directory."""
    (tmp_path / "features.py").write_text(PROJECT, encoding="utf-8")
    tables = [{"transform": name, "takes": takes, "rows": [{"x": 1}, {"x": 2}]} for name, takes in asked]
    (tmp_path / "tables.json").write_text(json.dumps(tables), encoding="utf-8")
    argv = [sys.executable, str(RUNNER), "tables.json", "answers.json"]
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    subprocess.run(argv, cwd=tmp_path, env=environment, check=True, capture_output=True, timeout=60)
    answers: list[Any] = json.loads((tmp_path / "answers.json").read_text(encoding="utf-8"))
    return answers


def test_transforms_inside(tmp_path: Path) -> None:
    """Tables, series, arrays, lists and single rows all become rows; an exception is one table's answer."""
    found = inside(
        tmp_path,
        ("features:table", "table"),
        ("features:series", "table"),
        ("features:array", "table"),
        ("features:rows", "rows"),
        ("features:one", "row"),
        ("features:Steps.half", "rows"),
        ("features:shouts", "rows"),
        ("nowhere:f", "rows"),
    )
    assert [answer.get("rows") for answer in found[:6]] == [
        [{"x": 1, "y": 2, "m": None}, {"x": 2, "y": 4, "m": None}],
        [{"x": 2}, {"x": 3}],
        [{"0": 3}, {"0": 6}],
        [{"y": 2}, {"y": 4}],
        [{"y": [1, True]}, {"y": [2, False]}],
        [{"value": 0.5}, {"value": 1.0}],
    ]
    assert found[6]["error"].endswith("KeyError: 'sex'\n")
    assert "No module named 'nowhere'" in found[7]["error"]


GOOD = builders.code()
NOTHING: dict[str, Any] = {"train": {"unit_tests": None}, "code": None}


def judged(code: Code | None, block: dict[str, Any] | None = None) -> dict[str, Finding]:
    """Judge one record with both checks; the worst finding of each counts."""
    evidence = Evidence(spec=builders.spec(block), code=code)
    checks = [check for check in all_checks() if check.name in ("code.unit-tests", "code.features")]
    return {check.name: list(judge_one(evidence, check))[-1] for check in checks}


def test_good_code_passes() -> None:
    """Both checks say what they counted."""
    found = judged(GOOD)
    assert {name: finding.status for name, finding in found.items()} == dict.fromkeys(found, Status.PASS)
    assert found["code.unit-tests"].received == "8 tests, 1 skipped in 1.2 s (JUnit XML)"
    assert found["code.features"].received == "features:engineer on t.csv: 1 rows, 2 values as expected"


def with_tests(**changes: Any) -> Code:
    assert GOOD.unit_tests is not None
    return replace(GOOD, unit_tests=replace(GOOD.unit_tests, **changes))


def with_table(**changes: Any) -> Code:
    return replace(GOOD, features=(replace(GOOD.features[0], **changes),))


FAILURE = FailedTest("tests.test_a::test_bad", "assert 1 == 2")
NO_PYTEST = ended(code=1, log_tail=("/usr/bin/python: No module named pytest",))
DEFECTS = [
    (
        with_tests(tally=Tally("x", 3, 0, 1, (FAILURE,)), exit=ended(code=1)),
        "code.unit-tests",
        "test_bad: assert 1 == 2",
    ),
    (with_tests(tally=Tally("x", 3, 0, 1, (FAILURE,))), "code.unit-tests", "3 tests, 1 failed"),  # exit code 0 lies
    (with_tests(tally=Tally("x", 0, 0, 0), exit=ended(code=5)), "code.unit-tests", "0 tests"),
    (with_tests(tally=None, exit=ended(code=5)), "code.unit-tests", "no test was found"),
    (with_tests(tally=None, exit=NO_PYTEST), "code.unit-tests", "the training image has no pytest"),
    (
        with_tests(tally=None, exit=None, error="the container cannot start"),
        "code.unit-tests",
        "the training image has no",
    ),
    (with_tests(tally=None, exit=ended(code=2, log_tail=("boom",))), "code.unit-tests", "exit code 2\nboom"),
    (with_tests(exit=ended(code=139)), "code.unit-tests", "ended by signal 11"),
    (with_tests(exit=ended(code=None, timed_out=True)), "code.unit-tests", "time limit"),
    (with_tests(tally=None, error="no JUnit XML: it broke off"), "code.unit-tests", "no JUnit XML"),
    (with_table(received=({"y": 2.1, "z": None},)), "code.features", "row 1, y: expected 2.0, received 2.1"),
    (with_table(received=({"y": 2.0},)), "code.features", "row 1, z: expected null, received columns y"),
    (with_table(received=({"y": None, "z": None},)), "code.features", "row 1, y: expected 2.0, received null"),
    (with_table(received=()), "code.features", "expected 1 rows, received 0"),
    (with_table(received=(), error="KeyError: 'sex'"), "code.features", "KeyError: 'sex'"),
]


@pytest.mark.parametrize(
    ("code", "check", "said"), [pytest.param(*d, marks=shows(d[1], Status.FAIL, d[2]), id=d[2]) for d in DEFECTS]
)
def test_each_defect_fails_its_check_alone(code: Code, check: str, said: str) -> None:
    """The finding says what was received, and the other check still passes."""
    found = judged(code)
    assert {name for name, finding in found.items() if finding.status is not Status.PASS} == {check}
    assert found[check].status is Status.FAIL
    assert said in found[check].received
    assert found[check].expected
    assert found[check].advice


def test_what_nobody_can_count_is_a_warning() -> None:
    """Exit code 0 of any program, and tests that are all skipped, are no proof."""
    assert judged(with_tests(tally=None))["code.unit-tests"].status is Status.WARN
    assert judged(with_tests(tally=Tally("x", 2, 2, 0)))["code.unit-tests"].status is Status.WARN


def test_nothing_declared_is_skipped_and_a_lost_record_an_error() -> None:
    """A project without tests and tables has nothing to try."""
    assert {finding.status for finding in judged(None, NOTHING).values()} == {Status.SKIP}
    assert {finding.status for finding in judged(None).values()} == {Status.ERROR}
