"""Programs that print much: their lines come whole, in linear time and bounded memory."""

from __future__ import annotations

import os
import sys
import tracemalloc
from pathlib import Path

import pytest

from harness.engine.execution import KEPT, End
from harness.project import git
from harness.system.process import stream


def _lines(code: str) -> list[str]:
    lines: list[str] = []
    ended = stream([sys.executable, "-c", code], os.environ, lines.append, timeout=60)
    assert ended.is_well
    return lines


@pytest.mark.parametrize(
    ("code", "lines"),
    [
        ("pass", []),
        ("print('one'); print(); print('two', end='')", ["one", "", "two"]),
        ("import sys; print('one', flush=True); print('two', file=sys.stderr)", ["one", "two"]),
        ("print('1%', end='\\r'); print('2%', end='\\r'); print('done')", ["1%", "2%", "done"]),
        ("import sys; sys.stdout.buffer.write(b'a\\r\\nb\\r\\n\\xff\\n')", ["a", "b", "\ufffd"]),
    ],
)
def test_lines_come_as_they_are(code: str, lines: list[str]) -> None:
    assert _lines(code) == lines


def test_a_line_without_end_comes_in_parts() -> None:
    """100 MB in one line: parts of it, and never all of it in memory."""
    sizes: list[int] = []
    tracemalloc.start()
    code = "import sys\nfor _ in range(100): sys.stdout.write('x' * 10**6)"
    stream([sys.executable, "-c", code], os.environ, lambda line: sizes.append(len(line)), timeout=60)
    assert tracemalloc.get_traced_memory()[1] < 16 * 2**20
    tracemalloc.stop()
    assert sum(sizes) == 10**8
    assert max(sizes) <= 2 * 2**20


def test_names_that_git_prints_without_an_end_of_line_come_whole(tmp_path: Path) -> None:
    """An index of many files is one line of megabytes."""
    git.ask(tmp_path, "init", "-q")
    entries = "".join(
        f"100644 {'e69de29bb2d1d6434b8b29ae775ad8c2e48c5391'} 0\t{'folder/' * 20}{n}\n" for n in range(8000)
    )
    (tmp_path / "index.txt").write_text(entries, encoding="utf-8")
    with (tmp_path / "index.txt").open("rb") as given:
        import subprocess

        subprocess.run(["git", "-C", tmp_path, "update-index", "--index-info"], stdin=given, check=True)  # noqa: S607
    assert len(list(git.tracked(tmp_path))) == 8000


def test_the_end_of_an_output_is_bounded() -> None:
    """However much a command prints, its end is kept and little more."""
    end = End.of(b"x" * 2**20 for _ in range(100))
    assert KEPT <= len(end.text) <= KEPT + 2**20
    assert End.of([b"one\n", b"two"]).text == "one\ntwo"
