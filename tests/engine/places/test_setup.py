from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest

from harness.engine import Engine, labels
from harness.engine.compose import Compose
from harness.errors import InfrastructureError
from harness.project.description import load
from harness.project.dockerfile import PINNED_BASE
from harness.provision import base, doctor, setup

pytestmark = pytest.mark.engine

COMPOSE = """\
name: harness-setup-test
services:
  train: {build: {context: ., args: [BASE_IMAGE]}, volumes: ["model:/model"]}
  serve: {build: {context: ., args: [BASE_IMAGE]}, ports: ["127.0.0.1::8080"], volumes: ["model:/model:ro"]}
volumes: {model: {}}
x-harness: {version: 1, wheels: {requirements.txt: wheels}}
"""
DOCKERFILE = f"ARG BASE_IMAGE={PINNED_BASE}\nFROM ${{BASE_IMAGE}}\nCOPY requirements.txt wheels/ /tmp/\n"
WHEEL = "h11-0.16.0-py3-none-any.whl"
HASH = "63cf8bbe7522de3bf65932fda1d9c2772064ffb3dae62d55932da54b31cb6c86"


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv("BASE_IMAGE", raising=False)
    (tmp_path / "compose.yaml").write_text(COMPOSE)
    (tmp_path / "Dockerfile").write_text(DOCKERFILE)
    (tmp_path / "requirements.txt").write_text(f"h11==0.16.0 --hash=sha256:{HASH}\n")
    return tmp_path


def run_setup(root: Path) -> list[str]:
    said: list[str] = []
    setup(root, (), said.append)
    return said


def has_all_bases(root: Path) -> bool:
    with Engine.connect() as engine:
        spec = load(Compose.find(engine.compose_host), root)
        return all(engine.image(want.reference) for want in base.wanted(spec))


def content(root: Path) -> dict[str, tuple[bytes, int]]:
    files = [file for file in root.rglob("*") if file.is_file()]
    return {str(file.relative_to(root)): (file.read_bytes(), file.stat().st_mtime_ns) for file in files}


@pytest.mark.serial
def test_second_setup_changes_nothing(project: Path) -> None:
    """Setup makes base and wheels available; repeated, it touches no file and takes a moment."""
    said = run_setup(project)
    assert has_all_bases(project)
    assert (project / "wheels" / WHEEL).is_file()
    assert [line.split()[0] for line in said if line.endswith(" s)")] == ["engine", "compose", "base", "wheels"]
    before = content(project)
    start = time.monotonic()
    run_setup(project)
    assert time.monotonic() - start < 5
    assert content(project) == before


@pytest.mark.nightly
def test_stale_env_is_healed(project: Path) -> None:
    """A `.env` that names a local base which the engine no longer has is healed, its other lines kept."""
    (project / ".env").write_text("KEPT=1\nBASE_IMAGE=harness-local/python:gone\nALSO=2\n")
    run_setup(project)
    text = (project / ".env").read_text()
    assert "gone" not in text
    assert text.startswith("KEPT=1\n")
    assert text.endswith("ALSO=2\n")
    assert has_all_bases(project)


def test_wrong_hash_is_refused(project: Path) -> None:
    """A wheel that is not the locked one is refused with pip's own words, and no wheels folder is left half full."""
    (project / "requirements.txt").write_text(f"h11==0.16.0 --hash=sha256:{'0' * 64}\n")
    with pytest.raises(InfrastructureError, match="another file than") as caught:
        run_setup(project)
    assert HASH in str(caught.value)
    assert "Lock the requirements again" in caught.value.hint
    assert not (project / "wheels").exists()
    assert not (project / ".wheels.partial").exists()


def test_doctor_agrees_with_setup(project: Path) -> None:
    """The doctor misses the wheels before setup and nothing after it, and changes no file."""
    before = content(project)
    lines = {line.name: line for line in doctor(project, ())}
    assert lines["engine"].ok
    assert (lines["wheels"].ok, lines["wheels"].mend[:19]) == (False, "Run `harness setup`")
    assert content(project) == before
    run_setup(project)
    lines = {line.name: line for line in doctor(project, ())}
    assert [str(line) for line in lines.values() if not line.ok] == []
    expected = {"builder", "storage", "cgroup", "machine", "compose", "project", "base", "mounts", "reach"}
    assert expected <= set(lines)
    assert "not tried" not in lines["reach"].value


@pytest.mark.nightly
def test_two_setups_at_once(project: Path) -> None:
    """Two setups in one project wait for each other, and both end with a complete project."""
    failures: list[Exception] = []

    def work() -> None:
        try:
            run_setup(project)
        except Exception as exc:  # noqa: BLE001 - shown by the assertion below
            failures.append(exc)

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert (project / "wheels" / WHEEL).is_file()


@pytest.mark.serial
@pytest.mark.nightly
def test_nothing_labelled_is_left(project: Path) -> None:
    """The containers that setup and doctor try things with carry our labels and are gone afterwards."""
    run_setup(project)
    doctor(project, ())
    with Engine.connect() as engine:
        left = engine.labelled(f"{labels.PROJECT}=harness-setup")
    assert left == []
