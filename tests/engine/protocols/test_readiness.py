"""A service in a container that has no ready path, or its document elsewhere, is ready when it predicts."""

from __future__ import annotations

import pytest

from ..support import HERE, Harness, Mini

pytestmark = pytest.mark.engine

SERVE = (HERE / "mini/serve.py").read_text(encoding="utf-8")
# It has no /health: all that it knows is POST /predict, and a document in a place of its own.
NO_HEALTH = SERVE.replace(
    """        ready = self.path == "/health" and FAULT != "unready"
        self.answer(200 if ready else 503, b"{}")
""",
    """        answer = {"post": {"responses": {"200": {"description": "OK"}, "400": {"description": "no"}}}}
        document = {"openapi": "3.1.0", "info": {"title": "m", "version": "1"}, "paths": {"/predict": answer}}
        known = self.path == "/api/openapi.json"
        self.answer(200 if known else 404, json.dumps(document if known else {}).encode())
""",
)


def test_a_service_without_a_ready_path(mini: Mini, run_harness: Harness) -> None:
    """It is not waited for in vain: a prediction that is answered is enough, and its document is found."""
    assert NO_HEALTH != SERVE
    change = {"x-harness": {"serve": {"dialect": "auto"}, "contract": {"predict": "/predict"}}}
    ran = run_harness(mini(change, serve=NO_HEALTH), "run", "--only", "serve.ready*", "--only", "contract.*", "--fast")
    ran.assert_passed()
    assert float(ran.finding("serve.ready")["received"].split()[1]) < 20, str(ran)
    assert "GET /health: 404; POST /predict: 200" in ran.finding("serve.ready")["received"]
    assert ran.statuses["contract.openapi-valid"] == "pass", str(ran)
