"""The ML Test Score: nothing counts that was not run."""

from __future__ import annotations

from dataclasses import replace

import builders
import pytest

from harness.checks import all_checks
from harness.judge import judge
from harness.records import Finding, Selection, Status
from harness.rubric import SECTIONS, score, title
from harness.rubric import tests as all_tests


def _points(findings: list[Finding], **manual: str) -> dict[str, float]:
    rated = score(findings, all_checks(), {name.replace("_", " "): where for name, where in manual.items()})
    return {each.test: each.points for each in rated.covered}


def test_the_rubric_has_28_tests() -> None:
    """Four sections of seven, as in the paper."""
    assert len(all_tests()) == 28
    assert {len(names) for names in SECTIONS.values()} == {7}
    assert title("Monitor 3") == "Training and serving are not skewed"


def test_every_check_names_a_test_of_the_rubric() -> None:
    """What a check says to cover exists."""
    assert {check.rubric for check in all_checks()} - {""} <= {*all_tests()}


@pytest.mark.parametrize(("status", "points"), [("pass", 1), ("warn", 1), ("fail", 1), ("skip", 0), ("error", 0)])
def test_a_check_counts_where_it_judged(status: str, points: float) -> None:
    """A failed test is an automated one too; a skipped or a broken one is none."""
    found = [Finding(Status(status), "x", check="data.schema")]
    assert _points(found)["Data 1"] == points


def test_a_manual_test_counts_half() -> None:
    """By hand and documented is half a point; where a check runs too, that counts."""
    assert _points([], Data_2="docs/features.md")["Data 2"] == 0.5
    found = [Finding(Status.PASS, "x", check="data.schema")]
    assert _points(found, Data_1="docs/schema.md")["Data 1"] == 1


def test_the_weakest_section_decides() -> None:
    """The final score is the least of the four; a run without checks has none."""
    whole = builders.evidence()
    rated = score(list(judge(whole, all_checks())), all_checks(), {})
    assert rated.final == min(rated.of(section) for section in SECTIONS) >= 1
    nothing = replace(whole, selection=Selection(only=("images.built",)))
    assert score(list(judge(nothing, all_checks())), all_checks(), {}).final == 0
