"""Golden examples: what a served model answers, written down once it is known to be the same again."""

from __future__ import annotations

import io
import json
from pathlib import Path

import builders
import pytest
from service import Service, listening

from harness.cli.main import main
from harness.project.contract_file import load_contract

MANY = [builders.REQUEST, builders.TWO]


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    file = tmp_path / "rows.jsonl"
    file.write_text("\n".join(json.dumps(request) for request in MANY) + "\n", encoding="utf-8")
    return file


def _record(folder: Path, url: str, *arguments: str | Path) -> int:
    return main(["record", "--project", str(folder), "--url", url, *map(str, arguments)])


def test_answers_become_examples(rows: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One file a request; the same service then satisfies them."""
    with listening(Service()) as target:
        assert _record(rows.parent, target.url, rows, "--yes") == 0
    examples, _ = load_contract(rows.parent, "tests/contract/*.json")
    assert [(example.name, example.request, example.response) for example in examples] == [
        ("rows-1", builders.REQUEST, {"predictions": [0.25]}),
        ("rows-2", builders.TWO, {"predictions": [1.5]}),
    ]
    assert "wrote" in capsys.readouterr().out


def test_rows_of_a_table_take_the_form_of_the_example(tmp_path: Path) -> None:
    """Each row of a CSV becomes a request like the first example, with the types of its values."""
    example = {"request": builders.REQUEST, "response": builders.ANSWER}
    block = "services: {}\nx-harness: {version: 1, contract: {examples: e.json}}\n"
    table = "length,island,note\n3,Biscoe,x\n6,Dream,y\n"
    builders.write_files(tmp_path, {"compose.yaml": block, "e.json": json.dumps(example), "some.csv": table})
    with listening(Service()) as target:
        assert _record(tmp_path, target.url, tmp_path / "some.csv", "--yes") == 0
    examples, _ = load_contract(tmp_path, "tests/contract/*.json")
    assert [example.response for example in examples] == [{"predictions": [1.5]}, {"predictions": [1.0]}]


def test_an_existing_example_is_kept(rows: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing is overwritten."""
    with listening(Service()) as target:
        assert _record(rows.parent, target.url, rows, "--yes") == 0
        before = (rows.parent / "tests/contract/rows-1.json").read_bytes()
        assert _record(rows.parent, target.url, rows, "--yes") == 0
    assert (rows.parent / "tests/contract/rows-1.json").read_bytes() == before
    assert "exists already" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("fault", "request_", "said"),
    [("drifts", {"instances": MANY[0]["instances"] * 2}, "something else"), ("", {"instances": []}, "status 422")],
)
def test_what_must_not_be_promised(
    fault: str, request_: object, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """An answer that is none, or another one the second time, is shown and not written."""
    file = tmp_path / "one.json"
    file.write_text(json.dumps(request_), encoding="utf-8")
    with listening(Service(fault)) as target:
        assert _record(tmp_path, target.url, file, "--yes") == 0
    assert said in capsys.readouterr().out
    assert not (tmp_path / "tests").exists()


def test_nobody_confirms(rows: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Without a terminal and without --yes nothing is asked of anybody."""
    monkeypatch.setattr("sys.stdin", io.StringIO())
    assert _record(rows.parent, "http://127.0.0.1:1", rows) == 2
    assert "--yes" in capsys.readouterr().out


@pytest.mark.parametrize(("answer", "written"), [("n", 0), ("", 0), ("y", 2), ("YES", 2)])
def test_the_user_decides(answer: str, written: int, rows: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The examples are shown, and written only after a yes."""
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    monkeypatch.setattr("builtins.input", lambda _: answer)
    with listening(Service()) as target:
        assert _record(rows.parent, target.url, rows) == 0
    assert len(list(rows.parent.glob("tests/contract/*.json"))) == written


@pytest.mark.parametrize(("name", "text"), [("a.json", "{"), ("a.jsonl", "1\n{"), ("a.txt", "1"), ("gone.json", None)])
def test_rows_that_cannot_be_read(
    name: str, text: str | None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A file that holds no requests: 2, with its name and what is expected."""
    if text is not None:
        (tmp_path / name).write_text(text, encoding="utf-8")
    with listening(Service()) as target:
        assert _record(tmp_path, target.url, tmp_path / name, "--yes") == 2
    out = capsys.readouterr().out
    assert name in out
    assert ".jsonl (one request a line)" in out
