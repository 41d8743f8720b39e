"""Checks of the answers to malformed requests, one for each kind of them."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator
from enum import StrEnum
from typing import Any

from harness.checks import Check, check, failed, passed, skipped, warned
from harness.checks.contract import NO_EXAMPLES, proves_nothing
from harness.client.compare import described, is_limited, parse
from harness.client.json_text import read_json
from harness.client.protocols import DIALECTS
from harness.client.protocols.protocol import Dialect
from harness.client.request_generators.malformed import KINDS
from harness.config.spec import Spec
from harness.evidence.records import Contract, Exchange, Finding, Interface
from harness.openapi.bodies import documented_statuses, request_validator

TRACEBACK = b"Traceback (most recent call last)"
# A server that knows a method nowhere may say so (RFC 9110, 15.6.2), as Python's http.server does.
NOT_IMPLEMENTED = 501
# What no lenient parser lets through: a service whose own document rules it out has been found to be wrong.
HARD = ("missing", "unknown", "null", "wrong-type", "empty-batch")
ROUTES = ("method", "path")  # their answers come from the framework, and no document lists them


class RejectOutcome(StrEnum):
    """What became of one malformed request."""

    REFUSED = "refused"
    ALLOWED = "allowed by the API document"  # so it was a good one
    SHIPPED = "a weakness that the well-known servers of this protocol have"
    BROKEN = "no answer, 5xx or a traceback"  # which no input may cause
    RULED_OUT = "accepted, though JSON or the API document rules it out"
    ACCEPTED = "accepted, though nobody promised that it would be refused"
    UNDOCUMENTED = "refused with a status that the API document does not list"
    NON_FINITE = "answered with NaN or Infinity, which is no JSON"
    NOT_JSON = "refused, but not in the form of an error of this protocol"


FATAL = (RejectOutcome.BROKEN, RejectOutcome.RULED_OUT, RejectOutcome.NON_FINITE)
ADVICE = {
    RejectOutcome.SHIPPED: "",  # the dialect has it
    RejectOutcome.BROKEN: "Validate the request before predicting, and answer 400 or 422 with a JSON error.",
    RejectOutcome.RULED_OUT: "Refuse what the service's own document rules out, or correct the document.",
    RejectOutcome.NON_FINITE: "Refuse rows for which the model has no finite answer.",
    RejectOutcome.ACCEPTED: (
        "Refuse what the model was not trained for: strict types, required fields, no unknown fields."
    ),
    RejectOutcome.UNDOCUMENTED: "List the status in the API document, so that clients expect it.",
    RejectOutcome.NOT_JSON: "Answer errors as JSON too: clients parse them.",
}


def _rejects(kind: str) -> Check:
    def function(spec: Spec, contract: Contract) -> Iterator[Finding]:
        yield from judge(kind, spec, contract)

    function.__doc__ = f"A request with {KINDS[kind]} is refused with a documented 4xx and a JSON error."
    return check(f"contract.rejects-{kind}")(function)


def judge(kind: str, spec: Spec, contract: Contract) -> Iterator[Finding]:
    """Judge the answers to one kind of malformed request."""
    exchanges = contract.of(f"rejects-{kind}")
    if not exchanges:
        yield skipped(NO_EXAMPLES if not spec.examples else f"the first example has no place for {KINDS[kind]}")
        return
    exchanges = tuple(exchange for exchange in exchanges if exchange.case not in contract.in_vain)
    if not exchanges:
        yield skipped("the service had ended before: see contract.examples and contract.recovers")
        return
    exchanges, all_ = tuple(exchange for exchange in exchanges if not is_limited(exchange)), exchanges
    if not exchanges:
        yield skipped(f"the service limits how often it is asked: {described(all_[0])}")
        return
    dialect = DIALECTS[contract.interface.dialect]
    found: dict[RejectOutcome, list[Exchange]] = defaultdict(list)
    for exchange in exchanges:
        found[_verdict(kind, exchange, contract, dialect)].append(exchange)
    if (reason := proves_nothing(spec, contract)) and not found[RejectOutcome.BROKEN]:
        yield skipped(reason)
        return
    if not spec.block.contract.strict:  # the well-known servers of a protocol may say their errors in their own way
        found[RejectOutcome.REFUSED] += [e for e in found[RejectOutcome.NOT_JSON] if _is_shipped(e, dialect)]
        found[RejectOutcome.NOT_JSON] = [e for e in found[RejectOutcome.NOT_JSON] if not _is_shipped(e, dialect)]
    bad = {
        verdict: found[verdict]
        for verdict in ADVICE
        if found[verdict] and (not reason or verdict is RejectOutcome.BROKEN)
    }
    for verdict, cases in bad.items():
        fails = verdict in FATAL or spec.block.contract.strict
        yield (failed if fails else warned)(
            expected=f"{KINDS[kind]}: refused with a documented 4xx and a JSON error",
            received=f"{verdict}: {len(cases)} of {len(exchanges)}, such as {_where(cases[0])}\n{described(cases[0])}",
            advice=ADVICE[verdict] or dialect.weakness(kind, cases[0]),
        )
    if not bad:
        allowed = (
            f", {len(found[RejectOutcome.ALLOWED])} allowed by the API document" if found[RejectOutcome.ALLOWED] else ""
        )
        statuses = sorted({str(exchange.status) for exchange in found[RejectOutcome.REFUSED]})
        yield passed(f"{len(found[RejectOutcome.REFUSED])} refused ({', '.join(statuses) or 'none'}){allowed}")


def _verdict(kind: str, exchange: Exchange, contract: Contract, dialect: Dialect) -> RejectOutcome:
    if exchange.status is None or exchange.status >= 500 or TRACEBACK in exchange.response:  # noqa: PLR2004 - 5xx
        return _broken(kind, exchange, dialect)
    if dialect.is_refusal(exchange):
        return _refusal(kind, exchange, contract, dialect)
    if kind != "non-finite" and _is_non_finite(exchange):  # who sends NaN may get NaN back
        return RejectOutcome.NON_FINITE
    allows = _allows(kind, exchange, contract.document, contract.interface)
    if allows:
        return RejectOutcome.ALLOWED
    if kind == "malformed" or (allows is False and kind in HARD):
        return RejectOutcome.RULED_OUT
    return RejectOutcome.REFUSED if kind == "empty-batch" and _is_empty(exchange, dialect) else RejectOutcome.ACCEPTED


def _broken(kind: str, exchange: Exchange, dialect: Dialect) -> RejectOutcome:
    if kind == "method" and exchange.status == NOT_IMPLEMENTED and TRACEBACK not in exchange.response:
        return RejectOutcome.REFUSED
    return RejectOutcome.SHIPPED if dialect.weakness(kind, exchange) else RejectOutcome.BROKEN


def _refusal(kind: str, exchange: Exchange, contract: Contract, dialect: Dialect) -> RejectOutcome:
    if kind in ROUTES:
        return RejectOutcome.REFUSED
    listed = documented_statuses(contract.document, contract.interface.predict)
    if listed is not None and str(exchange.status) not in listed and not {"default", "4XX"} & listed:
        return RejectOutcome.UNDOCUMENTED
    if exchange.status in dialect.text_errors:
        return RejectOutcome.REFUSED
    try:
        body = parse(exchange)
    except (ValueError, RecursionError):
        return RejectOutcome.NOT_JSON
    if dialect.error is not None and not _fits(dialect.error, body):
        return RejectOutcome.NOT_JSON
    return RejectOutcome.REFUSED


def _is_shipped(exchange: Exchange, dialect: Dialect) -> bool:
    try:
        return dialect.error_shipped is not None and _fits(dialect.error_shipped, parse(exchange))
    except (ValueError, RecursionError):
        return False


def _fits(schema: Any, body: Any) -> bool:
    from jsonschema import Draft202012Validator

    return bool(Draft202012Validator(schema).is_valid(body))


def _allows(kind: str, exchange: Exchange, document: dict[str, Any] | None, interface: Interface) -> bool | None:
    """Whether the service's own document allows a request; None where it does not say."""
    if kind in (*ROUTES, "content-type", "non-finite"):  # NaN is no JSON: no document can allow it
        return None
    validator = request_validator(document, interface.predict)
    try:
        return None if validator is None else validator(json.loads(exchange.request))
    except (ValueError, RecursionError):
        return None


def _is_non_finite(exchange: Exchange) -> bool:
    constants: list[str] = []
    try:
        read_json(exchange.response, parse_constant=constants.append)
    except (ValueError, RecursionError):
        return False
    return bool(constants)


def _is_empty(exchange: Exchange, dialect: Dialect) -> bool:
    """Whether no rows got no predictions: an honest answer."""
    try:
        return dialect.answers(parse(exchange), 0) == ()
    except (ValueError, RecursionError):
        return False


def _where(exchange: Exchange) -> str:
    return exchange.case.partition(":")[2]


rejects_malformed = _rejects("malformed")
rejects_deep_nesting = _rejects("deep-nesting")
rejects_content_type = _rejects("content-type")
rejects_method = _rejects("method")
rejects_path = _rejects("path")
rejects_missing = _rejects("missing")
rejects_unknown = _rejects("unknown")
rejects_null = _rejects("null")
rejects_wrong_type = _rejects("wrong-type")
rejects_boolean = _rejects("boolean")
rejects_number_as_text = _rejects("number-as-text")
rejects_non_finite = _rejects("non-finite")
rejects_huge_integer = _rejects("huge-integer")
rejects_empty_batch = _rejects("empty-batch")
rejects_oversized = _rejects("oversized")
