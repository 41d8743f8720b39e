"""Applies the checks to the evidence. Nothing here looks at anything but the evidence."""

from __future__ import annotations

import traceback
from collections.abc import Iterable, Iterator, Mapping, Sequence

from harness import errors
from harness.checks import Check
from harness.evidence.records import Evidence, Finding, Status
from harness.evidence.records.run import error_of
from harness.evidence.stages import GUARDS, makers


def judge(evidence: Evidence, checks: Sequence[Check]) -> Iterator[Finding]:
    """Yield the findings of all checks, in their order. A check without its evidence never passes."""
    found = {check.name: findings for check, findings in judge_rest(evidence, checks, {})}
    for check in checks:
        yield from found[check.name]
    for name in sorted(evidence.spec.block.skip.keys() - found.keys()):
        yield Finding(
            Status.ERROR,
            received=f"`x-harness.skip` names {name}",
            expected="the name of a check",
            advice="`harness checks` lists all names.",
            check=name,
        )


def judge_rest(
    evidence: Evidence, checks: Sequence[Check], found: Mapping[str, Sequence[Finding]]
) -> Iterator[tuple[Check, list[Finding]]]:
    """Judge the checks that are not in `found` yet; those that were not reached come last.

    What a run did not reach is only skipped where another check says why, or the error that ended the run: where none
    failed and none is an error, the part that was not reached is an error itself, so that no such run is green.
    """
    unreached = []
    bad = error_of(evidence.end) is not None or _is_bad(finding for findings in found.values() for finding in findings)
    for check in checks:
        if check.name in found:
            continue
        if not _left_out(evidence, check) and _lost(evidence, check)[1]:
            unreached.append(check)
            continue
        findings = list(judge_one(evidence, check))
        bad = bad or _is_bad(findings)
        yield check, findings
    for check in unreached:
        yield check, list(judge_one(evidence, check, explained=bad))


def judge_one(evidence: Evidence, check: Check, *, explained: bool = True) -> Iterator[Finding]:
    """Yield the findings of one check: at least one, whatever happens.

    `explained` says that a part of the run that was not reached has its reason in another finding.
    """
    if why := _left_out(evidence, check):
        yield Finding(Status.SKIP, why, check=check.name)
        return
    lost, reason, by_choice = _lost(evidence, check)
    if reason and (explained or by_choice):
        yield Finding(Status.SKIP, f"not reached: {reason}", check=check.name)
        return
    if lost:
        yield Finding(
            Status.ERROR,
            received=f"not reached: {reason}" if reason else f"the run has no record `{lost}`",
            expected="the evidence that the check reads",
            advice="Nothing else says why the run did not get so far: run again, and report it with the run folder."
            if reason
            else "The run folder is incomplete: run again.",
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


def _is_bad(findings: Iterable[Finding]) -> bool:
    return any(finding.status in (Status.FAIL, Status.ERROR) for finding in findings)


def _left_out(evidence: Evidence, check: Check) -> str:
    """Return why a check is not judged at all; empty where it is."""
    if why := evidence.spec.block.skip.get(check.name):
        return why
    guarded = getattr(evidence, GUARDS[check.name]) if check.name in GUARDS else None
    if guarded is not None and guarded.blocker:
        return ""
    return evidence.selection.left_out(check) if evidence.selection else ""


def _lost(evidence: Evidence, check: Check) -> tuple[str, str, bool]:
    """Return the record that a check cannot do without, why the run did not reach it, and whether nobody asked for it.

    Empty where the check has all that it reads; the reason is empty where the record got lost.
    """
    missing = [name for name in (*check.reads, *check.may_read) if _is_missing(evidence, name)]
    stages = {stage.name: stage for stage in evidence.stages if not stage.done}
    for name in missing:
        makes = makers(name) if getattr(evidence, name) is None else makers(name)[-1:]
        if stage := next((stages[maker] for maker in makes if maker in stages), None):
            return name, stage.outcome, stage.left_out
    lost = [name for name in missing if name in check.reads or _was_recorded(evidence, name)]
    return (lost[0], "", False) if lost else ("", "", False)


def _is_missing(evidence: Evidence, name: str) -> bool:
    """Whether a record is not there, or not whole: more was to come, and what is there is not what ended the run."""
    record, makes = getattr(evidence, name), makers(name)
    if record is None or len(makes) <= 1 or record.blocker:
        return record is None
    return any(stage.name == makes[-1] and not stage.done for stage in evidence.stages)


def _was_recorded(evidence: Evidence, name: str) -> bool:
    """Whether a run with this description must have a record that some runs do without."""
    if name == "data":
        return evidence.spec.block.data is not None
    return name in {stage.name for stage in evidence.stages}
