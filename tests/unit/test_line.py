"""The run so far: what works beside the line is shown as soon as the line can, and once."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event

import builders
import pytest

from harness.errors import DiskFullError
from harness.evidence.records import Finding, Selection, StageTime
from harness.evidence.run_folder import RunFolder
from harness.runner.run_state import RunState, ended
from harness.runner.stages import Recording


class Seen:
    """A watcher that remembers."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def run_begins(self, *_: object) -> None: ...

    def line(self, stage: str, line: str) -> None: ...

    def stage_begins(self, stage: str) -> None:
        self.told.append(f"{stage} begins")

    def stage_ends(self, stage: StageTime, *, beside: bool = False) -> None:
        self.told.append(f"{stage.name} {stage.outcome}{' beside' if beside else ''}")

    def found(self, finding: Finding) -> None:
        self.told.append(finding.check)


@pytest.fixture
def seen() -> Seen:
    return Seen()


@pytest.fixture
def line(tmp_path: Path, seen: Seen) -> RunState:
    recording = Recording(spec=builders.spec(), folder=RunFolder.create(tmp_path), say=seen.line)
    return RunState(recording, seen, Selection())


def test_what_has_ended_beside_is_settled_when_another_stage_begins(line: RunState, seen: Seen) -> None:
    """A record that a thread has ready is judged before the next stage begins, and not a second time at its join."""
    with ThreadPoolExecutor() as pool:
        join = line.beside(pool, "code", builders.code)
        pool.shutdown(wait=True)
        with line.timed("train"):
            pass
        told = list(seen.told)
        assert join() == builders.code() == join()
    assert told[0] == "code done beside"
    assert "code.unit-tests" in told
    assert told[-2:] == ["train begins", "train done"]
    assert seen.told == told
    assert line.evidence.code == builders.code()


def test_what_still_works_beside_is_not_waited_for(line: RunState, seen: Seen) -> None:
    """A stage begins while another still works beside it."""
    go = Event()

    def slow() -> object:
        assert go.wait(10)
        return builders.code()

    with ThreadPoolExecutor() as pool:
        join = line.beside(pool, "code", slow)  # type: ignore[type-var]
        with line.timed("train"):
            assert seen.told == ["train begins"]
        go.set()
        join()
    assert seen.told[2] == "code done beside"


def test_an_error_beside_ends_the_run_once(line: RunState, seen: Seen) -> None:
    """An error of a thread is raised where the line meets it, noted once, and is how the run ended."""

    def full() -> object:
        raise DiskFullError("no space", hint="free some")

    with ThreadPoolExecutor() as pool:
        line.beside(pool, "code", full)  # type: ignore[type-var]
        pool.shutdown(wait=True)
        with pytest.raises(DiskFullError), ended(line), line.timed("train"):
            pytest.fail("the stage must not begin")
    assert seen.told == ["code the disk is full beside"]
    end = line.run.folder.load().end
    assert end is not None
    assert (end.exit_code, end.kind, end.message, end.hint) == (3, "the disk is full", "no space", "free some")
