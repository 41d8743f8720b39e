from __future__ import annotations

import os
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import NoReturn

import pytest

from harness import provision
from harness.engine import Engine
from harness.engine.compose import Compose
from harness.errors import EngineUnavailableError, ImageUnavailableError, InfrastructureError
from harness.project import wheels
from harness.provision import base, daemon, debian, fetch, programs
from harness.provision.dotenv import set_base, with_base
from harness.provision.host import SETUP, Host
from harness.system.process import Ended

DEBIAN = Host(
    system="Linux",
    distribution="debian",
    is_root=True,
    is_wsl=False,
    has_systemd=False,
    has_dockerd=False,
    docker_host="",
)
NOBODY_ANSWERS = EngineUnavailableError("no container engine answers; tried nothing")


def silent(_line: str) -> None:
    """Take a line and drop it."""


@pytest.fixture
def no_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse() -> NoReturn:
        raise NOBODY_ANSWERS

    monkeypatch.setattr(Engine, "connect", refuse)


@pytest.fixture
def nothing_may_run(monkeypatch: pytest.MonkeyPatch) -> None:
    def forbidden(*_args: object, **_options: object) -> NoReturn:
        raise AssertionError("setup changed the machine")

    for name in ("apt_install", "launch", "run"):
        monkeypatch.setattr(daemon, name, forbidden)


@pytest.mark.parametrize(
    ("host", "words"),
    [
        (replace(DEBIAN, docker_host="tcp://elsewhere:2375"), "DOCKER_HOST=tcp://elsewhere:2375"),
        (replace(DEBIAN, is_root=False), "sudo apt-get install docker.io"),
        (replace(DEBIAN, is_root=False, has_dockerd=True), "sudo systemctl start docker"),
        (replace(DEBIAN, distribution="fedora"), "your distribution's packages"),
        (replace(DEBIAN, system="Darwin", distribution="", is_root=False), "Docker Desktop, OrbStack"),
        (replace(DEBIAN, system="Windows", distribution="", is_root=False), "Docker Desktop for Windows"),
        (replace(DEBIAN, is_wsl=True, has_dockerd=True), "WSL integration"),
    ],
)
@pytest.mark.usefixtures("no_engine", "nothing_may_run")
def test_changes_nothing_where_it_may_not(host: Host, words: str) -> None:
    """Where setup may not install or start an engine it changes nothing, and says precisely what to do."""
    with pytest.raises(EngineUnavailableError, match=r"Nothing was changed\.") as caught:
        daemon.ensure(silent, host)
    assert words in caught.value.hint
    assert caught.value.hint != SETUP


@pytest.mark.usefixtures("no_engine")
def test_installs_as_root_on_debian(monkeypatch: pytest.MonkeyPatch) -> None:
    """As root on Debian without an engine, docker.io is installed and then dockerd started directly."""
    done: list[str] = []
    monkeypatch.setattr(daemon, "apt_install", lambda packages, _host, _say: done.append(" ".join(packages)))
    monkeypatch.setattr("shutil.which", lambda _name: "/usr/sbin/dockerd")
    monkeypatch.setattr(daemon, "launch", lambda argv, _log: done.append(argv[0]))
    monkeypatch.setattr(daemon, "await_answer", lambda *_args: done.append("answered"))
    daemon.ensure(silent, DEBIAN)
    assert done == ["docker.io iptables", "/usr/sbin/dockerd", "answered"]


@pytest.mark.usefixtures("no_engine")
def test_uses_systemd_where_it_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    """An engine that is installed is only started; by systemctl where systemd runs."""
    done: list[str] = []

    def run(argv: list[str], *_args: object, **_options: object) -> programs.Result:
        done.append(" ".join(argv))
        return programs.Result(tuple(argv), Ended(0), ())

    monkeypatch.setattr(daemon, "run", run)
    monkeypatch.setattr(daemon, "await_answer", lambda *_args: None)
    daemon.ensure(silent, replace(DEBIAN, has_dockerd=True, has_systemd=True, distribution="fedora"))
    assert done == ["systemctl start docker"]


def test_launched_program_outlives_its_starter(tmp_path: Path) -> None:
    """What is launched has its own session, no terminal, and writes to its log."""
    log = tmp_path / "log"
    script = "import os, sys; print(os.getsid(0) == os.getpid(), sys.stdin.read() == '', flush=True)"
    process = daemon.launch([sys.executable, "-c", script], log)
    assert process.wait(20) == 0
    assert log.read_text() == "True True\n"


@pytest.mark.usefixtures("no_engine")
def test_engine_that_dies_is_reported_with_its_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A started engine that ends is not waited for until the time limit, and the end of its log is shown."""
    monkeypatch.setattr(daemon, "DYING", 0.0)
    log = tmp_path / "log"
    log.write_text("failed to start daemon: no permission\n")
    start = time.monotonic()
    with pytest.raises(EngineUnavailableError, match="no permission"):
        daemon.await_answer(Engine.connect, lambda: False, log)
    assert time.monotonic() - start < 5


@pytest.mark.parametrize(
    ("text", "reference", "expected"),
    [
        ("", "a:1", "BASE_IMAGE=a:1\n"),
        ("KEY=1", "a:1", "KEY=1\nBASE_IMAGE=a:1\n"),
        ("KEY=1\nBASE_IMAGE=old\nOTHER=2\n", "a:1", "KEY=1\nBASE_IMAGE=a:1\nOTHER=2\n"),
        ("BASE_IMAGE=x\nKEY=1\nexport BASE_IMAGE=y", "a:1", "BASE_IMAGE=a:1\nKEY=1\n"),
        ("# BASE_IMAGE=kept\nBASE_IMAGE_2=kept\n", "a:1", "# BASE_IMAGE=kept\nBASE_IMAGE_2=kept\nBASE_IMAGE=a:1\n"),
        ("KEY=1\nBASE_IMAGE=old\n", None, "KEY=1\n"),
        ("KEY=1", None, "KEY=1"),
    ],
)
def test_env_keeps_every_other_line(text: str, reference: str | None, expected: str) -> None:
    """Only the BASE_IMAGE line of `.env` changes; all else stays to the byte, and a second time changes nothing."""
    assert with_base(text, reference) == expected
    assert with_base(expected, reference) == expected


def test_env_file_keeps_its_mode_and_leaves_no_rest(tmp_path: Path) -> None:
    """Writing `.env` keeps its permissions; a file that held our line alone is removed with it."""
    file = tmp_path / ".env"
    file.write_text("SECRET=1\n")
    file.chmod(0o600)
    set_base(file, "a:1")
    assert file.read_text() == "SECRET=1\nBASE_IMAGE=a:1\n"
    assert file.stat().st_mode & 0o777 == 0o600
    file.write_text("BASE_IMAGE=a:1\n")
    set_base(file, None)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("reference", "expected"),
    [
        ("python:3.13", True),
        ("python:3.13-slim-trixie@sha256:" + "0" * 64, True),
        ("library/python:3.13.5-slim", True),
        ("debian:trixie-slim", True),
        ("python:3.13-alpine", False),
        ("python:3.12-slim", False),
        ("python:3.130", False),
        ("debian:12", False),
        ("elsewhere/python:3.13", False),
    ],
)
def test_local_base_stands_only_for_its_like(reference: str, expected: bool) -> None:  # noqa: FBT001
    """The local base replaces Debian's and Docker's Python 3.13 over glibc, and nothing else."""
    assert debian.stands_for(reference) is expected


def test_local_name_is_never_pulled() -> None:
    """A local base that is gone is never asked of a registry, where a stranger could have put one."""
    assert base.Want("train", "harness-local/python:3.13-trixie", "python:3.13").pulled == "python:3.13"
    with pytest.raises(ImageUnavailableError, match="in no registry"):
        base._pull(Engine.__new__(Engine), "harness-local/python:3.13-trixie", silent)


def test_hanging_pull_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """A registry that never answers costs the time limit, not minutes."""
    monkeypatch.setattr(base, "FIRST_ANSWER", 0.05)
    monkeypatch.setattr(Engine, "pull", lambda *_args: time.sleep(1.0))
    with pytest.raises(ImageUnavailableError, match=r"given up after 0\.05 s"):
        base._pull(Engine.__new__(Engine), "python:3.13", silent)


def test_platform_tags_of_glibc() -> None:
    """An image with glibc 2.41 takes every manylinux from its own version down to the oldest, best first."""
    tags = fetch.platform_tags("x86_64", "glibc", "2.41")
    assert tags[0] == "manylinux_2_41_x86_64"
    assert tags[-3:] == ("manylinux_2_5_x86_64", "manylinux1_x86_64", "linux_x86_64")
    assert tags.index("manylinux_2_17_x86_64") + 1 == tags.index("manylinux2014_x86_64")
    arm = fetch.platform_tags("aarch64", "glibc", "2.36")
    assert arm[-3:] == ("manylinux_2_17_aarch64", "manylinux2014_aarch64", "linux_aarch64")


def test_platform_tags_of_musl() -> None:
    """An image with musl takes no manylinux wheel."""
    assert fetch.platform_tags("x86_64", "musl", "1.2.5") == (
        "musllinux_1_2_x86_64",
        "musllinux_1_1_x86_64",
        "musllinux_1_0_x86_64",
    )


def test_shared_folder_is_current_for_each_file(tmp_path: Path) -> None:
    """Two requirements files that share a folder are both current; stale wheels go, other files stay."""
    names = [tmp_path / "a.txt", tmp_path / "b.txt"]
    for name in names:
        name.write_text(name.name)
    folder, fresh = tmp_path / "wheels", tmp_path / "fresh"
    folder.mkdir()
    fresh.mkdir()
    for file in (folder / "old.whl", folder / ".gitkeep", fresh / "new.whl"):
        file.write_text("")
    fetch._replace(folder, fresh, names)
    assert sorted(file.name for file in folder.iterdir()) == [".gitkeep", wheels.STAMP, "new.whl"]
    assert all(wheels.is_current(name, folder) for name in names)
    names[0].write_text("changed")
    assert not wheels.is_current(names[0], folder)


def test_line_shows_the_mend_below() -> None:
    """A line of the doctor is one line, and its mend a second one only where something is missing."""
    assert str(provision.Diagnostic("engine", ok=True, value="26.1")) == "ok       engine     26.1"
    missing = str(provision.Diagnostic("base", ok=False, value="not here", mend="Run it."))
    assert missing.splitlines() == ["MISSING  base       not here", " " * 20 + "Run it."]


@pytest.mark.usefixtures("no_engine")
def test_doctor_without_engine_says_the_mend(tmp_path: Path) -> None:
    """Without an engine the doctor still answers, and names what mends it."""
    first = provision.doctor(tmp_path, ())[0]
    assert (first.name, first.ok) == ("engine", False)
    assert first.mend


def test_failing_program_shows_all_it_printed() -> None:
    """The error of a program that failed holds its whole output; its success holds none of it."""
    script = "print('first'); print('last'); raise SystemExit(3)"
    shown: list[str] = []
    ended = programs.run([sys.executable, "-c", script], shown.append, timeout=20)
    with pytest.raises(InfrastructureError, match=r"(?s)exit code 3:\nfirst\nlast") as caught:
        ended.check("mend it")
    assert caught.value.hint == "mend it"
    assert shown == []


def test_program_ends_at_its_time_limit() -> None:
    """A program that hangs is ended, and that is said."""
    ended = programs.run([sys.executable, "-c", "import time; time.sleep(60)"], silent, timeout=0.2)
    with pytest.raises(InfrastructureError, match="did not end in time"):
        ended.check("")


def test_setup_without_project_stops_after_compose(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a folder without compose.yaml engine and Compose are looked after, and nothing is written."""
    engine = Engine.__new__(Engine)
    monkeypatch.setattr(Engine, "__exit__", lambda *_args: None)
    monkeypatch.setattr(Engine, "compose_host", None)
    monkeypatch.setattr(daemon, "ensure", lambda *_args: engine)
    monkeypatch.setattr(daemon, "describe", lambda _engine: "26.1, API 1.44")
    monkeypatch.setattr(Compose, "find", lambda _host: Compose(("compose",), "2.0", "plugin", dict(os.environ)))
    said: list[str] = []
    provision.setup(tmp_path, (), said.append)
    assert any("there is no compose.yaml" in line for line in said)
    assert list(tmp_path.iterdir()) == []
