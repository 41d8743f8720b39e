"""JUnit XML of a run: valid for Jenkins, one case a check, the logs attached."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from xml.etree.ElementTree import Element

import builders
import defusedxml.ElementTree
import pytest
import runs
import xmlschema

from harness.checks import all_checks
from harness.evidence.records import Finding, Status
from harness.reports import junit
from harness.reports.run_report import RunReport

SCHEMA = builders.REPO / "tests" / "fixtures" / "schemas" / "junit-10.xsd"


@pytest.fixture(scope="module")
def schema() -> xmlschema.XMLSchema:
    """The schema of the Jenkins plug-in."""
    return xmlschema.XMLSchema(SCHEMA)


def _parsed(report: RunReport) -> Element:
    root: Element = defusedxml.ElementTree.fromstring(junit.render(report).encode())
    return root


def _case(root: Element, name: str) -> Element:
    return next(case for case in root.iter("testcase") if case.get("name") == name)


@pytest.mark.parametrize("ending", runs.ENDINGS)
def test_valid_for_jenkins(tmp_path: Path, schema: xmlschema.XMLSchema, ending: str) -> None:
    """The report of a run with any ending satisfies the schema, and its counts are those of its cases."""
    text = junit.render(runs.report(tmp_path, ending))
    schema.validate(text)
    root = defusedxml.ElementTree.fromstring(text.encode())
    for suite in root:
        for tag, count in (("failure", "failures"), ("error", "errors"), ("skipped", "skipped"), ("testcase", "tests")):
            assert int(suite.get(count)) == len(list(suite.iter(tag))), suite.get("name")
    assert int(root.get("tests")) == len(list(root.iter("testcase")))
    assert int(root.get("errors")) == len(list(root.iter("error")))


def test_schema_refuses_what_is_wrong(schema: xmlschema.XMLSchema) -> None:
    """The schema that the reports are held against does refuse: a case without a name, a suite without counts."""
    assert not schema.is_valid("<testsuites><testsuite name='x'/></testsuites>")
    assert not schema.is_valid("<testsuite name='x' tests='1' failures='0' errors='0'><testcase/></testsuite>")


def test_one_case_a_check(tmp_path: Path) -> None:
    """A passed run has one case for each check, in suites by subject, and no case that is not well."""
    root = _parsed(runs.report(tmp_path, "passed"))
    assert sorted(case.get("name", "") for case in root.iter("testcase")) == sorted(
        check.name for check in all_checks()
    )
    assert all(
        case.get("name", "").startswith(f"{suite.get('name')}.") for suite in root for case in suite.iter("testcase")
    )
    assert not [*root.iter("failure"), *root.iter("error")]
    assert float(_case(root, "train.exits-cleanly").get("time", "")) == 1.0


def test_failure_says_expected_received_and_do(tmp_path: Path) -> None:
    """A failure has what was expected, what was received and what to do; its log is attached as GitLab wants it."""
    case = _case(_parsed(runs.report(tmp_path)), "train.loss-decreases")
    failure = case.find("failure")
    assert failure is not None
    assert failure.get("message") == "expected a falling loss; received loss rose from 0.1 to 0.9"
    assert (failure.text or "").splitlines() == [
        "expected  a falling loss",
        "received  loss rose from 0.1 to 0.9",
        "          in 3 epochs",
        "do        Lower the rate.",
    ]
    lines = (case.findtext("system-out") or "").splitlines()
    assert lines[0] == f"[[ATTACHMENT|.harness/runs/{runs.ID}/train/log.txt]]"
    assert lines[-1] == "last line"


def test_attachment_is_relative_to_the_workspace(tmp_path: Path) -> None:
    """In a repository of several projects the path of a log begins at the workspace of CI."""
    report = replace(runs.report(tmp_path / "part"), base=tmp_path)
    text = _case(_parsed(report), "train.loss-decreases").findtext("system-out") or ""
    assert f"[[ATTACHMENT|part/.harness/runs/{runs.ID}/train/log.txt]]" in text.splitlines()


def test_findings_of_one_check_are_one_case(tmp_path: Path) -> None:
    """A check with several findings is one case, as bad as the worst, with all of them that are not well."""
    warned = Finding(Status.WARN, "a warning", "no warning", "", runs.FAILED.check)
    fine = Finding(Status.PASS, "this was fine", check=runs.FAILED.check)
    root = _parsed(runs.report(tmp_path, "failed", fine, warned, runs.FAILED))
    assert len(list(root.iter("testcase"))) == 1
    text = root.findtext(".//failure") or ""
    assert "a warning" in text
    assert "loss rose" in text
    assert "this was fine" not in text


def test_warning_is_a_pass_with_a_text(tmp_path: Path) -> None:
    """A warning passes, and says in system-out what it is."""
    case = _case(_parsed(runs.report(tmp_path)), "serve.unprivileged")
    assert [child.tag for child in case] == ["system-out"]
    assert "it runs as root" in (case.findtext("system-out") or "")


def test_error_is_no_failure(tmp_path: Path) -> None:
    """A check that crashed is an error."""
    case = _case(_parsed(runs.report(tmp_path)), "artifact.safe")
    assert case.find("error") is not None
    assert case.find("failure") is None


@pytest.mark.parametrize(("ending", "message"), [("errored", "the engine is gone"), ("interrupted", "interrupted")])
def test_run_without_a_verdict_is_an_error(tmp_path: Path, ending: str, message: str) -> None:
    """A run that ended before its verdict is an error with the reason, not a short list of passes."""
    error = _case(_parsed(runs.report(tmp_path, ending)), "run.verdict").find("error")
    assert error is not None
    assert message in (error.text or "")


def test_nothing_judged_is_an_error(tmp_path: Path) -> None:
    """A folder without findings is an error: a killed run must not be green."""
    report = replace(runs.report(tmp_path), findings=())
    assert _case(_parsed(report), "run.verdict").find("error") is not None


def test_broken_files_are_shown(tmp_path: Path) -> None:
    """What could not be read of the folder stands in a case of its own."""
    report = replace(runs.report(tmp_path), amiss=("data.json cannot be read: x",))
    assert "data.json cannot be read" in (_case(_parsed(report), "run.folder").findtext("system-out") or "")


def test_check_that_is_unknown_today(tmp_path: Path, schema: xmlschema.XMLSchema) -> None:
    """A finding of a check that no longer exists is reported, and one without a name too."""
    report = runs.report(tmp_path, "failed", Finding(Status.FAIL, "x", check="old.check"), Finding(Status.FAIL, "y"))
    schema.validate(junit.render(report))
    assert _case(_parsed(report), "old.check").get("time") == "0.000"
    assert _case(_parsed(report), "run.unknown").find("failure") is not None


def test_hostile_text_stays_xml(tmp_path: Path, schema: xmlschema.XMLSchema) -> None:
    """Control characters, escape sequences, lone surrogates and `]]>` in findings, names and logs leave valid XML."""
    hostile = Finding(Status.FAIL, runs.HOSTILE, runs.HOSTILE, runs.HOSTILE, f"x.{runs.HOSTILE[:20]}")
    text = junit.render(runs.report(tmp_path, "failed", hostile, runs.FAILED))
    schema.validate(text)
    assert "\x1b" not in text
    assert "<script>alert(1)</script> ]]> &amp; `tick`" in (
        defusedxml.ElementTree.fromstring(text.encode()).findtext(".//failure") or ""
    )


def test_huge_texts_are_cut(tmp_path: Path) -> None:
    """Of a huge finding and a huge log only a part stands in the report, and it says that there is more."""
    report = runs.report(tmp_path, "failed", replace(runs.FAILED, received="y" * 10_000_000))
    (report.folder / "train" / "log.txt").write_bytes(b"z" * 5_000_000 + b"\nthe end \xff\n")
    text = junit.render(report)
    assert len(text) < 100_000
    assert "more characters)" in text
    assert "the end" in text


def test_properties_tell_the_run(tmp_path: Path) -> None:
    """Each suite names the run, the engine and the base image."""
    root = _parsed(runs.report(tmp_path))
    for suite in root:
        known = {each.get("name"): each.get("value") for each in suite.iter("property")}
        assert known["run"] == runs.ID
        assert known["engine"] == builders.environment().engine
        assert known["base"] == builders.PINNED
