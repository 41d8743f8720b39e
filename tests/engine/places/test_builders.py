"""The classic builder and BuildKit: each way to hand the artifact over, with each; whose fault a failing build is."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest
from defects import defect

from ..machines import Builder, buildx
from ..support import HERE, REPO, Engine, Harness, Mini, eventually, nightly, same_artifact

pytestmark = pytest.mark.engine

PROJECTS = REPO / "tests/projects"
IN_BUILD = defect("train.outside-build", "a step of the image build trains", status="warn")
NO_COMMIT = defect("artifact.provenance", "the code is in no commit", status="warn")
OWN = {"context": ".", "dockerfile": "serve.Dockerfile", "args": ["BASE_IMAGE"]}
# What engines, registries and builders say that fail, said by a program of the project.
WORDS = (
    "failed to set up container networking: failed to create endpoint x on network bridge",
    "failed to solve: rpc error: code = Unavailable desc = error reading from server: EOF",
    "target serve: failed to solve: pull access denied, repository does not exist",
    "#5 ERROR: failed to add interface veth0 to sandbox",
    "------",
    "no space left on device",
    "compose build requires buildx 0.17.0 or later",
)


def mounting(mini: Mini, *steps: str) -> Path:
    """Make a project that mounts the artifact, and builds its serving image with further steps."""
    project = mini({"services": {"serve": {"image": None, "command": None, "build": OWN}}})
    shutil.copy(HERE / "mini/serve.py", project)
    lines = ["ARG BASE_IMAGE", "FROM ${BASE_IMAGE}", "COPY serve.py /", *steps]
    lines.append('CMD ["python3", "-u", "/serve.py"]')
    (project / "serve.Dockerfile").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return project


def made(name: str, mini: Mini, *steps: str) -> Path:
    """Make a project that hands the artifact over in one of the three ways, with further steps of serving's build."""
    if name == "mounted":
        return mounting(mini, *steps)
    project = mini.copy(PROJECTS / name)
    file = project / ("serve.Dockerfile" if name == "baked" else "Dockerfile")
    before, user, after = file.read_text(encoding="utf-8").rpartition("USER ")
    file.write_text("\n".join([before.rstrip(), *steps, user + after]), encoding="utf-8")
    return project


def names_of(engine: Engine, run: Path) -> list[str]:
    """Return the names of images that a run made for itself."""
    return [tag for image in engine.client.images.list() for tag in image.tags if run.name.lower() in tag]


@pytest.mark.parametrize(
    ("builder", "name"),
    [
        ("classic", "mounted"),
        nightly("classic", "baked"),
        pytest.param("classic", "trained-in-build", marks=[IN_BUILD, NO_COMMIT]),
        nightly("buildkit", "mounted"),
        ("buildkit", "baked"),
        nightly("buildkit", "trained-in-build", marks=[IN_BUILD, NO_COMMIT]),
    ],
    indirect=["builder"],
)
def test_each_way_to_hand_over(name: str, builder: Builder, mini: Mini, run_harness: Harness, engine: Engine) -> None:
    """Each way passes with each builder; served is what training left; the image of the run goes with the run."""
    ran = run_harness(made(name, mini), env=builder.environment)
    ran.assert_passed()
    for check in ("images.built", "train.exits-cleanly", "artifact.handed-over", "contract.examples"):
        assert ran.statuses[check] == "pass", str(ran)
    assert ran.statuses["train.outside-build"] == ("warn" if name == "trained-in-build" else "pass")
    assert same_artifact(ran)
    assert ran.record("images.json")["builder"] == builder.name, str(ran)
    assert names_of(engine, ran.folder) == []


@pytest.mark.nightly
@defect("images.built", "a step of the serving image fails, with BuildKit")
@pytest.mark.parametrize("name", ["mounted", "baked", "trained-in-build"])
def test_a_serving_image_that_does_not_build(
    name: str, buildkit: Builder, mini: Mini, run_harness: Harness, engine: Engine
) -> None:
    """A failing step of serving is found in each way to hand over: 1 by `images.built`, and serving is named."""
    ran = run_harness(made(name, mini, "RUN echo the last words && exit 9"), env=buildkit.environment)
    ran.assert_failed("images.built", received="the last words")
    assert ran.finding("images.built")["expected"] == "the image of serve builds"
    assert ran.statuses["serve.ready"] == "skip"
    assert names_of(engine, ran.folder) == []


@defect("images.built", "a step fails that prints what an engine says that fails")
@pytest.mark.parametrize("builder", ["classic", nightly("buildkit")], indirect=True)
def test_a_step_that_prints_the_words_of_an_engine(builder: Builder, mini: Mini, run_harness: Harness) -> None:
    """Whatever a failing step prints, it is the Dockerfile's: exit code 1, not 3."""
    project = mounting(mini, "COPY tests.py /", "RUN python3 /tests.py")
    (project / "tests.py").write_text(f"print({json.dumps(chr(10).join(WORDS))})\nraise SystemExit(9)\n")
    ran = run_harness(project, env=builder.environment)
    ran.assert_failed("images.built", received="tests.py")
    assert ran.causes == ["images: build failed"]


@pytest.mark.nightly
def test_a_buildx_that_is_too_old(mini: Mini, run_harness: Harness) -> None:
    """The buildx of Debian trixie is too old for Compose 5: 3 with both ways out, and the second is one."""
    old = {"DOCKER_BUILDKIT": "1", "DOCKER_CONFIG": str(buildx("trixie"))}
    project = mounting(mini)
    ran = run_harness(project, env=old)
    ran.assert_refused(3, "Compose needs buildx 0.17.0 or later", "DOCKER_BUILDKIT=0")
    assert "images.built" not in ran.statuses
    assert ran.causes == ["run: builder unusable"]
    run_harness(project, env={**old, "DOCKER_BUILDKIT": "0"}).assert_passed()


@pytest.mark.nightly
def test_a_builder_that_is_not_there(buildkit: Builder, mini: Mini, run_harness: Harness) -> None:
    """A chosen builder that does not exist: 3, and how to choose the engine's own."""
    ran = run_harness(mounting(mini), env={**buildkit.environment, "BUILDX_BUILDER": "nobody"})
    ran.assert_refused(3, "chosen for buildx", "BUILDX_BUILDER=default")


@pytest.fixture
def in_a_container(tmp_path: Path, buildkit: Builder) -> Builder:
    """BuildKit with a builder chosen that would work in a container of its own, as CI actions choose it."""
    config = tmp_path / "config"
    shutil.copytree(buildkit.environment["DOCKER_CONFIG"], config)
    program = config / "cli-plugins/docker-buildx"
    argv = [str(program), "create", "--name", "apart", "--driver", "docker-container", "--use"]
    subprocess.run(argv, env={"DOCKER_CONFIG": str(config), "PATH": "/usr/bin:/bin"}, check=True, timeout=30)
    environment = {name: value for name, value in buildkit.environment.items() if name != "BUILDX_BUILDER"}
    return Builder("buildkit", {**environment, "DOCKER_CONFIG": str(config)})


@pytest.mark.nightly
def test_a_builder_in_a_container(buildkit: Builder, in_a_container: Builder, mini: Mini, run_harness: Harness) -> None:
    """The layer with the artifact starts from an image that only the engine has: the engine itself builds it.

    The project's own builds, which another builder is chosen for, are done already.
    """
    project = made("trained-in-build", mini)
    run_harness(project, env=buildkit.environment).assert_passed()
    ran = run_harness(project, env=in_a_container.environment)
    ran.assert_passed()
    assert ran.record("images.json")["builder"] == "buildkit"


@pytest.mark.serial
@pytest.mark.nightly
def test_names_of_a_killed_run(buildkit: Builder, mini: Mini, run_harness: Harness, engine: Engine) -> None:
    """What a killed run named its image goes with the rest of it; the user's name for the same image stays."""
    project = made("baked", mini)
    launched = run_harness.start(project, "run", env=buildkit.environment)
    launched.prints("serve ...")
    launched.kill()
    run = (project / ".harness/runs/latest").resolve()
    assert names_of(engine, run) == [f"harness-{run.name.lower()}-baked:latest"]
    run_harness(project, "clean")
    eventually(lambda: names_of(engine, run) == [], 5, "the name is gone")
    assert engine.client.images.get(f"{project.name}-serve")


@pytest.mark.nightly
def test_a_failure_is_replayed(buildkit: Builder, mini: Mini, run_harness: Harness) -> None:
    """What failed with BuildKit fails again in a replay with it, the artifact baked anew."""
    project = made("trained-in-build", mini)
    (example,) = (project / "contract").glob("*.json")
    wrong = json.loads(example.read_text(encoding="utf-8"))
    example.write_text(json.dumps({**wrong, "response": {"predictions": [1e6] * 9}}), encoding="utf-8")
    ran = run_harness(project, env=buildkit.environment)
    assert ran.statuses["contract.examples"] == "fail", str(ran)
    again = run_harness(project, "replay", "latest", env=buildkit.environment)
    assert again.code == 0, str(again)
    assert "reproduced" in again.out.lower(), str(again)
