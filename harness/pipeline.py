"""The one module that knows the order: which stage follows which, what runs beside it, and what is cleaned up."""

from __future__ import annotations

import os
import platform
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from harness import __version__, labels, lock, pins
from harness.checks import all_checks
from harness.compose import Compose
from harness.description import load
from harness.engine import Engine, Leftover, Running
from harness.errors import HarnessError
from harness.evidence import RunFolder
from harness.further import train_again
from harness.http import Target
from harness.judge import exit_code, judge
from harness.line import Line, Verdict, Watcher, ended
from harness.records import (
    Artifact,
    Environment,
    Evidence,
    Images,
    Interface,
    Lock,
    Robustness,
    Selection,
    Serving,
    Skew,
    Trainings,
    digest_of,
)
from harness.signals import deferred
from harness.spec import Handover
from harness.stages import Run
from harness.stages import artifact as artifact_stage
from harness.stages import contract as contract_stage
from harness.stages import data as data_stage
from harness.stages import fuzz as fuzz_stage
from harness.stages import images as images_stage
from harness.stages import load as load_stage
from harness.stages import quality as quality_stage
from harness.stages import robustness as robustness_stage
from harness.stages import serve as serve_stage
from harness.stages import skew as skew_stage
from harness.stages import stop as stop_stage
from harness.stages import train as train_stage
from harness.stages.trainings import Basis

LOOKS = 10  # after an interrupt: the engine may still be creating what a Compose that is gone asked of it
THREADS = 3  # beside the main line


@dataclass(frozen=True)
class Service:
    """A model that is served: what the last part of the line works with."""

    run: Run
    line: Line
    pool: ThreadPoolExecutor
    images: Images
    volume: str | None
    artifact: Artifact
    serving: Serving
    running: Running
    target: Target
    interface: Interface
    trainings: Callable[[], Trainings] | None  # the further training runs, once they have ended


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
        watcher.run_begins(spec, environment, folder.id)
        whole = Run(spec=spec, engine=engine, compose=compose, folder=folder, labels=marks, say=watcher.line)
        line = Line(whole, watcher, selection)
        line.keep("environment", environment)
        line.keep("lock", locked)
        with _cleaned_up(whole, watcher) as pool, ended(line):
            _go(line, whole, pool, then or _judge_service, rebuild=rebuild)
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


def _go(line: Line, run: Run, pool: ThreadPoolExecutor, then: Callable[[Service], None], *, rebuild: bool) -> None:
    """Go down the line to a served model. The dataset is validated while the engine builds the images."""
    baking = run.spec.handover is not Handover.MOUNTED
    validation = pool.submit(data_stage.collect, run.spec) if run.spec.block.data else None
    if validation is None:
        line.lacks("data")
    if run.spec.block.quality is not None:
        pool.submit(quality_stage.warm)  # SciPy and scikit-learn take seconds to import

    with line.timed("images"):
        images = images_stage.collect(run, rebuild=rebuild)
    line.settle("images", images, final=not baking)

    data, volume = None, None
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

    further = None
    if line.needs("trainings"):
        basis = Basis(images=images, data=data, data_volume=volume, training=training, artifact=artifact)
        further = line.beside(pool, "trainings", partial(train_again, run, basis, deep=line.selection.deep))

    if baking:
        with line.timed("bake"):
            images = images_stage.bake(run, images)
        line.settle("images", images)

    with ExitStack() as stack:
        with line.timed("serve"):
            served = stack.enter_context(serve_stage.serving(run, images, volume))
        line.settle("serve", served.record)
        spoken = served.record.interface
        if served.target is not None and spoken is not None:
            given = (served.record, served.running, served.target, spoken)
            then(Service(run, line, pool, images, volume, artifact, *given, further))


def _judge_service(service: Service) -> None:
    """Ask the service all that the contract asks; further containers work beside that, load and the end come alone."""
    run, line, target, spoken = service.run, service.line, service.target, service.interface
    robustness, skew = _robustness_beside(service), _skew_beside(service)
    with line.timed("contract"):
        contract = contract_stage.collect(run, target, spoken, skew)
    line.settle("contract", contract)
    _judge_quality(service)
    if line.needs("fuzz"):
        chosen = line.selection
        with line.timed("fuzz"):
            fuzz = fuzz_stage.collect(run, target, contract, deep=chosen.deep, seed=chosen.seed, budget=chosen.budget)
        line.settle("fuzz", fuzz)
    if service.trainings is not None:
        service.trainings()
    if robustness is not None:
        robustness()
    if line.needs("load"):
        memory = partial(run.engine.memory, service.running.container)
        with line.timed("load"):
            load = load_stage.collect(run, target, contract, memory)
        line.settle("load", load)
    if line.needs("stop"):
        with line.timed("stop"):
            stop = stop_stage.collect(run, service.running, target, contract)
        line.settle("stop", stop)


def _judge_quality(service: Service) -> None:
    """Let the service predict the hold-out rows, where the project says how good it must be."""
    run, line, block = service.run, service.line, service.run.spec.block.quality
    if block is None:
        line.lacks("quality")
    elif line.needs("quality"):
        with line.timed("quality"):
            quality = quality_stage.collect(run, service.target, service.interface, block)
        line.settle("quality", quality)


def _robustness_beside(service: Service) -> Callable[[], Robustness] | None:
    """Let further containers of the serving image start on a thread; what they are is created before that."""
    run, line = service.run, service.line
    if not line.needs("robustness"):
        return None
    prepared = robustness_stage.prepare(run, service.images, service.volume, service.serving)
    return line.beside(service.pool, "robustness", lambda: robustness_stage.collect(run, prepared, service.serving))


def _skew_beside(service: Service) -> Callable[[], Skew] | None:
    """Let the training image predict the hold-out rows on a thread, where the project names some."""
    run, line, block = service.run, service.line, service.run.spec.block.contract.skew
    if block is None:
        line.lacks("skew")
        return None
    if not line.needs("skew"):
        return None

    def predict() -> Skew:
        return skew_stage.collect(
            run, service.images, service.volume, block=block, artifact=service.artifact, spoken=service.interface
        )

    return line.beside(service.pool, "skew", predict)


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
