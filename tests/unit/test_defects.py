"""The table of defects is made of tests that are held to what they say."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import builders
import pytest
from defects import Claim, Seen, claims_of, defect, is_whole, table

from harness.checks import all_checks
from harness.checks.judge import judge

UNIT = Path(__file__).parent
TABLE = builders.REPO / "tests/DEFECTS.md"
REMAKE = "pytest --collect-only -q --defects tests/DEFECTS.md tests"
# Plug-ins that nothing here uses; to import them takes longer than to run a test.
PLAIN = [word for name in ("anyio", "cacheprovider", "schemathesis", "xdist") for word in ("-p", f"no:{name}")]


def _pytest(*arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(builders.REPO), str(UNIT)])}
    program = [sys.executable, "-m", "pytest", "-q", *PLAIN, *arguments]
    return subprocess.run(
        program, cwd=builders.REPO, env=environment, capture_output=True, text=True, timeout=120, check=False
    )


def _claims_of_others(file: Path, *arguments: str) -> list[Claim]:
    """What tests claim that this session does not run: they are collected by another one."""
    done = _pytest("--collect-only", "--defects", str(file), "tests", *arguments)
    assert done.returncode == 0, done.stdout + done.stderr
    return [Claim(**{**claim, "also": tuple(claim["also"])}) for claim in json.loads(file.read_text(encoding="utf-8"))]


def test_the_table_is_made_of_the_tests(tmp_path: Path, request: pytest.FixtureRequest) -> None:
    """The committed table is the one that the marks of the tests make.

    A session that has all unit tests, as each worker has, has read their marks: only the others are collected.
    """
    file = tmp_path / "made.json"
    if is_whole(request.session, UNIT):
        made = table([*_claims_of_others(file, f"--ignore={UNIT}"), *claims_of(request.session, UNIT)])
    else:
        made = table(_claims_of_others(file))
    assert TABLE.read_text(encoding="utf-8") == made, f"it is old: {REMAKE}"


def test_every_check_has_a_defect() -> None:
    """No check is without a defect that a test of the default run proves it to catch."""
    lines = [line.split(" | ") for line in TABLE.read_text(encoding="utf-8").splitlines() if line.startswith("| `")]
    assert {cells[-1].strip("| ") for cells in lines} == {"`tox`", "`tox -e nightly`"}
    proved = {cells[0].strip("| `") for cells in lines if cells[-1].strip("| ") == "`tox`"}
    assert proved == {check.name for check in all_checks()}


SEEN = Seen({"a.b": {"fail"}, "c.d": {"error"}, "e.f": {"warn", "pass"}})


@pytest.mark.parametrize(
    ("claim", "text"),
    [
        (Claim("a.b", "x", "project", "fail", ("c.d",), "t"), ""),
        (Claim("a.b", "x", "evidence", "fail", (), "t"), ""),
        (Claim("e.f", "x", "evidence", "warn", (), "t"), ""),
        (Claim("a.b", "x", "project", "fail", (), "t"), "c.d failed too on: x"),
        (Claim("e.f", "x", "evidence", "fail", (), "t"), "e.f did not fail on: x"),
        (Claim("g.h", "x", "evidence", "fail", (), "t"), "g.h did not fail on: x"),
    ],
)
def test_a_claim_is_held_against_what_was_found(claim: Claim, text: str) -> None:
    """The check must have found the defect, and in all but bare evidence no other check may have."""
    assert claim.missing(SEEN).startswith(text)
    assert bool(claim.missing(SEEN)) is bool(text)


LIAR = """
import builders
from defects import defect
from harness.checks import all_checks
from harness.checks.judge import judge

@defect("artifact.present", "none at all")
def test_lies():
    assert list(judge(builders.evidence(), all_checks()))
"""


def test_a_mark_that_lies_fails(tmp_path: Path) -> None:
    """A test whose check finds nothing fails, though its own assertions hold."""
    (tmp_path / "test_liar.py").write_text(LIAR, encoding="utf-8")
    done = _pytest("-p", "defects", "--rootdir", str(tmp_path), "-c", str(_settings(tmp_path)), str(tmp_path))
    assert done.returncode == 1, done.stdout + done.stderr
    assert "artifact.present did not fail on: none at all" in done.stdout


def _settings(folder: Path) -> Path:
    file = folder / "pytest.ini"
    file.write_text("[pytest]\nmarkers = defect\n", encoding="utf-8")
    return file


@defect("artifact.present", "training left no file")
def test_findings_are_heard(seen: Seen) -> None:
    """What the checks find in a marked test is known to the plug-in."""
    list(judge(builders.evidence(artifact=builders.artifact(files=())), all_checks()))
    assert "fail" in seen.statuses["artifact.present"]
