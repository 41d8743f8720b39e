"""Whether a failure is the same one: same check, same status, same text but for numbers, times and IDs. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence

from harness.evidence.records import Ending, Finding, Status
from harness.evidence.records.replay import Match, RepeatedFailure
from harness.evidence.records.run import JUDGED

FAILURES = (Status.FAIL, Status.ERROR)
RUN = "run"  # in place of a check, for an error that ended the run

# What a failure is told by, although it is a number: exit codes, signals, and HTTP statuses.
_CODES = re.compile(r"\b((?:exit(?:ed)?(?: with)? code|signal|status|HTTP(?:/[\d.]+)?|errno|Errno)[ :=]+)(\d+)\b")
_ANSWER = re.compile(r"(\b(?:GET|HEAD|POST|PUT|PATCH|DELETE) \S+: )([1-5]\d\d)\b")
_HIDE = {ord("0") + digit: 0xE000 + digit for digit in range(10)}  # digits that no pattern takes for a number
_SHOW = {hidden: digit for digit, hidden in _HIDE.items()}
_IDS = (
    (re.compile(r"\b\d{4}-\d\d-\d\d[T ]\d\d:\d\d(?::\d\d)?(?:[.,]\d+)?(?:Z|[+-]\d\d:?\d\d)?"), "<time>"),
    (re.compile(r"\b\d{8}T\d{6}Z-[0-9a-f]{6}\b", re.IGNORECASE), "<run>"),
    (re.compile(r"\b[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b", re.IGNORECASE), "<id>"),
    (re.compile(r"\b0x[0-9a-f]+\b", re.IGNORECASE), "<id>"),
    (re.compile(r"\b(?=[0-9a-f]*\d)[0-9a-f]{7,64}\b", re.IGNORECASE), "<id>"),
    (re.compile(r"/(?:tmp|var/tmp|var/folders)/[^\s'\":,)]+"), "<path>"),
    (re.compile(r"\b\d{1,3}(?:\.\d{1,3}){3}(?::\d+)?\b"), "<address>"),
)
_NUMBER = re.compile(
    r"(?<![\w.])[-+]?(?:\d[\d_,]*\.?\d*(?:e[-+]?\d+)?|\.\d+|nan|inf(?:inity)?)"
    r"(?:\s?(?:ns|[uµ]s|ms|s|min|h|%|B|kB|KiB|MB|MiB|GB|GiB)(?!\w))?",
    re.IGNORECASE,
)


def normalised(text: str) -> str:
    """Return a text without what changes from run to run; exit codes, signals and HTTP statuses stay."""
    for pattern, name in _IDS:
        text = pattern.sub(name, text)
    for pattern in (_CODES, _ANSWER):
        text = pattern.sub(lambda found: found[1] + found[2].translate(_HIDE), text)
    text = _NUMBER.sub("#", text).translate(_SHOW)
    return "\n".join(" ".join(line.split()) for line in text.strip().splitlines())


def compare(recorded: Sequence[Finding], found: Sequence[Finding]) -> tuple[RepeatedFailure, ...]:
    """Return, for each failure of the recorded run, what came of it; each new finding answers for one old."""
    left = [finding for finding in found if finding.status in FAILURES]
    made = []
    for old in (finding for finding in recorded if finding.status in FAILURES):
        ranked = [(match(old.received, new.received), new) for new in left if _is_like(old, new)]
        order = list(Match)
        best, new = min(ranked, key=lambda pair: order.index(pair[0]), default=(None, None))
        if best is not None and new is not None:
            left.remove(new)
            made.append(RepeatedFailure(old.check, old.status, best, old.received, new.received))
            continue
        made.append(_unlike(old, [finding for finding in found if finding.check == old.check]))
    return tuple(made)


def compare_endings(recorded: Ending, found: Ending | None, findings: Sequence[Finding]) -> RepeatedFailure:
    """Return what came of an error that ended the recorded run."""
    old = f"{recorded.kind}: {recorded.message}".rstrip(": ")
    if found is None or found.kind == JUDGED:
        bad = [f"{f.check}: {f.received}" for f in findings if f.status in FAILURES]
        said = f"the run came to a verdict: {len(bad)} failed" + "".join(f"\n{line}" for line in bad[:3])
        return RepeatedFailure(RUN, Status.ERROR, Match.PASSED, old, said)
    new = f"{found.kind}: {found.message}".rstrip(": ")
    same = match(recorded.message, found.message) if found.kind == recorded.kind else Match.OTHER
    return RepeatedFailure(RUN, Status.ERROR, same, old, new)


def match(old: str, new: str) -> Match:
    """Say how two texts of a failure are alike."""
    if old == new:
        return Match.IDENTICAL
    left, right = normalised(old), normalised(new)
    if left == right:
        return Match.EQUAL
    return Match.HEAD if left.partition("\n")[0] == right.partition("\n")[0] != "" and "\n" in left else Match.OTHER


def _is_like(old: Finding, new: Finding) -> bool:
    return (old.check, old.status) == (new.check, new.status)


def _unlike(old: Finding, found: Sequence[Finding]) -> RepeatedFailure:
    """Describe a failure that has no like: it failed with another status, was skipped, or is well."""
    bad = next((finding for finding in found if finding.status in FAILURES), None)
    skipped = next((finding for finding in found if finding.status is Status.SKIP), None)
    if bad is not None:
        return RepeatedFailure(old.check, old.status, Match.OTHER, old.received, bad.received)
    if skipped is not None or not found:
        return RepeatedFailure(
            old.check, old.status, Match.UNREACHED, old.received, skipped.received if skipped else ""
        )
    return RepeatedFailure(old.check, old.status, Match.PASSED, old.received, found[0].received)
