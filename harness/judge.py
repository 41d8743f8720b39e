"""Applies the checks to the evidence. Nothing here looks at anything but the evidence."""

from __future__ import annotations

import traceback
from collections.abc import Iterator, Sequence

from harness import errors
from harness.checks import Check
from harness.records import Evidence, Finding, Status

# Check -> the stage of which it says why the line ended there. It is judged whatever a run was asked for: else a run of
# whose checks none was reached would pass.
GUARDS = {
    "images.built": "images",
    "services.ready": "services",
    "train.exits-cleanly": "train",
    "artifact.present": "artifact",
    "serve.ready": "serve",
}


def judge(evidence: Evidence, checks: Sequence[Check]) -> Iterator[Finding]:
    """Yield the findings of all checks, in their order. A check without its evidence never passes."""
    known = {check.name for check in checks}
    for check in checks:
        yield from judge_one(evidence, check)
    for name in sorted(evidence.spec.block.skip.keys() - known):
        yield Finding(
            Status.ERROR,
            received=f"`x-harness.skip` names {name}",
            expected="the name of a check",
            advice="`harness checks` lists all names.",
            check=name,
        )


def judge_one(evidence: Evidence, check: Check) -> Iterator[Finding]:
    """Yield the findings of one check: at least one, whatever happens."""
    if why := evidence.spec.block.skip.get(check.name) or _left_out(evidence, check):
        yield Finding(Status.SKIP, why, check=check.name)
        return
    missing = [name for name in (*check.reads, *check.may_read) if getattr(evidence, name) is None]
    for name in missing:
        if reason := _not_reached(evidence, name):
            yield Finding(Status.SKIP, f"not reached: {reason}", check=check.name)
            return
    if lost := [name for name in missing if name in check.reads or _was_recorded(evidence, name)]:
        yield Finding(
            Status.ERROR,
            received=f"the run has no record `{lost[0]}`",
            expected="the evidence that the check reads",
            advice="The run folder is incomplete: run again.",
            check=check.name,
        )
        return
    try:
        findings = list(check(evidence))
    except Exception:  # noqa: BLE001 - a check that crashes is an error, never a pass
        yield Finding(
            Status.ERROR,
            received=traceback.format_exc(limit=-3).strip(),
            expected="a verdict",
            advice="The check is at fault, not the project: report it with the run folder.",
            check=check.name,
        )
        return
    if not findings:
        findings = [Finding(Status.ERROR, "the check found nothing at all", "at least one finding", check=check.name)]
    yield from findings


def exit_code(findings: Sequence[Finding]) -> int:
    """Return the exit code of a verdict: a failed check says more than one that crashed."""
    statuses = {finding.status for finding in findings}
    if Status.FAIL in statuses:
        return errors.CHECK_FAILED
    if Status.ERROR in statuses or not findings:
        return errors.CHECK_CRASHED
    return errors.PASSED


def _left_out(evidence: Evidence, check: Check) -> str:
    guarded = getattr(evidence, GUARDS[check.name]) if check.name in GUARDS else None
    if guarded is not None and guarded.blocker:
        return ""
    return evidence.selection.left_out(check) if evidence.selection else ""


def _was_recorded(evidence: Evidence, name: str) -> bool:
    """Whether a run with this description must have a record that some runs do without."""
    if name == "data":
        return evidence.spec.block.data is not None
    return name in {stage.name for stage in evidence.stages}


def _not_reached(evidence: Evidence, name: str) -> str | None:
    """Return why the line ended before the stage that records `name`; None where it did not."""
    return next((stage.outcome for stage in evidence.stages if stage.name == name and not stage.done), None)
