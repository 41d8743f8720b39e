"""The order of a run: which stage follows which, and what runs beside the line."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from functools import partial
from typing import TypeVar

from harness.checks.plan import bakes
from harness.client.http import Target
from harness.config.companions import needed_by
from harness.engine import Running
from harness.errors import HarnessError, RunOverError
from harness.evidence.records import (
    Artifact,
    Contract,
    Fuzz,
    Images,
    Interface,
    Load,
    Services,
    Serving,
    Skew,
    Training,
)
from harness.runner.further import train_again
from harness.runner.run_state import Blockable, LineEndsError, RunState
from harness.runner.stages import Run, not_for_want_of_disk
from harness.runner.stages import artifact as artifact_stage
from harness.runner.stages import code as code_stage
from harness.runner.stages import contract as contract_stage
from harness.runner.stages import data as data_stage
from harness.runner.stages import fuzz as fuzz_stage
from harness.runner.stages import images as images_stage
from harness.runner.stages import load as load_stage
from harness.runner.stages import models_in_git as tracked_stage
from harness.runner.stages import provenance as provenance_stage
from harness.runner.stages import quality as quality_stage
from harness.runner.stages import robustness as robustness_stage
from harness.runner.stages import run_environment as surroundings_stage
from harness.runner.stages import scan as scan_stage
from harness.runner.stages import serve as serve_stage
from harness.runner.stages import services as services_stage
from harness.runner.stages import serving_packages as loaded_stage
from harness.runner.stages import skew as skew_stage
from harness.runner.stages import stop as stop_stage
from harness.runner.stages import train as train_stage
from harness.runner.stages.training_variants import TrainingStart
from harness.scanner.manifests import read_manifest

PATIENCE = 0.5  # seconds: a service that dies closes its connections a moment before the engine says so
LOOKING = 10.0  # seconds for what is looked at beside the line, when the line is over
R = TypeVar("R", Contract, Fuzz, Load)


@dataclass(frozen=True)
class Service:
    """A model that is served: what the last part of the line works with."""

    run: Run
    line: RunState
    pool: ThreadPoolExecutor
    images: Images
    volume: str | None
    artifact: Artifact
    serving: Serving
    running: Running
    target: Target
    interface: Interface
    trainings: Callable[[], object]  # waits for the further training runs


def go(
    line: RunState,
    run: Run,
    pool: ThreadPoolExecutor,
    then: Callable[[Service], None],
    *,
    rebuild: bool,
    given: Mapping[str, str] | None = None,
) -> None:
    """Go down the line to a served model, as far as the selected checks need it.

    The dataset is validated while the engine builds the images. `given` are images that are taken as they are:
    service -> ID.
    """
    block = run.spec.block.data
    validation = pool.submit(data_stage.collect, run.spec, run.folder) if block and line.needs("data") else None
    tracked = _beside(line, pool, "tracked", partial(tracked_stage.collect, run))
    images = _built(line, run, rebuild=rebuild, given=given or {}) if line.needs("images") else None
    data, volume = None, None
    if validation is not None:
        with line.timed("data"):
            data = validation.result()
            if images is not None and (line.plans("train") or line.plans("code")):
                volume = data_stage.deliver(run, data, images.of(run.spec.train_key).id)
        line.settle("data", data)
    tracked()
    if images is None:
        return
    with _surroundings_beside(run, line, pool, images), _code_beside(run, line, pool, images, volume):
        if line.needs("train"):
            _train_and_serve(line, run, pool, then, TrainingStart(images, data, volume))


def _built(line: RunState, run: Run, *, rebuild: bool, given: Mapping[str, str]) -> Images:
    """Build the images; where the artifact is still to be baked into one of them, their record is not whole yet."""
    with line.timed("images"):
        images = images_stage.collect(run, rebuild=rebuild, given=given)
    line.settle("images", images, final=not bakes(run.spec))
    return images


def _train_and_serve(
    line: RunState, run: Run, pool: ThreadPoolExecutor, then: Callable[[Service], None], start: TrainingStart
) -> None:
    """Train, take the artifact, and serve it."""
    if run.spec.block.quality is not None and line.plans("quality"):
        pool.submit(quality_stage.warm, run, run.spec.block.quality)
    main: Future[tuple[Training, Artifact]] = Future()
    further: list[Callable[[], object]] = []

    def begin() -> None:
        again = partial(train_again, run, start, main.result, deep=line.selection.deep)
        further.append(_beside(line, pool, "trainings", again))

    with ExitStack() as stack:
        made = served = None
        with run.cores.for_the_line(), _promised(main):  # until the service is ready: then its requests take the core
            beside = _with_services(line, run, start, start.images, run.spec.train_key)
            made = _trained(line, run, start, begin)
            if made is not None:
                main.set_result(made)
                images = _baked(line, run, pool, start, made[1])
                if line.plans("steps"):
                    _with_services(line, run, start, images, run.spec.serve_key, before=beside)
                if line.needs("serve"):
                    with line.timed("serve"):
                        served = stack.enter_context(serve_stage.serving(run, images, start.data_volume))
        if made is None or served is None:
            for join in further:
                join()
            return
        line.settle("serve", served.record)
        if served.target is not None and served.record.interface is not None:
            given = (made[1], served.record, served.running, served.target, served.record.interface)
            then(Service(run, line, pool, images, start.data_volume, *given, further[0]))


def _with_services(
    line: RunState, run: Run, start: TrainingStart, images: Images, key: str, *, before: Services | None = None
) -> Services | None:
    """Start what train, and later serve, depends on; what stands between the two runs to its end."""
    is_last = key == run.spec.serve_key
    if before is None and not needed_by(run.spec, key):
        return None
    with line.timed("steps" if is_last else "services"):
        record = services_stage.collect(run, images, start.data_volume, key, before)
    line.settle("services", record, final=is_last)
    return record


def _trained(
    line: RunState, run: Run, start: TrainingStart, begin: Callable[[], object]
) -> tuple[Training, Artifact] | None:
    """Train and take the artifact, None where nobody needs that; `begin` is called while the container works."""
    with line.timed("train"):
        training, container = train_stage.collect(run, start.images, start.data_volume, meanwhile=begin)
    line.settle("train", training)
    if not line.needs("artifact"):
        return None
    with line.timed("artifact"):
        artifact = artifact_stage.collect(run, container, training.exit)
    line.settle("artifact", artifact)
    if line.needs("manifest"):
        line.settle("manifest", read_manifest(run.folder.path / "artifact", artifact, run.spec.block.artifact.files))
    return training, artifact


def _baked(line: RunState, run: Run, pool: ThreadPoolExecutor, start: TrainingStart, artifact: Artifact) -> Images:
    """Scan the artifact and bake it where that is how it travels; return the images that are served from."""
    images = start.images
    scan = _beside(line, pool, "scan", partial(scan_stage.collect, run, artifact))
    if line.plans("bake"):
        with line.timed("bake"):
            images = images_stage.bake(run, images)
        line.settle("images", images)
        pool.submit(surroundings_stage.packages, run, [images.of(run.spec.serve_key)])
    if line.needs("provenance"):
        line.settle("provenance", provenance_stage.collect(run, line.evidence))
    scan()
    return images


@contextmanager
def _promised(main: Future[tuple[Training, Artifact]]) -> Iterator[None]:
    """Let nobody wait for a training run that failed."""
    try:
        yield
    except BaseException:
        if not main.done():
            main.set_exception(RunOverError("the training left nothing"))
        raise


def _beside(
    line: RunState, pool: ThreadPoolExecutor, stage: str, work: Callable[[], Blockable]
) -> Callable[[], object]:
    """Begin a stage on a thread where a check needs it; return what waits for it."""
    return line.beside(pool, stage, work) if line.needs(stage) else lambda: None


def judge_service(service: Service) -> None:
    """Ask the service all that the contract asks; further containers work beside that, load and the end come alone."""
    run, line = service.run, service.line
    robustness, skew = _robustness_beside(service), _skew_beside(service)
    loaded = _beside(line, service.pool, "loaded", partial(loaded_stage.collect, run, service.running))
    contract = _contract(service, skew) if line.needs("contract") else None
    loaded()
    if skew is not None:
        skew()
    _judge_quality(service)
    if contract is not None and line.needs("fuzz"):
        chosen = line.selection
        options = partial(fuzz_stage.collect, deep=chosen.deep, seed=chosen.seed, budget=chosen.budget)
        line.record("fuzz", lambda: _asked(service, options(run, service.target, contract)))
    service.trainings()
    robustness()
    if contract is not None and line.needs("load"):
        memory = partial(run.engine.memory, service.running.container)
        line.record("load", lambda: _asked(service, load_stage.collect(run, service.target, contract, memory)))
    if contract is not None and line.needs("stop"):
        line.record("stop", lambda: stop_stage.collect(run, service.running, service.target, contract))


def _contract(service: Service, skew: Callable[[], Skew] | None) -> Contract:
    """Send the requests of the contract; last those that the training image predicts too, as soon as it has."""
    with service.run.cores.for_the_line() as give_back:

        def late() -> Skew | None:  # who waits for the training image needs no core
            give_back()
            return skew() if skew else None

        stage = partial(contract_stage.collect, service.run, service.target, service.interface, late)
        return service.line.record("contract", lambda: _asked(service, stage()))


def _asked(service: Service, record: R) -> R:
    """Add to what was recorded how the service ended, where it ended meanwhile."""
    died = service.running.ended(PATIENCE if record.lost_answers else 0.0)
    if died is not None:
        not_for_want_of_disk(died, "the service")
    elif record.lost_answers:  # a service that is told to end takes no more requests, and may need a while to end
        service.running.undisturbed()
    return replace(record, died=died)


def _judge_quality(service: Service) -> None:
    """Let the service predict the hold-out rows, where the project says how good it must be."""
    run, line, block = service.run, service.line, service.run.spec.block.quality
    if block is not None and line.needs("quality"):
        line.record("quality", lambda: quality_stage.collect(run, service.target, service.interface, block))


@contextmanager
def _surroundings_beside(run: Run, line: RunState, pool: ThreadPoolExecutor, images: Images) -> Iterator[None]:
    """Look into the images on a thread, and record on every path what the containers had: failures are compared by it.

    It is no stage that a check waits for. An image that is baked meanwhile is looked into as soon as it is there.
    """
    look = surroundings_stage
    packages, sources = pool.submit(look.packages, run, images.images), pool.submit(look.sources, run)
    processor = pool.submit(look.with_processor, run, line.evidence.environment, images.images)
    try:
        yield
    except KeyboardInterrupt:
        run.over.set()
        raise
    finally:
        patience = 0.0 if run.over.is_set() else LOOKING
        with suppress(HarnessError, OSError, TimeoutError, CancelledError):
            now, found = line.evidence.images or images, packages.result(patience)
            found |= look.packages(run, [image for image in now.images if image.service not in found])
            line.keep("surroundings", look.collect(run, now, found, sources.result(patience)))
            line.keep("environment", processor.result(patience))


@contextmanager
def _code_beside(
    run: Run, line: RunState, pool: ThreadPoolExecutor, images: Images, volume: str | None
) -> Iterator[None]:
    """Try the project's code on a thread; its result counts too where training fails, but not after an error."""
    join = _beside(line, pool, "code", partial(code_stage.collect, run, images, volume))
    try:
        yield
    except LineEndsError:
        join()
        raise
    join()


def _robustness_beside(service: Service) -> Callable[[], object]:
    """Let further containers of the serving image start on a thread; what they are is created before that."""
    run, line = service.run, service.line
    if not line.needs("robustness"):
        return lambda: None
    prepared = robustness_stage.prepare(run, service.images, service.volume, service.serving)
    return line.beside(service.pool, "robustness", lambda: robustness_stage.collect(run, prepared, service.serving))


def _skew_beside(service: Service) -> Callable[[], Skew] | None:
    """Let the training image predict the hold-out rows on a thread, where the project names some."""
    run, line, block = service.run, service.line, service.run.spec.block.contract.skew
    if block is None or not line.needs("skew"):
        return None

    def predict() -> Skew:
        return skew_stage.collect(
            run,
            service.images,
            service.volume,
            block=block,
            artifact=service.artifact,
            spoken=service.interface,
            with_rows=line.takes("contract.skew"),
        )

    return line.beside(service.pool, "skew", predict)
