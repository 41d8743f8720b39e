"""Interrupts in every stage, and a harness that is killed: what it created is gone, what others run is not."""

from __future__ import annotations

import secrets
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from ..support import Cable, Engine, Harness, Launched, Mini, eventually, nightly

pytestmark = pytest.mark.engine

WITHIN = 5.0  # seconds from the signal until nothing is left
LARGE = 400_000_000  # bytes: enough to be met while they are delivered
SLOW = "import time; print('begun', flush=True); time.sleep(60)"


@dataclass(frozen=True)
class Scene:
    """A run in the stage of interest."""

    project: Path
    reached: Callable[[Launched, Engine], object]
    trace: str = ""  # stands in the command of a build's own containers


def slow_build(mini: Mini) -> Scene:
    """Return a run whose train image takes a minute to build."""
    trace = f"sleep 60 ; echo {secrets.token_hex(6)}"
    build = {"context": ".", "dockerfile": "train.Dockerfile", "args": ["BASE_IMAGE"]}
    project = mini({"services": {"train": {"image": None, "build": build}}})
    lines = f"ARG BASE_IMAGE\nFROM ${{BASE_IMAGE}}\nRUN {trace}\n"
    (project / "train.Dockerfile").write_text(lines, encoding="utf-8")
    return Scene(project, lambda _, engine: eventually(lambda: _runs(engine, trace), 20, "the build runs"), trace)


def large_data(mini: Mini) -> Scene:
    """Return a run that has a large dataset to deliver."""
    project = mini()
    with (project / "data/large.bin").open("wb") as file:
        file.write(secrets.token_bytes(16))
        file.truncate(LARGE)

    def filling(launched: Launched, engine: Engine) -> None:
        launched.prints("data ...")
        eventually(lambda: engine.containers(project.name, running=False) == ["data"], 30, "the volume is filled")

    return Scene(project, filling)


def slow_training(mini: Mini) -> Scene:
    """Return a run that trains for a minute."""
    return Scene(mini(train=SLOW), lambda launched, _: launched.prints("train | begun"))


def slow_baking(mini: Mini) -> Scene:
    """Return a run whose serving image takes a minute to bake."""
    trace = f"sleep 60 ; echo {secrets.token_hex(6)}"
    project = mini.baking(after=f"RUN {trace}")
    return Scene(project, lambda _, engine: eventually(lambda: _runs(engine, trace), 20, "the build runs"), trace)


def never_ready(mini: Mini) -> Scene:
    """Return a run that waits for its service."""
    project = mini(fault="unready")
    serving = "serve"
    return Scene(
        project, lambda _, engine: eventually(lambda: serving in engine.containers(project.name), 30, "it serves")
    )


def hanging_answer(mini: Mini) -> Scene:
    """Return a run that waits for the answer to a request."""
    return Scene(mini(fault="hangs"), lambda launched, _: launched.prints("contract ..."))


def _runs(engine: Engine, trace: str) -> bool:
    return any("running" in each for each in engine.commands(trace))


SCENES = (slow_build, large_data, slow_training, slow_baking, never_ready, hanging_answer)
SIGNALS = {signal.SIGINT: "ctrl-c", signal.SIGTERM: "sigterm"}
# Each signal twice, and the kinds of work: a build, training, a wait, a request.
AT_ONCE = {
    (slow_build, signal.SIGINT),
    (slow_training, signal.SIGTERM),
    (never_ready, signal.SIGTERM),
    (hanging_answer, signal.SIGINT),
}


@pytest.mark.serial  # its five seconds are measured
@pytest.mark.parametrize(
    ("scene", "number"),
    [
        pytest.param(
            scene,
            number,
            id=f"{scene.__name__}-{name}",
            marks=() if (scene, number) in AT_ONCE else pytest.mark.nightly,
        )
        for scene in SCENES
        for number, name in SIGNALS.items()
    ],
)
def test_an_interrupt(
    scene: Callable[[Mini], Scene], number: signal.Signals, mini: Mini, run_harness: Harness, engine: Engine
) -> None:
    """Exit code 130 with a message, and within five seconds no container, network or volume of the run is left.

    Running build steps have ended too.
    """
    staged = scene(mini)
    launched = run_harness.start(staged.project)
    staged.reached(launched, engine)
    launched.interrupt(number)
    eventually(lambda: engine.owned(run_harness.pids) == [], WITHIN, "nothing is left")
    ran = launched.finish(timeout=WITHIN)
    assert ran.code == 130, str(ran)
    assert "harness: interrupted" in ran.out, str(ran)
    assert ran.no_traceback(), str(ran)
    if staged.trace:
        eventually(lambda: not _runs(engine, staged.trace), WITHIN, f"the build ends: {engine.commands(staged.trace)}")


@pytest.mark.serial  # the next run of another test would sweep what is left here
@pytest.mark.parametrize(
    "scene",
    [nightly(slow_build), nightly(large_data), slow_training, nightly(slow_baking), nightly(never_ready)],
    ids=lambda scene: scene.__name__,
)
def test_the_engine_is_lost(
    scene: Callable[[Mini], Scene], mini: Mini, run_harness: Harness, engine: Engine, tmp_path: Path
) -> None:
    """An engine that goes away in mid-run: 3 within seconds, and never a failed check.

    What could not be removed is swept by the next run.
    """
    staged = scene(mini)
    cable = Cable(tmp_path / "engine.sock")
    launched = run_harness.start(staged.project, env={"DOCKER_HOST": cable.url})
    staged.reached(launched, engine)
    cable.cut()
    ran = launched.finish(timeout=15)
    ran.assert_refused(3, "no container engine answers", "the engine stopped answering", "harness setup")
    assert " FAIL " not in ran.out, str(ran)
    assert ran.causes == ["run: engine gone"]
    if staged.trace:
        eventually(lambda: not _runs(engine, staged.trace), WITHIN, f"the build ends: {engine.commands(staged.trace)}")
    run_harness(mini()).assert_passed()
    assert engine.owned(run_harness.pids) == []


def test_a_second_interrupt_waits_for_the_clean_up(mini: Mini, run_harness: Harness, engine: Engine) -> None:
    """An impatient second and third Ctrl-C do not stop the clean-up half-way."""
    launched = run_harness.start(mini(train=SLOW))
    launched.prints("train | begun")
    for _ in range(3):
        launched.interrupt(signal.SIGINT)
    ran = launched.finish(timeout=WITHIN)
    assert ran.code == 130, str(ran)
    assert engine.owned(run_harness.pids) == []


def test_the_evidence_of_an_interrupted_run(mini: Mini, run_harness: Harness) -> None:
    """What was recorded until the interrupt is on disk, and can be judged: what was not reached is no pass."""
    project = mini(fault="unready")
    launched = run_harness.start(project)
    launched.prints("serve ...")
    launched.interrupt(signal.SIGTERM)
    assert launched.finish().code == 130
    reports = {path.name for path in (project / ".harness/runs/latest").iterdir()}
    assert reports >= {"report.html", "junit.xml", "summary.md", "results.sarif", "ctrf-report.json"}, reports
    judged = run_harness(project, "judge")
    assert judged.no_traceback(), str(judged)
    assert judged.statuses["train.exits-cleanly"] == "pass", str(judged)
    assert judged.statuses["serve.ready"] != "pass", str(judged)
    assert judged.statuses["contract.examples"] != "pass", str(judged)


@pytest.mark.parametrize("attempt", [0, nightly(1), nightly(2)])
def test_an_interrupt_while_compose_creates(attempt: int, mini: Mini, run_harness: Harness, engine: Engine) -> None:
    """What the engine still creates for a Compose that was ended in the midst of it is removed too."""
    launched = run_harness.start(mini())
    launched.prints("train ...")
    # Network and volume are there, so the container is next.
    eventually(lambda: len(engine.owned(run_harness.pids)) >= 2, 10, "Compose creates", every=0.002)
    time.sleep(0.005 * attempt)
    launched.interrupt(signal.SIGTERM)
    assert launched.finish(timeout=WITHIN).code == 130
    time.sleep(0.5)  # what comes late has come by now
    assert engine.owned(run_harness.pids) == []


@pytest.mark.serial
@pytest.mark.parametrize("verb", ["run", nightly("clean")])
def test_what_a_killed_harness_leaves_is_swept(verb: str, mini: Mini, run_harness: Harness, engine: Engine) -> None:
    """After SIGKILL the containers go on; the next run, or `harness clean`, removes them, and nobody else's."""
    launched = run_harness.start(mini(train=SLOW))
    launched.prints("train | begun")
    live = run_harness.start(mini(train=SLOW))
    live.prints("train | begun")
    launched.kill()
    assert engine.owned({launched.process.pid}) != []
    swept = run_harness(mini(), verb)
    assert swept.code == 0, str(swept)
    assert engine.owned({launched.process.pid}) == []
    assert engine.containers(live.project.name) == ["train"]
    live.interrupt(signal.SIGINT)
    assert live.finish(timeout=WITHIN).code == 130


@pytest.mark.nightly
@pytest.mark.serial
def test_a_killed_harness_does_not_block_its_dataset(mini: Mini, run_harness: Harness, engine: Engine) -> None:
    """A harness killed while it fills the volume of a dataset does not stop the next run from filling it."""
    staged = large_data(mini)
    launched = run_harness.start(staged.project)
    staged.reached(launched, engine)
    launched.kill()
    ran = run_harness(staged.project)
    ran.assert_passed()
    sizes = {file["path"]: file["size"] for file in ran.record("data.json")["files"]}
    assert sizes["large.bin"] == LARGE
