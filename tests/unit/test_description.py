"""The description: what a block may say, what is refused, and what follows from it."""

from __future__ import annotations

from pathlib import Path
from textwrap import dedent, indent

import builders
import pytest

from harness.config.spec import Handover, Spec
from harness.errors import DescriptionError
from harness.project.compose_file import find_files
from harness.project.description import MINIMAL, load

SERVICES = """\
name: demo
services:
  train:
    image: trainer
    volumes: ["model:/model"]
  serve:
    image: server
    ports: ["8080:8080"]
    volumes: ["model:/model:ro"]
volumes:
  model:
"""
BAKED = """\
name: demo
services:
  train:
    image: trainer
  serve:
    image: server
    expose: ["8080"]
"""
ONE = '{"request": {"x": 1}, "response": {"y": 2}}'


def _load(root: Path, block: str = "  version: 1", services: str = SERVICES) -> Spec:
    builders.write_files(root, {"compose.yaml": f"{services}x-harness:\n{block.rstrip()}\n"})
    return load(builders.compose(), root)


def _refused(root: Path, block: str, services: str = SERVICES) -> str:
    with pytest.raises(DescriptionError) as caught:
        _load(root, indent(dedent(block), "  "), services)
    assert caught.value.hint, "every error says what to do next"
    return str(caught.value)


def test_minimal_block(tmp_path: Path) -> None:
    """The five lines that the hint shows load, and all else has a default."""
    assert len(MINIMAL.splitlines()) == 5
    builders.write_files(tmp_path, {"compose.yaml": f"{SERVICES}{MINIMAL}\n", "tests/contract/one.json": ONE})
    spec = load(builders.compose(), tmp_path)
    assert spec.project == "demo"
    assert spec.handover is Handover.MOUNTED
    assert (spec.train_key, spec.serve_key, spec.port, spec.serve_artifact) == ("train", "serve", 8080, "/model")
    assert [example.name for example in spec.examples] == ["one"]
    assert spec.block.train.timeout == 600.0
    assert spec.block.data is None
    assert not spec.block.contract.strict


def test_no_compose_file(tmp_path: Path) -> None:
    """A folder without compose.yaml is a wrong description, and the error names the folder."""
    with pytest.raises(DescriptionError, match=r"no compose\.yaml in") as caught:
        load(builders.compose(), tmp_path)
    assert "--file" in caught.value.hint


def test_named_file_missing(tmp_path: Path) -> None:
    """A file given with --file that is not there is named."""
    with pytest.raises(DescriptionError, match=r"no such file: .*other\.yaml"):
        find_files(tmp_path, [tmp_path / "other.yaml"])


@pytest.mark.parametrize("name", ["compose.yaml", "compose.yml", "docker-compose.yaml", "docker-compose.yml"])
def test_override_file_is_read(tmp_path: Path, name: str) -> None:
    """Every name that Compose knows is found, with its override file after it."""
    stem, _, suffix = name.rpartition(".")
    builders.write_files(tmp_path, {name: "", f"{stem}.override.{suffix}": ""})
    assert [path.name for path in find_files(tmp_path)] == [name, f"{stem}.override.{suffix}"]


def test_override_changes_the_block(tmp_path: Path) -> None:
    """Compose merges the block of the override file into that of the first one."""
    builders.write_files(tmp_path, {"compose.override.yaml": "x-harness:\n  train: {timeout: 5s}\n"})
    assert _load(tmp_path).block.train.timeout == 5.0


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("services: [", "compose.yaml is not YAML"),
        ("a: 1\n---\n- b\n", "compose.yaml is no Compose file"),
        ("", "no Compose file"),
        ("- a\n", "no Compose file"),
        (SERVICES, "no top-level `x-harness` block"),
    ],
)
def test_not_a_description(tmp_path: Path, text: str, message: str) -> None:
    """A file that is no YAML, no mapping or has no block is refused by name, with what to do."""
    builders.write_files(tmp_path, {"compose.yaml": text})
    with pytest.raises(DescriptionError, match=message) as caught:
        load(builders.compose(), tmp_path)
    assert caught.value.hint


def test_file_of_other_encoding(tmp_path: Path) -> None:
    """A file that is not UTF-8 is refused, not a crash."""
    (tmp_path / "compose.yaml").write_bytes("name: größe".encode("latin-1"))
    with pytest.raises(DescriptionError, match="is not YAML"):
        load(builders.compose(), tmp_path)


def test_compose_refuses(tmp_path: Path) -> None:
    """What Compose itself refuses is a wrong description with Compose's message."""
    assert "volumez" in _refused(tmp_path, "version: 1", "services:\n  serve:\n    volumez: []\n    image: a\n")


@pytest.mark.parametrize(
    ("block", "place", "name", "near"),
    [
        ("version: 1\nserv: {}", "compose.yaml:14:3", "x-harness.serv", "serve"),
        ("version: 1\ndata:\n  path: data\n  mont: /x", "compose.yaml:16:5", "x-harness.data.mont", "mount"),
        ("version: 1\ntrain:\n  timout: 5s", "compose.yaml:15:5", "x-harness.train.timout", "timeout"),
        ("version: 1\ntrain:\n  form: a.txt", "compose.yaml:15:5", "x-harness.train.form", "from"),
        ("version: 1\nserve: {redy: /}", "compose.yaml:14:11", "x-harness.serve.redy", "ready"),
        ("version: 1\ncontract:\n    example: a", "compose.yaml:15:7", "x-harness.contract.example", "examples"),
    ],
)
def test_unknown_key(tmp_path: Path, block: str, place: str, name: str, near: str) -> None:
    """An unknown key at any level is refused with its line and column and the nearest valid name."""
    assert _refused(tmp_path, block) == f"{place}: unknown key `{name}`: did you mean `{near}`?"


def test_unknown_key_near_none(tmp_path: Path) -> None:
    """An unknown key that resembles none gets the list of the valid ones, by the names used in the file."""
    message = _refused(tmp_path, "version: 1\ntrain: {xyzzy: 1}")
    assert "valid here: service, target, from, source, command" in message


def test_place_in_the_override(tmp_path: Path) -> None:
    """A finding about a key of the override file names that file."""
    builders.write_files(tmp_path, {"compose.override.yaml": "x-harness:\n  train:\n    los: x\n"})
    assert _refused(tmp_path, "version: 1").startswith("compose.override.yaml:3:5: unknown key")


@pytest.mark.parametrize(
    ("block", "expected"),
    [
        ("version: 2", "compose.yaml:13:3: `x-harness.version`: input should be 1"),
        ('version: "1"', "compose.yaml:13:3: `x-harness.version`"),
        ("version: 1\nserve: {port: '8080'}", "compose.yaml:14:11: `x-harness.serve.port`: input should be a valid"),
        ("version: 1\nserve: {port: 0}", "`x-harness.serve.port`"),
        ("version: 1\nserve: {port: 65536}", "`x-harness.serve.port`"),
        ("version: 1\nserve: {ready: health}", "expected a URL path such as /predict, received 'health'"),
        ("version: 1\nserve: {dialect: soap}", "`x-harness.serve.dialect`"),
        ("version: 1\ntrain: 5", "compose.yaml:14:3: `x-harness.train`"),
        ("version: 1\ntrain: {command: python train.py}", "`x-harness.train.command`"),
        ("version: 1\ntrain: {command: []}", "`x-harness.train.command`"),
        ("version: 1\ncontract: {strict: 1}", "`x-harness.contract.strict`"),
        ("version: 1\nskip: {data.pinned: ''}", "`x-harness.skip.data.pinned`"),
        ("version: 1\ntrain: {timeout: soon}", "expected a duration such as 500ms, 60s, 2m or 1h, received 'soon'"),
        ("version: 1\ntrain: {timeout: 0s}", "`x-harness.train.timeout`"),
        ("version: 1\ntrain: {timeout: -5}", "`x-harness.train.timeout`"),
        ("version: 1\ntrain: {artifact: model}", "expected an absolute path inside the container, received 'model'"),
        ("version: 1\ndata: {mount: /data}", "compose.yaml:14:3: `x-harness.data.path` is missing"),
        ("train: {}", "`x-harness.version` is missing"),
    ],
)
def test_wrong_value(tmp_path: Path, block: str, expected: str) -> None:
    """A wrong type or value is refused with its place, its name, and what was expected."""
    assert expected in _refused(tmp_path, block)


def test_empty_block(tmp_path: Path) -> None:
    """An empty block is refused with its place."""
    builders.write_files(tmp_path, {"compose.yaml": f"{SERVICES}x-harness:\n"})
    with pytest.raises(DescriptionError, match=r"compose\.yaml:12:1: `x-harness`"):
        load(builders.compose(), tmp_path)


def test_all_errors_at_once(tmp_path: Path) -> None:
    """Two errors are two lines of one message."""
    assert len(_refused(tmp_path, "version: 3\ntrain: {los: x}").splitlines()) == 2


@pytest.mark.parametrize(("text", "seconds"), [("200ms", 0.2), ("1.5s", 1.5), ("2m", 120), ("1h", 3600), ("7", 7)])
def test_durations(tmp_path: Path, text: str, seconds: float) -> None:
    """Durations may be in ms, s, m or h, or a plain number of seconds."""
    assert _load(tmp_path, f"  version: 1\n  train: {{timeout: {text}}}").block.train.timeout == pytest.approx(seconds)


@pytest.mark.parametrize(
    ("block", "expected"),
    [
        ("version: 1\nserve: {service: srve}", "compose.yaml:14:11: there is no service `srve`: did you mean `serve`?"),
        ("version: 1\ntrain: {service: trian}", "there is no service `trian`: did you mean `train`?"),
        ("version: 1\ntrain: {service: xyzzy}", "there is no service `xyzzy`: there are: "),
        ("version: 1\ntrain: {target: build, service: sevre, command: [a]}", "`sevre`: did you mean `serve`?"),
        ("version: 1\ntrain: {target: build}", "compose.yaml:14:3: `train.command` is missing"),
        ("version: 1\ntrain: {from: requirements.txt}", "compose.yaml:14:11: requirements.txt does not exist"),
        ("version: 1\ntrain: {from: compose.yaml, source: src}", "compose.yaml:14:31: src does not exist"),
        ("version: 1\ntrain: {from: compose.yaml, command: [a]}", "but the Compose file has one too"),
        ("version: 1\ntrain: {from: compose.yaml, service: new}", "`train.command` is missing"),
        ("version: 1\ndata: {path: nowhere}", "compose.yaml:14:10: the dataset nowhere does not exist"),
        ("version: 1\ntrain: {artifact: /out}", "compose.yaml:14:11: the artifact /out has no way from `train`"),
        ("version: 1\ncontract: {examples: 'x/*.json'}", "no file matches x/*.json"),
    ],
)
def test_contradicts_the_services(tmp_path: Path, block: str, expected: str) -> None:
    """What the block says is held against the services and the files, and every error names its place."""
    assert expected in _refused(tmp_path, block)


def test_no_way_for_the_artifact(tmp_path: Path) -> None:
    """Without a shared volume, `bake` or `target` the error names all three ways."""
    with pytest.raises(DescriptionError, match="has no way from `train` to `serve`") as caught:
        _load(tmp_path, services=BAKED)
    assert all(word in caught.value.hint for word in ("volume", "serve.bake", "train.target"))


@pytest.mark.parametrize(
    ("ports", "count"),
    [
        ('ports: ["80:80", "81:81"]', 2),
        ('expose: ["80", "81/tcp"]', 2),
        ('expose: ["8000-8002"]', 3),
        ("init: true", 0),
    ],
)
def test_several_ports(tmp_path: Path, ports: str, count: int) -> None:
    """A service that names several ports or none needs `serve.port`."""
    services = SERVICES.replace('ports: ["8080:8080"]', ports)
    assert f"names {count} of them" in _refused(tmp_path, "version: 1", services)


def test_one_port_named_twice(tmp_path: Path) -> None:
    """The same port in `ports` and `expose` is one port."""
    services = SERVICES.replace('ports: ["8080:8080"]', 'ports: ["80:9090"]\n    expose: ["9090/tcp"]')
    assert _load(tmp_path, services=services).port == 9090


def test_declared_port_decides(tmp_path: Path) -> None:
    """`serve.port` decides where the service names several."""
    services = SERVICES.replace('["8080:8080"]', '["80:80", "81:81"]')
    assert _load(tmp_path, "  version: 1\n  serve: {port: 81}", services).port == 81


def test_dollars_are_single(tmp_path: Path) -> None:
    """`$$` in the block is one `$` for the harness; the model keeps what Compose prints."""
    services = SERVICES.replace("image: trainer", "image: trainer\n    command: [echo, $$HOME]")
    spec = _load(tmp_path, '  version: 1\n  train: {command: [echo, "$$HOME"], loss: a$$b}', services)
    assert spec.block.train.command == ("echo", "$HOME")
    assert spec.block.train.loss == "a$b"
    assert spec.model["services"]["train"]["command"] == ["echo", "$$HOME"]


def test_variables_are_replaced(tmp_path: Path) -> None:
    """Compose replaces variables in the block from `.env`, as everywhere in its file."""
    builders.write_files(tmp_path, {".env": "LOSS=mae\n"})
    spec = _load(tmp_path, "  version: 1\n  train: {loss: '${LOSS}'}")
    assert spec.block.train.loss == "mae"


def test_mounted_by_a_bind_mount(tmp_path: Path) -> None:
    """The same host folder in both services hands over as a volume does."""
    services = SERVICES.replace("model:/model", "./model:/model").replace("volumes:\n  model:\n", "")
    spec = _load(tmp_path, services=services)
    assert spec.handover is Handover.MOUNTED
    assert spec.serve_artifact == "/model"


def test_different_volumes_are_no_way(tmp_path: Path) -> None:
    """Two volumes at the same path hand over nothing."""
    services = SERVICES.replace('["model:/model:ro"]', '["other:/model:ro"]') + "  other:\n"
    assert "has no way" in _refused(tmp_path, "version: 1", services)


@pytest.mark.parametrize(
    ("artifact", "target", "expected"),
    [
        ("/out", "/model", "/model"),
        ("/out/run/best.pt", "/model", "/model/run/best.pt"),
        ("/out/run/", "/srv/model/", "/srv/model/run"),
    ],
)
def test_path_of_the_artifact_in_serve(tmp_path: Path, artifact: str, target: str, expected: str) -> None:
    """The serve container sees the artifact at its own mount, with what lies below the train service's mount."""
    services = SERVICES.replace("model:/model:ro", f"model:{target}:ro").replace('"model:/model"', '"model:/out"')
    assert _load(tmp_path, f"  version: 1\n  train: {{artifact: {artifact}}}", services).serve_artifact == expected


def test_declared_path_of_the_artifact_wins(tmp_path: Path) -> None:
    """`serve.artifact` wins over the path that is worked out."""
    assert _load(tmp_path, "  version: 1\n  serve: {artifact: /model/v1}").serve_artifact == "/model/v1"


def test_the_longest_mount_counts(tmp_path: Path) -> None:
    """Of two mounts over the artifact the inner one carries it."""
    services = SERVICES.replace('["model:/model"]', '["work:/mod", "model:/model"]')
    assert _load(tmp_path, services=services + "  work:\n").handover is Handover.MOUNTED


def test_baked(tmp_path: Path) -> None:
    """`serve.bake` makes the hand-over baked; without `serve.artifact` the path follows from the image."""
    spec = _load(tmp_path, "  version: 1\n  serve: {bake: models/}", BAKED)
    assert spec.handover is Handover.BAKED
    assert spec.serve_artifact is None
    assert spec.port == 8080


def test_trained_in_build(tmp_path: Path) -> None:
    """`train.target` makes the training a run of that stage, under a service name of its own."""
    spec = _load(
        tmp_path,
        "  version: 1\n  train: {service: serve, target: build, command: [python, t.py], artifact: /app/model}",
        BAKED,
    )
    assert spec.handover is Handover.TRAINED_IN_BUILD
    assert spec.train_key == "serve-build"
    assert spec.serve_artifact == "/app/model"


def test_training_from_requirements(tmp_path: Path) -> None:
    """`train.from` needs no train service; the volume of the serve service is the way."""
    services = SERVICES.replace('  train:\n    image: trainer\n    volumes: ["model:/model"]\n', "")
    builders.write_files(tmp_path, {"requirements.txt": ""})
    spec = _load(tmp_path, "  version: 1\n  train: {from: requirements.txt, command: [python, t.py]}", services)
    assert spec.handover is Handover.MOUNTED
    assert (spec.train_key, spec.serve_artifact) == ("train", "/model")


def test_training_from_requirements_without_a_mount(tmp_path: Path) -> None:
    """`train.from` with neither a mount nor `bake` has no way for the artifact."""
    services = BAKED.replace("  train:\n    image: trainer\n", "")
    builders.write_files(tmp_path, {"requirements.txt": ""})
    assert "has no way" in _refused(tmp_path, "version: 1\ntrain: {from: requirements.txt, command: [a]}", services)


def test_services_of_profiles_are_included(tmp_path: Path) -> None:
    """A train service behind a profile is found: the user starts it by hand, the harness always."""
    services = SERVICES.replace("image: trainer", "image: trainer\n    profiles: [training]")
    assert "train" in _load(tmp_path, services=services).model["services"]


def test_dataset_is_found(tmp_path: Path) -> None:
    """The dataset lies relative to compose.yaml, and its mount is /data unless said otherwise."""
    builders.write_files(tmp_path, {"fixtures/a.csv": "x\n1\n"})
    spec = _load(tmp_path, "  version: 1\n  data: {path: fixtures}")
    assert spec.block.data is not None
    assert spec.block.data.mount == "/data"
