"""Labels: what a dead run left is told from what a living one uses."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from dataclasses import replace

import psutil
import pytest

from harness.engine import labels
from harness.engine.labels import Owner, is_abandoned, labels_of_run

NOW = 1_000_000.0


def _labels(owner: Owner | str, expires: float | str = NOW + 10) -> dict[str, str]:
    return {labels.OWNER: str(owner), labels.EXPIRES: str(expires)}


@pytest.fixture
def child() -> Owner:
    """A process of this machine that has ended."""
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        started = psutil.Process(process.pid).create_time()
        owner = replace(Owner.current(), pid=process.pid, started=round(started, 2))
        assert owner.is_alive()
    return owner


def test_round_trip() -> None:
    """An owner reads back from its label."""
    assert Owner.parse(str(Owner.current())) == Owner.current()


@pytest.mark.parametrize("text", ["", "a", "a/b/c/d", "a/b/1", "a/b/1/x", "/////"])
def test_no_owner(text: str) -> None:
    """Text that is no owner is none, not a crash."""
    assert Owner.parse(text) is None


def test_alive() -> None:
    """The process itself is alive, and what it made is never abandoned, not even past its expiry."""
    assert Owner.current().is_alive() is True
    assert not is_abandoned(_labels(Owner.current(), NOW - 1), NOW)


def test_dead(child: Owner) -> None:
    """What an ended process made is abandoned at once."""
    assert child.is_alive() is False
    assert is_abandoned(_labels(child), NOW)


def test_pid_used_again() -> None:
    """The same PID with another start time is another process: the owner is dead."""
    owner = replace(Owner.current(), started=Owner.current().started - 100)
    assert owner.is_alive() is False


@pytest.mark.parametrize("change", [{"boot": "other"}, {"namespace": "1"}])
def test_unknown(change: dict[str, str]) -> None:
    """Of a process of another machine, boot or container nothing is known: its expiry decides."""
    owner = replace(Owner.current(), **change)  # type: ignore[arg-type]
    assert owner.is_alive() is None
    assert not is_abandoned(_labels(owner, NOW + 1), NOW)
    assert is_abandoned(_labels(owner, NOW - 1), NOW)


@pytest.mark.parametrize("found", [{}, _labels("broken"), _labels("broken", "soon"), {labels.OWNER: "broken"}])
def test_foreign_labels(found: dict[str, str]) -> None:
    """Labels that name neither an owner nor a past expiry abandon nothing: in doubt it is somebody's."""
    assert not is_abandoned(found, NOW)


def test_labels_of_a_run() -> None:
    """A run's labels name the run, the project, this process and a time in some hours."""
    made = labels_of_run("r1", "demo")
    assert (made[labels.RUN_ID], made[labels.PROJECT]) == ("r1", "demo")
    owner = Owner.parse(made[labels.OWNER])
    assert owner is not None
    assert owner.pid == os.getpid()
    assert time.time() + 3600 < float(made[labels.EXPIRES]) < time.time() + 86400
    assert all("=" not in value and "$" not in value for value in made.values())


def test_what_is_kept() -> None:
    """It outlives the process that made it, until its expiry; while that process runs, nothing abandons it."""
    made = labels_of_run("r1", "demo", keep=True)
    late = float(made[labels.EXPIRES]) + 1
    assert labels.is_in_use(made)
    assert not is_abandoned(made, late)
    ended = {**made, labels.KEEP: str(replace(Owner.current(), pid=2**22 + 1))}
    assert not labels.is_in_use(ended)
    assert not is_abandoned(ended, time.time() + 3600)
    assert is_abandoned(ended, late)
    before = {name: value for name, value in ended.items() if name != labels.KEEP}
    assert not is_abandoned(before, time.time() + 3600), "a harness that does not know the label leaves it alone too"
