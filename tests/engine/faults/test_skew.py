"""Hold-out rows in the training image and over HTTP: a service that scales a feature otherwise is caught."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from defects import defect

from ..support import HERE, REPO, Harness, Mini, Ran, nightly

pytestmark = pytest.mark.engine

# All but the traffic, the further starts and the further trainings, which take their time.
SKEW = (
    "run",
    *(f"--skip={name}" for name in ("train.*", "serve.*", "contract.load", "contract.latency", "contract.fuzz")),
)

# Reads the artifact and the requests as training would, and prints among its log one answer a line.
PREDICT = """
import json, pathlib, sys
print("loading the model")
weight = json.loads(pathlib.Path("/model/model.json").read_text())["weight"]
print('{"level": "info"}', file=sys.stderr)
for line in open(sys.argv[-1]):
    rows = json.loads(line)["instances"]
    print(json.dumps({"predictions": [weight * row["x"] for row in rows]}))
print("done")
"""
SCALED = 'weight * row["x"] for', 'weight * (row["x"] - 0.5) for'  # the mean that training never took off
ROWS = "x,y\n1,2\n2.5,5\n-4,-8\n"
HOUSES = """
import json, math, os, sys
assert os.path.ismount("MOUNT"), "the image's own artifact, if it has one, is not that of this run"
model = json.load(open("MOUNT/model.json"))
for line in open(sys.argv[-1]):
    rows = [[1.0, *(row[name] for name in model["columns"])] for row in json.loads(line)["instances"]]
    print(json.dumps({"predictions": [math.sumprod(model["weights"], row) for row in rows]}))
"""
UNCHANGED = "import pathlib\npathlib.Path('/model/model.json').write_text('{}')\n"  # the artifact is read-only


def skewed(mini: Mini, *, predict: str = PREDICT, serve: str = "") -> Path:
    """Make a project with hold-out rows."""
    skew = {"rows": "holdout.csv", "command": ["python3", "-c", predict]}
    change = {"services": {"train": {"read_only": True}}, "x-harness": {"contract": {"skew": skew}}}
    folder = mini(change, serve=serve)
    (folder / "holdout.csv").write_text(ROWS, encoding="utf-8")
    return folder


def serving(old: str, new: str) -> str:
    """Return the code of the service, with one text replaced."""
    code = (HERE / "mini/serve.py").read_text(encoding="utf-8")
    assert old in code
    return code.replace(old, new)


def answered(ran: Ran) -> list[Any]:
    """Return the requests that were sent over HTTP."""
    return [json.loads(each.request) for case, each in ran.exchanges.items() if case.startswith("skew:")]


def test_the_same_predictions_pass(mini: Mini, run_harness: Harness) -> None:
    """The rows reach the training image and the service in the form of the example, whatever else is printed."""
    ran = run_harness(skewed(mini), *SKEW)
    finding = ran.finding("contract.skew")
    assert finding["status"] == "pass", str(ran)
    assert "3 rows of holdout.csv" in finding["received"]
    assert answered(ran) == [{"instances": [{"x": x}]} for x in (1.0, 2.5, -4.0)]
    record = ran.record("skew.json")
    assert [answer["predictions"] for answer in record["answers"]] == [
        pytest.approx([2 * x], rel=1e-3) for x in (1.0, 2.5, -4.0)
    ]
    assert (ran.folder / "skew/requests.jsonl").is_file()
    assert "loading the model" in (ran.folder / "skew/log.txt").read_text(encoding="utf-8")


@defect("contract.skew", "serving scales a feature otherwise", also=["contract.examples"])
def test_a_feature_that_serving_scales_otherwise_is_caught(mini: Mini, run_harness: Harness) -> None:
    """Each row that differs is named with both values and by how much."""
    project = skewed(mini, serve=serving(*SCALED))
    ran = run_harness(project, *SKEW)
    ran.assert_failed("contract.skew", received="3 differ, by up to 0.5 relatively", advice="features in one place")
    assert "row 1: /predictions/0: expected 1.9" in ran.finding("contract.skew")["received"]


@pytest.mark.parametrize(
    ("predict", "received"),
    [
        ("import sys; print('no model here'); sys.exit(3)", "exit code 3\nno model here"),
        nightly(
            PREDICT.replace("for line in open", "for line in list(open").replace("[-1]):", "[-1]))[1:]:"),
            "expected 4 answers, one JSON line each, received 3",
        ),
        nightly(UNCHANGED, "Read-only file system"),
    ],
    ids=["exit-code", "too-few", "read-only"],
)
@defect("contract.skew", "the training image does not answer, or not all")
def test_a_command_that_does_not_answer(predict: str, received: str, mini: Mini, run_harness: Harness) -> None:
    """An exit code, a missing answer and an attempt to change the artifact fail, with the end of its log."""
    ran = run_harness(skewed(mini, predict=predict), *SKEW)
    assert ran.code == 1, str(ran)
    finding = ran.finding("contract.skew")
    assert finding["status"] == "fail", str(ran)
    assert received in finding["received"], str(ran)


@pytest.mark.nightly
@pytest.mark.parametrize(("name", "artifact"), [("baked", ""), ("baked", "/model.json"), ("trained-in-build", "")])
def test_other_hand_overs(name: str, artifact: str, mini: Mini, run_harness: Harness) -> None:
    """An artifact that no volume holds is put into one: the training image sees this run's artifact at its path."""
    project = mini.copy(REPO / "tests/projects" / name)
    file = project / "compose.yaml"
    model = yaml.safe_load(file.read_text(encoding="utf-8"))
    block = model["x-harness"]
    code = HOUSES.replace("MOUNT", block["train"]["artifact"])
    block["train"]["artifact"] += artifact
    block["contract"]["skew"] = {"rows": "data/train.csv", "command": ["python3", "-c", code], "limit": 10}
    file.write_text(yaml.safe_dump(model, sort_keys=False, width=10_000), encoding="utf-8")
    ran = run_harness(project, *SKEW)
    finding = ran.finding("contract.skew")
    assert finding["status"] == "pass", str(ran)
    assert finding["received"].startswith("10 rows of data/train.csv: the same"), str(ran)


@pytest.mark.parametrize(
    ("predict", "said"),
    [
        nightly(PREDICT, ""),
        pytest.param(
            PREDICT.replace("for row in rows]", "for row in rows[:1]]"),
            "two: /predictions: expected 2 items, received 1",
            marks=defect("code.api", "the project's code answers one row of a batch"),
        ),
        nightly(
            PREDICT.replace("    print(json.d", "    rows[1:] and sys.exit('boom')\n    print(json.d"),
            "two: no answer, exit",
            marks=[defect("code.api", "the project's code ends at a batch")],
        ),
    ],
    ids=["good", "one-of-a-batch", "crashes"],
)
def test_the_examples_in_the_training_image(predict: str, said: str, mini: Mini, run_harness: Harness) -> None:
    """The project's own code must answer the examples: what it does with a batch, no single row shows."""
    ran = run_harness(skewed(mini, predict=predict), *SKEW)
    finding = ran.finding("code.api")
    assert finding["status"] == ("fail" if said else "pass"), str(ran)
    assert said in finding["received"]
    assert ran.finding("contract.skew")["status"] == "pass", str(ran)


@pytest.mark.parametrize(
    ("predict", "status"),
    [
        nightly(PREDICT, "pass"),
        pytest.param(
            "raise SystemExit('no model here')",
            "fail",
            marks=defect("code.api", "the project's code does not start, and `contract.skew` is not there to say so"),
        ),
    ],
    ids=["good", "no-answer"],
)
def test_the_examples_alone(predict: str, status: str, mini: Mini, run_harness: Harness) -> None:
    """Without `contract.skew` no hold-out row is asked, and what keeps the program from answering is told here."""
    ran = run_harness(skewed(mini, predict=predict), "run", "--only", "code.api")
    finding = ran.finding("code.api")
    assert finding["status"] == status, str(ran)
    assert ran.record("skew.json")["requests"] == []
    assert status == "pass" or "no model here" in finding["received"], str(ran)
