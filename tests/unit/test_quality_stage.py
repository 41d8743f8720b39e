"""From a hold-out file over a served model to a verdict: rows, answers, the committed baseline, simpler models."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import builders
import pytest
from defects import defect
from service import RefusedError, Service, listening

from harness.checks import all_checks
from harness.checks.judge import judge
from harness.client.protocols import OPENAPI, PLAIN
from harness.client.request_generators import holdout
from harness.config.blocks import Block
from harness.config.quality import QualityBlock
from harness.config.spec import Spec
from harness.datasets.row_file import read_rows
from harness.errors import DescriptionError
from harness.evidence.records import Finding, Quality, Status
from harness.evidence.records.scored import BASELINE, DUMMY, LINEAR, NEW, Prediction
from harness.evidence.run_folder import RunFolder
from harness.project.compose_file import Places
from harness.project.description import load, parse_block
from harness.project.holdout_file import completed
from harness.runner.baseline_cache import BaselineCache, Question
from harness.runner.stages import Recording
from harness.runner.stages.quality import PREDICTIONS, collect, warm
from harness.statistics.dummy_models import MAX_ROWS, predicted

PASS, WARN, FAIL, SKIP = Status.PASS, Status.WARN, Status.FAIL, Status.SKIP
NOWHERE = Places(())
ISLANDS = ("Biscoe", "Dream")


class Classifier(Service):
    """Says whether a row is long, with probabilities; as many rows at once as it is told to bear."""

    def __init__(self, limit: int = 100, turn: int = 0) -> None:
        super().__init__()
        self.limit = limit
        self.turn = turn  # from this length on it is wrong
        self.asked = 0

    def _predict(self, rows: list[dict[str, Any]], body: bytes) -> Any:  # noqa: ARG002 - as in Service
        self.asked += 1
        if len(rows) > self.limit:
            raise RefusedError(422, "too many rows")
        return {"predictions": [self._one(row["length"]) for row in rows], "model": "v1"}

    def _one(self, length: float) -> dict[str, Any]:
        kind = "long" if (length >= 50) != bool(self.turn and length >= self.turn) else "short"
        other = {"long": "short", "short": "long"}[kind]
        return {"kind": kind, "probabilities": {kind: 0.9, other: 0.1}}


BOTH = ("quality.gate", "quality.slices")


def _csv(lengths: Sequence[int], label: str = "kind") -> str:
    rows = [f"{length},{ISLANDS[length % 2]},{'long' if length >= 50 else 'short'}" for length in lengths]
    return "\n".join((f"length,island,{label}", *rows)) + "\n"


def _project(root: Path, *conditions: str, **block: Any) -> tuple[Spec, QualityBlock]:
    """A project whose model is judged on 90 rows and could learn from 50 others."""
    files = {"data/holdout.csv": _csv(range(5, 95)), "data/train.csv": _csv(range(0, 100, 2))}
    builders.write_files(root, {name: text for name, text in files.items() if not (root / name).exists()})
    quality = {"conditions": list(conditions or ["accuracy >= 0.9"]), **block}
    raw = builders.merged(builders.BLOCK, {"data": {"path": "data", "target": "kind"}}) | {"quality": quality}
    whole = completed(root, parse_block(raw), NOWHERE)
    assert whole.quality is not None
    return replace(builders.spec(), root=root, block=whole), whole.quality


def _collected(root: Path, service: Service, *conditions: str, **block: Any) -> tuple[Quality, list[Finding]]:
    """Record and judge; the record is read back from the run folder."""
    spec, quality = _project(root, *conditions, **block)
    folder = RunFolder.create(root)
    folder.write("spec", spec)
    with listening(service) as target:
        run = Recording(spec=spec, folder=folder, say=lambda *_: None)
        folder.write("quality", collect(run, target, builders.INTERFACE, quality))
    evidence = folder.load()
    assert evidence.quality is not None
    checks = [check for check in all_checks() if check.name.startswith("quality.")]
    return evidence.quality, list(judge(evidence, checks))


def _status(findings: Sequence[Finding], check: str) -> list[Status]:
    return [finding.status for finding in findings if finding.check == check]


def test_a_good_model(tmp_path: Path) -> None:
    """The rows go out in batches; every condition holds; the evidence has metrics of each class and calibration."""
    service = Classifier()
    conditions = ("accuracy >= 0.9", "accuracy[island=Dream] >= 0.9", "f1[long] >= 0.9", "log_loss <= 0.2")
    quality, findings = _collected(tmp_path, service, *conditions)
    assert {finding.status for finding in findings} == {PASS}, findings
    assert service.asked == 2
    assert len(quality.rows) == 90
    first = quality.rows[0]
    assert (first.number, first.truth, dict(first.columns)) == (1, "short", {"island": "Dream"})
    assert first.predictions[NEW] == Prediction("short", {"short": 0.9, "long": 0.1})
    assert set(first.predictions) == {NEW, DUMMY, LINEAR}
    assert quality.metrics["accuracy"] == 1
    assert quality.metrics["ece"] == pytest.approx(0.1)
    assert {"precision[long]", "recall[short]", "brier"} <= set(quality.metrics)


@defect("quality.gate", "wrong from a length on", proof="server", also=["quality.slices"])
@defect("quality.slices", "wrong from a length on, on one island too", proof="server", also=["quality.gate"])
@defect("quality.beats-baselines", "a linear model does better", proof="server", status="warn", also=BOTH)
def test_a_bad_model(tmp_path: Path) -> None:
    """A model that is wrong from a length on fails the gate, and a linear one does better."""
    _, findings = _collected(tmp_path, Classifier(turn=70), "accuracy >= 0.9", "accuracy[island=Dream] >= 0.9")
    assert _status(findings, "quality.gate") == [FAIL]
    assert _status(findings, "quality.slices") == [FAIL]
    assert _status(findings, "quality.beats-baselines") == [WARN]


def test_a_run_makes_the_next_baseline(tmp_path: Path) -> None:
    """The predictions of one run, committed, are what the next model is held against, on the same rows."""
    _collected(tmp_path, Classifier())
    [kept] = (tmp_path / ".harness" / "runs").glob(f"*/{PREDICTIONS}")
    builders.write_files(tmp_path, {"tests/baseline.jsonl": kept.read_text(encoding="utf-8")})
    condition = "new - baseline > -0.05 +/- 0.05 @ 0.95"
    again, findings = _collected(tmp_path, Classifier(), condition, baseline="tests/baseline.jsonl")
    assert _status(findings, "quality.gate") == [PASS]
    assert again.rows[0].predictions[BASELINE] == again.rows[0].predictions[NEW]
    _, worse = _collected(tmp_path, Classifier(turn=70), condition, baseline="tests/baseline.jsonl")
    assert _status(worse, "quality.gate") == [FAIL]


def test_hold_out_rows_may_be_added(tmp_path: Path) -> None:
    """The baseline is found by the rows' values; what it lacks is said."""
    _collected(tmp_path, Classifier())
    [kept] = (tmp_path / ".harness" / "runs").glob(f"*/{PREDICTIONS}")
    more = _csv([99, 98, *range(5, 95)])
    builders.write_files(tmp_path, {"b.jsonl": kept.read_text(encoding="utf-8"), "data/holdout.csv": more})
    quality, findings = _collected(tmp_path, Classifier(), "new - baseline > -0.05", baseline="b.jsonl")
    assert quality.baseline_problem == "b.jsonl lacks 2 of 92 rows"
    assert quality.baseline_metrics["accuracy"] == 1.0
    assert _status(findings, "quality.gate") == [PASS]
    assert "on 90 rows" in findings[0].received


@pytest.mark.parametrize("text", ["{", '{"row": "x"}', '{"row": "x", "prediction": NaN}', "[]"])
def test_broken_baseline(tmp_path: Path, text: str) -> None:
    """A file that holds no predictions is named, with the line."""
    builders.write_files(tmp_path, {"b.jsonl": text})
    quality, findings = _collected(tmp_path, Classifier(), "new - baseline > -0.05", baseline="b.jsonl")
    assert quality.baseline_problem.startswith("b.jsonl: ")
    assert _status(findings, "quality.gate") == [WARN]


def test_a_service_that_bears_few_rows(tmp_path: Path) -> None:
    """Where a batch is refused, its rows go out one by one."""
    service = Classifier(limit=1)
    _, findings = _collected(tmp_path, service)
    assert _status(findings, "quality.gate") == [PASS]
    assert service.asked == 92


@defect("quality.gate", "refuses a row of the hold-out", proof="server")
def test_a_row_that_is_refused(tmp_path: Path) -> None:
    """One bad row spoils no other, and is named."""
    builders.write_files(tmp_path, {"data/holdout.csv": _csv(range(5, 95)) + "60,Nowhere,long\n"})
    quality, findings = _collected(tmp_path, Classifier())
    assert [row.number for row in quality.rows if row.problem] == [91]
    assert quality.rows[90].problem.startswith("status 422: ")
    assert _status(findings, "quality.gate") == [FAIL, PASS]


def test_a_service_that_does_not_answer(tmp_path: Path) -> None:
    """Nothing listens: each row says so, and the gate fails."""
    spec, quality = _project(tmp_path)
    with listening(Service()) as target:
        pass
    run = Recording(spec=spec, folder=RunFolder.create(tmp_path), say=lambda *_: None)
    found = collect(run, target, builders.INTERFACE, quality)
    assert all(row.problem.startswith("no answer: ") for row in found.rows)
    assert found.metrics == {}


def test_a_regression(tmp_path: Path) -> None:
    """Numbers are judged by their errors, and the linear model is one of numbers."""
    rows = [f"{length},{ISLANDS[length % 2]},{length / 6 + (length % 2 == 0)}" for length in range(60)]
    table = "\n".join(("length,island,mass", *rows)) + "\n"
    builders.write_files(tmp_path, {"data/holdout.csv": table, "data/train.csv": table})
    quality, findings = _collected(tmp_path, Service(), "rmse <= 0.1", "r2 >= 0.9", target="mass")
    assert {finding.status for finding in findings} == {PASS, SKIP}, findings
    assert set(quality.metrics) == {"rmse", "mae", "r2"}
    assert quality.metrics["rmse"] == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("length,island\n1,Dream\n", "holdout.csv has no column kind: it has length, island"),
        ("length,kind\n1,long\n", "row 1: expected the column island"),
        ("length,island,kind\n", "the file holds no rows"),
        ("length,island,kind\nx,Dream,long\n", "row 1, length: expected a value like 1.5, received 'x'"),
    ],
)
def test_unusable_rows(tmp_path: Path, text: str, problem: str) -> None:
    """A file that does not fit the API or has no labels fails the gate with the reason."""
    builders.write_files(tmp_path, {"data/holdout.csv": text})
    quality, findings = _collected(tmp_path, Classifier())
    assert problem in quality.problem
    assert _status(findings, "quality.gate") == [FAIL]
    assert _status(findings, "quality.beats-baselines") == [SKIP]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("length,kind\n1,long\n", "data/train.csv: row 1: expected the column island"),
        ("length,island,kind\n1,Dream,long\n", "data/train.csv: "),  # one class
        ("length,island,kind\n1,Dream,\n", "data/train.csv: no row has a label"),
    ],
)
def test_unusable_training_rows(tmp_path: Path, text: str, problem: str) -> None:
    """Then there is no simpler model, and all else is judged."""
    builders.write_files(tmp_path, {"data/train.csv": text})
    quality, findings = _collected(tmp_path, Classifier())
    assert quality.others_problem.startswith(problem)
    assert _status(findings, "quality.gate") == [PASS]
    assert _status(findings, "quality.beats-baselines") == [SKIP]


def test_simpler_models_learn() -> None:
    """The dummy says what is frequent, the linear model what is linear; gaps and new categories are no obstacle."""
    rows = [{"x": float(n) if n % 7 else None, "c": "u" if n % 2 else None} for n in range(40)]
    truth = ["big" if n >= 15 else "small" for n in range(40)]
    dummy, linear = predicted(rows, truth, [{"x": 39.0, "c": "new"}, {"x": 1.0, "c": "u"}, {"x": None}], numbers=False)
    assert dummy == ["big"] * 3
    assert linear[:2] == ["big", "small"]
    values, line = predicted(rows, list(range(40)), [{"x": 39.0, "c": "u"}], numbers=True)
    assert values == [19.5]
    assert line[0] == pytest.approx(39, abs=5)
    with pytest.raises(ValueError, match="the field p holds lists"):
        predicted([{"p": [1, 2]}], ["a"], [], numbers=False)
    with pytest.raises(ValueError, match="the text fields hold 1001 distinct values"):
        predicted([{"id": f"row {n}"} for n in range(1001)], ["a", "b", "c"] * 333 + ["a", "b"], [], numbers=False)


@pytest.mark.parametrize(
    ("answer", "pointer", "value"),
    [
        ("Adelie", "", "Adelie"),
        (3.5, "", 3.5),
        ([3.5], "", 3.5),
        ({"species": "Adelie", "score": 0.9}, "", "Adelie"),
        ({"label": "Adelie", "probabilities": {"Adelie": 0.9, "Gentoo": 0.1}}, "", "Adelie"),
        ({"a": {"b": ["Adelie"]}, "c": 1, "d": 2}, "/a/b/0", "Adelie"),
    ],
)
def test_where_the_prediction_is(answer: Any, pointer: str, value: Any) -> None:
    """The answer itself, the field of the target, the only plain field, or where the pointer says."""
    assert holdout.prediction(answer, pointer, "species").value == value


@pytest.mark.parametrize(
    ("answer", "pointer", "message"),
    [
        ({"a": 1, "b": 2}, "", "which field is the prediction? `quality.prediction` can name it"),
        ({"a": [1]}, "", "which field is the prediction?"),
        ({"species": None}, "", "neither a text nor a finite number: null"),
        (float("nan"), "", "neither a text nor a finite number: NaN"),
        ([1, 2], "", "neither a text nor a finite number"),
        ({"a": 1}, "/b", "/b leads nowhere"),
    ],
)
def test_no_prediction(answer: Any, pointer: str, message: str) -> None:
    """An answer without a prediction says what was found instead."""
    with pytest.raises(ValueError, match=r".") as caught:
        holdout.prediction(answer, pointer, "species")
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("answer", "found"),
    [
        ({"species": "a", "p": {"a": 0.75, "b": 0.25}}, {"a": 0.75, "b": 0.25}),
        ({"species": "a", "p": {"a": 0.7, "b": 0.2}}, None),
        ({"species": "a", "p": {"a": 1.0}}, None),
        ({"species": "a", "p": {"a": True, "b": False}}, None),
        ({"species": "a", "p": {"a": 1.5, "b": -0.5}}, None),
    ],
)
def test_probabilities(answer: Any, found: Any) -> None:
    """An object with a number from 0 to 1 for each of several classes, which sum to 1."""
    assert holdout.prediction(answer, "", "species").probabilities == found


def test_one_row_a_request() -> None:
    """A protocol without batches is asked row by row."""
    requests = [{"length": 1.0}, {"length": 2.0}]
    groups = list(holdout.grouped(requests, PLAIN, 50))
    assert groups == [[requests[0]], [requests[1]]]
    assert holdout.joined(groups[0], PLAIN) == requests[0]
    assert holdout.answers({"kind": "long"}, 1, PLAIN) == ({"kind": "long"},)
    batches = [{"instances": [{"x": 1}]}, {"instances": [{"x": 2}]}]
    assert holdout.joined(batches, OPENAPI) == {"instances": [{"x": 1}, {"x": 2}]}


def test_digest_is_of_the_row_without_its_label() -> None:
    """A corrected label or another order of columns is the same row, another value is not."""
    row = {"a": "1", "kind": "x"}
    assert holdout.digest(row, "kind") == holdout.digest({"kind": "y", "a": "1"}, "kind")
    assert holdout.digest(row, "kind") != holdout.digest({"a": "2", "kind": "x"}, "kind")


def test_block_is_completed_by_convention(tmp_path: Path) -> None:
    """Hold-out and training rows are found in the dataset by their names, the target in its block."""
    _, quality = _project(tmp_path)
    assert (quality.holdout, quality.training, quality.target) == ("data/holdout.csv", "data/train.csv", "kind")
    builders.write_files(tmp_path, {"other/test.jsonl": "{}"})
    named = {
        "version": 1,
        "data": {"path": "other", "target": "x"},
        "contract": {"examples": "*"},
        "quality": ["f1 > 0"],
    }
    found = completed(tmp_path, parse_block(named), NOWHERE).quality
    assert found is not None
    assert (found.holdout, found.training, found.target) == ("other/test.jsonl", None, "x")
    assert completed(tmp_path, Block(version=1), NOWHERE).quality is None


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"data": None}, "`quality` needs labelled rows"),
        ({"data": {"path": "empty"}}, "`quality` needs labelled rows"),
        ({"data": {"path": "data"}}, "`quality` needs the name of the column with the labels"),
        ({"contract": None}, "`quality` needs `contract.examples`"),
        ({"quality": {"holdout": "nowhere.csv"}}, "nowhere.csv is no CSV, JSON-lines or Parquet file"),
        ({"quality": {"training": "data/train.txt"}}, "data/train.txt is no CSV, JSON-lines or Parquet file"),
        ({"quality": {"baseline": "b.jsonl"}}, "the baseline b.jsonl does not exist"),
    ],
)
def test_what_the_gate_needs(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    """What is missing is named before anything is built, with what to do."""
    builders.write_files(tmp_path, {"data/holdout.csv": "a\n1\n", "data/train.txt": "", "empty/x": ""})
    raw = {
        "version": 1,
        "data": {"path": "data", "target": "a"},
        "contract": {"examples": "*.json"},
        "quality": {"conditions": ["f1 > 0"]},
    }
    changed = {**raw, **changes}
    if "quality" in changes:
        changed["quality"] = {**raw["quality"], **changes["quality"]}  # type: ignore[dict-item]
    block = parse_block({key: value for key, value in changed.items() if value is not None})
    with pytest.raises(DescriptionError, match=r".") as caught:
        completed(tmp_path, block, NOWHERE)
    assert message in str(caught.value)
    assert caught.value.hint


def test_places_of_the_file(tmp_path: Path) -> None:
    """The description names line and column of what it refuses."""
    services = "name: demo\nservices:\n  train:\n    image: t\n    volumes: ['m:/model']\n  serve:\n    image: s\n"
    services += "    expose: ['80']\n    volumes: ['m:/model']\nvolumes:\n  m:\nx-harness:\n  version: 1\n"
    builders.write_files(tmp_path, {"compose.yaml": f"{services}  quality:\n    - accuracy > 0.9\n"})
    with pytest.raises(DescriptionError, match=r"^compose.yaml:14:3: `quality` needs labelled rows"):
        load(builders.compose(), tmp_path)
    builders.write_files(tmp_path, {"compose.yaml": f"{services}  quality:\n    - acuracy > 0.9\n"})
    with pytest.raises(DescriptionError, match=r"^compose.yaml:14:3: .*did you mean accuracy\?"):
        load(builders.compose(), tmp_path)


def test_jsonl_rows(tmp_path: Path) -> None:
    """JSON lines keep their types."""
    lines = [
        json.dumps({"length": float(n), "island": "Dream", "kind": "long" if n >= 50 else "short"}) for n in range(90)
    ]
    builders.write_files(tmp_path, {"rows.jsonl": "\n".join(lines)})
    quality, findings = _collected(tmp_path, Classifier(), holdout="rows.jsonl")
    assert _status(findings, "quality.gate") == [PASS]
    assert len(quality.rows) == 90


def test_parquet_without_pyarrow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is missing on this machine is named."""

    def refuse(_: Path) -> None:
        raise ImportError("no pyarrow")

    monkeypatch.setattr("pandas.read_parquet", refuse)
    with pytest.raises(ValueError, match="Parquet needs pyarrow beside pandas: no pyarrow"):
        read_rows(tmp_path / "rows.parquet")


def test_parquet_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A table becomes JSON: whole numbers, null for a gap."""
    import pandas as pd

    frame = pd.DataFrame({"a": [1, 2, 3], "b": [0.5, None, 1.5], "c": ["x", "y", None]})
    monkeypatch.setattr("pandas.read_parquet", lambda _: frame)
    rows = read_rows(tmp_path / "rows.parquet", 2)
    assert rows == [{"a": 1, "b": 0.5, "c": "x"}, {"a": 2, "b": None, "c": "y"}]
    monkeypatch.setattr("pandas.read_parquet", lambda _: frame[:0])
    with pytest.raises(ValueError, match="the file holds no rows"):
        read_rows(tmp_path / "rows.parquet")


IMPORTED = """
import os, sys
from pathlib import Path
sys.path[:0] = {paths!r}
from test_quality_stage import Classifier, _collected, _project, _warmed
for root, conditions, block in {cases!r}:
    if child := os.fork():  # what a case imports, the next one must not have
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0, root
        continue
    _warmed(Path(root), *conditions, **block)
    slow = {{"sklearn", "scipy.stats"}} & set(sys.modules)
    _, findings = _collected(Path(root), Classifier(), *conditions, **block)
    assert {{finding.status for finding in findings}} <= {{"pass", "skip"}}, findings
    print(sorted(slow), sorted({{"sklearn", "scipy.stats"}} & set(sys.modules)), flush=True)
    break
"""


# Like those of the reference project: nothing has to be resampled.
COUNTED = (
    "accuracy >= 0.9",
    "accuracy[island=Dream] >= 0.8",
    "recall[long] >= 0.8",
    "new - baseline > -0.05 +/- 0.05 @ 0.95",
)


def _warmed(root: Path, *conditions: str, **changes: Any) -> None:
    spec, block = _project(root, *conditions)
    run = Recording(spec=spec, folder=RunFolder.create(root), say=lambda *_: None)
    warm(run, block.model_copy(update=changes))


def test_slow_libraries_are_imported_early_or_not_at_all(tmp_path: Path) -> None:
    """SciPy and scikit-learn take two seconds of a core: what the stage and its checks need of them is there before.

    In one process, which is forked for each case: its own imports take longer than the cases.
    """
    imported: dict[str, tuple[Sequence[str], int, str]] = {
        "remembered": (COUNTED, 1, "[] []"),
        "first-run": (COUNTED[:1], 0, "['scipy.stats', 'sklearn'] ['scipy.stats', 'sklearn']"),
        "resampled": (("log_loss <= 0.2",), 1, "['scipy.stats'] ['scipy.stats']"),
    }
    cases = []
    for name, (conditions, runs_before, _) in imported.items():
        root = tmp_path / name
        root.mkdir()
        for _ in range(runs_before):
            _collected(root, Classifier())
        block = {}
        for kept in (root / ".harness" / "runs").glob(f"*/{PREDICTIONS}"):
            shutil.copy(kept, root / "b.jsonl")
            block["baseline"] = "b.jsonl"
        cases.append((str(root), tuple(conditions), block))
    script = IMPORTED.format(paths=[str(Path(__file__).parent), str(builders.REPO)], cases=cases)
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.splitlines() == [said for _, _, said in imported.values()]


def test_only_what_is_needed_is_imported_early(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """scikit-learn until its models are remembered; scipy.stats for what is resampled, and for numbers."""
    found: list[str] = []
    monkeypatch.setattr("harness.runner.stages.quality.import_module", found.append)

    def early(*conditions: str, **changes: Any) -> list[str]:
        found.clear()
        _warmed(tmp_path, *conditions, **changes)
        return list(found)

    learners = ["sklearn.feature_extraction", "sklearn.linear_model"]
    assert early(*COUNTED) == ["numpy", "scipy.special", *learners]
    _collected(tmp_path, Classifier())
    assert early(*COUNTED) == ["numpy", "scipy.special"]
    assert early("f1 > 0.5 @ 0.9") == ["scipy.stats"]
    assert early("r2 > 0.5") == ["numpy", "scipy.stats"]
    assert early("r2 > 0.5", training=None) == ["numpy"]
    builders.write_files(tmp_path, {"data/train.csv": _csv(range(0, 100, 4))})
    assert early("f1 > 0.5") == ["numpy", *learners]


@pytest.mark.parametrize(
    "change",
    [
        {"train": [{"x": 1.0, "c": "v"}, {"x": 2.0}]},
        {"train": [{"x": 1.0, "c": "u"}, {"x": 2}]},  # a whole number in its place
        {"truth": ["b", "a"]},
        {"rows": [{"x": 3.0}, {"x": 3.0}]},
        {"numbers": True},
    ],
)
def test_what_decides_makes_another_question(change: dict[str, Any]) -> None:
    """A feature, its type, a label, a row, the kind of model."""
    question = Question([{"x": 1.0, "c": "u"}, {"x": 2.0}], ["a", "b"], [{"x": 3.0}], numbers=False)
    assert replace(question, **change).digest != question.digest
    assert replace(question).digest == question.digest


def test_rows_that_are_passed_over_decide_nothing() -> None:
    """Of a large table a sample is learnt from: the digest is of that alone, and soon made."""
    rows: list[dict[str, Any]] = [{"x": n} for n in range(MAX_ROWS + 1)]
    question = Question(rows, ["a", "b"] * (MAX_ROWS // 2) + ["a"], [], numbers=False)
    assert replace(question, train=[rows[0], {"x": -1}, *rows[2:]]).digest == question.digest
    assert replace(question, train=[{"x": -1}, *rows[1:]]).digest != question.digest


@pytest.mark.parametrize(
    "name",
    ["runner.baseline_cache.FORMAT", *(f"statistics.dummy_models.{n}" for n in ("MAX_ROWS", "MAX_TEXTS", "SEED"))],
)
def test_settings_make_another_question(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The format, the limits and the seed, and the version of each library that computes."""
    question = Question([{"x": 1.0}], ["a"], [], numbers=False)
    before = question.digest
    monkeypatch.setattr(f"harness.{name}", 3)
    assert replace(question).digest != before
    monkeypatch.undo()
    for library in ("scikit-learn", "scipy", "numpy"):
        versions = {"scikit-learn": "1", "scipy": "1", "numpy": "1"}
        monkeypatch.setattr("harness.runner.baseline_cache.version", versions.__getitem__)
        before = replace(question).digest
        versions[library] = "2"
        assert replace(question).digest != before


def test_numbers_are_remembered_to_the_last_digit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A regression gets the same predictions again."""
    memory = BaselineCache.of(tmp_path, "train", "holdout")
    rows = [{"x": n / 7} for n in range(20)]
    question = Question(rows, [n / 3 + n % 3 for n in range(20)], rows, numbers=True)
    first = memory.predicted(question)
    monkeypatch.delattr("harness.statistics.dummy_models.predicted")
    assert memory.predicted(question) == first


def test_what_is_remembered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only the answer to the very same question counts; a broken file is as good as none, and few files are kept."""
    memory = BaselineCache.of(tmp_path, "train", "holdout")
    rows = [{"x": float(n)} for n in range(20)]
    question = Question(rows, ["big" if n > 9 else "small" for n in range(20)], rows[::7], numbers=False)
    asked: list[Question] = []

    def learn(train: Any, truth: Any, rows: Any, *, numbers: bool) -> Any:
        asked.append(Question(train, truth, rows, numbers))
        return predicted(train, truth, rows, numbers=numbers)

    monkeypatch.setattr("harness.statistics.dummy_models.predicted", learn)
    first = memory.predicted(question)
    assert first[1] == ["small", "small", "big"]
    assert memory.predicted(question) == first
    assert len(asked) == 1
    other = replace(question, truth=["small", *question.truth[1:-1], "small"])
    memory.predicted(other)
    assert asked[1:] == [other]
    memory.predicted(question)
    assert len(asked) == 3
    entries = [(["big"], ["big"]), (first[0], [1, 2, 3]), (first[0], [["big"]] * 3), (None, first[1])]
    broken = [json.dumps({"question": question.digest, "dummy": one, "linear": two}) for one, two in entries]
    broken += ["{", "[]", "[" * 100_000, "\ud800"]
    for text in broken:
        memory.file.write_bytes(text.encode("utf-8", "surrogatepass"))
        assert memory.predicted(question) == first
    assert len(asked) == 3 + len(broken)
    for number in range(12):
        BaselineCache.of(tmp_path, "train", str(number)).predicted(question)
    assert len(list(tmp_path.iterdir())) == 8
    assert memory.is_empty
