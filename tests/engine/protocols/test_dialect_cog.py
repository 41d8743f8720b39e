"""Cog's own HTTP server (from PyPI) in a container."""

from __future__ import annotations

import pytest

from ..support import REPO, Harness, Mini

pytestmark = [pytest.mark.engine, pytest.mark.nightly, pytest.mark.xdist_group("cog")]

PROJECT = REPO / "tests/projects/cog"
BY_NAME = "dialect: cog # and with it the port 5000, /health-check and /predictions\n    timeout: 30s"


@pytest.mark.usefixtures("ready")
def test_the_shipped_server_passes(run_harness: Harness) -> None:
    """Cog's server fails no check; its plain-text refusals, which its document does not list, are warnings."""
    ran = run_harness(PROJECT, timeout=300)
    ran.assert_passed()
    assert ran.statuses["contract.conforms"] == "pass", str(ran)
    assert ran.statuses["contract.repeatable"] == "pass", "ids and times differ, the prediction does not"
    assert ran.statuses["contract.rejects-malformed"] == "warn", str(ran)
    assert ran.exchanges["conforms:idempotent"].path == "/predictions/harness-probe"


@pytest.mark.usefixtures("ready")
def test_it_is_recognised(run_harness: Harness, mini: Mini) -> None:
    """Without its name the dialect is recognised by /health-check, before the OpenAPI document is looked at."""
    folder = mini.copy(PROJECT)
    compose = folder / "compose.yaml"
    text = compose.read_text(encoding="utf-8")
    assert BY_NAME in text
    compose.write_text(text.replace(BY_NAME, "dialect: auto\n    port: 5000\n    timeout: 30s"), encoding="utf-8")
    ran = run_harness(folder, timeout=300)
    ran.assert_passed()
    assert ran.record("contract.json")["interface"]["dialect"] == "cog", str(ran)


@pytest.mark.usefixtures("ready")
def test_an_ok_is_not_yet_ready(run_harness: Harness, mini: Mini) -> None:
    """/health-check is 200 also where the model cannot be loaded: what counts is the status in it."""
    folder = mini.copy(PROJECT)
    code, compose = folder / "run.py", folder / "compose.yaml"
    code.write_text(
        code.read_text(encoding="utf-8").replace('["weights"]', '["weights of another model"]'), encoding="utf-8"
    )
    text = compose.read_text(encoding="utf-8")
    compose.write_text(text.replace("timeout: 30s", "timeout: 8s"), encoding="utf-8")
    ran = run_harness(folder, timeout=300)
    ran.assert_failed("serve.ready", received="")
    assert "KeyError" in ran.finding("serve.ready")["received"], str(ran)


@pytest.mark.usefixtures("ready")
def test_a_failed_prediction_is_no_answer(run_harness: Harness, mini: Mini) -> None:
    """A prediction that fails is an answer 200 too, and no prediction."""
    folder = mini.copy(PROJECT)
    code = folder / "run.py"
    code.write_text(
        code.read_text(encoding="utf-8").replace("by_frost * frost", "by_frost * frost / (frost - 1.5)"),
        encoding="utf-8",
    )
    ran = run_harness(folder, timeout=300)
    ran.assert_failed("contract.examples", received="")
    assert ran.exchanges["example:frost and wind"].status == 200, str(ran)
    assert b"ZeroDivisionError" in ran.exchanges["example:frost and wind"].response, str(ran)
