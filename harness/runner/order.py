"""The stages of a run as a graph: what each needs stands in its parameters, `harness.runner.scheduler` finds the order.

A stage that is not in `harness.evidence.stages` makes no evidence: its result is for other stages alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import CancelledError, ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass, replace
from functools import partial
from typing import TypeVar

from harness.errors import HarnessError
from harness.evidence.records import (
    Artifact,
    Code,
    Contract,
    Data,
    Fuzz,
    Images,
    Load,
    Loaded,
    Manifest,
    Provenance,
    Quality,
    Robustness,
    Scan,
    Services,
    Skew,
    Stop,
    Tracked,
    Training,
    Trainings,
)
from harness.runner.further import train_again
from harness.runner.run_state import RunState
from harness.runner.scheduler import StageFunction, stage
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
from harness.runner.stages.robustness import Prepared
from harness.runner.stages.serve import Served
from harness.runner.stages.training_variants import TrainingStart
from harness.scanner.manifests import read_manifest

PATIENCE = 0.5  # seconds: a service that dies closes its connections a moment before the engine says so
LOOKING = 10.0  # seconds for what is looked at beside the run, when the run is over
R = TypeVar("R", Contract, Fuzz, Load)


@dataclass(frozen=True)
class Delivered:
    """The record of a dataset, and the volume of the engine that holds it, where it was brought there."""

    record: Data
    volume: str | None


@dataclass(frozen=True)
class Trained:
    """The record of a training, and the container that ended: the artifact is taken from it."""

    record: Training
    container: str


@stage("validation", beside=True)
def validation(run: Run) -> Data | None:
    """Validate the dataset, while the engine builds."""
    return data_stage.collect(run.spec, run.folder) if run.spec.block.data else None


@stage("tracked", beside=True)
def tracked(run: Run) -> Tracked:
    """Ask git about model files."""
    return tracked_stage.collect(run)


@stage("images")
def images(*, run: Run, rebuild: bool, given: Mapping[str, str]) -> Images:
    """Build the images, those alone that are not `given`; one into which the artifact is baked is left to `bake`."""
    return images_stage.collect(run, rebuild=rebuild, given=given)


@stage("surroundings", unasked=True, lasts=True)
@contextmanager
def surroundings(run: Run, state: RunState, pool: ThreadPoolExecutor, images: Images) -> Iterator[None]:
    """Begin to look at what surrounds the code, and record it at the end, also after an error: failures are compared.

    An image that is baked meanwhile is looked into at the end.
    """
    look = surroundings_stage
    listed, hashed = pool.submit(look.packages, run, images.images), pool.submit(look.sources, run)
    processor = pool.submit(look.with_processor, run, state.evidence.environment, images.images)
    try:
        yield
    except KeyboardInterrupt:
        run.over.set()
        raise
    finally:
        patience = 0.0 if run.over.is_set() else LOOKING
        with suppress(HarnessError, OSError, TimeoutError, CancelledError):
            now, found = state.evidence.images or images, listed.result(patience)
            found |= look.packages(run, [image for image in now.images if image.service not in found])
            state.keep("surroundings", look.collect(run, now, found, hashed.result(patience)))
            state.keep("environment", processor.result(patience))


@stage("data", late=("validation",), soft=("images",), record=lambda delivered: delivered.record)
def data(run: Run, state: RunState, images: Images | None, validation: Callable[[], Data]) -> Delivered:
    """Wait for what is found in the dataset, and bring it to the engine where a container will read it."""
    found, name = validation(), None
    if images is not None and (state.plans("train") or state.plans("code")):
        name = data_stage.deliver(run, found, images.of(run.spec.train_key).id)
    return Delivered(found, name)


@stage("volume", after=("images",))
def volume(data: Delivered | None) -> str | None:
    """The name of the dataset's volume, None where a project names no dataset."""
    return data.volume if data else None


@stage("code", beside=True, always=True)
def code(run: Run, images: Images, volume: str | None) -> Code:
    """Try the project's code where it trains; that counts too where training fails."""
    return code_stage.collect(run, images, volume)


@stage("warm", beside=True, after=("volume",))
def warm(run: Run) -> None:
    """Import what the quality gate will need, while only a container works."""
    if run.spec.block.quality is not None:
        quality_stage.warm(run, run.spec.block.quality)


@stage("services", holds_core=True)
def services(run: Run, images: Images, volume: str | None) -> Services:
    """Start what training depends on."""
    return services_stage.collect(run, images, volume, run.spec.train_key, None)


@stage("train", holds_core=True, after=("services",), record=lambda trained: trained.record)
def train(run: Run, images: Images, volume: str | None, begun: Callable[[], None]) -> Trained:
    """Train; what starts with it begins when its container runs."""
    return Trained(*train_stage.collect(run, images, volume, meanwhile=begun))


@stage("artifact", holds_core=True)
def artifact(run: Run, train: Trained) -> Artifact:
    """Take what training left."""
    return artifact_stage.collect(run, train.container, train.record.exit)


@stage("manifest", holds_core=True, is_timed=False)
def manifest(run: Run, artifact: Artifact) -> Manifest:
    """Read what the artifact's files say of it."""
    return read_manifest(run.folder.path / "artifact", artifact, run.spec.block.artifact.files)


@stage("trainings", beside=True, starts_with="train", late=("train", "artifact"))
def trainings(
    *,
    run: Run,
    state: RunState,
    images: Images,
    data: Delivered | None,
    volume: str | None,
    train: Callable[[], Trained],
    artifact: Callable[[], Artifact],
) -> Trainings:
    """Train again with one thing changed each, beside the main training where that can do nothing to it."""

    def main() -> tuple[Training, Artifact]:
        return train().record, artifact()

    start = TrainingStart(images, data.record if data else None, volume)
    return train_again(run, start, main, deep=state.selection.deep)


@stage("scan", beside=True)
def scan(run: Run, artifact: Artifact) -> Scan:
    """Read the artifact's files without loading them."""
    return scan_stage.collect(run, artifact)


@stage("bake", holds_core=True, after=("artifact",))
def bake(run: Run, images: Images) -> Images:
    """Build the serving image with the artifact in it; return all images."""
    return images_stage.bake(run, images)


@stage("packages", beside=True, unasked=True, after=("bake",))
def packages(run: Run, bake: Images | None) -> None:
    """List the packages of a baked image while it is served: what surrounds the code is then known at once."""
    with suppress(HarnessError, OSError):
        surroundings_stage.packages(run, [bake.of(run.spec.serve_key)] if bake else [])


@stage("final", holds_core=True)
def final(images: Images, bake: Images | None) -> Images:
    """The images that serving starts from: with the artifact in them, where it is baked."""
    return bake or images


@stage("provenance", holds_core=True, after=("artifact", "images"), soft=("bake",), is_timed=False)
def provenance(run: Run, state: RunState) -> Provenance:
    """Write down what the artifact was made of; of a baked one, with the image that it went into."""
    return provenance_stage.collect(run, state.evidence)


@stage("steps", holds_core=True, after=("artifact",))
def steps(run: Run, final: Images, services: Services | None, volume: str | None) -> Services:
    """Start what serving depends on; what stands between training and serving runs to its end."""
    return services_stage.collect(run, final, volume, run.spec.serve_key, services)


@stage("serve", holds_core=True, lasts=True, after=("artifact", "steps"), record=lambda served: served.record)
def serve(run: Run, final: Images, volume: str | None) -> AbstractContextManager[Served]:
    """Serve the artifact until the run is over."""
    return serve_stage.serving(run, final, volume)


@stage("variants")
def variants(run: Run, final: Images, volume: str | None, serve: Served) -> Prepared:
    """Create the further containers of the serving image before the service is asked anything."""
    return robustness_stage.prepare(run, final, volume, serve.record)


@stage("robustness", beside=True)
def robustness(run: Run, variants: Prepared, serve: Served) -> Robustness:
    """Start the service without its artifact, and under restrictions."""
    return robustness_stage.collect(run, variants, serve.record)


@stage("skew", beside=True)
def skew(
    *,
    run: Run,
    state: RunState,
    final: Images,
    volume: str | None,
    artifact: Artifact,
    serve: Served,
) -> Skew:
    """Let the training image predict the hold-out rows."""
    block = run.spec.block.contract.skew
    if block is None:
        raise RuntimeError("no hold-out rows for skew: the stage is not there without them")
    return skew_stage.collect(
        run,
        final,
        volume,
        block=block,
        artifact=artifact,
        interface=serve.way[1],
        with_rows=state.takes("contract.skew"),
    )


@stage("loaded", beside=True)
def loaded(run: Run, serve: Served) -> Loaded:
    """Ask the running service which packages it has loaded."""
    return loaded_stage.collect(run, serve.running)


@stage("contract", holds_core=True, late=("skew",), soft=("skew",))
def contract(run: Run, serve: Served, skew: Callable[[], Skew | None]) -> Contract:
    """Send the requests of the contract; last those that the training image predicts too, as soon as it has."""
    return _asked(serve, contract_stage.collect(run, *serve.way, skew))


@stage("quality", after=("warm",))
def quality(run: Run, serve: Served) -> Quality:
    """Let the service predict the hold-out rows."""
    block = run.spec.block.quality
    if block is None:
        raise RuntimeError("no conditions of quality: the stage is not there without them")
    return quality_stage.collect(run, *serve.way, block)


@stage("fuzz")
def fuzz(run: Run, state: RunState, serve: Served, contract: Contract) -> Fuzz:
    """Send requests that the API document allows, and some that it does not."""
    chosen = state.selection
    made = fuzz_stage.collect(run, serve.way[0], contract, deep=chosen.deep, seed=chosen.seed, budget=chosen.budget)
    return _asked(serve, made)


@stage("load", alone=True)
def load(run: Run, serve: Served, contract: Contract) -> Load:
    """Send requests as fast as is promised."""
    memory = partial(run.engine.memory, serve.running.container)
    return _asked(serve, load_stage.collect(run, serve.way[0], contract, memory))


@stage("stop", alone=True)
def stop(run: Run, serve: Served, contract: Contract) -> Stop:
    """Send the stop signal to a service that is being asked: nobody asks it after that."""
    return stop_stage.collect(run, serve.running, serve.way[0], contract)


# In the order in which they begin, where several are ready.
STAGES: tuple[StageFunction, ...] = (
    *(validation, tracked, images, surroundings, data, volume, code, warm, services, train, artifact, manifest),
    *(trainings, scan, bake, packages, final, provenance, steps, serve, variants, robustness, skew, loaded),
    *(contract, quality, fuzz, load, stop),
)


def _asked(served: Served, record: R) -> R:
    """Add to what was recorded how the service ended, where it ended meanwhile."""
    died = served.running.ended(PATIENCE if record.lost_answers else 0.0)
    if died is not None:
        not_for_want_of_disk(died, "the service")
    elif record.lost_answers:  # a service that is told to end takes no more requests, and may need a while to end
        served.running.undisturbed()
    return replace(record, died=died)
