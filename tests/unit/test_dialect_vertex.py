"""The dialect vertex: the environment that the platform gives, and its conformance suite."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import builders
import pytest
from conformance import Answer, assert_failed, assert_passed, judged
from defects import defect

from harness.client.protocols import DIALECTS, interface, port_of_environment, recognise
from harness.client.protocols.vertex import VERTEX
from harness.config.spec import Spec
from harness.errors import DescriptionError
from harness.project.description import load
from harness.project.runfile import run_file
from harness.runner.stages.contract import requests

GOOD = {"health": Answer(200), "predict": Answer(200, {"predictions": [1.5], "deployedModelId": "3"})}
DIALECT = {"serve": {"dialect": "vertex"}}
COMPOSE = """\
services:
  train:
    image: train
    volumes: ["model:/model"]
  serve:
    image: serve
    volumes: ["model:/srv/model:ro"]
    environment: {ENVIRONMENT}
volumes:
  model:
x-harness:
  version: 1
  serve: {dialect: vertex}
"""


@pytest.mark.parametrize("strict", [False, True])
def test_a_server_that_keeps_to_the_specification(strict: bool) -> None:  # noqa: FBT001 - a parameter of the test
    """It meets every demand; the health check may have any body."""
    assert_passed(judged(VERTEX, GOOD, strict=strict))


@pytest.mark.parametrize(
    ("probe", "faulty"),
    [
        ("health", Answer(204)),
        ("health", Answer(404)),
        ("health", Answer(200, seconds=10.5)),
        ("predict", Answer(201, {"predictions": [1.5]})),
        ("predict", Answer(200, [1.5])),
        ("predict", Answer(200, {"predictions": 1.5})),
        ("predict", Answer(200, {"outputs": [1.5]})),
        ("predict", Answer(200, b"1.5")),
    ],
)
@defect("contract.conforms", "Vertex AI: one demand of the protocol is unmet, each in turn")
def test_each_probe_can_fail(probe: str, faulty: Answer) -> None:
    """One faulty answer fails its own probe and no other."""
    assert_failed(judged(VERTEX, {**GOOD, probe: faulty}), probe)


def test_every_probe_is_shown_to_fail() -> None:
    """The list above leaves out no probe."""
    marks = [mark for mark in test_each_probe_can_fail.pytestmark if mark.name == "parametrize"]  # type: ignore[attr-defined]
    assert {probe for probe, _ in marks[0].args[1]} == set(GOOD)


def _environment(spec: Spec) -> Any:
    model = run_file(spec, project="p", images={"serve": "sha256:1"}, data_volume=None, labels={})
    return model["services"]["serve"].get("environment")


def test_the_run_gives_what_the_platform_gives() -> None:
    """The serving container gets its port, its routes and the path of its model."""
    assert _environment(builders.spec(block=DIALECT, serve_artifact="/srv/model")) == {
        "AIP_HTTP_PORT": "8080",
        "AIP_HEALTH_ROUTE": "/health",
        "AIP_PREDICT_ROUTE": "/predict",
        "AIP_STORAGE_URI": "/srv/model",
        "AIP_MODE": "PREDICTION",
    }


def test_a_baked_model_has_no_storage() -> None:
    """As on the platform, AIP_STORAGE_URI is empty for a model without artifacts of its own."""
    assert _environment(builders.spec(block=DIALECT, serve_artifact=None))["AIP_STORAGE_URI"] == ""


def test_what_the_project_sets_stays() -> None:
    """A variable that the service sets wins; one that Compose passes on and nobody has set does not."""
    own = {"AIP_HEALTH_ROUTE": "/up", "AIP_STORAGE_URI": "/own", "AIP_MODE": None, "OMP_NUM_THREADS": "1"}
    spec = builders.spec(block=DIALECT, model={"services": {"serve": {"environment": own}}})
    spec.model["services"]["serve"]["environment"] = own
    found = _environment(spec)
    assert found["AIP_HEALTH_ROUTE"] == "/up"
    assert found["AIP_STORAGE_URI"] == "/own"
    assert found["AIP_MODE"] == "PREDICTION"
    assert found["OMP_NUM_THREADS"] == "1"
    assert interface(spec, VERTEX).ready == "/up"


def test_the_harness_and_the_container_agree_on_the_paths() -> None:
    """Paths of the x-harness block are told to the container, and asked by the probes."""
    spec = builders.spec(block={"serve": {"dialect": "vertex", "ready": "/up"}, "contract": {"predict": "/ask"}})
    found = _environment(spec)
    spoken = interface(spec, VERTEX)
    assert (found["AIP_HEALTH_ROUTE"], found["AIP_PREDICT_ROUTE"]) == (spoken.ready, spoken.predict) == ("/up", "/ask")
    sent = {request.case: request.path for request in requests(spec, spoken)}
    assert (sent["conforms:health"], sent["conforms:predict"]) == ("/up", "/ask")


@pytest.mark.parametrize("name", ["auto", "openapi", "oip-v2"])
def test_other_dialects_set_nothing(name: str) -> None:
    """No other dialect changes the environment."""
    assert not _environment(builders.spec(block={"serve": {"dialect": name}}))


@pytest.mark.parametrize(
    ("environment", "port"),
    [("{}", 8080), ("{AIP_HTTP_PORT: 9000}", 9000), ("[AIP_HTTP_PORT=9001, A=b]", 9001), ("[AIP_HTTP_PORT]", 8080)],
)
def test_the_port_follows_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, environment: str, port: int
) -> None:
    """AIP_HTTP_PORT of the service is the port; without it the port is the platform's default, and told."""
    monkeypatch.delenv("AIP_HTTP_PORT", raising=False)
    (tmp_path / "compose.yaml").write_text(COMPOSE.replace("{ENVIRONMENT}", environment), encoding="utf-8")
    spec = load(builders.compose(), tmp_path)
    assert spec.port == port
    assert _environment(spec)["AIP_HTTP_PORT"] == str(port)
    assert _environment(spec)["AIP_STORAGE_URI"] == "/srv/model"


@pytest.mark.parametrize("value", ["http", "0", "65536", "-1", "80.5"])
def test_a_port_that_is_none(value: str) -> None:
    """The error names the variable, what it holds and what to do."""
    with pytest.raises(DescriptionError, match=f"AIP_HTTP_PORT of the serve service, received '{value}'") as caught:
        port_of_environment({"environment": {"AIP_HTTP_PORT": value}}, "vertex")
    assert "leave it out" in str(caught.value.hint)


def test_never_recognised() -> None:
    """Whatever a server answers, nothing gives this protocol away."""
    found = recognise(lambda path: Answer(200, {"predictions": [], "path": path}).exchange("recognise"))
    assert found is None
    assert DIALECTS["vertex"] is VERTEX
