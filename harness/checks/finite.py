"""Checks that a prediction is one: no NaN, no Infinity, and no null in its place."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from harness.checks import check, failed, passed, skipped
from harness.checks.contract import NO_EXAMPLES
from harness.checks.naming import is_predicted
from harness.checks.volatile import AnswerPath, LeftOut, leaves, left_out, may_be_predicted, pointer
from harness.client.compare import described, is_number, parse
from harness.client.json_text import read_json
from harness.config.spec import Spec
from harness.evidence.records import Contract, Exchange, Finding
from harness.openapi.nullable import answer_allows_null

KINDS = ("example", "batch", "single", "behaviour")
NOT_FINITE = ("nan", "inf", "infinity", "-inf", "-infinity", "+inf", "+infinity")  # as texts


@dataclass(frozen=True)
class _Known:
    """What stands where: in what the examples promise, and in all answers to good requests."""

    aside: LeftOut
    contract: Contract
    promised: frozenset[AnswerPath]  # places at which every promise has a value
    nulls: frozenset[AnswerPath]  # places at which some promise has null
    texts: frozenset[tuple[AnswerPath, str]]  # promised ones
    numbers: frozenset[AnswerPath]
    words: frozenset[AnswerPath]  # places at which ordinary texts stand


@check("contract.finite", rubric="Monitor 5")
def finite(spec: Spec, contract: Contract) -> Iterator[Finding]:
    """No answer to a good request has NaN, Infinity or null where a prediction belongs."""
    if not spec.examples:
        yield skipped(NO_EXAMPLES)
        return
    aside = left_out(spec, contract)
    good = [e for kind in KINDS for e in contract.of(kind) if aside.dialect.is_answer(e) and _is_json(e)]
    known = _known(spec, contract, aside, good)
    wrong = [(exchange, problem) for exchange in good if (problem := _problem(exchange, known))]
    for exchange, problem in wrong[:3]:
        yield failed(
            expected="finite numbers in every prediction",
            received=f"{exchange.case}: {problem} in {described(exchange)}",
            advice="Find the row that overflows or divides by zero; answer 4xx where the model has no answer. A field "
            "that may be null says so in the API document, or has null in an example.",
        )
    if not good:
        yield skipped("no good request was answered with JSON, so nothing could be looked at: see contract.examples")
    elif not wrong:
        yield passed(f"{len(good)} answers hold finite numbers only")


def _known(spec: Spec, contract: Contract, aside: LeftOut, good: Sequence[Exchange]) -> _Known:
    promised = [
        each for e in spec.examples if e.is_good and e.has_response for each in leaves(aside.promised(e.response))
    ]
    found = [each for e in good for each in leaves(aside.of(parse(e)))]
    nulls = frozenset(path for path, value in promised if value is None)
    return _Known(
        aside=aside,
        contract=contract,
        promised=frozenset(path for path, _ in promised) - nulls,
        nulls=nulls,
        texts=frozenset((path, value) for path, value in promised if isinstance(value, str)),
        numbers=frozenset(path for path, value in (*promised, *found) if is_number(value)),
        words=frozenset(path for path, value in found if isinstance(value, str) and not _is_not_finite(value)),
    )


def _problem(exchange: Exchange, known: _Known) -> str:
    """Say what of an answer is no prediction; empty where nothing is."""
    constants: list[str] = []
    body = read_json(exchange.response, parse_constant=constants.append)
    if constants:
        return constants[0]
    answer = known.aside.of(body)
    for path, value in leaves(answer):
        if isinstance(value, str) and _is_not_finite(value) and _wants_number(path, value, known):
            return f"the text {value} at {pointer(path)}"
    return next((f"null at {pointer(path)}" for path in _nulls(answer) if _is_lost(path, answer, exchange, known)), "")


def _wants_number(path: AnswerPath, text: str, known: _Known) -> bool:
    if (path, text) in known.texts:
        return False
    return path in known.numbers or (is_predicted(path) and path not in known.words)


def _is_lost(path: AnswerPath, answer: Any, exchange: Exchange, known: _Known) -> bool:
    """Whether the null at a place stands for a prediction that got lost."""
    if path in known.nulls:
        return False
    if path in known.promised:
        return True
    if answer_allows_null(known.contract.document, exchange.path, exchange.status or 0, path):
        return False
    if path in known.numbers:
        return True
    beside = [p for p, value in _beside(answer, path) if value is not None]
    if is_predicted(path):
        return path[-1] == "*" or not any(is_predicted(p) for p in beside)
    return not any(may_be_predicted(p) for p in beside)


def _beside(answer: Any, path: AnswerPath) -> Iterator[tuple[AnswerPath, Any]]:
    """Yield what stands in the same object as a place, or below it; for a position in what holds its list."""
    holder = path
    while holder and holder[-1] == "*":
        holder = holder[:-1]
    holder = holder[:-1]
    return (each for each in leaves(answer) if each[0][: len(holder)] == holder and each[0] != path)


def _nulls(answer: Any) -> Iterator[AnswerPath]:
    return (path for path, value in leaves(answer) if value is None)


def _is_not_finite(text: str) -> bool:
    return text.strip().lower() in NOT_FINITE


def _is_json(exchange: Exchange) -> bool:
    try:
        parse(exchange)
    except (ValueError, RecursionError):
        return False
    return True
