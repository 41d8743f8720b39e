"""The Compose program is called, watched and ended; here a script stands in for it."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import builders
import psutil
import pytest

from harness.engine import compose as module
from harness.engine.compose import Compose
from harness.errors import ComposeError, DescriptionError, DiskFullError

FILE = Path("compose.json")


@pytest.fixture
def lines() -> list[str]:
    """What the caller was shown."""
    return []


def _fake(root: Path, body: str, version: str = "2.40.0") -> Compose:
    script = root / "docker-compose"
    script.write_text(f'#!/bin/sh\nif [ "$1" = version ]; then echo {version}; exit 0; fi\n{body}\n')
    script.chmod(0o755)
    return Compose((str(script),), version, "path", dict(os.environ))


def _only(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    """Let `find` see one folder alone."""
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")
    monkeypatch.setattr(sys, "executable", str(folder / "python"))


def test_build_answers_with_code_and_tail(tmp_path: Path, lines: list[str]) -> None:
    """A failing build is an answer: its code, its last lines, and every line as it comes."""
    output = _fake(tmp_path, "for i in $(seq 100); do echo line $i; done; echo bad >&2; exit 17").build(
        tmp_path, FILE, ["train"], lines.append
    )
    assert output.code == 17
    assert output.lines == (*(f"line {n}" for n in range(62, 101)), "bad")
    assert len(output.lines) == module.TAIL
    assert lines == [*(f"line {n}" for n in range(1, 101)), "bad"]


def test_arguments(tmp_path: Path, lines: list[str]) -> None:
    """The project directory, the file and the services are named; no shell reads them."""
    _fake(tmp_path, 'for a in "$@"; do echo "$a"; done').build(tmp_path, Path("a b;c.json"), ["train"], lines.append)
    assert lines[:6] == ["--ansi", "never", "--project-directory", str(tmp_path), "--file", "a b;c.json"]
    assert lines[-1] == "train"


def test_output_that_is_no_text(tmp_path: Path, lines: list[str]) -> None:
    """Bytes that are not UTF-8 are shown replaced; they end nothing."""
    assert _fake(tmp_path, r"printf 'a\377b\n'").build(tmp_path, FILE, [], lines.append).code == 0
    assert lines == ["a\ufffdb"]


def test_full_disk_while_building(tmp_path: Path, lines: list[str]) -> None:
    """A build that meets a full disk is the machine's failure, not the project's."""
    fake = _fake(tmp_path, "echo 'write /x: no space left on device'; exit 1")
    with pytest.raises(DiskFullError, match="no space left"):
        fake.build(tmp_path, FILE, [], lines.append)


@pytest.mark.parametrize(
    ("body", "kind"), [("echo broken; exit 3", ComposeError), ("echo No space left on device; exit 1", DiskFullError)]
)
def test_create_fails(tmp_path: Path, body: str, kind: type[Exception]) -> None:
    """A container that cannot be created is a failed infrastructure with Compose's own words."""
    with pytest.raises(kind, match="ended with exit code") as caught:
        _fake(tmp_path, body).create(tmp_path, FILE, "train")
    assert "create" in str(caught.value)
    assert body.split(";", maxsplit=1)[0].removeprefix("echo ") in str(caught.value)


@pytest.mark.parametrize("body", ["exec sleep 60", "sleep 60", "sleep 60 & echo $! > child; wait"])
def test_time_limit_ends_the_program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, body: str) -> None:
    """Past its time limit the program and what it started are ended, within the limit and not after them."""
    monkeypatch.setattr(module, "CALL_TIMEOUT", 0.4)
    monkeypatch.chdir(tmp_path)
    start = time.monotonic()
    with pytest.raises(ComposeError, match=r"did not end within 0\.4 s"):
        _fake(tmp_path, body).create(tmp_path, FILE, "train")
    assert time.monotonic() - start < 10
    left = [p for p in psutil.Process().children(recursive=True) if "sleep" in p.name() and p.status() != "zombie"]
    assert not left
    if (tmp_path / "child").exists():
        pid = int((tmp_path / "child").read_text())
        assert not psutil.pid_exists(pid) or psutil.Process(pid).status() == "zombie"


def test_interrupt_ends_the_program(tmp_path: Path) -> None:
    """An exception in the caller, Ctrl-C above all, ends the program too."""
    fake = _fake(tmp_path, f"echo $$ > {tmp_path}/pid; echo line; exec sleep 60")

    def interrupt(_line: str) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fake.build(tmp_path, FILE, [], interrupt)
    assert not psutil.pid_exists(int((tmp_path / "pid").read_text()))


def test_config_is_refused(tmp_path: Path) -> None:
    """What Compose refuses is a wrong description in Compose's words."""
    with pytest.raises(DescriptionError, match=r"services\.x is unknown"):
        _fake(tmp_path, "echo services.x is unknown >&2; exit 15").config(tmp_path, [FILE])


def test_config_hangs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A Compose that hangs over the files is a failed infrastructure, not a crash."""
    monkeypatch.setattr(module, "CALL_TIMEOUT", 0.3)
    with pytest.raises(ComposeError, match="did not end within"):
        _fake(tmp_path, "exec sleep 30").config(tmp_path, [FILE])


def test_config_of_this_machine(tmp_path: Path) -> None:
    """The Compose of this machine merges files and reads all profiles."""
    builders.write_files(tmp_path, {"a.yaml": "services: {a: {image: x, profiles: [p]}}", "b.yaml": "name: two"})
    model = builders.compose().config(tmp_path, [tmp_path / "a.yaml", tmp_path / "b.yaml"])
    assert model["name"] == "two"
    assert set(model["services"]) == {"a"}


def test_find(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A program on PATH is found, with its version, and keeps DOCKER_HOST of the engine that is used."""
    _fake(tmp_path, "exit 1", version="v2.40.0")
    _only(monkeypatch, tmp_path)
    monkeypatch.setattr(module, "_candidates", lambda: [("path", (str(tmp_path / "docker-compose"),))])
    monkeypatch.setenv("DOCKER_CONTEXT", "other")
    found = Compose.find("unix:///x.sock")
    assert found.version == "2.40.0"
    assert found.description == "Compose 2.40.0 (path)"
    assert found.environment["DOCKER_HOST"] == "unix:///x.sock"
    assert "DOCKER_CONTEXT" not in found.environment


@pytest.mark.parametrize("version", ["1.29.2", "''", "unknown"])
def test_old_compose_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: str) -> None:
    """Compose 1 reads other files and is not used; neither is a program that names no version."""
    _fake(tmp_path, "exit 0", version=version)
    monkeypatch.setattr(module, "_candidates", lambda: [("path", (str(tmp_path / "docker-compose"),))])
    with pytest.raises(ComposeError, match="no Compose program answers"):
        Compose.find()


def test_no_compose(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without any Compose the error says what to install."""
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    with pytest.raises(ComposeError, match="no Compose program answers") as caught:
        Compose.find()
    assert "pip install" in caught.value.hint


def test_candidate_that_cannot_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A program that cannot even start is passed over."""
    (tmp_path / "docker-compose").write_text("no program")
    (tmp_path / "docker-compose").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    with pytest.raises(ComposeError):
        Compose.find()
