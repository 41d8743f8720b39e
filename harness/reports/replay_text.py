"""The verdict of a replay as lines of text: the answer, each failure then and now, and what differs."""

from __future__ import annotations

from collections.abc import Iterator

from harness.evidence.records.replay import Difference, Outcome, RepeatedFailure, Replay

LIKELY = 12  # differences that are shown; the record has all
WIDTH = 300


def lines(replay: Replay) -> Iterator[str]:
    """Yield the lines."""
    yield ""
    yield f"{replay.outcome.value.upper()}: run {replay.recorded}" + (
        f", replayed as {replay.run}" if replay.run else ""
    )
    if replay.reason:
        yield f"  reason    {replay.reason}"
    for number, line in enumerate(replay.hint.splitlines()):
        yield f"  {'do' if number == 0 else '':<9} {line}"
    for check in replay.checks:
        yield from _check(check)
    for name in replay.also:
        yield f"  {name}  failed only now"
    for file in replay.changed:
        yield f"  changed   {file}"
    for note in replay.notes:
        yield f"  note      {note}"
    yield from _differences(replay)


def _check(check: RepeatedFailure) -> Iterator[str]:
    yield f"  {check.check}  {check.status.value} then; now: {check.match.value}"
    yield f"            then {_head(check.recorded)}"
    if not check.is_same:
        yield f"            now  {_head(check.received) or 'nothing'}"


def _differences(replay: Replay) -> Iterator[str]:
    if replay.outcome is Outcome.REPRODUCED:
        if replay.differences:
            yield f"  the environments differ in {len(replay.differences)} things that this failure does not depend on"
        return
    if replay.outcome is Outcome.NOT_REPRODUCED and not replay.differences:
        yield "  no difference between the environments was recorded: the failure may depend on chance or on time"
    elif replay.differences:
        yield "  what differs, the likeliest cause first:"
    for number, difference in enumerate(replay.differences[:LIKELY], 1):
        yield f"  {number:>3}. {_difference(difference)}"
    if len(replay.differences) > LIKELY:
        yield f"       and {len(replay.differences) - LIKELY} more in replay.json"


def _difference(each: Difference) -> str:
    why = f" ({each.why})" if each.why else ""
    return f"{each.subject}: {each.name}: {_head(each.recorded)} then, {_head(each.here)} here{why}"


def _head(text: str) -> str:
    first = (text.splitlines() or [""])[0]
    return first if len(first) <= WIDTH else f"{first[:WIDTH]}..."
