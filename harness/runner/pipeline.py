"""A run from its description to its verdict, and what is cleaned up after it; `order` has the stages."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from harness.checks import all_checks
from harness.checks.judge import exit_code, judge
from harness.config.spec import Spec
from harness.engine import Engine, Leftover, labels
from harness.engine.compose import Compose
from harness.engine.machine import describe
from harness.errors import PASSED, HarnessError
from harness.evidence.forecast import forecast
from harness.evidence.records import Evidence, Lock, Selection
from harness.evidence.records.run import error_of
from harness.evidence.run_folder import RunFolder
from harness.project import lock, pins
from harness.project.description import load
from harness.project.file_hash_cache import remembered
from harness.runner.cleanup import Keep, clean_run, keep_run, remove_names, remove_run, sweep
from harness.runner.cores import Cores
from harness.runner.order import STAGES
from harness.runner.run_state import RunState, Verdict, Watcher, ended
from harness.runner.scheduler import Scheduler, StageFunction, planned
from harness.runner.stages import Run
from harness.runner.stages import data as data_stage
from harness.system.signals import deferred

PATIENCE = 3.0  # seconds after an interrupt or an error for the threads to end: not all work can be stopped
LOOKS = 10  # after an interrupt: the engine may still be creating what a Compose that is gone asked of it
THREADS = 6  # beside the main line
BESIDE = "beside"  # begins the names of these threads
MOST_AT_ONCE = 3  # trainings, or two beside a service: each of them needs its memory


@dataclass(frozen=True)
class Repeat:
    """A run that repeats another: its description and its images in place of what the files say now."""

    spec: Spec
    images: Mapping[str, str]  # service -> ID of an image that is taken as it is
    begun: Callable[[RunFolder], None]  # is told the folder; `latest` goes on pointing at the last run proper


def run(
    root: Path,
    files: Sequence[Path],
    watcher: Watcher,
    selection: Selection,
    *,
    rebuild: bool = False,
    also: StageFunction | None = None,
    keep: Keep = Keep.NEVER,
    repeat: Repeat | None = None,
) -> Verdict:
    """Do the stages that the selected checks need, and the stage `also`, if one is given; judge what they recorded.

    `keep` says whether the containers stay for a look at them; `repeat` makes it the repetition of another run.

    Raises HarnessError for a wrong description or a failed infrastructure; whatever the run created is removed
    on every path, an interrupt included.
    """
    compose = Compose.find()  # a wrong description is told before an engine is asked for, also where there is none
    spec = repeat.spec if repeat else load(compose, root, files)
    selection.verify([check.name for check in all_checks()])
    locked = lock.read(spec.root)
    with Engine.connect() as engine:
        compose = compose.speaking_to(engine.compose_host)
        sweep(engine)
        folder = RunFolder.create(spec.root)
        if repeat:
            repeat.begun(folder)
        else:
            folder.mark_latest()
        marks = labels.labels_of_run(folder.id, spec.project, keep=keep is not Keep.NEVER)
        environment = describe(engine, compose)
        if not environment.engine_kind.startswith("podman"):  # whose containers outlive it
            engine.watch()
        watcher.run_begins(spec, environment, folder.id, forecast(folder, selection))
        given = repeat.images if repeat else {}
        with remembered(folder.cache / "hashes.json", fresh=rebuild) as hashes:
            whole = Run(
                spec=spec,
                engine=engine,
                compose=compose,
                folder=folder,
                labels=marks,
                say=watcher.line,
                hashes=hashes,
                cores=Cores(min(environment.cores, MOST_AT_ONCE)),
                over=engine.over,
            )
            state = RunState(whole, watcher, selection)
            state.keep("environment", environment)
            state.keep("lock", locked)
            graph = (*STAGES, also) if also else STAGES
            wanted = state.reads | {also.name} if also else state.reads
            with _cleaned_up(whole, watcher, lambda: keep.wants(state.evidence.end)) as pool:
                with ended(state):
                    state.plan(planned(graph, wanted, spec))
                    values = {"run": whole, "pool": pool, "rebuild": rebuild, "given": given}
                    Scheduler(state, graph, pool, values, whole.cores).go()
                return state.verdict()


def judge_again(root: Path, name: str) -> tuple[Evidence, Verdict]:
    """Judge the evidence of an old run with today's checks. Raises DescriptionError.

    A run that an error ended is never green: where nothing failed before, its exit code is that error's.
    """
    folder = RunFolder.find(root, name)
    evidence = folder.load()
    findings = tuple(judge(evidence, all_checks()))
    folder.write_findings(findings)
    ended_by, code = error_of(evidence.end), exit_code(findings)
    if ended_by is not None and code == PASSED:
        code = ended_by.exit_code
    return evidence, Verdict(folder, findings, evidence.stages, code)


def make_lock(root: Path, files: Sequence[Path]) -> tuple[Lock, bool]:
    """Write `harness.lock` from what is there now; return it, and whether it changed."""
    spec = load(Compose.find(), root, files)
    with Engine.connect() as engine:
        info = engine.info()
        bases, requirements = pins.locked(spec, engine)
        data = data_stage.digest(spec)
        made = Lock(
            platform=f"{info.get('OSType')}/{info.get('Arch')}",
            bases=bases,
            requirements=requirements,
            data=data,
            images=pins.built_diff_ids(spec, engine),
        )
        return made, lock.write(spec.root, made)


def clean(run: str | None = None) -> list[Leftover]:
    """Remove what dead runs left, or what one run kept, and the dataset volumes that no container uses."""
    with Engine.connect() as engine:
        return (clean_run(engine, run) if run else sweep(engine)) + data_stage.remove_unused(engine)


@contextmanager
def _cleaned_up(run: Run, watcher: Watcher, is_kept: Callable[[], bool]) -> Iterator[ThreadPoolExecutor]:
    """Yield the threads that work beside the line; remove all that a run created, on every path, unless it is kept.

    A second interrupt waits: half a clean-up helps nobody. What a thread asked for while the run ended is removed
    in a second round, after the threads.
    """
    pool = ThreadPoolExecutor(max_workers=THREADS, thread_name_prefix=BESIDE)
    try:
        yield pool
    finally:
        looks, patience = (1, None) if sys.exc_info()[0] is None else (LOOKS, PATIENCE)
        with deferred():
            run.over.set()
            try:
                if is_kept():
                    _join(pool, patience)
                    for line in keep_run(run.engine, run.folder.id, run.spec):
                        watcher.line("keep", line)
                else:
                    remove_run(run.engine, run.folder.id)
                    _join(pool, patience)
                    remove_run(run.engine, run.folder.id, looks)
                    remove_names(run.engine, run.folder.id)
            except HarnessError as exc:
                pool.shutdown(wait=False, cancel_futures=True)
                left = "What is left is removed by the next run, or by `harness clean`."
                watcher.line("clean-up", f"{exc}. {left}")


def _join(pool: ThreadPoolExecutor, patience: float | None) -> None:
    """Begin nothing more, and wait for what is under way: to its end, or so many seconds."""
    pool.shutdown(wait=patience is None, cancel_futures=True)
    deadline = time.monotonic() + (patience or 0.0)
    for thread in threading.enumerate():
        if thread.name.startswith(BESIDE):
            thread.join(max(0.0, deadline - time.monotonic()))
