"""The malformed requests that are made of a good one."""

from __future__ import annotations

import json
from typing import Any

import pytest

from harness.stages.contract import UNKNOWN_FIELD, malformed, mistyped_value, record_path

ROW = {"a": 1.5, "b": "x"}


@pytest.mark.parametrize(
    ("request_", "path"),
    [
        (ROW, ()),
        ({"instances": [ROW, ROW]}, ("instances", 0)),
        ([ROW], (0,)),
        ({"inputs": {"row": ROW}}, ("inputs", "row")),
        ({"id": 1, "instances": [[1, 2], {"a": 1}]}, ("instances", 1)),
        ({"features": [1.0, 2.0]}, ()),
        ({"instances": [[1, 2], [3, 4]]}, ()),
        ([[1, 2], [3, 4]], None),
        ([], None),
        ({}, None),
        ([{}], None),
        (5, None),
        ("text", None),
        (None, None),
    ],
)
def test_record_path(request_: Any, path: tuple[str | int, ...] | None) -> None:
    """The record is the first object of plain values, or the object that holds the lists; else there is none."""
    assert record_path(request_) == path


SHAPES = [ROW, {"instances": [ROW, ROW]}, [[1, 2], [3, 4]], {"features": [1.0, 2.0]}, 5, 1234, "text", None, [], {}]


@pytest.mark.parametrize("good", SHAPES, ids=json.dumps)
def test_broken_json_is_broken(good: Any) -> None:
    """Whatever the shape of the good request, the first case is no JSON."""
    case, body = next(malformed(good))
    assert case == "broken-json"
    with pytest.raises(ValueError, match=r"."):
        json.loads(body)


@pytest.mark.parametrize("good", SHAPES, ids=json.dumps)
def test_cases_differ_from_the_good_request(good: Any) -> None:
    """Every case has a name of its own and differs from the good request, which itself stays as it is."""
    before = json.dumps(good)
    cases = list(malformed(good))
    assert json.dumps(good) == before
    assert len({name for name, _ in cases}) == len(cases)
    assert all(body != before.encode() for _, body in cases)


def test_cases_of_a_flat_object() -> None:
    """Each field is once missing and once of another type, and one field is unknown."""
    bodies = {name: json.loads(body) for name, body in malformed(ROW) if name != "broken-json"}
    assert bodies == {
        "missing:/a": {"b": "x"},
        "wrong-type:/a": {"a": "not a number", "b": "x"},
        "missing:/b": {"a": 1.5},
        "wrong-type:/b": {"a": 1.5, "b": 12.5},
        f"unknown:/{UNKNOWN_FIELD}": {**ROW, UNKNOWN_FIELD: 1},
    }


def test_cases_of_a_batch_change_one_record() -> None:
    """In a batch only the first record is touched; the others stay good."""
    for name, body in malformed({"instances": [dict(ROW), dict(ROW)]}):
        if name != "broken-json":
            assert "/instances/0/" in name
            assert json.loads(body)["instances"][1] == ROW


def test_no_record_no_further_case() -> None:
    """Where there is no object, broken JSON is the only case."""
    assert [name for name, _ in malformed([[1, 2], [3, 4]])] == ["broken-json"]


@pytest.mark.parametrize("value", [True, False, 0, 1.5, "x", "", None, [1], [], {"a": 1}])
def test_mistyped_value(value: Any) -> None:
    """The other value has a type that even a lenient parser does not turn into the first."""
    other = mistyped_value(value)
    assert type(other) is not type(value) or isinstance(value, dict)
    assert other != value
    if isinstance(value, int | float):
        with pytest.raises(ValueError, match="could not convert"):
            float(other)
