"""Runs stages in the order that their declarations say: starts what is ready, and settles records on one thread.

A stage is a function that is declared with `@stage`. Its parameters name what it is given: the result of the stage of
that name, or one of the values that a run begins with. So what a run needs for a check, what it leaves out and what
waits for what is derived from the functions, and from the edges that no parameter can say:

- `beside`: it works on a thread of the pool. All others work on the thread that called, one after the other, in the
  order of the graph; records are settled there too.
- `starts_with`: it begins as soon as that stage calls its `begun`, and no earlier.
- `late`: parameters that it is given as functions, which wait for the result. Raises RunOverError where none comes.
- `soft`: stages that it waits for, or is given, only where something else needs them too.
- `after`: stages that it needs though it is not given their results.
- `always`: where the run ends before (`LineEndsError`), it is waited for and counts; where an error ends it, it is not.
- `alone`: it begins when nothing else works, and all before it in the graph have begun.
- `unasked`: it takes place in every run that has what it needs. No check reads it.
- `holds_core`: a core is kept for it, as `Cores.for_the_line` says, without a gap between two such stages.
- `lasts`: it returns a context manager, whose value is its result. It is left when the run is over, on every path.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import ExitStack, nullcontext
from dataclasses import dataclass, field
from functools import partial
from inspect import signature
from typing import Any

from harness.config.spec import Spec
from harness.errors import RunOverError
from harness.evidence.stages import STAGES, absent
from harness.runner.cores import Cores
from harness.runner.run_state import LineEndsError, RunState

Work = Callable[..., Any]
BEGUN = "begun"  # the parameter by which a stage says that those that start with it may begin


@dataclass(frozen=True)
class StageFunction:
    """A declared stage: what it does, and its edges as the module says."""

    name: str
    work: Work
    parameters: tuple[str, ...]
    beside: bool = False
    starts_with: str = ""
    late: tuple[str, ...] = ()
    soft: tuple[str, ...] = ()
    after: tuple[str, ...] = ()
    always: bool = False
    alone: bool = False
    unasked: bool = False
    holds_core: bool = False
    lasts: bool = False
    is_timed: bool = True  # whether it has a place among the times of a run
    record: Callable[[Any], Any] = field(default=lambda result: result)  # what of its result is the evidence

    @property
    def is_recorded(self) -> bool:
        """Whether it makes evidence; if not, its result is only for other stages."""
        return self.name in STAGES

    def needs(self, names: Collection[str]) -> tuple[str, ...]:
        """Return which stages of a graph must take place for this one."""
        wanted = (*self.parameters, *self.after, *([self.starts_with] if self.starts_with else []))
        return tuple(name for name in dict.fromkeys(wanted) if name in names and name not in self.soft)


def stage(name: str, **edges: Any) -> Callable[[Work], StageFunction]:
    """Declare a stage: its name is that of the record, or of a result that only other stages see."""

    def declare(work: Work) -> StageFunction:
        return StageFunction(name, work, tuple(signature(work).parameters), **edges)

    return declare


def planned(graph: Sequence[StageFunction], records: Collection[str], spec: Spec) -> frozenset[str]:
    """Return the stages that make these records (or results) whole, and all that those need.

    What no stage makes (the lock, the machine) needs none, and so does what a project has nothing for.
    """
    missing = absent(spec)
    by_name = {each.name: each for each in graph if each.name not in missing}
    makes = {name: STAGES[name].makes if name in STAGES else name for name in by_name}
    queue = [name for name in by_name if makes[name] in records]
    found: set[str] = set()
    while queue:
        name = queue.pop()
        if name not in found:
            found.add(name)
            queue += by_name[name].needs(by_name)
    unasked = (each for each in by_name.values() if each.unasked)
    return frozenset(found | {each.name for each in unasked if found.issuperset(each.needs(by_name))})


@dataclass
class _Beside:
    """A stage that works on a thread."""

    stage: StageFunction
    future: Future[Any]
    start: float
    over: list[float]  # when it ended: whoever waits for it may come late


class Scheduler:
    """One run of a graph. Whoever calls `go` is the one thread that settles records."""

    def __init__(
        self,
        state: RunState,
        graph: Sequence[StageFunction],
        pool: ThreadPoolExecutor,
        values: Mapping[str, Any],
        cores: Cores | None = None,
    ) -> None:
        """`values` are what a run begins with, parameter -> value; without `cores` none are held.

        Raises ValueError for a parameter that is neither a stage nor a value.
        """
        names = {each.name for each in graph}
        self._values = {**values, "state": state}
        for each in graph:
            for unknown in {*each.parameters, *each.after, *each.late, *each.soft} - names - {*self._values, BEGUN}:
                raise ValueError(f"the stage {each.name} needs {unknown}, which is neither a stage nor a value")
        self._state, self._pool, self._cores = state, pool, cores
        self._waiting = {each.name: each for each in graph if state.plans(each.name)}
        self._results: dict[str, Future[Any]] = {name: Future() for name in self._waiting}
        self._working: dict[str, _Beside] = {}
        self._said_begun: set[str] = set()
        self._open = ExitStack()
        self._core = ExitStack()  # left and entered again while the run goes on
        self._has_core = False

    def go(self) -> None:
        """Do all stages that are planned.

        Raises LineEndsError where a record leads nowhere, HarnessError where a stage does. On every path what lasts
        is left, and nobody waits any longer for a result.
        """
        with self._open, self._core:
            try:
                while self._waiting or self._working:
                    self._step()
            except LineEndsError:
                for name in [name for name, work in self._working.items() if work.stage.always]:
                    self._join(name)
                raise
            finally:
                self._nobody_waits()

    def _step(self) -> None:
        """Settle what has ended, begin what is ready beside, then do one stage here or wait for one beside."""
        self._settle_ended()
        self._begin_beside()
        ready = next((each for each in self._waiting.values() if not each.beside and self._is_ready(each)), None)
        if ready is not None:
            self._here(ready)
        elif self._working:
            self._hold(wanted=False)
            wait([work.future for work in self._working.values()], return_when=FIRST_COMPLETED)
        elif self._waiting:
            raise RuntimeError(f"no stage can begin: {', '.join(self._waiting)} wait for each other")

    def _is_ready(self, each: StageFunction) -> bool:
        if each.starts_with and each.starts_with not in self._said_begun:
            return False
        if each.alone and (self._working or next(iter(self._waiting)) != each.name):
            return False
        wanted = {*each.parameters, *each.after, *each.soft} - {*each.late}
        return all(self._results[name].done() for name in wanted if name in self._results)

    def _here(self, each: StageFunction) -> None:
        """Do a stage on this thread."""
        del self._waiting[each.name]
        self._hold(wanted=each.holds_core)
        work = self._bound(each)
        with self._state.timed(each.name) if each.is_recorded and each.is_timed else nullcontext():
            result = self._open.enter_context(work()) if each.lasts else work()
        self._settle(each, result)

    def _begin_beside(self) -> None:
        for each in [each for each in self._waiting.values() if each.beside and self._is_ready(each)]:
            del self._waiting[each.name]
            over: list[float] = []
            future = self._pool.submit(self._bound(each))
            self._working[each.name] = _Beside(each, future, time.monotonic(), over)
            future.add_done_callback(lambda _, over=over: over.append(time.monotonic()))  # type: ignore[misc]

    def _settle_ended(self) -> None:
        for name in [name for name, work in self._working.items() if work.future.done()]:
            self._join(name)

    def _join(self, name: str) -> None:
        """Wait for a stage beside, and settle it."""
        work = self._working.pop(name)
        each = work.stage
        with self._state.measured(name, work.start, work.over) if each.is_recorded else nullcontext():
            result = work.future.result()
        self._settle(each, result)

    def _settle(self, each: StageFunction, result: Any) -> None:
        if each.is_recorded:
            self._state.settle(each.name, each.record(result))
        self._results[each.name].set_result(result)

    def _bound(self, each: StageFunction) -> Callable[[], Any]:
        """Give a stage what its parameters name."""
        return partial(each.work, **{name: self._given(each, name) for name in each.parameters})

    def _given(self, each: StageFunction, name: str) -> Any:
        if name == BEGUN:
            return partial(self._begun, each.name)
        if name in self._values:
            return self._values[name]
        if name not in self._results:  # the project has nothing for it, or nothing else needs it
            return (lambda: None) if name in each.late else None
        if name not in each.late:
            return self._results[name].result()
        return self._results[name].result if each.beside else partial(self._awaited, name)

    def _begun(self, name: str) -> None:
        """Let those begin that start with a stage; called by it, on this thread."""
        self._said_begun.add(name)
        self._begin_beside()

    def _awaited(self, name: str) -> Any:
        """Wait on this thread, in the middle of another stage: who waits needs no core."""
        self._hold(wanted=False)
        if name in self._working:
            self._join(name)
        return self._results[name].result()

    def _hold(self, *, wanted: bool) -> None:
        """Hold a core while the stages want one, and give it back before the first that does not."""
        if self._cores is None:
            return
        if not wanted:
            self._core.close()
        elif not self._has_core:
            self._core.enter_context(self._cores.for_the_line())
        self._has_core = wanted

    def _nobody_waits(self) -> None:
        for result in self._results.values():
            if not result.done():
                result.set_exception(RunOverError("the run ended before"))
