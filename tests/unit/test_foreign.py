"""Foreign text commands nobody: neither a terminal nor the CI system that reads what the harness prints and writes."""

from __future__ import annotations

import ast
import io
import json
import re
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import builders
import pytest
import runs
from hypothesis import example, given
from hypothesis import strategies as st

from harness.cli import main
from harness.evidence.records import Finding, StageTime, Status
from harness.reports import ctrf, html, junit, markdown, sarif
from harness.reports.console import Console
from harness.reports.events import Events
from harness.reports.foreign import MAX_LINE, Guard, as_json, command, harmless, one_line, printer
from harness.reports.github import commands

PACKAGE = builders.REPO / "harness"
HOSTILE = (
    "##[error]boo",
    "   ##[add-mask]secret",
    "text before ##[set-env name=PATH]/evil",
    "###[error]boo",
    "##vso[task.setvariable variable=x;issecret=true]y",
    "log: ##VSO[task.complete result=Succeeded]",
    "##teamcity[buildStatus status='SUCCESS']",
    "::error::boo",
    " \t ::add-mask::secret",
    "\u00a0\u2003::warning file=a.py,line=1::boo",
    "fine\n::set-output name=a::b",
    "fine\r\n::stop-commands::token",
    "\x1b[0m::error::boo",
    "#\x1b[31m#[error]boo",
    "##\x00[error]boo",
    "#\u200b#[error]boo",
    "#\u00ad#[error]boo",
    "#\u200d#[error]boo",
    "##\ufe0f[error]boo",
    ":\u200b:error::boo",
    "\u200b::error::boo",
    "section_start:1560896352:my_section\r\x1b[0KHeader",
    "travis_fold:start:x",
    "travis_time:start:0",
    "--- a folded group",
    "+++ an open group",
    "^^^ +++",
    "\x1b]8;;http://evil.invalid\x07link\x1b]8;;\x07",
    "\x1b]52;c;cm0gLXJmIC8=\x07",
    "\x1b]0;title",
    "\x9b2J\x1b[1A\x1b[2K",
    "\x1bc\x1b(0\x1bP1;2q\x1b\\",
    "[[ATTACHMENT|/etc/passwd]]",
    "evil\u202egnp.exe",
    "safe\rPASSED: 40 passed",
    "line\u2028PASSED: 40 passed",
    "line\x0bPASSED: 40 passed",
    "ok\n  PASS  train.loss-decreases\nPASSED: 40 passed",
)
BLANKS = " \t\u00a0\u2003\u3000"
texts = st.lists(
    st.one_of(
        st.sampled_from(
            ["##", "#", "[", "]", "::", ":", "error", "vso", "teamcity", "\n", "\r", "\x1b", "\x1b[0m", " "]
        ),
        st.sampled_from(["\x1b]0;", "\x07", "\u200b", "\u200d", "\u202e", "\x9b", "---", "travis_fold:", "é"]),
        st.text(max_size=4),
    ),
    max_size=14,
).map("".join)


def obeyed(printed: str) -> list[str]:
    """Return what a runner or a terminal would obey, as their sources have it: .NET ignores invisible characters."""
    found = []
    for line in re.split(r"\r\n|\n|\r", printed):
        seen = re.sub("[\u00ad\u200b-\u200f\u2060-\u2064\ufe00-\ufe0f\ufeff]", "", line)
        if re.search(r"##[A-Za-z]*\[", seen) or re.match(r"\s*::.*::", seen):
            found.append(line)
        if re.search(r"section_(start|end):\d|travis_(fold|time):|\[\[ATTACHMENT\|", seen):
            found.append(line)
        if re.match(r"(---|\+\+\+|~~~|\^\^\^)[ \t]", line):
            found.append(line)
        if re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]", line):
            found.append(line)
    return found


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_text_becomes_harmless_and_stays_readable(text: str) -> None:
    """No form of a command survives, and its words can still be read."""
    assert obeyed(text) or {"\n", "\r"} & set(text)
    assert not obeyed(harmless(text))
    assert not obeyed(one_line(text))
    words = re.findall(r"[a-z]{4,}", re.sub(r"\x1b[\]P].*?(\x07|\x1b\\|$)", "", text))
    assert all(word in harmless(text) for word in words)


@given(texts)
@example("#\x1b[\x1b[0m0m#[error]")
@example("#\x1b]0;a\x07\x1b[m#[error]")
def test_no_text_at_all_is_obeyed(text: str) -> None:
    """Whatever is put together of the parts of commands is harmless, once and twice."""
    once = harmless(text)
    assert not obeyed(once)
    assert harmless(once) == once
    assert not obeyed(one_line(text))
    assert not obeyed(as_json({"text": text}))
    assert json.loads(as_json([text])) == [text]


@pytest.mark.parametrize(
    "text",
    [
        "epoch 1: loss=0.5 # a comment",
        "## A heading, [a link](b) and a[0] = 1",
        "std::vector<int>::size()",
        "C++ a::b::c",
        "2 ** 3, 100%|█| 3/3 [00:01<00:00]",
        "größe ☃ 𝄞 भाषा \u0645\u06cc\u200c\u0631 \U0001f469\u200d\U0001f52c \u2764\ufe0f",
        "::1 is the loopback address",
        "-- a note --",
        "    indented\n\tand more",
        "",
    ],
)
def test_ordinary_text_stays_as_it_is(text: str) -> None:
    """What commands nobody is shown to the letter, joined letters and pictures included."""
    assert harmless(text) == text


def test_a_long_line_is_cut() -> None:
    """A line on the console has an end, and says what is left out."""
    assert one_line("x" * (MAX_LINE + 7)) == "x" * MAX_LINE + " ... (7 more characters)"


def _console(use: Callable[[Console], None], monkeypatch: pytest.MonkeyPatch, *, github: bool) -> str:
    monkeypatch.setenv("GITHUB_ACTIONS", "true" if github else "")
    with io.StringIO() as stream:
        with Console(stream=stream, verbose=True) as console:
            use(console)
        return stream.getvalue()


def _shows(text: str) -> dict[str, Callable[[Console], None]]:
    finding = Finding(Status.FAIL, text, text, text, "a.b")
    return {
        "line": lambda console: console.line("train", text),
        "failure": lambda console: console.found(finding),
        "success": lambda console: console.found(replace(finding, status=Status.PASS)),
        "check": lambda console: console.found(replace(finding, check=text)),
        "say": lambda console: console.say(text),
        "document": lambda console: console.document(text.replace("PASSED", "")),
        "problem": lambda console: console.problem("kind", text, text),
        "stage": lambda console: console.stage_ends(StageTime("train", 0, 1, done=False, outcome=text)),
        "verdict": lambda console: console.verdict([finding], [], Path("/x") / text.replace("\x00", "")),
    }


@pytest.mark.parametrize("how", list(_shows("")))
@pytest.mark.parametrize("github", [False, True])
def test_the_console(how: str, github: bool, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: FBT001
    """Nothing of a hostile text is obeyed, and no line of it reads as one of ours, wherever it is shown."""
    for text in HOSTILE:
        printed = _console(_shows(text)[how], monkeypatch, github=github)
        ours = [line for line in printed.splitlines() if line.startswith(("::error title=kind::", "::endgroup::"))]
        rest = "\n".join(line for line in printed.splitlines() if line not in ours)
        assert not obeyed(rest)
        assert len(ours) <= 1
        assert how == "document" or not re.search(r"^PASSED|^  PASS  train", rest, re.MULTILINE)


@pytest.mark.parametrize("text", HOSTILE)
def test_events_are_equal_once_read(text: str) -> None:
    """A JSON line commands no runner, and whoever parses it gets the text as it was."""
    with io.StringIO() as stream:
        events = Events(stream)
        events.line("train", text)
        events.problem(text, text, text)
        lines = stream.getvalue().splitlines()
    assert len(lines) == 2
    assert not obeyed("\n".join(lines))
    assert json.loads(lines[0])["text"] == text


def test_reports(tmp_path: Path) -> None:
    """No report that a run writes holds anything that a runner obeys or that is a link or a picture."""
    bad = (*HOSTILE, "![i](http://evil.invalid/p.png) <img src=x> www.evil.invalid ](x)")
    found = [Finding(Status.FAIL, text, text, text, f"artifact.{number}") for number, text in enumerate(bad)]
    found += [replace(each, check="artifact.safe") for each in found]
    report = runs.report(tmp_path, "failed", *found)
    builders.write_files(report.folder, {"train/log.txt": "\n".join(bad), "serve/log.txt": "\n".join(bad)})
    for render in (junit.render, markdown.render, sarif.render, ctrf.render, html.render):
        page = render(report)
        page = re.sub(r"\[\[ATTACHMENT\|[\w./-]*/log\.txt\]\]", "", page)
        assert not obeyed(re.sub("[\u200d\ufe0f]", "", page)), render.__module__
    assert not re.search(
        r"https?://evil|www\.evil|!\[|<img", re.sub(r"(?s)```+text.*?```+", "", markdown.render(report))
    )
    assert "](" not in sarif.render(report)
    for line in commands(report):
        assert re.match(r"::(error|warning|notice) ", line)
        assert not obeyed(line[2:])
        assert "\n" not in line


def test_properties_of_commands_are_escaped() -> None:
    """A message cannot end its command, nor a property begin another one."""
    assert command("error", "a\n::b::%", title="x,y:z") == "::error title=x%2Cy%3Az::a%0A: :b::%25"


@pytest.mark.parametrize(
    "text", ["##[error]x", "##vso[task.complete result=Succeeded]", "a\n::add-mask::b", "\x1b[2Jjudge"]
)
@pytest.mark.parametrize("place", ["key", "value", "file", "option"])
def test_errors_of_the_command_line(
    text: str, place: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """An error that repeats what it was given commands nobody, on standard error neither."""
    monkeypatch.setenv("GITHUB_ACTIONS", "")
    quoted = json.dumps(text)
    block = {"key": f"{quoted}: 1", "value": f"train: {{timeout: {quoted}}}"}.get(place, "")
    text_of_file = f"services: {{serve: {{image: x}}}}\nx-harness:\n  version: 1\n  {block}\n"
    (tmp_path / "compose.yaml").write_text(text_of_file, encoding="utf-8")
    argv = ["judge", text, "--project", str(tmp_path)] if place == "file" else ["schema", text]
    if place in ("key", "value"):
        argv = ["run", "--project", str(tmp_path)]
    monkeypatch.setattr(sys, "stderr", Guard(sys.stderr))
    try:
        code = main.main(argv)
    except SystemExit as exc:
        code = int(str(exc.code))
    sys.stderr.flush()
    seen = capsys.readouterr()
    assert code == 2
    assert not obeyed(seen.out)
    assert not obeyed(seen.err)
    assert re.search(r"error|vso|add-mask|2J|judge", seen.out + seen.err)


def test_standard_error_is_guarded() -> None:
    """What libraries and tracebacks write in pieces is held against the rules as the line that it becomes."""
    with io.StringIO() as stream:
        guard = Guard(stream)
        for piece in ("Warning: #", "#[err", "or]x\n::err", "or::y\n", "rest"):
            guard.write(piece)
        guard.flush()
        assert stream.getvalue() == "Warning: # #[error]x\n: :error::y\nrest"


def test_a_command_in_a_container_on_a_runner() -> None:
    """`harness shell` passes lines on as they are, but for what would be obeyed."""
    with io.StringIO() as stream:
        show = printer(stream)
        for line in ("a,b", "##[error]x"):
            show(line)
        assert stream.getvalue() == "a,b\n# #[error]x\n"


STREAMS = ("print", "stdout", "stderr", "write", "warn", "print_exc", "ours")


def _calls() -> Iterator[tuple[str, str]]:
    """Yield module and text of all names that may print."""
    for path in sorted(PACKAGE.rglob("*.py")):
        if path.is_relative_to(PACKAGE / "inside"):
            continue  # runs in containers
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Name) and node.id in STREAMS:
                yield path.relative_to(PACKAGE).as_posix(), node.id
            if isinstance(node, ast.Attribute) and node.attr in STREAMS:
                yield path.relative_to(PACKAGE).as_posix(), ast.unparse(node)


def test_nothing_else_prints() -> None:
    """There is one way out for text: console, events and the guard; only these files name the standard streams.

    But for one fixed text, of a process that ends while its main thread is busy and may hold what it prints with.
    """
    calls = tuple(_calls())
    found: dict[str, Any] = {}
    for path, called in calls:
        if called in ("print", "sys.stdout", "sys.stderr", "os.write", "warnings.warn", "traceback.print_exc"):
            found.setdefault(called, set()).add(path)
    assert found == {
        "sys.stdout": {"reports/console.py", "reports/events.py", "reports/foreign.py"},
        "sys.stderr": {"reports/foreign.py"},
        "os.write": {"__main__.py"},
    }
    printed = {path for path, called in calls if called.endswith("._rich.print")}
    assert printed == {"reports/console.py"}
    ours = {path for path, called in calls if called.endswith((".ours", "self.ours"))}
    assert ours == {"cli/ci.py", "cli/machine.py", "reports/after_run.py", "reports/console.py"}


def test_nothing_else_makes_commands() -> None:
    """A workflow command is made in one place, which escapes what is in it."""
    for path in sorted(PACKAGE.rglob("*.py")):
        name = path.relative_to(PACKAGE).as_posix()
        strings = [
            node.value
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
            if isinstance(node, ast.Constant) and isinstance(node.value, str)
        ]
        if name not in ("reports/foreign.py", "reports/github.py"):
            assert not [text for text in strings if re.match(r"\s*::[a-z-]+", text)], name
