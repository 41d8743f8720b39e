"""The checks of the dataset's tables: each has a dataset that fails exactly it, and good ones that fail none."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import builders
import datasets
import numpy as np
import pandas as pd
import pytest
from datasets import Rows, files, judged, verdicts
from defects import defect, shows

from harness.datasets import drift, leakage, secret_patterns, secrets, splits, target_leakage
from harness.datasets.classes import is_number
from harness.evidence.records import Status

FAIL, WARN, SKIP = Status.FAIL, Status.WARN, Status.SKIP
HEADER = datasets.HEADER


def _copy_rows(train: Rows, holdout: Rows) -> None:
    train[:8] = holdout[:8]


def _copy_nearly(train: Rows, holdout: Rows) -> None:
    train[:8] = [[f"{float(a):.6f}0", f" {b.upper()}", c] for a, b, c in holdout[:8]]


def _copy_target(train: Rows, holdout: Rows) -> None:
    for row in (*train, *holdout):
        row.insert(0, {"a": "17", "b": "4"}[row[-1]])


def _lose_class(train: Rows, holdout: Rows) -> None:
    train[:] = [row for row in train if row[-1] != "c"]
    holdout[0][-1] = "c"


def _lengthen(train: Rows, holdout: Rows) -> None:
    for row in (*train, *holdout):
        row[0] = f"{float(row[0]) + 2:.4f}"


def _repaint(train: Rows, holdout: Rows) -> None:
    del holdout
    for row in train[:120]:
        row[1] = "red"


def _forget(train: Rows, holdout: Rows) -> None:
    del holdout
    for row in train[:80]:
        row[0] = ""


def _leave_key(train: Rows, holdout: Rows) -> None:
    del holdout
    train[7][1] = "AKIA" + "Q3EGZ7TBLXKW2M5N"


def test_good_dataset(tmp_path: Path) -> None:
    """A good dataset passes every check."""
    found = judged(tmp_path, files())
    assert verdicts(found) == {}
    assert {name for name, fs in found.items() if fs[0].status is SKIP} == {"data.schema", "data.dvc"}


DEFECTS: list[tuple[Callable[[Rows, Rows], None], str, str, str, str]] = [
    (
        _copy_rows,
        HEADER,
        "data.no-leakage",
        "holdout.csv row 0 is train.csv row 0",
        "hold-out rows are in training too",
    ),
    (
        _copy_nearly,
        HEADER,
        "data.no-leakage",
        "holdout.csv row 0 is nearly train.csv row 0",
        "hold-out rows are in training too, written otherwise",
    ),
    (_copy_target, f"code,{HEADER}", "data.no-leakage", "code is a copy of it", "a column is a code for the target"),
    (_lose_class, HEADER, "data.balanced", "only in hold-out: c", "a class is in hold-out only"),
    (_lengthen, HEADER, "data.drift", "", "a number is larger than in the reference"),
    (_repaint, HEADER, "data.drift", "", "a category is more frequent than in the reference"),
    (_forget, HEADER, "data.drift", "missing", "values are missing that the reference has"),
    (_leave_key, HEADER, "data.no-secrets", "train.csv line 9: AWS access key AKIA...", "a cell holds an access key"),
]


@pytest.mark.parametrize(
    ("change", "header", "check", "said"),
    [pytest.param(*d[:4], marks=defect(d[2], d[4], proof="file")) for d in DEFECTS],
)
def test_fails_exactly_one(
    tmp_path: Path, change: Callable[[Rows, Rows], None], header: str, check: str, said: str
) -> None:
    """Each defect is found by the check that is for it, and by no other."""
    found = judged(tmp_path, files(change, header))
    assert [name for name, status in verdicts(found).items() if status is FAIL] == [check]
    assert said in "\n".join(finding.received for finding in found[check])


SCHEMA = """\
schema_type: dataframe
version: 0.35.0
columns:
  colour:
    dtype: str
    checks: {isin: [red, blue, green]}
index: null
coerce: true
strict: false
"""


@defect("data.schema", "a cell holds what its schema rules out", proof="file")
def test_breach_of_the_schema(tmp_path: Path) -> None:
    """A value that the schema rules out fails it alone, and is named with its line."""

    def change(train: Rows, holdout: Rows) -> None:
        del holdout
        train[7][1] = "pink"

    block = {"schema": "schema.yaml", "reference": None}
    assert verdicts(judged(tmp_path, {**files(), "schema.yaml": SCHEMA}, **block)) == {}
    found = judged(tmp_path, {**files(change), "schema.yaml": SCHEMA}, **block)
    assert verdicts(found) == {"data.schema": FAIL}
    assert "train.csv, line 9, column colour: isin(" in found["data.schema"][0].received


@defect("data.balanced", "the target has one class", proof="file")
def test_one_class(tmp_path: Path) -> None:
    """One class is nothing to learn."""

    def change(train: Rows, holdout: Rows) -> None:
        for row in (*train, *holdout):
            row[-1] = "a"

    found = judged(tmp_path, files(change), reference=None)
    assert found["data.balanced"][0].status is FAIL
    assert found["data.balanced"][0].received == "a"


@defect("data.drift", "the reference has other columns", proof="file")
def test_a_reference_of_something_else(tmp_path: Path) -> None:
    """What has no column in common cannot be compared."""
    found = judged(tmp_path, {**files(), "reference.csv": "other\n1\n"})
    assert verdicts(found) == {"data.drift": FAIL}


def test_reference_project_passes() -> None:
    """The penguins neither leak nor lack a class nor hold a secret."""
    found = judged(builders.REPO, {}, path="tests/fixtures/penguins", target="species", reference=None)
    assert verdicts(found) == {}
    assert found["data.balanced"][0].received.startswith("Adelie 122+30, Gentoo 99+25, Chinstrap 54+14")


@pytest.mark.parametrize(
    ("block", "check", "status"),
    [
        ({"target": None}, "data.balanced", SKIP),
        pytest.param({"target": "nothing"}, "data.balanced", FAIL, marks=shows("data.balanced", FAIL, "nothing")),
        pytest.param({"target": "nothing"}, "data.no-leakage", FAIL, marks=shows("data.no-leakage", FAIL, "nothing")),
        ({"target": "length"}, "data.balanced", SKIP),
        ({"reference": None}, "data.drift", SKIP),
        ({"train": "nothing.csv"}, "data.no-leakage", FAIL),
        ({"train": "holdout.csv", "holdout": "train.csv"}, "data.no-leakage", Status.PASS),
    ],
)
def test_what_the_description_says(tmp_path: Path, block: dict[str, Any], check: str, status: Status) -> None:
    """What is not declared is skipped; a column or a table that is declared and is not there fails."""
    assert [finding.status for finding in judged(tmp_path, files(), **block)[check]] == [status]


def test_limits_are_the_projects(tmp_path: Path) -> None:
    """Each threshold can be overridden."""
    limits = {"shared": 0.1, "numbers": 0.9}
    assert verdicts(judged(tmp_path, files(_copy_rows), limits=limits)) == {}
    (tmp_path / "b").mkdir()
    assert verdicts(judged(tmp_path / "b", files(_lengthen), limits=limits)) == {}


@defect("data.balanced", "a class is in training only", proof="file", status="warn")
def test_untested_class_is_a_warning(tmp_path: Path) -> None:
    """A class that only training has is never tested: nobody promised that it is."""

    def change(train: Rows, holdout: Rows) -> None:
        del holdout
        train[0][-1] = "c"

    assert verdicts(judged(tmp_path, files(change), reference=None)) == {"data.balanced": WARN}


@defect("data.drift", "a category that the reference lacks", proof="file", status="warn")
def test_new_category_is_a_warning(tmp_path: Path) -> None:
    """A category that the reference does not have is named; a rare one that the fixture lacks is not."""

    def change(train: Rows, holdout: Rows) -> None:
        del holdout
        train[0][1] = "pink"

    found = judged(tmp_path, files(change))
    assert verdicts(found) == {"data.drift": WARN}
    assert "new: pink" in found["data.drift"][0].received


def test_unreadable_table_without_a_wish(tmp_path: Path) -> None:
    """A table that nobody asked to read is no failure."""
    found = judged(tmp_path, {"data/train.csv": 'a\n"x'}, target=None, reference=None)
    assert verdicts(found) == {}
    assert found["data.no-leakage"][0].status is SKIP


@pytest.mark.parametrize(
    ("tables", "train", "holdout"),
    [
        (("holdout.csv", "train.csv"), ("train.csv",), ("holdout.csv",)),
        (("a_test.csv", "a_train.csv"), ("a_train.csv",), ("a_test.csv",)),
        (("train/1.csv", "train/2.csv", "val/1.csv"), ("train/1.csv", "train/2.csv"), ("val/1.csv",)),
        (("hold-out.jsonl", "penguins.jsonl"), ("penguins.jsonl",), ("hold-out.jsonl",)),
        (("constraint.csv", "latest.csv", "trainees.csv"), ("constraint.csv", "latest.csv", "trainees.csv"), ()),
        (("x_train.csv", "X_Test.csv"), ("x_train.csv",), ("X_Test.csv",)),
    ],
)
def test_tables_are_known_by_name(tables: tuple[str, ...], train: tuple[str, ...], holdout: tuple[str, ...]) -> None:
    """Names say what a table is for, word by word."""
    assert splits.find(tables, None, None) == (train, holdout)


def _frame(name: str = "t", **columns: Any) -> pd.DataFrame:
    return splits.joined({name: pd.DataFrame(columns)})


def test_row_numbers_hide_nothing() -> None:
    """A column that numbers the rows does not hide that the rest is equal."""
    train = _frame(id=range(100), x=np.linspace(0, 1, 100))
    holdout = _frame("h", id=range(100, 120), x=np.linspace(0, 1, 100)[:20])
    found = leakage.shared(train, holdout)
    assert (found.count, found.ignored, found.rows[3].train_row) == (20, ("id",), 3)


def test_neighbours_are_not_near() -> None:
    """A series of times is no leak, although its steps are small against its spread."""
    train, holdout = _frame(t=np.arange(0, 1e5, 2) + 0.5, c="x"), _frame("h", t=np.arange(1, 1e5, 2) + 0.5, c="x")
    assert leakage.shared(train, holdout).count == 0
    whole = leakage.shared(_frame(t=range(0, 10**5, 2)), _frame("h", t=range(1, 10**5, 2)))
    assert whole.count == 0


@pytest.mark.filterwarnings("error")
def test_odd_numbers() -> None:
    """Constant columns, infinite values and empty columns are compared as they are."""
    train = _frame(a=[0.5, 0.5], b=[1.5, np.inf], c=[np.nan, np.nan], d=[1, np.inf])
    assert leakage.shared(train, train).count == 2
    assert leakage.shared(train, _frame("h", a=[0.5], b=[-np.inf], c=[np.nan], d=[np.inf])).count == 0


def test_shared_rows_with_missing_values_and_other_types() -> None:
    """A missing value equals a missing one; whole numbers are the same as 1 and as 1.0."""
    train = _frame(n=[1, 2, 3], x=[0.5, np.nan, 0.25], s=["a", "b", None])
    holdout = _frame("h", n=[2.0, np.nan, 3.0], x=[np.nan, 0.5, 0.25], s=["B ", "a", None])
    found = leakage.shared(train, holdout)
    assert (found.count, [(pair.holdout_row, pair.train_row) for pair in found.rows]) == (2, [(0, 1), (2, 2)])


def test_coarse_rows_are_equal_by_chance(tmp_path: Path) -> None:
    """Rows of few values are equal without a leak; a copied half is one all the same, repeated rows or not."""

    def coarse(train: Rows, holdout: Rows) -> None:
        for row in (*train, *holdout):
            row[0] = "1"

    assert verdicts(judged(tmp_path / "a", files(coarse), reference=None)) == {}
    names = list("abcdefghij")
    draw = np.random.default_rng(3)
    rows = pd.DataFrame({name: draw.integers(0, 5, 300) for name in names} | {"kind": draw.choice(["x", "y"], 300)})
    whole = pd.concat([rows] * 3).sample(frac=1, random_state=1)
    texts = {"data/train.csv": whole[:700].to_csv(index=False), "data/test.csv": whole[700:].to_csv(index=False)}
    found = judged(tmp_path / "b", texts, reference=None)
    assert verdicts(found) == {"data.no-leakage": FAIL}
    assert "are in training more than once" in found["data.no-leakage"][0].received


def test_labels_in_a_file_of_their_own(tmp_path: Path) -> None:
    """A table of labels beside one of features is no row of it, and nested values are compared as text."""
    draw = np.random.default_rng(3)
    texts = {}
    for name in ("train", "test"):
        table = pd.DataFrame({"x": draw.normal(size=60), "tags": [[n, name] for n in range(60)]})
        texts[f"data/{name}.jsonl"] = table.to_json(orient="records", lines=True)
        texts[f"data/{name}_labels.csv"] = "kind\n" + "a\nb\n" * 30
    found = judged(tmp_path, texts, reference=None, target=None)
    assert verdicts(found) == {}
    assert found["data.no-leakage"][0].received.startswith("0 of 60")


def test_large_tables_are_not_read_unasked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tables of which the description asks nothing are read only where they are small."""
    monkeypatch.setattr("harness.runner.stages.data.MAX_UNASKED", 100)
    found = judged(tmp_path, files(), reference=None, target=None)
    assert found["data.no-leakage"][0].status is SKIP
    assert verdicts(found) == {}


def _two(column: Any, target: Any) -> tuple[pd.DataFrame, pd.DataFrame]:
    whole = pd.DataFrame({"x": column, "other": 1, "y": target})
    return whole.iloc[::2], whole.iloc[1::2]


def test_what_tells_a_class() -> None:
    """A copy under other names, a threshold and a missing value tell; names of rows and noise do not."""
    draw = np.random.default_rng(1)
    target = draw.choice(["a", "b", "c"], 400)
    codes = pd.Series(target).map({"a": 2, "b": 0, "c": 1})

    def tells(column: Any) -> list[bool]:
        return [t.is_copy for t in target_leakage.telling(*_two(column, target), "y", 0.99)]

    assert tells(codes) == tells(codes.astype(str)) == [True]
    assert tells(codes + draw.uniform(0, 0.5, 400)) == [False]
    assert tells(codes.map({2: "x", 0: "y", 1: None})) == [True]
    assert tells([f"name {n}" for n in range(400)]) == tells(range(400)) == tells(draw.normal(size=400)) == []


def test_what_tells_a_number() -> None:
    """A straight line is a copy, a curve tells too, noise does not."""
    draw = np.random.default_rng(1)
    target = draw.normal(size=400)
    found = {
        name: [t.is_copy for t in target_leakage.telling(*_two(column, target), "y", 0.99)]
        for name, column in {"line": 3 - 2 * target, "curve": np.exp(target), "noise": draw.normal(size=400)}.items()
    }
    assert found == {"line": [True], "curve": [False], "noise": []}


def test_rare_class_tells_nothing() -> None:
    """Where 99.5 % are one class, a score of 99.5 % is no skill."""
    target = ["a"] * 398 + ["b"] * 2
    assert target_leakage.telling(*_two(np.random.default_rng(1).normal(size=400), target), "y", 0.99) == []


def test_easy_problem_is_a_warning(tmp_path: Path) -> None:
    """Two separate clouds are an easy problem, no copy: a warning, and a failure where the project says so."""

    def change(train: Rows, holdout: Rows) -> None:
        for row in (*train, *holdout):
            row[0] = f"{float(row[0]) + (90 if row[-1] == 'a' else 0):.4f}"

    assert verdicts(judged(tmp_path, files(change), reference=None)) == {"data.no-leakage": WARN}
    strict = judged(tmp_path, files(change), reference=None, limits={"tells": 0.95})
    assert verdicts(strict) == {"data.no-leakage": FAIL}


@pytest.mark.parametrize(
    ("values", "number"), [([0, 1] * 50, False), (["a"] * 9, False), (range(100), True), ([0.5, 1.5, 2.5] * 9, True)]
)
def test_what_is_a_number_to_predict(values: Any, *, number: bool) -> None:
    """A few whole numbers are classes; fractions and many values are a quantity."""
    assert is_number(pd.Series(values)) is number


def test_small_samples_do_not_drift() -> None:
    """Of 300 pairs of samples from one distribution, small and large, hardly any exceeds the limits."""
    draw = np.random.default_rng(5)
    over = 0
    for n in (20, 50, 200) * 100:
        reference = pd.DataFrame({"x": draw.normal(size=2000), "c": draw.choice(list("abcde"), 2000)})
        frame = pd.DataFrame({"x": draw.normal(size=n), "c": draw.choice(list("abcde"), n)})
        over += any(d.distance - d.noise > 0.1 for d in drift.drift(reference, frame))
    assert over == 0


def test_divergence_is_that_of_the_definition() -> None:
    """Disjoint samples are 1 bit apart, equal ones 0; frequencies 0.5/0.5 and 0.9/0.1 are 0.4 apart."""
    (far,) = drift.drift(pd.DataFrame({"x": range(1000)}), pd.DataFrame({"x": range(5000, 6000)}))
    (same,) = drift.drift(pd.DataFrame({"x": range(1000)}), pd.DataFrame({"x": range(1000)}))
    assert far.measure == "Jensen-Shannon"
    assert far.distance == pytest.approx(0.758, abs=0.01)  # the reference spreads over ten bins, the other is in one
    assert same.distance == 0
    (categories,) = drift.drift(pd.DataFrame({"c": [*"ab"] * 50}), pd.DataFrame({"c": [*"a" * 90, *"b" * 10]}))
    assert categories.measure == "L-infinity"
    assert categories.distance == pytest.approx(0.4)


SECRETS = {
    "private key": "-----BEGIN RSA " + "PRIVATE KEY-----",
    "AWS access key": "AKIA" + "Q3EGZ7TBLXKW2M5N",
    "GitHub token": "ghp_" + "a1B2" * 9,
    "GitLab token": "glpat-" + "a1B2" * 5,
    "Google API key": "AIza" + "a1B2x" * 7,
    "Slack token": "xoxb-" + "123456789012-" + "a1B2" * 6,
    "Stripe key": "sk_" + "live_" + "a1B2" * 6,
    "Hugging Face token": "hf_" + "aB" * 17,
    "npm token": "npm_" + "a1B2" * 9,
    "JSON web token": "eyJ" + "hbGciOiJIUzI1NiJ9" + ".eyJ" + "zdWIiOiIxMjM0In0" + "." + "a1B2" * 8,
    "password in a URL": "postgres://" + "admin:hunter22" + "@db.corp.io/x",
}


@pytest.mark.parametrize("kind", SECRETS)
def test_keys_are_found_and_hidden(tmp_path: Path, kind: str) -> None:
    """A key is found with its line wherever it stands, and never printed whole."""
    text = "a,b\n1,2\n" * 5000 + f'x,"{SECRETS[kind]}"\n' + "3,4\n" * 50000
    (tmp_path / "a.csv").write_text(text)
    found = secrets.scan(tmp_path, ("a.csv",))
    assert [(s.kind, s.line, s.is_key) for s in found.found] == [(kind, 10001, True)]
    assert SECRETS[kind] not in found.found[0].shown
    assert len(found.found[0].shown.split("...")[0]) <= 4


def test_key_in_a_line_without_end(tmp_path: Path) -> None:
    """A key across the border of two blocks of one endless line is found, once."""
    key = SECRETS["AWS access key"]
    for place in range(2 * secrets.BLOCK - 25, 2 * secrets.BLOCK + 5):
        (tmp_path / "a.json").write_text(" " * place + key + " " * 1000)
        assert secrets.scan(tmp_path, ("a.json",)).count == 1


CARDS = ("4539578763621486", "5425233430109903", "4916338506082832", "374245455400126")


def _secrets_of(tmp_path: Path, text: str, name: str = "a.csv") -> list[str]:
    (tmp_path / name).write_text(text)
    return [secret.kind for secret in secrets.scan(tmp_path, (name,)).found]


def test_personal_data(tmp_path: Path) -> None:
    """Addresses and card numbers are found: written in groups, or as a column."""
    assert all(secret_patterns.is_card(card) for card in CARDS)
    assert _secrets_of(tmp_path, "name\njo.doe@corp.io\n") == ["e-mail address"]
    assert _secrets_of(tmp_path, "n,card\n" + "".join(f"x,{card}\n" for card in CARDS)) == ["card number"] * 4
    lines = "".join(f'{{"card": "{card}"}}\n' for card in CARDS)
    assert _secrets_of(tmp_path, lines, "a.jsonl") == ["card number"] * 4
    assert _secrets_of(tmp_path, "note\npaid with 4539 5787 6362 1486 today\n") == ["card number"]


@pytest.mark.parametrize(
    "text",
    [
        "mail\nsomebody@example.com\na@b.test\n@home\nuser@host\n",
        "key\nAKIAIOSFODNN7EXAMPLE\nsk-learn\nhf_token\nghp_short\n",
        "card\n4111111111111111\n4242 4242 4242 4242\n",
        "t\n1700000000000\n1700000000123\n",
        "url\nhttps://corp.io/a:b\nhttp://127.0.0.1:8080/x@y\npostgres://user:${PASSWORD}@db\n",
        "x\n4.539578763621486\n-4539578763621486\n0.4539578763621486\n",
        "phone\n+49 30 1234567\n555-0100-2000\n",
    ],
)
def test_no_false_alarm(tmp_path: Path, text: str) -> None:
    """What only looks like a secret is none."""
    assert _secrets_of(tmp_path, text) == []


def test_no_false_alarm_on_numbers(tmp_path: Path) -> None:
    """Tables of numbers of every length, times, identifiers and random bytes hold no secret."""
    draw = random.Random(7)  # noqa: S311
    lines = [
        f"{draw.randint(4 * 10**15, 6 * 10**15)},{draw.randrange(10**13)},{draw.gauss(0, 1)},{1e16 * draw.random():.3f}"
        f",{draw.randrange(3 * 10**14, 4 * 10**14)},{draw.randbytes(20).hex()}"
        for _ in range(20_000)
    ]
    assert _secrets_of(tmp_path, "\n".join(lines)) == []
    spaced = [" ".join(str(draw.randrange(3000, 7000)) for _ in range(draw.choice((4, 5, 8)))) for _ in range(20_000)]
    assert _secrets_of(tmp_path, "\n".join(spaced), "b.txt") == []
    (tmp_path / "c.bin").write_bytes(draw.randbytes(3_000_000))
    assert secrets.scan(tmp_path, ("c.bin",)).found == ()


def test_what_was_not_read_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A compressed file, and what is beyond the limit of a long one, count as not read."""
    monkeypatch.setattr(secrets, "MAX_BYTES", 100_000)
    builders.write_files(tmp_path, {"a.csv": "1,2\n" * 100_000, "b.csv.gz": "x", "c.csv": "1\n"})
    found = secrets.scan(tmp_path, ("a.csv", "b.csv.gz", "c.csv"))
    assert found.unread == ("a.csv beyond 0 MiB", "b.csv.gz")
    verdict = judged(tmp_path / "p", {**files(), "data/x.zip": "x"})
    assert verdicts(verdict) == {"data.no-secrets": WARN}
