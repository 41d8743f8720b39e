"""Reads what a test program reports: JUnit XML, or the text of unittest."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from xml.etree.ElementTree import Element, ParseError

from harness.evidence.records import FailedTest, Tally

MAX_FAILURES = 20
MAX_MESSAGE = 1000  # characters
_RAN = re.compile(r"^Ran (\d+) tests? in ")
_END = re.compile(r"^(?:OK|FAILED|NO TESTS RAN)(?: \((.*)\))?$")
_HEAD = re.compile(r"^(?:FAIL|ERROR): (.+)$")
_RULE = ("=" * 70, "-" * 70)


def junit(text: str) -> Tally:
    """Return the tally of JUnit XML, whoever wrote it: the test cases are counted, not what a suite says of itself.

    Entities and document types are refused, so that nothing can expand. Raises ValueError.
    """
    from defusedxml import DefusedXmlException
    from defusedxml.ElementTree import fromstring

    try:
        root: Element = fromstring(text, forbid_dtd=True)
    except (ParseError, DefusedXmlException) as exc:
        raise ValueError(f"no JUnit XML: {exc}") from exc
    cases = list(root.iter("testcase"))
    failed = [case for case in cases if _problem(case) is not None]
    return Tally(
        source="JUnit XML",
        total=len(cases),
        skipped=sum(case.find("skipped") is not None and _problem(case) is None for case in cases),
        failed=len(failed),
        failures=tuple(_failure(case) for case in failed[:MAX_FAILURES]),
    )


def unittest(lines: Sequence[str]) -> Tally | None:
    """Return the tally that unittest (Python 3.11 and newer) prints at its end; None where there is none."""
    ran = [match for line in lines if (match := _RAN.match(line))]
    ends = [match for line in lines if (match := _END.match(line))]
    if not ran or not ends:
        return None
    counts = {name.strip(): int(count) for name, count in re.findall(r"([\w ]+?)=(\d+)", ends[-1][1] or "")}
    failures = tuple(_blocks(lines))
    failed = sum(count for name, count in counts.items() if name in ("failures", "errors", "unexpected successes"))
    return Tally("unittest", max(int(ran[-1][1]), failed), counts.get("skipped", 0), failed, failures[:MAX_FAILURES])


def _problem(case: Element) -> Element | None:
    failure = case.find("failure")
    return case.find("error") if failure is None else failure


def _failure(case: Element) -> FailedTest:
    problem = _problem(case)
    name = "::".join(filter(None, (case.get("classname"), case.get("name"))))
    message = "" if problem is None else problem.get("message") or (problem.text or "").strip()
    return FailedTest(name or "a test without a name", message[:MAX_MESSAGE] or "it says nothing")


def _blocks(lines: Sequence[str]) -> Iterator[FailedTest]:
    """Yield the tests that unittest reports one by one: a head between two rules, then the traceback."""
    name, said = "", list[str]()
    for line in lines:
        head = _HEAD.match(line)
        if head or _RAN.match(line):
            if name:
                yield FailedTest(name, "\n".join(said)[-MAX_MESSAGE:].strip())
            name, said = (head[1] if head else ""), []
        elif name and line not in _RULE:
            said.append(line)
