"""Services as public tutorials write them are warned, and fail only where they answer 500; a careful one does not."""

from __future__ import annotations

import pytest

from ..support import REPO, Harness

pytestmark = [pytest.mark.engine, pytest.mark.nightly, pytest.mark.xdist_group("tutorials")]

PROJECT = REPO / "tests/projects/tutorials"
BUILD_TIMEOUT = 600.0
# Service -> the checks that fail, each of them because of an answer 500.
FAILING = {
    "fastapi-basic": {"non-finite"},  # scikit-learn refuses Infinity, and nobody catches it
    "fastapi-batch": {"non-finite", "empty-batch"},
    "flask-basic": {"deep-nesting", "missing", "wrong-type", "non-finite", "huge-integer"},  # nothing is looked at
    "flask-batch": set(),  # whatever goes wrong is caught and answered with 400
    "litestar": set(),
}
# Service -> the kinds of malformed request that it takes, or refuses in a way that nobody promised.
WARNED = {
    "fastapi-basic": {"deep-nesting", "boolean", "number-as-text"},
    "fastapi-batch": {"deep-nesting", "boolean", "number-as-text"},
    "flask-basic": {"malformed", "content-type", "unknown", "null", "boolean", "number-as-text", "oversized"},
    "flask-batch": {"missing", "null", "boolean", "number-as-text", "non-finite"},
    "litestar": {"number-as-text"},
}
REJECTS = "contract.rejects-"


def _file(name: str) -> tuple[str, str]:
    """Return the option that names one of them: they share image and wheels, so their folder is the project."""
    return "--file", str(PROJECT / name / "compose.yaml")


SETUP = _file("litestar")  # the wheels that all of them share


@pytest.mark.usefixtures("ready")
@pytest.mark.parametrize("name", FAILING)
def test_a_service_fails_only_what_is_broken(name: str, run_harness: Harness) -> None:
    """Lax types and unknown fields are warnings; only an answer 500 is a failure."""
    ran = run_harness(PROJECT, "run", "--fast", *_file(name), timeout=BUILD_TIMEOUT)
    found = ran.record("findings.json")
    failed = {finding["check"] for finding in found if finding["status"] in ("fail", "error")}
    warned = {finding["check"] for finding in found if finding["status"] == "warn"}
    assert failed == {f"{REJECTS}{kind}" for kind in FAILING[name]}, str(ran)
    assert ran.code == (1 if FAILING[name] else 0), str(ran)
    assert {check for check in warned - failed if check.startswith(REJECTS)} == {
        f"{REJECTS}{kind}" for kind in WARNED[name]
    }, str(ran)
    for check in failed:
        assert "5xx" in ran.finding(check)["received"], str(ran)
    assert ran.statuses["contract.recovers"] == "pass", "each bad request is forgotten"
