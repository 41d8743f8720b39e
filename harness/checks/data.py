"""Checks of the fixture dataset."""

from __future__ import annotations

from collections.abc import Iterator

from harness.checks import check, failed, passed, skipped, warned
from harness.config.spec import Spec
from harness.evidence.records import Data, Finding, Lock, Violation

SHOWN = 5


@check("data.pinned")
def pinned(spec: Spec, data: Data | None = None, lock: Lock | None = None) -> Iterator[Finding]:
    """The dataset is, byte for byte, the one that harness.lock names."""
    if spec.block.data is None or data is None:
        yield warned(
            expected="a small fixture dataset, so that training sees the same rows everywhere",
            received="x-harness has no `data`",
            advice="Commit a small sample and name it: data: {path: tests/fixtures/...}",
        )
    elif lock is None:
        yield warned(
            expected="harness.lock with the hash of the dataset",
            received="no harness.lock",
            advice="Run `harness lock` and commit harness.lock.",
        )
    elif lock.data != data.sha256:
        yield failed(
            expected=f"{data.path} with SHA-256 {lock.data or 'that the lock does not have'}",
            received=f"SHA-256 {data.sha256} over {len(data.files)} files",
            advice="Restore the dataset (`git status` shows what changed); if the change is meant, run `harness lock`.",
        )
    else:
        yield passed(f"{data.path}, {len(data.files)} files, SHA-256 {data.sha256[:12]}")


@check("data.dvc")
def dvc(spec: Spec, data: Data | None = None) -> Iterator[Finding]:
    """What DVC tracks is, byte for byte, what its pointer names."""
    if spec.block.data is None or data is None:
        yield skipped("x-harness has no `data`")
        return
    if not data.dvc:
        yield skipped("no `.dvc` pointer is for the dataset")
        return
    wrong = [tracked for tracked in data.dvc if tracked.received != tracked.expected]
    for tracked in wrong:
        yield failed(
            expected=f"{tracked.path} with MD5 {tracked.expected}, as {tracked.pointer} says",
            received="\n".join([f"MD5 {tracked.received}", *tracked.differs[:SHOWN]]),
            advice=f"If that is meant: `dvc add {tracked.path}`; if not: `dvc checkout --force {tracked.pointer}`.",
        )
    if not wrong:
        pulled = [tracked.path for tracked in data.dvc if tracked.pulled]
        what = ", ".join(f"{t.path}, MD5 {t.expected[:12]}" for t in data.dvc[:SHOWN])
        yield passed(what + (f"; pulled: {', '.join(pulled[:SHOWN])}" if pulled else ""))


@check("data.schema", rubric="Data 1")
def schema(spec: Spec, data: Data | None = None) -> Iterator[Finding]:
    """Every table of the dataset satisfies its schema."""
    if spec.block.data is None or data is None:
        yield skipped("x-harness has no `data`")
    elif spec.block.data.schema_ is None:
        yield skipped("x-harness.data has no `schema`")
    elif not data.tables:
        yield failed(
            expected="at least one CSV, Parquet or JSON-lines file for the schema to hold",
            received=", ".join(f.path for f in data.files[:SHOWN]) or "no file at all",
            advice="Correct `data.path`, or remove `data.schema`.",
        )
    elif data.violation_count:
        shown = "\n".join(_line(v) for v in data.violations[:SHOWN])
        more = data.violation_count - SHOWN
        yield failed(
            expected=f"{data.rows} rows that satisfy {spec.block.data.schema_}",
            received=f"{data.violation_count} violations\n{shown}" + (f"\n... and {more} more" if more > 0 else ""),
            advice=f"Correct the data, or the schema where the data is right; {_listed(data)}.",
        )
    else:
        yield passed(f"{data.rows} rows in {', '.join(data.tables)}")


def _listed(data: Data) -> str:
    if not data.violations_listed:
        return f"data.json of the run lists {len(data.violations)} of them"
    part = "all of them" if data.violations_listed == data.violation_count else f"the first {data.violations_listed}"
    return f"violations.ndjson of the run lists {part} with line, column, value and rule"


def _line(violation: Violation) -> str:
    row = "" if violation.row is None else f", row {violation.row}"
    place = row if violation.line is None else f", line {violation.line}"
    return f"{violation.file}{place}, column {violation.column}: {violation.check}, received {violation.value}"
