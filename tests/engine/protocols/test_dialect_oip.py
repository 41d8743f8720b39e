"""The dialect oip-v2 against the real MLServer of PyPI."""

from __future__ import annotations

from dataclasses import replace

import pytest

from harness.checks.contract import conforms
from harness.evidence.records import Status
from harness.evidence.run_folder import RunFolder

from ..support import REPO, SETUP_TIMEOUT, Harness

pytestmark = [pytest.mark.engine, pytest.mark.nightly, pytest.mark.xdist_group("oip")]

PROJECT = REPO / "tests/projects/oip-v2"
RUN_TIMEOUT = 600.0  # the first run installs MLServer into an image
# MLServer 1.7.1 declares Python < 3.13, and runs on 3.13.
LET_PYTHON = {"PIP_IGNORE_REQUIRES_PYTHON": "1"}
# It answers the health paths without a body, and a request of a wrong form with FastAPI's 422 and `detail`.
DEVIATIONS = ("live", "ready", "model-ready", "infer-no-inputs")


def test_mlserver_passes(run_harness: Harness) -> None:
    """MLServer is recognised and fails no check; what it does its own way is named, and strict mode refuses it."""
    setup = run_harness(PROJECT, "setup", env=LET_PYTHON, timeout=SETUP_TIMEOUT)
    assert setup.code == 0, str(setup)
    ran = run_harness(PROJECT, timeout=RUN_TIMEOUT)
    ran.assert_passed()
    for check in ("contract.conforms", "contract.batch-invariant", "contract.row-order", "contract.recovers"):
        assert ran.statuses[check] == "pass", str(ran)
    evidence = RunFolder(ran.folder).load()
    assert evidence.spec is not None
    assert evidence.contract is not None
    assert evidence.contract.interface.dialect == "oip-v2"
    assert ran.finding("contract.conforms")["received"].endswith(", ".join(DEVIATIONS))

    block = evidence.spec.block
    strict = block.model_copy(update={"contract": block.contract.model_copy(update={"strict": True})})
    findings = list(conforms.function(replace(evidence.spec, block=strict), evidence.contract))
    assert [finding.status for finding in findings] == [Status.FAIL] * len(DEVIATIONS)
