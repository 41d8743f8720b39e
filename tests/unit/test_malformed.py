"""The malformed requests that are made of a good one."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest

from harness.client.protocols import PLAIN
from harness.client.request_generators import Request
from harness.client.request_generators.malformed import (
    KINDS,
    OVERSIZE,
    malformed,
    mistyped_value,
    number_paths,
    record_path,
)

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


def _cases(good: Any) -> dict[str, Request]:
    return {request.case: request for request in malformed(good, PLAIN)}


@pytest.mark.parametrize("good", SHAPES, ids=json.dumps)
def test_broken_json_is_broken(good: Any) -> None:
    """Whatever the shape of the good request, the first case is no JSON."""
    first = next(malformed(good, PLAIN))
    assert first.case == "rejects-malformed:/"
    with pytest.raises(ValueError, match=r"."):
        json.loads(first.body)


@pytest.mark.parametrize("good", SHAPES, ids=json.dumps)
def test_cases_differ_from_the_good_request(good: Any) -> None:
    """Every case differs from the good request by body, method, path or type; the good one stays as it is."""
    before = json.dumps(good)
    requests = list(malformed(good, PLAIN))
    assert json.dumps(good) == before
    same = [r.case for r in requests if (r.body, r.method, r.path) == (before.encode(), "POST", None)]
    assert same == []
    assert {r.case.partition(":")[0] for r in requests} <= {f"rejects-{kind}" for kind in KINDS}


def test_every_kind_is_sent_for_a_batch() -> None:
    """A batch of objects with numbers has a place for every kind of malformed request."""
    kinds = {case.partition(":")[0] for case in _cases({"instances": [ROW, ROW]})}
    assert kinds == {f"rejects-{kind}" for kind in KINDS}


def test_cases_of_a_flat_object() -> None:
    """Each field is once missing, null and of another type; numbers also boolean, quoted and huge."""
    found = _cases(ROW)
    bodies = {case: json.loads(r.body) for case, r in found.items() if ":/a" in case or ":/b" in case}
    assert bodies.pop("rejects-huge-integer:/a")["a"] == 10**400
    assert bodies.pop("rejects-non-finite:/a=-Infinity")["a"] == -float("inf")
    assert bodies.pop("rejects-non-finite:/a=Infinity")["a"] == float("inf")
    assert math.isnan(bodies.pop("rejects-non-finite:/a=NaN")["a"])
    assert bodies == {
        "rejects-missing:/a": {"b": "x"},
        "rejects-null:/a": {"a": None, "b": "x"},
        "rejects-wrong-type:/a": {"a": "not a number", "b": "x"},
        "rejects-missing:/b": {"a": 1.5},
        "rejects-null:/b": {"a": 1.5, "b": None},
        "rejects-wrong-type:/b": {"a": 1.5, "b": 12.5},
        "rejects-boolean:/a": {"a": True, "b": "x"},
        "rejects-number-as-text:/a": {"a": "1.5", "b": "x"},
    }
    assert len(found["rejects-oversized:/harness_unknown_field"].body) > OVERSIZE


def test_cases_of_a_batch_change_one_record() -> None:
    """In a batch only the first record is touched; the others stay good."""
    for case, request in _cases({"instances": [dict(ROW), dict(ROW)]}).items():
        if "/instances/0/" in case:
            assert json.loads(request.body)["instances"][1] == ROW


def test_rows_without_names() -> None:
    """Where there is no object, no field is changed; numbers still are, and the batch is once empty."""
    kinds = {case.partition(":")[0].removeprefix("rejects-") for case in _cases([[1, 2], [3, 4]])}
    assert kinds.isdisjoint({"missing", "unknown", "null", "wrong-type", "oversized"})
    assert {"boolean", "huge-integer", "non-finite", "empty-batch"} <= kinds
    assert number_paths([[1, 2], [3, True]]) == [(0, 0), (0, 1), (1, 0)]


@pytest.mark.parametrize("value", [True, False, 0, 1.5, "x", "", None, [1], [], {"a": 1}])
def test_mistyped_value(value: Any) -> None:
    """The other value has a type that even a lenient parser does not turn into the first."""
    other = mistyped_value(value)
    assert type(other) is not type(value) or isinstance(value, dict)
    assert other != value
    if isinstance(value, int | float):
        with pytest.raises(ValueError, match="could not convert"):
            float(other)
