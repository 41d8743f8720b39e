"""Which of the recorded requests tell of a failure: those are sent again by hand, and by a replay first."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from harness.evidence.records import Evidence, Exchange, Finding, Status

SHOWN = 8
SERVER_ERROR = 500
ASKING = ("contract.", "quality.", "serve.", "load.")  # checks of what the service answers


def failing_exchanges(evidence: Evidence, findings: Sequence[Finding]) -> tuple[Exchange, ...]:
    """Return the exchanges that a failed check speaks of, the examples first, each once; at most `SHOWN`.

    Where a check failed and names none, those without a good answer stand for it. Empty where no check of the service's
    answers failed.
    """
    bad = [f for f in findings if f.status in (Status.FAIL, Status.ERROR) and f.check.startswith(ASKING)]
    exchanges = evidence.contract.exchanges if evidence.contract is not None and bad else ()
    found = {exchange.case: exchange for exchange in _named(evidence, exchanges, bad)}
    unanswered = {e.case: e for e in exchanges if e.status is None or e.status >= SERVER_ERROR}
    return tuple((found or unanswered).values())[:SHOWN]


def _named(evidence: Evidence, exchanges: Sequence[Exchange], bad: Sequence[Finding]) -> Iterator[Exchange]:
    for finding in bad:
        text = f"{finding.expected}\n{finding.received}"
        for exchange in exchanges:
            kind, _, name = exchange.case.partition(":")
            starts = finding.check == "contract.examples" and kind == "example" and text.startswith(f"{name}:")
            rejects = finding.check == f"contract.{kind}" and kind.startswith("rejects-") and name and name in text
            if starts or rejects or exchange.case in text:
                yield exchange
    if evidence.fuzz is not None and any(finding.check == "contract.fuzz" for finding in bad):
        yield from (failure.sent for failure in evidence.fuzz.failures)
