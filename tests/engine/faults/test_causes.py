"""What made a container fail is found out and said: the cause, the lines that matter, the limit, what to try."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from harness.diagnosis import CauseKind

from ..samples import CRASH
from ..support import HERE, Cable, Engine, Harness, Mini, nightly

pytestmark = pytest.mark.engine

SERVE = (HERE / "mini/serve.py").read_text(encoding="utf-8")
SLOW = "import time; print('begun', flush=True); time.sleep(60)"


def shell(script: str) -> dict[str, Any]:
    """Change the train service: a line for the shell in place of its command."""
    return {"services": {"train": {"command": ["sh", "-c", script]}}}


@pytest.mark.parametrize(
    ("change", "train", "expected"),
    [
        (
            {"services": {"train": {"init": True}}},  # the first process of a container is safe from its own signals
            "import os; os.kill(os.getpid(), 9)",
            (CauseKind.SIGNAL, "ended by signal 9 (exit code 137): SIGKILL", "memory ran out"),
        ),
        nightly(shell("echo begun; trian --now"), "", (CauseKind.COMMAND_NOT_FOUND, "trian: not found", "`command`")),
        nightly(shell("/etc/passwd"), "", (CauseKind.NOT_EXECUTABLE, "ermission denied", "chmod +x")),
        (
            {},
            "def main():\n    import sklearnx.tree\nmain()",
            (
                CauseKind.EXIT_CODE,
                "ModuleNotFoundError: No module named 'sklearnx'",
                "Add sklearnx to the requirements",
            ),
        ),
        nightly(
            {"services": {"train": {"pids_limit": 8}}},
            "import threading, time\nfor _ in range(64): threading.Thread(target=time.sleep, args=(1,)).start()",
            (CauseKind.EXIT_CODE, "limit: pids 8", "may have 8 processes"),
        ),
        nightly(
            {"services": {"train": {"mem_limit": "64m", "memswap_limit": "64m"}}},
            "import subprocess, sys\nsubprocess.run([sys.executable, '-c', 'b\"x\" * 2**28'], check=True)",
            (CauseKind.OUT_OF_MEMORY, "limit: memory 64 MiB", "raise `mem_limit`"),
        ),
    ],
    ids=["signal", "not-found", "not-executable", "missing-module", "pids", "memory-of-a-child"],
)
def test_training_that_fails(
    change: dict[str, Any], train: str, expected: tuple[CauseKind, str, str], mini: Mini, run_harness: Harness
) -> None:
    """A training that fails: 1, the finding and the run folder say the same cause."""
    kind, received, advice = expected
    ran = run_harness(mini(change, train=train))
    ran.assert_failed("train.exits-cleanly", received=received, advice=advice)
    assert ran.causes == [f"train: {kind}"]


def test_a_service_that_crashes_while_it_is_asked(mini: Mini, run_harness: Harness) -> None:
    """A service that dies of the second prediction: 1, with how it ended and its last lines, once."""
    code = SERVE.replace("    def try_to_predict(self, body: bytes) -> None:\n", CRASH)
    assert code != SERVE
    ran = run_harness(mini(serve=code))
    ran.assert_failed("contract.examples", received="while it was asked: exit code 3", advice="serve/log.txt")
    assert ran.finding("contract.examples")["received"].endswith("exit code 3\nno more")
    assert ran.out.count("while it was asked") == 1, str(ran)
    assert ran.statuses["contract.rejects-null"] == "skip"
    assert ran.causes == ["contract: crashed while serving"]


@pytest.mark.nightly
@pytest.mark.parametrize("stage", ["train", "serve"])
def test_a_small_tmpfs_that_fills(stage: str, mini: Mini, run_harness: Harness) -> None:
    """A program that fills a tmpfs of its service: 3, and its size is said; no model is to blame."""
    code = "open('/scratch/big', 'wb').write(bytes(2**20))"
    change = {"services": {stage: {"tmpfs": ["/scratch:size=64k,mode=1777"]}}}
    ran = run_harness(mini(change, train=code if stage == "train" else "", serve=code if stage == "serve" else ""))
    ran.assert_refused(3, "the disk is full", "ran into a full disk", "/scratch size=64k")
    assert ran.causes == ["run: disk full in the container"]


def test_a_container_that_somebody_ends(mini: Mini, run_harness: Harness, engine: Engine) -> None:
    """A training that is killed through the engine: 3, it did not end by itself."""
    project = mini(train=SLOW)
    launched = run_harness.start(project)
    launched.prints("train | begun")
    (container,) = engine.client.containers.list(filters={"label": f"harness.project={project.name}"})
    container.kill()
    ran = launched.finish()
    ran.assert_refused(3, "ended from outside", "run again")
    assert ran.causes == ["run: ended from outside"]


@pytest.mark.nightly
def test_an_engine_that_takes_no_new_connections(
    mini: Mini, run_harness: Harness, tmp_path: Path, engine: Engine
) -> None:
    """An engine that goes down ends its containers and answers old connections: 3, and not the model's signal."""
    cable = Cable(tmp_path / "engine.sock")
    launched = run_harness.start(mini(train=SLOW + "; raise SystemExit(5)"), env={"DOCKER_HOST": cable.url})
    launched.prints("train | begun")
    cable.close_door()
    (container,) = engine.client.containers.list(filters={"label": f"harness.project={launched.project.name}"})
    container.kill("SIGKILL")
    ran = launched.finish(timeout=30)
    cable.cut()
    ran.assert_refused(3, "the engine stopped answering")
    assert ran.causes == ["run: engine gone"]
    run_harness(mini()).assert_passed()  # sweeps what could not be removed


def test_an_engine_that_is_lost_while_the_service_is_asked(mini: Mini, run_harness: Harness, tmp_path: Path) -> None:
    """An engine that is lost while a service answers slowly: 3, and no finding of the contract."""
    cable = Cable(tmp_path / "engine.sock")
    slow = {"services": {"serve": {"environment": {"DELAY": "0.3"}}}}
    launched = run_harness.start(mini(slow), env={"DOCKER_HOST": cable.url})
    launched.prints("contract ...")
    cable.cut()
    ran = launched.finish(timeout=90)
    ran.assert_refused(3, "the engine stopped answering")
    assert " FAIL " not in ran.out, str(ran)
    assert ran.causes == ["run: engine gone"]
    run_harness(mini()).assert_passed()
