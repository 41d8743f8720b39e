"""What a person sees of a run."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from pathlib import Path

import builders
import pytest

from harness.checks import all_checks
from harness.checks.judge import judge
from harness.evidence.forecast import Forecast
from harness.evidence.records import Finding, StageTime, Status
from harness.reports.console import Clock, Console

BAD = Finding(Status.FAIL, "first\nsecond [bold]x[/bold]", "expected [this]", "do one\ndo two", "demo.bad")


@pytest.fixture(autouse=True)
def _plain(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("GITHUB_ACTIONS", "FORCE_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def stream() -> Iterator[io.StringIO]:
    """Where the console prints."""
    with io.StringIO() as opened:
        yield opened


def _whole_run(console: Console) -> None:
    evidence = builders.evidence()
    with console:
        console.run_begins(evidence.spec, builders.environment(), "20260101T000000Z-abc")
        for stage in builders.stages():
            console.stage_begins(stage.name)
            console.line(stage.name, f"a line of {stage.name}")
            console.stage_ends(stage)
        findings = list(judge(evidence, all_checks()))
        for finding in findings:
            console.found(finding)
        console.verdict(findings, evidence.stages, Path("/x/.harness/runs/20260101T000000Z-abc"))


def test_plain_output_of_a_run(stream: io.StringIO) -> None:
    """A run prints its project, machine, stages, checks, verdict, time and folder as plain lines."""
    _whole_run(Console(stream=stream))
    text = stream.getvalue()
    lines = text.splitlines()
    assert "\x1b" not in text
    assert lines[0] == "harness 0.1.0 · project demo · run 20260101T000000Z-abc"
    assert "2 cores, 8.0 GiB" in lines[1]
    assert all(any(line.startswith(f"{stage.name} ") for line in lines) for stage in builders.stages())
    assert all(sum(f" {check.name} " in line for line in lines) == 1 for check in all_checks())
    assert f"PASSED: {len(all_checks()) - 1} passed, 1 skipped" in lines
    assert lines[-1] == "evidence: /x/.harness/runs/20260101T000000Z-abc"
    assert "  train | a line of train" in lines


def test_verbose_loses_nothing(stream: io.StringIO) -> None:
    """With --verbose every line of every stage is shown."""
    _whole_run(Console(verbose=True, stream=stream))
    assert all(f"  {stage.name} | a line of {stage.name}\n" in stream.getvalue() for stage in builders.stages())


def test_build_steps_are_shown(stream: io.StringIO) -> None:
    """Of a build the steps and the errors are shown, the hundreds of other lines are not."""
    console = Console(stream=stream)
    for line in ("#5 [train 2/4] RUN pip", "Step 3/9 : COPY", "ERROR: failed to solve", "#5 0.1 Collecting numpy"):
        console.line("images", line)
    assert len(stream.getvalue().splitlines()) == 3
    assert "numpy" not in stream.getvalue()


def test_finding_that_is_not_well(stream: io.StringIO) -> None:
    """A failure shows expected, received and what to do, every line of them, brackets as they are."""
    Console(stream=stream).found(BAD)
    lines = [line.split() for line in stream.getvalue().splitlines()]
    assert lines == [
        ["FAIL", "demo.bad", "expected", "expected", "[this]"],
        ["received", "first"],
        ["second", "[bold]x[/bold]"],
        ["do", "do", "one"],
        ["do", "two"],
    ]


@pytest.mark.parametrize("status", list(Status))
def test_every_status_is_shown(stream: io.StringIO, status: Status) -> None:
    """A finding of any status shows its status, name and what was received, long lines whole."""
    Console(stream=stream).found(Finding(status, "x" * 500, check="demo.one"))
    assert status.value.upper() in stream.getvalue()
    assert "demo.one" in stream.getvalue()
    assert "x" * 500 in stream.getvalue()


@pytest.mark.parametrize(
    "line", ["[red]x[/red]", "[/]", "[link=http://x]y", ":smile:", "a\\[b]", "[1, 2]", "100%|█| [0:1<0]"]
)
def test_log_lines_are_no_markup(stream: io.StringIO, line: str) -> None:
    """A log line is shown as it is, whatever it holds."""
    console = Console(stream=stream)
    console.line("train", line)
    console.found(Finding(Status.PASS, line, check="a.b"))
    console.problem("kind [x]", line, line)
    assert f"  train | {line}\n" in stream.getvalue()
    assert stream.getvalue().count(line) == 4


def test_escape_sequences_do_not_reach_the_terminal(stream: io.StringIO) -> None:
    """A service's answer in a finding cannot move the cursor or clear the screen of whoever reads it."""
    console = Console(stream=stream)
    console.found(Finding(Status.FAIL, "status 500: \x1b[2J\x1b]0;title\x07", "x", "y", "a.b"))
    console.line("train", "\x1b[31mred\x1b[0m")
    assert "\x1b" not in stream.getvalue()


def test_groups_on_github(stream: io.StringIO, monkeypatch: pytest.MonkeyPatch) -> None:
    """On GitHub each stage is a group that is closed before its result, and all lines are in it."""
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    _whole_run(Console(stream=stream))
    lines = stream.getvalue().splitlines()
    opened = [line for line in lines if line.startswith("::group::")]
    assert opened == [f"::group::{stage.name}" for stage in builders.stages()]
    assert lines.count("::endgroup::") == len(opened)
    at = lines.index("::group::images")
    assert lines[at + 1 : at + 3] == ["  images | a line of images", "::endgroup::"]


def test_a_log_line_is_no_command_of_github(stream: io.StringIO, monkeypatch: pytest.MonkeyPatch) -> None:
    """A line of a container cannot give GitHub a command."""
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    console = Console(stream=stream)
    console.line("train", "::error::boo")
    console.found(Finding(Status.FAIL, "::set-output name=x::y", "::warning::z", "::add-mask::x", "a.b"))
    assert not [line for line in stream.getvalue().splitlines() if line.strip().startswith("::")]


def test_problem(stream: io.StringIO, monkeypatch: pytest.MonkeyPatch) -> None:
    """An error shows its kind, its message and what to do; on GitHub also as an annotation on one line."""
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    Console(stream=stream).problem("Compose failed", "one\ntwo", "do this\nand that")
    lines = stream.getvalue().splitlines()
    assert lines[0] == "::error title=Compose failed::one"
    assert lines[1:] == ["harness: Compose failed: one", "  | two", "  do: do this", "      and that"]


def test_problem_without_a_message(stream: io.StringIO) -> None:
    """An error without a message or a hint is shown too."""
    Console(stream=stream).problem("interrupted", "", "")
    assert "harness: interrupted" in stream.getvalue()


@pytest.mark.parametrize(
    ("statuses", "line"),
    [
        ([Status.PASS, Status.WARN, Status.SKIP], "PASSED: 1 passed, 1 warned, 1 skipped"),
        ([Status.PASS, Status.FAIL, Status.FAIL], "FAILED: 1 passed, 2 failed"),
        ([Status.PASS, Status.ERROR], "FAILED: 1 passed, 1 in error"),
    ],
)
def test_verdict(stream: io.StringIO, statuses: list[Status], line: str) -> None:
    """The verdict counts every status."""
    Console(stream=stream).verdict([Finding(status, "x") for status in statuses], (), Path("/x"))
    assert line in stream.getvalue().splitlines()


def test_verdict_of_nothing(stream: io.StringIO) -> None:
    """A run in which nothing was judged has not passed, as its exit code says."""
    Console(stream=stream).verdict([], (), Path("/x"))
    assert "PASSED" not in stream.getvalue()


def test_stage_that_was_not_done(stream: io.StringIO) -> None:
    """A stage that failed says why."""
    Console(stream=stream).stage_ends(StageTime("serve", 1.0, 2.5, "the infrastructure failed", done=False))
    assert stream.getvalue() == "serve      the infrastructure failed  (2.5 s)\n"


def test_stream_of_a_small_encoding() -> None:
    """A terminal that cannot show a character gets another one: it does not end the run."""
    with io.TextIOWrapper(io.BytesIO(), encoding="ascii") as ascii_stream:
        console = Console(stream=ascii_stream)
        console.run_begins(builders.spec(), builders.environment(), "r")
        console.line("train", "☃ 100%|█|")
        ascii_stream.flush()


def test_spinner_ends_with_the_console(monkeypatch: pytest.MonkeyPatch, stream: io.StringIO) -> None:
    """On a terminal a stage has a spinner; the log of the training is shown beside it, and it ends on an error."""
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")
    console = Console(stream=stream)

    def interrupted() -> None:
        with console:
            console.stage_begins("train")
            assert console._progress is not None
            console.line("train", "[epoch 1]")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert console._progress is None
    assert "[epoch 1]" in stream.getvalue()


def test_quiet_shows_what_is_not_well_and_the_verdict(stream: io.StringIO) -> None:
    """With --quiet there are no stages, no logs and nothing that passed: what is not well, and the end."""
    console = Console(quiet=True, stream=stream)
    _whole_run(console)
    assert [line.partition(":")[0] for line in stream.getvalue().split("\n")] == ["", "PASSED", "time", "evidence", ""]
    console.found(BAD)
    assert "expected [this]" in stream.getvalue()
    assert "do two" in stream.getvalue()


def test_no_color(monkeypatch: pytest.MonkeyPatch, stream: io.StringIO) -> None:
    """NO_COLOR takes the colours away, on a terminal too (no-color.org)."""
    monkeypatch.setenv("FORCE_COLOR", "1")
    Console(stream=stream).found(BAD)
    assert "\x1b[" in stream.getvalue()
    monkeypatch.setenv("NO_COLOR", "1")
    with io.StringIO() as plain:
        Console(stream=plain).found(BAD)
        assert not re.search(r"\x1b\[[0-9;]*3[0-7]", plain.getvalue())


@pytest.mark.parametrize(
    ("ends", "now", "shown"),
    [({"serve": 61.0}, 11.0, "about 50 s left"), ({"serve": 3.0}, 11.0, None), (None, 11.0, None)],
)
def test_time_left(
    monkeypatch: pytest.MonkeyPatch, ends: dict[str, float] | None, now: float, shown: str | None
) -> None:
    """A stage shows how long it has worked, and what is left where a run like it is known and was not overtaken."""
    monkeypatch.setattr("harness.reports.console.time.monotonic", lambda: now)
    text = str(Clock(begun=9.0, start=0.0, forecast=None if ends is None else Forecast(ends)))
    assert text == "2 s" if shown is None else text == f"2 s, {shown}"
