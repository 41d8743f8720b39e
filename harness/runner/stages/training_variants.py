"""Trains again, each time with one thing changed, beside the main line; judges nothing."""

from __future__ import annotations

import io
import tarfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from harness.diagnosis import MEANT_TO_FAIL
from harness.engine import Leftover, Running
from harness.engine.labels import STAGE
from harness.errors import DescriptionError, EngineUnavailableError, InfrastructureError, RunOverError
from harness.evidence.records import Artifact, Data, Exit, Images, Repeated, Rerun, Training, Trainings
from harness.evidence.records.training_variants import INTERRUPTED
from harness.runner import training_variants
from harness.runner.artifact_diff import SAME, differences
from harness.runner.stages import Run, not_for_want_of_disk
from harness.runner.stages.logs import LogFile
from harness.runner.training_variants import VariantPlan, VariantPlans

AT_ONCE = 2  # each of them needs its memory
SHARES = 128  # of the time of a core that is asked for by others too, who have 1024: the main line goes first
CANNOT_RUN = 126  # as a shell says it of a program that it may not run
LOOK = 0.05  # seconds between two looks for a first line
SILENT = 0.5  # of the time that a training took which prints nothing: SIGTERM then comes

Deliver = Callable[[Path], str]  # folder -> volume that holds it
# Container, folder and log in the run folder, how it ended -> what training left.
Take = Callable[[str, str, str, Exit], Artifact]

Main = Callable[[], tuple[Training, Artifact]]  # waits for what the main run trained
RepeatPredictions = Callable[[str], Repeated | None]  # volume of the second artifact -> how the predictions repeat


@dataclass(frozen=True)
class TrainingStart:
    """What every training run starts from."""

    images: Images
    data: Data | None
    data_volume: str | None


def collect(
    run: Run,
    start: TrainingStart,
    main: Main,
    *,
    deliver: Deliver,
    take: Take,
    repeat: RepeatPredictions,
    deep: bool = False,
) -> Trainings:
    """Make the further runs, beside the main one where they can do nothing to it.

    `main` waits for the main run, `repeat` predicts with two artifacts that differ in more than their form. Raises
    RunOverError when the run ends meanwhile.
    """
    spec = run.spec
    plans = training_variants.plan(spec, start.data, run.folder.path / "trainings/data", deep=deep)
    containers = _created(run, start, plans.runs, deliver)
    if not training_variants.is_apart(spec):
        main()
    runs = _train(run, main, plans.runs, containers, take)
    again, (_, artifact) = runs[0], main()
    late = training_variants.add_full_disk(plans, spec, artifact, deep=deep)
    runs += _on_a_full_disk(run, main, plans, _created(run, start, late, deliver), take) if late else []
    if again.exit.code != 0:  # one of the restrictions is too much: which?
        single = training_variants.singly(spec)
        runs += _train(run, main, single, _created(run, start, single, deliver), take)
        again = next(made for made in runs if made.name == training_variants.REPEAT)
    first, second = (run.folder.path / name for name in ("artifact", f"trainings/{again.name}/artifact"))
    content = differences(artifact.files, again.files, first, second) if again.exit.code == 0 else {}
    predict = None if all(how == SAME for how in content.values()) else repeat
    return Trainings(
        runs=tuple(runs),
        left_out=plans.left_out,
        grace=training_variants.grace(spec),
        seed=training_variants.SHUFFLE_SEED,
        labels=plans.labels,
        batch=plans.batch,
        tile=plans.tile,
        numeric=plans.numeric,
        content=content,
        repeated=predict and predict(_volume(run, again.name)),
    )


@dataclass
class _Hearing:
    """Writes a log, and tells of its first line."""

    file: LogFile
    speaks: threading.Event = field(default_factory=threading.Event)

    @property
    def dropped(self) -> int:
        return self.file.dropped

    def write(self, text: str) -> None:
        self.file.write(text)
        self.speaks.set()


def _created(run: Run, start: TrainingStart, plans: Sequence[VariantPlan], deliver: Deliver) -> dict[str, str]:
    """Create the containers of runs with one call of Compose; return name of the run -> ID."""
    key = run.spec.train_key
    image = start.images.of(key).id
    shares = SHARES if run.engine.info().get("CPUShares") else None  # not every engine of a user may divide cores
    variants = []
    for plan in plans:
        volume = _volume(run, plan.name)
        tmpfs = {"type": "tmpfs", "device": "tmpfs", "o": plan.disk}
        run.engine.create_volume(volume, run.labels, tmpfs if plan.disk else None)
        if plan.open_artifact and training_variants.has_volume(run.spec):
            _open(run, image, volume)
        data = deliver(plan.dataset) if plan.dataset else None
        weight = None if plan.name == INTERRUPTED else shares  # how soon it ends is measured
        variants.append(plan.variant(run.spec, volume, data, weight))
    made = run.create_variants(key, start.images.ids(key), start.data_volume, variants)
    return {plan.name: made[f"{training_variants.PREFIX}{plan.name}"] for plan in plans}


def _train(
    run: Run, main: Main, plans: Sequence[VariantPlan], containers: Mapping[str, str], take: Take
) -> list[Rerun]:
    """Train, as many at a time as there are free cores."""

    def one(plan: VariantPlan) -> Rerun:
        training = main()[0] if plan.name == INTERRUPTED else None
        with run.cores.one():
            if run.over.is_set():
                raise RunOverError("the run has ended")
            return _once(run, training, plan, containers[plan.name], take)

    with ThreadPoolExecutor(AT_ONCE) as pool:
        return list(pool.map(one, plans))


def _on_a_full_disk(
    run: Run, main: Main, plans: VariantPlans, containers: Mapping[str, str], take: Take
) -> list[Rerun]:
    """Train on a disk that is too small, the last plan; where the engine has none so small, it joins those left out."""
    try:
        return _train(run, main, plans.runs[-1:], containers, take)
    except EngineUnavailableError:
        raise
    except (DescriptionError, InfrastructureError) as exc:
        plans.left_out[plans.runs[-1].name] = f"no container starts here with a disk that small: {exc}"
        return []


def _volume(run: Run, name: str) -> str:
    """Return the name of the volume for the artifact of a further run."""
    return f"{run.project}-{training_variants.PREFIX}{name}"


def _once(run: Run, training: Training | None, plan: VariantPlan, container: str, take: Take) -> Rerun:
    """Run one container to its end, or interrupt it; one that cannot even start with its change has failed."""
    log = f"trainings/{plan.name}/log.txt"
    try:
        ended, signalled = _ended(run, training, container, log)
    except DescriptionError as exc:
        if plan.disk:  # it says nothing of training
            raise
        said = (str(exc),)
        ended, signalled = Exit(code=CANNOT_RUN, oom_killed=False, timed_out=False, seconds=0.0, log_tail=said), None
    if plan.name not in MEANT_TO_FAIL:
        not_for_want_of_disk(ended, "a further training")
    left = take(container, f"trainings/{plan.name}/artifact", log, ended)
    run.engine.remove(Leftover("container", container, plan.name, {}))
    run.say("trainings", f"{plan.name} ({plan.change}): {ended.describe()} after {ended.seconds:.1f} s")
    return Rerun(
        name=plan.name,
        change=plan.change,
        exit=ended,
        files=left.files,
        brought=left.brought,
        metrics=left.metrics,
        metrics_error=left.metrics_error,
        metrics_lost=left.metrics_lost,
        signalled=signalled,
    )


def _ended(run: Run, training: Training | None, container: str, log: str) -> tuple[Exit, float | None]:
    """Run a container; return how it ended, and when SIGTERM was sent: it is, where the main training is given.

    It shares the cores with others and has more time for that. Raises DescriptionError if it cannot start.
    """
    signalled = None
    with run.file(log) as file, run.engine.started(container, hearing := _Hearing(file)) as process:
        limit = run.spec.block.train.timeout * (AT_ONCE + 1)
        if training is not None:
            patience = limit if training.exit.log_tail else SILENT * training.exit.seconds
            if not _ended_before(process, hearing.speaks, patience):
                signalled = process.seconds
                process.signal("SIGTERM")
            limit = training_variants.grace(run.spec)
        if not process.wait(limit):
            process.stop()
        return process.exit(), signalled


def _ended_before(process: Running, speaks: threading.Event, patience: float) -> bool:
    """Wait for its first line, its end or so many seconds; whether it has ended."""
    until = time.monotonic() + patience
    while not process.wait(LOOK):
        if speaks.is_set() or time.monotonic() > until:
            return False
    return True


def _open(run: Run, image: str, volume: str) -> None:
    """Let every user write to a new volume, as a platform with users of its own does it.

    What the image has at the place of the artifact is copied into the volume first, where it is for the training too.
    """
    place = PurePosixPath(training_variants.place(run.spec))
    name = f"{volume}-open"
    mount = str(place) if training_variants.copies(run.spec) else f"{place}:nocopy"
    helper = run.engine.helper(image, name, volume, mount, {**run.labels, STAGE: "trainings"})
    if helper is None:
        raise LookupError(f"the name {name} belongs to this run alone, and is taken")
    tar = io.BytesIO()
    with tarfile.open(fileobj=tar, mode="w") as archive:
        folder = tarfile.TarInfo(place.name)  # named from above: `.` would keep its mode
        folder.type, folder.mode = tarfile.DIRTYPE, 0o777
        archive.addfile(folder)
    tar.seek(0)
    run.engine.write(helper, str(place.parent), tar)
    run.engine.remove(Leftover("container", helper, name, {}))
