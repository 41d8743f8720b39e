"""What else the engine saw of a container: processes killed for memory, and who asked to end it."""

from __future__ import annotations

from contextlib import suppress
from datetime import datetime, timedelta

import docker
import docker.errors

OUT_OF_MEMORY, KILL = "oom", "kill"
LATE = timedelta(
    milliseconds=50
)  # the engine writes an event down after what it tells of; it waits as long for `until`
ENDING = ("2", "9", "15")  # signals that are sent to end a container: SIGINT, SIGKILL, SIGTERM


def seen(api: docker.APIClient, container: str, started: str, finished: str) -> tuple[int, bool]:
    """Return how often memory ran out in a container, and whether the engine was asked to end it.

    An engine that remembers no events, or says no times, saw nothing: (0, False).
    """
    with suppress(docker.errors.APIError, ValueError):
        found = api.events(
            since=_stamp(datetime.fromisoformat(started)),
            until=_stamp(datetime.fromisoformat(finished) + LATE),
            filters={"type": "container", "container": container, "event": [OUT_OF_MEMORY, KILL]},
            decode=True,
        )
        events = [(str(event.get("Action")), (event.get("Actor") or {}).get("Attributes") or {}) for event in found]
        ooms = sum(action == OUT_OF_MEMORY for action, _ in events)
        return ooms, any(action == KILL and details.get("signal") in ENDING for action, details in events)
    return 0, False


def _stamp(when: datetime) -> str:
    """Return a time as the engine's API takes it: seconds since 1970 and their fraction."""
    return f"{when.timestamp():.6f}"
