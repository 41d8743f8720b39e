"""Checks of the recorded exchanges against the API contract."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from typing import Any

from jsonschema import Draft202012Validator
from jsonschema.exceptions import SchemaError

from harness.checks import check, failed, passed, skipped, warned
from harness.records import Contract, Example, Exchange, Finding, Spec, Tolerance

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
    findings: list[Finding] = []
    for exchange in cases:
        name = exchange.case.removeprefix("malformed:")
        findings += _rejection(name, exchange, validator, strict=spec.block.contract.strict)
        findings += _recovery(name, contract.answer(f"recovery:{name}"), reference)
    yield from findings
    if not findings:
        yield passed(f"{len(cases)} malformed requests refused, {len(cases)} good ones answered after them")


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
        if not math.isclose(expected, received, rel_tol=0, abs_tol=_allowed(expected, tolerance)):
            limit = _allowed(expected, tolerance)
            yield f"{where}: expected {expected!r}, received {received!r} (more than {limit:.3g} off)"
    elif type(expected) is not type(received) or expected != received:
        yield f"{where}: expected {_short(json.dumps(expected))}, received {_short(json.dumps(received))}"


def _allowed(expected: float, tolerance: Tolerance) -> float:
    return max(tolerance.absolute, tolerance.relative * abs(expected))


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
    except ValueError:
        yield f"the answer is not JSON: {_short(exchange.response.decode(errors='replace'))}"
        return
    yield from compare(example.response, body, example.tolerance)


def _rejection(
    name: str, exchange: Exchange, validator: Draft202012Validator | None, *, strict: bool
) -> Iterator[Finding]:
    """Judge the answer to one malformed request.

    No answer and 5xx break a universal rule. An accepted request fails when it is no JSON, or when the service's
    own document rules it out; otherwise nothing was promised, and it is a warning unless the contract is strict.
    """
    if exchange.status is not None and 400 <= exchange.status < 500:  # noqa: PLR2004 - 4xx
        return
    if exchange.status is None or exchange.status >= 500:  # noqa: PLR2004 - 5xx
        yield failed(
            expected=f"{name}: a 4xx answer",
            received=_answer(exchange),
            advice="Validate the request before predicting, and answer 400 or 422 with a JSON error.",
        )
        return
    ruled_out = name == "broken-json" or (
        validator is not None and not validator.is_valid(json.loads(exchange.request))
    )
    judge = failed if ruled_out or strict else warned
    yield judge(
        expected=f"{name}: a 4xx answer" + (", as the OpenAPI document says" if ruled_out and validator else ""),
        received=_answer(exchange),
        advice="Refuse what the model was not trained for: strict types, required fields, no unknown fields.",
    )


def _recovery(name: str, after: Exchange | None, reference: Exchange | None) -> Iterator[Finding]:
    if after is None or reference is None:
        yield failed(expected=f"{name}: a good request after it", received="none was recorded", advice="Run again.")
    elif after.status != reference.status:
        yield failed(
            expected=f"the good request after {name} is answered {reference.status} as before",
            received=_answer(after),
            advice="A bad request must not change the service: no shared state, no dying workers.",
        )


def _validator(document: dict[str, Any] | None, path: str) -> Draft202012Validator | None:
    """Return a validator of the documented request body of POST `path` (OpenAPI 3.1: JSON Schema 2020-12)."""
    try:
        operation = (document or {})["paths"][path]["post"]
        schema = operation["requestBody"]["content"]["application/json"]["schema"]
        whole = {**schema, "components": (document or {}).get("components", {})}
        Draft202012Validator.check_schema(whole)
    except (KeyError, TypeError, SchemaError):
        return None
    return Draft202012Validator(whole)


def _answer(exchange: Exchange) -> str:
    if exchange.status is None:
        return f"no answer: {exchange.error}"
    return f"status {exchange.status}: {_short(exchange.response.decode(errors='replace'))}"


def _short(text: str) -> str:
    return text if len(text) <= SHOWN else text[:SHOWN] + "..."
