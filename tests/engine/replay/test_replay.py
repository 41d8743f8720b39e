"""A failing run again: reproduced, not reproduced with the true cause, cannot replay; shells; containers that stay."""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator
from typing import Any

import pytest

from harness.engine import labels

from ..support import HERE, Engine, Harness, Mini, Ran

pytestmark = pytest.mark.engine

TRAIN = (HERE / "mini/train.py").read_text(encoding="utf-8")
THREADED = f"""
import os, sys
if int(os.environ.get("OMP_NUM_THREADS", "1")) > 1:
    sys.exit("the sums differ in the last digits")
{TRAIN}
"""
PACKAGED = f"""
import pathlib, sys
found = [p.name for p in pathlib.Path("/opt/venv").rglob("brittle-*.dist-info")]
if found == ["brittle-1.0.dist-info"]:
    sys.exit("the scores went wrong")
{TRAIN}
"""


def _verdict(ran: Ran) -> dict[str, Any]:
    """Return replay.json of the run that a replay made."""
    found: dict[str, Any] = json.loads((ran.folder / "replay.json").read_text(encoding="utf-8"))
    return found


def _stages(ran: Ran) -> dict[str, bool]:
    return {stage["name"]: stage["done"] for stage in ran.record("stages.json")}


@pytest.fixture(scope="module")
def failed(tmp_path_factory: pytest.TempPathFactory, base: str, names: list[str], engine: Engine) -> Ran:
    """One run with a wrong answer, which several tests replay: the last run stays the last run."""
    project = Mini(tmp_path_factory.mktemp("failed"), names)(fault="wrong-answer")
    harness = Harness(tmp_path_factory.mktemp("logs"), base)
    ran = harness(project)
    assert engine.owned(harness.pids) == []
    return ran


@pytest.mark.xdist_group("failed")
def test_reproduced(failed: Ran, run_harness: Harness) -> None:
    """A wrong answer is wrong again: 0, only the failed check is judged, and stages that it does not need are left out.

    The last run stays the last run, so that it can be replayed again.
    """
    project, first = failed.project, failed
    first.assert_failed("contract.examples", received="")
    those = {name for name, status in first.statuses.items() if status == "fail"}
    ran = run_harness(project, "replay")
    assert ran.code == 0, str(ran)
    assert f"REPRODUCED: run {first.folder.name}" in ran.out, str(ran)
    verdict = _verdict(ran)
    assert {check["check"] for check in verdict["checks"]} == those
    assert {check["match"] for check in verdict["checks"]} <= {"word for word", "equal but for numbers, times and IDs"}
    assert {n for n, s in ran.statuses.items() if s != "skip"} == those
    assert _stages(ran)["contract"]
    assert not _stages(ran).get("trainings", False)
    assert verdict["recorded"] == (project / ".harness/runs/latest").resolve().name


@pytest.mark.nightly
def test_threads_are_the_cause(mini: Mini, run_harness: Harness) -> None:
    """Training that fails with many threads fails again with the recorded number, and not with this machine's own.

    The first difference that is named is the number of threads.
    """
    project = mini({"services": {"train": {"environment": {"OMP_NUM_THREADS": "${THREADS:-1}"}}}}, train=THREADED)
    first = run_harness(project, "run", "--fast", env={"THREADS": "4"})
    assert first.code == 1, str(first)
    assert run_harness(project, "replay").code == 0
    ran = run_harness(project, "replay", "--here")
    assert ran.code == 5, str(ran)
    (cause, *_) = _verdict(ran)["differences"]
    assert (cause["subject"], cause["name"]) == ("threads", "train: OMP_NUM_THREADS")
    assert (cause["recorded"], cause["here"]) == ("4", "1")
    assert "1. threads: train: OMP_NUM_THREADS: 4 then, 1 here" in ran.out, str(ran)


@pytest.fixture
def packaged(engine: Engine, base: str) -> Iterator[str]:
    """The name of an image that has one package, in version 1.0."""
    name = f"mini-packaged-{secrets.token_hex(4)}"
    _package(engine, base, name, "1.0")
    yield name
    engine.client.api.remove_image(name, force=True)


def _package(engine: Engine, base: str, name: str, version: str) -> None:
    api = engine.client.api
    folder = f"/opt/venv/lib/python3/site-packages/brittle-{version}.dist-info"
    made = api.create_container(base, ["mkdir", "-p", folder])["Id"]
    api.start(made)
    api.wait(made)
    api.commit(made, repository=name, tag="latest")
    api.remove_container(made)


@pytest.mark.nightly
def test_a_package_is_the_cause(mini: Mini, run_harness: Harness, engine: Engine, base: str, packaged: str) -> None:
    """An image that is another one by now passes: the package whose version changed is named first."""
    project = mini({"services": {"train": {"image": packaged}}}, train=PACKAGED)
    first = run_harness(project)
    assert first.code == 1, str(first)
    engine.client.api.remove_image(packaged, force=True)
    _package(engine, base, packaged, "2.0")
    ran = run_harness(project, "replay")
    assert ran.code == 5, str(ran)
    (cause, *rest) = _verdict(ran)["differences"]
    assert (cause["subject"], cause["name"]) == ("packages", "train: brittle")
    assert (cause["recorded"], cause["here"]) == ("1.0", "2.0")
    assert all(each["subject"] in ("packages", "base", "variables") for each in rest), rest


@pytest.mark.xdist_group("failed")
def test_cannot_replay(failed: Ran, run_harness: Harness) -> None:
    """A file that changed or is missing is named, with what to do; an engine that is away is the machine's fault."""
    project = failed.project
    assert run_harness(project, "replay", env={"DOCKER_HOST": "unix:///nowhere.sock"}).code == 3
    rows = project / "data/rows.csv"
    before = rows.read_text(encoding="utf-8")
    rows.write_text("x,y\n1,2\n2,4\n4,8\n", encoding="utf-8")
    changed = run_harness(project, "replay")
    assert changed.code == 2, str(changed)
    assert "CANNOT REPLAY" in changed.out
    assert "the project changed since the run was recorded: data/rows.csv" in changed.out
    anyway = run_harness(project, "replay", "--anyway")
    assert anyway.code == 0, str(anyway)
    assert _verdict(anyway)["changed"] == ["data/rows.csv"]
    rows.unlink()
    missing = run_harness(project, "replay")
    rows.write_text(before, encoding="utf-8")
    assert missing.code == 2, str(missing)
    assert "data/rows.csv: It was there when the run was recorded" in missing.out


@pytest.mark.nightly
def test_an_error_is_replayed_up_to_there(mini: Mini, run_harness: Harness) -> None:
    """A run that ended with an error is reproduced where the same error ends it again."""
    project = mini({"services": {"serve": {"command": ["no-such-program"]}}})
    assert run_harness(project).code == 2
    ran = run_harness(project, "replay")
    assert ran.code == 0, str(ran)
    assert [check["check"] for check in _verdict(ran)["checks"]] == ["run"]


@pytest.mark.xdist_group("failed")
def test_shells(failed: Ran, run_harness: Harness) -> None:
    """A shell has the mounts, the user and the variables of its container; its exit code is that of the command."""
    project = failed.project
    serve = run_harness(project, "shell", "serve", "--command", 'id -u; echo "$FAULT"; ls /model; echo x > /model/y')
    assert serve.code != 0, str(serve)  # the artifact is mounted read-only, as it was
    assert serve.out.splitlines()[:2] == ["10001", "wrong-answer"], str(serve)
    left = {file["path"] for file in json.loads((project / ".harness/runs/latest/artifact.json").read_text())["files"]}
    assert left <= set(serve.out.splitlines()), str(serve)
    train = run_harness(project, "shell", "train", "--", "cat", "/data/rows.csv")
    assert (train.code, train.out) == (0, "x,y\n1,2\n2,4\n3,6\n"), str(train)
    code = run_harness(project, "shell", "train", "--command", "exit 7")
    assert code.code == 7, str(code)


@pytest.mark.nightly
def test_a_shell_where_the_artifact_is_baked(mini: Mini, run_harness: Harness) -> None:
    """The serving image of a run has its artifact, and a shell in it too."""
    project = mini.baking()
    run_harness(project).assert_passed()
    ran = run_harness(project, "shell", "serve", "--command", "ls /model")
    assert ran.code == 0, str(ran)
    assert "model.json" in ran.out, str(ran)


@pytest.mark.serial
def test_containers_of_a_failing_run_are_kept(mini: Mini, run_harness: Harness, engine: Engine) -> None:
    """With --keep=on-failure they stay, the next run does not sweep them, and `clean --run` removes them.

    A run that passes leaves nothing.
    """
    project = mini(fault="wrong-answer")
    first = run_harness(project, "run", "--fast", "--keep=on-failure")
    assert first.code == 1, str(first)
    kept = f"{labels.RUN_ID}={first.folder.name}"

    def stages() -> list[str]:
        found = engine.client.api.containers(all=True, filters={"label": kept})
        return sorted(each["Labels"][labels.STAGE] for each in found)

    assert f"harness clean --run {first.folder.name}" in first.out, str(first)
    try:
        run_harness(mini(), "run", "--fast", "--keep=on-failure").assert_passed()
        run_harness(project, "clean")
        assert stages() == ["serve", "train"]
        inside = run_harness(project, "shell", "train", "--run", first.folder.name, "--command", "ls /model")
        assert (inside.code, inside.out) == (0, "metrics.jsonl\nmodel.json\n"), str(inside)
    finally:
        cleaned = run_harness(project, "clean", "--run", first.folder.name)
    assert cleaned.code == 0, str(cleaned)
    assert stages() == []
