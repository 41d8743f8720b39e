"""Interrupts are held back where they would leave something behind, and are never lost."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from harness.engine.compose import Compose
from harness.system import process
from harness.system.signals import INTERRUPTS, deferred


@pytest.fixture(autouse=True)
def _interrupts_raise() -> Iterator[None]:
    """Let every interrupt raise KeyboardInterrupt, as the command line does."""

    def interrupt(number: int, frame: object) -> None:
        del number, frame
        raise KeyboardInterrupt

    before = {number: signal.signal(number, interrupt) for number in INTERRUPTS}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("number", INTERRUPTS)
def test_an_interrupt_waits_for_the_end_of_the_block(number: signal.Signals) -> None:
    """The block runs to its end, then the interrupt takes effect."""
    done = []
    with pytest.raises(KeyboardInterrupt), deferred():
        os.kill(os.getpid(), number)
        done.append("after the signal")
    assert done == ["after the signal"]


def test_handlers_are_put_back() -> None:
    """After the block an interrupt takes effect at once again."""
    with deferred():
        pass
    with pytest.raises(KeyboardInterrupt):
        os.kill(os.getpid(), signal.SIGINT)
        signal.pause()


def test_a_compose_that_was_just_started_ends_with_an_interrupt(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An interrupt that arrives while Compose is being started does not leave that Compose behind."""
    program = tmp_path / "compose"
    program.write_text("#!/bin/sh\nexec sleep 60\n")
    program.chmod(0o755)
    started: list[subprocess.Popen[bytes]] = []
    start = process._start

    def start_and_interrupt(*arguments: Any) -> subprocess.Popen[bytes]:
        started.append(start(*arguments))
        os.kill(os.getpid(), signal.SIGINT)
        return started[0]

    monkeypatch.setattr(process, "_start", start_and_interrupt)
    with pytest.raises(KeyboardInterrupt):
        Compose((str(program),), "5.0.0", "path", dict(os.environ)).create(tmp_path, tmp_path / "c.json", "train")
    assert started[0].returncode == -signal.SIGKILL
