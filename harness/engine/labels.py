"""Labels on all that the harness creates, so that it removes its own things and nobody else's.

An owner is one running harness process. Boot ID, PID namespace, PID and start time together name it: a PID alone
is reused, and the same PID means another process in another container.
"""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import psutil

RUN_ID = "harness.run-id"
STAGE = "harness.stage"
PROJECT = "harness.project"
OWNER = "harness.owner"
EXPIRES = "harness.expires"
DATA = "harness.data"
LOCAL_BASE = "harness.local-base"

KEEP = "harness.keep"  # in place of the owner, for what may outlive it: its expiry decides then

LIFETIME = 6 * 3600.0  # after this, what another machine's run left on a shared engine may be swept

KEPT_OWNER = "kept"  # no process: so a harness that does not know KEEP leaves it alone too
KEPT = 24 * 3600.0  # after this, what a run kept for a look at it is swept


@dataclass(frozen=True)
class Owner:
    """One running harness process."""

    boot: str
    namespace: str
    pid: int
    started: float

    @classmethod
    def current(cls) -> Owner:
        """Describe this process."""
        return cls(_boot_id(), _pid_namespace(), os.getpid(), round(psutil.Process().create_time(), 2))

    @classmethod
    def parse(cls, text: str) -> Owner | None:
        """Read a label back; None for text that is no owner."""
        parts = text.split("/")
        try:
            return cls(parts[0], parts[1], int(parts[2]), float(parts[3]))
        except (IndexError, ValueError):
            return None

    def __str__(self) -> str:
        return f"{self.boot}/{self.namespace}/{self.pid}/{self.started:.2f}"

    def is_alive(self) -> bool | None:
        """Whether the process still runs; None where this process cannot know."""
        if (self.boot, self.namespace) != (_boot_id(), _pid_namespace()):
            return None
        try:
            return bool(abs(psutil.Process(self.pid).create_time() - self.started) < 1.0)
        except psutil.NoSuchProcess:
            return False


def labels_of_run(run_id: str, project: str, *, keep: bool = False) -> dict[str, str]:
    """Return the labels for all that a run creates; made once, for Compose recreates what changes its labels.

    With `keep` it may outlive the run, until its expiry: labels cannot be added later, when the run has failed.
    """
    owner = str(Owner.current())
    return {
        RUN_ID: run_id,
        PROJECT: project,
        OWNER: KEPT_OWNER if keep else owner,
        EXPIRES: f"{time.time() + (KEPT if keep else LIFETIME):.0f}",
        **({KEEP: owner} if keep else {}),
    }


def is_in_use(labels: Mapping[str, str]) -> bool:
    """Whether the process that made a thing is known to run."""
    owners = [Owner.parse(labels.get(name, "")) for name in (OWNER, KEEP)]
    return any(owner is not None and owner.is_alive() for owner in owners)


def is_abandoned(labels: Mapping[str, str], now: float) -> bool:
    """Whether the owner that made a thing is gone: known dead, or past its expiry where that cannot be known."""
    if is_in_use(labels):
        return False
    owner = Owner.parse(labels.get(OWNER, ""))
    alive = owner.is_alive() if owner else None
    if alive is not None:
        return not alive
    try:
        return now > float(labels.get(EXPIRES, "inf"))
    except ValueError:
        return False


def _boot_id() -> str:
    path = Path("/proc/sys/kernel/random/boot_id")  # Linux; elsewhere host name and boot time serve
    if path.exists():
        return path.read_text().strip()
    return f"{platform.node()}@{psutil.boot_time():.0f}"


def _pid_namespace() -> str:
    try:
        return str(Path("/proc/self/ns/pid").readlink()).removeprefix("pid:").strip("[]")
    except OSError:
        return "host"
