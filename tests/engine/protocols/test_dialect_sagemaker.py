"""A container as SageMaker calls it: `train` with its files and channels, `serve` with its two paths."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from ..support import REPO, Harness, Mini, merged

pytestmark = pytest.mark.engine

PROJECT = REPO / "tests/projects/sagemaker"
CONFIG = "/opt/ml/input/config"


def change(project: Path, by: Mapping[str, Any]) -> None:
    """Merge a change into the Compose file of a project."""
    file = project / "compose.yaml"
    model = merged(yaml.safe_load(file.read_text(encoding="utf-8")), by)
    file.write_text(yaml.safe_dump(model, sort_keys=False), encoding="utf-8")


def log(folder: Path) -> str:
    """Return what training printed."""
    return (folder / "train/log.txt").read_text(encoding="utf-8")


def test_the_conventions_are_supplied(mini: Mini, run_harness: Harness) -> None:
    """Neither commands nor mounts are said: training finds its files and its channel, serving its model."""
    ran = run_harness(mini.copy(PROJECT))
    ran.assert_passed()
    for check in ("train.loss-decreases", "artifact.handed-over", "contract.examples", "contract.conforms"):
        assert ran.statuses[check] == "pass", str(ran)
    assert ran.record("train/record.json")["command"] == ["train"]
    assert "algo-1: 200 epochs on 40 rows of training" in log(ran.folder)


@pytest.mark.nightly
def test_it_is_recognised_and_takes_the_projects_own_files(mini: Mini, run_harness: Harness) -> None:
    """With `auto` the protocol is recognised; what it would supply the project says itself, files as `configs`."""
    files = {
        "hyperparameters": {"epochs": "200", "rate": "0.5"},
        "inputdataconfig": {"mine": {}},
        "resourceconfig": {"current_host": "$$HOME", "hosts": ["here"]},
    }
    project = mini.copy(PROJECT)
    change(
        project,
        {
            "configs": {name: {"content": json.dumps(content)} for name, content in files.items()},
            "services": {
                "train": {
                    "command": ["train"],
                    "configs": [{"source": name, "target": f"{CONFIG}/{name}.json"} for name in files],
                    "volumes": ["model:/opt/ml/model"],
                },
                "serve": {"command": ["serve"], "volumes": ["model:/opt/ml/model:ro"]},
            },
            "volumes": {"model": {}},
            "x-harness": {
                "data": {"channel": None, "mount": "/opt/ml/input/data/mine"},
                "train": {"hyperparameters": None, "artifact": "/opt/ml/model"},
                "serve": {"dialect": "auto", "port": 8080},
            },
        },
    )
    ran = run_harness(project)
    ran.assert_passed()
    assert ran.record("serve/record.json")["interface"]["dialect"] == "sagemaker"
    assert ran.statuses["contract.conforms"] == "pass"
    assert "$HOME: 200 epochs on 40 rows of mine" in log(ran.folder)


@pytest.mark.nightly
def test_a_failed_training_says_why(mini: Mini, run_harness: Harness) -> None:
    """What training wrote to /opt/ml/output/failure stands in the finding and in the evidence."""
    project = mini.copy(PROJECT)
    change(project, {"x-harness": {"train": {"hyperparameters": {"epochs": "many"}}}})
    ran = run_harness(project)
    said = "ValueError: invalid literal for int() with base 10: 'many'"
    ran.assert_failed("train.exits-cleanly", received=f"exit code 255\nit says why: {said}")
    assert ran.record("train/record.json")["failure"] == said
    assert (ran.folder / "train/failure.txt").read_text(encoding="utf-8").strip() == said


def test_a_read_only_root_is_explained(mini: Mini, run_harness: Harness) -> None:
    """The files cannot be put into a container with a read-only root: an error of the description."""
    project = mini.copy(PROJECT)
    change(project, {"services": {"train": {"read_only": True}}})
    ran = run_harness(project)
    ran.assert_refused(2, "read_only", CONFIG)
