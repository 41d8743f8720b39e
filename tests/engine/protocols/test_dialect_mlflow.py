"""MLflow's own scoring server in a container: `mlflow models serve` with a model in MLflow's format."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from ..support import REPO, Harness, Mini

pytestmark = [pytest.mark.engine, pytest.mark.nightly, pytest.mark.xdist_group("mlflow")]

PROJECT = REPO / "tests/projects/mlflow"
BUILD_TIMEOUT = 900.0


@pytest.mark.usefixtures("ready")
def test_a_model_without_a_signature_shows_its_tracebacks(mini: Mini, run_harness: Harness) -> None:
    """The server sends the model's own exception along, as shipped: a warning that says what helps, no failure."""
    project = mini.copy(PROJECT)
    file = project / "train.py"
    text = file.read_text(encoding="utf-8")
    assert "            signature=SIGNATURE,\n" in text
    file.write_text(text.replace("            signature=SIGNATURE,\n", ""), encoding="utf-8")
    ran = run_harness(project, timeout=BUILD_TIMEOUT)
    ran.assert_passed()
    answer = json.loads(ran.exchanges["rejects-missing:/dataframe_split/columns"].response)
    assert answer["error_code"] == "BAD_REQUEST"
    assert answer["stack_trace"].startswith("Traceback (most recent call last)")
    assert "signature" in ran.finding("contract.rejects-missing")["advice"]


def recognise(project: Path) -> None:
    """Take the name of the dialect out of a project."""
    file = project / "compose.yaml"
    model = yaml.safe_load(file.read_text(encoding="utf-8"))
    del model["x-harness"]["serve"]["dialect"]
    model["x-harness"]["serve"]["port"] = 8080
    file.write_text(yaml.safe_dump(model, sort_keys=False), encoding="utf-8")


@pytest.mark.usefixtures("ready")
def test_the_real_server_keeps_its_contract(mini: Mini, run_harness: Harness) -> None:
    """All four forms are answered and every demand met; its own weaknesses warn. It is recognised unasked, too."""
    project = mini.copy(PROJECT)
    named = run_harness(project, timeout=BUILD_TIMEOUT)
    recognise(project)
    found = run_harness(project, timeout=BUILD_TIMEOUT)
    for ran in (named, found):
        ran.assert_passed()
        assert ran.record("serve/record.json")["interface"] == {
            "dialect": "mlflow",
            "ready": "/ping",
            "predict": "/invocations",
        }
        for check in ("contract.examples", "contract.conforms", "contract.batch-invariant", "contract.row-order"):
            assert ran.statuses[check] == "pass", str(ran)
        assert ran.statuses["contract.rejects-content-type"] == "pass", str(ran)
    exchanges = named.exchanges
    assert [exchanges[f"example:{form}"].status for form in ("split", "records", "instances", "columns")] == [200] * 4
    # What this server does wrong, as recorded in its dialect: when these change, correct the dialect.
    assert exchanges["rejects-deep-nesting:/"].status == 500
    assert named.statuses["contract.rejects-deep-nesting"] == "warn"
    assert exchanges["conforms:no-content-type"].status == 500
    assert "no-content-type" in named.finding("contract.conforms")["received"]
