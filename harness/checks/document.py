"""Checks of the service's own API document: that it is one, that it tells the truth, that clients may rely on it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from enum import StrEnum
from functools import cache
from typing import Any

from harness.checks import check, failed, passed, skipped, warned
from harness.checks.contract import proves_nothing
from harness.client.compare import described, parse
from harness.client.protocols import DIALECTS, OPENAPI
from harness.client.protocols.protocol import is_4xx
from harness.config.spec import Spec
from harness.evidence.records import Contract, Exchange, Finding, Status
from harness.openapi.bodies import Holds, holder
from harness.openapi.breaking import changes
from harness.openapi.paths import better_predict, paths
from harness.openapi.reading import Content, Document, Operation, is_json, media_type, operation, operations
from harness.openapi.validity import KNOWN, errors, references_elsewhere, version

MAX_SHOWN = 5  # of what is wrong, in one finding
NOWHERE = (301, 302, 303, 307, 308, 404, 405, 410)  # statuses of a path that takes no POST


class Truth(StrEnum):
    """What the document says of one answer."""

    KEPT = "as documented"
    BROKEN = "another body than documented"
    UNLISTED = "a status that the document does not list"
    REFUSAL = "a refusal that the document does not list"  # contract.rejects-* judges it
    UNKNOWN = "the document does not say"


@check("contract.openapi-valid")
def openapi_valid(spec: Spec, contract: Contract) -> Iterator[Finding]:
    """The API document that the service gives is a valid OpenAPI document."""
    document = contract.document
    if document is None:
        yield _missing(contract)
        return
    known = version(document)
    if known is not None and known not in KNOWN:
        yield skipped(f"this version of the harness reads OpenAPI {', '.join(KNOWN)}, the document is {known}")
        return
    wrong = ["$.openapi: no version such as 3.1.0"] if known is None else errors(document)
    if wrong:
        more = f"\nand {len(wrong) - MAX_SHOWN} more" if len(wrong) > MAX_SHOWN else ""
        lenient = DIALECTS[contract.interface.dialect].writes_document and not spec.block.contract.strict
        yield (warned if lenient else failed)(
            expected=f"a valid OpenAPI document{f' {known}' if known else ''}",
            received="\n".join(wrong[:MAX_SHOWN]) + more,
            advice="Correct the document, or what generates it: clients are generated from it.",
        )
        return
    outside = references_elsewhere(document)
    seen = f"; {len(outside)} references to elsewhere not looked at" if outside else ""
    yield passed(f"OpenAPI {known}, {len(document.get('paths') or ())} paths{seen}")


@check("contract.schema")
def schema(spec: Spec, contract: Contract) -> Iterator[Finding]:
    """Every answer of the predict path has the status, the content type and the body that the document promises."""
    if contract.document is None:
        yield skipped(contract.document_error or "the service gives no API document")
        return
    path = contract.interface.predict
    found = operation(contract.document, path)
    if found is None:
        yield _undocumented(spec, contract, contract.document)
        return
    answers = [
        exchange
        for exchange in contract.exchanges
        if (exchange.method, exchange.path, exchange.error) == ("POST", path, "") and exchange.status is not None
    ]
    lenient = DIALECTS[contract.interface.dialect].writes_document and not spec.block.contract.strict
    findings = list(_judged(found, answers, lenient=lenient))
    reason = proves_nothing(spec, contract)
    is_good = all(finding.status is Status.PASS for finding in findings)
    yield from [skipped(reason)] if reason and is_good else findings


def _undocumented(spec: Spec, contract: Contract, document: Document) -> Finding:
    """Say that the document has no predictions where they are asked for; the service may have none there either."""
    path = contract.interface.predict
    expected = f"POST {path} in the service's own API document"
    listed = [f"{'/'.join(operations(document, each)).upper()} {each}" for each in paths(document)]
    shown = f"it lists {', '.join(listed) or 'no path'}"
    statuses = {exchange.status for exchange in contract.of("example")}
    if statuses and statuses <= {*NOWHERE}:
        answers = " and ".join(str(status) for status in sorted(filter(None, statuses)))
        return failed(
            expected=expected,
            received=f"{shown}; and the service answers POST {path} with {answers}",
            advice=better_predict(document, path),
        )
    return (failed if spec.block.contract.strict else warned)(
        expected=expected,
        received=shown,
        advice="Document the predict path: without it no client can be generated and no answer be judged.",
    )


@check("contract.compatible")
def compatible(spec: Spec, contract: Contract) -> Iterator[Finding]:
    """The API document breaks no client of the committed one."""
    name = spec.block.contract.baseline
    if spec.baseline is None:
        yield skipped("x-harness.contract names no `baseline` document")
    elif contract.document is None:
        yield skipped(contract.document_error or "the service gives no API document")
    else:
        found = changes(spec.baseline, contract.document)
        if found.breaking:
            more = f"\nand {len(found.breaking) - MAX_SHOWN} more" if len(found.breaking) > MAX_SHOWN else ""
            yield failed(
                expected=f"a document that serves the clients of {name}",
                received="\n".join(found.breaking[:MAX_SHOWN]) + more,
                advice=f"Keep the old form beside the new one; if the change is meant, save the document as {name}.",
            )
        else:
            yield passed(f"no breaking change against {name}, {len(found.additions)} additions")


def _missing(contract: Contract) -> Finding:
    reason = contract.document_error or "the service gives no API document"
    if contract.interface.dialect != OPENAPI.name:
        return skipped(reason)
    return failed(
        expected=f"an OpenAPI document at {OPENAPI.document}, as the dialect `{OPENAPI.name}` promises",
        received=reason,
        advice="Serve the document as JSON, or say `serve.dialect: plain`.",
    )


def _judged(found: Operation, answers: list[Exchange], *, lenient: bool) -> Iterator[Finding]:
    truths: dict[Truth, list[tuple[Exchange, str]]] = {truth: [] for truth in Truth}

    @cache
    def holds(status: int, content_type: str) -> Holds | str:
        return _holds(found.response(status), content_type)

    for exchange in answers:
        truth, problem = _truth(found, exchange, holds)
        truths[truth].append((exchange, problem))
    for truth in (Truth.BROKEN, Truth.UNLISTED):
        if cases := truths[truth]:
            exchange, problem = next((case for case in cases if not is_4xx(case[0])), cases[0])
            # Where the server writes the document it writes its refusals too: no fault of the project.
            yield (warned if lenient and is_4xx(exchange) else failed)(
                expected=f"the answers that the document promises for POST {found.path}",
                received=f"{truth}: {len(cases)} of {len(answers)}, first {exchange.case}: {problem}\n"
                f"{described(exchange)}",
                advice="Correct the answer, or the document: clients are generated from it.",
            )
    if not truths[Truth.BROKEN] and not truths[Truth.UNLISTED]:
        yield _summary(truths, found)


def _summary(truths: dict[Truth, list[tuple[Exchange, str]]], found: Operation) -> Finding:
    kept = Counter(exchange.status for exchange, _ in truths[Truth.KEPT])
    rest = [f"{len(truths[truth])} {truth.value}" for truth in (Truth.REFUSAL, Truth.UNKNOWN) if truths[truth]]
    aside = f"; aside: {', '.join(rest)}" if rest else ""
    if not kept:
        return skipped(f"no answer of POST {found.path} could be held against the document{aside}")
    listed = ", ".join(f"{count} of {status}" for status, count in sorted(kept.items()))
    return passed(f"{kept.total()} answers as documented: {listed}{aside}")


def _truth(found: Operation, exchange: Exchange, holds: Any) -> tuple[Truth, str]:
    status = exchange.status or 0
    if found.response(status) is None:
        return (Truth.UNLISTED, f"status {status}") if status < 300 else (Truth.REFUSAL, "")  # noqa: PLR2004 - 2xx
    held = holds(status, media_type(exchange.content_type))
    if isinstance(held, str):
        return (Truth.BROKEN, held) if held else (Truth.KEPT, "")
    try:
        problem = held(parse(exchange))
    except (ValueError, RecursionError):
        return Truth.BROKEN, "the body is not JSON"
    if problem is None:
        return Truth.UNKNOWN, ""
    return (Truth.BROKEN, problem) if problem else (Truth.KEPT, "")


def _holds(content: Content | None, content_type: str) -> Holds | str:
    """Return what holds a body against its documented schema; a text where the content type settles it already."""
    if content is None or not content.types:
        return ""  # a status without a body: what stands in it was never promised
    documented = content.schema(content_type)
    if documented is None:
        return f"content type {content_type}, documented is {', '.join(content.types)}"
    return holder(content.document, documented) if is_json(content_type) else ""
