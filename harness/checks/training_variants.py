"""Checks of training as a program: repeatable, honest about failure, content with little, and able to stop."""

from __future__ import annotations

import math
from collections.abc import Iterator

from harness.checks import check, failed, passed, skipped, warned, whole_metrics
from harness.checks.learning import recorded
from harness.config.spec import Spec
from harness.diagnosis import of_rerun, relevant
from harness.evidence.records import Artifact, Finding, Rerun, Trainings, is_housekeeping
from harness.evidence.records.training_variants import MUST_FAIL

SHOWN = 5
MOMENT = 0.8  # seconds: a program at its end needs no signal, and a busy engine that long to end its container
CLOSE = 1e-9  # relative: a parallel sum ends in other last digits
SAME = "the same content in other bytes"  # of `harness.runner.artifact_diff`
DEEP = "left to --deep"
CAUSES = (
    "Seed every generator that training uses, sort what comes out of a folder or a set, and use one thread where sums "
    "must repeat (OMP_NUM_THREADS=1)."
)


@check("train.deterministic", rubric="Infra 1")
def deterministic(spec: Spec, artifact: Artifact, trainings: Trainings) -> Iterator[Finding]:
    """A second run with the same seed gives the same model."""
    run, wanted = second(trainings), spec.block.train.repeat
    if run is None or run.exit.code != 0:
        yield failed(
            expected="a second training that ends as the first one did",
            received="it was not made" if run is None else of_rerun(spec, run).text,
            advice="The same training, started again, must end well."
            + ("" if run is None else f" {of_rerun(spec, run).advice}"),
        )
        return
    find = failed if wanted or spec.block.train.seed_env or spec.block.contract.strict else warned
    tier, evidence = _tier(spec, artifact, trainings, run)
    shown = [f"{name}: {how}" for name, how in list(trainings.content.items())[:SHOWN]]
    tiers = ("bytes", "parameters", "predictions")
    if tier is None:
        yield find(
            expected=f"a second run that repeats the {wanted or 'predictions'}",
            received="\n".join([evidence, *shown]),
            advice=CAUSES,
        )
    elif tier == "unknown":
        yield warned(
            expected="something by which two equal runs can be compared",
            received="\n".join([evidence, *shown]),
            advice="Record `loss` in the metrics, or name `contract.skew.command`: a predictor of the training image.",
        )
    elif tiers.index(tier) > tiers.index(wanted or "predictions"):
        yield failed(
            expected=f"a second run that repeats the {wanted}",
            received="\n".join([f"the {tier} repeat, the {wanted} do not ({evidence})", *shown]),
            advice=f"{CAUSES} Leave times and paths out of the files.",
        )
    else:
        yield passed(f"the {tier} repeat: {evidence}" + "".join(f"; {line}" for line in shown))


def _tier(spec: Spec, artifact: Artifact, trainings: Trainings, run: Rerun) -> tuple[str | None, str]:
    """Return the strongest tier that holds, and by what evidence; None where none does."""
    if not trainings.content:
        return "bytes", f"{len(artifact.files)} files are the same"
    own = artifact.metrics_name
    if trainings.content.keys() == {own}:
        return "parameters", f"all files but {own} are the same"
    if all(how == SAME for name, how in trainings.content.items() if name != own):
        return "parameters", "only the form of the files differs"
    again = trainings.repeated
    if again is None or again.error:
        tier, evidence = _by_curves(spec, artifact, run)
        return tier, f"{evidence}; the predictor told nothing: {again.error}" if again else evidence
    if again.differing:
        return None, f"{len(again.differing)} of {again.requests} predictions differ: {again.differing[0]}"
    return "predictions", f"{again.requests} predictions agree"


def _by_curves(spec: Spec, artifact: Artifact, run: Rerun) -> tuple[str | None, str]:
    """Compare the curves of loss and score: where nobody predicts, they stand for the predictions."""
    keys = [key for key in (spec.block.train.loss, spec.block.train.score) if key]
    curves = [(key, recorded(whole_metrics(artifact), key), recorded(whole_metrics(run), key)) for key in keys]
    for key, first, other in curves:
        if (number := _parting(first, other)) is not None:
            pair = [f"{values[number]:.17g}" if number < len(values) else "nothing" for values in (first, other)]
            return None, f"`{key}` parts at point {number + 1} of {len(first)}: {pair[0]} and {pair[1]}"
    if not any(first for _, first, _ in curves):
        return "unknown", "the files differ, and there are neither metrics nor a predictor to compare"
    return "predictions", f"the curves of {' and '.join(f'`{key}`' for key, first, _ in curves if first)} agree"


def _parting(first: tuple[float, ...], other: tuple[float, ...]) -> int | None:
    """Return the first point at which two curves differ; None where they do not."""
    for number, (left, right) in enumerate(zip(first, other, strict=False)):
        if not math.isclose(left, right, rel_tol=CLOSE) and not (math.isnan(left) and math.isnan(right)):
            return number
    return None if len(first) == len(other) else min(len(first), len(other))


@check("train.seed-matters", rubric="Infra 1")
def seed_matters(spec: Spec, artifact: Artifact, trainings: Trainings) -> Iterator[Finding]:
    """The seed decides what is random: results never vary while it stays, and may where it changes."""
    run, same, reason = trainings.of("seed"), second(trainings), trainings.left_out.get("seed", "it was not made")
    if spec.block.train.seed_env is None:
        yield skipped(reason)
    elif run is not None and run.exit.code != 0:
        cause = of_rerun(spec, run)
        yield failed(
            expected=f"a training with {run.change}",
            received=cause.text,
            advice=f"Training must work with any whole number as its seed. {cause.advice}",
        )
    elif same is None or same.exit.code != 0:
        yield skipped("no second run with the same seed ended well: see train.deterministic")
    elif (tier := _tier(spec, artifact, trainings, same)[0]) == "unknown":
        yield skipped("nothing tells whether the same seed gives the same result: see train.deterministic")
    elif tier is None:
        yield failed(
            expected="the same result with the same seed",
            received=f"results vary though {spec.block.train.seed_env} stays: training ignores it",
            advice=f"Read {spec.block.train.seed_env} and seed every generator with it. {CAUSES}",
        )
    elif run is None:
        yield passed(f"the same seed gives the same result; another one is {reason}")
    elif _same_learning(spec, artifact, run):
        yield passed(f"{run.change} changes nothing: the result does not depend on chance")
    else:
        yield passed(f"{run.change} gives another model, the same seed the same one")


def _same_learning(spec: Spec, artifact: Artifact, run: Rerun) -> bool:
    left, right = (recorded(whole_metrics(of), spec.block.train.loss) for of in (artifact, run))
    hashes = [{file.path: file.sha256 for file in files} for files in (artifact.files, run.files)]
    return hashes[0] == hashes[1] or bool(left and _parting(left, right) is None)


@check("train.exit-code-truth")
def exit_code_truth(artifact: Artifact, trainings: Trainings) -> Iterator[Finding]:
    """Training that must fail says so, and leaves nothing that looks complete."""
    runs = [run for run in map(trainings.of, MUST_FAIL) if run is not None]
    if not runs:
        yield skipped(next((trainings.left_out[n] for n in MUST_FAIL if n in trainings.left_out), "it was not made"))
        return
    bad = False
    for run in runs:
        whole = looks_complete(artifact, run)
        if run.exit.code not in (0, None) and not whole:
            continue
        bad = True
        left = "an artifact that looks complete" if whole else "no complete artifact"
        yield failed(
            expected=f"another exit code than 0 and no complete artifact when {run.change}",
            received=f"{run.exit.describe()}, {left}",
            advice="Let errors end the program (no bare `except`), check the data first, and write the artifact under "
            "a temporary name until it is whole.",
        )
    if not bad:
        deep = [name for name in MUST_FAIL if trainings.left_out.get(name) == DEEP]
        lines = [f"{run.change}: {run.exit.describe()}, no complete artifact ({_last_line(run)})" for run in runs]
        yield passed("\n".join([*lines, *([f"{DEEP}: {', '.join(deep)}"] if deep else [])]))


@check("train.interruptible")
def interruptible(spec: Spec, artifact: Artifact, trainings: Trainings) -> Iterator[Finding]:
    """SIGTERM ends training within its grace, and nothing that looks complete is left."""
    run = trainings.of("interrupted")
    if run is None or run.signalled is None:
        yield skipped("training ended before it could be interrupted" if run else "it was not made")
        return
    took = run.exit.seconds - run.signalled
    after = f"{took:.1f} s after SIGTERM, which came after {run.signalled:.1f} s"
    advice = (
        "The first process of a container has no default action for SIGTERM: handle it, or add `init: true` to the "
        "service. Start the program itself, not through a shell."
    )
    unheard = failed if spec.block.contract.strict or _has_init(spec) else warned
    if run.exit.timed_out and not looks_complete(artifact, run):
        yield unheard(
            expected=f"an end within the {trainings.grace:g} s that the service has after SIGTERM",
            received=f"it was still running and was killed {after}",
            advice=advice,
        )
    elif run.exit.code == 0 and looks_complete(artifact, run) and took < MOMENT:
        yield skipped(f"training ended by itself {after}: too soon to tell")
    elif run.exit.code == 0 and looks_complete(artifact, run):
        yield unheard(
            expected="an end by SIGTERM",
            received=f"it did not hear it, trained on to its end and exited with 0 {after}",
            advice=f"A training of hours would be killed. {advice}",
        )
    elif looks_complete(artifact, run):
        yield failed(
            expected="no artifact that looks complete after an interrupt",
            received=f"{'was killed' if run.exit.timed_out else run.exit.describe()} {after}, but all files of an "
            "artifact are there",
            advice="Write the artifact under a temporary name and rename it when it is whole.",
        )
    elif run.exit.code == 0:
        yield failed(
            expected="another exit code than 0 after an interrupt without an artifact",
            received=f"exit code 0 {after}",
            advice="Exit with 143 (128 + SIGTERM): who started the training must see that it did not end well.",
        )
    else:
        yield passed(f"{run.exit.describe()} {after}; no complete artifact")


@check("train.hermetic")
def hermetic(spec: Spec, trainings: Trainings) -> Iterator[Finding]:
    """Training needs no network, no writable root, no capabilities and no user of its own."""
    again = trainings.of("again")
    if again is None:
        yield skipped("it was not made")
        return
    if again.exit.code == 0:
        yield passed(again.change)
        return
    plain = trainings.of("repeat")
    single = [run for run in trainings.runs if run.name.startswith(("with", "as-"))]
    holds = [run.change for run in single if run.exit.code == 0]
    broken = [run for run in single if run.exit.code != 0]
    lines = [f"{run.change}: {run.exit.describe()}: {_last_line(run)}" for run in broken]
    if not broken:
        lines = [f"all at once: {again.exit.describe()}: {_last_line(again)}"]
    if plain is not None and plain.exit.code != 0:
        lines = [f"it fails without any restriction too: {plain.exit.describe()}: {_last_line(plain)}"]
    find = failed if spec.block.contract.strict else warned
    yield find(
        expected=again.change.removeprefix("the same once more, "),
        received="\n".join([*lines, f"what holds: {', '.join(holds) or 'nothing'}"]),
        advice="Bring all that training needs in the image and the dataset, write to the artifact's folder and to /tmp "
        "alone, and let any user read the code. Restrict the service so that it stays true.",
    )


def _has_init(spec: Spec) -> bool:
    """Whether SIGTERM reaches training with its default action, so that only a program that refuses goes on.

    The kernel gives the first process of a container no such action: Python, as any program without a handler of its
    own, does not hear the signal there.
    """
    return bool(spec.model["services"].get(spec.block.train.service, {}).get("init"))


def second(trainings: Trainings) -> Rerun | None:
    """Return the second run of the same training: with restrictions, where it bears them."""
    return trainings.of("repeat") or trainings.of("again")


def looks_complete(artifact: Artifact, run: Rerun) -> bool:
    """Whether a run left all that a whole artifact has, apart from the metrics: its files, none of them empty.

    What the image had there before either of them is left by nobody.
    """
    made = {file.path for file in artifact.files if file.size and not is_housekeeping(file.path)}
    needed = made - {artifact.metrics_name, *artifact.brought}
    return bool(needed) and needed <= {file.path for file in run.files if file.size} - {*run.brought}


def _last_line(run: Rerun) -> str:
    return next(reversed(relevant(run.exit.log_tail)), "it printed nothing")
