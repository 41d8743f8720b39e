"""Fixtures of the engine tests: the command, tiny projects, and a guard that nothing is left behind."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from pathlib import Path

import docker.errors
import pytest
from defects import Seen
from turns import is_serial

from harness.engine import labels

from .machines import Builder, builder_of, engine_in_container, served
from .support import REPO, SETUP_TIMEOUT, Engine, Harness, Mini, Ran


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the tests that run alone behind all others: until then no worker waits for another one."""
    items.sort(key=is_serial)


def _base() -> str:
    """Return the base image of the tests: BASE_IMAGE of the environment, else of the repository's `.env`."""
    import os

    file = REPO / ".env"
    lines = file.read_text(encoding="utf-8").splitlines() if file.is_file() else []
    value = os.environ.get("BASE_IMAGE") or next((ln[11:] for ln in lines if ln.startswith("BASE_IMAGE=")), "")
    return value or "python:3.13-slim-trixie@sha256:9d2e5553305c7c7b0097999bb17187c69b921ccd6bc9d40e4bb5ebe652c00285"


@pytest.fixture(scope="session")
def engine() -> Iterator[Engine]:
    """The engine as the tests see it. Without one the tests fail: a skip would look like a success."""
    try:
        found = Engine()
    except docker.errors.DockerException as exc:
        pytest.fail(f"no container engine answers, and these tests need one (`harness setup`): {exc}")
    yield found
    found.client.close()


@pytest.fixture(scope="session")
def base(engine: Engine) -> str:
    """The image that the tests start from."""
    reference = _base()
    try:
        engine.client.api.inspect_image(reference)
    except docker.errors.NotFound:
        pytest.fail(f"the base image {reference} is not on the engine: run `harness setup`")
    return reference


@pytest.fixture(scope="session")
def second_engine(engine: Engine, base: str) -> Iterator[str]:
    """DOCKER_HOST of another engine, in a container of the first, with the base image and nothing else."""
    with engine_in_container(engine.client, base) as url:
        yield url


@pytest.fixture(scope="session")
def builder(request: pytest.FixtureRequest) -> Builder:
    """The builder of Docker that a test names, and the environment that chooses it."""
    return builder_of(request.param)


@pytest.fixture(scope="session")
def buildkit() -> Builder:
    """BuildKit, and the environment that chooses it."""
    return builder_of("buildkit")


@pytest.fixture(scope="session")
def bystanders(engine: Engine, base: str) -> Iterator[dict[str, str]]:
    """Running containers that are none of the tests' business: a stranger's, and one of another live harness."""
    api = engine.client.api
    marks = labels.labels_of_run("another-run", "another-project")
    found: dict[str, str] = {}
    try:
        for who, label in (("stranger", {}), ("live harness", {**marks, labels.STAGE: "train"})):
            made = api.create_container(
                base,
                ["sleep", "infinity"],
                name=f"bystander-{secrets.token_hex(4)}",
                labels=label,
                host_config=api.create_host_config(network_mode="none"),
            )
            found[who] = str(made["Id"])
            api.start(made)
        yield found
    finally:
        for container in found.values():
            api.remove_container(container, force=True)


@pytest.fixture(scope="session")
def names(engine: Engine) -> Iterator[list[str]]:
    """The names of all projects that the tests made; the images and datasets kept for them go at the end."""
    found: list[str] = []
    yield found
    api = engine.client.api
    for image in engine.client.images.list():
        for tag in image.tags:
            if any(tag.startswith(f"{name}-") for name in found):
                api.remove_image(tag, force=True)
    for name in found:
        for volume in api.volumes(filters={"label": f"{labels.PROJECT}={name}"}).get("Volumes") or ():
            api.remove_volume(volume["Name"], force=True)


@pytest.fixture
def mini(tmp_path: Path, names: list[str]) -> Mini:
    """Make tiny projects."""
    return Mini(tmp_path, names)


@pytest.fixture
def run_harness(tmp_path_factory: pytest.TempPathFactory, base: str, seen: Seen) -> Iterator[Harness]:
    """Call the real command as a process; one that a test leaves running is ended."""
    harness = Harness(tmp_path_factory.mktemp("logs"), base, seen=seen)
    yield harness
    for launched in harness.launched:
        if launched.process.poll() is None:
            launched.kill()


@pytest.fixture(scope="module")
def ready(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, base: str) -> None:
    """`harness setup` has been called in the PROJECT of a module, with its SETUP options: base and wheels are there."""
    project, options = request.module.PROJECT, getattr(request.module, "SETUP", ())
    ran = Harness(tmp_path_factory.mktemp("setup"), base)(project, "setup", *options, timeout=SETUP_TIMEOUT)
    assert ran.code == 0, str(ran)


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory, base: str, names: list[str], engine: Engine) -> Path:
    """What one training of the tiny project left."""
    harness = Harness(tmp_path_factory.mktemp("logs"), base)
    ran = harness(Mini(tmp_path_factory.mktemp("trained"), names)(), "run", "--fast", "--only", "artifact.*")
    ran.assert_passed()
    assert engine.owned(harness.pids) == []
    return ran.folder / "artifact"


@pytest.fixture
def ask_served(trained: Path, engine: Engine, base: str, run_harness: Harness) -> Callable[[Path], Ran]:
    """Serve a tiny project with what was trained once, and ask it: `harness contract --url`."""

    def ask(project: Path) -> Ran:
        with served(engine.client, base, project, trained) as url:
            return run_harness(project, "contract", "--url", url)

    return ask


@pytest.fixture(autouse=True)
def nothing_left(engine: Engine, bystanders: dict[str, str], run_harness: Harness) -> Iterator[None]:
    """After each test nothing that it made survives, and all that others made does."""
    yield
    running = [launched for launched in run_harness.launched if launched.process.poll() is None]
    left = engine.owned(run_harness.pids)
    for launched in running:
        launched.kill()
    if left:
        run_harness(run_harness.logs, "clean")  # so that the next test starts well
    states = {who: engine.client.api.inspect_container(c)["State"]["Status"] for who, c in bystanders.items()}
    assert not running, "the test left the command running"
    assert not left, f"left on the engine: {left}"
    assert set(states.values()) == {"running"}, f"containers of others were touched: {states}"
