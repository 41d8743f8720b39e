"""Finds the rows of a JSON request, and the predictions of a JSON answer, one for each row."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from copy import deepcopy
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Batch:
    """The rows of one request, and how to make the same request of other rows."""

    rows: tuple[Any, ...]
    build: Callable[[Sequence[Any]], Any]


def at(value: Any, path: Sequence[str | int]) -> Any:
    """Return what stands at a path of keys and positions. Raises KeyError, IndexError or TypeError."""
    for key in path:
        value = value[key]
    return value


def batch_at(request: Any, path: Sequence[str | int]) -> Batch | None:
    """Return the list at a path of a request as its rows; None where there is none."""
    try:
        rows = at(request, path)
    except (KeyError, IndexError, TypeError):
        return None
    if not isinstance(rows, list) or not rows:
        return None

    def build(other: Sequence[Any]) -> Any:
        if not path:
            return list(other)
        made = deepcopy(request)
        at(made, path[:-1])[path[-1]] = list(other)
        return made

    return Batch(tuple(rows), build)


def batch_of_json(request: Any) -> Batch | None:
    """Return the rows of a request of no known form: its first list of objects or of lists, outermost first."""
    level: list[tuple[tuple[str | int, ...], Any]] = [((), request)]
    while level:
        for path, value in level:
            if isinstance(value, list) and value and all(isinstance(row, dict | list) for row in value):
                return batch_at(request, path)
        level = [
            ((*path, key), child) for path, value in level if isinstance(value, dict) for key, child in value.items()
        ]
    return None


def answers_of_json(response: Any, count: int) -> tuple[Any, ...] | None:
    """Return one prediction for each of `count` rows; None where the answer has no list of that length.

    Parallel lists, such as labels beside probabilities, are taken together: the prediction of a row is then a
    mapping of their names to the row's values.
    """
    if isinstance(response, list):
        return tuple(response) if len(response) == count else None
    if not isinstance(response, dict):
        return None
    columns = {key: value for key, value in response.items() if isinstance(value, list) and len(value) == count}
    if len(columns) == 1:
        return tuple(next(iter(columns.values())))
    if columns:
        return tuple({key: column[number] for key, column in columns.items()} for number in range(count))
    for value in response.values():
        if isinstance(value, dict) and (found := answers_of_json(value, count)) is not None:
            return found
    return None
