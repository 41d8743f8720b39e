"""A BentoML service, with the real package, in a container."""

from __future__ import annotations

import pytest

from ..support import REPO, Harness, Mini

pytestmark = [pytest.mark.engine, pytest.mark.nightly, pytest.mark.xdist_group("bentoml")]

PROJECT = REPO / "tests/projects/bentoml"
BY_NAME = "dialect: bentoml # and with it the port 3000, /readyz and /docs.json"


@pytest.mark.usefixtures("ready")
def test_a_careful_service_passes(run_harness: Harness) -> None:
    """A BentoML service of strict models fails no check; the form of its errors is a known deviation."""
    ran = run_harness(PROJECT, timeout=300)
    ran.assert_passed()
    rejects = {check: status for check, status in ran.statuses.items() if check.startswith("contract.rejects-")}
    assert set(rejects.values()) == {"pass"}, str(ran)
    assert "known deviations of shipped servers: no-json" in ran.finding("contract.conforms")["received"], str(ran)


@pytest.mark.usefixtures("ready")
def test_it_is_recognised_and_a_lax_one_is_warned(run_harness: Harness, mini: Mini) -> None:
    """Without its name the dialect is recognised by its document; lax models, BentoML's default, are warnings."""
    folder = mini.copy(PROJECT)
    compose, code = folder / "compose.yaml", folder / "service.py"
    text, lines = compose.read_text(encoding="utf-8"), code.read_text(encoding="utf-8")
    strict = 'ConfigDict(strict=True, extra="forbid", allow_inf_nan=False)'
    assert BY_NAME in text
    assert strict in lines
    compose.write_text(text.replace(BY_NAME, "dialect: auto\n    port: 3000"), encoding="utf-8")
    code.write_text(lines.replace(strict, "ConfigDict()"), encoding="utf-8")
    ran = run_harness(folder, timeout=300)
    ran.assert_passed()
    assert ran.record("contract.json")["interface"]["dialect"] == "bentoml", str(ran)
    for kind in ("boolean", "number-as-text"):
        assert ran.statuses[f"contract.rejects-{kind}"] == "warn", str(ran)
