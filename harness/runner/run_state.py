"""The run so far: its evidence, its times, and the verdict as it grows; whoever watches is told at once."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cache
from typing import Any, Protocol, TypeVar

from harness.checks import Check, all_checks
from harness.checks.judge import exit_code, judge, judge_rest
from harness.checks.plan import COMPLETED_BY, absent, stages
from harness.config.spec import Spec
from harness.errors import CRASHED, INTERRUPTED, HarnessError
from harness.evidence.forecast import Forecast
from harness.evidence.records import Ending, Environment, Evidence, Finding, Selection, StageTime
from harness.evidence.records.run import JUDGED
from harness.evidence.run_folder import RunFolder
from harness.runner.stages import Recording

# Fields of Evidence, in the order in which the line records them.
LINE = (
    "images",
    "data",
    "train",
    "artifact",
    "serve",
    "contract",
    "code",
    "manifest",
    "loaded",
    "provenance",
    "trainings",
    "skew",
    "quality",
    "robustness",
    "fuzz",
    "load",
    "stop",
    "scan",
    "tracked",
    "services",
)
LEFT_OUT = "no selected check reads it"


class Blockable(Protocol):
    """A record that says why the line cannot go on after it, if it cannot."""

    @property
    def blocker(self) -> str | None:
        """The reason, None where the line goes on."""


R = TypeVar("R", bound=Blockable)


class Watcher(Protocol):
    """Whoever shows a run while it goes on. Nothing else prints."""

    def run_begins(self, spec: Spec, environment: Environment, run_id: str, forecast: Forecast | None = None) -> None:
        """Show what is about to run, where, and how long it will probably take."""

    def stage_begins(self, stage: str) -> None:
        """Show that a stage begins."""

    def line(self, stage: str, line: str) -> None:
        """Show a line of a stage's log. Called from other threads too."""

    def stage_ends(self, stage: StageTime, *, beside: bool = False) -> None:
        """Show how a stage ended; one that ran `beside` the others was not announced."""

    def found(self, finding: Finding) -> None:
        """Show a finding."""


@dataclass(frozen=True)
class Verdict:
    """The end of a run."""

    folder: RunFolder
    findings: tuple[Finding, ...]
    stages: tuple[StageTime, ...]
    exit_code: int


class LineEndsError(Exception):
    """A stage's result leaves the next ones nothing to work on; its text says why."""


class RunState:
    """The run so far: its evidence, its times, and the checks that could be judged already."""

    def __init__(self, run: Recording, watcher: Watcher, selection: Selection, further: Collection[str] = ()) -> None:
        """Plan what the selected checks read, and the `further` records that somebody else asks for."""
        self.run = run
        self.selection = selection
        self.evidence = Evidence(spec=run.spec)
        self.stages: list[StageTime] = []
        self._watcher = watcher
        self._start = time.monotonic()
        self._checks: tuple[Check, ...] = all_checks()
        self._findings: dict[str, list[Finding]] = {}
        self._working: dict[Future[Any], Callable[[], object]] = {}  # beside the line -> what settles it
        self._settled: set[str] = set()  # stages of which nothing more will come
        self._taken = [check for check in self._checks if not selection.left_out(check)]
        read = {name for check in self._taken if self.takes(check.name) for name in (*check.reads, *check.may_read)}
        self._planned = stages({*read, *further}, run.spec)
        self.keep("spec", run.spec)
        self.keep("selection", selection)
        self._settled |= absent(run.spec)

    def keep(self, field: str, record: Any) -> None:
        """Put a record into the evidence and on disk."""
        self.evidence = replace(self.evidence, **{field: record})
        if record is not None:
            self.run.folder.write(field, record)

    def takes(self, check: str) -> bool:
        """Whether a check is among those that are judged: selected, and not skipped by the project."""
        return check not in self.run.spec.block.skip and any(taken.name == check for taken in self._taken)

    def plans(self, stage: str) -> bool:
        """Whether a selected check needs a stage, for its record or for what other stages make of it."""
        return stage in self._planned

    def needs(self, stage: str) -> bool:
        """Whether a stage is planned; if not, it is noted as left out."""
        if self.plans(stage):
            return True
        if stage not in self._settled:
            self.leave_out(LEFT_OUT, stage)
        return False

    def leave_out(self, reason: str, *names: str) -> None:
        """Note that stages do not take place, and why: nobody asked for them."""
        for name in names:
            self._note(StageTime(name, time.monotonic() - self._start, 0.0, reason, done=False, left_out=True))
            self._settled.add(name)
        self._judge()

    @contextmanager
    def timed(self, stage: str) -> Iterator[None]:
        """Time a stage, and note how it ended."""
        for future, join in tuple(self._working.items()):
            if future.done():
                join()
        self._watcher.stage_begins(stage)
        with self._measured(stage):
            yield

    def record(self, stage: str, work: Callable[[], R]) -> R:
        """Do a stage now: time it, and settle its record."""
        with self.timed(stage):
            record = work()
        self.settle(stage, record)
        return record

    def beside(self, pool: ThreadPoolExecutor, stage: str, work: Callable[[], R]) -> Callable[[], R]:
        """Begin a stage on a thread, beside the others; return what waits for its end and settles its record.

        What has ended by the time that another stage begins is settled then: its findings are shown early.
        """
        start = time.monotonic()
        future = pool.submit(work)
        over: list[float] = []  # whoever waits for it may come late
        future.add_done_callback(lambda _: over.append(time.monotonic()))

        @cache  # whoever comes later gets the same record
        def join() -> R:
            self._working.pop(future, None)
            with self._measured(stage, start, over):
                record = future.result()
            self.settle(stage, record)
            return record

        self._working[future] = join
        return join

    def settle(self, name: str, record: Blockable, *, final: bool = True) -> None:
        """Keep a stage's record, judge the checks that waited for it, and end the line where it leads nowhere.

        With `final=False` the checks wait: more will come to this record.
        """
        self.keep(name, record)
        if final:
            self._settled.add(name)
            self._judge()
        if record.blocker:
            raise LineEndsError(record.blocker)

    def skip_rest(self, reason: str) -> None:
        """Note the stages that were not reached, and why."""
        done = {stage.name for stage in self.stages} | self._settled
        for name in (*LINE, *(self._planned & set(COMPLETED_BY.values()))):
            if name in done:
                continue
            left_out = not self.plans(name)
            why = LEFT_OUT if left_out else reason
            self._note(StageTime(name, time.monotonic() - self._start, 0.0, why, done=False, left_out=left_out))

    def verdict(self) -> Verdict:
        """Judge what is left, in the light of how the line ended."""
        self.keep("stages", tuple(self.stages))
        for check, found in judge_rest(self.evidence, self._checks, self._findings):
            self._find(check, found)
        names = [check.name for check in self._checks]
        unknown = [f for f in judge(self.evidence, ()) if f.check not in names]
        findings = tuple([f for name in names for f in self._findings[name]] + unknown)
        self.run.folder.write_findings(findings)
        code = exit_code(findings)
        self.end(Ending(code, JUDGED))
        return Verdict(self.run.folder, findings, tuple(self.stages), code)

    def end(self, ending: Ending) -> None:
        """Write down how the run ended; of one that has no verdict, what was found until then."""
        self.keep("end", ending)
        if ending.kind != JUDGED:
            self.run.folder.write_findings([f for found in self._findings.values() for f in found])

    def _judge(self) -> None:
        """Judge every check of whose evidence nothing more will come."""
        whole = [c for c in self._checks if not {*c.reads, *c.may_read} & set(LINE) - self._settled]
        for check, found in judge_rest(self.evidence, whole, self._findings):
            self._find(check, found)

    def _find(self, check: Check, found: list[Finding]) -> None:
        self._findings[check.name] = found
        for finding in found:
            self._watcher.found(finding)

    def _note(self, stage: StageTime) -> None:
        """Add the time of a stage; checks that are judged early see it too."""
        self.stages.append(stage)
        self.evidence = replace(self.evidence, stages=tuple(self.stages))

    @contextmanager
    def _measured(self, stage: str, begun: float | None = None, over: Sequence[float] = ()) -> Iterator[None]:
        """Time a stage; one that has `begun` before ran beside the others, and may be `over` already."""
        start = time.monotonic() if begun is None else begun
        outcome = "crashed"
        try:
            yield
            self.run.verify()  # else nothing of the stage is kept, and nothing is judged by it
            outcome = "done"
        except HarnessError as exc:
            outcome = exc.kind
            raise
        except KeyboardInterrupt:
            outcome = "interrupted"
            raise
        finally:
            now = next(iter(over), time.monotonic())
            ended = StageTime(stage, start - self._start, now - start, outcome, outcome == "done")
            self._note(ended)
            self._watcher.stage_ends(ended, beside=begun is not None)


@contextmanager
def ended(line: RunState) -> Iterator[None]:
    """Note how the line ends, on every path, and what it did not reach."""
    try:
        yield
        line.skip_rest("the line went past it")
    except LineEndsError as end:
        line.skip_rest(str(end))
    except BaseException as exc:
        line.skip_rest("the run was ended before")
        line.end(_ending(exc))
        raise
    finally:
        line.keep("stages", tuple(line.stages))


def _ending(exc: BaseException) -> Ending:
    """Return how a run ended that has no verdict."""
    if isinstance(exc, HarnessError):
        return Ending(exc.exit_code, exc.kind, str(exc), exc.hint)
    if isinstance(exc, KeyboardInterrupt):
        return Ending(INTERRUPTED, "interrupted")
    return Ending(CRASHED, "the harness crashed", repr(exc))
