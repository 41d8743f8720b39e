"""A run from its description to its verdict, and what is cleaned up after it; `order` knows the stages."""

from __future__ import annotations

import os
import platform
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from harness import __version__, labels, lock, pins
from harness.checks import all_checks
from harness.compose import Compose
from harness.description import load
from harness.engine import Engine, Leftover
from harness.errors import HarnessError
from harness.evidence import RunFolder
from harness.forecast import forecast
from harness.judge import exit_code, judge
from harness.line import Line, Verdict, Watcher, ended
from harness.order import Service, go, judge_service
from harness.records import (
    Environment,
    Evidence,
    Lock,
    Selection,
)
from harness.signals import deferred
from harness.stages import Run
from harness.stages import data as data_stage
from harness.stages import images as images_stage

LOOKS = 10  # after an interrupt: the engine may still be creating what a Compose that is gone asked of it
THREADS = 6  # beside the main line


def run(
    root: Path,
    files: Sequence[Path],
    watcher: Watcher,
    selection: Selection,
    *,
    rebuild: bool = False,
    then: Callable[[Service], None] | None = None,
) -> Verdict:
    """Run the whole line and judge it; with `then`, do that with the served model in place of the contract's tests.

    Raises HarnessError for a wrong description or a failed infrastructure; whatever the run created is removed
    on every path, an interrupt included.
    """
    with Engine.connect() as engine:
        compose = Compose.find(engine.compose_host)
        spec = load(compose, root, files)
        selection.verify([check.name for check in all_checks()])
        locked = lock.read(spec.root)
        sweep(engine)
        folder = RunFolder.create(spec.root)
        folder.mark_latest()
        marks = labels.labels_of_run(folder.id, spec.project)
        environment = describe(engine, compose)
        watcher.run_begins(spec, environment, folder.id, forecast(folder, selection))
        whole = Run(spec=spec, engine=engine, compose=compose, folder=folder, labels=marks, say=watcher.line)
        line = Line(whole, watcher, selection)
        line.keep("environment", environment)
        line.keep("lock", locked)
        with _cleaned_up(whole, watcher) as pool, ended(line):
            go(line, whole, pool, then or judge_service, rebuild=rebuild)
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
        data = data_stage.digest(spec)
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


@contextmanager
def _cleaned_up(run: Run, watcher: Watcher) -> Iterator[ThreadPoolExecutor]:
    """Yield the threads that work beside the line; remove all that a run created, on every path.

    A second interrupt waits: half a clean-up helps nobody. What a thread asked for while the run ended is removed
    in a second round, after the threads.
    """
    pool = ThreadPoolExecutor(max_workers=THREADS)
    try:
        yield pool
    finally:
        looks = 1 if sys.exc_info()[0] is None else LOOKS
        with deferred():
            run.over.set()
            try:
                _remove(run, 1)
                pool.shutdown(wait=True, cancel_futures=True)
                _remove(run, looks)
                run.engine.remove_image(images_stage.baked_name(run))
            except HarnessError as exc:
                pool.shutdown(wait=False, cancel_futures=True)
                left = "What is left is removed by the next run, or by `harness clean`."
                watcher.line("clean-up", f"{exc}. {left}")


def _remove(run: Run, looks: int) -> None:
    for look in range(looks):
        time.sleep(0.1 if look else 0.0)
        for thing in run.engine.labelled(f"{labels.RUN_ID}={run.folder.id}"):
            run.engine.remove(thing)
