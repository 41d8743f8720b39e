"""The order of a run: which stage follows which, and what runs beside the line."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from functools import partial
from typing import TypeVar

from harness.engine import Running
from harness.errors import HarnessError
from harness.further import train_again
from harness.http import Target
from harness.line import Blockable, Line, LineEndsError
from harness.manifests import read_manifest
from harness.records import Artifact, Contract, Data, Fuzz, Images, Interface, Load, Serving, Skew, Training
from harness.spec import Handover
from harness.stages import Run, RunOverError, not_for_want_of_disk
from harness.stages import artifact as artifact_stage
from harness.stages import code as code_stage
from harness.stages import contract as contract_stage
from harness.stages import data as data_stage
from harness.stages import fuzz as fuzz_stage
from harness.stages import images as images_stage
from harness.stages import load as load_stage
from harness.stages import loaded as loaded_stage
from harness.stages import provenance as provenance_stage
from harness.stages import quality as quality_stage
from harness.stages import robustness as robustness_stage
from harness.stages import scan as scan_stage
from harness.stages import serve as serve_stage
from harness.stages import skew as skew_stage
from harness.stages import stop as stop_stage
from harness.stages import surroundings as surroundings_stage
from harness.stages import tracked as tracked_stage
from harness.stages import train as train_stage
from harness.stages.trainings import Start

PATIENCE = 0.5  # seconds: a service that dies closes its connections a moment before the engine says so
LOOKING = 10.0  # seconds for what is looked at beside the line, when the line is over
R = TypeVar("R", Contract, Fuzz, Load)


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
    trainings: Callable[[], object]  # waits for the further training runs


def go(
    line: Line,
    run: Run,
    pool: ThreadPoolExecutor,
    then: Callable[[Service], None],
    *,
    rebuild: bool,
    given: Mapping[str, str] | None = None,
) -> None:
    """Go down the line to a served model. The dataset is validated while the engine builds the images.

    `given` are images that are taken as they are: service -> ID.
    """
    baking = run.spec.handover is not Handover.MOUNTED
    validation = pool.submit(data_stage.collect, run.spec, run.folder) if run.spec.block.data else None
    if validation is None:
        line.lacks("data")

    tracked = _beside(line, pool, "tracked", partial(tracked_stage.collect, run))
    with line.timed("images"):
        images = images_stage.collect(run, rebuild=rebuild, given=given or {})
    line.settle("images", images, final=not baking)

    data, volume = None, None
    if validation is not None:
        with line.timed("data"):
            data = validation.result()
            volume = data_stage.deliver(run, data, images.of(run.spec.train_key).id)
        line.settle("data", data, final=not baking)

    tracked()
    with _surroundings_beside(run, line, pool, images), _code_beside(run, line, pool, images, volume):
        _train_and_serve(line, run, pool, then, images=images, data=data, volume=volume)


def _train_and_serve(
    line: Line,
    run: Run,
    pool: ThreadPoolExecutor,
    then: Callable[[Service], None],
    *,
    images: Images,
    data: Data | None,
    volume: str | None,
) -> None:
    """Train, take the artifact, and serve it."""
    baking = run.spec.handover is not Handover.MOUNTED
    if run.spec.block.quality is not None and line.wants("quality"):
        pool.submit(quality_stage.warm, run, run.spec.block.quality)
    main: Future[tuple[Training, Artifact]] = Future()
    further: list[Callable[[], object]] = []

    def begin() -> None:
        again = partial(train_again, run, Start(images, data, volume), main.result, deep=line.selection.deep)
        further.append(_beside(line, pool, "trainings", again))

    with ExitStack() as stack:
        with run.cores.for_the_line(), _promised(main):  # until the service is ready: then its requests take the core
            training, artifact = _trained(line, run, images, volume, begin)
            main.set_result((training, artifact))
            scan = _beside(line, pool, "scan", partial(scan_stage.collect, run, artifact))
            if baking:
                with line.timed("bake"):
                    images = images_stage.bake(run, images)
                line.settle("images", images)
                pool.submit(surroundings_stage.packages, run, [images.of(run.spec.serve_key)])
            if line.needs("provenance"):
                line.settle("provenance", provenance_stage.collect(run, line.evidence))
            scan()
            with line.timed("serve"):
                served = stack.enter_context(serve_stage.serving(run, images, volume))
        line.settle("serve", served.record)
        spoken = served.record.interface
        if served.target is not None and spoken is not None:
            given = (served.record, served.running, served.target, spoken)
            then(Service(run, line, pool, images, volume, artifact, *given, further[0]))


def _trained(
    line: Line, run: Run, images: Images, volume: str | None, begin: Callable[[], object]
) -> tuple[Training, Artifact]:
    """Train and take the artifact; `begin` is called while the container works."""
    final = run.spec.handover is Handover.MOUNTED  # else baking comes
    with line.timed("train"):
        training, container = train_stage.collect(run, images, volume, meanwhile=begin)
    line.settle("train", training, final=final)
    with line.timed("artifact"):
        artifact = artifact_stage.collect(run, container, training.exit)
    line.settle("artifact", artifact, final=final)
    if line.needs("manifest"):
        line.settle("manifest", read_manifest(run.folder.path / "artifact", artifact, run.spec.block.artifact.files))
    return training, artifact


@contextmanager
def _promised(main: Future[tuple[Training, Artifact]]) -> Iterator[None]:
    """Let nobody wait for a training run that failed."""
    try:
        yield
    except BaseException:
        if not main.done():
            main.set_exception(RunOverError("the training left nothing"))
        raise


def _beside(line: Line, pool: ThreadPoolExecutor, stage: str, work: Callable[[], Blockable]) -> Callable[[], object]:
    """Begin a stage on a thread where a check needs it; return what waits for it."""
    return line.beside(pool, stage, work) if line.needs(stage) else lambda: None


def judge_service(service: Service) -> None:
    """Ask the service all that the contract asks; further containers work beside that, load and the end come alone."""
    run, line, target, spoken = service.run, service.line, service.target, service.interface
    robustness, skew = _robustness_beside(service), _skew_beside(service)
    loaded = _beside(line, service.pool, "loaded", partial(loaded_stage.collect, run, service.running))
    with run.cores.for_the_line() as give_back:

        def late() -> Skew | None:  # who waits for the training image needs no core
            give_back()
            return skew() if skew else None

        contract = line.record("contract", lambda: _asked(service, contract_stage.collect(run, target, spoken, late)))
    loaded()
    _judge_quality(service)
    if line.needs("fuzz"):
        chosen = line.selection
        options = partial(fuzz_stage.collect, deep=chosen.deep, seed=chosen.seed, budget=chosen.budget)
        line.record("fuzz", lambda: _asked(service, options(run, target, contract)))
    service.trainings()
    robustness()
    if line.needs("load"):
        memory = partial(run.engine.memory, service.running.container)
        line.record("load", lambda: _asked(service, load_stage.collect(run, target, contract, memory)))
    if line.needs("stop"):
        line.record("stop", lambda: stop_stage.collect(run, service.running, target, contract))


def _asked(service: Service, record: R) -> R:
    """Add to what was recorded how the service ended, where it ended meanwhile."""
    died = service.running.ended(PATIENCE if record.lost_answers else 0.0)
    if died is not None:
        not_for_want_of_disk(died, "the service")
    return replace(record, died=died)


def _judge_quality(service: Service) -> None:
    """Let the service predict the hold-out rows, where the project says how good it must be."""
    run, line, block = service.run, service.line, service.run.spec.block.quality
    if block is None:
        line.lacks("quality")
    elif line.needs("quality"):
        line.record("quality", lambda: quality_stage.collect(run, service.target, service.interface, block))


@contextmanager
def _surroundings_beside(run: Run, line: Line, pool: ThreadPoolExecutor, images: Images) -> Iterator[None]:
    """Look into the images on a thread, and record on every path what the containers had: failures are compared by it.

    It is no stage that a check waits for. An image that is baked meanwhile is looked into as soon as it is there.
    """
    look = surroundings_stage
    packages, sources = pool.submit(look.packages, run, images.images), pool.submit(look.sources, run)
    processor = pool.submit(look.with_processor, run, line.evidence.environment, images.images)
    try:
        yield
    finally:
        with suppress(HarnessError, OSError, TimeoutError, CancelledError):
            now, found = line.evidence.images or images, packages.result(LOOKING)
            found |= look.packages(run, [image for image in now.images if image.service not in found])
            line.keep("surroundings", look.collect(run, now, found, sources.result(LOOKING)))
            line.keep("environment", processor.result(LOOKING))


@contextmanager
def _code_beside(run: Run, line: Line, pool: ThreadPoolExecutor, images: Images, volume: str | None) -> Iterator[None]:
    """Try the project's code on a thread; its result counts too where training fails, but not after an error."""
    if not code_stage.is_wanted(run.spec):
        line.lacks("code")
        yield
        return
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
    if block is None:
        line.lacks("skew")
        return None
    if not line.needs("skew"):
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
