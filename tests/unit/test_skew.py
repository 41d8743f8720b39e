"""Skew: requests made of rows, answers found in a log, the container's description, and the check."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from textwrap import dedent
from typing import Any

import builders
import pytest
from builders import example, exchange
from defects import shows

from harness.checks import all_checks
from harness.checks.judge import judge_one
from harness.client.protocols import OPENAPI, PLAIN
from harness.client.request_generators.skew import answers_in, row_requests, skew_requests
from harness.datasets.row_file import read_rows
from harness.errors import DescriptionError
from harness.evidence.records import Contract, Evidence, Exchange, Exit, Finding, Interface, Skew, Status
from harness.project.description import load
from harness.project.runfile import Variant, run_file, varied
from harness.runner.stages.skew import NOT_RUN

CHECK = next(check for check in all_checks() if check.name == "contract.skew")


def rows_of(*requests: Any, rows: list[dict[str, Any]]) -> list[Any]:
    return row_requests(rows, [example(str(n), request=request) for n, request in enumerate(requests)], OPENAPI)


def test_the_keys_are_those_of_the_example() -> None:
    """Other columns are left out, texts become what the example holds, one row a request, the rest as it was."""
    request = {"instances": [{"a": 1.5, "n": 2, "s": "x", "b": True}, {"a": 2}], "parameters": {"p": 1}}
    rows = [{"target": "y", "s": "7", "a": "3", "n": "4.0", "b": "No"}, {"a": "1e3", "n": "2.5", "s": "", "b": "1"}]
    made = rows_of(request, rows=rows)
    assert made == [
        {"instances": [{"a": 3.0, "n": 4, "s": "7", "b": False}], "parameters": {"p": 1}},
        {"instances": [{"a": 1000.0, "n": 2.5, "b": True}], "parameters": {"p": 1}},
    ]
    assert json.dumps(made[0]["instances"][0]) == '{"a": 3.0, "n": 4, "s": "7", "b": false}'


@pytest.mark.parametrize(
    ("examples", "expected"),
    [
        ([[{"a": 1, "b": 2}]], {"a": 5, "b": None}),
        ([[{"a": 1, "b": 2}, {"a": 1}]], {"a": 5}),
        ([[{"a": 1, "b": 2}], [{"a": 1}]], {"a": 5}),
        ([[{"a": 1, "b": 2}, {"a": 1}, {"a": 1, "b": None}]], {"a": 5, "b": None}),
        ([[{"a": 1, "b": None}]], {"a": 5, "b": None}),
    ],
)
def test_missing_values(examples: list[Any], expected: Any) -> None:
    """A missing value is null, unless the examples leave the field out and never write null."""
    for missing in ({"b": ""}, {"b": None}, {"b": float("nan")}):
        [made] = rows_of(*({"rows": rows} for rows in examples), rows=[{"a": 5, **missing}])
        assert made == {"rows": [expected]}


def test_typed_rows_stay_as_they_are() -> None:
    """JSON lines hold values already."""
    assert rows_of([{"a": 1, "l": [1]}], rows=[{"a": 2.5, "l": [3, 4]}]) == [[{"a": 2.5, "l": [3, 4]}]]


def test_lists_of_values_take_the_names_of_the_request() -> None:
    """A split data frame names its columns beside the rows."""
    request = {"columns": ["b", "a"], "data": [[1, "x"], [2, "y"]]}
    assert rows_of(request, rows=[{"a": "z", "b": "3", "c": "4"}]) == [{"columns": ["b", "a"], "data": [[3, "z"]]}]


def test_a_service_of_one_row() -> None:
    """A request that is one object is itself the row, also inside others."""
    assert rows_of({"a": 1.5}, rows=[{"a": "2"}]) == [{"a": 2.0}]
    assert rows_of({"input": {"a": 1.5}}, rows=[{"a": "2"}]) == [{"input": {"a": 2.0}}]


@pytest.mark.parametrize(
    ("request_", "row", "said"),
    [
        ([{"a": 1, "b": 2}], {"a": 1, "c": 2}, "row 1: expected the column b, as in the first example, received a, c"),
        ([{"a": 1}], {"a": "one"}, "row 1, a: expected a value like 1, received 'one'"),
        ([{"a": 1}], {"a": "inf"}, "received 'inf'"),
        ([{"a": True}], {"a": "maybe"}, "received 'maybe'"),
        ([[1, 2]], {"a": 1}, "have no names"),
        (5, {"a": 1}, "holds no row"),
    ],
)
def test_rows_that_do_not_fit(request_: Any, row: Any, said: str) -> None:
    """What is expected and what was received is said."""
    with pytest.raises(ValueError, match=r".") as raised:
        rows_of(request_, rows=[row])
    assert said in str(raised.value)


def test_a_refused_example_is_no_form() -> None:
    """Only a good request shows the form of one."""
    with pytest.raises(ValueError, match="no example with a good request"):
        row_requests([{"a": 1}], [example(status=422)], OPENAPI)


@pytest.mark.parametrize(
    ("printed", "count", "found"),
    [
        ('loading\n{"p": [1]}\r\n\n{"p": [2]}\ndone', 2, [{"p": [1]}, {"p": [2]}]),
        ('5\n[1]\n{"p": [2]}', 2, [[1], {"p": [2]}]),
        ("loading\n1.5\n2.5", 2, [1.5, 2.5]),
        ('{"level": "info"}\n{"p": [1]}\n{"p": [2]}', 2, [{"p": [1]}, {"p": [2]}]),
        ('{"p": [1]}\n{"p": [2]}\n{"p": [3]}', 2, [{"p": [1]}, {"p": [2]}, {"p": [3]}]),
        ('{"p": [1]}\n{"p": [', 2, [{"p": [1]}]),
        ("", 1, []),
    ],
)
def test_answers_among_the_lines_of_a_log(printed: str, count: int, found: list[Any]) -> None:
    """Objects and lists are answers; where a log is JSON too, what holds a prediction is."""
    assert answers_in(printed, count, PLAIN) == found


def test_rows_of_files(tmp_path: Path) -> None:
    """CSV and JSON lines are read, at most `limit` rows."""
    (tmp_path / "a.csv").write_text('x,y\n1,\n"2,5",b\n3,c\n', encoding="utf-8-sig")
    (tmp_path / "a.jsonl").write_text('{"x": 1}\n\n{"x": 2}\n', encoding="utf-8")
    assert read_rows(tmp_path / "a.csv", 2) == [{"x": "1", "y": ""}, {"x": "2,5", "y": "b"}]
    assert read_rows(tmp_path / "a.jsonl", 2) == [{"x": 1}, {"x": 2}]


@pytest.mark.parametrize(
    ("name", "text"), [("a.csv", "x,y\n"), ("a.csv", "x\n1,2\n"), ("a.jsonl", "[1]\n"), ("a.jsonl", "{\n")]
)
def test_files_that_hold_no_rows(name: str, text: str, tmp_path: Path) -> None:
    """An empty table and lines that are no rows are refused."""
    (tmp_path / name).write_text(text, encoding="utf-8")
    with pytest.raises(ValueError, match=r"."):
        read_rows(tmp_path / name)


def test_a_variant_of_a_service() -> None:
    """A variant stands in place of the service, under its own name; the volumes of the file stay as they are."""
    spec = builders.spec()
    model = run_file(spec, project="p", images={"train": "sha256:1"}, data_volume=None, labels={"l": "1"})
    made = varied(model, "train", Variant("other", lambda service: service.update(command=["x"]), {"extra": "vol"}))
    assert list(made["services"]) == ["other"]
    assert made["services"]["other"]["command"] == ["x"]
    assert made["services"]["other"]["labels"] == {"l": "1", "harness.stage": "other"}
    assert made["volumes"] == {**model["volumes"], "extra": {"name": "vol", "external": True}}
    assert "command" not in model["services"]["train"]


ENDED = Exit(code=0, oom_killed=False, timed_out=False, seconds=1.0, log_tail=("loading",))
ANSWERS = ({"predictions": [{"label": "a", "p": 0.25}]}, {"predictions": [{"label": "b", "p": 0.0}]})
ROWS = ({"instances": [{"x": 1}]}, {"instances": [{"x": 2}]})
GOOD = Skew(requests=ROWS, answers=ANSWERS, exit=ENDED)
BLOCK = {"contract": {"skew": {"rows": "holdout.csv", "command": ["python", "predict.py"]}}}


def test_the_requests_of_a_record() -> None:
    """Each row is one request to the service."""
    assert [(r.case, json.loads(r.body)) for r in skew_requests(GOOD)] == [("skew:0", ROWS[0]), ("skew:1", ROWS[1])]


def judged(skew: Skew | None, *exchanges: Exchange, block: Any = BLOCK) -> Finding:
    spoken = Interface("openapi", "/health", "/predict")
    own = {each.case: each for each in (*(exchange(f"skew:{n}", body=a) for n, a in enumerate(ANSWERS)), *exchanges)}
    whole = Contract(tuple(own.values()), spoken, None)
    [found] = judge_one(Evidence(spec=builders.spec(block), contract=whole, skew=skew), CHECK)
    return found


def test_no_skew_passes() -> None:
    """The same answers pass; the service may say more, and the last digits may differ."""
    said = "2 rows of holdout.csv: the same in the training image and over HTTP (to the last digit)"
    assert judged(GOOD).received == said
    near = exchange("skew:0", body={"predictions": [{"label": "a", "p": 0.25 + 1e-9}], "model": "v1"})
    found = judged(GOOD, near)
    assert (found.status, found.received[-35:]) == (Status.PASS, "(at most 4.0e-09 apart, relatively)")
    assert judged(GOOD, exchange("skew:1", body={"predictions": [{"label": "b", "p": 1e-15}]})).status is Status.PASS


FAULTS = [
    (exchange("skew:1", body={"predictions": [{"label": "c", "p": 0.0}]}), 'row 2: /predictions/0/label: expected "b"'),
    (exchange("skew:0", body={"predictions": [{"label": "a", "p": 0.5}]}), "row 1: /predictions/0/p: expected 0.25"),
    (exchange("skew:0", body={"predictions": [{"label": "a", "p": 0.5}]}), "1 differ, by up to 1 relatively"),
    (exchange("skew:0", body={"predictions": [{"label": "a"}]}), "row 1: /predictions/0/p is missing"),
    (exchange("skew:0", body={"predictions": []}), "expected 1 items, received 0"),
    (exchange("skew:0", 422, {"detail": "too large"}), "row 1: status 422"),
    (exchange("skew:0", body=b"no JSON"), "row 1: not JSON"),
    (exchange("skew:0", None, b"", error="closed"), "row 1: no answer: closed"),
    (exchange("skew:0", body={"predictions": [{"label": "a", "p": float("nan")}]}), "by up to inf relatively"),
]


@pytest.mark.parametrize(
    ("served", "said"),
    [pytest.param(*f, marks=shows("contract.skew", Status.FAIL, f[1]), id=f[1]) for f in FAULTS],
)
def test_skew_fails(served: Exchange, said: str) -> None:
    """Another label, another number, another status: the row and by how much."""
    found = judged(GOOD, served)
    assert found.status is Status.FAIL
    assert said in found.received
    assert found.expected
    assert found.advice


SILENT = [
    (Skew(ROWS, (), Exit(1, False, False, 1.0, ("boom",))), "exit code 1\nboom"),
    (Skew(ROWS, (), Exit(None, False, True, 9.0, ())), "stopped at its time limit after 9.0 s"),
    (Skew(ROWS, ANSWERS[:1], ENDED, "expected 2 answers, one JSON line each, received 1"), "received 1\nloading"),
    (Skew(ROWS, ANSWERS[:1], ENDED), "1 answers to 2 requests"),
    (Skew((), (), Exit(None, False, False, 0.0, ()), "holdout.csv: the file holds no rows"), "holds no rows"),
]


@pytest.mark.parametrize(
    ("skew", "said"), [pytest.param(*s, marks=shows("contract.skew", Status.FAIL, s[1])) for s in SILENT]
)
def test_a_training_image_that_cannot_answer(skew: Skew, said: str) -> None:
    """An exit code, too few answers and rows that do not fit are failures with the reason."""
    found = judged(skew)
    assert found.status is Status.FAIL
    assert said in found.received
    assert "python predict.py" in found.expected


def test_without_rows_it_is_skipped_and_without_a_record_an_error() -> None:
    """A project that names no rows has nothing to compare; a lost record is never a pass."""
    assert judged(None, block={"contract": {"skew": None}}).status is Status.SKIP
    assert judged(None).status is Status.ERROR


@pytest.mark.parametrize(
    ("rows", "files", "said"),
    [
        ("gone.csv", {"contract/one.json": "{}"}, "gone.csv is no CSV or JSON-lines file"),
        ("rows.txt", {"rows.txt": "x"}, "rows.txt is no CSV or JSON-lines file"),
        ("rows.csv", {"rows.csv": "x\n1\n"}, "needs `contract.examples`"),
    ],
)
def test_what_is_wrong_is_said_before_the_run(rows: str, files: dict[str, str], said: str, tmp_path: Path) -> None:
    """A file that is not there, or rows without an example, end the run before it begins, with the line."""
    services = dedent(
        """\
        services:
          train: {image: trainer, volumes: ["model:/model"]}
          serve: {image: server, ports: ["8080:8080"], volumes: ["model:/model:ro"]}
        volumes: {model: }
        x-harness:
          version: 1
          contract:
        """
    )
    skew = f"    skew: {{rows: {rows}, command: [python, predict.py]}}\n"
    builders.write_files(tmp_path, {"compose.yaml": services + skew, **files})
    with pytest.raises(DescriptionError, match=r"^compose\.yaml:8:\d+: ") as caught:
        load(builders.compose(), tmp_path)
    assert said in str(caught.value)


API = next(check for check in all_checks() if check.name == "code.api")
ASKED = Skew(ROWS, ANSWERS, ENDED, examples=("one", "two"), example_answers=(builders.ANSWER, {"predictions": [1.5]}))
CRASHED = Exit(code=1, oom_killed=False, timed_out=False, seconds=1.0, log_tail=("boom",))
ALONE = replace(ASKED, requests=(), answers=(), with_rows=False)

OF_CODE: list[tuple[Skew | None, Status, str]] = [
    (ASKED, Status.PASS, "2 examples answered in the training image"),
    (replace(ASKED, example_answers=(builders.ANSWER, builders.ANSWER)), Status.FAIL, "two: /predictions/0"),
    (replace(ASKED, example_answers=(builders.ANSWER,), exit=CRASHED), Status.FAIL, "two: no answer, exit code 1"),
    (GOOD, Status.SKIP, "no example"),
    (replace(ASKED, answers=ANSWERS[:1], example_answers=(), exit=CRASHED), Status.SKIP, "`contract.skew` says"),
    (replace(ASKED, exit=CRASHED), Status.SKIP, "`contract.skew` says why"),
    (ALONE, Status.PASS, "2 examples answered"),
    (replace(ALONE, example_answers=(builders.ANSWER,), exit=CRASHED), Status.FAIL, "two: no answer, exit code 1"),
    (replace(ALONE, example_answers=(), exit=CRASHED), Status.FAIL, "boom"),
    (replace(ALONE, example_answers=(), error="expected 2 answers"), Status.FAIL, "expected 2 answers"),
    (Skew((), (), NOT_RUN, with_rows=False), Status.SKIP, "no example"),
    (None, Status.ERROR, "no record"),
]


@pytest.mark.parametrize(
    ("skew", "status", "said"), [pytest.param(*c, marks=shows("code.api", *c[1:])) for c in OF_CODE]
)
def test_the_examples_in_the_training_image(skew: Skew | None, status: Status, said: str) -> None:
    """The training image's own answers are judged as the service's are; what ends the program early is skew's."""
    [found] = judge_one(Evidence(spec=builders.spec(BLOCK), skew=skew), API)
    assert (found.status, said in found.received) == (status, True), found
    if skew is not None and skew.with_rows and status is Status.FAIL:
        assert judged(skew).status is Status.PASS
    [bare] = judge_one(Evidence(spec=builders.spec({"contract": {"skew": None}}), skew=skew), API)
    assert bare.status is Status.SKIP
