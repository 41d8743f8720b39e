"""The example files of a contract."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import builders
import pytest

from harness.config.spec import Behaviour, Relation, Tolerance
from harness.errors import DescriptionError
from harness.project.contract_file import load_contract


def _load(root: Path, *texts: str) -> list[str]:
    builders.write_files(root, {f"{chr(97 + n)}.json": text for n, text in enumerate(texts)})
    return [example.name for example in load_contract(root, "*.json")[0]]


def test_no_pattern(tmp_path: Path) -> None:
    """Without a pattern there are no examples."""
    assert load_contract(tmp_path, None) == ((), ())


def test_defaults(tmp_path: Path) -> None:
    """A request alone is an example: status 200, any answer, and a small relative tolerance."""
    builders.write_files(tmp_path, {"c/one.json": '{"request": [1]}'})
    ((example,), _) = load_contract(tmp_path, "c/*.json")
    assert (example.name, example.file, example.request, example.status) == ("one", "c/one.json", [1], 200)
    assert not example.has_response
    assert example.tolerance == Tolerance(1e-6, 0.0)


def test_response_null_is_a_promise(tmp_path: Path) -> None:
    """`"response": null` promises null, which is not the same as no promise."""
    builders.write_files(tmp_path, {"one.json": '{"request": 1, "response": null, "tolerance": {"absolute": 1}}'})
    ((example,), _) = load_contract(tmp_path, "one.json")
    assert example.has_response
    assert example.response is None
    assert example.tolerance == Tolerance(1e-6, 1.0)


def test_names(tmp_path: Path) -> None:
    """Files come by name; a list numbers its examples; a name of its own wins."""
    many = '[{"request": 1}, {"request": 2, "name": "second"}]'
    assert _load(tmp_path, many, '[{"request": 3}]', '{"request": 4}') == ["a-1", "second", "b", "c"]


def test_same_name_twice(tmp_path: Path) -> None:
    """Two examples of one name are refused: they could not be told apart in a report."""
    with pytest.raises(DescriptionError, match="two contract examples have the name 'b'"):
        _load(tmp_path, '{"request": 1, "name": "b"}', '{"request": 2}')


@pytest.mark.parametrize(
    "text",
    [
        "{",
        "5",
        "{}",
        '{"request": 1, "respons": 2}',
        '{"request": 1, "status": "200"}',
        '{"request": 1, "status": 99}',
        '{"request": 1, "status": 200.0}',
        '{"request": 1, "tolerance": 0.1}',
        '{"request": 1, "tolerance": {"relative": -1}}',
        '{"request": 1, "tolerance": {"relative": NaN}}',
        '{"request": 1, "tolerance": {"rel": 1}}',
    ],
)
def test_no_example(tmp_path: Path, text: str) -> None:
    """What is no example is refused with the file's name, and the hint shows the format."""
    with pytest.raises(DescriptionError, match=r"a\.json is no contract example") as caught:
        _load(tmp_path, text)
    assert '"request"' in caught.value.hint


def test_other_encoding(tmp_path: Path) -> None:
    """A file that is not UTF-8 is refused by name."""
    (tmp_path / "a.json").write_bytes(b'{"request": "\xff"}')
    with pytest.raises(DescriptionError, match=r"a\.json is no contract example"):
        load_contract(tmp_path, "*.json")


@pytest.mark.parametrize("pattern", ["*.yaml", "/abs/*.json", ""])
def test_nothing_matches(tmp_path: Path, pattern: str) -> None:
    """A pattern that matches nothing, or cannot match below the project, is a wrong description."""
    with pytest.raises(DescriptionError, match=r"contract\.examples"):
        load_contract(tmp_path, pattern)


def test_folder_that_matches(tmp_path: Path) -> None:
    """A folder that matches the pattern is no example file: it is refused, not a crash."""
    (tmp_path / "x.json").mkdir()
    with pytest.raises(DescriptionError):
        load_contract(tmp_path, "*.json")


ROW = {"rows": [{"a": 1, "b/c": 2}]}


def _behaviour(root: Path, **entry: Any) -> Behaviour:
    builders.write_files(root, {"b.json": json.dumps(entry)})
    _, (behaviour,) = load_contract(root, "b.json")
    return behaviour


def test_a_change_is_applied_step_by_step(tmp_path: Path) -> None:
    """INV and DIR: the original request first, then one request for each step, all pointers changed together."""
    found = _behaviour(
        tmp_path, test="invariance", request=ROW, change={"/rows/0/a": [5, 6], "/rows/0/b~1c": [7, 8]}, output="/y"
    )
    assert found.relation is Relation.INVARIANCE
    assert found.requests == (ROW, {"rows": [{"a": 5, "b/c": 7}]}, {"rows": [{"a": 6, "b/c": 8}]})


def test_a_minimum_test_holds_its_cases(tmp_path: Path) -> None:
    """MFT: cases with their answers, and the part of them that must be right."""
    found = _behaviour(tmp_path, test="minimum", cases=[{"request": 1, "response": 2}], at_least=0.5)
    assert (found.relation, found.requests, found.responses, found.at_least) == (Relation.MINIMUM, (1,), (2,), 0.5)


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({"test": "invariant", "request": ROW}, "`test` is one of invariance, directional, minimum"),
        ({"test": "invariance", "request": ROW, "change": {}}, "change"),
        ({"test": "invariance", "request": ROW, "change": {"/rows/0/z": [1]}}, "there is no 'z'"),
        ({"test": "invariance", "request": ROW, "change": {"/rows/5/a": [1]}}, "leads nowhere"),
        ({"test": "invariance", "request": ROW, "change": {"rows": [1]}}, "expected a JSON pointer"),
        ({"test": "invariance", "request": ROW, "change": {"/rows/0/a": []}}, "none empty"),
        ({"test": "invariance", "request": ROW, "change": {"/rows/0/a": [1], "/rows": [1, 2]}}, "of one length"),
        ({"test": "directional", "request": ROW, "change": {"/rows/0/a": [1]}, "output": "/y"}, "says `never`"),
        ({"test": "directional", "request": ROW, "change": {"/rows/0/a": [1]}, "never": "falls"}, "`output`"),
        ({"test": "invariance", "request": ROW, "change": {"/rows/0/a": [1]}, "never": "falls"}, "says `never`"),
        ({"test": "minimum", "cases": []}, "cases"),
        ({"test": "minimum", "cases": [{"request": 1, "response": 2}], "at_least": 2}, "at_least"),
        ({"test": ["minimum"]}, "`test` is one of"),
    ],
)
def test_wrong_behavioural_tests(entry: dict[str, Any], message: str, tmp_path: Path) -> None:
    """A behavioural test that cannot be what its author meant is refused, with its file and the reason."""
    with pytest.raises(DescriptionError, match=r"b\.json is no contract example") as caught:
        _behaviour(tmp_path, **entry)
    assert message in str(caught.value)


def test_a_syntax_error_names_its_place(tmp_path: Path) -> None:
    """An example that is no JSON is refused with line and column."""
    builders.write_files(tmp_path, {"one.json": '{"request": 1,\n "response": }'})
    with pytest.raises(DescriptionError, match=r"one\.json is no contract example: .* line 2 column 14"):
        load_contract(tmp_path, "one.json")


def test_tolerance_of_single_fields(tmp_path: Path) -> None:
    """A tolerance may differ by place: `*` stands for any key or position, the first that fits wins."""
    fields = {"/predictions/*/score": {"absolute": 0.5}, "/predictions/0/*": {"relative": 0.1}}
    text = json.dumps({"request": 1, "tolerance": {"relative": 0.0, "fields": fields}})
    builders.write_files(tmp_path, {"one.json": text})
    ((example,), _) = load_contract(tmp_path, "one.json")
    assert example.tolerance.at("/predictions/7/score").absolute == 0.5
    assert example.tolerance.at("/predictions/0/other").relative == 0.1
    assert example.tolerance.at("/predictions/1/other") is example.tolerance
    assert example.tolerance.at("/predictions/7/score/deeper") is example.tolerance
