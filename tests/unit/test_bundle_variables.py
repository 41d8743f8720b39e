"""Of the variables that Compose files take, a bundle has the values of those on a list, and the names of the others."""

from __future__ import annotations

import json
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import builders
import pytest

from harness.evidence.records import Ending, Evidence
from harness.evidence.run_folder import RunFolder
from harness.reproduce.bundle import Bundle, open_bundle, pack
from harness.reproduce.bundle.interpolated import interpolated
from harness.reproduce.replay import recorded

COMPOSE = """\
name: demo
services:
  train:
    image: ${REGISTRY}/train
    environment:
      URL: ${INTERNAL_URL}
      PIN: ${PIN}
      EPOCHS: ${EPOCHS:-3}
      HOST: ${DB_HOST}
      MODE: ${MODE}
      WHERE: ${MODEL_DIR}
      SALT: ${SALT}
  serve: {image: demo-serve}
x-harness: {version: 1}
"""
VALUES = {
    "BASE_IMAGE": "python:3.13",
    "REGISTRY": "registry.corp:5000",
    "INTERNAL_URL": "https://intranet.corp/ml",
    "PIN": "483920",
    "EPOCHS": "12",
    "DB_HOST": "db7.prod.corp.example",
    "MODE": "thorough",
    "MODEL_DIR": "/models/v1",
    "SALT": "hunter2hunter2",
}
PRIVATE = ("registry.corp", "intranet.corp", "483920", "db7.prod", "hunter2hunter2")
ENVIRONMENT = {"URL": "INTERNAL_URL", "PIN": "PIN", "HOST": "DB_HOST", "MODE": "MODE", "SALT": "SALT"}


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project whose Compose file takes variables, some from `.env`."""
    root = tmp_path / "project"
    lines = "".join(f"{name}={value}\n" for name, value in VALUES.items())
    builders.write_files(root, {"compose.yaml": COMPOSE + "# ${BASE_IMAGE}\n", ".env": lines})
    return root


def _spec(root: Path, *allowed: str) -> Any:
    environment = {name: VALUES[source] for name, source in ENVIRONMENT.items()} | {"WHERE": "/models/v1"}
    train = {"image": "registry.corp:5000/train", "environment": environment}
    block = {"bundle": {"variables": list(allowed)}}
    return builders.spec(block, {"services": {"train": train}}, root=root, files=(root / "compose.yaml",))


def _packed(root: Path, into: Path, *allowed: str) -> Bundle:
    images = builders.images(images=(builders.built("train", reference="registry.corp:5000/train"),))
    whole = builders.evidence(spec=_spec(root, *allowed), end=Ending(1, "judged"), images=images)
    folder = RunFolder.create(root)
    for field in fields(Evidence):
        if (record := getattr(whole, field.name)) is not None:
            folder.write(field.name, record)
    folder.write_text("train/log.txt", f"asking {VALUES['INTERNAL_URL']} at {VALUES['DB_HOST']}\nepoch 12 thorough")
    folder.write_json("train/inspect.json", {"Config": {"Env": [f"SALT={VALUES['SALT']}", f"PIN={VALUES['PIN']}"]}})
    return open_bundle(pack(folder, root, environ={}).path, into)


def test_only_what_is_allowed_is_in_the_env_file(project: Path, tmp_path: Path) -> None:
    """The names of all stand in `.env`; a value only where the harness needs it or the project lists it."""
    bundle = _packed(project, tmp_path / "into", "EPOCHS", "MODE")
    lines = (bundle.project / ".env").read_text(encoding="utf-8").splitlines()
    found = dict(line.split("=", 1) for line in lines)
    assert found.keys() == VALUES.keys()
    shown = {name: value for name, value in found.items() if "redacted" not in value}
    assert shown == {"BASE_IMAGE": "python:3.13", "EPOCHS": "12", "MODE": "thorough"}


def test_a_secret_on_the_list_stays_one(project: Path) -> None:
    """A name that looks secret wins over the list."""
    spec = _spec(project, "API_KEY", "EPOCHS")
    (project / "compose.yaml").write_text("x: [$API_KEY, $EPOCHS]\n", encoding="utf-8")
    found = interpolated(spec, project, {"API_KEY": "k", "EPOCHS": "1"})
    assert (dict(found.shown), dict(found.hidden)) == ({"EPOCHS": "1"}, {"API_KEY": "k"})


def test_the_values_are_nowhere_else(project: Path, tmp_path: Path) -> None:
    """Neither description nor log nor the answers of the engine nor the Compose file for the hand have them."""
    bundle = _packed(project, tmp_path / "into")
    for path in bundle.path.rglob("*"):
        text = path.read_bytes().decode("utf-8", "replace") if path.is_file() else ""
        assert [value for value in PRIVATE if value in text] == [], path
    log = (bundle.run.path / "train/log.txt").read_text(encoding="utf-8")
    assert log == "asking [redacted INTERNAL_URL] at [redacted DB_HOST]\nepoch 12 thorough\n", "words stay"
    assert bundle.run.load().spec.model["services"]["train"]["environment"]["WHERE"] == "/models/v1", "paths stay"


def test_what_the_project_says_itself_is_no_secret(project: Path, tmp_path: Path) -> None:
    """A value that stands in the Compose file, as a default does, is replaced nowhere in the evidence."""
    text = COMPOSE.replace("${DB_HOST}", "${DB_HOST:-db7.prod.corp.example}")
    (project / "compose.yaml").write_text(text, encoding="utf-8")
    bundle = _packed(project, tmp_path / "into")
    assert "at db7.prod.corp.example" in (bundle.run.path / "train/log.txt").read_text(encoding="utf-8")


def test_the_readme_names_them(project: Path, tmp_path: Path) -> None:
    """Whoever follows the README learns which to set, and the Compose file takes them."""
    bundle = _packed(project, tmp_path / "into")
    readme = (bundle.path / "README.md").read_text(encoding="utf-8")
    part = readme.partition("## Variables")[2]
    assert all(f"`{name}`" in part for name in VALUES if name != "BASE_IMAGE")
    model = json.loads((bundle.path / "compose.json").read_text(encoding="utf-8"))
    environment = model["services"]["train"]["environment"]
    assert environment["URL"] == "${INTERNAL_URL:-[redacted INTERNAL_URL]}"
    assert environment["SALT"] == "${SALT:-[redacted SALT]}"


def test_replay_takes_them_from_here(project: Path, tmp_path: Path) -> None:
    """Replay fills in what this machine has, wherever it stands, and names what is lacking."""
    spec = _packed(project, tmp_path / "into").run.load().spec
    given, lacking = recorded.with_secrets(spec, VALUES)
    train = given.model["services"]["train"]
    assert lacking == ()
    assert train["image"] == "registry.corp:5000/train"
    assert {name: train["environment"][name] for name in ENVIRONMENT} == {n: VALUES[s] for n, s in ENVIRONMENT.items()}
    assert list(recorded.hidden_parts(given)) == []
    without, lacking = recorded.with_secrets(spec, {"PIN": "1"})
    assert {"REGISTRY", "INTERNAL_URL", "DB_HOST", "SALT"} <= set(lacking)
    assert list(recorded.hidden_parts(without)) == ["REGISTRY (services.train.image)"]
    assert replace(without, model={}) == replace(spec, model={})
