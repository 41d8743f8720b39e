"""Every path of the `x-harness` block stays inside the project, whatever way it takes out of it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace, UnionType
from typing import Annotated, Any, Union, get_args, get_origin

import builders
import pytest
from pydantic import BaseModel

from harness.config.blocks import Block
from harness.config.values import HostPath, Reads
from harness.errors import DescriptionError
from harness.evidence.run_folder import RunFolder
from harness.project.compose_file import Places, parse
from harness.project.context import put_into
from harness.project.description import find_block, load, parse_block
from harness.project.named_files import host_paths, verify
from harness.reproduce.replay import rerun
from harness.reproduce.replay.source import Opened
from harness.runner.stages import data as data_stage

# Path of a key -> a block in which it has a value.
KEYS: Mapping[str, Any] = {
    "data.path": lambda v: {"data": {"path": v}},
    "data.schema": lambda v: {"data": {"path": "data", "schema": v}},
    "data.reference": lambda v: {"data": {"path": "data", "reference": v}},
    "train.from": lambda v: {"train": {"from": v}},
    "train.source": lambda v: {"train": {"from": "inside.csv", "source": v}},
    "code.features.0.table": lambda v: {"code": {"features": [{"transform": "a:b", "table": v}]}},
    "serve.bake": lambda v: {"serve": {"bake": v}},
    "contract.examples": lambda v: {"contract": {"examples": v}},
    "contract.baseline": lambda v: {"contract": {"baseline": v}},
    "contract.skew.rows": lambda v: {"contract": {"skew": {"rows": v, "command": ["x"]}}},
    "quality.holdout": lambda v: {"quality": {"conditions": ["accuracy > 0.5"], "holdout": v}},
    "quality.training": lambda v: {"quality": {"conditions": ["accuracy > 0.5"], "training": v}},
    "quality.baseline": lambda v: {"quality": {"conditions": ["accuracy > 0.5"], "baseline": v}},
    "quality.baseline.store": lambda v: {"quality": {"conditions": ["accuracy > 0.5"], "baseline": {"store": v}}},
    "wheels": lambda v: {"wheels": {v: "wheels"}},
    "wheels folder": lambda v: {"wheels": {"inside.csv": v}},
}
LINKED = tuple(key for key in KEYS if key != "serve.bake")  # in a build context Docker follows no link either
# Texts that are no path of this machine: names of services, columns, modules, variables, globs over names, texts.
OTHER = frozenset({
    *("data.channel", "data.target", "data.train", "data.holdout", "train.service", "train.target", "train.command"),
    *("train.loss", "train.unit_tests", "train.loss_pattern", "train.score", "train.seed_env", "train.hyperparameters"),
    *("code.features.transform", "artifact.files", "artifact.own", "artifact.allow", "artifact.in_git"),
    *("serve.service", "serve.model", "contract.skew.command", "quality.conditions", "quality.target"),
    *("quality.prediction", "bundle.variables", "manual", "skip"),
    *("data.mount", "train.artifact", "train.metrics", "serve.artifact"),  # inside a container
    *("serve.ready", "serve.document", "contract.predict"),  # of a URL
    "contract.volatile",  # in an answer
})  # fmt: skip


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A project, beside it what is none of its business."""
    made = tmp_path / "project"
    builders.write_files(
        made, {"inside.csv": "a,b\n1,2\n", "data/train.csv": "a\n1\n", "contract/a.json": "{}", "wheels/.x": ""}
    )
    builders.write_files(tmp_path, {"secret.csv": "card\n4111\n", "other/train.csv": "card\n1\n", "other/a.json": "{}"})
    return made


def _block(key: str, value: str) -> Block:
    return parse_block({"version": 1, **KEYS[key](value)})


@pytest.mark.parametrize("key", KEYS)
@pytest.mark.parametrize(
    "value",
    [
        "/etc/passwd",
        "../secret.csv",
        "data/../../secret.csv",
        "..",
        "./../other",
        "~/x.csv",
        "C:\\x",
        "..\\x",
        "//etc/x",
    ],
)
def test_a_path_out_of_the_project(root: Path, key: str, value: str) -> None:
    """Absolute paths, homes, and whatever climbs out are refused for every key, with the reason and what to do."""
    with pytest.raises(DescriptionError, match=r"absolute path|leads out of the project") as caught:
        verify(root, _block(key, value))
    assert f"`x-harness.{key.split(maxsplit=1)[0]}" in str(caught.value)
    assert "inside the project" in caught.value.hint


@pytest.mark.parametrize("key", KEYS)
def test_an_absolute_path_into_the_project(root: Path, key: str) -> None:
    """It holds on this machine alone."""
    with pytest.raises(DescriptionError, match="absolute path"):
        verify(root, _block(key, str(root / "inside.csv")))


@pytest.mark.parametrize("key", LINKED)
@pytest.mark.parametrize("where", ["file", "folder above", "chain"])
def test_a_link_out_of_the_project(root: Path, key: str, where: str) -> None:
    """A symbolic link counts as what it leads to, also by a folder above and by another link."""
    if where == "file":
        (root / "link").symlink_to(root.parent / "secret.csv")
        value = "link"
    elif where == "chain":
        (root / "link").symlink_to("data/second")
        (root / "data/second").symlink_to("../../secret.csv")
        value = "link"
    else:
        (root / "folder").symlink_to("../other")
        value = "folder/a.json"
    with pytest.raises(DescriptionError, match="by a symbolic link"):
        verify(root, _block(key, value))


@pytest.mark.parametrize("key", KEYS)
@pytest.mark.parametrize("value", ["inside.csv", "./data", "data/../inside.csv", "not/there/yet", "a..b", "..data"])
def test_a_path_of_the_project(root: Path, key: str, value: str) -> None:
    """What lies in the project is fine, links within it too, and what is not there yet."""
    if key in ("contract.examples", "serve.bake") and "/../" in value:
        return
    verify(root, _block(key, value))
    (root / "link").symlink_to("inside.csv")
    verify(root, _block(key, "link"))


@pytest.mark.parametrize("pattern", ["contract/*.json", "**/*.json", "*/a.json", "link/*.json", "contract/[ab].json"])
def test_globs(root: Path, pattern: str) -> None:
    """Each match is looked at: a folder or a file that is a link out of the project is refused."""
    block = _block("contract.examples", pattern)
    if not pattern.startswith("link"):
        verify(root, block)
        (root / "contract/b.json").symlink_to("../../other/a.json")
        if pattern == "*/a.json":
            (root / "contract/a.json").unlink()
            (root / "contract/a.json").symlink_to("../../other/a.json")
    else:
        (root / "link").symlink_to("../other")
    with pytest.raises(DescriptionError, match="by a symbolic link"):
        verify(root, block)


def test_links_in_the_dataset(root: Path) -> None:
    """A file in the dataset that is somebody else's would be delivered and reported: it is named."""
    (root / "data/deep").mkdir()
    (root / "data/deep/rows.csv").symlink_to("../../../secret.csv")
    with pytest.raises(DescriptionError, match=r"holds 'deep/rows.csv', which leads out of the project"):
        verify(root, _block("data.path", "data"))


@pytest.mark.parametrize("where", ["shared", "project/.dvc/cache/files/md5"])
def test_links_into_a_cache_of_dvc(root: Path, where: str) -> None:
    """With `cache.type symlink` the data are links into a cache, which may be shared, named by content."""
    digest = hashlib.md5(b"a\n1\n", usedforsecurity=False).hexdigest()
    builders.write_files(root.parent, {f"{where}/{digest[:2]}/{digest[2:]}": "a\n1\n"})
    (root / "data/train.csv").unlink()
    (root / "data/train.csv").symlink_to(root.parent / where / digest[:2] / digest[2:])
    verify(root, _block("data.path", "data"))
    verify(root, _block("data.path", "data/train.csv"))


def test_a_pointer_out_of_the_project(root: Path) -> None:
    """What a `.dvc` file points to is held to the same rule."""
    pointer = 'outs: [{md5: "0", hash: md5, path: ../../secret.csv}]\n'
    (root / "data/x.dvc").write_text(pointer, encoding="utf-8")
    block = _block("data.path", "data/x.dvc").data
    assert block is not None
    with pytest.raises(DescriptionError, match=r"x\.dvc.*leads out of the project"):
        data_stage.locate(root, block)


def test_every_place_is_named(root: Path) -> None:
    """Two paths in one file: both are refused, each with line and column."""
    file = root / "compose.yaml"
    file.write_text(
        "services: {serve: {image: x}}\nx-harness:\n  version: 1\n  data:\n    path: ../other\n"
        "  quality:\n    conditions: [accuracy > 0.5]\n    holdout: /etc/passwd\n",
        encoding="utf-8",
    )
    with pytest.raises(DescriptionError) as caught:
        find_block(root)
    lines = str(caught.value).splitlines()
    assert lines[0] == "compose.yaml:5:5: `x-harness.data.path`: '../other' leads out of the project"
    assert lines[1].startswith("compose.yaml:8:5: `x-harness.quality.holdout`: '/etc/passwd' is an absolute path")
    model = {"name": "x", "services": {"serve": {"image": "x"}}, "x-harness": parse_yaml(file)}
    compose: Any = SimpleNamespace(config=lambda *_: model)
    with pytest.raises(DescriptionError, match=r"compose\.yaml:5:5.*\ncompose\.yaml:8:5"):
        load(compose, root)


def parse_yaml(file: Path) -> Any:
    """The block of a file."""
    import yaml

    return yaml.safe_load(file.read_text(encoding="utf-8"))["x-harness"]


def test_places_of_nested_keys(root: Path) -> None:
    """A table in a list and a key of a mapping have places of their own."""
    file = root / "compose.yaml"
    text = "x-harness:\n  version: 1\n  wheels:\n    ../r.txt: w\n  code:\n    features:\n    - transform: a:b\n"
    file.write_text(f"{text}      table: ../t.csv\n", encoding="utf-8")
    with pytest.raises(DescriptionError) as caught:
        verify(root, parse_block(parse_yaml(file)), Places(((file, parse(file)),)))
    assert [line.partition(" ")[0] for line in str(caught.value).splitlines()] == [
        "compose.yaml:4:5:",
        "compose.yaml:8:7:",
    ]


def test_a_registry_is_no_path(root: Path) -> None:
    """`oci://` names a registry."""
    verify(root, _block("quality.baseline.store", "oci://127.0.0.1:5000/models/x"))


@pytest.mark.parametrize("link", ["models", "models/model.bin", "models/deep"])
def test_baking_follows_no_link(root: Path, link: str) -> None:
    """A link at the place of the artifact is replaced in the copy: nothing outside is written over."""
    builders.write_files(
        root.parent, {"artifact/model.bin": "new", "artifact/deep/x.bin": "new", "out/model.bin": "old"}
    )
    target = root / link
    target.parent.mkdir(exist_ok=True)
    target.symlink_to(root.parent / ("out/model.bin" if link.endswith("bin") else "out"))
    put_into(root, "models", root.parent / "artifact")
    assert (root / "models/model.bin").read_text(encoding="utf-8") == "new"
    assert (root / "models/deep/x.bin").read_text(encoding="utf-8") == "new"
    assert [(path.name, path.read_text(encoding="utf-8")) for path in (root.parent / "out").iterdir()] == [
        ("model.bin", "old")
    ]


def test_replay_holds_a_record_to_the_same_rule(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The description in a stranger's bundle cannot name files of this machine."""
    monkeypatch.setattr(rerun, "Engine", None)  # nothing is asked of it before
    spec = builders.spec()
    block = spec.block.model_copy(update={"data": _block("data.path", "/etc").data})
    evidence = builders.evidence(spec=replace(spec, block=block), end=None)
    past = SimpleNamespace(evidence=evidence)
    given = Opened(RunFolder(root), root, "x")
    with pytest.raises(DescriptionError, match="absolute path"):
        rerun._plan(given, past, rerun.Options())  # type: ignore[arg-type]


def _leaves(loc: tuple[str, ...], kind: Any, marks: tuple[Any, ...]) -> Iterator[tuple[str, tuple[Any, ...]]]:
    """Yield every place of a text in a model, with the marks of its type."""
    origin, arguments = get_origin(kind), get_args(kind)
    if origin is Annotated:
        yield from _leaves(loc, arguments[0], (*marks, *arguments[1:]))
    elif origin in (Union, UnionType, tuple, dict):
        for each in arguments:
            yield from _leaves(loc, each, marks if origin in (Union, UnionType) else ())
    elif kind is str:
        yield ".".join(loc), marks
    elif isinstance(kind, type) and issubclass(kind, BaseModel):
        for name, field in kind.model_fields.items():
            yield from _leaves((*loc, field.alias or name), field.annotation, tuple(field.metadata))


def test_every_text_of_the_block_is_classified() -> None:
    """A new key that takes a text is a path of this machine, marked as such, or is named here as none."""
    found = {(name, any(isinstance(m, HostPath) for m in marks)) for name, marks in _leaves((), Block, ())}
    marked = {name for name, is_path in found if is_path}
    assert marked == {key.replace(".0", "").split()[0] for key in KEYS}
    assert {name for name, is_path in found if not is_path} == set(OTHER)


def test_the_walk_finds_every_marked_key() -> None:
    """What is marked is found, by its name and with its value."""
    for key in KEYS:
        found = {(".".join(map(str, loc)), value) for loc, _, value in host_paths(_block(key, "value"))}
        assert any(name.startswith(key.split()[0]) and value == "value" for name, value in found), key
    assert {reads for key in KEYS for _, reads, _ in host_paths(_block(key, "value"))} == set(Reads)
