"""For every check of the contract a server that fails it and no other check; the good server fails none."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import builders
import pytest
from defects import defect
from service import FAULTS, Service, listening

from harness.checks import all_checks
from harness.checks.judge import judge
from harness.config.spec import Spec
from harness.evidence.records import Evidence, Finding, Selection, Status
from harness.runner import remote

STRICT = {"contract": {"strict": True, "skew": None, "latency": {"p50": "45ms", "duration": "500ms"}}}
WITH_TRAFFIC = ("contract.latency", "contract.load", "contract.fuzz")
OF_CONTRACT = tuple(check for check in all_checks() if {*check.reads, *check.may_read} <= {"spec", "contract"})
FAILED = (Status.FAIL, Status.ERROR)
SERIAL = pytest.mark.serial
SLOW = defect("contract.latency", "slow", proof="server")
CROSSES = defect("contract.load", "crosses-answers", proof="server")
BREAKS = defect("contract.fuzz", "breaks-on-whole-lengths", proof="server")


def _spec(fault: str = "") -> Spec:
    return replace(builders.spec(STRICT), baseline=Service(fault).baseline())


def _failed(findings: list[Finding]) -> dict[str, str]:
    return {f.check: f.received for f in findings if f.status in FAILED}


def _judged(fault: str = "") -> list[Finding]:
    spec = _spec(fault)
    evidence: Evidence = builders.evidence(spec=spec, contract=builders.contract(fault=fault, described=spec))
    return list(judge(evidence, OF_CONTRACT))


def test_the_good_service_passes_every_check() -> None:
    """No check of the contract fails, warns or skips on a strict, documented service."""
    statuses = {finding.check: finding.status for finding in _judged()}
    assert statuses.pop("contract.conforms") is Status.SKIP  # the dialect `openapi` has no demands of its own
    assert set(statuses.values()) == {Status.PASS}, statuses


def test_every_check_has_its_fault() -> None:
    """No check of the contract is without a server that fails it; test_volatile.py has that of contract.volatile."""
    missing = {check.name for check in OF_CONTRACT} - FAULTS.keys() - {"contract.conforms", "contract.volatile"}
    assert not missing
    assert {check.name for check in OF_CONTRACT} | {*WITH_TRAFFIC} >= FAULTS.keys()


@pytest.mark.parametrize("check", [check.name for check in OF_CONTRACT if check.name in FAULTS])
def test_a_fault_fails_its_check_alone(check: str) -> None:
    """What a fault breaks is found by its own check and by no other."""
    assert list(_failed(_judged(FAULTS[check]))) == [check]


def over_http(fault: str, folder: Path, selection: Selection) -> list[Finding]:
    """Judge the service at a URL, as `harness contract --url` does."""
    service = Service(fault)
    with listening(service) as target:
        spec = replace(_spec(fault), root=folder, port=target.port)
        spec = replace(spec, block=spec.block.model_copy(update={"data": None}))
        return list(remote.judge(spec, target, builders.Silent(), selection).findings)


@pytest.mark.parametrize(
    "check",
    [
        "",
        *(
            pytest.param(check.name, marks=defect(check.name, FAULTS[check.name], proof="server"))
            for check in OF_CONTRACT
            if check.name in FAULTS
        ),
    ],
)
def test_over_http(check: str, tmp_path: Path) -> None:
    """The same over a real connection: the good service fails nothing, a faulty one its check alone."""
    found = over_http(FAULTS.get(check, ""), tmp_path, Selection(fast=True))
    assert list(_failed(found)) == ([check] if check else []), _failed(found)


@pytest.mark.parametrize(
    "fault",
    ["", pytest.param("breaks-the-protocol", marks=defect("contract.conforms", "no `predictions`", proof="server"))],
)
def test_a_protocol(fault: str, tmp_path: Path) -> None:
    """A server that is declared to speak Vertex AI's protocol is held to it, whatever the examples ask."""
    with listening(Service(fault)) as target:
        contract = {**STRICT["contract"], "predict": "/predict"}
        block = {"contract": contract, "serve": {"dialect": "vertex", "ready": "/health"}, "data": None}
        examples = (builders.example(has_response=False),)
        spec = replace(builders.spec(block, examples=examples, behaviours=()), root=tmp_path, port=target.port)
        only = Selection(only=("contract.conforms", "contract.examples"))
        found = list(remote.judge(spec, target, builders.Silent(), only).findings)
    assert list(_failed(found)) == (["contract.conforms"] if fault else []), found


@pytest.mark.parametrize(
    ("check", "fault", "status"),
    [
        pytest.param("contract.latency", "", Status.PASS, marks=SERIAL),
        pytest.param("contract.latency", "slow", Status.FAIL, marks=[SERIAL, SLOW]),
        ("contract.load", "", Status.PASS),
        pytest.param("contract.load", "crosses-answers", Status.FAIL, marks=CROSSES),
        pytest.param("contract.fuzz", "breaks-on-whole-lengths", Status.FAIL, marks=BREAKS),  # good ones: test_fuzz.py
    ],
)
def test_under_traffic(check: str, fault: str, status: Status, tmp_path: Path) -> None:
    """Load, latency and fuzzing: the good service passes, the faulty one fails."""
    found = over_http(fault, tmp_path, Selection(only=(check,), deep=True, budget=10.0))
    statuses = {finding.status for finding in found if finding.check == check}
    assert status in statuses, found
    assert status is Status.FAIL or statuses == {status}, found
