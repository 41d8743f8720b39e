"""Artifact stores as they are: the registry of the CNCF distribution project, and DVC, both the real programs."""

from __future__ import annotations

import base64
import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
import venv
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from ..support import REPO, Harness, Mini, eventually

pytestmark = pytest.mark.engine

PACKAGE = "docker-registry"
# bcrypt of `pass-word`, cost 4
HTPASSWD = "ann:$2b$04$UL2TtkS6wC5pyrFxmkzP1etTvfcd1KCcaDim4aAr11hfKQA41EO3a\n"
ONLY = ("--only", "quality.*", "--only", "artifact.provenance")
DIFFERENCE = "mae: new - baseline < 0.5"


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The registry: the installed one, else out of Debian's package, which nothing is installed of."""
    if found := shutil.which(PACKAGE):
        return Path(found)
    folder = tmp_path_factory.mktemp("package")
    apt, dpkg = shutil.which("apt-get"), shutil.which("dpkg")
    if apt is None or dpkg is None:
        pytest.fail(f"this test needs the program {PACKAGE}, and only knows how to fetch it on Debian or Ubuntu")
    said = ""
    for words in ([apt, "download", PACKAGE], [apt, "--quiet", "update"], [apt, "download", PACKAGE]):
        done = subprocess.run(words, cwd=folder, capture_output=True, text=True, timeout=120, check=False)
        said += done.stdout + done.stderr
        if packages := list(folder.glob("*.deb")):
            subprocess.run([dpkg, "-x", packages[0], folder], check=True, timeout=60)
            return folder / "usr/bin" / PACKAGE
    pytest.fail(f"Debian's package {PACKAGE} could not be fetched: apt-get install {PACKAGE}\n{said}")


@contextmanager
def _serving(program: Path, folder: Path, *, login: bool = False) -> Iterator[str]:
    """Run a registry with its storage in a folder; yields HOST:PORT."""
    folder.mkdir()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        host = f"127.0.0.1:{free.getsockname()[1]}"
    (folder / "htpasswd").write_text(HTPASSWD, encoding="utf-8")
    config = {
        "version": "0.1",
        "log": {"level": "warn"},
        "storage": {"filesystem": {"rootdirectory": str(folder / "data")}},
        "http": {"addr": host},
        **({"auth": {"htpasswd": {"realm": "us", "path": str(folder / "htpasswd")}}} if login else {}),
    }
    (folder / "config.yml").write_text(json.dumps(config), encoding="utf-8")
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen([program, "serve", folder / "config.yml"], stdout=log, stderr=log)
    try:
        eventually(lambda: _answers(host), 20, f"the registry answers: {(folder / 'log').read_text()}")
        yield host
    finally:
        process.terminate()
        process.wait(20)


def _answers(host: str) -> bool:
    try:
        with urllib.request.urlopen(f"http://{host}/v2/", timeout=2):
            return True
    except urllib.error.HTTPError as exc:
        return exc.code == 401
    except OSError:
        return False


def _project(mini: Mini, store: str) -> Path:
    project = mini({"x-harness": {"data": {"target": "y"}, "quality": {"conditions": ["mae <= 0.1", DIFFERENCE]}}})
    rows = "\n".join(f"{n},{2 * n}" for n in range(1, 41))
    (project / "data/holdout.csv").write_text(f"x,y\n{rows}\n", encoding="utf-8")
    file = project / "compose.yaml"
    text = file.read_text(encoding="utf-8")
    assert "  quality:\n" in text
    file.write_text(text.replace("  quality:\n", f"  quality:\n    baseline: {{store: '{store}'}}\n"), "utf-8")
    return project


def test_a_registry(program: Path, mini: Mini, run_harness: Harness, tmp_path: Path) -> None:
    """A run is published and pulled; the next run is held against it; a login is asked for and given."""
    with _serving(program, tmp_path / "open") as host:
        store = f"oci://{host}/team/model:main"
        project = _project(mini, store)
        first = run_harness(project, "run", *ONLY)
        first.assert_passed()
        assert first.statuses["quality.gate"] == "skip", str(first)
        published = run_harness(project, "publish", "--to", store)
        assert published.code == 0, str(published)
        assert "predictions of data/holdout.csv" in published.out
        second = run_harness(project, "run", *ONLY)
        second.assert_passed()
        assert [f["status"] for f in second.record("findings.json") if f["check"] == "quality.gate"] == ["pass", "pass"]
        digest = second.record("quality.json")["baseline_digest"]
        assert digest in published.out
        assert run_harness(project, "publish", "--to", store).code == 0
        for name in (store, f"oci://{host}/team/model@{digest}"):
            verified = _plain(run_harness, "verify", name)
            assert verified.returncode == 0, verified.stdout
        pulled = _plain(run_harness, "pull", store, str(tmp_path / "pulled"))
        assert pulled.returncode == 0, pulled.stdout
        assert (tmp_path / "pulled/provenance.json").is_file()
    with _serving(program, tmp_path / "closed", login=True) as host:
        (tmp_path / "docker").mkdir()
        config = tmp_path / "docker/config.json"
        config.write_text("{}", encoding="utf-8")
        there = {"DOCKER_CONFIG": str(tmp_path / "docker")}
        words = ("publish", "--to", f"oci://{host}/model")
        run_harness(project, *words, env=there).assert_refused(3, "401", f"docker login {host}")
        auth = base64.b64encode(b"ann:pass-word").decode()
        config.write_text(json.dumps({"auths": {host: {"auth": auth}}}), encoding="utf-8")
        assert run_harness(project, *words, env=there).code == 0


@pytest.mark.nightly
def test_dvc(mini: Mini, run_harness: Harness, tmp_path: Path) -> None:
    """The content goes to the remote, the pointer to where it is named, nothing to git; `dvc pull` brings it back."""
    start = time.monotonic()
    venv.create(tmp_path / "venv", symlinks=True)
    programs = tmp_path / "venv/bin"
    pip = [sys.executable, "-m", "pip", "--python", str(programs / "python"), "--disable-pip-version-check"]
    done = subprocess.run(
        [*pip, "install", "--quiet", "--no-compile", "dvc>=3.50,<4"],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, f"DVC could not be installed: {done.stderr}"
    print(f"DVC was installed in {time.monotonic() - start:.0f} s")
    environment = {"PATH": f"{programs}:{os.environ['PATH']}", "DVC_NO_ANALYTICS": "1"}
    project, remote = mini(), tmp_path / "remote"

    def call(*words: str) -> str:
        ran = subprocess.run(
            words,
            cwd=project,
            env={**os.environ, **environment},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert ran.returncode == 0, f"{words}: {ran.stdout}{ran.stderr}"
        return ran.stdout

    run_harness(project, "run", *ONLY).assert_passed()
    pointer = project / "models/mini.dvc"
    to_path = ("publish", "--to", f"dvc:{remote}", "--pointer", str(pointer))
    run_harness(project, *to_path, env=environment).assert_refused(3, "dvc init")
    call("git", "init", "-q")
    call("dvc", "init", "-q")
    call("dvc", "remote", "add", "storage", str(remote))
    to_name = ("publish", "--to", "dvc:storage", "--pointer", str(pointer))
    for words in (to_path, to_name):
        pointer.unlink(missing_ok=True)
        ran = run_harness(project, *words, env=environment)
        assert ran.code == 0, str(ran)
        assert "outs:" in pointer.read_text(encoding="utf-8")
    assert list(remote.rglob("*.dir"))
    assert not (project / "models/mini").exists()
    call("dvc", "pull", "-q", "-r", "storage", "models/mini.dvc")
    assert (project / "models/mini/provenance.json").is_file()
    verified = _plain(run_harness, "verify", str(project / "models/mini"))
    assert verified.returncode == 0, verified.stdout
    call("git", "add", "models")
    assert call("git", "ls-files", "models").split() == ["models/.gitignore", "models/mini.dvc"]
    refused = run_harness(project, "publish", "--to", "dvc:nope", "--pointer", str(pointer), env=environment)
    refused.assert_refused(3, "remote 'nope' doesn't exist")


def _plain(run_harness: Harness, *words: str) -> subprocess.CompletedProcess[str]:
    """Call a verb that knows no project."""
    return subprocess.run(
        [sys.executable, "-m", "harness", *words],
        cwd=run_harness.logs,
        env={**os.environ, "PYTHONPATH": str(REPO)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
