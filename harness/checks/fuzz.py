"""Checks what property-based testing of the served API found."""

from __future__ import annotations

from collections.abc import Iterator

from harness.checks import check, failed, passed, skipped, warned
from harness.client.compare import described, short
from harness.config.spec import Spec
from harness.evidence.records import Finding, Fuzz, FuzzFailure, Status

EXPECTED = {
    "no_answer": "an answer to every request",
    "not_a_server_error": "no 5xx, whatever is sent",
    "response_schema_conformance": "answers as the API document describes them",
    "content_type_conformance": "answers of the content type that the API document names",
    "response_headers_conformance": "the headers that the API document names",
    "status_code_conformance": "a status that the API document lists",
    "negative_data_rejection": "a request that the API document rules out is refused",
    "positive_data_acceptance": "a request that the API document allows is accepted",
    "missing_required_header": "a request without a required header is refused",
}
ADVICE = {
    "no_answer": "Find what hangs or dies; validate before predicting.",
    "not_a_server_error": "Validate the request before predicting, and answer 400 or 422 with a JSON error.",
    "negative_data_rejection": "Use strict types and refuse unknown fields, or describe in the document what is taken.",
    "positive_data_acceptance": "Write the limits that the service has into the schema of its requests.",
    "status_code_conformance": "List the status in the API document, so that clients expect it.",
}
CORRECT = "Correct the service, or its API document."
# What the document says of its good answers; that of its errors is often written by the framework alone.
OF_THE_ANSWER = ("response_schema_conformance", "content_type_conformance", "response_headers_conformance")


@check("contract.fuzz")
def fuzz(spec: Spec, fuzz: Fuzz | None = None) -> Iterator[Finding]:
    """No request that is made from the API document breaks the service, or the document."""
    if fuzz is None or fuzz.skipped:
        yield skipped(fuzz.skipped if fuzz else "the service was not fuzzed")
        return
    failures = [failure for failure in fuzz.failures if not failure.integers]
    for failure in failures:
        fails = is_broken(failure) or spec.block.contract.strict
        yield (failed if fails else warned)(
            expected=f"{failure.operation}: {EXPECTED.get(failure.check, failure.check)}",
            received=_received(failure),
            advice=f"{ADVICE.get(failure.check, CORRECT)} Send it again to the running service:\n{failure.curl}",
        )
    incomplete = list(_incomplete(spec, fuzz))
    yield from incomplete
    if not failures and not incomplete:
        yield passed(
            f"{fuzz.cases} cases of {len(fuzz.operations)} operations ({', '.join(fuzz.phases)}; seed {fuzz.seed}; "
            f"{fuzz.tool}): {fuzz.accepted} accepted, none breaks the service or its document"
        )


def is_broken(failure: FuzzFailure) -> bool:
    """Whether a failure is one for everybody: no answer, 5xx, or a good answer that breaks its own document.

    Refusing with a status that nobody listed, or taking more than the document says, was never promised otherwise.
    """
    status = failure.status
    if status is None or status >= 500:  # noqa: PLR2004 - 5xx
        return True
    return status < 300 and failure.check in (*OF_THE_ANSWER, "status_code_conformance")  # noqa: PLR2004 - 2xx


def _received(failure: FuzzFailure) -> str:
    again = "" if failure.reproduced else "; sent once more, it was not so: the answer does not depend on it alone"
    status = "no answer" if failure.status is None else f"status {failure.status}"
    shown = failure.sent.request.decode(errors="replace")
    lines = [
        f"{failure.title} ({status}), {failure.count} times{again}",
        f"smallest request: {failure.sent.method} {failure.sent.path} {short(shown)}".rstrip(),
        f"its answer: {described(failure.sent)}",
        *([short(failure.message)] if failure.message else []),
    ]
    return "\n".join(lines)


def _incomplete(spec: Spec, fuzz: Fuzz) -> Iterator[Finding]:
    """Find what kept the tool from telling anything."""
    judged = failed if spec.block.contract.strict else warned
    if fuzz.error or not (fuzz.cases or fuzz.untested):
        yield Finding(
            Status.ERROR,
            received=short(fuzz.error or f"{fuzz.tool} sent no request within {fuzz.budget:g} s"),
            expected=f"{fuzz.tool} runs to its end",
            advice="Nothing is said about the service. See fuzz/log.txt in the run folder.",
        )
    elif any(is_broken(failure) for failure in fuzz.failures):
        return  # which says enough
    elif fuzz.out_of_time:
        yield judged(
            expected=f"all cases of {', '.join(fuzz.phases)} within {fuzz.budget:g} s",
            received=f"the time was over after {fuzz.cases} cases",
            advice="Give it more time.",
        )
    if fuzz.untested:
        yield judged(
            expected=f"an API document that tells how to ask for each of its {len(fuzz.operations)} operations",
            received=f"{len(fuzz.untested)} could not be tested, first {short(fuzz.untested[0])}",
            advice="Correct the API document: see contract.openapi-valid.",
        )
    if fuzz.cases and not fuzz.accepted:
        yield judged(
            expected="some requests that the API document allows are accepted",
            received=f"none of {fuzz.cases} cases was answered with 2xx, so only refusals were seen",
            advice="Write what a good request looks like into the schema of the API document.",
        )
