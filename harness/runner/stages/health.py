"""The health check of a serving container, and the user that it runs as."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from harness.engine import Executed
from harness.errors import DescriptionError
from harness.evidence.records import Health
from harness.runner.stages import Run

TIMEOUT = 30.0  # seconds, the engine's default, as its reference says of HEALTHCHECK
RETRIES = 3  # so many failures in a row are one, again the engine's default
NANO = 1e9
CANNOT_RUN = 126
OUTPUT = 2000  # characters that are kept


def declared(config: Mapping[str, Any]) -> Health:
    """Return the health check of a container as its inspect answer has it: of the image, or of Compose over it."""
    check = config.get("Healthcheck") or {}
    match check.get("Test") or []:
        case ["CMD", *argv]:
            command = argv
        case ["CMD-SHELL", text]:
            command = [*(config.get("Shell") or ["/bin/sh", "-c"]), text]
        case _:
            command = []
    return Health(command=tuple(command), timeout=(check.get("Timeout") or 0) / NANO or TIMEOUT)


def examine(run: Run, known: Health, main: str, alone: str | None) -> Health:
    """Run the health check beside the service, and in the container `alone`, where nothing serves."""
    if alone is None:
        return known
    alive = Executed(None, "")
    for _ in range(RETRIES):
        alive = run.engine.execute(main, list(known.command), known.timeout)
        if alive.code == 0:
            break
    lines: tuple[str, ...] = ()
    dead: int | None = None
    try:
        with run.engine.started(alone) as running:
            if running.wait(known.timeout):
                dead = running.exit().code
            lines = running.tail
    except DescriptionError as exc:
        dead, lines = CANNOT_RUN, (str(exc),)
    return Health(
        known.command, known.timeout, alive.code, alive.output.strip()[-OUTPUT:], dead, "\n".join(lines)[-OUTPUT:]
    )


def uid(run: Run, container: str) -> int | None:
    """Return the user of a container's first process (the first figure of `Uid:` is the real one, see proc(5))."""
    status = run.engine.execute(container, ["cat", "/proc/1/status"]).output
    found = re.search(r"^Uid:\s+(\d+)", status, re.MULTILINE)
    return int(found[1]) if found else None
