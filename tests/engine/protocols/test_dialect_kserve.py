"""The dialect kserve-v1 against the real Python server of KServe."""

from __future__ import annotations

import pytest

from harness.evidence.run_folder import RunFolder

from ..support import REPO, SETUP_TIMEOUT, Harness

pytestmark = [pytest.mark.engine, pytest.mark.nightly, pytest.mark.xdist_group("kserve")]

PROJECT = REPO / "tests/projects/kserve-v1"
RUN_TIMEOUT = 600.0  # the first run installs KServe into an image


def test_kserve_passes(run_harness: Harness) -> None:
    """KServe, which speaks oip-v2 too, is recognised by the requests of the project, and fails no check."""
    setup = run_harness(PROJECT, "setup", timeout=SETUP_TIMEOUT)
    assert setup.code == 0, str(setup)
    ran = run_harness(PROJECT, timeout=RUN_TIMEOUT)
    ran.assert_passed()
    for check in ("contract.conforms", "contract.batch-invariant", "contract.row-order", "contract.recovers"):
        assert ran.statuses[check] == "pass", str(ran)
    contract = RunFolder(ran.folder).load().contract
    assert contract is not None
    assert contract.interface.dialect == "kserve-v1"
