"""SARIF and CTRF of a run: valid, complete, stable."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import builders
import pytest
import runs
from jsonschema import Draft4Validator, Draft7Validator

from harness.checks import all_checks
from harness.evidence.records import Finding, Status
from harness.reports import ctrf, sarif
from harness.reports.run_report import RunReport

SCHEMAS = builders.REPO / "tests" / "fixtures" / "schemas"


def _schema(name: str) -> Any:
    return json.loads((SCHEMAS / name).read_text(encoding="utf-8"))


SARIF = Draft4Validator(_schema("sarif-2.1.0-rtm.5.json"), format_checker=Draft4Validator.FORMAT_CHECKER)
CTRF = Draft7Validator(_schema("ctrf-schema-0.0.json"), format_checker=Draft7Validator.FORMAT_CHECKER)
HOSTILE = Finding(Status.FAIL, runs.HOSTILE, runs.HOSTILE, runs.HOSTILE, "artifact.safe")


def _sarif(report: RunReport) -> Any:
    found = json.loads(sarif.render(report))
    assert [error.message for error in SARIF.iter_errors(found)] == []
    (run,) = found["runs"]
    return run


def _ctrf(report: RunReport) -> Any:
    found = json.loads(ctrf.render(report))
    assert [error.message for error in CTRF.iter_errors(found)] == []
    return found["results"]


def test_schemas_refuse_what_is_wrong() -> None:
    """The schemas that the reports are held against do refuse."""
    assert list(SARIF.iter_errors({"version": "2.1.0", "runs": [{}]}))
    assert list(CTRF.iter_errors({"reportFormat": "CTRF", "specVersion": "0.0.0", "results": {"tests": []}}))


@pytest.mark.parametrize("ending", runs.ENDINGS)
def test_valid_with_any_ending(tmp_path: Path, ending: str) -> None:
    """The reports of a run with any ending satisfy their schemas; only a run with a verdict was carried out."""
    report = runs.report(tmp_path, ending)
    told = _sarif(report)["invocations"][0]
    assert told["executionSuccessful"] is (ending in ("passed", "failed"))
    assert told["exitCode"] == runs.ENDINGS[ending].exit_code
    assert told["startTimeUtc"] == "2026-01-02T03:04:05Z"
    assert _ctrf(report)["environment"]["healthy"] is (ending == "passed")


def test_sarif_of_a_failed_run(tmp_path: Path) -> None:
    """What is not well of hardening and artifact is a result with level, rule, place and fingerprint; tests are not."""
    run = _sarif(runs.report(tmp_path))
    assert [(result["ruleId"], result["level"]) for result in run["results"]] == [
        ("artifact.safe", "error"),
        ("serve.unprivileged", "warning"),
    ]
    for result in run["results"]:
        assert run["tool"]["driver"]["rules"][result["ruleIndex"]]["id"] == result["ruleId"]
        assert result["locations"][0]["physicalLocation"]["artifactLocation"]["uri"] == "compose.yaml"
        assert result["partialFingerprints"]["primaryLocationLineHash"]


def test_sarif_lists_every_rule(tmp_path: Path) -> None:
    """Every pattern of the rules fits a check that exists, and each rule has help and a severity."""
    rules = {rule["id"]: rule for rule in _sarif(runs.report(tmp_path, "passed"))["tool"]["driver"]["rules"]}
    names = [check.name for check in all_checks()]
    for pattern in sarif.RULES:
        assert pattern in names or pattern == "images.*"
        assert pattern in rules or any(name.startswith("images.") for name in rules)
    assert all(rule["help"]["markdown"] and float(rule["properties"]["security-severity"]) for rule in rules.values())
    assert "contract.examples" not in rules


def test_sarif_fingerprints_are_stable(tmp_path: Path) -> None:
    """A fingerprint stays where numbers, digests and the line change, and differs between two findings."""

    def prints(*found: Finding) -> list[str]:
        results = _sarif(replace(report, findings=found))["results"]
        return [result["partialFingerprints"]["primaryLocationLineHash"] for result in results]

    report = runs.report(tmp_path)
    one = Finding(Status.FAIL, "train.csv line 3: key", "no key in 10 files", "", "data.no-secrets")
    later = Finding(Status.FAIL, "train.csv line 9: key", "no key in 12 files", "", "data.no-secrets")
    other = Finding(Status.FAIL, "train.csv line 3: key", "no card number", "", "data.no-secrets")
    assert prints(one) == prints(later)
    assert len(set(prints(one, later, other))) == 3


def test_sarif_tells_what_was_not_judged(tmp_path: Path) -> None:
    """A check that was skipped is a note with its reason: silence would read as mended."""
    skipped = Finding(Status.SKIP, "not reached: the build failed", check="artifact.safe")
    (note,) = _sarif(runs.report(tmp_path, "failed", skipped))["invocations"][0]["toolExecutionNotifications"]
    assert note["associatedRule"]["id"] == "artifact.safe"
    assert "not reached" in note["message"]["text"]


def test_ctrf_of_a_failed_run(tmp_path: Path) -> None:
    """Each check is a test with its status; what is not well has its findings and its log."""
    results = _ctrf(runs.report(tmp_path))
    tests = {test["name"]: test for test in results["tests"]}
    assert len(tests) == len(all_checks()) == results["summary"]["tests"]
    failed = tests["train.loss-decreases"]
    assert failed["status"] == "failed"
    assert "Lower the rate." in failed["message"]
    assert failed["attachments"][0]["path"] == f".harness/runs/{runs.ID}/train/log.txt"
    assert (tests["serve.unprivileged"]["status"], tests["serve.unprivileged"]["rawStatus"]) == ("passed", "warn")
    assert tests["artifact.safe"]["rawStatus"] == "error"
    summary = results["summary"]
    assert summary["failed"] == 2
    assert summary["passed"] + summary["failed"] + summary["skipped"] == summary["tests"]
    assert summary["stop"] - summary["start"] == summary["duration"]


@pytest.mark.parametrize("ending", ["errored", "interrupted"])
def test_ctrf_without_a_verdict_has_failed(tmp_path: Path, ending: str) -> None:
    """A run that ended before its verdict has a failed test that says so."""
    tests = {test["name"]: test for test in _ctrf(runs.report(tmp_path, ending))["tests"]}
    assert tests["run.verdict"]["status"] == "failed"


def test_equal_runs_have_equal_reports(tmp_path: Path) -> None:
    """Reports are functions of the run: made again they are the same, byte for byte."""
    report = runs.report(tmp_path)
    assert ctrf.render(report) == ctrf.render(report)
    assert sarif.render(report) == sarif.render(report)


@pytest.mark.parametrize("count", [1, 500])
def test_hostile_findings_stay_valid(tmp_path: Path, count: int) -> None:
    """Control characters, surrogates and huge values leave valid JSON in UTF-8, 500 findings too."""
    found = (HOSTILE, Finding(Status.FAIL, "x" * 1_000_000, check="old.check"), *runs.many(count))
    report = runs.report(tmp_path, "failed", *found)
    for text in (json.dumps(_sarif(report)), json.dumps(_ctrf(report)), sarif.render(report), ctrf.render(report)):
        assert len(text.encode()) < 20_000 * (count + 3)
        assert "\\u001b" not in text


def test_renamed_folder_has_no_time(tmp_path: Path) -> None:
    """Where the folder's name tells no time, the reports are valid all the same."""
    report = runs.report(tmp_path)
    moved = replace(report, folder=report.folder.rename(report.folder.with_name("copy of it")))
    assert _ctrf(moved)["summary"]["start"] == 0
    assert _sarif(moved)["invocations"][0]["startTimeUtc"] == "1970-01-01T00:00:00Z"
