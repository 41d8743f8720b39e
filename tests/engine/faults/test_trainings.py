"""Training judged by further runs: a good project passes, and each defect fails the check that is for it."""

from __future__ import annotations

import pytest
import yaml
from defects import defect

from ..samples import learner
from ..support import Harness, Mini, nightly

pytestmark = pytest.mark.engine

MUST_FAIL = ("no-data", "no-column", "unreadable-data", "full-disk")
CHECKS = {
    "train.deterministic",
    "train.exit-code-truth",
    "train.exits-cleanly",
    "train.hermetic",
    "train.interruptible",
    "train.learns-signal",
    "train.loss-decreases",
    "train.loss-finite",
    "train.memory",
    "train.outside-build",
    "train.overfits-small-batch",
    "train.seed-matters",
    "train.time",
}


def test_a_good_training_passes(mini: Mini, run_harness: Harness) -> None:
    """All checks of training pass, --deep too: none is skipped."""
    ran = run_harness(learner(mini, ""), "run", "--deep", "--only", "train.*")
    ran.assert_passed()
    assert {name for name, status in ran.statuses.items() if status == "pass"} == CHECKS, str(ran)
    made = {run["name"] for run in ran.record("trainings.json")["runs"]}
    assert made == {"again", "seed", "small-batch", *MUST_FAIL, "shuffled", "interrupted"}
    said = ran.finding("train.exit-code-truth")["received"]
    assert "exit code 1, no complete artifact (error: [Errno 28] No space left on device)" in said, str(ran)
    services = ran.record("compose-harness-train-again.json")["services"]
    weights = {name.removeprefix("harness-train-"): services[name].get("cpu_shares") for name in services}
    assert weights.pop("interrupted") is None, "how soon it ends is measured"
    assert {weights[name] for name in ("again", "shuffled", "small-batch")} == {128}, "the main line goes first"


FAULTS: list[tuple[str, set[str], str]] = [
    ("leaks", {"train.learns-signal"}, "accuracy 1 over 40 rows of holdout.csv"),
    ("ignores-seed", {"train.deterministic", "train.seed-matters"}, "`loss` parts at point 1 of 40"),
    ("learns-nothing", {"train.overfits-small-batch"}, "accuracy 0"),
    ("nan", {"train.loss-finite"}, "the first is nan"),
    ("exits-zero", {"train.exit-code-truth"}, "exit code 0, an artifact that looks complete"),
    ("needs-network", {"train.hermetic"}, "without a network: exit code 1: OSError: there is no network"),
    ("ignores-sigterm", {"train.interruptible"}, "it did not hear it"),
    ("early-artifact", {"train.interruptible", "train.exit-code-truth"}, "an artifact that looks complete"),
    ("memory", {"train.memory"}, "counted by cgroup"),
    ("learns-nothing-at-all", {"train.loss-decreases"}, "over 40 points"),
    ("dies", {"train.exits-cleanly"}, "exit code 3"),
]
# One for each check that further trainings decide.
AT_ONCE = {"leaks", "ignores-seed", "learns-nothing", "needs-network", "early-artifact", "memory"}


def fault(name: str, checks: set[str]) -> list[pytest.MarkDecorator]:
    """Mark a fault as the proof of each of the checks that it fails together."""
    return [defect(check, name, also=sorted(checks - {check})) for check in sorted(checks)]


@pytest.mark.parametrize(
    ("fault", "checks", "received"),
    [(pytest.param if case[0] in AT_ONCE else nightly)(*case, marks=fault(*case[:2]), id=case[0]) for case in FAULTS],
)
def test_a_defect_is_found(fault: str, checks: set[str], received: str, mini: Mini, run_harness: Harness) -> None:
    """A training with one defect fails the check that is for it, and no other."""
    ran = run_harness(learner(mini, fault), "run", "--only", "train.*")
    assert ran.code == 1, str(ran)
    assert {name for name, status in ran.statuses.items() if status in ("fail", "error")} == checks, str(ran)
    assert any(received in ran.finding(check)["received"] for check in checks), str(ran)


@defect("train.time", "takes longer than its budget")
def test_a_training_that_is_too_slow(mini: Mini, run_harness: Harness) -> None:
    """The time of the one training is held against the budget, and no other check fails."""
    ran = run_harness(learner(mini, "", max_time="500ms"), "run", "--fast", "--only", "train.*")
    ran.assert_failed("train.time", received=" s")


TRUTH = {"train.exit-code-truth"}
SWALLOWED = [
    ("ignores-no-data", TRUTH, "exit code 0, an artifact that looks complete"),
    ("ignores-noise", TRUTH, "exit code 0, an artifact that looks complete"),
    ("ignores-full-disk", TRUTH, "exit code 0, no complete artifact"),
]


@pytest.mark.nightly
@pytest.mark.parametrize(
    ("fault", "received"),
    [pytest.param(case[0], case[2], marks=fault(*case[:2]), id=case[0]) for case in SWALLOWED],
)
def test_each_way_to_fail(fault: str, received: str, mini: Mini, run_harness: Harness) -> None:
    """A training that swallows one kind of error, and exits with 0, fails the check with --deep."""
    ran = run_harness(learner(mini, fault), "run", "--deep", "--only", "train.exit-code-truth")
    ran.assert_failed("train.exit-code-truth", received=received, advice="Let errors end the program")
    assert {name for name, status in ran.statuses.items() if status in ("fail", "error")} == {"train.exit-code-truth"}


@pytest.mark.nightly
def test_predictions_decide(mini: Mini, run_harness: Harness) -> None:
    """An artifact with the time in it has other bytes each time: the predictor of the training image shows no more."""
    program = "import json, sys; w = json.load(open('/model/model.json'))['weight']\n"
    program += "for line in open(sys.argv[1]):\n"
    program += "    print(json.dumps({'predictions': [w * row['x'] for row in json.loads(line)['instances']]}))"
    folder = learner(mini, "time-in-artifact")
    file = folder / "compose.yaml"
    model = yaml.safe_load(file.read_text(encoding="utf-8"))
    model["x-harness"]["contract"]["skew"] = {"rows": "data/rows.csv", "command": ["python3", "-c", program]}
    file.write_text(yaml.safe_dump(model), encoding="utf-8")
    ran = run_harness(folder, "run", "--only", "train.*")
    ran.assert_passed()
    assert (
        "the predictions repeat: 1 predictions agree; model.json: /at" in ran.finding("train.deterministic")["received"]
    )


def test_fast_leaves_further_runs_out(mini: Mini, run_harness: Harness) -> None:
    """With --fast there is one training."""
    ran = run_harness(learner(mini, "leaks"), "run", "--fast", "--only", "train.*")
    ran.assert_passed()
    assert ran.statuses["train.learns-signal"] == "skip"
    assert not (ran.folder / "trainings").exists()
