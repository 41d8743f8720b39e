"""The command line: its verbs, its exit codes, and how soon it answers."""

from __future__ import annotations

import argparse
import itertools
import json
import re
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import builders
import pytest

from harness import __version__, errors
from harness.checks import all_checks
from harness.cli import main
from harness.cli.verb_help import EXAMPLES
from harness.errors import HarnessError
from harness.evidence.run_folder import RunFolder
from harness.runner import pipeline

VERBS = ("setup", "doctor", "lock", "run", "judge", "replay", "shell", "schema", "checks", "clean")


@pytest.fixture(autouse=True)
def _signals() -> Iterator[None]:
    """Give back the signal handler that `main` replaces."""
    before = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, before)


@pytest.fixture(autouse=True)
def _plain(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GITHUB_ACTIONS", raising=False)


def _run(*argv: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "harness", *argv],
        cwd=cwd or builders.REPO,
        env={"PYTHONPATH": str(builders.REPO), "PATH": "/usr/bin:/bin", "COLUMNS": "200"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def _kinds(kind: type[HarnessError] = HarnessError) -> list[type[HarnessError]]:
    return [each for direct in kind.__subclasses__() for each in (direct, *_kinds(direct))]


def test_help_lists_verbs_and_exit_codes() -> None:
    """`harness --help` lists every verb and every exit code."""
    done = _run("--help")
    assert done.returncode == 0
    for verb in VERBS:
        assert re.search(rf"^ +{verb} ", done.stdout, re.MULTILINE), verb
    epilog = done.stdout.partition("exit codes:")[2].partition("examples:")[0]
    documented = {int(code) for code in re.findall(r"(?<!\S)(\d+)  ", epilog)}
    used = {errors.PASSED, errors.CHECK_FAILED, errors.CHECK_CRASHED, errors.INTERRUPTED, errors.CRASHED}
    used.add(errors.NOT_REPRODUCED)
    assert documented == used | {kind.exit_code for kind in _kinds()}


def test_exit_codes_have_one_meaning_each() -> None:
    """Each error has the code of its branch: 2 for a wrong description, 3 for all that is the machine's fault."""
    codes = {kind: kind.exit_code for kind in _kinds()}
    direct = [kind.exit_code for kind in HarnessError.__subclasses__()]
    others = [errors.PASSED, errors.CHECK_FAILED, errors.CHECK_CRASHED, errors.NOT_REPRODUCED]
    others += [errors.INTERRUPTED, errors.CRASHED]
    assert len(set(direct + others)) == len(direct + others)
    for kind, code in codes.items():
        assert code == (2 if issubclass(kind, errors.DescriptionError) else 3)
    assert len({kind.kind for kind in codes}) == len(codes), "each error says in its own words what went wrong"


def test_help_imports_little() -> None:
    """`harness --help` answers at once: it imports none of the heavy packages."""
    program = (
        "import sys\nfrom harness.cli.main import main\n"
        "try:\n    main(['--help'])\nexcept SystemExit:\n    pass\n"
        "print(sorted({'docker', 'pandas', 'pandera', 'pydantic', 'rich', 'yaml', 'requests'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=builders.REPO, capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout.splitlines()[-1] == "[]"


@pytest.mark.parametrize("argv", [[], ["nonsense"], ["run", "--nonsense"]])
def test_wrong_usage(argv: list[str]) -> None:
    """Wrong usage exits with 2 and shows the usage."""
    done = _run(*argv)
    assert done.returncode == 2
    assert "usage: harness" in done.stderr


def test_version() -> None:
    """`harness --version` names the version."""
    assert _run("--version").stdout == f"harness {__version__}\n"


def test_schema_is_json(capsys: pytest.CaptureFixture[str]) -> None:
    """`harness schema` prints JSON that a program can read."""
    assert main.main(["schema"]) == 0
    assert json.loads(capsys.readouterr().out)["$schema"].endswith("2020-12/schema")


def test_checks_lists_all(capsys: pytest.CaptureFixture[str]) -> None:
    """`harness checks` lists every check with its sentence, what it reads and what it covers."""
    assert main.main(["checks"]) == 0
    printed = capsys.readouterr().out
    for check in all_checks():
        assert f"{check.name} " in printed
        assert check.sentence in printed
        assert check.rubric in printed


def test_description_wrong(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Judging where there is no run is a wrong request: exit code 2, what is there, and what to do."""
    assert main.main(["judge", "--project", str(tmp_path)]) == 2
    printed = capsys.readouterr().out
    assert "the description is wrong" in printed
    assert "do: Give a run's ID" in printed


@pytest.mark.parametrize(
    ("raised", "code", "shown"),
    [
        (errors.DescriptionError("a key", hint="fix it"), 2, "the description is wrong: a key"),
        (errors.InfrastructureError("a disk"), 3, "the infrastructure failed: a disk"),
        (errors.EngineUnavailableError("x"), 3, "no container engine answers"),
        (errors.ImageUnavailableError("x"), 3, "an image cannot be had"),
        (errors.DiskFullError("x"), 3, "the disk is full"),
        (errors.ComposeError("x"), 3, "Compose failed"),
        (KeyboardInterrupt(), 130, "interrupted"),
        (RuntimeError("oops"), 70, "RuntimeError: oops"),
    ],
)
def test_exit_code_of_an_error(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], raised: BaseException, code: int, shown: str
) -> None:
    """Every error ends the command with its own code and its message; a defect of ours is never a failed check."""

    def fail(*_: object, **__: object) -> None:
        raise raised

    monkeypatch.setattr(pipeline, "run", fail)
    assert main.main(["run"]) == code
    assert shown in capsys.readouterr().out


def test_termination_is_an_interrupt(monkeypatch: pytest.MonkeyPatch) -> None:
    """SIGTERM, as CI sends it, ends a run as Ctrl-C does: with the clean-up and 130."""

    def terminate(*_: object, **__: object) -> None:
        signal.raise_signal(signal.SIGTERM)

    monkeypatch.setattr(pipeline, "run", terminate)
    assert main.main(["run"]) == errors.INTERRUPTED


def _record(root: Path, **changes: object) -> None:
    folder = RunFolder.create(root)
    evidence = builders.evidence(**changes)
    for name in evidence.__dataclass_fields__:
        if getattr(evidence, name) is not None:
            folder.write(name, getattr(evidence, name))
    folder.mark_latest()


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({}, 0),
        ({"artifact": builders.artifact(0.1, 0.9)}, 1),
        ({"serve": None}, 4),
        ({"lock": None}, 0),
    ],
)
def test_judge(tmp_path: Path, capsys: pytest.CaptureFixture[str], changes: dict[str, object], code: int) -> None:
    """`harness judge` judges a recorded run without an engine, and its exit code is the verdict."""
    _record(tmp_path, **changes)
    assert main.main(["judge", "--project", str(tmp_path), "latest"]) == code
    assert ("PASSED" if code == 0 else "FAILED") in capsys.readouterr().out
    findings = json.loads((tmp_path / ".harness/runs/latest/findings.json").read_text())
    assert {finding["check"] for finding in findings} == {check.name for check in all_checks()}


def test_judge_again_needs_no_engine(tmp_path: Path) -> None:
    """Judging is done without Docker's socket, in a process of its own."""
    _record(tmp_path)
    done = _run("judge", "--project", str(tmp_path))
    assert done.returncode == 0, done.stdout + done.stderr


def test_error_as_an_event(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """With --json an error that ends the command is an event too: standard output holds nothing but JSON lines."""

    def fail(*_: object, **__: object) -> None:
        raise errors.DiskFullError("no space", hint="free some")

    monkeypatch.setattr(pipeline, "run", fail)
    assert main.main(["run", "--json"]) == 3
    (told,) = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert (told["event"], told["kind"], told["hint"]) == ("error", "the disk is full", "free some")


@pytest.mark.parametrize("command", [line for lines in EXAMPLES.values() for line, _ in lines])
def test_examples_of_the_help_are_valid(command: str) -> None:
    """Every example that `--help` shows is one that the command line takes."""
    words = list(itertools.takewhile(lambda word: word != ">", shlex.split(command)))
    assert words[0] == "harness"
    assert callable(main.parse(words[1:]).verb)


def test_every_verb_has_examples() -> None:
    """`harness VERB --help` ends with examples, whichever the verb."""
    verbs = next(a.choices for a in main._parser()._actions if isinstance(a, argparse._SubParsersAction))
    assert {name for name in verbs if name not in EXAMPLES} == set()
    for name, parser in verbs.items():
        assert f"  harness {name}" in parser.format_help().partition("examples:")[2]


@pytest.mark.parametrize("shell", ["bash", "zsh"])
def test_completion(capsys: pytest.CaptureFixture[str], shell: str) -> None:
    """The completion script of a shell knows the verbs and their options."""
    assert main.main(["completion", shell]) == 0
    script = capsys.readouterr().out
    assert all(word in script for word in ("doctor", "--rebuild", "verify"))


def test_completion_works_in_bash() -> None:
    """Bash completes `harness ru` to `harness run` with the script."""
    words = 'COMP_WORDS=(harness ru); COMP_CWORD=1; COMP_LINE="harness ru"; COMP_POINT=10'
    script = f'eval "$(cat)"; {words}; _shtab_harness harness ru harness; echo "${{COMPREPLY[@]}}"'
    made = subprocess.run([sys.executable, "-m", "harness", "completion", "bash"], capture_output=True, check=True)
    done = subprocess.run(["/bin/bash", "-c", script], input=made.stdout, capture_output=True, check=True)
    assert done.stdout.split() == [b"run"], done.stderr
