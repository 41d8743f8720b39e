"""Checks of the recorded exchanges against the API contract."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from typing import Any

from jsonschema import Draft202012Validator
from jsonschema.exceptions import SchemaError
from referencing import Registry
from referencing.exceptions import Unresolvable

from harness.checks import check, failed, passed, skipped, warned
from harness.records import Contract, Exchange, Finding
from harness.spec import Example, Spec, Tolerance

SHOWN = 300  # characters of a body in a finding
NO_EXAMPLES = "x-harness.contract names no examples"


@check("contract.examples", rubric="Infra 3: The full ML pipeline is integration tested")
def examples(spec: Spec, contract: Contract) -> Iterator[Finding]:
    """Every example gets the promised answer."""
    if not spec.examples:
        yield skipped(NO_EXAMPLES)
        return
    good = 0
    for example in spec.examples:
        exchange = contract.answer(f"example:{example.name}")
        differences = ["no request was recorded"] if exchange is None else list(_differences(example, exchange))
        if not differences:
            good += 1
            continue
        yield failed(
            expected=f"{example.name}: status {example.status}"
            + (f" and {_short(json.dumps(example.response))}" if example.has_response else ""),
            received="\n".join(differences),
            advice=f"Correct the model or the service; if the new answer is right, correct {example.file}.",
        )
    if good == len(spec.examples):
        yield passed(f"{good} of {good} examples answered as promised")


@check("contract.rejects-malformed")
def rejects_malformed(spec: Spec, contract: Contract) -> Iterator[Finding]:
    """Malformed requests get a 4xx answer, and the service answers the next good one as before."""
    cases = [e for e in contract.exchanges if e.case.startswith("malformed:")]
    if not cases:
        yield skipped(NO_EXAMPLES if not spec.examples else "the first example is no JSON object or list of them")
        return
    reference = contract.answer(f"example:{spec.examples[0].name}")
    validator = _validator(contract.document, spec.block.contract.predict)
    verdicts = {exchange.case: _rejection(exchange, validator) for exchange in cases}
    findings = [
        *_broken([e for e in cases if verdicts[e.case] == "broken"]),
        *_accepted([e for e in cases if verdicts[e.case] == "ruled out"], documented=True, fails=True),
        *_accepted(
            [e for e in cases if verdicts[e.case] == "not promised"],
            documented=False,
            fails=spec.block.contract.strict,
        ),
        *_unrecovered(contract, cases, reference),
    ]
    yield from findings
    if not findings:
        optional = sum(verdict == "optional" for verdict in verdicts.values())
        left_out = f", {optional} optional fields left out" if optional else ""
        yield passed(f"{len(cases) - optional} refused{left_out}, a good request answered after each")


def compare(expected: Any, received: Any, tolerance: Tolerance, path: str = "") -> Iterator[str]:
    """Yield each difference. Numbers compare as numbers; an object may have more keys than expected."""
    where = path or "/"
    if isinstance(expected, dict) and isinstance(received, dict):
        for key, value in expected.items():
            if key in received:
                yield from compare(value, received[key], tolerance, f"{path}/{key}")
            else:
                yield f"{path}/{key} is missing"
    elif isinstance(expected, list) and isinstance(received, list):
        if len(expected) != len(received):
            yield f"{where}: expected {len(expected)} items, received {len(received)}"
        for number, (left, right) in enumerate(zip(expected, received, strict=False)):
            yield from compare(left, right, tolerance, f"{path}/{number}")
    elif _is_number(expected) and _is_number(received):
        limit = _allowed(expected, tolerance)
        if not _is_close(expected, received, limit):
            shown = f"expected {_short(repr(expected))}, received {_short(repr(received))}"
            yield f"{where}: {shown} (more than {limit:.3g} off)"
    elif type(expected) is not type(received) or expected != received:
        yield f"{where}: expected {_short(json.dumps(expected))}, received {_short(json.dumps(received))}"


def _allowed(expected: float, tolerance: Tolerance) -> float:
    try:
        return max(tolerance.absolute, tolerance.relative * abs(expected))
    except OverflowError:  # an integer beyond all floats
        return tolerance.absolute


def _is_close(expected: float, received: float, limit: float) -> bool:
    try:
        finite = math.isfinite(expected) and math.isfinite(received)
        return expected == received or (finite and abs(expected - received) <= limit)
    except OverflowError:  # an integer beyond all floats is near to itself alone
        return expected == received


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _differences(example: Example, exchange: Exchange) -> Iterator[str]:
    if exchange.status != example.status:
        yield f"{_answer(exchange)}"
        return
    if not example.has_response:
        return
    try:
        body = json.loads(exchange.response)
    except (ValueError, RecursionError):
        yield f"the answer is not JSON: {_short(exchange.response.decode(errors='replace'))}"
        return
    yield from compare(example.response, body, example.tolerance)


def _rejection(exchange: Exchange, validator: Draft202012Validator | None) -> str:
    """Judge the answer to one malformed request.

    `refused`: 4xx. `broken`: no answer or 5xx, which no input may cause. Of the accepted ones, `ruled out`: it is no
    JSON, or the service's own document forbids it; `optional`: that document lets the field be left out, so the
    request was a good one; `not promised`: nobody said that it would be refused.
    """
    kind = exchange.case.split(":")[1]
    if exchange.status is not None and 400 <= exchange.status < 500:  # noqa: PLR2004 - 4xx
        return "refused"
    if exchange.status is None or exchange.status >= 500:  # noqa: PLR2004 - 5xx
        return "broken"
    if kind == "broken-json":
        return "ruled out"
    allowed = _allows(validator, exchange.request)
    if allowed is False:
        return "ruled out"
    return "optional" if allowed and kind == "missing" else "not promised"


def _allows(validator: Draft202012Validator | None, request: bytes) -> bool | None:
    """Whether the service's own document allows a request; None where it does not say."""
    try:
        return None if validator is None else bool(validator.is_valid(json.loads(request)))
    except (Unresolvable, RecursionError):  # it refers to what it does not have, or to itself
        return None


def _broken(exchanges: list[Exchange]) -> Iterator[Finding]:
    if exchanges:
        yield failed(
            expected="a 4xx answer to every malformed request",
            received=_listed(exchanges),
            advice="Validate the request before predicting, and answer 400 or 422 with a JSON error.",
        )


def _accepted(exchanges: list[Exchange], *, documented: bool, fails: bool) -> Iterator[Finding]:
    if exchanges:
        judge = failed if fails else warned
        yield judge(
            expected="a 4xx answer to "
            + ("requests that JSON or the API document rules out" if documented else "these"),
            received=_listed(exchanges),
            advice="Refuse what the model was not trained for: strict types, required fields, no unknown fields.",
        )


def _unrecovered(contract: Contract, cases: list[Exchange], reference: Exchange | None) -> Iterator[Finding]:
    """Judge the good request after each bad one: answered as the first one was."""
    wrong = []
    for exchange in cases:
        after = contract.answer(exchange.case.replace("malformed:", "recovery:", 1))
        if after is None or reference is None or after.status != reference.status:
            wrong.append((exchange.case, after))
    if wrong:
        case, after = wrong[0]
        yield failed(
            expected=f"after every bad request a good one is answered {reference.status if reference else 'at all'}",
            received=f"after {len(wrong)} of {len(cases)} it is not, first after {case}: "
            + (_answer(after) if after else "nothing was recorded"),
            advice="A bad request must not change the service: no shared state, no dying workers.",
        )


def _listed(exchanges: list[Exchange]) -> str:
    """Name the cases, and show the first answer."""
    names = ", ".join(exchange.case.removeprefix("malformed:") for exchange in exchanges)
    return f"{names}\n{_answer(exchanges[0])}"


def _validator(document: dict[str, Any] | None, path: str) -> Draft202012Validator | None:
    """Return a validator of the documented request body of POST `path` (OpenAPI 3.1: JSON Schema 2020-12)."""
    try:
        operation = (document or {})["paths"][path]["post"]
        schema = operation["requestBody"]["content"]["application/json"]["schema"]
        whole = {**schema, "components": (document or {}).get("components", {})}
        Draft202012Validator.check_schema(whole)
    except (KeyError, TypeError, SchemaError):
        return None
    # An empty registry: a reference to elsewhere must not make a check ask the network.
    return Draft202012Validator(whole, registry=Registry())


def _answer(exchange: Exchange) -> str:
    if exchange.status is None:
        return f"no answer: {exchange.error}"
    return f"status {exchange.status}: {_short(exchange.response.decode(errors='replace'))}"


def _short(text: str) -> str:
    return text if len(text) <= SHOWN else text[:SHOWN] + "..."
