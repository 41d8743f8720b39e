"""`harness data schema` and `harness data sample`."""

from __future__ import annotations

import argparse
import csv
import hashlib
import io
import json
from collections import Counter
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import builders
import pandas as pd
import pytest

from harness.cli import data as data_cli
from harness.datasets import sample, tables
from harness.datasets.infer import infer
from harness.errors import DescriptionError
from harness.evidence.records import Data
from harness.runner.stages.data import collect

PENGUINS = builders.REPO / "tests/fixtures/penguins/train.csv"
needs_parquet = pytest.mark.skipif(find_spec("pyarrow") is None, reason="pyarrow is not installed")


def _run(*argv: object) -> int:
    parser = argparse.ArgumentParser()
    data_cli.register(parser.add_subparsers(required=True))
    arguments = parser.parse_args(["data", *map(str, argv)])
    code: int = arguments.verb(arguments)
    return code


def _validated(root: Path, schema: str, **files: str) -> Data:
    builders.write_files(root, {"schema.yaml": schema, **{f"data/{n.replace('_', '.')}": t for n, t in files.items()}})
    return collect(builders.spec({"data": {"path": "data", "schema": "schema.yaml"}}, root=root))


MIXED = "n,share,word,kind,flag,maybe,empty,constant,big\n" + "".join(
    f"{n},{n / 50},{'w' * n},{'ab'[n % 2]},{n % 3 == 0},{'' if n % 4 else n % 3 == 0},,7,{n * 10**12}\n"
    for n in range(50)
)


@pytest.mark.parametrize(
    "text", [PENGUINS.read_text(), MIXED, "a\n1\n", "a\n1.5\n", "a,b\n,x\n-3,y\n", "a\ninf\n1.5\n"]
)
def test_schema_accepts_its_own_file(tmp_path: Path, text: str) -> None:
    """The inferred schema holds for the file that it was inferred from, as `data.schema` reads it."""
    (tmp_path / "a.csv").write_text(text)
    assert _run("schema", tmp_path / "a.csv", "--out", tmp_path / "made.yaml") == 0
    data = _validated(tmp_path, (tmp_path / "made.yaml").read_text(), a_csv=text)
    assert (data.violations, data.rows > 0) == ((), True)


def test_schema_of_json_lines(tmp_path: Path) -> None:
    """JSON lines with nested and missing values too."""
    text = '{"a": 1, "b": [1], "c": "x", "d": true}\n{"a": null, "b": [2], "c": null, "d": false}\n'
    (tmp_path / "a.jsonl").write_text(text)
    schema = infer(tables.read(tmp_path / "a.jsonl"), "a.jsonl")
    assert _validated(tmp_path, schema, a_jsonl=text).violations == ()


@pytest.mark.parametrize(
    ("spoilt", "column", "value"),
    [
        ("Adelie,Torgersen,39.1,18.7,181,37500,male,2007", "body_mass_g", "37500.0"),
        ("Adelie,Torgersen,39.1,18.7,181,3750,other,2007", "sex", "other"),
        (",Torgersen,39.1,18.7,181,3750,male,2007", "species", "nan"),
        ("Adelie,Torgersen,-39.1,18.7,181,3750,male,2007", "bill_length_mm", "-39.1"),
    ],
)
def test_schema_refuses_other_data(tmp_path: Path, spoilt: str, column: str, value: str) -> None:
    """The inferred schema is used by `data.schema`, and refuses what was never seen: row, column, value."""
    text = PENGUINS.read_text()
    schema = infer(tables.read(PENGUINS), "train.csv")
    data = _validated(tmp_path, schema, a_csv=f"{text}{spoilt}\n")
    assert {(v.file, v.row, v.column, v.value) for v in data.violations} == {("a.csv", 275, column, value)}


def test_schema_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    """Without --out the schema is printed."""
    assert _run("schema", PENGUINS) == 0
    assert "isin:\n      - Adelie" in capsys.readouterr().out


@pytest.mark.parametrize(("name", "text", "said"), [("a.csv", "a,b\n", "no rows"), ("a.txt", "x", "ending in .csv")])
def test_no_schema_of_nothing(tmp_path: Path, name: str, text: str, said: str) -> None:
    """An empty table and an unknown format are refused."""
    (tmp_path / name).write_text(text)
    with pytest.raises(DescriptionError, match=said):
        _run("schema", tmp_path / name)


def test_parquet_needs_pyarrow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where pyarrow is missing, the message says so, and what to do."""
    monkeypatch.setattr(tables, "find_spec", lambda _: None)
    with pytest.raises(DescriptionError, match="Parquet needs pyarrow, which is not installed") as caught:
        tables.read(tmp_path / "a.parquet")
    assert "pip install pyarrow" in caught.value.hint


@needs_parquet
def test_parquet(tmp_path: Path) -> None:
    """Parquet is inferred, held against the schema and sampled as CSV is."""
    frame = tables.read(PENGUINS)
    frame.to_parquet(tmp_path / "big.parquet")
    schema = infer(tables.read(tmp_path / "big.parquet"), "big.parquet")
    (tmp_path / "data").mkdir()
    assert _run("sample", tmp_path / "big.parquet", "--rows", 30, "--out", tmp_path / "data/a.parquet",
                "--target", "species") == 0  # fmt: skip
    data = _validated(tmp_path, schema)
    assert (data.rows, data.violations) == (30, ())
    drawn = json.loads((tmp_path / "data/a.parquet.provenance.json").read_text())
    assert drawn["source"]["sha256"] == hashlib.sha256((tmp_path / "big.parquet").read_bytes()).hexdigest()
    bad = pd.concat([frame, frame.head(1).assign(sex="other")], ignore_index=True)
    bad.to_parquet(tmp_path / "data/a.parquet")
    data = _validated(tmp_path, schema)
    assert [(v.row, v.column, v.value) for v in data.violations] == [(275, "sex", "other")]
    frame.assign(sex="ghp_" + "a1B2" * 9).to_parquet(tmp_path / "data/a.parquet")
    found = _validated(tmp_path, schema).secrets
    assert found is not None
    assert (found.keys, found.unread, found.found[0].line) == (275, (), 2)


def _source(root: Path, rows: int = 5000) -> Path:
    """A table of two frequent classes, one of three rows, and one single row that lacks a value."""
    lines = ["x,note,kind"] + [f'{n},"a, ""quoted""\nnote {n}",{"ab"[n % 3 == 0]}' for n in range(rows)]
    for n in (100, 2000, 4000):
        lines[n] = lines[n][:-1] + "rare"
    lines[3001] = "3000,,a"
    path = root / "big.csv"
    path.write_text("\n".join(lines) + "\n")
    return path


def test_sample_is_stratified_and_keeps_what_is_rare(tmp_path: Path) -> None:
    """Classes keep their share, rare classes two rows, and the one row that lacks a value is kept."""
    source, out = _source(tmp_path), tmp_path / "data/small.csv"
    assert _run("sample", source, "--rows", 90, "--out", out, "--target", "kind") == 0
    rows = list(csv.DictReader(io.StringIO(out.read_text(), newline="")))
    counts = Counter(row["kind"] for row in rows)
    assert counts["rare"] == 2
    assert abs(counts["a"] - 59) <= 1
    assert len(rows) == 90
    assert [row["x"] for row in rows if not row["note"]] == ["3000"]
    assert [int(row["x"]) for row in rows] == sorted(int(row["x"]) for row in rows)
    assert all(row["note"] in ("", f'a, "quoted"\nnote {row["x"]}') for row in rows)


def test_sample_is_deterministic_and_says_where_it_is_from(tmp_path: Path) -> None:
    """The same source and seed give the same bytes, another seed others; the provenance names the source."""
    source = _source(tmp_path)
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        _run("sample", source, "--rows", 50, "--out", tmp_path / name / "s.csv", "--target", "kind", "--seed", seed)
    one, same, other = ((tmp_path / name / "s.csv").read_bytes() for name in "abc")
    assert one == same != other
    texts = [(tmp_path / name / "s.csv.provenance.json").read_text() for name in "abc"]
    assert texts[0] == texts[1]
    found = json.loads(texts[0])
    assert found["source"] == {
        "name": "big.csv",
        "sha256": hashlib.sha256(source.read_bytes()).hexdigest(),
        "size": source.stat().st_size,
        "rows": 5000,
    }
    assert found["sha256"] == hashlib.sha256(one).hexdigest()
    assert found["classes"]["rare"] == [3, 2]
    assert found["command"][:4] == ["harness", "data", "sample", "big.csv"]


def test_sample_of_json_lines(tmp_path: Path) -> None:
    """JSON lines stay as they were written."""
    lines = [json.dumps({"x": n, "y": None if n == 777 else n, "kind": "ab"[n % 2]}) for n in range(2000)]
    (tmp_path / "big.jsonl").write_text("\n".join(lines))
    _run("sample", tmp_path / "big.jsonl", "--rows", 20, "--out", tmp_path / "s.jsonl", "--target", "kind")
    kept = (tmp_path / "s.jsonl").read_text().splitlines()
    assert len(kept) == 20
    assert set(kept) <= set(lines)
    assert lines[777] in kept


def test_sample_is_fair() -> None:
    """Every row of a class is as likely as any other: of 100 rows 10 are drawn, 2000 times."""
    drawn: Counter[int] = Counter()
    for seed in range(2000):
        rows = (sample.SampledRow(n, "", (), None) for n in range(100))
        drawn.update(row.number for row in sample.draw(rows, 10, seed).rows)
    assert sum(drawn.values()) == 20_000
    assert max(abs(drawn[n] - 200) for n in range(100)) < 4 * (200 * 0.9) ** 0.5


def test_sample_holds_little(monkeypatch: pytest.MonkeyPatch) -> None:
    """With many classes what is held does not grow with classes times rows; each class keeps its share."""
    held: list[int] = []
    shrink = sample._shrink

    def noted(*given: Any) -> int:
        held.append(shrink(*given))
        return held[-1]

    monkeypatch.setattr(sample, "_shrink", noted)
    drawn = sample.draw((sample.SampledRow(n, str(n % 500), (), None) for n in range(300_000)), 1500, 1)
    assert held
    assert max(held) < 30_000
    assert set(drawn.classes.values()) == {(600, 3)}


def test_small_source_is_kept_whole(tmp_path: Path) -> None:
    """Where there are no more rows than asked for, all are kept."""
    _run("sample", PENGUINS, "--rows", 1000, "--out", tmp_path / "s.csv", "--target", "species")
    assert tables.read(tmp_path / "s.csv").equals(tables.read(PENGUINS))


@pytest.mark.parametrize(
    ("text", "options", "said"),
    [
        ("a,b\n1,2\n1\n", (), r"big\.csv, line 3: expected 2 values, received 1"),
        ("a,b\n", (), "holds no rows"),
        ("a\n1\n", ("--target", "b"), "has no column 'b'"),
        ("a\nx\ny\nz\n", ("--target", "a"), "2 rows cannot hold a row of each of the 3 classes"),
        ("a\n\udcff\n", (), "is no UTF-8"),
        ('a\n"' + "x" * 200_000, (), "field larger than field limit"),
    ],
)
def test_sources_that_are_refused(tmp_path: Path, text: str, options: tuple[str, ...], said: str) -> None:
    """A broken table is named with its line, and leaves no fixture behind."""
    (tmp_path / "big.csv").write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(DescriptionError, match=said):
        _run("sample", tmp_path / "big.csv", "--rows", 2, "--out", tmp_path / "s.csv", *options)
    assert [path.name for path in tmp_path.iterdir()] == ["big.csv"]


def test_out_must_fit(tmp_path: Path) -> None:
    """The fixture has the format of its source, and never replaces it."""
    source = _source(tmp_path)
    for out, said in (("s.jsonl", "in the format of the source"), ("big.csv", "is the source itself")):
        with pytest.raises(DescriptionError, match=said):
            _run("sample", source, "--rows", 2, "--out", tmp_path / out)
    with pytest.raises(DescriptionError, match="cannot be read"):
        _run("sample", tmp_path / "nowhere.csv", "--rows", 2, "--out", tmp_path / "s.csv")
