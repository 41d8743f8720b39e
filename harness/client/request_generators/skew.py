"""Requests made of the rows of a table, one row each, in the form of the first example; and the answers to them.

The keys are those of the example's first row: other columns, such as the target, are left out. A text of a CSV file
becomes what the example holds at that key. A missing value becomes null, or is left out where some example leaves
that field out and none has a null there.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

from harness.client.protocols.protocol import Dialect
from harness.client.protocols.rows import Batch, at
from harness.client.request_generators import Request
from harness.client.request_generators.malformed import record_path
from harness.config.spec import Example
from harness.evidence.records import Skew

FeatureRow = Mapping[str, Any]
TRUE, FALSE = ("true", "1", "yes"), ("false", "0", "no")


@dataclass(frozen=True)
class _Form:
    """What the examples say of a row."""

    batch: Batch
    names: tuple[str, ...]
    samples: Mapping[str, Any]  # a value of each field that is not null, where an example has one
    nulls: frozenset[str]
    absent: frozenset[str]

    def may_lack(self, name: str) -> bool:
        """Whether a row without a value leaves the field out."""
        return name in self.absent and name not in self.nulls


def row_requests(rows: Sequence[FeatureRow], examples: Sequence[Example], dialect: Dialect) -> list[Any]:
    """Return one request for each row. Raises ValueError where the rows do not fit the examples."""
    form = _form(examples, dialect)
    return [form.batch.build([_row(form, row, number)]) for number, row in enumerate(rows, start=1)]


def skew_requests(skew: Skew) -> Iterator[Request]:
    """Yield the requests that the training image has answered, for the service: `skew:<number>`."""
    for number, request in enumerate(skew.requests):
        yield Request(f"skew:{number}", json.dumps(request).encode())


def answers_in(printed: str, count: int, dialect: Dialect) -> list[Any]:
    """Return the answers that a program printed between the lines of its log.

    An answer is a line that is a JSON object or list as a whole; where no line is, any JSON value. Where a log is in
    JSON too, so that there are more than `count` such lines, those in which the dialect finds one prediction.
    """
    values = [value for line in printed.splitlines() if (value := _json(line)) is not _NONE]
    found = [value for value in values if isinstance(value, dict | list)] or values
    if len(found) > count:
        predictions = [value for value in found if dialect.answers(value, 1) is not None]
        return predictions if len(predictions) == count else found
    return found


_NONE = object()


def _json(line: str) -> Any:
    try:
        return json.loads(line)
    except (ValueError, RecursionError):
        return _NONE


def _form(examples: Sequence[Example], dialect: Dialect) -> _Form:
    good = [example.request for example in examples if example.status < 300]  # noqa: PLR2004 - 2xx
    if not good:
        raise ValueError("there is no example with a good request, whose form the rows could take")
    batches = [batch for request in good if (batch := _batch(request, dialect)) is not None]
    if not batches:
        raise ValueError("the first example holds no row: neither a list of rows nor one object of plain values")
    rows = [_named(batch, row) for batch in batches for row in batch.rows]
    first = rows[0]
    samples = {name: row[name] for row in reversed(rows) for name in row if row[name] is not None}
    return _Form(
        batch=batches[0],
        names=tuple(first),
        samples=samples,
        nulls=frozenset(name for row in rows for name in row if row[name] is None),
        absent=frozenset(name for row in rows for name in first if name not in row),
    )


def _batch(request: Any, dialect: Dialect) -> Batch | None:
    if batch := dialect.batch(request):
        return batch
    path = record_path(request)
    if path is None:
        return None

    def build(rows: Sequence[Any]) -> Any:
        if not path:
            return rows[0]
        made = deepcopy(request)
        at(made, path[:-1])[path[-1]] = rows[0]
        return made

    return Batch((at(request, path),), build)


def _named(batch: Batch, row: Any) -> dict[str, Any]:
    """Return a row as an object; a list takes the names of the request's only list of as many texts."""
    if isinstance(row, dict):
        return row
    names = _names(batch.build([row]), len(row)) if isinstance(row, list) else None
    if names is None:
        raise ValueError(f"the rows of the examples have no names that columns could be found by: {json.dumps(row)}")
    return dict(zip(names, row, strict=True))


def _names(value: Any, count: int) -> list[str] | None:
    if isinstance(value, list) and len(value) == count and all(isinstance(name, str) for name in value):
        return value
    children = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return next((found for child in children if (found := _names(child, count)) is not None), None)


def _row(form: _Form, row: FeatureRow, number: int) -> Any:
    made: dict[str, Any] = {}
    for name in form.names:
        if name not in row and name not in form.absent:
            known = ", ".join(map(str, row))
            raise ValueError(f"row {number}: expected the column {name}, as in the first example, received {known}")
        value = _value(row.get(name), form.samples.get(name), f"row {number}, {name}")
        if value is not None or not form.may_lack(name):
            made[name] = value
    return made if isinstance(form.batch.rows[0], dict) else list(made.values())


def _value(value: Any, sample: Any, where: str) -> Any:
    """Return a value as JSON of the kind that the sample is; a text is read, anything else stays."""
    if value is None or value == "" or (isinstance(value, float) and math.isnan(value)):
        return None
    if not isinstance(value, str) or isinstance(sample, str):
        return value
    try:
        return _read(value, sample)
    except ValueError as exc:
        raise ValueError(f"{where}: expected a value like {json.dumps(sample)}, received {value!r}") from exc


def _read(text: str, sample: Any) -> Any:
    if isinstance(sample, bool):
        if text.lower() not in (*TRUE, *FALSE):
            raise ValueError
        return text.lower() in TRUE
    if isinstance(sample, int | float):
        number = float(text)
        if not math.isfinite(number):
            raise ValueError
        return int(number) if isinstance(sample, int) and number.is_integer() else number
    value = _json(text)  # no example has a value there, or a list or an object
    return text if value is _NONE else value
