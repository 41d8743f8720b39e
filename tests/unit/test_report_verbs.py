"""`harness report`, `harness compare`, and the reports that every run leaves."""

from __future__ import annotations

import io
import json
import time
import webbrowser
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import builders
import pytest
import runs

from harness import errors
from harness.cli import main
from harness.cli import report as report_verbs
from harness.evidence.records import Finding, Status
from harness.evidence.run_folder import RunFolder
from harness.reports import files
from harness.reports.after_run import reported
from harness.reports.console import Console
from harness.reports.events import Events
from harness.reports.run_report import Place, RunReport

CI = ("GITHUB_ACTIONS", "GITHUB_STEP_SUMMARY", *files.WORKSPACES)


@pytest.fixture(autouse=True)
def _outside_ci(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in CI:
        monkeypatch.delenv(name, raising=False)


def _written(folder: Path) -> set[str]:
    return {file for file, _ in files.FORMATS.values() if (folder / file).is_file()}


EVERY = {file for file, _ in files.FORMATS.values()}


def test_formats_of_the_verb_are_those_that_can_be_written() -> None:
    """The command line offers every format that there is."""
    assert tuple(files.FORMATS) == report_verbs.FORMATS


@pytest.mark.parametrize("ending", runs.ENDINGS)
def test_report_writes_every_format(tmp_path: Path, ending: str) -> None:
    """`harness report RUN` writes all reports into the folder of a run with any ending."""
    folder = runs.folder(tmp_path, ending)
    assert main.main(["report", runs.ID, "--project", str(tmp_path)]) == errors.PASSED
    assert _written(folder.path) == EVERY


def test_report_of_one_format_elsewhere(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """--format writes that one alone, --out names another folder, which is made."""
    folder = runs.folder(tmp_path)
    out = tmp_path / "a" / "b"
    assert main.main(["report", str(folder.path), "--format", "junit", "--out", str(out)]) == errors.PASSED
    assert [path.name for path in out.iterdir()] == ["junit.xml"]
    assert not _written(folder.path)
    assert capsys.readouterr().out == f"wrote {out / 'junit.xml'}\n"


def test_report_opens_a_browser(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """--open shows what was written."""
    opened: list[str] = []

    def note(url: str) -> bool:
        opened.append(url)
        return True

    monkeypatch.setattr(webbrowser, "open", note)
    folder = runs.folder(tmp_path)
    assert main.main(["report", str(folder.path), "--format", "markdown", "--open"]) == errors.PASSED
    assert opened == [(folder.path / "summary.md").as_uri()]


def _without_findings(folder: Path) -> None:
    (folder / "findings.json").unlink()


def _broken(folder: Path) -> None:
    for name in ("findings.json", "images.json", "end.json", "stages.json"):
        (folder / name).write_bytes(b'{"\xff')


def _only_spec(folder: Path) -> None:
    for path in folder.glob("*.json"):
        if path.name != "spec.json":
            path.unlink()


@pytest.mark.parametrize(("damage", "amiss"), [(_without_findings, 0), (_broken, 4), (_only_spec, 0)])
def test_report_on_what_is_left(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], damage: Callable[[Path], None], amiss: int
) -> None:
    """A run folder with missing and broken pieces is reported on, what is amiss is said, and it is no pass."""
    folder = runs.folder(tmp_path)
    damage(folder.path)
    assert main.main(["report", str(folder.path)]) == errors.PASSED
    assert _written(folder.path) == EVERY
    assert capsys.readouterr().out.count("amiss: ") == amiss
    assert "PASSED" not in (folder.path / "summary.md").read_text(encoding="utf-8")
    assert "run.verdict" in (folder.path / "junit.xml").read_text(encoding="utf-8")


def test_report_on_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A folder that is no run, and one whose description is broken, are refused with a reason."""
    assert main.main(["report", "--project", str(tmp_path)]) == errors.DescriptionError.exit_code
    folder = runs.folder(tmp_path)
    (folder.path / "spec.json").write_text("{", encoding="utf-8")
    assert main.main(["report", str(folder.path)]) == errors.DescriptionError.exit_code
    assert "is no run: spec.json cannot be read" in capsys.readouterr().out


def test_report_that_cannot_be_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A report that cannot be made is an error of the verb, after the others are written."""

    def broken(report: RunReport) -> str:
        raise ValueError(report.id)

    monkeypatch.setattr(files, "FORMATS", {"junit": ("junit.xml", broken), "ctrf": files.FORMATS["ctrf"]})
    folder = runs.folder(tmp_path)
    assert main.main(["report", str(folder.path)]) == errors.CRASHED
    assert _written(folder.path) == {"ctrf-report.json"}
    assert "the junit report cannot be made" in capsys.readouterr().out


def _console(root: Path, stream: io.StringIO) -> Console:
    """A console that has seen the run begin."""
    console = Console(stream=stream)
    console.run_begins(builders.spec(root=root), builders.environment(), runs.ID)
    return console


@pytest.mark.parametrize("error", [errors.InfrastructureError("gone"), KeyboardInterrupt(), None])
def test_every_run_leaves_its_reports(tmp_path: Path, error: BaseException | None) -> None:
    """A run leaves its reports when it ends, with an error or an interrupt too, which goes on."""
    folder = runs.folder(tmp_path)
    console = _console(tmp_path, io.StringIO())

    def run() -> None:
        with reported(console) as same:
            assert same is console
            if error is not None:
                raise error

    if error is None:
        run()
    else:
        with pytest.raises(type(error)):
            run()
    assert _written(folder.path) == EVERY


def test_run_that_never_began_leaves_nothing(tmp_path: Path) -> None:
    """Where the description is wrong there is no folder, and no report."""
    with reported(Console(stream=io.StringIO())) as console:
        assert console.folder is None
    assert not list(tmp_path.iterdir())


def test_broken_report_does_not_change_the_verdict(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A renderer that crashes, and a folder that is no run, are said and change nothing else."""

    def broken(report: RunReport) -> str:
        raise ValueError(report.id)

    monkeypatch.setattr(files, "FORMATS", {"junit": ("junit.xml", broken), "ctrf": files.FORMATS["ctrf"]})
    folder = runs.folder(tmp_path)
    with io.StringIO() as stream:
        with reported(_console(tmp_path, stream)):
            pass
        assert "the junit report cannot be made: ValueError" in stream.getvalue()
        assert _written(folder.path) == {"ctrf-report.json"}
        (folder.path / "spec.json").unlink()
        with reported(_console(tmp_path, stream)):
            pass
        assert "the reports cannot be made: DescriptionError" in stream.getvalue()


def test_github_gets_annotations_and_a_summary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On GitHub the annotations are printed as commands of their own, and the summary of the job is added to."""
    summary = tmp_path / "summary"
    runs.folder(tmp_path / "project")
    with io.StringIO() as stream:
        with reported(_console(tmp_path / "project", stream)):
            pass
        assert "::error" not in stream.getvalue()
        monkeypatch.setenv("GITHUB_ACTIONS", "true")
        monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(summary))
        monkeypatch.setenv("GITHUB_WORKSPACE", str(tmp_path))
        with reported(_console(tmp_path / "project", stream)):
            pass
        lines = [line for line in stream.getvalue().splitlines() if line.startswith("::")]
    assert [line.partition(" ")[0] for line in lines] == ["::error", "::error", "::warning"]
    assert "file=project/compose.yaml," in lines[0]
    assert "FAILED" in summary.read_text(encoding="utf-8")


def test_events_stay_json_on_github(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With --json every line is an event, on GitHub too: the annotations are left out, the reports are written."""
    folder = runs.folder(tmp_path)
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    with io.StringIO() as stream:
        events = Events(stream)
        events.run_begins(builders.spec(root=tmp_path), builders.environment(), runs.ID)
        with reported(events):
            pass
        assert [json.loads(line)["event"] for line in stream.getvalue().splitlines()] == ["run-begins", "note"]
    assert _written(folder.path) == EVERY


def test_workspace(tmp_path: Path) -> None:
    """Paths begin at the workspace of CI where the project lies in it, else at the project."""
    root = tmp_path / "work" / "project"
    root.mkdir(parents=True)
    assert files.workspace({"CI_PROJECT_DIR": str(tmp_path / "work")}, root) == tmp_path / "work"
    assert files.workspace({"GITHUB_WORKSPACE": str(tmp_path / "other"), "WORKSPACE": ""}, root) is None
    assert files.workspace({}, root) is None


def test_places_of_the_block(tmp_path: Path) -> None:
    """A report knows the lines of the block's parts; of a broken or a missing file it knows none."""
    path = tmp_path / "compose.yaml"
    spec = builders.spec(root=tmp_path, files=(path,))
    folder = RunFolder(tmp_path / "run")
    folder.write("spec", spec)
    assert RunReport.of(folder).places == {}
    path.write_text("services: {}\nx-harness:\n  version: 1\n\n  serve: {}\n", encoding="utf-8")
    places = RunReport.of(folder).places
    assert (places["services"], places["x-harness"]) == (Place("compose.yaml", 1), Place("compose.yaml", 2))
    assert places["serve"] == Place("compose.yaml", 5)
    path.write_text("a: [", encoding="utf-8")
    assert RunReport.of(folder).places == {}


def test_reports_are_quick(tmp_path: Path) -> None:
    """All reports of a run together take a moment, with 500 findings too."""
    report = runs.report(tmp_path, "failed", *runs.many(500))
    files.write_all(report)
    start = time.process_time()
    _, failed = files.write_all(report)
    assert not failed
    assert time.process_time() - start < 3.0  # of a core: 0.1 s; the machine of a test has others on it


def _two(root: Path) -> list[str]:
    """Two runs, of which the second became worse."""
    runs.folder(root, "passed", "20260101T000000Z-aaaaaa")
    runs.folder(root, "failed", "20260102T000000Z-bbbbbb")
    return ["compare", "20260101", "20260102", "--project", str(root)]


def test_compare_shows_what_became_worse(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`harness compare` lists the checks that now fail with what was received, and ends with 0."""
    assert main.main(_two(tmp_path)) == errors.PASSED
    lines = capsys.readouterr().out.splitlines()
    assert "now fails  train.loss-decreases            pass -> fail" in lines
    assert "           loss rose from 0.1 to 0.9" in lines


def test_compare_in_other_forms(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """--json prints JSON, --markdown a table."""
    argv = _two(tmp_path)
    assert main.main([*argv, "--json"]) == errors.PASSED
    assert {each["check"] for each in json.loads(capsys.readouterr().out)["turned"]} >= {"train.loss-decreases"}
    assert main.main([*argv, "--markdown"]) == errors.PASSED
    assert "| now fails | train.loss-decreases |" in capsys.readouterr().out


def test_compare_fails_on_regression(tmp_path: Path) -> None:
    """With --fail-on-regression a check that now fails ends with 1, the other way round with 0."""
    argv = _two(tmp_path)
    assert main.main([*argv, "--fail-on-regression"]) == errors.CHECK_FAILED
    backwards = ["compare", "20260102", "20260101", "--project", str(tmp_path), "--fail-on-regression"]
    assert main.main(backwards) == errors.PASSED


def test_compare_with_a_run_without_findings(tmp_path: Path) -> None:
    """A run that was never judged cannot pass --fail-on-regression; without it, it can be looked at."""
    argv = _two(tmp_path)
    (tmp_path / ".harness/runs/20260102T000000Z-bbbbbb/findings.json").unlink()
    assert main.main(argv) == errors.PASSED
    assert main.main([*argv, "--fail-on-regression"]) == errors.DescriptionError.exit_code


def test_unknown_finding_in_a_comparison(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A check that no version knows today is compared by its name."""
    argv = _two(tmp_path)
    folder = RunFolder.find(tmp_path, "20260102")
    folder.write_findings([*folder.findings(), replace(runs.FAILED, check="old.check", status=Status.FAIL)])
    assert main.main(argv) == errors.PASSED
    assert "old.check" in capsys.readouterr().out
    assert Finding(Status.FAIL, "x", check="old.check") not in folder.findings()


def test_no_report_tells_a_secret(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A value that the environment has under the name of a secret is in no report, annotation or summary."""
    secret = "hunter2-hunter2-hunter2"
    summary = tmp_path / "summary"
    folder = runs.folder(tmp_path / "project")
    folder.write_findings(
        [Finding(Status.FAIL, f"refused: {secret}", f"not {secret}", f"drop {secret}", "serve.unprivileged")]
    )
    for name, value in {"REGISTRY_PASSWORD": secret, "GITHUB_ACTIONS": "true"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(summary))
    with io.StringIO() as stream:
        with reported(_console(tmp_path / "project", stream)):
            pass
        printed = stream.getvalue()
    files_ = [(folder.path / file).read_text(encoding="utf-8") for file in EVERY]
    told = [*files_, summary.read_text(encoding="utf-8"), *(x for x in printed.splitlines() if x.startswith("::"))]
    assert len(told) == len(EVERY) + 2
    assert not [text for text in told if secret in text]
    assert not [text for text in told if "redacted REGISTRY_PASSWORD" not in text]
