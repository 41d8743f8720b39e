"""A service with an API document: a true one passes, each kind of untrue one fails the check made for it."""

from __future__ import annotations

import json
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
from defects import defect

from ..support import HERE, Harness, Mini, Ran

pytestmark = pytest.mark.engine

JSON = "application/json"
CHECKS = ("contract.openapi-valid", "contract.schema", "contract.compatible")
ROWS = {"type": "array", "items": {"type": "object", "properties": {"x": {"type": "number"}}, "required": ["x"]}}
DOCUMENT: dict[str, Any] = {
    "openapi": "3.1.0",
    "info": {"title": "mini", "version": "1"},
    "paths": {
        "/predict": {
            "post": {
                "requestBody": {
                    "content": {JSON: {"schema": {"type": "object", "properties": {"instances": ROWS}}}},
                },
                "responses": {
                    "200": {
                        "description": "predictions",
                        "content": {
                            JSON: {
                                "schema": {
                                    "type": "object",
                                    "properties": {"predictions": {"type": "array", "items": {"type": "number"}}},
                                    "required": ["predictions"],
                                }
                            }
                        },
                    },
                    "400": {"description": "refused", "content": {JSON: {"schema": {"required": ["error"]}}}},
                },
            }
        }
    },
}
ANSWER = ("paths", "/predict", "post", "responses", "200", "content", JSON, "schema")


def changed(path: tuple[str, ...], value: Any) -> dict[str, Any]:
    """Return the document with one thing set."""
    made = deepcopy(DOCUMENT)
    node: Any = made
    for key in path[:-1]:
        node = node[key]
    node[path[-1]] = value
    return made


def serving(document: Any) -> str:
    """Return the code of the service with a document at /openapi.json."""
    code = (HERE / "mini/serve.py").read_text(encoding="utf-8")
    place = "        ready = self.path"
    text = repr(json.dumps(document))
    given = f'        if self.path == "/openapi.json":\n            return self.answer(200, {text}.encode())\n'
    assert place in code
    return code.replace(place, given + place)


OLD = changed((*ANSWER, "properties", "unit"), {"type": "string"})  # that the service no longer gives

UNTRUE = {
    "invalid": (
        changed(("info",), {}),
        DOCUMENT,
        "contract.openapi-valid",
        "$.info: 'title' is a required property",
    ),
    "lies": (changed((*ANSWER, "required"), ["labels"]), None, "contract.schema", "'labels' is a required property"),
    "missing": ("no document", None, "contract.openapi-valid", "GET /openapi.json: no JSON object"),
}


def documented(mini: Mini, document: Any, baseline: Any) -> Path:
    """Make a project whose service has a document, and perhaps a baseline to hold it against."""
    block: dict[str, Any] = {"serve": {"dialect": "openapi"}}
    if baseline is not None:
        block["contract"] = {"baseline": "openapi.json"}
    folder = mini({"x-harness": block}, serve=serving(document))
    (folder / "openapi.json").write_text(json.dumps(baseline), encoding="utf-8")
    return folder


def test_a_true_document_passes(mini: Mini, run_harness: Harness) -> None:
    """A whole run reads the document, and each of its checks passes."""
    ran = run_harness(documented(mini, DOCUMENT, DOCUMENT))
    ran.assert_passed()
    assert {ran.statuses[name] for name in CHECKS} == {"pass"}, str(ran)


@defect("contract.compatible", "breaks document")
def test_a_document_that_breaks_its_baseline(mini: Mini, run_harness: Harness) -> None:
    """A whole run holds the document against the baseline, which `contract --url` does not read."""
    ran = run_harness(documented(mini, DOCUMENT, OLD))
    assert [name for name in CHECKS if ran.statuses[name] not in ("pass", "skip")] == ["contract.compatible"], str(ran)
    ran.assert_failed("contract.compatible", received="POST /predict: answer 200 unit is gone from the answer")


@pytest.mark.xdist_group("served")
@pytest.mark.parametrize(
    ("document", "baseline", "check", "said"),
    [
        pytest.param(*case, id=name, marks=defect(case[2], f"{name} document", proof="server"))
        for name, case in UNTRUE.items()
    ],
)
def test_an_untrue_document(  # noqa: PLR0917 - a row of the table, and two fixtures
    document: Any, baseline: Any, check: str, said: str, mini: Mini, ask_served: Callable[[Path], Ran]
) -> None:
    """Exactly the check that is made for a fault fails."""
    ran = ask_served(documented(mini, document, baseline))
    assert [name for name in CHECKS if ran.statuses[name] not in ("pass", "skip")] == [check], str(ran)
    ran.assert_failed(check, received=said)
