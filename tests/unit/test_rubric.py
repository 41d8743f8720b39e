"""The ML Test Score: nothing counts that was not run."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import builders
import pytest

from harness.checks import all_checks
from harness.checks.judge import judge
from harness.checks.ml_test_score import SECTIONS, score, title
from harness.checks.ml_test_score import tests as all_tests
from harness.errors import DescriptionError
from harness.evidence.records import Finding, Selection, Status
from harness.project.description import parse_block


def _points(findings: list[Finding], **manual: str) -> dict[str, float]:
    return _rated(findings, manual={name.replace("_", " "): where for name, where in manual.items()})


def _rated(findings: list[Finding], **block: Any) -> dict[str, float]:
    rated = score(findings, all_checks(), builders.spec(block).block)
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
    rated = score(list(judge(whole, all_checks())), all_checks(), whole.spec.block)
    assert rated.final == min(rated.of(section) for section in SECTIONS) >= 1
    nothing = replace(whole, selection=Selection(only=("images.built",)))
    assert score(list(judge(nothing, all_checks())), all_checks(), whole.spec.block).final == 0


@pytest.mark.parametrize(
    ("checks", "test", "points"),
    [
        (("images.pinned", "data.pinned", "data.dvc", "artifact.provenance"), "Infra 1", 0),
        (("train.deterministic",), "Infra 1", 1),
        (("train.exits-cleanly",), "Infra 3", 0),
        (("contract.examples",), "Infra 3", 1),
        (("serve.ready-is-honest",), "Infra 6", 0),
        (("serve.ready",), "Infra 6", 1),
        (("train.loss-finite",), "Monitor 5", 1),
        (("train.memory",), "Monitor 6", 1),
    ],
)
def test_a_check_covers_what_it_does(checks: tuple[str, ...], test: str, points: float) -> None:
    """Pins alone repeat no training, a training alone is no pipeline: neither counts as the test that it prepares."""
    assert _points([Finding(Status.PASS, "x", check=name) for name in checks])[test] == points


@pytest.mark.parametrize(
    ("check", "promised"),
    [("contract.latency", {"latency": {"p99": "1s"}}), ("contract.load", {"load": {"sustains": 4}})],
)
def test_what_has_no_limit_notices_no_regression(check: str, promised: dict[str, Any]) -> None:
    """A latency that is measured and held against nothing does not count as a test of performance."""
    found = [Finding(Status.PASS, "x", check=check)]
    assert _rated(found)["Monitor 6"] == 0
    assert _rated(found, contract=promised)["Monitor 6"] == 1


@pytest.mark.parametrize("name", ["Data 8", "data 2", "Data", "Data 02", "Monitoring 1"])
def test_a_manual_test_must_be_one_of_the_28(name: str) -> None:
    """A slip in the name would silently count nothing."""
    with pytest.raises(DescriptionError, match=r"Data, Model, Infra or Monitor 1 to 7, received") as caught:
        parse_block({"version": 1, "manual": {name: "docs/x.md"}})
    assert name in str(caught.value)
