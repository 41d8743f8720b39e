"""The fixture dataset: its hash and its schema."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
from pathlib import Path
from typing import Any

import builders
import pytest

from harness.datasets.tables import read
from harness.datasets.violations import lines_of
from harness.errors import DescriptionError
from harness.evidence.records import Data, FileHash, Violation, digest_of
from harness.evidence.run_folder import RunFolder
from harness.runner.stages.data import MAX_VIOLATIONS, collect, hash_files

SCHEMA = """\
schema_type: dataframe
version: 0.35.0
columns:
  sex:
    dtype: str
    checks: {isin: [female, male]}
  mass:
    dtype: float64
    nullable: true
    checks: {greater_than_or_equal_to: 10}
index: null
coerce: true
strict: true
"""
GOOD = "sex,mass\nfemale,20\nmale,\n"


def _collect(
    root: Path,
    files: dict[str, str],
    path: str = "data",
    schema: str | None = SCHEMA,
    folder: RunFolder | None = None,
) -> Data:
    builders.write_files(root, {**files, **({"schema.yaml": schema} if schema is not None else {})})
    block: dict[str, Any] = {"data": {"path": path, "schema": "schema.yaml"}}
    return collect(builders.spec(block, root=root), folder)


def test_hash_of_a_folder_is_that_of_sha256sum(tmp_path: Path) -> None:
    """The hash is that of `sha256sum` over all files, sorted by path: anybody can check it by hand."""
    builders.write_files(tmp_path, {"b.csv": "b", "a/z.csv": "z", "a.csv": "", "B.csv": "x", "a-b.csv": "y"})
    files = hash_files(tmp_path)
    names = ["B.csv", "a-b.csv", "a.csv", "a/z.csv", "b.csv"]
    assert [file.path for file in files] == names
    program = ["sha256sum", *names]
    lines = subprocess.run(program, cwd=tmp_path, capture_output=True, check=True).stdout
    assert digest_of(files) == hashlib.sha256(lines).hexdigest()
    assert [file.size for file in files] == [1, 1, 0, 1, 1]


def test_hash_of_one_file(tmp_path: Path) -> None:
    """One file is hashed under its own name."""
    (tmp_path / "a.csv").write_bytes(b"x")
    assert hash_files(tmp_path / "a.csv") == (FileHash("a.csv", 1, hashlib.sha256(b"x").hexdigest()),)


def test_hash_depends_on_names_and_contents_only(tmp_path: Path) -> None:
    """Times and permissions do not change the hash; a name does."""
    builders.write_files(tmp_path, {"one/a.csv": "x", "two/a.csv": "x", "three/b.csv": "x"})
    (tmp_path / "two/a.csv").chmod(0o600)
    os.utime(tmp_path / "two/a.csv", (0, 0))
    one, two, three = (digest_of(hash_files(tmp_path / name)) for name in ("one", "two", "three"))
    assert one == two != three


def test_name_that_is_no_utf8(tmp_path: Path) -> None:
    """A file name in another encoding is hashed, not a crash."""
    Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff.csv")).write_bytes(b"x")
    assert len(digest_of(hash_files(tmp_path))) == 64


def test_good_data(tmp_path: Path) -> None:
    """Data that satisfies the schema has no violation, and its rows are counted."""
    data = _collect(tmp_path, {"data/a.csv": GOOD, "data/README.md": "x", "data/b.csv": GOOD})
    assert (data.tables, data.rows, data.violation_count) == (("a.csv", "b.csv"), 4, 0)
    assert data.path == "data"
    assert len(data.files) == 3


def test_one_table(tmp_path: Path) -> None:
    """`data.path` may be one file."""
    data = _collect(tmp_path, {"a.csv": GOOD}, path="a.csv")
    assert (data.tables, data.rows) == (("a.csv",), 2)


def test_violations_name_row_and_column(tmp_path: Path) -> None:
    """A violation names the file, the column, the row, the value and the rule."""
    data = _collect(tmp_path, {"data/a.csv": "sex,mass\nfemale,20\nother,5\n"})
    assert data.violation_count == 2
    found = {(v.file, v.column, v.row, v.value) for v in data.violations}
    assert found == {("a.csv", "sex", 1, "other"), ("a.csv", "mass", 1, "5.0")}
    assert any("isin" in violation.check for violation in data.violations)


def test_missing_value(tmp_path: Path) -> None:
    """A missing value where none may be is a violation of its row."""
    data = _collect(tmp_path, {"data/a.csv": "sex,mass\n,20\nmale,20\n"})
    assert {(violation.column, violation.row) for violation in data.violations} == {("sex", 0)}


def test_missing_column(tmp_path: Path) -> None:
    """A missing column is a violation of the whole table."""
    data = _collect(tmp_path, {"data/a.csv": "sex\nmale\n"})
    assert data.violations == (Violation("a.csv", "mass", None, "mass", "column_in_dataframe"),)


def test_surplus_column(tmp_path: Path) -> None:
    """A surplus column is a violation where the schema is strict."""
    data = _collect(tmp_path, {"data/a.csv": "sex,mass,age\nmale,20,3\n"})
    assert [(violation.column, violation.row) for violation in data.violations] == [("age", None)]


def test_wrong_type(tmp_path: Path) -> None:
    """A value that is no number is a violation, not a crash."""
    data = _collect(tmp_path, {"data/a.csv": "sex,mass\nmale,heavy\nmale,20\n"})
    assert any(violation.column == "mass" and violation.row == 0 for violation in data.violations)


def test_many_violations_are_counted(tmp_path: Path) -> None:
    """The record keeps some violations and the number of all; the run folder has all of them, with their lines."""
    folder = RunFolder(tmp_path / "run")
    data = _collect(tmp_path, {"data/a.csv": "sex,mass\n" + "male,5\n" * 200}, folder=folder)
    assert (len(data.violations), data.violation_count, data.violations_listed) == (MAX_VIOLATIONS, 200, 200)
    found = [json.loads(line) for line in (folder.path / "violations.ndjson").read_text().splitlines()]
    assert [(v["file"], v["line"], v["column"], v["value"]) for v in found] == [
        ("a.csv", number, "mass", "5.0") for number in range(2, 202)
    ]
    assert found[0]["check"] == data.violations[0].check


def test_far_too_many_violations(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond a stated limit the file ends; the number stays whole."""
    monkeypatch.setattr("harness.runner.stages.data.MAX_LISTED", 3)
    data = _collect(tmp_path, {"data/a.csv": "sex,mass\n" + "male,5\n" * 9}, folder=RunFolder(tmp_path / "run"))
    assert (data.violation_count, data.violations_listed) == (9, 3)


def test_good_data_leaves_no_list(tmp_path: Path) -> None:
    """Without a violation there is no file of them."""
    _collect(tmp_path, {"data/a.csv": GOOD}, folder=RunFolder(tmp_path / "run"))
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("name", "text", "rows", "lines"),
    [
        ("a.csv", 'x,y\n1,2\n"two\nlines",3\n\n5,6\n', 3, [2, 3, 6]),
        ("a.csv", "\ufeffx\r\n1\r\n\r\n2\r\n", 2, [2, 4]),
        ("a.csv", "x,y\n1,2\n", 2, []),
        ("a.jsonl", '{"x": 1}\n\n{"x": 2}\n', 2, [1, 3]),
    ],
)
def test_the_lines_of_rows(name: str, text: str, rows: int, lines: list[int], tmp_path: Path) -> None:
    """A row is named by the line on which it begins; where rows cannot be told apart there is no line."""
    (tmp_path / name).write_text(text, encoding="utf-8", newline="")
    assert list(lines_of(tmp_path / name, rows)) == lines
    if lines:
        assert len(read(tmp_path / name)) == rows, "pandas counts other rows"


def test_json_lines(tmp_path: Path) -> None:
    """JSON lines are a table too."""
    data = _collect(tmp_path, {"data/a.jsonl": '{"sex": "male", "mass": 20}\n{"sex": "it", "mass": 20}\n'})
    assert (data.tables, data.rows) == (("a.jsonl",), 2)
    assert [(v.column, v.row, v.value) for v in data.violations] == [("sex", 1, "it")]


def test_without_a_schema(tmp_path: Path) -> None:
    """Without a schema the tables are listed and not read: a broken one does not matter."""
    builders.write_files(tmp_path, {"data/a.csv": 'a\n"x'})
    data = collect(builders.spec({"data": {"path": "data", "schema": None}}, root=tmp_path))
    assert (data.tables, data.violation_count) == (("a.csv",), 0)


@pytest.mark.parametrize("schema", ["", "a: 1", "[", "columns: 5", "columns: {a: {dtype: nonsense}}", None])
def test_schema_that_cannot_be_read(tmp_path: Path, schema: str | None) -> None:
    """A schema that is missing, no YAML or no pandera schema is a wrong description."""
    with pytest.raises(DescriptionError, match=r"data\.schema.*schema\.yaml is no pandera schema"):
        _collect(tmp_path, {"data/a.csv": GOOD}, schema=schema)


@pytest.mark.parametrize(
    ("name", "text"), [("a.csv", ""), ("a.csv", 'sex,mass\n"x'), ("a.jsonl", "{"), ("a.parquet", "no parquet")]
)
def test_table_that_cannot_be_read(tmp_path: Path, name: str, text: str) -> None:
    """A broken table is named; it is never taken for an empty one."""
    with pytest.raises(DescriptionError, match=f"the table {name} cannot be read"):
        _collect(tmp_path, {f"data/{name}": text})


def test_empty_folder(tmp_path: Path) -> None:
    """A folder without a file has no tables; the check says so."""
    (tmp_path / "data").mkdir()
    assert _collect(tmp_path, {}).tables == ()


def test_reference_dataset() -> None:
    """The penguins satisfy their schema."""
    block = {"data": {"path": "tests/fixtures/penguins", "schema": "tests/fixtures/penguins.schema.yaml"}}
    data = collect(builders.spec(block, root=builders.REPO))
    assert (data.rows, data.violation_count) == (344, 0)
