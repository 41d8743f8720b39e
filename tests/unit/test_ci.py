"""The CI files that the harness ships: valid, pinned, careful with secrets, and never written over by themselves."""

from __future__ import annotations

import json
import re
import subprocess
import tomllib
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal

import builders
import job_summary
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
OWN = {file.name: file.read_text(encoding="utf-8") for file in sorted((builders.REPO / ".github/workflows").iterdir())}
EVERY = [(path, text) for system in SYSTEMS for path, text in rendered(system).items()]
ENGINE = builders.REPO / "tests/engine"
SHARDS = ["core", "faults", "protocols", "places", "replay"]
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
        *(("github-workflows", text) for text in OWN.values()),
    ],
    ids=["workflow", "action", "gitlab", *OWN],
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


@pytest.mark.parametrize(("path", "text"), [*EVERY, *OWN.items()], ids=[path for path, _ in (*EVERY, *OWN.items())])
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


@pytest.mark.parametrize("text", [*GITHUB.values(), *OWN.values()], ids=["workflow", "action", *OWN])
def test_actions_are_pinned(text: str) -> None:
    """Foreign actions are pinned by a whole commit, with the version for people beside it."""
    used = re.findall(r"uses: (\S+)( # v\d+\.\d+\.\d+)?", text)
    foreign = [(name, version) for name, version in used if not name.startswith("./")]
    assert foreign
    assert all(re.fullmatch(r"(?:actions|pypa)/[a-z-]+@[0-9a-f]{40}", name) and version for name, version in foreign), (
        foreign
    )


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


def _jobs(workflow: str) -> dict[str, Any]:
    jobs: dict[str, Any] = yaml.load(OWN[workflow], Loader)["jobs"]  # noqa: S506 - a SafeLoader
    return jobs


def test_every_environment_of_tox_has_its_job() -> None:
    """CI runs all that `tox` runs, the unit tests on each Python that the package names, the engine tests in shards."""
    listed = re.search(r"^env_list = (.+)$", (builders.REPO / "tox.ini").read_text(encoding="utf-8"), re.MULTILINE)
    assert listed is not None
    project = tomllib.loads((builders.REPO / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    versions = [line.split(" :: ")[-1] for line in project["classifiers"] if re.search(r":: 3\.\d+$", line)]
    matrix = _jobs("ci.yml")["tests"]["strategy"]["matrix"]["include"]
    units = {f"unit-py{version.replace('.', '')}": version for version in versions}
    rest = set(listed[1].split(", ")) - {"unit", "engine"}
    assert {job["environment"] for job in matrix} == rest | units.keys() | set(SHARDS)
    assert {job["environment"]: job["python"] for job in matrix if job["environment"] in units} == units


def test_every_shard_has_its_jobs() -> None:
    """Each folder of engine tests has an environment of tox, and a job each night where some of it runs only then."""
    tox = (builders.REPO / "tox.ini").read_text(encoding="utf-8")
    assert f"[testenv:{{{','.join(SHARDS)}}}]" in tox
    assert {file.parent.name for file in ENGINE.glob("*/test_*.py")} == set(SHARDS)
    assert not list(ENGINE.glob("test_*.py")), "a test that is in no shard"
    nightly = [name for name in SHARDS if any("mark.nightly" in file.read_text() for file in (ENGINE / name).glob("*"))]
    assert _jobs("nightly.yml")["nightly"]["strategy"]["matrix"]["shard"] == nightly


def test_the_project_s_own_workflows_have_time_for_their_tests() -> None:
    """Each job has a limit well beyond what the README says that its environment takes, the shards taken together."""
    text = (builders.REPO / "README.md").read_text(encoding="utf-8")
    took = {name: float(seconds) for name, seconds in re.findall(r"^  ([\w-]+): OK \(([\d.]+)=", text, re.MULTILINE)}
    matrix = _jobs("ci.yml")["tests"]["strategy"]["matrix"]["include"]
    limits = {job["environment"]: 60 * job["minutes"] for job in matrix}
    limits["coverage"] = 60 * _jobs("ci.yml")["coverage"]["timeout-minutes"]
    limits["smoke"] = 60 * _jobs("ci.yml")["smoke"]["timeout-minutes"]
    limits["engine"] = sum(limits[name] for name in SHARDS)
    needed = {name: 1.5 * took.get(name, took["unit"] if "unit" in name else 0) for name in limits}
    needed["coverage"] = 2 * took["unit"]
    needed["smoke"] = 1.5 * (took["setup"] + took["smoke"])
    assert took.keys() >= {"setup", "smoke", "lint", "types", "unit", "engine", "browser"}, (
        "the README says what each takes"
    )
    assert {name: limit for name, limit in limits.items() if limit < needed[name]} == {}


def test_a_release_publishes_what_was_tested() -> None:
    """Only the last job of a release may sign; it takes the files that the tests had, and builds nothing."""
    jobs = _jobs("release.yml")
    assert [name for name, job in jobs.items() if "id-token" in job["permissions"]] == ["publish"]
    assert jobs["publish"]["needs"] == "test"
    assert jobs["test"]["needs"] == "build"
    assert not list(scripts(jobs["publish"]))


def test_requirements_are_locked_by_hashes() -> None:
    """Of what has no hash uv demands none: so each requirement has one, and the package needs nothing else."""
    folder = builders.REPO / "tests/requirements"
    for name in ("smoke", "dev"):
        text = (folder / f"{name}.txt").read_text(encoding="utf-8")
        pins = re.findall(
            r"^([a-z0-9][\w.-]*)(?:\[.*\])?==\S+.*\n?((?:    --hash=sha256:[0-9a-f]{64}.*\n)*)", text, re.MULTILINE
        )
        others = [line for line in text.splitlines() if not re.match(r"[a-z0-9][^ ]*==| +(?:--hash|#)|#|$", line)]
        assert pins
        assert [pin for pin, hashes in pins if not hashes] == []
        assert others == []
    project = tomllib.loads((builders.REPO / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    needed = {re.split(r"[><=\[]", line)[0] for line in project["dependencies"]}
    locked = set(re.findall(r"^([a-z0-9][\w.-]*)==", (folder / "smoke.txt").read_text(encoding="utf-8"), re.MULTILINE))
    assert needed <= locked


def test_the_summary_names_what_took_long() -> None:
    """A test's fixtures count as its own, and a name cannot break the table."""

    def report(name: str, when: Literal["setup", "call"], took: float) -> pytest.TestReport:
        return pytest.TestReport(name, ("a.py", 1, ""), {}, "passed", None, when, duration=took)

    slow = "a.py::slow[x|y]"
    reports = [report("a.py::quick", "call", 0.5), report(slow, "setup", 2.0), report(slow, "call", 1.5)]
    rows = job_summary.table(reports, "pytest a.py").splitlines()
    assert rows[2] == "2 tests, 4 s of work; the longest:"
    assert rows[-3:-1] == ["| 3.5 | `a.py::slow[x/y]` |", "| 0.5 | `a.py::quick` |"]
