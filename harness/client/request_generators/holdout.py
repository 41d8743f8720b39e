"""Predictions of hold-out rows: the requests that ask for them, what the answers say, and the file that keeps them."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from harness.client.protocols.protocol import Dialect
from harness.client.protocols.rows import at
from harness.client.request_generators.behaviour import resolve
from harness.evidence.records.scored import NEW, HoldoutRow, Prediction, Scalar

SUM_SLACK = 0.01  # probabilities that were rounded still count as such
SHORT = 120


def grouped(requests: Sequence[Any], dialect: Dialect, size: int) -> Iterator[list[Any]]:
    """Yield requests of one row each in groups that `joined` makes one request of; alone, where that cannot be."""
    step = size if requests and dialect.batch(requests[0]) else 1
    for start in range(0, len(requests), step):
        yield list(requests[start : start + step])


def joined(requests: Sequence[Any], dialect: Dialect) -> Any:
    """Return one request with the rows of all."""
    first = dialect.batch(requests[0])
    if first is None or len(requests) == 1:
        return requests[0]
    return first.build([row_of(request, dialect) for request in requests])


def row_of(request: Any, dialect: Dialect) -> Any:
    """Return the row of a request of one row."""
    batch = dialect.batch(request)
    return batch.rows[0] if batch else request


def answers(response: Any, count: int, dialect: Dialect) -> tuple[Any, ...] | None:
    """Return the answer to each row; None where the response does not hold as many."""
    found = dialect.answers(response, count)
    return (response,) if found is None and count == 1 else found


def prediction(answer: Any, pointer: str, target: str) -> Prediction:
    """Return what an answer to one row predicts. Raises ValueError.

    Without a pointer it is the answer itself, its field with the name of the target, or its only plain field.
    """
    value = at(answer, resolve(answer, pointer)) if pointer else _plain(answer, target)
    if not _is_scalar(value):
        raise ValueError(f"the prediction is neither a text nor a finite number: {_short(value)}")
    return Prediction(value, _probabilities(answer))


def label_of(value: Any) -> Scalar | None:
    """Return a label as the file has it; None where there is none."""
    if value is None or value == "" or (isinstance(value, float) and math.isnan(value)):
        return None
    return value if isinstance(value, bool | int | float | str) else json.dumps(value)


def digest(row: Mapping[str, Any], target: str) -> str:
    """Return what identifies a row by its values, its label left out: rows may be added, sorted or relabelled."""
    values = {str(name): value for name, value in row.items() if name != target}
    text = json.dumps(values, sort_keys=True, default=str)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]


def kept(digests: Sequence[str], rows: Iterable[HoldoutRow]) -> str:
    """Return the served model's predictions as a file, one JSON object a line, that can be a baseline later."""
    lines = []
    for key, row in zip(digests, rows, strict=True):
        if (found := row.predictions.get(NEW)) is not None:
            entry = {"row": key, "prediction": found.value}
            chances = {"probabilities": dict(found.probabilities)} if found.probabilities else {}
            lines.append(json.dumps({**entry, **chances}, ensure_ascii=False))
    return "\n".join(lines)


def read_kept(text: str) -> dict[str, Prediction]:
    """Return the prediction of each digest in such a file. Raises ValueError."""
    found = {}
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip():
            continue
        match json.loads(line):
            case {"row": str(key), "prediction": bool() | int() | float() | str() as value, **rest} if _is_scalar(
                value
            ):
                found[key] = Prediction(value, _chances(rest.get("probabilities")))
            case other:
                raise ValueError(f"line {number}: expected `row` and `prediction`, received {_short(other)}")
    return found


def _plain(answer: Any, target: str) -> Any:
    if isinstance(answer, list) and len(answer) == 1:
        return _plain(answer[0], target)
    if not isinstance(answer, dict) or not answer:
        return answer
    if target in answer:
        return answer[target]
    plain = [value for value in answer.values() if _is_scalar(value)]
    if len(plain) != 1:
        raise ValueError(f"which field is the prediction? `quality.prediction` can name it: {_short(answer)}")
    return plain[0]


def _probabilities(answer: Any) -> Mapping[str, float] | None:
    """Return the first object in an answer that holds a probability for each class."""
    if not isinstance(answer, dict):
        return None
    found = _chances(answer)
    return found or next((chances for value in answer.values() if (chances := _chances(value))), None)


def _chances(value: Any) -> Mapping[str, float] | None:
    if not isinstance(value, dict) or len(value) < 2:  # noqa: PLR2004 - one class is no choice
        return None
    numbers = list(value.values())
    if not all(isinstance(n, int | float) and not isinstance(n, bool) and 0 <= n <= 1 for n in numbers):
        return None
    return {str(k): float(n) for k, n in value.items()} if abs(sum(numbers) - 1) <= SUM_SLACK else None


def _is_scalar(value: Any) -> bool:
    if isinstance(value, float):
        return math.isfinite(value)
    return isinstance(value, bool | int | str)


def _short(value: Any) -> str:
    text = json.dumps(value, default=str)
    return text if len(text) <= SHORT else text[:SHORT] + "..."
