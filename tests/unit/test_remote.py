"""A server that runs already: what the command line and x-harness say of it, and how it is judged."""

from __future__ import annotations

import json
import socket
import time
from pathlib import Path
from typing import Any

import builders
import pytest
from service import Service, listening

from harness.cli.main import main
from harness.client.http import Target
from harness.errors import DescriptionError
from harness.runner import remote

BLOCK = """\
services: {}
x-harness:
  version: 1
  serve: {timeout: 1s}
  contract: {examples: "contract/*.json", predict: /predict}
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    example = {"request": builders.REQUEST, "response": builders.ANSWER}
    builders.write_files(tmp_path, {"compose.yaml": BLOCK, "contract/one.json": json.dumps(example)})
    return tmp_path


def _run(project: Path, url: str, *options: str) -> int:
    return main(["contract", "--project", str(project), "--url", url, "--fast", *options])


def _findings(project: Path) -> dict[str, Any]:
    text = (project / ".harness/runs/latest/findings.json").read_text(encoding="utf-8")
    return {finding["check"]: finding for finding in json.loads(text)}


@pytest.mark.parametrize(
    ("url", "target"),
    [
        ("http://127.0.0.1:8080", Target("127.0.0.1", 8080)),
        ("http://localhost/", Target("localhost", 80)),
        ("https://host/api/", Target("host", 443, tls=True, prefix="/api")),
        ("http://[::1]:81", Target("::1", 81)),
    ],
)
def test_url(url: str, target: Target) -> None:
    """Host, port, TLS and a prefix are read from the URL; and written back."""
    assert Target.parse(url) == target
    assert Target.parse(target.url) == target


@pytest.mark.parametrize("url", ["127.0.0.1:8080", "ftp://x", "http://", "http://x:99999", "http://[::1", ""])
def test_no_url(url: str) -> None:
    """What is no URL of a service is refused with an example."""
    with pytest.raises(DescriptionError) as caught:
        Target.parse(url)
    assert "http://127.0.0.1:8080" in caught.value.hint


def test_a_good_server_passes(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Exit code 0: the contract is judged; what was not built, trained or started here is skipped with that reason."""
    with listening(Service()) as target:
        assert _run(project, target.url, "--strict") == 0
    found = _findings(project)
    assert found["contract.examples"]["status"] == "pass"
    for check in ("images.built", "train.exits-cleanly", "serve.ready", "data.pinned"):
        assert found[check]["status"] == "skip", found[check]
        assert "runs already" in found[check]["received"]
    assert "PASSED" in capsys.readouterr().out


def test_a_broken_server_fails(project: Path) -> None:
    """Exit code 1 for a broken promise, as in a whole run."""
    with listening(Service("breaks-on-path")) as target:
        assert _run(project, target.url) == 1
    assert _findings(project)["contract.rejects-path"]["status"] == "fail"


def test_a_prefix_stands_before_every_path(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A server that answers below /api only is reached there, and not at its root."""

    class Below(Service):
        def answer(self, method: str, path: str, body: bytes, content_type: str) -> tuple[int, Any]:
            inside = path.removeprefix("/api") if path.startswith("/api/") else "/nowhere"
            return super().answer(method, inside, body, content_type)

    with listening(Below()) as target:
        assert _run(project, f"{target.url}/api") == 0
        assert _run(project, target.url) == 3
    assert "is not ready within 1 s" in capsys.readouterr().out


def test_nobody_answers(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Exit code 3: a server that is not there is no broken contract."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    start = time.monotonic()
    assert _run(project, f"http://127.0.0.1:{port}") == 3
    assert time.monotonic() - start < 10
    assert "ConnectionRefusedError" in capsys.readouterr().out


def test_the_command_line_wins(project: Path) -> None:
    """Options replace what x-harness says; the rest of it stays."""
    target = Target("127.0.0.1", 1)
    overrides = remote.Overrides(examples="contract/o*.json", predict="/v2", dialect="plain", strict=True)
    spec = remote.describe(project, (), target, overrides)
    assert (spec.block.contract.predict, spec.block.serve.dialect, spec.block.contract.strict) == ("/v2", "plain", True)
    assert spec.block.serve.timeout == 1.0
    assert [example.name for example in spec.examples] == ["one"]


def test_without_a_project(tmp_path: Path) -> None:
    """No compose.yaml is needed: the examples come from the command line."""
    builders.write_files(tmp_path, {"one.json": '{"request": [1]}'})
    spec = remote.describe(tmp_path, (), Target("h", 1), remote.Overrides(examples="*.json"))
    assert len(spec.examples) == 1


def test_unknown_dialect(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A dialect that does not exist is refused with what exists; nothing is sent."""
    assert _run(project, "http://127.0.0.1:1", "--dialect", "openpai") == 2
    assert "openapi" in capsys.readouterr().out


def test_unknown_check(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A pattern that fits no check is refused with the nearest name."""
    with listening(Service()) as target:
        assert _run(project, target.url, "--only", "contract.example") == 2
    assert "did you mean contract.examples?" in capsys.readouterr().out


def test_only_and_skip(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Chosen checks are judged, the others are skipped with that reason and not listed one by one."""
    with listening(Service("wrong-answer")) as target:
        assert _run(project, target.url, "--only", "contract.r*", "--skip", "contract.rejects-*") == 0
    found = _findings(project)
    passed = {name for name, finding in found.items() if finding["status"] == "pass"}
    assert passed == {"contract.recovers", "contract.repeatable", "contract.row-order"} & found.keys() - {
        "contract.row-order"
    }
    assert found["contract.examples"]["received"] == "left out by --only"
    assert found["contract.rejects-path"]["received"] == "left out by --skip"
    assert "contract.examples" not in capsys.readouterr().out
