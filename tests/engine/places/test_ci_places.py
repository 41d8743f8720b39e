"""`harness run` works unchanged in a job's container, with an engine in a container, and with Podman."""

from __future__ import annotations

import json
import tarfile
from collections.abc import Iterator
from io import BytesIO
from typing import Any

import docker
import pytest

from harness.engine import labels

from .. import machines
from ..machines import Job, ended
from ..samples import with_mounts
from ..support import Engine, Harness, Mini

pytestmark = pytest.mark.engine

WORKSPACE = "/builds/group/project"


def left(client: docker.DockerClient, project: str) -> list[str]:
    """Return the containers and networks of a project that an engine still has."""
    filters = {"label": f"{labels.PROJECT}={project}"}
    containers = [found["Id"] for found in client.api.containers(all=True, filters=filters)]
    return containers + [found["Name"] for found in client.api.networks(filters=filters)]


@pytest.fixture(scope="module")
def podman(engine: Engine, base: str) -> Iterator[str]:
    """DOCKER_HOST of a Podman of root's."""
    with machines.podman(engine.client, base) as url:
        yield url


def read_json(container: Any, path: str) -> Any:
    stream, _ = container.get_archive(path)
    with tarfile.open(fileobj=BytesIO(b"".join(stream))) as archive:
        member = archive.next()
        assert member is not None
        file = archive.extractfile(member)
        assert file is not None
        return json.load(file)


@pytest.mark.nightly
def test_on_a_runner(mini: Mini, run_harness: Harness) -> None:
    """With the engine on the same machine; bind mounts are the engine's own work."""
    run_harness(with_mounts(mini)).assert_passed()


def test_inside_a_container_job(mini: Mini, engine: Engine, base: str) -> None:
    """In a container with the engine's socket and a workspace that the engine does not see."""
    project = with_mounts(mini)
    with Job(engine.client, base).container(
        "run", "--fast", "--project", WORKSPACE, workspace={WORKSPACE: project}
    ) as job:
        code, output = ended(job)
        assert code == 0, output
        findings = read_json(job, f"{WORKSPACE}/.harness/runs/latest/findings.json") if code == 0 else []
    assert {f["status"] for f in findings if f["check"] in ("serve.ready", "contract.examples")} == {"pass"}
    assert left(engine.client, project.name) == []


@pytest.mark.xdist_group("second-engine")
@pytest.mark.nightly
def test_docker_in_docker(mini: Mini, run_harness: Harness, second_engine: str) -> None:
    """With an engine elsewhere, by DOCKER_HOST=tcp://; it builds, too."""
    env = {"DOCKER_HOST": second_engine}
    run_harness(with_mounts(mini), env=env).assert_passed()
    ran = run_harness(mini.baking(), "run", "--fast", env=env)
    ran.assert_passed()
    assert ran.record("images.json")["builder"] in ("classic", "buildkit")
    client = docker.DockerClient(base_url=second_engine)
    assert left(client, ran.project.name) == []
    client.close()


@pytest.mark.xdist_group("podman")
@pytest.mark.nightly
def test_podman(mini: Mini, run_harness: Harness, podman: str) -> None:
    """With Podman of root's: the same checks pass, and its own builder is named."""
    env = {"DOCKER_HOST": podman}
    run_harness(with_mounts(mini), env=env).assert_passed()
    ran = run_harness(mini.baking(), "run", "--fast", env=env)
    ran.assert_passed()
    assert ran.record("images.json")["builder"] == "buildah"


@pytest.mark.xdist_group("podman")
@pytest.mark.nightly
def test_podman_starts_the_service_in_other_ways(mini: Mini, run_harness: Harness, podman: str) -> None:
    """What Podman cannot show (an emptied folder of the image, a closed network) is no fault of a service."""
    ran = run_harness(
        mini.baking(), "run", "--only", "serve.ready-is-honest", "--only", "serve.hermetic", env={"DOCKER_HOST": podman}
    )
    ran.assert_passed()
    assert ran.statuses["serve.ready-is-honest"] == "pass", str(ran)
    assert "nothing was missing" in ran.finding("serve.ready-is-honest")["received"]


@pytest.mark.xdist_group("podman")
@pytest.mark.nightly
def test_rootless_podman(mini: Mini, run_harness: Harness, engine: Engine, base: str) -> None:
    """With Podman of an ordinary user."""
    with machines.podman(engine.client, base, rootless=True) as url:
        run_harness(mini(), env={"DOCKER_HOST": url}).assert_passed()


@pytest.mark.nightly
def test_an_unreachable_service_is_no_fault_of_the_model(mini: Mini, engine: Engine, base: str) -> None:
    """From a container without a network nothing can be asked: that is exit code 3, with what to do."""
    project = mini({"x-harness": {"serve": {"timeout": "3s"}}})
    with Job(engine.client, base).container(
        "run", "--fast", "--project", WORKSPACE, workspace={WORKSPACE: project}, network_mode="none"
    ) as job:
        code, output = ended(job)
    assert code == 3, output
    assert "cannot reach it" in output
    assert left(engine.client, project.name) == []
