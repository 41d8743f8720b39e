"""What the documents name is there: files, folders, environments of tox, verbs; the editor's files are well formed."""

from __future__ import annotations

import argparse
import configparser
import itertools
import json
import re
from collections.abc import Iterator

import builders
import pytest
import yaml

from harness.cli import main

DOCUMENTS = {file.name: file.read_text(encoding="utf-8") for file in sorted(builders.REPO.glob("*.md"))}
PATH = re.compile(r"(?<![\w./-])(?:harness|tests|docker|\.github|\.devcontainer)/[\w./-]+")


def environments() -> set[str]:
    """Return the names of tox.ini, `unit{,-py311}` written out."""
    file = configparser.RawConfigParser()
    file.read(builders.REPO / "tox.ini")
    found: set[str] = set()
    for section in file.sections():
        parts = [part.split(",") for part in re.split(r"[{}]", section.removeprefix("testenv:"))]
        found |= {"".join(chosen) for chosen in itertools.product(*parts)}
    return found


def verbs() -> set[str]:
    """Return the verbs of the command line."""
    actions = main._parser()._actions
    return set(next(a.choices for a in actions if isinstance(a, argparse._SubParsersAction)))


def code(text: str) -> Iterator[str]:
    """Yield what stands as code in a document: between backticks, and the commands of its consoles."""
    yield from re.findall(r"(?<!`)`([^`\n]+)`(?!`)", text)
    for block in re.findall(r"^```console\n(.*?)^```", text, re.MULTILINE | re.DOTALL):
        yield from (line[2:].partition(" # ")[0] for line in block.splitlines() if line.startswith("$ "))


@pytest.mark.parametrize("name", DOCUMENTS)
def test_links_lead_somewhere(name: str) -> None:
    """Links into the repository name a file or folder of it."""
    links = re.findall(r"\]\((?!https?:)([^)#]+)", DOCUMENTS[name])
    assert [link for link in links if not (builders.REPO / link).exists()] == []


@pytest.mark.parametrize("name", DOCUMENTS)
def test_paths_are_there(name: str) -> None:
    """Files and folders that a document names as code exist; NAME stands for one that somebody is about to write."""
    named = {path for text in code(DOCUMENTS[name]) for path in PATH.findall(text) if "NAME" not in path}
    assert [path for path in sorted(named) if not (builders.REPO / path).exists()] == []


@pytest.mark.parametrize("name", DOCUMENTS)
def test_commands_exist(name: str) -> None:
    """Each `tox -e` names environments of tox.ini, each `harness` a verb."""
    for text in code(DOCUMENTS[name]):
        for named in re.findall(r"\btox -e ([\w,-]+)", text):
            assert set(named.split(",")) <= environments(), text
        if found := re.match(r"harness ([a-z]+)\b(?!\.)", text):
            assert found[1] in verbs(), text


def test_the_hook_runs_locked_tools() -> None:
    """Every hook runs a tool of .venv, which has the locked versions; none is fetched."""
    (repository,) = yaml.safe_load((builders.REPO / ".pre-commit-config.yaml").read_text(encoding="utf-8"))["repos"]
    assert repository["repo"] == "local"
    for hook in repository["hooks"]:
        assert hook["language"] == "system"
        assert hook["entry"].startswith(".venv/bin/")
        assert hook["id"]
        assert hook["name"]


def test_the_development_container_is_well_formed() -> None:
    """It is built from the Dockerfile beside it, and its commands are those of CONTRIBUTING.md."""
    folder = builders.REPO / ".devcontainer"
    described = json.loads((folder / "devcontainer.json").read_text(encoding="utf-8"))
    assert (folder / described["build"]["dockerfile"]).is_file()
    assert described["postCreateCommand"] in DOCUMENTS["CONTRIBUTING.md"]
    assert "features" not in described, "they are named by the host of a registry"
    base = re.search(r"^FROM (\S+)$", (folder / "Dockerfile").read_text(encoding="utf-8"), re.MULTILINE)
    assert base is not None
    assert f"ARG BASE_IMAGE={base[1]}" in (builders.REPO / "docker/train/Dockerfile").read_text(encoding="utf-8")
