"""The judge: a check passes because it saw that all is well, and for no other reason."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import builders
import pytest

from harness.checks import Check, all_checks, check, failed, passed, skipped, warned
from harness.checks.judge import exit_code, judge, judge_one
from harness.config.spec import Spec
from harness.evidence.records import Artifact, Data, Ending, Evidence, Finding, Selection, Serving, Status
from harness.evidence.records.run import error_of


@check("demo.good", rubric="Infra 1")
def good(spec: Spec, serve: Serving) -> Iterator[Finding]:
    """Everything is fine.

    A second paragraph.
    """
    yield passed(f"{spec.project} {serve.port}")


@check("demo.crash")
def crash(spec: Spec) -> Iterator[Finding]:
    """It crashes after a pass."""
    yield passed("so far")
    raise RuntimeError(spec.project)


@check("demo.silent")
def silent(artifact: Artifact) -> Iterator[Finding]:
    """It says nothing."""
    yield from () if artifact else (passed("never"),)


@check("demo.optional")
def optional(data: Data | None = None) -> Iterator[Finding]:
    """It may do without."""
    yield passed("with" if data else "without")


def _one(check_: Check, evidence: Evidence) -> Finding:
    (finding,) = judge_one(evidence, check_)
    assert finding.check == check_.name
    return finding


def _skip(**reasons: str) -> Evidence:
    names = {name.replace("_", ".", 1): reason for name, reason in reasons.items()}
    return builders.evidence(spec=builders.spec({"skip": names}))


def test_a_check_is_made_of_its_function() -> None:
    """Name, sentence, rubric and evidence read come from the function."""
    assert (good.name, good.sentence, good.rubric) == ("demo.good", "Everything is fine.", "Infra 1")
    assert (good.reads, good.may_read) == (("spec", "serve"), ())
    assert (optional.reads, optional.may_read) == ((), ("data",))


def test_pass() -> None:
    """A check that finds all well passes, under its own name."""
    assert _one(good, builders.evidence()) == Finding(Status.PASS, "demo 8080", check="demo.good")


def test_skip_with_reason() -> None:
    """A check that the user skips is not run; the reason is what the report shows."""
    finding = _one(crash, _skip(demo_crash="known, see issue 5"))
    assert (finding.status, finding.received) == (Status.SKIP, "known, see issue 5")


def test_unknown_skip_is_an_error() -> None:
    """A skip that names no check is an error: with a typing error in it the check would run, or the skip be dead."""
    findings = list(judge(_skip(demo_god="why", demo_crush="why"), [good]))
    assert [f.check for f in findings if f.status is Status.ERROR] == ["demo.crush", "demo.god"]
    assert exit_code(findings) == 4


def test_crash_is_an_error() -> None:
    """A check that crashes is an error and never a pass, also where it had found something before."""
    finding = _one(crash, builders.evidence())
    assert finding.status is Status.ERROR
    assert "RuntimeError: demo" in finding.received


def test_no_finding_is_an_error() -> None:
    """A check that finds nothing at all has not passed."""
    assert _one(silent, builders.evidence()).status is Status.ERROR


@pytest.mark.parametrize("name", ["serve", "artifact", "train", "images", "contract"])
def test_missing_evidence_is_an_error(name: str) -> None:
    """A check whose evidence was lost is an error, though the line says that the stage was done."""
    for each in all_checks():
        if name in each.reads:
            finding = _one(each, builders.evidence(**{name: None}))
            assert finding.status is Status.ERROR
            assert f"no record `{name}`" in finding.received


def test_not_reached_is_a_skip() -> None:
    """A check whose stage was not reached is skipped, with why the line ended."""
    finding = _one(good, builders.evidence(serve=None, stages=builders.stages("serve", "contract")))
    assert (finding.status, finding.received) == (Status.SKIP, "not reached: the build of train failed")


@pytest.mark.parametrize(
    ("name", "record"),
    [
        ("images.built", {"images": builders.images(failure="train")}),
        ("train.exits-cleanly", {"train": builders.training(exit=builders.ended(code=1))}),
        ("artifact.present", {"artifact": builders.artifact(files=())}),
        ("serve.ready", {"serve": builders.serving(ready=False)}),
    ],
)
def test_why_the_line_ended_is_judged(name: str, record: dict[str, Any]) -> None:
    """A run of whose checks none was reached does not pass: what ended it fails though it was left out."""
    (guard,) = (each for each in all_checks() if each.name == name)
    selection = Selection(only=("contract.examples",))
    assert _one(guard, builders.evidence(selection=selection)).status is Status.SKIP
    assert _one(guard, builders.evidence(selection=selection, **record)).status is Status.FAIL


def test_optional_evidence() -> None:
    """Evidence with the default None may be missing where its stage has no part in the line."""
    stages = tuple(stage for stage in builders.stages() if stage.name != "data")
    spec = builders.spec({"data": None})
    assert _one(optional, builders.evidence(spec=spec, data=None, stages=stages)).received == "without"
    assert _one(optional, builders.evidence()).received == "with"


@pytest.mark.parametrize("name", ["data.pinned", "data.schema"])
def test_optional_evidence_not_reached(name: str) -> None:
    """Where the build failed before the data stage, nothing is said about the dataset but that."""
    (each,) = (each for each in all_checks() if each.name == name)
    finding = _one(each, builders.evidence(data=None, stages=builders.stages("data", "train")))
    assert (finding.status, finding.received) == (Status.SKIP, "not reached: the build of train failed")


@pytest.mark.parametrize("name", ["data.pinned", "data.schema"])
def test_optional_evidence_lost(name: str) -> None:
    """Where the data stage was done, or its end is unknown, a lost record is an error."""
    (each,) = (each for each in all_checks() if each.name == name)
    assert _one(each, builders.evidence(data=None)).status is Status.ERROR
    assert _one(each, builders.evidence(data=None, stages=())).status is Status.ERROR


def test_whole_evidence_passes() -> None:
    """The complete good evidence passes every check: the builders tell no lie."""
    findings = list(judge(builders.evidence(), all_checks()))
    # The dialect `openapi` has no conformance suite of its own.
    assert [f.check for f in findings if f.status is not Status.PASS] == ["contract.conforms"]
    assert exit_code(findings) == 0


def test_judging_twice_gives_the_same() -> None:
    """Checks are pure: the same evidence has the same verdict."""
    assert list(judge(builders.evidence(), all_checks())) == list(judge(builders.evidence(), all_checks()))


BAD = {"expected": "", "received": "", "advice": ""}


@pytest.mark.parametrize(
    ("findings", "code"),
    [
        ([passed("x")], 0),
        ([passed("x"), skipped("x"), warned(**BAD)], 0),
        ([passed("x"), failed(**BAD)], 1),
        ([Finding(Status.ERROR, "x"), failed(**BAD)], 1),
        ([passed("x"), Finding(Status.ERROR, "x")], 4),
        ([], 4),
    ],
)
def test_exit_code(findings: list[Finding], code: int) -> None:
    """A failed check is 1, a crashed one 4, nothing judged at all is no pass; warnings and skips pass."""
    assert exit_code(findings) == code


def test_a_run_that_an_error_ended_is_judged_as_such() -> None:
    """What a lost engine or an interrupt left is skipped: the error says why. Without one it would be an error."""
    left = builders.evidence(contract=None, stages=builders.stages("contract", reason="no container engine answers"))
    lost = Ending(3, "no container engine answers", "the engine is gone")
    each = next(check for check in all_checks() if check.name == "contract.examples")
    for end, status in ((lost, Status.SKIP), (Ending(0, "judged"), Status.ERROR), (None, Status.ERROR)):
        [finding] = judge(replace(left, end=end), [each])
        assert finding.status is status
        assert "no container engine answers" in finding.received
    assert error_of(lost) == lost
    assert error_of(left.end) is None
