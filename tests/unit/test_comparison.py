"""Two runs beside each other: what became worse, what was mended, what differs."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from typing import Any

import builders
import pytest

from harness.evidence.records import Evidence, FileHash, Finding, Loaded, Status
from harness.reports import compared as shown
from harness.reports.comparison import Compared, Comparison, Turn, compare


def _compared(*findings: Finding, **changes: Any) -> Compared:
    return Compared("run", builders.evidence(**changes), findings)


def _found(status: Status, check: str = "a.b", received: str = "x") -> Finding:
    return Finding(status, received, check=check)


def _differences(found: Comparison, section: str) -> dict[str, tuple[object, object]]:
    (known,) = [each for each in found.sections if each.name == section]
    return {each.name: (each.before, each.after) for each in known.differences}


def test_equal_runs_do_not_differ() -> None:
    """Two runs with the same evidence and findings differ in nothing."""
    run = _compared(_found(Status.PASS))
    found = compare(run, run)
    assert found.turned == ()
    assert found.unchanged == 1
    assert not [each for section in found.sections for each in section.differences]
    assert all(section.same for section in found.sections)


@pytest.mark.parametrize(
    ("before", "after", "turn"),
    [
        (Status.PASS, Status.FAIL, Turn.REGRESSED),
        (Status.WARN, Status.ERROR, Turn.REGRESSED),
        (Status.SKIP, Status.FAIL, Turn.NEW),
        (None, Status.FAIL, Turn.NEW),
        (Status.FAIL, Status.PASS, Turn.MENDED),
        (Status.ERROR, Status.WARN, Turn.MENDED),
        (Status.PASS, Status.SKIP, Turn.LOST),
        (Status.FAIL, None, Turn.LOST),
        (Status.PASS, Status.WARN, Turn.CHANGED),
        (Status.FAIL, Status.ERROR, Turn.CHANGED),
        (None, Status.PASS, Turn.CHANGED),
    ],
)
def test_turn_of_a_verdict(before: Status | None, after: Status | None, turn: Turn) -> None:
    """A check turns by what it was and what it is; only one that passed and fails has become worse."""
    found = compare(_compared(*([_found(before)] if before else [])), _compared(*([_found(after)] if after else [])))
    assert [(each.turn, each.before, each.after) for each in found.turned] == [(turn, before, after)]
    assert bool(found.regressed) is (turn is Turn.REGRESSED)


def test_worst_finding_counts() -> None:
    """A check with several findings is as bad as the worst."""
    fine = _found(Status.PASS)
    found = compare(_compared(fine), _compared(fine, _found(Status.FAIL, received="broken"), fine))
    assert found.regressed[0].received == "broken"


def test_failures_come_first() -> None:
    """New failures stand before what was mended."""
    before = _compared(_found(Status.FAIL, "a.mended"), _found(Status.PASS, "b.broken"))
    after = _compared(_found(Status.PASS, "a.mended"), _found(Status.FAIL, "b.broken"))
    assert [each.check for each in compare(before, after).turned] == ["b.broken", "a.mended"]


def test_what_differs_is_named() -> None:
    """Metrics, images, data, artifact, packages and machine that differ are named with both values."""
    base = _compared(quality=builders.quality(metrics={"accuracy": 0.9}), loaded=Loaded("3.13.5", {"numpy": "2.1.0"}))
    other = _compared(
        quality=builders.quality(metrics={"accuracy": 0.8, "f1": 0.7}),
        images=builders.images(images=(builders.built("train", diff_ids=("sha256:" + "9" * 64,), size=10**8),)),
        data=replace(builders.data(), sha256="9" * 64),
        artifact=replace(builders.artifact(), files=(FileHash("model.bin", 2000, "9" * 64),)),
        loaded=Loaded("3.13.5", {"numpy": "2.2.0"}),
        environment=builders.environment(cores=4),
    )
    found = compare(base, other)
    assert _differences(found, "metrics")["accuracy"] == (0.9, 0.8)
    assert _differences(found, "metrics")["f1"] == (None, 0.7)
    assert _differences(found, "images")["train: layer 1"] == ("2" * 12, "9" * 12)
    assert _differences(found, "images")["train: size, MB"] == (120.0, 100.0)
    assert _differences(found, "data")["SHA-256"] == ("b" * 12, "9" * 12)
    assert _differences(found, "artifact")["model.bin"] == (f"1.0 kB, {'f' * 12}", f"2.0 kB, {'9' * 12}")
    assert _differences(found, "packages") == {"numpy": ("2.1.0", "2.2.0")}
    assert _differences(found, "machine") == {"cores": (2, 4)}
    assert _differences(found, "times") == {}


def test_number_has_a_change() -> None:
    """The change of a number is given, and its part of what it was; NaN is equal to NaN."""
    one, two = (_compared(quality=builders.quality(metrics={"mae": value, "r2": math.nan})) for value in (2.0, 3.0))
    (section,) = [each for each in compare(one, two).sections if each.name == "metrics"]
    assert [(each.name, each.change) for each in section.differences] == [("mae", "+1 (+50.0%)")]


def test_run_of_which_little_is_left() -> None:
    """A run with nothing but its description can be compared, and shown in each form."""
    bare = Compared("bare", Evidence(spec=builders.spec()), ())
    found = compare(bare, _compared(_found(Status.FAIL, received="\x1b[31m| <b>")))
    assert "a.b" in "\n".join(shown.lines(found))
    assert "\x1b" not in "\n".join(shown.lines(found))
    assert "&#124; &#60;b&#62;" in shown.markdown(found)
    assert json.loads(shown.as_json(found))["turned"][0]["check"] == "a.b"


def test_json_has_no_nan() -> None:
    """A metric that is no number is a text in JSON, which has no NaN."""
    found = compare(_compared(), _compared(quality=builders.quality(metrics={"mae": math.nan})))
    text = shown.as_json(found)
    (section,) = [each for each in json.loads(text)["sections"] if each["name"] == "metrics"]
    assert section["differences"][0]["after"] == "nan"
    assert "NaN" not in text
