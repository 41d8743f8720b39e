"""Checks of the project's own code, as it runs in the training image."""

from __future__ import annotations

import json
from collections.abc import Iterator

from harness.checks import check, failed, passed, skipped, warned, whole_log
from harness.client.compare import compare, short
from harness.config.spec import Spec, Tolerance
from harness.evidence.records import Code, FeatureTable, Finding, Status, UnitTests

MAX_SHOWN = 5
LOG_LINES = 12
UNITTEST = "unittest"  # a tally that was read from the log
ABSOLUTE = 1e-12  # in place of a relative tolerance of numbers around zero
NO_TESTS = 5  # exit code of pytest, and of unittest since Python 3.12
NO_RECORD = "there is no record of what the code did in the training image"


@check("code.unit-tests", rubric="Infra 2")
def unit_tests(spec: Spec, code: Code | None = None) -> Iterator[Finding]:
    """The project's own tests pass in the training image, and there are some."""
    if spec.block.train.unit_tests is None:
        yield skipped("x-harness.train names no `unit_tests`")
    elif code is None or code.unit_tests is None:
        yield Finding(Status.ERROR, NO_RECORD, "the evidence that the check reads", "Run again.")
    else:
        yield _tested(code.unit_tests)


@check("code.features", rubric="Data 7")
def features(spec: Spec, code: Code | None = None) -> Iterator[Finding]:
    """Each row of the project's tables goes through its transform to the values expected."""
    blocks = spec.block.code.features
    if not blocks:
        yield skipped("x-harness.code names no `features`")
    elif code is None or len(code.features) != len(blocks):
        yield Finding(Status.ERROR, NO_RECORD, "the evidence that the check reads", "Run again.")
    else:
        for table in code.features:
            yield _transformed(table)


def _tested(tests: UnitTests) -> Finding:
    command = " ".join(tests.command)
    expected = f"`{command}` passes in the training image"
    tally, ended = tests.tally, tests.exit
    log = [] if ended is None else list(ended.log_tail[-LOG_LINES:])
    if tally is None or tally.source == UNITTEST:
        whole_log(ended)
    if missing := _missing(tests):
        advice = (
            f"Add {missing} to the requirements of the training image, or name tests that need no more than it has."
        )
        return failed(expected=expected, received=f"the training image has no {missing}", advice=advice)
    if tally is not None and (tally.failed or (tally.total == 0)):
        advice = "Correct the code or the test; the whole log is code/unit-tests.txt of the run."
        if tally.total == 0:
            advice = "Copy the tests into the training image, and name their folder in `train.unit_tests`."
        return failed(expected=expected, received="\n".join(_counts(tests)), advice=advice)
    if ended is None or ended.code != 0 or tests.error:
        said = [ended.describe()] if ended else []
        if ended is not None and ended.code == NO_TESTS:
            said.append("no test was found")
        return failed(
            expected=expected,
            received="\n".join([*said, *filter(None, [tests.error]), *log]),
            advice="Read the log lines above; the whole log is code/unit-tests.txt of the run.",
        )
    if tally is None:
        return warned(
            expected="a report that says how many tests ran",
            received=f"exit code 0 of `{command}`, and no report",
            advice="Use pytest or unittest, or write JUnit XML to the file that $HARNESS_JUNIT names.",
        )
    if tally.skipped >= tally.total:
        return warned(
            expected="at least one test that runs",
            received=f"all {tally.total} tests are skipped",
            advice="Give the training image what the tests need, or remove them.",
        )
    return passed(_summary(tests))


def _missing(tests: UnitTests) -> str:
    """Return the test program that the image lacks, empty where that is not the trouble."""
    words = tests.command
    program = words[2] if words[1:2] == ("-m",) else words[0]
    if tests.exit is None:
        return program
    said = f"No module named {program}"
    return program if tests.exit.code and any(line.endswith(said) for line in tests.exit.log_tail) else ""


def _summary(tests: UnitTests) -> str:
    tally = tests.tally
    if tally is None:
        return "no report"
    skips = f", {tally.skipped} skipped" if tally.skipped else ""
    fails = f", {tally.failed} failed" if tally.failed else ""
    seconds = f" in {tests.exit.seconds:.1f} s" if tests.exit else ""
    return f"{tally.total} tests{fails}{skips}{seconds} ({tally.source})"


def _counts(tests: UnitTests) -> Iterator[str]:
    yield _summary(tests)
    failures = tests.tally.failures if tests.tally else ()
    for failure in failures[:MAX_SHOWN]:
        yield f"{failure.name}: {short(failure.message)}"
    if tests.tally and tests.tally.failed > MAX_SHOWN:
        yield f"and {tests.tally.failed - MAX_SHOWN} more"


def _transformed(table: FeatureTable) -> Finding:
    what = f"{table.transform} on {table.table}"
    if table.error:
        return failed(
            expected=f"{what}: a row for each of its {len(table.given) or ''} rows".replace("  ", " "),
            received=table.error.strip(),
            advice="Correct the transform or the table; the log is code/features.txt of the run.",
        )
    wrong = list(_wrong(table))
    cells = sum(len(row) for row in table.expected)
    if not wrong:
        return passed(f"{what}: {len(table.expected)} rows, {cells} values as expected")
    more = [f"and {len(wrong) - MAX_SHOWN} more"] if len(wrong) > MAX_SHOWN else []
    return failed(
        expected=f"{what}: {cells} values, within {table.relative:g} of those in the table",
        received="\n".join([*wrong[:MAX_SHOWN], *more]),
        advice="Correct the transform; if the new values are right, correct the table.",
    )


def _wrong(table: FeatureTable) -> Iterator[str]:
    """Yield row, column, expected and received of each value that is not as expected."""
    if len(table.received) != len(table.expected):
        yield f"expected {len(table.expected)} rows, received {len(table.received)}"
        return
    tolerance = Tolerance(table.relative, ABSOLUTE)
    for number, (expected, received) in enumerate(zip(table.expected, table.received, strict=True), start=1):
        for column, value in expected.items():
            if column not in received:
                yield f"row {number}, {column}: expected {json.dumps(value)}, received columns {', '.join(received)}"
            for difference in compare(value, received.get(column), tolerance) if column in received else ():
                yield f"row {number}, {column}: {difference.removeprefix('/: ')}"
