"""Judges made-up answers to the probes of a dialect, as `contract.conforms` judges recorded ones."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import builders

from harness.checks.contract import conforms
from harness.client.protocols import interface
from harness.client.protocols.protocol import Dialect
from harness.evidence.records import Contract, Evidence, Exchange, Finding, Status


@dataclass(frozen=True)
class Answer:
    """What a made-up server answers; `body` is JSON, or bytes as they are."""

    status: int
    body: Any = b""
    seconds: float = 0.01

    def exchange(self, case: str) -> Exchange:
        """Return the exchange of a case that ends with this answer."""
        body = self.body if isinstance(self.body, bytes) else json.dumps(self.body).encode()
        return Exchange(case, "GET", "/", b"", self.status, "application/json", body, self.seconds)


def judged(dialect: Dialect, answers: Mapping[str, Answer], *, strict: bool = False) -> list[Finding]:
    """Return the findings about a server that answers the probes so."""
    assert set(answers) == {probe.name for probe in dialect.probes}
    spec = builders.spec(block={"contract": {"strict": strict}})
    exchanges = tuple(answer.exchange(f"conforms:{name}") for name, answer in answers.items())
    return list(conforms(Evidence(spec=spec, contract=Contract(exchanges, interface(spec, dialect), None))))


def assert_passed(findings: list[Finding]) -> None:
    """Expect that nothing is found to be wrong."""
    assert [finding.status for finding in findings] == [Status.PASS], findings


def assert_failed(findings: list[Finding], probe: str) -> None:
    """Expect one failure, which names the probe."""
    assert [finding.status for finding in findings] == [Status.FAIL], findings
    assert f"({probe})" in findings[0].expected
