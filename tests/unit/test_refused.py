"""A wrong description is refused before an engine is asked for: exit code 2, one message, what to do, and no run."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import builders
import pytest
import yaml

from harness.cli import main

NOWHERE = "unix:///nowhere.sock"
BLOCK: dict[str, Any] = {
    "version": 1,
    "data": {"path": "data", "mount": "/data"},
    "train": {"timeout": "60s"},
    "serve": {"port": 8080, "dialect": "plain", "timeout": "30s"},
    "contract": {"examples": "contract/*.json", "strict": True},
}
SERVICES: dict[str, Any] = {
    "train": {"image": "base", "volumes": ["./data:/data:ro", "model:/model"]},
    "serve": {"image": "base", "volumes": ["model:/model:ro"]},
}


@pytest.fixture(autouse=True)
def no_engine(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """There is no engine; the signal handler that `main` replaces is given back."""
    before = signal.getsignal(signal.SIGTERM)
    monkeypatch.delenv("GITHUB_ACTIONS", raising=False)
    monkeypatch.setenv("DOCKER_HOST", NOWHERE)
    monkeypatch.setenv("COLUMNS", "200")
    yield
    signal.signal(signal.SIGTERM, before)


def made(
    root: Path, block: dict[str, Any] | None = None, train: dict[str, Any] | None = None, *, described: bool = True
) -> Path:
    """Make a project with one change of its block or of its training service."""
    folder = root / "project"
    (folder / "data").mkdir(parents=True)
    (folder / "contract").mkdir()
    (folder / "data/rows.csv").write_text("x,y\n1,2\n", encoding="utf-8")
    (folder / "contract/two.json").write_text('{"request": {"x": 1}, "response": {"y": 2}}', encoding="utf-8")
    whole = dict(BLOCK)
    for name, value in (block or {}).items():
        whole[name] = {**whole.get(name, {}), **value} if isinstance(value, dict) else value
    model = {
        "name": "refused",
        "services": {**SERVICES, "train": {**SERVICES["train"], **(train or {})}},
        "volumes": {"model": {}},
        **({"x-harness": whole} if described else {}),
    }
    (folder / "compose.yaml").write_text(yaml.safe_dump(model, sort_keys=False, width=10_000), encoding="utf-8")
    return folder


def refused(capsys: pytest.CaptureFixture[str], folder: Path, verb: str, code: int, *texts: str) -> None:
    """Expect one message with what to do, an exit code that is nobody's else, and that no run began."""
    assert main.main([verb, "--project", str(folder)]) == code
    said, errors = capsys.readouterr()
    for text in ("harness: ", "\n  do: ", *texts):
        assert text in said, said
    assert "Traceback" not in said + errors
    assert not (folder / ".harness").exists()


def test_no_engine(tmp_path: Path) -> None:
    """Where all else is well the engine is missed: 3, which socket was tried, and how to get one.

    In a process of its own: the SDK leaves the refused sockets to the garbage collector.
    """
    program = [sys.executable, "-m", "harness", "run", "--project", str(made(tmp_path))]
    done = subprocess.run(
        program, env={**os.environ, "PYTHONPATH": str(builders.REPO)}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 3, done.stdout + done.stderr
    for text in ("harness: no container engine answers", "\n  do: ", NOWHERE, "harness setup"):
        assert text in done.stdout
    assert "Traceback" not in done.stdout + done.stderr


@pytest.mark.parametrize("verb", ["run", "lock"])
def test_no_compose_file(verb: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A folder without compose.yaml: 2, the folder is named."""
    refused(capsys, tmp_path, verb, 2, "there is no compose.yaml", str(tmp_path), "--file")


def test_not_yaml(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A file that is no YAML: 2, with the place where the parser gave up."""
    (tmp_path / "compose.yaml").write_text("services:\n  train: [unclosed\n", encoding="utf-8")
    refused(capsys, tmp_path, "run", 2, "compose.yaml is not YAML", "line 3")


def test_no_block(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A Compose file without x-harness: 2, and the smallest block to begin with."""
    refused(capsys, made(tmp_path, described=False), "run", 2, "no top-level `x-harness` block", "version: 1")


@pytest.mark.parametrize(
    ("block", "line", "texts"),
    [
        ({"serve": {"redy": "/health"}}, "redy:", ["unknown key `x-harness.serve.redy`", "did you mean `ready`?"]),
        ({"zzz": 1}, "zzz:", ["unknown key `x-harness.zzz`", "valid here:", "contract"]),
        ({"serve": {"port": "8080"}}, "port:", ["`x-harness.serve.port`", "integer", "received '8080'"]),
        ({"train": {"timeout": "soon"}}, "timeout: soon", ["expected a duration such as 500ms", "received 'soon'"]),
        ({"train": {"artifact": "model"}}, "artifact:", ["expected an absolute path", "received 'model'"]),
        ({"train": {"service": "trian"}}, "service:", ["no service `trian`", "did you mean `train`?"]),
        ({"data": {"path": "nowhere"}}, "path:", ["the dataset nowhere does not exist", "Commit it, or its pointer"]),
    ],
    ids=["unknown-key", "unknown-key-far", "wrong-type", "no-duration", "relative-path", "no-service", "no-dataset"],
)
def test_a_wrong_block(
    block: dict[str, Any], line: str, texts: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A wrong key, type, name or path: 2, the file's line and column, the nearest valid name; no run begins."""
    folder = made(tmp_path, block)
    text = (folder / "compose.yaml").read_text(encoding="utf-8").splitlines()
    start = text.index("x-harness:")
    row = max(number for number, each in enumerate(text) if number > start and each.strip().startswith(line))
    column = len(text[row]) - len(text[row].lstrip())
    refused(capsys, folder, "run", 2, f"compose.yaml:{row + 1}:{column + 1}: ", *texts)


def test_compose_refuses_the_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A file that Compose itself refuses: 2, with Compose's own words."""
    folder = made(tmp_path, train={"volumes": ["undeclared:/model"]})
    refused(capsys, folder, "run", 2, "Compose refuses", "undeclared")


def test_no_run_to_judge(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`harness judge` without a run: 2, and which runs there are."""
    refused(capsys, made(tmp_path), "judge", 2, "0 runs match 'latest'", "none")
