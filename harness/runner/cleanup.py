"""Removes what runs left on the engine, and keeps what somebody asked to look at."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from enum import StrEnum
from itertools import groupby

from harness.config.companions import dependencies
from harness.config.spec import Spec
from harness.engine import Engine, Leftover, labels
from harness.errors import INTERRUPTED, PASSED, DescriptionError
from harness.evidence.records import Ending
from harness.project.runfile import names_of, run_of

AT_ONCE = 4


class Keep(StrEnum):
    """Which runs leave their containers behind, for a look at them."""

    NEVER = "never"
    ON_FAILURE = "on-failure"
    ALWAYS = "always"

    def wants(self, ending: Ending | None) -> bool:
        """Whether a run that ended so is kept; an interrupted one never is: nobody waits for its result."""
        if self is Keep.NEVER or ending is None or ending.exit_code == INTERRUPTED:
            return False
        return self is Keep.ALWAYS or ending.exit_code != PASSED


def sweep(engine: Engine) -> list[Leftover]:
    """Remove what carries the label of an owner that is gone, and what was kept for too long; nothing else.

    Images are known by the name that a run gives them, which labels cannot mark where the user's image has it too. A
    run that has such a name has a container from before until after: where nothing is left of it, it is over.
    """
    named = {run for name in engine.image_names() if (run := run_of(name))}  # asked for before the containers
    now = time.time()
    found = engine.labelled(labels.OWNER)
    removed = [thing for thing in found if labels.is_abandoned(thing.labels, now) and engine.remove(thing)]
    for run in named - {thing.labels.get(labels.RUN_ID, "").lower() for thing in found if thing not in removed}:
        remove_names(engine, run)
    return removed


def remove_names(engine: Engine, run: str) -> None:
    """Remove the names that a run gave to images, and the images that have no other; the user's have one."""
    for name in names_of(run):
        engine.remove_image(name)


def remove_run(engine: Engine, run: str, looks: int = 1) -> list[Leftover]:
    """Remove all that a run created, looking again where the engine may still be creating things.

    The engine takes 0.03 s for each container, most of it waiting: so several at a time, then what they used.
    """
    removed = []
    with ThreadPoolExecutor(AT_ONCE) as pool:
        for look in range(looks):
            time.sleep(0.1 if look else 0.0)
            found = engine.labelled(f"{labels.RUN_ID}={run}")
            for _, alike in groupby(found, key=lambda thing: thing.kind):
                things = list(alike)
                removed += [
                    thing for thing, is_gone in zip(things, pool.map(engine.remove, things), strict=True) if is_gone
                ]
    return removed


def clean_run(engine: Engine, run: str) -> list[Leftover]:
    """Remove what a run kept. Raises DescriptionError where it still goes on, or left nothing."""
    found = engine.labelled(f"{labels.RUN_ID}={run}")
    if not found:
        raise DescriptionError(f"nothing on this engine is of the run {run}", hint="Give the whole ID of a run.")
    if any(labels.is_in_use(thing.labels) for thing in found):
        raise DescriptionError(f"the run {run} still goes on", hint="End it first: then it cleans up itself.")
    removed = remove_run(engine, run)
    remove_names(engine, run)
    return removed


def keep_run(engine: Engine, run: str, spec: Spec) -> Iterator[str]:
    """Remove a run's further containers and keep those of the main line; yield how to look at each, and the end."""
    kept = {spec.train_key, spec.serve_key, *dependencies(spec)}
    for thing in engine.labelled(f"{labels.RUN_ID}={run}"):
        stage = thing.labels.get(labels.STAGE, "")
        if thing.kind == "container" and stage in kept:
            part = {spec.train_key: "train", spec.serve_key: "serve"}.get(stage)
            yield f"kept {thing.name} ({_state(engine, thing)}): docker logs, cp or start it"
            if part:
                yield f"     enter its state with: harness shell {part} --run {run}"
        elif thing.kind != "network":  # the engine refuses to remove a volume that a kept container has
            engine.remove(thing)
    hours = labels.KEPT / 3600
    yield f"remove them with: harness clean --run {run} (after {hours:g} h the next run does)"


def _state(engine: Engine, thing: Leftover) -> str:
    state = engine.inspect(thing.id).get("State", {})
    return f"{state.get('Status', '?')}, exit code {state.get('ExitCode', '?')}"
