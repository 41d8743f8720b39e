"""A shell in the state of a recorded container: what is asked of Compose, and what can no longer be had."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import fields, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import builders
import pytest

from harness.engine import labels
from harness.errors import DescriptionError
from harness.evidence.records import Evidence
from harness.evidence.run_folder import RunFolder
from harness.reproduce.replay import Opened, shell
from harness.runner.stages import data as data_stage

OWN = "sha256:" + "1" * 64


class Engine:
    """An engine with the images, files and volumes that a test says."""

    compose_host = None

    def __init__(self) -> None:
        self.reach = SimpleNamespace(shares_files=True, published_at="127.0.0.1")
        self.images: dict[str, dict[str, Any]] = {OWN: {"Id": OWN, "Config": {"User": "10001:10002"}}}
        self.files = {"/bin/sh"}
        self.volumes: set[str] = set()
        self.removed: list[str] = []

    def image(self, name: str) -> dict[str, Any] | None:
        """Inspect an image."""
        return self.images.get(name)

    def create(self, image: str, argv: list[str], marks: dict[str, str]) -> str:
        """Create a container."""
        assert marks[labels.STAGE] == "shell"
        return f"{image} {argv}"

    def read(self, container: str, path: str) -> Iterator[bytes] | None:
        """Read a file."""
        assert container
        return (piece for piece in (b"",)) if path in self.files else None

    def remove(self, thing: Any) -> bool:
        """Remove a thing."""
        self.removed.append(thing.id)
        return True

    def labelled(self, label: str) -> list[Any]:
        """Return what the run has: nothing."""
        assert label.startswith(f"{labels.RUN_ID}=shell-")
        return []

    def has_volume(self, name: str) -> bool:
        """Whether there is a volume."""
        return name in self.volumes


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch) -> Engine:
    """The engine, and a Compose that keeps what it is given."""
    made = Engine()

    @contextmanager
    def connect() -> Iterator[Engine]:
        yield made

    monkeypatch.setattr(shell, "Engine", SimpleNamespace(connect=connect))
    monkeypatch.setattr(data_stage, "deliver", lambda *_: "harness-data-x")

    def filled(*given: Any, **options: Any) -> str:
        FILLED.append((given, options))
        return "filled"

    monkeypatch.setattr(shell, "filled", filled)
    FILLED.clear()
    return made


FILLED: list[tuple[Any, Any]] = []


def _enter(
    monkeypatch: pytest.MonkeyPatch, root: Path, part: str, argv: Sequence[str] = (), **changes: Any
) -> tuple[dict[str, Any], list[str]]:
    """Enter a recorded run; return the service as Compose gets it with its volumes, and what is said."""
    whole = builders.evidence(**({"spec": builders.spec(root=root)} | changes))
    recorded = RunFolder.create(root)
    for field in fields(Evidence):
        if (record := getattr(whole, field.name)) is not None:
            recorded.write(field.name, record)
    if whole.artifact is not None:
        builders.write_files(recorded.path, {f"artifact/{file.path}": "x" for file in whole.artifact.files})
    found: dict[str, Any] = {}

    def run(folder: Path, file: Path, service: str, *, terminal: bool, on_line: object = None) -> int:  # noqa: ARG001
        assert (folder, terminal) == (root, False)
        found.update(json.loads(file.read_text()))
        found["service"] = found["services"][service]
        return 7

    monkeypatch.setattr(shell, "Compose", SimpleNamespace(find=lambda _: SimpleNamespace(run=run)))
    said: list[str] = []
    assert shell.enter(Opened(recorded, root, recorded.id), part, argv, said.append, terminal=False) == 7
    return found, said


def test_a_shell(engine: Engine, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The image and mounts are the recorded ones, the entrypoint is a shell, and the artifact is filled in."""
    engine.volumes = set()
    _other_data(monkeypatch)
    found, _ = _enter(monkeypatch, tmp_path, "serve")
    service = found["service"]
    assert (service["image"], service["entrypoint"], service["command"]) == (OWN, ["sh"], [])
    assert found["volumes"]["harness-artifact"] == {"name": "filled", "external": True}
    ((given, options),) = FILLED
    assert set(given[4]) == {"metrics.jsonl", "model.bin"}
    assert (given[3], options["owner"]) == ("/model", (10001, 10002))


def _other_data(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shell, "_data", lambda *_: "harness-data-x")


def test_a_command(engine: Engine, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A command takes the shell's place, with its dollars; it needs no shell in the image."""
    _other_data(monkeypatch)
    engine.files = set()
    found, _ = _enter(monkeypatch, tmp_path, "train", ["printenv", "$HOME"])
    assert found["service"]["entrypoint"] == ["printenv", "$$HOME"]


def test_a_volume_that_was_kept(engine: Engine, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The volume that `--keep` left is mounted itself: it has what training wrote before it failed."""
    _other_data(monkeypatch)
    monkeypatch.setattr(engine, "has_volume", lambda _: True)
    found, _ = _enter(monkeypatch, tmp_path, "train", artifact=None)
    assert found["volumes"]["harness-artifact"]["name"].endswith("_artifact")
    assert FILLED == []


def test_no_artifact(engine: Engine, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Where training left nothing, that is said, and the volume is empty."""
    assert engine.volumes == set()
    _other_data(monkeypatch)
    found, said = _enter(monkeypatch, tmp_path, "train", artifact=None)
    assert "the run left no artifact" in said[0]
    assert "external" not in found["volumes"]["harness-artifact"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda engine: engine.files.clear(), "the image has no shell"),
        (lambda engine: engine.images.clear(), "is not on this engine any more"),
    ],
)
def test_what_cannot_be_had(
    engine: Engine, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, change: Any, message: str
) -> None:
    """An image without a shell and one that is gone are refused, with what to do."""
    _other_data(monkeypatch)
    change(engine)
    with pytest.raises(DescriptionError, match=message) as caught:
        _enter(monkeypatch, tmp_path, "serve")
    assert caught.value.hint


def test_an_image_that_was_never_built(engine: Engine, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A run whose build failed has no container to enter."""
    assert engine.images
    with pytest.raises(DescriptionError, match="was never built"):
        _enter(monkeypatch, tmp_path, "train", images=builders.images(images=(), failure="train"))


def test_a_dataset_that_changed(engine: Engine, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The dataset is that of the run or none: another one is refused, unless the run's own volume is still there."""
    with pytest.raises(DescriptionError, match="not as the run saw it"):
        _enter(monkeypatch, tmp_path, "train")
    engine.volumes = {f"{data_stage.volume_name(builders.data())}-ready"}
    found, _ = _enter(monkeypatch, tmp_path, "train")
    assert found["volumes"]["harness-data"]["name"] == "harness-data-x"


def _mounting(root: Path, content: bytes) -> dict[str, Any]:
    """Make a project whose training mounts a folder and a file of it."""
    builders.write_files(root, {"conf/a.txt": "a"})
    (root / "limit.txt").write_bytes(content)
    mounts = [
        {"type": "bind", "source": str(root / "conf"), "target": "/conf", "read_only": True},
        {"type": "bind", "source": str(root / "limit.txt"), "target": "/limit.txt"},
    ]
    spec = builders.spec(root=root)
    train = {**spec.model["services"]["train"], "volumes": [*spec.model["services"]["train"]["volumes"], *mounts]}
    return {"spec": replace(spec, model={**spec.model, "services": {**spec.model["services"], "train": train}})}


def test_mounts_on_an_engine_elsewhere(engine: Engine, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Where the engine does not see the project its folders come as volumes and its files as texts, with dollars."""
    _other_data(monkeypatch)
    engine.reach.shares_files = False
    brought: list[Path] = []
    monkeypatch.setattr(shell, "fill", lambda _engine, carried, *_: brought.extend(carried.folders.values()))
    found, _ = _enter(monkeypatch, tmp_path, "train", ["true"], **_mounting(tmp_path, b"$7"))
    assert brought == [tmp_path / "conf"]
    assert {m["type"] for m in found["service"]["volumes"]} == {"volume"}
    assert "/conf" in {m["target"] for m in found["service"]["volumes"]}
    (taken,) = found["service"]["configs"]
    assert (taken["target"], found["configs"][taken["source"]]["content"]) == ("/limit.txt", "$$7")
    with pytest.raises(DescriptionError, match="mounted and no text"):
        _enter(monkeypatch, tmp_path, "train", ["true"], **_mounting(tmp_path, b"\xff\xfe"))
