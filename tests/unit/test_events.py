"""What a program sees of a run: JSON lines."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import builders
import pytest

from harness.evidence.forecast import Forecast
from harness.evidence.records import Finding, Status
from harness.reports import events as module
from harness.reports.events import Events

FOUND = Finding(Status.FAIL, "two\nlines \x1b[31m \udcff", "an answer", "do it", "demo.bad")


def _told(tell: Callable[[Events], None]) -> list[dict[str, Any]]:
    with io.StringIO() as stream:
        with Events(stream) as events:
            tell(events)
        return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_events_of_a_run() -> None:
    """Each event is one line of JSON, in the order of the run, with what it says of itself."""

    def tell(events: Events) -> None:
        events.run_begins(builders.spec(), builders.environment(), "r1", Forecast({"serve": 12.34}))
        events.stage_begins("train")
        events.line("train", "epoch 1")
        events.stage_ends(builders.stages()[0])
        events.found(FOUND)
        events.verdict([FOUND], builders.stages(), Path("/x/r1"))
        events.say("packed")
        events.problem("the disk is full", "cannot write", "free space")

    told = _told(tell)
    names = ["run-begins", "stage-begins", "line", "stage-ends", "finding", "verdict", "note", "error"]
    assert [each["event"] for each in told] == names
    assert all(each["seconds"] >= 0 for each in told)
    assert told[0]["expected_seconds"] == 12.3
    assert told[2]["text"] == "epoch 1"
    assert told[4]["received"] == FOUND.received
    assert told[4]["status"] == "fail"
    assert (told[5]["exit_code"], told[5]["passed"], told[5]["counts"]) == (1, False, {"fail": 1})
    assert told[7]["hint"] == "free space"


def test_unknown_duration_is_null() -> None:
    """Where no run like it is known, nothing is expected."""
    (told,) = _told(lambda events: events.run_begins(builders.spec(), builders.environment(), "r1"))
    assert told["expected_seconds"] is None


@pytest.mark.parametrize("event", ["run_begins", "stage_begins", "line", "stage_ends", "found", "verdict", "problem"])
def test_every_event_is_documented(event: str) -> None:
    """The table of the module names every event."""
    name = {"found": "finding", "problem": "error"}.get(event, event.replace("_", "-"))
    assert f"`{name}`" in str(module.__doc__)
    assert hasattr(Events, event)
