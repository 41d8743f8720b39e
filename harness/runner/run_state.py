"""The run so far: its evidence, its times, and the verdict as it grows; whoever watches is told at once."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, Protocol

from harness.checks import Check, all_checks
from harness.checks.judge import exit_code, judge, judge_rest
from harness.config.spec import Spec
from harness.errors import CRASHED, INTERRUPTED, HarnessError
from harness.evidence.forecast import Forecast
from harness.evidence.records import Ending, Environment, Evidence, Finding, Selection, StageTime
from harness.evidence.records.run import JUDGED
from harness.evidence.run_folder import RunFolder
from harness.evidence.stages import RECORDS, STAGES, absent, whole
from harness.runner.stages import Recording

LEFT_OUT = "no selected check reads it"


class Blockable(Protocol):
    """A record that says why the line cannot go on after it, if it cannot."""

    @property
    def blocker(self) -> str | None:
        """The reason, None where the line goes on."""


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
    """The run so far: its evidence, its times, and the checks that could be judged already. Used by one thread."""

    def __init__(self, run: Recording, watcher: Watcher, selection: Selection) -> None:
        """Nothing is planned before `plan`."""
        self.run = run
        self.selection = selection
        self.evidence = Evidence(spec=run.spec)
        self.stages: list[StageTime] = []
        self._watcher = watcher
        self._start = time.monotonic()
        self._checks: tuple[Check, ...] = all_checks()
        self._findings: dict[str, list[Finding]] = {}
        self._settled: set[str] = set()  # stages of which nothing more will come
        self._taken = [check for check in self._checks if not selection.left_out(check)]
        self._planned: frozenset[str] = frozenset()
        self.keep("spec", run.spec)
        self.keep("selection", selection)
        self._settled |= absent(run.spec)

    @property
    def reads(self) -> frozenset[str]:
        """The records that the selected checks read."""
        return frozenset(
            name for check in self._taken if self.takes(check.name) for name in (*check.reads, *check.may_read)
        )

    def plan(self, stages: Collection[str], left_out: Mapping[str, str] | None = None) -> None:
        """Say which stages the run will have; the others are noted as left out, `left_out` of them for that reason."""
        why = left_out or {}
        self._planned = frozenset(stages) - why.keys()
        for name in STAGES:
            if name in why or name not in self._planned | self._settled:
                reason = why.get(name, LEFT_OUT)
                self._note(StageTime(name, time.monotonic() - self._start, 0.0, reason, done=False, left_out=True))
                self._settled.add(name)
        self._judge()

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

    @contextmanager
    def timed(self, stage: str) -> Iterator[None]:
        """Announce and time a stage, and note how it ended."""
        self._watcher.stage_begins(stage)
        with self.measured(stage):
            yield

    def settle(self, stage: str, record: Blockable) -> None:
        """Keep a stage's record, and judge the checks of whose evidence nothing more will come.

        Raises LineEndsError where the record leaves the next stages nothing to work on.
        """
        self.keep(STAGES[stage].makes, record)
        self._settled.add(stage)
        self._judge()
        if record.blocker:
            raise LineEndsError(record.blocker)

    def skip_rest(self, reason: str) -> None:
        """Note the stages that were not reached, and why."""
        done = {stage.name for stage in self.stages} | self._settled
        for name in STAGES:
            if name not in done:
                self._note(StageTime(name, time.monotonic() - self._start, 0.0, reason, done=False))

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
        waited_for = RECORDS - whole(self._settled)
        ready = [check for check in self._checks if not waited_for & {*check.reads, *check.may_read}]
        for check, found in judge_rest(self.evidence, ready, self._findings):
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
    def measured(self, stage: str, begun: float | None = None, over: Sequence[float] = ()) -> Iterator[None]:
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
def ended(state: RunState) -> Iterator[None]:
    """Note how the run ends, on every path, and what it did not reach."""
    try:
        yield
        state.skip_rest("the run went past it")
    except LineEndsError as end:
        state.skip_rest(str(end))
    except BaseException as exc:
        state.skip_rest("the run was ended before")
        state.end(_ending(exc))
        raise
    finally:
        state.keep("stages", tuple(state.stages))


def _ending(exc: BaseException) -> Ending:
    """Return how a run ended that has no verdict."""
    if isinstance(exc, HarnessError):
        return Ending(exc.exit_code, exc.kind, str(exc), exc.hint)
    if isinstance(exc, KeyboardInterrupt):
        return Ending(INTERRUPTED, "interrupted")
    return Ending(CRASHED, "the harness crashed", repr(exc))
