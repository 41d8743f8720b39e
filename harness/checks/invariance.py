"""Checks that what must not matter does not: how rows are put together, their order, the order of fields, the time."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from harness.checks import check, failed, passed, skipped, vocabulary, warned
from harness.checks.naming import words
from harness.checks.volatile import DECLARE, LeftOut, left_out
from harness.client.compare import SAME, compare, described, is_limited, parse, short
from harness.client.protocols import DIALECTS
from harness.config.spec import Spec, Tolerance
from harness.evidence.records import Contract, Exchange, Finding

CLOSE = Tolerance(1e-6, 1e-9)  # BLAS may sum a batch in another order than a single row
NO_BATCH = "the examples hold no list of rows, so there is one row a request"
ADVICE = "Predictions must depend on the row alone: look for state, for statistics of the batch, for dropped indices."


@check("contract.batch-invariant")
def batch_invariant(spec: Spec, contract: Contract) -> Iterator[Finding]:
    """A row gets the same prediction alone and in a batch."""
    whole, reason = _batch(spec, contract)
    if whole is None:
        yield skipped(reason)
        return
    wrong = []
    aside, places = left_out(spec, contract), _places(whole)
    for number, together in enumerate(whole):
        exchange = contract.answer(f"single:{number}")
        alone = _predictions(aside, exchange, 1)
        differences = list(compare(_unplaced(together, places), alone[0], CLOSE)) if alone else [_said(exchange)]
        if differences:
            wrong.append(f"row {number}: {differences[0]}")
    yield _verdict(wrong, f"{len(whole)} rows, alone and together", "the same prediction alone and in a batch")


@check("contract.row-order")
def row_order(spec: Spec, contract: Contract) -> Iterator[Finding]:
    """Rows in another order get the same predictions in that order."""
    whole, reason = _batch(spec, contract)
    if whole is None or len(whole) < 2:  # noqa: PLR2004 - one row has one order
        yield skipped(reason or "the examples hold one row only: add another")
        return
    exchange = contract.answer("reversed:all")
    turned = _predictions(left_out(spec, contract), exchange, len(whole))
    if turned is None:
        wrong = [_said(exchange)]
    else:
        pairs = enumerate(zip((_unplaced(row, _places(whole)) for row in whole), reversed(turned), strict=True))
        wrong = [f"row {n}: {d}" for n, (left, right) in pairs for d in list(compare(left, right, CLOSE))[:1]]
    yield _verdict(wrong, f"{len(whole)} rows in the opposite order", "each row's prediction at the row's place")


@check("contract.field-order")
def field_order(spec: Spec, contract: Contract) -> Iterator[Finding]:
    """The order of the fields in a JSON object does not matter."""
    good, turned = contract.answer("batch:all"), contract.answer("fields:all")
    dialect = DIALECTS[contract.interface.dialect]
    if good is not None and turned is not None and dialect.is_answer(good) and dialect.is_refusal(turned):
        # It says so itself, and nobody gets a wrong prediction.
        yield (failed if spec.block.contract.strict else warned)(
            expected="the fields in the opposite order: the same answer",
            received=f"refused: {described(turned)}",
            advice="The fields of a JSON object have no order: take the columns by their names, in the model's order.",
        )
        return
    yield _against_batch(spec, contract, ("fields:all",), "the fields in the opposite order")


@check("contract.repeatable")
def repeatable(spec: Spec, contract: Contract) -> Iterator[Finding]:
    """The same request gets the same answer again."""
    cases = tuple(exchange.case for exchange in contract.of("again"))
    yield _against_batch(spec, contract, cases, f"asked {len(cases) + 1} times")


def _against_batch(spec: Spec, contract: Contract, cases: tuple[str, ...], what: str) -> Finding:
    reference = contract.answer("batch:all")
    dialect = DIALECTS[contract.interface.dialect]
    if reference is None:
        return skipped("x-harness.contract names no examples")
    if not dialect.is_answer(reference):
        return skipped(f"the good request got no prediction ({described(reference)})")
    wrong = []
    aside = left_out(spec, contract)
    answers = [contract.answer(case) for case in cases]
    told = [exchange for exchange in answers if exchange is None or not is_limited(exchange)]
    if not told and answers:
        return skipped(f"the service limits how often it is asked: {_said(answers[0])}")
    for exchange in told:
        if exchange is None or exchange.status != reference.status:
            wrong.append(_said(exchange))
            continue
        try:
            left, right = aside.of(parse(reference)), aside.of(parse(exchange))
            wrong += list(compare(left, right, SAME))
        except (ValueError, RecursionError):
            wrong += [] if exchange.response == reference.response else [_said(exchange)]
    return _verdict(wrong, what, "the same answer")


def _batch(spec: Spec, contract: Contract) -> tuple[tuple[Any, ...] | None, str]:
    """Return the predictions of the whole batch, one a row; or None, and why there are none."""
    if not spec.examples:
        return None, "x-harness.contract names no examples"
    exchange = contract.answer("batch:all")
    dialect = DIALECTS[contract.interface.dialect]
    if exchange is None or not contract.of("single"):
        return None, NO_BATCH
    batch = dialect.batch(json.loads(exchange.request))
    if batch is None:
        return None, NO_BATCH
    if not dialect.is_answer(exchange):
        return None, f"the service answers no batch of {len(batch.rows)} rows: {described(exchange)}"
    found = _predictions(left_out(spec, contract), exchange, len(batch.rows))
    return found, "" if found else f"the answer has no list of {len(batch.rows)} predictions: {described(exchange)}"


def _predictions(aside: LeftOut, exchange: Exchange | None, count: int) -> tuple[Any, ...] | None:
    if exchange is None or not aside.dialect.is_answer(exchange):
        return None
    try:
        return aside.dialect.answers(aside.of(parse(exchange)), count)
    except (ValueError, RecursionError):
        return None


def _places(rows: tuple[Any, ...]) -> frozenset[str]:
    """Return the fields that only say at which place of its batch a row stands, such as `index`."""
    if len(rows) < 2 or not all(isinstance(row, dict) for row in rows):  # noqa: PLR2004 - one row has one place
        return frozenset()
    named = (key for key in rows[0] if words(key) and words(key) <= vocabulary.POSITION)
    return frozenset(
        key for key in named if any([row.get(key) for row in rows] == [*range(n, n + len(rows))] for n in (0, 1))
    )


def _unplaced(row: Any, places: frozenset[str]) -> Any:
    return {key: value for key, value in row.items() if key not in places} if places else row


def _said(exchange: Exchange | None) -> str:
    return "no request was recorded" if exchange is None else described(exchange)


def _verdict(wrong: list[str], what: str, expected: str) -> Finding:
    if not wrong:
        return passed(f"{what}: {expected}")
    return failed(
        expected=f"{what}: {expected}",
        received=f"{len(wrong)} differ, first {short(wrong[0])}",
        advice=f"{ADVICE} {DECLARE}",
    )
