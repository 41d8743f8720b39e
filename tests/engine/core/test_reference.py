"""The reference project in the root of the repository: with the harness, and without it."""

from __future__ import annotations

import json
import subprocess
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest

from harness.client.compare import compare
from harness.engine.compose import Compose
from harness.project.contract_file import load_contract

from ..support import REPO, Engine, Harness, eventually

pytestmark = [pytest.mark.engine, pytest.mark.xdist_group("reference")]  # set up once

PROJECT = REPO
URL = "http://127.0.0.1:8080"


@pytest.mark.serial  # it is timed: starts, latencies, fuzzing
@pytest.mark.usefixtures("ready")
def test_the_reference_project_passes(run_harness: Harness) -> None:
    """The reference project passes every check, within a minute once its images are built."""
    ran = run_harness(REPO, "run", timeout=600)
    ran.assert_passed()
    others = {check: status for check, status in ran.statuses.items() if status != "pass"}
    local = run_harness.base.startswith("harness-local/")
    # The dialect `openapi` has no demands of its own, the data no pointer, train and serve no other service; a local
    # base stands for the pinned one.
    assert others == {
        "contract.conforms": "skip",
        "data.dvc": "skip",
        "services.ready": "skip",
        **({"images.pinned": "warn"} if local else {}),
    }, str(ran)


@pytest.fixture
def compose(ready: None, engine: Engine) -> Iterator[list[str]]:  # noqa: ARG001 - the order is what counts
    """The Compose program on the repository's compose.yaml, as a user without the harness calls it."""
    argv = [*Compose.find().argv, "--project-directory", str(REPO), "--project-name", "penguins-by-hand"]
    yield argv
    subprocess.run([*argv, "down", "--volumes", "--timeout", "1"], capture_output=True, check=True, timeout=120)
    left = engine.client.api.containers(all=True, filters={"label": "com.docker.compose.project=penguins-by-hand"})
    assert left == []


def ask(path: str, body: Any = None) -> Any:
    """Send a request to the published port and return the JSON answer."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(URL + path, data=data, headers={"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=5) as answer:
        return json.load(answer)


def wait_until_ready(within: float) -> None:
    """Ask the health path until it answers."""

    def ready() -> bool:
        try:
            ask("/health")
        except OSError:  # URLError is one
            return False
        return True

    eventually(ready, within, "the service answers /health")


def test_the_compose_file_works_without_the_harness(compose: list[str], run_harness: Harness) -> None:
    """`docker compose up serve` trains, then serves on 127.0.0.1:8080; every contract example is answered."""
    environment = {"PATH": "/usr/local/bin:/usr/bin:/bin", "BASE_IMAGE": run_harness.base}
    up = subprocess.run(
        [*compose, "up", "--detach", "serve"], capture_output=True, text=True, check=False, timeout=600, env=environment
    )
    assert up.returncode == 0, up.stderr
    wait_until_ready(60)
    examples, _ = load_contract(REPO, "tests/contract/*.json")
    assert examples
    for example in examples:
        answer = ask("/predict", example.request)
        assert list(compare(example.response, answer, example.tolerance)) == [], example.name
