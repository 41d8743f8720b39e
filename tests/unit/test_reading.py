"""The x-harness block as every verb reads it, with Compose and, by the same rules, where there is none."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import builders
import pytest

from harness.cli.main import main
from harness.engine.compose import Compose
from harness.errors import ComposeError, DescriptionError
from harness.project.description import find_block

SERVICES = "services:\n  model:\n    image: x\n    deploy: !reset {}\n    ports: !override ['80']\n"
BLOCK = """\
x-harness:
  version: 1
  serve: {timeout: "${WAIT:-7s}", port: 8080}
  contract: {predict: "${PREDICT:-/predict}", examples: "$EX_DIR/*.json"}
"""
LATER = """\
x-harness:
  serve: {port: !reset null, ready: /up}
  contract: !override {predict: /later}
"""


@pytest.fixture(params=["with", "without"], autouse=True)
def _compose(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Read with Compose, and without."""

    def none(_host: str | None = None) -> Compose:
        raise ComposeError("no Compose program answers")

    if request.param == "without":
        monkeypatch.setattr(Compose, "find", none)


def _read(root: Path, *names: str, **files: str) -> Any:
    builders.write_files(root, {name.replace("_", "."): text for name, text in files.items()})
    block = find_block(root, [root / name for name in names])
    assert block is not None
    return block


def test_tags_and_variables(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Compose's tags are no traceback; variables come from the environment, `.env` and their defaults."""
    monkeypatch.setenv("WAIT", "9s")
    block = _read(tmp_path, compose_yaml=SERVICES + BLOCK, _env="EX_DIR=golden\nWAIT=1s\n")
    assert (block.serve.timeout, block.contract.predict) == (9.0, "/predict")
    assert block.contract.examples == "golden/*.json"


def test_later_files_go_over_earlier_ones(tmp_path: Path) -> None:
    """Mappings are merged, `!override` replaces, `!reset` takes away."""
    first, later = SERVICES + BLOCK, SERVICES + LATER
    block = _read(tmp_path, "a.yaml", "b.yaml", a_yaml=first, b_yaml=later)
    assert (block.serve.timeout, block.serve.port, block.serve.ready) == (7.0, None, "/up")
    assert (block.contract.predict, block.contract.examples) == ("/later", None)


def test_override_file_and_documents(tmp_path: Path) -> None:
    """The project's override file counts, and so does a second document."""
    files = {"compose_yaml": f"{SERVICES}---\n{BLOCK}", "compose_override_yaml": LATER}
    assert _read(tmp_path, **files).contract.predict == "/later"


def test_yaml_1_2(tmp_path: Path) -> None:
    """`on` and `off` are words; what an anchor names is read."""
    text = (
        "services: {a: {image: x}}\nx-skip: &skip {code.api: off}\nx-harness: {version: 1, skip: {<<: *skip, a.b: on}}"
    )
    assert _read(tmp_path, compose_yaml=text).skip == {"code.api": "off", "a.b": "on"}


def test_services_that_run_elsewhere(tmp_path: Path) -> None:
    """A file of a service that is not here (`env_file`) is no matter of a server that runs already."""
    services = "services: {model: {image: x, env_file: [prod.env]}}\n"
    assert _read(tmp_path, compose_yaml=services + BLOCK, _env="EX_DIR=golden\n").contract.predict == "/predict"


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("services: {}\nx-harness:\n  version: 1\n  contract: {predict: '${PATH_OF:?is needed}'}\n", "PATH_OF"),
        ("services: {}\nx-harness: [\n", "compose.yaml:3:1"),
        ("services: {}\n\tx-harness: 1\n", "compose.yaml:2:1"),
        ("- a\n", "no Compose file"),
        ("", "no Compose file"),
        ("services: {}\nx-harness: &a {version: 1, skip: *a}\n", "x-harness"),
    ],
)
def test_broken(tmp_path: Path, text: str, place: str) -> None:
    """What cannot be read is a wrong description that names the place, never a traceback."""
    with pytest.raises(DescriptionError, match=place) as caught:
        _read(tmp_path, compose_yaml=text)
    assert caught.value.hint


def test_an_unknown_tag(tmp_path: Path, request: pytest.FixtureRequest) -> None:
    """A tag that nobody knows is what Compose makes of it; where there is none it is refused with its place."""
    text = f"services: {{a: {{image: x}}}}\n{BLOCK}  skip: {{code.api: !vault why}}\n"
    if "without" in request.node.name:
        with pytest.raises(DescriptionError, match=r"compose\.yaml:6:20: the tag !vault"):
            _read(tmp_path, compose_yaml=text, _env="EX_DIR=golden\n")
    else:
        assert _read(tmp_path, compose_yaml=text, _env="EX_DIR=golden\n").skip == {"code.api": "why"}


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`harness contract` gets as far as asking the server."""
    builders.write_files(tmp_path, {"compose.yaml": SERVICES + BLOCK.replace("7s", "0.1s").replace("$EX_DIR", "ex")})
    builders.write_files(tmp_path, {"ex/one.json": '{"request": {}, "response": {}}'})
    assert main(["contract", "--project", str(tmp_path), "--url", "http://127.0.0.1:9"]) == 3
    said = capsys.readouterr().out
    assert "is not ready" in said
    assert "raceback" not in said
