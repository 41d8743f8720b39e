"""The dialect vertex against a server that takes its port, its routes and its model from the environment alone."""

from __future__ import annotations

import pytest

from ..support import REPO, Harness, Mini

pytestmark = [pytest.mark.engine, pytest.mark.nightly, pytest.mark.xdist_group("vertex")]

PROJECT = REPO / "tests/projects/vertex"


def test_a_vertex_container_passes(mini: Mini, run_harness: Harness) -> None:
    """The harness gives the container what the platform gives: it serves, and passes in strict mode."""
    project = mini.copy(PROJECT)
    setup = run_harness(project, "setup")
    assert setup.code == 0, str(setup)
    ran = run_harness(project)
    ran.assert_passed()
    assert ran.statuses["contract.conforms"] == "pass", str(ran)


def test_the_environment_of_the_project_wins(mini: Mini, run_harness: Harness) -> None:
    """Port and route that the service sets itself are those that are asked."""
    project = mini.copy(PROJECT)
    file = project / "compose.yaml"
    text = file.read_text(encoding="utf-8")
    assert "    read_only: true\n" in text
    own = "    read_only: true\n    environment: {AIP_HTTP_PORT: 9000, AIP_HEALTH_ROUTE: /up}\n"
    file.write_text(text.replace("    read_only: true\n", own), encoding="utf-8")
    ran = run_harness(project)
    ran.assert_passed()
    assert "GET /up: 200" in ran.finding("serve.ready")["received"]
    assert ran.record("compose.json")["services"]["serve"]["ports"][0]["target"] == 9000
