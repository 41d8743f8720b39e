"""The scheduler: who waits for whom, what is settled when, and how a run of a graph ends."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from threading import Event
from typing import Any

import builders
import pytest

from harness.errors import DiskFullError, RunOverError
from harness.evidence.records import Artifact, Code, Contract, Finding, Load, Selection, Skew, StageTime
from harness.evidence.run_folder import RunFolder
from harness.runner.cores import Cores
from harness.runner.run_state import LineEndsError, RunState, ended
from harness.runner.scheduler import Scheduler, StageFunction, planned, stage
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

    @property
    def stages(self) -> list[str]:
        """What was told of stages, without the findings."""
        return [text for text in self.told if " " in text]


@pytest.fixture
def seen() -> Seen:
    return Seen()


@pytest.fixture
def state(tmp_path: Path, seen: Seen) -> RunState:
    recording = Recording(spec=builders.spec(), folder=RunFolder.create(tmp_path), say=seen.line)
    return RunState(recording, seen, Selection())


def go(state: RunState, *graph: StageFunction, cores: Cores | None = None, **values: Any) -> None:
    """Do a graph whole."""
    state.plan({each.name for each in graph})
    with ThreadPoolExecutor(4) as pool, ended(state):
        Scheduler(state, graph, pool, values, cores).go()


def test_what_has_ended_beside_is_settled_when_another_stage_begins(state: RunState, seen: Seen) -> None:
    """A record that a thread has ready is judged before the next stage begins, and once."""
    over = Event()

    @stage("code", beside=True)
    def code() -> Code:
        return builders.code()

    @stage("wait")
    def wait() -> None:
        with ThreadPoolExecutor(1) as other:  # until the thread beside has ended, as far as its future says
            other.submit(over.wait, 0.2).result()

    @stage("contract", after=("wait",))
    def contract() -> Contract:
        return builders.contract()

    go(state, code, wait, contract)
    assert seen.stages == ["code done beside", "contract begins", "contract done"]
    assert seen.told.index("code.unit-tests") < seen.told.index("contract begins")
    assert seen.told.count("code.unit-tests") == 1
    assert state.evidence.code == builders.code()


def test_what_still_works_beside_is_not_waited_for(state: RunState, seen: Seen) -> None:
    """A stage begins while another still works beside it."""
    contract_is_over = Event()

    @stage("code", beside=True)
    def code() -> Code:
        assert contract_is_over.wait(10)
        return builders.code()

    @stage("contract")
    def contract() -> Contract:
        contract_is_over.set()
        return builders.contract()

    go(state, code, contract)
    assert seen.stages == ["contract begins", "contract done", "code done beside"]


def test_an_error_beside_ends_the_run_once(state: RunState, seen: Seen) -> None:
    """An error of a thread is raised where the run meets it, noted once, and is how the run ended."""
    failed = Event()

    @stage("code", beside=True)
    def code() -> Code:
        failed.set()
        raise DiskFullError("no space", hint="free some")

    @stage("wait", beside=True)
    def wait() -> None:
        assert failed.wait(10)

    @stage("contract", after=("wait", "code"))
    def contract() -> Contract:
        raise AssertionError("the stage must not begin")

    with pytest.raises(DiskFullError):
        go(state, code, wait, contract)
    assert seen.stages == ["code the disk is full beside"]
    end = state.run.folder.load().end
    assert end is not None
    assert (end.exit_code, end.kind, end.message, end.hint) == (3, "the disk is full", "no space", "free some")
    assert {each.name: each.outcome for each in state.stages}["contract"] == "the run was ended before"


def test_what_begins_beside_may_wait_for_what_is_made_later(state: RunState) -> None:
    """`starts_with` begins with a stage that works here, and `late` waits for its result."""
    begun_before_the_end = Event()
    given: list[object] = []

    @stage("other", beside=True, starts_with="artifact", late=("artifact",))
    def other(artifact: Callable[[], Artifact]) -> None:
        begun_before_the_end.set()
        given.append(artifact())

    @stage("artifact")
    def artifact(begun: Callable[[], None]) -> Artifact:
        assert not begun_before_the_end.is_set()
        begun()
        assert begun_before_the_end.wait(10)
        return builders.artifact()

    go(state, artifact, other)
    assert given == [builders.artifact()]


def test_nobody_waits_for_what_never_comes(state: RunState) -> None:
    """Whoever waits on a thread for a result is told when the run ends before it."""
    told: list[BaseException] = []

    @stage("other", beside=True, starts_with="artifact", late=("artifact",))
    def other(artifact: Callable[[], Artifact]) -> None:
        try:
            artifact()
        except RunOverError as exc:
            told.append(exc)

    @stage("artifact")
    def artifact(begun: Callable[[], None]) -> Artifact:
        begun()
        raise DiskFullError("no space", hint="free some")

    with pytest.raises(DiskFullError):
        go(state, artifact, other)
    assert len(told) == 1


@pytest.mark.parametrize("asked", [True, False])
def test_a_stage_here_waits_for_one_beside_and_gives_its_core_back(state: RunState, *, asked: bool) -> None:
    """`late` in a stage that works here joins the one beside; a soft need is None where nothing else needs it."""
    cores = Cores(1)
    free: list[bool] = []
    given: list[object] = []

    @stage("skew", beside=True)
    def skew() -> Skew:
        with cores.one():  # the only one: the contract must have given it back
            return builders.skew()

    @stage("contract", holds_core=True, late=("skew",), soft=("skew",))
    def contract(skew: Callable[[], Skew | None]) -> Contract:
        free.append(cores._free.acquire(blocking=False))
        given.append(skew())
        return builders.contract()

    graph = (skew, contract) if asked else (contract,)
    state.plan({each.name for each in graph})
    with ThreadPoolExecutor(1) as pool:
        go_on = Scheduler(state, (skew, contract), pool, {}, cores)
        if asked:  # begins first, and would hold the core: so it begins when the contract holds it
            go_on._hold(wanted=True)
        go_on.go()
    assert free == [False]
    assert given == [builders.skew() if asked else None]
    assert cores._free.acquire(blocking=False), "the core was given back"


def test_what_begins_alone_waits_for_all_others(state: RunState, seen: Seen) -> None:
    """Load is put on a service when nothing else works, though it was ready before."""
    contract_is_over = Event()

    @stage("contract")
    def contract() -> Contract:
        return builders.contract()

    @stage("code", beside=True)
    def code() -> Code:
        assert not contract_is_over.wait(0.1)
        return builders.code()

    @stage("load", alone=True)
    def load(contract: Contract) -> Load:
        assert contract == builders.contract()
        contract_is_over.set()
        return builders.load()

    go(state, contract, code, load)
    assert seen.stages[-3:] == ["code done beside", "load begins", "load done"]


def test_where_the_run_ends_what_counts_always_is_waited_for(state: RunState, seen: Seen) -> None:
    """A record that leads nowhere ends the run: `always` is settled, the rest has that reason, what lasts is left."""
    ends, left = Event(), Event()

    @stage("resource", lasts=True)
    def resource() -> Any:
        @contextmanager
        def open_() -> Iterator[None]:
            try:
                yield
            finally:
                left.set()

        return open_()

    @stage("code", beside=True, always=True)
    def code() -> Code:
        assert ends.wait(10)
        return builders.code()

    @stage("artifact")
    def artifact(resource: None) -> Artifact:
        assert resource is None
        assert not left.is_set()
        ends.set()
        return builders.artifact(files=(), missing="nothing at /model")

    @stage("contract", after=("artifact",))
    def contract() -> Contract:
        raise AssertionError("nothing to ask")

    go(state, resource, code, artifact, contract)
    assert left.is_set()
    assert seen.stages == ["artifact begins", "artifact done", "code done beside"]
    assert state.evidence.code is not None
    assert "left no artifact" in {each.name: each.outcome for each in state.stages}["contract"]


def test_an_unknown_parameter_is_refused(state: RunState) -> None:
    """A parameter that is neither a stage nor a value is a mistake in the graph, found before anything begins."""

    @stage("contract")
    def contract(nobody: object) -> Contract:
        raise AssertionError(nobody)

    with ThreadPoolExecutor(1) as pool, pytest.raises(ValueError, match="contract needs nobody"):
        Scheduler(state, (contract,), pool, {})


def test_a_circle_is_said(state: RunState) -> None:
    """Stages that wait for each other end the run with their names, not with a hang."""
    left, right = (StageFunction(name, print, (), after=(other,)) for name, other in (("a", "b"), ("b", "a")))
    state.plan({"a", "b"})
    with ThreadPoolExecutor(1) as pool, pytest.raises(RuntimeError, match="a, b wait for each other"):
        Scheduler(state, (left, right), pool, {}).go()


def test_a_plan_has_what_is_needed_and_no_more() -> None:
    """Needs are followed to their beginning; a soft one plans nothing, an unasked stage comes where it can."""
    stages = [
        StageFunction("a", print, ()),
        StageFunction("b", print, ("a",)),
        StageFunction("c", print, ("b", "late"), soft=("late",), late=("late",)),
        StageFunction("late", print, ()),
        StageFunction("look", print, (), after=("b",), unasked=True),
    ]
    assert planned(stages, {"a"}, builders.spec()) == {"a"}
    assert planned(stages, {"c"}, builders.spec()) == {"a", "b", "c", "look"}
    assert planned(stages, {"c", "late"}, builders.spec()) == {"a", "b", "c", "late", "look"}


def test_the_end_of_a_run_is_an_error_of_its_own() -> None:
    """`LineEndsError` never leaves a run: no HarnessError, so nobody maps it to an exit code."""
    assert not issubclass(LineEndsError, RunOverError)
