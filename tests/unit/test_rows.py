"""The rows of a request and the predictions of an answer."""

from __future__ import annotations

from typing import Any

import pytest

from harness.client.protocols.rows import answers_of_json, batch_at, batch_of_json

A, B = {"x": 1}, {"x": 2}


@pytest.mark.parametrize(
    ("request_", "rows", "rebuilt"),
    [
        ({"instances": [A, B]}, (A, B), {"instances": [B]}),
        ([A, B], (A, B), [B]),
        ([[1, 2], [3, 4]], ([1, 2], [3, 4]), [B]),
        ({"data": {"rows": [[1], [2]], "id": 5}}, ([1], [2]), {"data": {"rows": [B], "id": 5}}),
        ({"tags": [], "rows": [A]}, (A,), {"tags": [], "rows": [B]}),
    ],
)
def test_rows_are_found(request_: Any, rows: tuple[Any, ...], rebuilt: Any) -> None:
    """The rows are the outermost list of objects or lists; another request is built around other rows."""
    batch = batch_of_json(request_)
    assert batch is not None
    assert batch.rows == rows
    assert batch.build([B]) == rebuilt


@pytest.mark.parametrize("request_", [{"features": [1, 2]}, {"x": 1}, [], {}, [1, 2], "text", 5, None, [A, 1]])
def test_requests_without_rows(request_: Any) -> None:
    """A list of plain values is one row, not many; so there is no batch."""
    assert batch_of_json(request_) is None


def test_building_leaves_the_request_alone() -> None:
    """What is built shares nothing with the request that it was made of."""
    request = {"a": {"rows": [A]}}
    batch = batch_at(request, ("a", "rows"))
    assert batch is not None
    batch.build([B])["a"]["rows"].append(1)
    assert request == {"a": {"rows": [A]}}
    assert batch_at(request, ("a", "nowhere")) is None
    assert batch_at(request, ("a", "rows", "x")) is None
    assert batch_at(request, ("a",)) is None


@pytest.mark.parametrize(
    ("response", "answers"),
    [
        ([1, 2], (1, 2)),
        ({"predictions": [1, 2], "model": "m"}, (1, 2)),
        (
            {"labels": ["a", "b"], "scores": [0.1, 0.9]},
            ({"labels": "a", "scores": 0.1}, {"labels": "b", "scores": 0.9}),
        ),
        ({"result": {"values": [[1], [2]]}}, ([1], [2])),
        ({"predictions": [1]}, None),
        ([1], None),
        ({"prediction": 5}, None),
        ("text", None),
        (None, None),
    ],
)
def test_answers(response: Any, answers: tuple[Any, ...] | None) -> None:
    """Two rows have two predictions, in one list or in parallel ones; else there are none."""
    assert answers_of_json(response, 2) == answers
