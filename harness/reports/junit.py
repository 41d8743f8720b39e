"""JUnit XML as Jenkins, GitLab and Azure read it: a test case for each check, a suite for each subject.

The form is that of Surefire as the Jenkins plug-in xunit describes it (`junit-10.xsd`). Logs are attached in the way
of the Jenkins plug-in junit-attachments, which GitLab took over: `[[ATTACHMENT|path]]` on a line of its own in
`system-out`, the path relative to the workspace. GitLab shows the first one.
"""

from __future__ import annotations

from collections.abc import Sequence
from xml.etree.ElementTree import Element, SubElement, indent, tostring

from harness.evidence.records import Finding, Status
from harness.reports.cases import WELL, Case, cases, explain
from harness.reports.run_report import RunReport
from harness.reports.text import first_line, plain, shorten, tail

NAME = "ml-container-harness"
MAX_BODY = 20_000  # characters
MAX_MESSAGE = 500


def render(report: RunReport) -> str:
    """Return `junit.xml` of a run."""
    found = cases(report)
    root = Element("testsuites", name=NAME, time=f"{report.seconds:.3f}")
    root.attrib.update({name: count for name, count in _counts(found).items() if name != "skipped"})  # of a suite only
    for subject in dict.fromkeys(case.subject for case in found):
        _suite(root, report, subject, [case for case in found if case.subject == subject])
    indent(root)
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{tostring(root, encoding="unicode")}\n'


def _suite(root: Element, report: RunReport, subject: str, found: Sequence[Case]) -> None:
    stages = {case.stage.name: case.seconds for case in found if case.stage}  # checks of one stage share its time
    suite = SubElement(
        root,
        "testsuite",
        name=plain(subject),
        time=f"{sum(stages.values()):.3f}",
        timestamp=f"{report.started:%Y-%m-%dT%H:%M:%S}",
    )
    suite.attrib.update(_counts(found))
    properties = SubElement(suite, "properties")
    for name, value in _properties(report).items():
        SubElement(properties, "property", name=name, value=shorten(value, MAX_MESSAGE))
    for case in found:
        _case(suite, report, case)


def _counts(found: Sequence[Case]) -> dict[str, str]:
    numbers = {status: sum(case.status is status for case in found) for status in Status}
    return {
        "tests": str(len(found)),
        "failures": str(numbers[Status.FAIL]),
        "errors": str(numbers[Status.ERROR]),
        "skipped": str(numbers[Status.SKIP]),
    }


def _properties(report: RunReport) -> dict[str, str]:
    """Return what tells a run from another."""
    evidence = report.evidence
    found = {"run": report.id, "project": evidence.spec.project}
    if evidence.environment is not None:
        found |= {"harness": evidence.environment.harness, "engine": evidence.environment.engine}
    if evidence.images is not None:
        found["base"] = ", ".join(dict.fromkeys(base.reference for base in evidence.images.bases))
    if evidence.provenance is not None and evidence.provenance.commit:
        found["commit"] = evidence.provenance.commit
    return {name: value for name, value in found.items() if value}


def _case(suite: Element, report: RunReport, case: Case) -> None:
    element = SubElement(
        suite, "testcase", name=plain(case.check), classname=plain(case.subject), time=f"{case.seconds:.3f}"
    )
    kind = {Status.FAIL: "failure", Status.ERROR: "error", Status.SKIP: "skipped"}.get(case.status)
    told = [f for f in case.findings if f.status not in WELL] or list(case.findings)
    text = "\n\n".join(explain(finding) for finding in told)
    if kind is not None:
        worst = next(finding for finding in case.findings if finding.status is case.status)
        message = _brief(worst) if worst.expected else first_line(worst.received, MAX_MESSAGE)
        body = SubElement(element, kind, type=plain(case.check), message=message)
        body.text = shorten(text, MAX_BODY)
    lines = [] if kind else [shorten(text, MAX_BODY)]
    if case.status not in WELL:
        lines += [f"[[ATTACHMENT|{plain(report.shown(log))}]]" for log in case.logs]
        if case.logs and (last := tail(case.logs[0])):
            lines += [f"the last lines of {case.logs[0].relative_to(report.folder).as_posix()}:", last]
    if lines:
        SubElement(element, "system-out").text = "\n".join(lines)


def _brief(finding: Finding) -> str:
    limit = MAX_MESSAGE // 2
    return f"expected {first_line(finding.expected, limit)}; received {first_line(finding.received, limit)}"
