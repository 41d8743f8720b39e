"""Requests that must get the same predictions: the same rows alone, together, in another order, and again.

They mirror scikit-learn's estimator checks of subset invariance, sample order and idempotence over HTTP.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

from harness.client.protocols.protocol import Dialect
from harness.client.protocols.rows import Batch
from harness.client.request_generators import Request
from harness.config.spec import Example

MAX_ROWS = 16
REPEATS = 2


def invariances(examples: Sequence[Example], dialect: Dialect) -> Iterator[Request]:
    """Yield `batch:all`, `single:<row>`, `reversed:all`, `fields:all` and `again:<n>`."""
    good = [example for example in examples if example.is_good]
    if not good:
        return
    pooled = pool(good, dialect)
    whole = pooled.build(pooled.rows) if pooled else good[0].request
    yield _request("batch:all", whole)
    yield _request("fields:all", turned(whole))
    for number in range(REPEATS):
        yield _request(f"again:{number}", whole)
    if pooled is None:
        return
    yield _request("reversed:all", pooled.build(pooled.rows[::-1]))
    for number, row in enumerate(pooled.rows):
        yield _request(f"single:{number}", pooled.build([row]))


def pool(examples: Sequence[Example], dialect: Dialect) -> Batch | None:
    """Return the rows of all examples that differ in their rows alone, as one batch; None for a service without."""
    batches = [batch for example in examples if (batch := dialect.batch(example.request))]
    if not batches:
        return None
    frame = json.dumps(batches[0].build(()), sort_keys=True)
    rows: list[Any] = []
    for batch in batches:
        if json.dumps(batch.build(()), sort_keys=True) == frame:
            rows += [row for row in batch.rows if row not in rows]
    return Batch(tuple(rows[:MAX_ROWS]), batches[0].build)


def turned(value: Any) -> Any:
    """Return the same JSON with the keys of every object in the opposite order."""
    if isinstance(value, dict):
        return {key: turned(value[key]) for key in reversed(value)}
    if isinstance(value, list):
        return [turned(child) for child in value]
    return value


def _request(case: str, body: Any) -> Request:
    return Request(case, json.dumps(body).encode())
