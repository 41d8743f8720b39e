"""What else stands in a Compose file runs as Compose runs it: what is built, in which order, under which names."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from defects import defect

from ..support import HERE, Harness, Mini, merged

pytestmark = pytest.mark.engine

MINI = HERE / "mini"
DONE = {"condition": "service_completed_successfully"}
STORE = "import http.server as h; h.test(h.SimpleHTTPRequestHandler, port=7070)"
ASK = "import urllib.request as u; u.urlopen('http://{}:7070/', timeout=5)\n"
PROBE = {"test": ["CMD", "python3", "-c", ASK.format("127.0.0.1")], "interval": "1s", "retries": 30}
EXPORT = """
import json, pathlib
model = json.loads(pathlib.Path("/raw/model.json").read_text())
pathlib.Path("/final/model.json").write_text(json.dumps({**model, "exported": True}))
"""


def _code(name: str) -> str:
    return (MINI / f"{name}.py").read_text(encoding="utf-8")


def _dockerfile(folder: Path, *lines: str) -> None:
    folder.mkdir()
    (folder / "Dockerfile").write_text("\n".join(["ARG BASE_IMAGE", "FROM ${BASE_IMAGE}", *lines]), encoding="utf-8")


def _built(folder: str, **more: Any) -> dict[str, Any]:
    return {"build": {"context": folder, "args": ["BASE_IMAGE"]}, **more}


def test_what_training_depends_on(mini: Mini, run_harness: Harness) -> None:
    """A store with `build` and a name of its own is built and found by it; a job before training ends first."""
    store = _built("./store", container_name="feature-store", healthcheck=PROBE, stop_signal="SIGKILL")
    permit = ["sh", "-c", "chown 4321 /out"]
    project = mini(
        {
            "services": {
                "permit": {"image": "${BASE_IMAGE}", "user": "0", "command": permit, "volumes": ["model:/out"]},
                "store": store,
                "train": {
                    "user": "4321",
                    "depends_on": {"permit": DONE, "store": {"condition": "service_healthy"}},
                },
            }
        },
        train=ASK.format("feature-store") + _code("train"),
    )
    _dockerfile(project / "store", f'CMD ["python3", "-c", "{STORE}"]')
    ran = run_harness(project)
    ran.assert_passed()
    said = ran.finding("services.ready")["received"]
    assert "permit: exit code 0" in said, str(ran)
    assert "store: healthy" in said, str(ran)
    assert "store" in ran.finding("images.built")["received"]


@defect("images.built", "the image of a service beside train and serve does not build")
def test_a_dependency_that_does_not_build(mini: Mini, run_harness: Harness) -> None:
    """It is named alone, with the step of its build that failed."""
    beside = {"a": _built("./a"), "b": _built("./b")}
    project = mini({"services": {**beside, "serve": {"depends_on": ["a", "b"]}}})
    _dockerfile(project / "a", "CMD sleep 9")
    _dockerfile(project / "b", "RUN echo nothing works && exit 3")
    run_harness(project).assert_failed("images.built", received="the build of b failed")


def test_a_step_makes_what_is_served(mini: Mini, run_harness: Harness) -> None:
    """What an export after training writes into a volume of its own is what serving sees; that is said."""
    export = {
        "image": "${BASE_IMAGE}",
        "command": ["python3", "-c", EXPORT],
        "volumes": ["model:/raw:ro", "final:/final"],
        "depends_on": {"train": DONE},
    }
    serve = {"volumes": ["final:/model:ro"], "depends_on": {"export": DONE}}
    project = mini({"services": {"export": export, "serve": serve}, "volumes": {"final": {}}})
    ran = run_harness(project)
    ran.assert_passed()
    assert "made by export: 0 of the 2 files of training" in ran.finding("artifact.handed-over")["received"]


@defect("services.ready", "the step between training and serving fails")
def test_a_step_that_fails(mini: Mini, run_harness: Harness) -> None:
    """It is named with its log; nothing is served after it, and the engine is not to blame."""
    quantize = {
        "image": "${BASE_IMAGE}",
        "command": ["python3", "-c", "raise ValueError('no such opset')"],
        "volumes": ["model:/model"],
        "depends_on": {"train": DONE},
    }
    project = mini({"services": {"quantize": quantize, "serve": {"depends_on": {"quantize": DONE}}}})
    ran = run_harness(project)
    ran.assert_failed("services.ready", received="ValueError: no such opset", advice="quantize")
    assert ran.statuses["serve.ready"] == "skip"


def _one_service(mini: Mini, *command: str) -> Path:
    """A project whose only service trains with a command and serves with the one of its Dockerfile."""
    project = mini.baking(before="COPY train.py /")
    (project / "train.py").write_text(_code("train"), encoding="utf-8")
    (project / "models" / "model.json").write_text('{"weight": 2.0}', encoding="utf-8")
    file = project / "compose.yaml"
    train = {"service": "serve", "command": list(command)}
    change = {"services": {"train": None, "serve": {"user": "0"}}, "x-harness": {"train": train}}
    file.write_text(yaml.safe_dump(merged(yaml.safe_load(file.read_text(encoding="utf-8")), change)), encoding="utf-8")
    return project


@pytest.mark.nightly
def test_one_service_trains_serves_and_bakes(mini: Mini, run_harness: Harness) -> None:
    """One service with one Dockerfile: trained with a command, then built anew with what that left."""
    ran = run_harness(_one_service(mini, "python3", "-u", "/train.py"))
    ran.assert_passed()
    assert "serve-train" in ran.finding("images.built")["received"]


@pytest.mark.nightly
@defect("artifact.present", "training writes nothing, and its image has the model that was baked before")
def test_one_service_with_an_old_model(mini: Mini, run_harness: Harness) -> None:
    """What the image had before is not what training left."""
    ran = run_harness(_one_service(mini, "true"))
    ran.assert_failed("artifact.present", received="no file that this training wrote")


@pytest.mark.nightly
def test_beside_another_container(mini: Mini, run_harness: Harness) -> None:
    """A service in the network of a named container of the project is reached there, in the run's own."""
    proxy = {"image": "${BASE_IMAGE}", "container_name": "gateway", "command": ["sleep", "100"], "profiles": ["edge"]}
    project = mini(
        {"services": {"proxy": {**proxy, "stop_signal": "SIGKILL"}, "serve": {"network_mode": "container:gateway"}}}
    )
    run_harness(project).assert_passed()
