"""The dialect of SageMaker's containers: what it demands, what is recognised as it, and its conventions as defaults."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import builders
import pytest
from defects import defect

from harness.checks.contract import conforms
from harness.checks.train import exits_cleanly
from harness.client.protocols import recognise
from harness.client.protocols.sagemaker import SAGEMAKER, train_files
from harness.config.blocks import Block
from harness.config.spec import Handover, Spec
from harness.evidence.records import Contract, Evidence, Exchange, Finding, Interface, Status
from harness.project.conventions import with_conventions
from harness.project.description import load, parse_block
from harness.project.runfile import inline_files, run_file
from harness.runner.stages.contract import requests

INTERFACE = Interface("sagemaker", "/ping", "/invocations")
BLOCK: dict[str, Any] = {"version": 1, "data": {"path": "data"}, "serve": {"dialect": "sagemaker"}}
CONFIG = "/opt/ml/input/config"


def _conforms(**answers: Exchange) -> list[Finding]:
    good = {name: builders.exchange(f"conforms:{name}") for name in ("ping", "invocations")}
    contract = Contract(tuple((good | answers).values()), INTERFACE, document=None)
    return list(conforms(Evidence(spec=builders.spec(), contract=contract)))


def test_a_good_container_conforms() -> None:
    """200 from both paths in time; what they answer is the container's own affair."""
    (finding,) = _conforms(ping=builders.exchange("conforms:ping", 200, b""))
    assert (finding.status, finding.received) == (Status.PASS, "2 of 2 demands of sagemaker met")


@pytest.mark.parametrize(
    ("name", "status", "seconds", "received"),
    [
        ("ping", 204, 0.1, "204"),
        ("ping", 404, 0.1, "404"),
        ("ping", 200, 2.5, "after 2.5 s, more than 2 s"),
        ("invocations", 404, 0.1, "404"),
        ("invocations", 200, 61.0, "after 61.0 s, more than 60 s"),
        ("invocations", None, 60.0, "no answer within 60 s"),
    ],
)
@defect("contract.conforms", "SageMaker: one demand of the protocol is unmet, each in turn")
def test_each_demand_can_fail(name: str, status: int | None, seconds: float, received: str) -> None:
    """A wrong status or a late answer fails exactly its demand, with the place in the developer guide."""
    error = "" if status else "no answer within 60 s"
    (finding,) = _conforms(**{name: builders.exchange(f"conforms:{name}", status, seconds=seconds, error=error)})
    assert finding.status is Status.FAIL
    assert f"({name})" in finding.expected
    assert "the SageMaker Developer Guide" in finding.expected
    assert received in finding.received


def test_the_example_is_the_request() -> None:
    """The probe of the predict path sends the project's first good example, and nothing where there is none."""
    refused = builders.example("bad", request={"bad": 1}, status=400)
    sent = {r.case: r.body for r in requests(builders.spec(examples=(refused, builders.example())), INTERFACE)}
    assert json.loads(sent["conforms:invocations"]) == builders.REQUEST
    sent = {r.case: r.body for r in requests(builders.spec(examples=(refused,)), INTERFACE)}
    assert "conforms:invocations" not in sent
    assert "conforms:ping" in sent


@pytest.mark.parametrize(
    ("ping", "invocations", "found"),
    [(200, 405, "sagemaker"), (200, 404, None), (204, 405, None), (404, 405, None)],
)
def test_recognised(ping: int, invocations: int, found: str | None) -> None:
    """By 200 from /ping and a predict path that takes no GET."""
    statuses = {"/ping": ping, "/invocations": invocations}

    def ask(path: str) -> Exchange:
        return builders.exchange("recognise", statuses.get(path, 404), b"", path=path, method="GET")

    dialect = recognise(ask)
    assert (dialect.name if dialect else None) == found


def test_only_200_is_ready() -> None:
    """SageMaker takes no other status for healthy."""
    assert SAGEMAKER.is_ready(builders.exchange(status=200))
    assert not SAGEMAKER.is_ready(builders.exchange(status=204))
    assert not SAGEMAKER.is_ready(builders.exchange(status=None))


def _block(**changes: Any) -> Block:
    return parse_block(builders.merged(BLOCK, changes))


def _spec(model: dict[str, Any] | None = None, **changes: Any) -> Spec:
    services: dict[str, Any] = {
        "name": "demo",
        "services": {"train": {"image": "demo"}, "serve": {"image": "demo"}},
    }
    model = builders.merged(services, model or {})
    block = with_conventions(_block(**changes), model["services"])
    return replace(builders.spec(), block=block, model=model, serve_artifact="/opt/ml/model")


def _run(spec: Spec) -> dict[str, Any]:
    images = {"train": "sha256:1", "serve": "sha256:1"}
    return run_file(spec, project="p", images=images, data_volume="harness-data-1", labels={})


def test_files_of_a_training_container() -> None:
    """Hyperparameters are strings, whatever the project writes; the channel is described; one host trains."""
    block = _block(train={"hyperparameters": {"epochs": 20, "rate": "0.5", "quick": True, "scale": 1.5}})
    files = {path: json.loads(text) for path, text in train_files(block).items()}
    assert files == {
        f"{CONFIG}/hyperparameters.json": {"epochs": "20", "rate": "0.5", "quick": "true", "scale": "1.5"},
        f"{CONFIG}/inputdataconfig.json": {
            "training": {
                "TrainingInputMode": "File",
                "S3DistributionType": "FullyReplicated",
                "RecordWrapperType": "None",
            }
        },
        f"{CONFIG}/resourceconfig.json": {
            "current_host": "algo-1",
            "hosts": ["algo-1"],
            "network_interface_name": "eth0",
        },
    }


def test_no_channel_without_data() -> None:
    """A project without a dataset has no channel."""
    files = train_files(parse_block({"version": 1, "serve": {"dialect": "sagemaker"}}))
    assert json.loads(files[f"{CONFIG}/inputdataconfig.json"]) == {}


def test_the_conventions_are_defaults() -> None:
    """Commands, artifact and data are where SageMaker has them."""
    model = _run(_spec(data={"channel": "train"}))
    train, serve = model["services"]["train"], model["services"]["serve"]
    assert (train["command"], serve["command"]) == (["train"], ["serve"])
    assert {m["target"]: m["source"] for m in train["volumes"]} == {
        "/opt/ml/model": "harness-artifact",
        "/opt/ml/input/data/train": "harness-data",
    }
    assert [m["target"] for m in serve["volumes"]] == ["/opt/ml/model"]
    assert train["environment"]["TRAINING_JOB_NAME"] == "harness"
    assert "train" in json.loads(inline_files(model, "train")[f"{CONFIG}/inputdataconfig.json"])
    assert inline_files(model, "serve") == {}


def test_what_the_project_says_wins() -> None:
    """Commands, paths, environment and config files of the project stay as they are."""
    spec = _spec(
        {
            "services": {
                "train": {
                    "command": ["fit"],
                    "environment": {"TRAINING_JOB_NAME": "mine"},
                    "configs": [{"source": "own", "target": f"{CONFIG}/hyperparameters.json"}],
                },
                "serve": {"command": ["gunicorn"]},
            },
            "configs": {"own": {"content": '{"price": "$$5"}'}},
        },
        data={"mount": "/data"},
        train={"artifact": "/opt/ml/model/sub"},
    )
    model = _run(spec)
    train = model["services"]["train"]
    assert (train["command"], model["services"]["serve"]["command"]) == (["fit"], ["gunicorn"])
    assert {m["target"] for m in train["volumes"]} == {"/opt/ml/model/sub", "/data"}
    assert train["environment"]["TRAINING_JOB_NAME"] == "mine"
    files = inline_files(model, "train")
    assert files[f"{CONFIG}/hyperparameters.json"] == '{"price": "$5"}'
    assert set(files) == {f"{CONFIG}/{name}.json" for name in ("hyperparameters", "inputdataconfig", "resourceconfig")}


def test_dollars_of_hyperparameters_arrive() -> None:
    """A dollar is doubled in the run's Compose file, as Compose reads it, and single in the container."""
    model = _run(_spec(train={"hyperparameters": {"pattern": "^a$"}}))
    assert "^a$$" in json.dumps(model["configs"])
    assert json.loads(inline_files(model, "train")[f"{CONFIG}/hyperparameters.json"]) == {"pattern": "^a$"}


def test_other_dialects_have_no_conventions() -> None:
    """Where the dialect says nothing of training, nothing is added."""
    block = _block(serve={"dialect": "plain"})
    assert with_conventions(block, {"train": {}, "serve": {}}).train == block.train
    auto = _block(serve={"dialect": "auto"})
    assert with_conventions(auto, {"train": {}, "serve": {}}) is auto


MINIMAL = """\
services:
  train: {image: demo}
  serve: {image: demo}
x-harness:
  version: 1
  data: {path: data}
  serve: {dialect: sagemaker}
"""


def test_a_minimal_description(tmp_path: Path) -> None:
    """Three lines are enough: the artifact needs no mount, as the platform carries it."""
    builders.write_files(tmp_path, {"compose.yaml": MINIMAL, "data/train.csv": "a\n1\n"})
    spec = load(builders.compose(), tmp_path)
    assert (spec.handover, spec.port, spec.serve_artifact) == (Handover.MOUNTED, 8080, "/opt/ml/model")
    assert spec.block.train.artifact == "/opt/ml/model"
    assert spec.block.train.command == ("train",)
    assert spec.block.data is not None
    assert spec.block.data.mount == "/opt/ml/input/data/training"


def test_the_failure_is_shown() -> None:
    """What a failed training wrote down stands in the finding, as much of it as SageMaker shows."""
    ended = builders.ended(code=255)
    (finding,) = exits_cleanly.function(builders.spec(), builders.training(exit=ended, failure="x" * 1024 + "y"))
    assert finding.status is Status.FAIL
    assert "it says why: " + "x" * 1024 + "\n" in finding.received
    (finding,) = exits_cleanly.function(builders.spec(), builders.training(exit=ended))
    assert "it says why" not in finding.received
