"""The CI files that the harness ships: valid, pinned, careful with secrets, and never written over by themselves."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from typing import Any

import builders
import pytest
import yaml
from jsonschema.validators import validator_for

from harness import __version__, errors
from harness.cli import main
from harness.cli.pipelines import SYSTEMS, VERSION, rendered

WORKFLOW, ACTION = SYSTEMS["github"]
GITHUB = rendered("github")
GITLAB = rendered("gitlab")[".gitlab-ci.yml"]
AZURE = rendered("azure")["azure-pipelines.yml"]
JENKINS = rendered("jenkins")["Jenkinsfile"]
OWN = (builders.REPO / ".github/workflows/ci.yml").read_text(encoding="utf-8")
EVERY = [(path, text) for system in SYSTEMS for path, text in rendered(system).items()]
SECRET = re.compile(r"\$\{\{\s*(?:secrets|inputs|github\.event)\b")  # put into a script, its text becomes a command


class Loader(yaml.SafeLoader):
    """YAML 1.2, as GitHub and GitLab read it: `on` is a word."""


Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in found if tag != "tag:yaml.org,2002:bool"]
    for first, found in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
Loader.add_implicit_resolver("tag:yaml.org,2002:bool", re.compile("^(?:true|false)$"), list("tf"))


def problems(schema: str, document: Any) -> list[str]:
    """Return what a schema of the schema store has against a document."""
    vendored = files("check_jsonschema.builtin_schemas.vendor").joinpath(f"{schema}.json")
    loaded = json.loads(vendored.read_text(encoding="utf-8"))
    return [f"{error.json_path}: {error.message}" for error in validator_for(loaded)(loaded).iter_errors(document)]


def scripts(node: Any) -> Iterator[str]:
    """Yield every script of a GitHub or Azure file."""
    if isinstance(node, dict):
        yield from (node[key] for key in ("run", "bash") if isinstance(node.get(key), str))
        for value in node.values():
            yield from scripts(value)
    elif isinstance(node, list):
        for value in node:
            yield from scripts(value)


def run(*arguments: str, project: Path) -> int:
    return main.main(["ci", "init", *arguments, "--project", str(project)])


@pytest.mark.parametrize(
    ("schema", "text"),
    [
        ("github-workflows", GITHUB[WORKFLOW]),
        ("github-actions", GITHUB[ACTION]),
        ("gitlab-ci", GITLAB),
        ("github-workflows", OWN),
    ],
    ids=["workflow", "action", "gitlab", "own"],
)
def test_files_fit_their_schemas(schema: str, text: str) -> None:
    """Each file is valid against the schema that editors use for it, and one with a wrong key is not."""
    document = yaml.load(text, Loader)  # noqa: S506 - a SafeLoader
    assert problems(schema, document) == []
    assert problems(schema, {**document, "jobs": 7, "runs": 7, "stages": 7}) != []


def test_azure_fits_its_schema() -> None:
    """Azure's file is valid; its schema takes every scalar as text, as the service does."""
    document = yaml.load(AZURE, yaml.BaseLoader)  # noqa: S506 - texts, lists and mappings alone
    assert problems("azure-pipelines", document) == []
    assert problems("azure-pipelines", {**document, "pool": ["a"]}) != []


def test_the_jenkinsfile_has_the_structure_of_a_declarative_pipeline() -> None:
    """Its brackets match, and the sections that Jenkins wants stand in it."""
    code = re.sub(r"'''.*?'''|'[^'\n]*'|\"[^\"\n]*\"|//[^\n]*", "", JENKINS, flags=re.DOTALL)
    opened: list[str] = []
    for sign in re.findall(r"[][(){}]", code):
        if sign in "([{":
            opened.append(sign)
        else:
            assert opened.pop() + sign in ("()", "[]", "{}")
    assert opened == []
    for section in (r"^pipeline \{", r"^    agent any", r"^    stages \{", r"^    post \{\n        always \{"):
        assert re.search(section, JENKINS, re.MULTILINE), section


@pytest.mark.parametrize(("path", "text"), EVERY, ids=[path for path, _ in EVERY])
def test_scripts_are_shell(path: str, text: str) -> None:
    """Every script parses, and holds no secret and no text of a stranger: those come by the environment."""
    if path == "Jenkinsfile":
        found = re.findall(r"sh '''(.*?)'''|sh '([^']*)'", text, re.DOTALL)
        commands = [one or other for one, other in found]
    else:
        document = yaml.load(text, Loader)  # noqa: S506 - a SafeLoader
        commands = list(scripts(document))
        if path == ".gitlab-ci.yml":
            job = document["harness"]
            commands = [*job["before_script"], *job["script"], *job["after_script"]]
    assert commands or path == WORKFLOW
    for command in commands:
        assert not SECRET.search(command), command
        parsed = subprocess.run(["/bin/bash", "-n"], input=command, text=True, capture_output=True, check=False)
        assert parsed.returncode == 0, command + parsed.stderr


@pytest.mark.parametrize("text", [*GITHUB.values(), OWN], ids=["workflow", "action", "own"])
def test_actions_are_pinned(text: str) -> None:
    """Foreign actions are pinned by a whole commit, with the version for people beside it."""
    used = re.findall(r"uses: (\S+)( # v\d+\.\d+\.\d+)?", text)
    foreign = [(name, version) for name, version in used if not name.startswith("./")]
    assert foreign
    assert all(re.fullmatch(r"actions/[a-z-]+@[0-9a-f]{40}", name) and version for name, version in foreign), foreign


def test_permissions_are_the_least() -> None:
    """The workflow gives nothing by default; its job reads the code and writes the comment."""
    document = yaml.load(GITHUB[WORKFLOW], Loader)  # noqa: S506 - a SafeLoader
    assert document["permissions"] == {}
    (job,) = document["jobs"].values()
    assert job["permissions"] == {"contents": "read", "pull-requests": "write"}
    assert job["steps"][0]["with"]["persist-credentials"] is False


def test_the_login_reads_the_password_from_standard_input() -> None:
    """No password is an argument, which the list of processes would show."""
    for _, text in EVERY:
        logins = [line for line in text.splitlines() if "docker login" in line]
        assert all("--password-stdin" in line for line in logins)
        assert "--password " not in text


@pytest.mark.parametrize("path", [path for path, _ in EVERY if path != ACTION])
def test_exit_codes_are_told(path: str) -> None:
    """The comments name every exit code of a run, and what the harness reads from the environment."""
    comments = "\n".join(line for line in dict(EVERY)[path].splitlines() if line.lstrip().startswith(("#", "//")))
    codes = [cls.exit_code for cls in (errors.DescriptionError, errors.InfrastructureError)]
    for code in (errors.PASSED, errors.CHECK_FAILED, *codes, 4, errors.CRASHED, errors.INTERRUPTED):
        assert re.search(rf"\b{code}  \w", comments), code
    for name in ("DOCKER_HOST", "BASE_IMAGE", "NO_COLOR", "tox -e setup,smoke" if path != WORKFLOW else "PIP_*"):
        assert name in comments, name


@pytest.mark.parametrize("system", SYSTEMS)
def test_init_writes_the_files_once(system: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The files are written with today's version in them; a second time nothing changes."""
    assert run(system, project=tmp_path) == errors.PASSED
    for path, text in rendered(system).items():
        assert (tmp_path / path).read_text(encoding="utf-8") == text
        assert VERSION not in text
    assert any(f"ml-container-harness[compose,fuzz]=={__version__}" in text for text in rendered(system).values())
    capsys.readouterr()
    assert run(system, project=tmp_path) == errors.PASSED
    assert capsys.readouterr().out.count("unchanged") == len(SYSTEMS[system])


def test_init_keeps_a_file_that_differs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A file of the user's stays, with the difference and what to do on the screen; --force writes over it."""
    file = tmp_path / ACTION
    file.parent.mkdir(parents=True)
    file.write_text("name: mine\n", encoding="utf-8")
    assert run("github", project=tmp_path) == errors.DescriptionError.exit_code
    said = capsys.readouterr().out
    assert "-name: mine" in said
    assert "+name: ML container harness" in said
    assert "--force" in said
    assert file.read_text(encoding="utf-8") == "name: mine\n"
    assert not (tmp_path / WORKFLOW).exists(), "half of the files were written"
    assert run("github", "--force", project=tmp_path) == errors.PASSED
    assert file.read_text(encoding="utf-8") == GITHUB[ACTION]


def test_print_writes_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What is printed is the file, byte for byte, so that it can be put elsewhere."""
    assert run("gitlab", "--print", project=tmp_path) == errors.PASSED
    assert capsys.readouterr().out == GITLAB
    assert list(tmp_path.iterdir()) == []


def test_the_project_s_own_workflow_has_time_for_its_tests() -> None:
    """Every environment of `tox` has its job, and each a limit well beyond what the README says that it takes."""
    tests = yaml.load(OWN, Loader)["jobs"]["tests"]["strategy"]["matrix"]["include"]  # noqa: S506 - a SafeLoader
    limits = {job["environment"]: 60 * job["minutes"] for job in tests}
    listed = re.search(r"^env_list = (.+)$", (builders.REPO / "tox.ini").read_text(encoding="utf-8"), re.MULTILINE)
    assert listed is not None
    assert list(limits) == listed[1].split(", ")
    text = (builders.REPO / "README.md").read_text(encoding="utf-8")
    took = {name: float(seconds) for name, seconds in re.findall(r"^  (\w+): OK \(([\d.]+)=", text, re.MULTILINE)}
    assert limits.keys() <= took.keys(), "the README says what each takes"
    assert {name: limit for name, limit in limits.items() if limit < 1.5 * took[name]} == {}
