"""The one module that knows the order: which stage follows which, what runs beside it, and what is cleaned up."""

from __future__ import annotations

import os
import platform
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

from harness import __version__, labels, lock, pins
from harness.checks import Check, all_checks
from harness.compose import Compose
from harness.description import load
from harness.engine import Engine, Leftover
from harness.errors import HarnessError
from harness.evidence import RunFolder
from harness.judge import exit_code, judge, judge_one
from harness.records import Environment, Evidence, Finding, Lock, StageTime, digest_of
from harness.signals import deferred
from harness.spec import Handover, Spec
from harness.stages import Run
from harness.stages import artifact as artifact_stage
from harness.stages import contract as contract_stage
from harness.stages import data as data_stage
from harness.stages import images as images_stage
from harness.stages import serve as serve_stage
from harness.stages import train as train_stage

LINE = ("images", "data", "train", "artifact", "serve", "contract")  # fields of Evidence, in their order
LOOKS = 10  # after an interrupt: the engine may still be creating what a Compose that is gone asked of it


class Blockable(Protocol):
    """A record that says why the line cannot go on after it, if it cannot."""

    @property
    def blocker(self) -> str | None:
        """The reason, None where the line goes on."""


class Watcher(Protocol):
    """Whoever shows a run while it goes on. Nothing else prints."""

    def run_begins(self, spec: Spec, environment: Environment, run_id: str) -> None:
        """Show what is about to run, and where."""

    def stage_begins(self, stage: str) -> None:
        """Show that a stage begins."""

    def line(self, stage: str, line: str) -> None:
        """Show a line of a stage's log. Called from other threads too."""

    def stage_ends(self, stage: StageTime) -> None:
        """Show how a stage ended."""

    def found(self, finding: Finding) -> None:
        """Show a finding."""


@dataclass(frozen=True)
class Verdict:
    """The end of a run."""

    folder: RunFolder
    findings: tuple[Finding, ...]
    stages: tuple[StageTime, ...]
    exit_code: int


class _LineEndsError(Exception):
    """A stage's result leaves the next ones nothing to work on; its text says why."""


def run(root: Path, files: Sequence[Path], watcher: Watcher, *, rebuild: bool = False) -> Verdict:
    """Run the whole line and judge it.

    Raises HarnessError for a wrong description or a failed infrastructure; whatever the run created is removed
    on every path, an interrupt included.
    """
    with Engine.connect() as engine:
        compose = Compose.find(engine.compose_host)
        spec = load(compose, root, files)
        locked = lock.read(spec.root)
        sweep(engine)
        folder = RunFolder.create(spec.root)
        folder.mark_latest()
        marks = labels.labels_of_run(folder.id, spec.project)
        environment = describe(engine, compose)
        watcher.run_begins(spec, environment, folder.id)
        line = _Line(Run(spec, engine, compose, folder, marks, watcher.line), watcher)
        line.keep("spec", spec)
        line.keep("environment", environment)
        line.keep("lock", locked)
        try:
            _go(line, rebuild=rebuild)
        except _LineEndsError as end:
            line.skip_rest(str(end))
        except BaseException:
            line.skip_rest("the run was ended before")
            raise
        finally:
            try:
                line.keep("stages", tuple(line.stages))
            finally:  # a full disk is no reason to leave containers
                _clean_up(engine, line.run, watcher)
        return line.verdict()


def judge_again(root: Path, name: str) -> tuple[Evidence, Verdict]:
    """Judge the evidence of an old run with today's checks. Raises DescriptionError."""
    folder = RunFolder.find(root, name)
    evidence = folder.load()
    findings = tuple(judge(evidence, all_checks()))
    folder.write_findings(findings)
    return evidence, Verdict(folder, findings, evidence.stages, exit_code(findings))


def make_lock(root: Path, files: Sequence[Path]) -> tuple[Lock, bool]:
    """Write `harness.lock` from what is there now; return it, and whether it changed."""
    with Engine.connect() as engine:
        compose = Compose.find(engine.compose_host)
        spec = load(compose, root, files)
        info = engine.info()
        bases, requirements = pins.locked(spec, engine)
        data = digest_of(data_stage.hash_files(spec.root / spec.block.data.path)) if spec.block.data else None
        made = Lock(
            platform=f"{info.get('OSType')}/{info.get('Arch')}",
            bases=bases,
            requirements=requirements,
            data=data,
            images=pins.built_diff_ids(spec, engine),
        )
        return made, lock.write(spec.root, made)


def clean() -> list[Leftover]:
    """Remove what dead runs left and the dataset volumes that no container uses; return what was removed."""
    with Engine.connect() as engine:
        return sweep(engine) + data_stage.remove_unused(engine)


def sweep(engine: Engine) -> list[Leftover]:
    """Remove what carries the label of an owner that is gone; never anything else."""
    now = time.time()
    abandoned = [thing for thing in engine.labelled(labels.OWNER) if labels.is_abandoned(thing.labels, now)]
    return [thing for thing in abandoned if engine.remove(thing)]


def describe(engine: Engine, compose: Compose) -> Environment:
    """Describe the machine that a run sees."""
    info = engine.info()
    return Environment(
        harness=__version__,
        python=platform.python_version(),
        host=platform.platform(),
        engine=f"{info.get('Version')} at {engine.url}",
        api=f"{info.get('ApiVersion')} of {info.get('MinAPIVersion')}-{info.get('MaxAPIVersion')}",
        compose=compose.description,
        storage=str(info.get("Driver")),
        cores=int(info.get("NCPU", 0)),
        memory=int(info.get("MemTotal", 0)),
        hash_seed=os.environ.get("PYTHONHASHSEED", "random"),
    )


class _Line:
    """The run so far: its evidence, its times, and the checks that could be judged already."""

    def __init__(self, run: Run, watcher: Watcher) -> None:
        self.run = run
        self.evidence = Evidence(spec=run.spec)
        self.stages: list[StageTime] = []
        self._watcher = watcher
        self._start = time.monotonic()
        self._checks: tuple[Check, ...] = all_checks()
        self._findings: dict[str, list[Finding]] = {}

    def keep(self, field: str, record: Any) -> None:
        """Put a record into the evidence and on disk."""
        self.evidence = replace(self.evidence, **{field: record})
        if record is not None:
            self.run.folder.write(field, record)

    @contextmanager
    def timed(self, stage: str) -> Iterator[None]:
        """Time a stage, and note how it ended."""
        self._watcher.stage_begins(stage)
        start = time.monotonic()
        outcome = "crashed"
        try:
            yield
            outcome = "done"
        except HarnessError as exc:
            outcome = exc.kind
            raise
        except KeyboardInterrupt:
            outcome = "interrupted"
            raise
        finally:
            now = time.monotonic()
            ended = StageTime(stage, start - self._start, now - start, outcome, outcome == "done")
            self.stages.append(ended)
            self._watcher.stage_ends(ended)

    def settle(self, name: str, record: Blockable, *, final: bool = True) -> None:
        """Keep a stage's record, judge the checks that waited for it, and end the line where it leads nowhere.

        With `final=False` the checks wait: baking will still add to the images.
        """
        self.keep(name, record)
        if final:
            self.judge_until(name)
        if record.blocker:
            raise _LineEndsError(record.blocker)

    def judge_until(self, stage: str) -> None:
        """Judge every check that reads nothing of a later stage."""
        reached = LINE[: LINE.index(stage) + 1]
        later = set(LINE) - set(reached)
        for check in self._checks:
            if check.name not in self._findings and not later & {*check.reads, *check.may_read}:
                self._findings[check.name] = list(judge_one(self.evidence, check))
                for finding in self._findings[check.name]:
                    self._watcher.found(finding)

    def skip_rest(self, reason: str) -> None:
        """Note the stages that were not reached, and why."""
        done = {stage.name for stage in self.stages}
        now = time.monotonic() - self._start
        skipped = [name for name in LINE if name not in done and (name != "data" or self.run.spec.block.data)]
        self.stages += [StageTime(name, now, 0.0, reason, done=False) for name in skipped]

    def verdict(self) -> Verdict:
        """Judge what is left, in the light of how the line ended."""
        self.keep("stages", tuple(self.stages))
        self.judge_until(LINE[-1])
        names = [check.name for check in self._checks]
        unknown = [f for f in judge(self.evidence, ()) if f.check not in names]
        findings = tuple([f for name in names for f in self._findings[name]] + unknown)
        self.run.folder.write_findings(findings)
        return Verdict(self.run.folder, findings, tuple(self.stages), exit_code(findings))


def _go(line: _Line, *, rebuild: bool) -> None:
    """Go down the line. The dataset is validated on the host while the engine builds the images."""
    run = line.run
    baking = run.spec.handover is not Handover.MOUNTED
    with ExitStack() as stack:
        pool = ThreadPoolExecutor(max_workers=1)
        stack.callback(pool.shutdown, wait=False, cancel_futures=True)
        validation = pool.submit(data_stage.collect, run.spec) if run.spec.block.data else None

        with line.timed("images"):
            images = images_stage.collect(run, rebuild=rebuild)
        line.settle("images", images, final=not baking)

        volume = None
        if validation is not None:
            with line.timed("data"):
                data = validation.result()
                volume = data_stage.deliver(run, data, images.of(run.spec.train_key).id)
            line.settle("data", data, final=not baking)

        with line.timed("train"):
            training, container = train_stage.collect(run, images, volume)
        line.settle("train", training, final=not baking)

        with line.timed("artifact"):
            artifact = artifact_stage.collect(run, container)
        line.settle("artifact", artifact, final=not baking)

        if baking:
            with line.timed("bake"):
                images = images_stage.bake(run, images)
            line.settle("images", images)
            line.judge_until("artifact")

        with line.timed("serve"):
            serving, target = stack.enter_context(serve_stage.serving(run, images, volume))
        line.settle("serve", serving)

        if target is not None and serving.interface is not None:
            with line.timed("contract"):
                contract = contract_stage.collect(run, target, serving.interface)
            line.settle("contract", contract)


def _clean_up(engine: Engine, run: Run, watcher: Watcher) -> None:
    """Remove all that a run created. A second interrupt waits: half a clean-up helps nobody."""
    with deferred():
        try:
            for look in range(1 if sys.exc_info()[0] is None else LOOKS):
                time.sleep(0.1 if look else 0.0)
                for thing in engine.labelled(f"{labels.RUN_ID}={run.folder.id}"):
                    engine.remove(thing)
            engine.remove_image(images_stage.baked_name(run))
        except HarnessError as exc:
            watcher.line("clean-up", f"{exc}. What is left is removed by the next run, or by `harness clean`.")
