"""Checks of further training runs: for each one evidence that passes and evidence of the defect that it is for."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import builders
import pytest
from builders import artifact, ended, evidence, rerun, training, trainings
from defects import shows

from harness.checks import all_checks
from harness.checks.judge import judge
from harness.checks.learning import binomial_tail
from harness.evidence.records import Evidence, FileHash, Labels, Repeated, Rerun, Status, Trainings
from harness.runner.stages.prediction_repeatability import compared

CHECKS = {check.name: check for check in all_checks()}
PASS, WARN, FAIL, SKIP = Status.PASS, Status.WARN, Status.FAIL, Status.SKIP
OTHER = (FileHash("metrics.jsonl", 60, "e" * 64), FileHash("model.bin", 1000, "0" * 64))
WHOLE = artifact().files
KILLED = rerun("interrupted", "x", 1, signalled=1.0, exit=ended(code=None, timed_out=True))
CHANGED = {"model.bin": "other bytes"}
FORM = {"model.bin": "the same content in other bytes"}


PLAIN = dict.fromkeys(("score", "seed_env", "max_time", "max_memory"))


def given(
    *runs: Rerun,
    train: dict[str, Any] | None = None,
    strict: bool = False,
    service: dict[str, Any] | None = None,
    **changes: Any,
) -> Evidence:
    """Evidence with these further runs."""
    block = {"train": {**PLAIN, **(train or {})}, "contract": {"strict": strict}}
    spec = builders.spec(block, {"services": {"train": service or {}}})
    score = (train or {}).get("score", "accuracy")
    curves = ({"loss": 0.9, score: 0.6}, {"loss": 0.2, score: 0.95})
    metrics = curves if "score" in (train or {}) else artifact().metrics
    return evidence(spec=spec, artifact=artifact(metrics=metrics), trainings=trainings(*runs, **changes))


def without(*names: str) -> Trainings:
    """Further runs without some."""
    whole = trainings()
    return replace(whole, runs=tuple(run for run in whole.runs if run.name not in names))


def silent(name: str, *losses: Any) -> Rerun:
    return rerun(name, "the same once more", 0, *losses, files=OTHER)


def scored(name: str, *values: Any, key: str = "accuracy") -> Rerun:
    return rerun(name, "changed", metrics=tuple({"loss": 0.5, key: value} for value in values))


def lost(*losses: Any) -> Rerun:
    return rerun("small-batch", "few rows", metrics=tuple({"loss": loss} for loss in losses))


SCORE, BY_R2, BY_NAMELESS = {"score": "accuracy"}, {"score": "val_r2"}, {"score": "score"}
NUMBERS = Labels(table="holdout.csv", rows=100, majority=0.1, numeric=True)
LETTERS = Labels(table="holdout.csv", rows=1000, majority=0.05, numeric=True)  # 26 classes, each a number
MARKS = Labels(table="holdout.csv", rows=400, majority=0.45, numeric=False)  # 7 numbers, to be met as near as can be
NAN = rerun("small-batch", "few rows", metrics=())
STUCK = rerun("small-batch", "few rows", metrics=({"loss": 1.0}, {"loss": 0.8}))
REFUSED = rerun("small-batch", "few rows", 1)

CASES: list[tuple[str, Status, str, Evidence]] = [
    ("train.time", SKIP, "no `max_time`; it took 1.2 s", given()),
    ("train.time", PASS, "1.2 s of 2 s", given(train={"max_time": "2s"})),
    ("train.time", FAIL, "1.2 s", given(train={"max_time": "1s"})),
    ("train.memory", SKIP, "no `max_memory`; peak 100 MiB (counted by cgroup v2", given()),
    ("train.memory", PASS, "peak 100 MiB", given(train={"max_memory": "200m"})),
    ("train.memory", PASS, "its limit of 1024 MiB is within 2048 MiB", given(train={"max_memory": "2g"})),
    ("train.memory", FAIL, "peak 100 MiB", given(train={"max_memory": "50m"})),
    ("train.memory", FAIL, "all of its limit of 1024 MiB", replace(
        given(train={"max_memory": "1g"}), train=training(exit=ended(code=137, oom_killed=True)))),
    ("train.memory", FAIL, "all of its limit of 1024 MiB", replace(
        given(train={"max_memory": "512m"}), train=training(exit=ended(code=137, oom_killed=True)))),
    ("train.memory", FAIL, "all of its limit of 1024 MiB", replace(
        given(train={"max_memory": "512m"}), train=training(exit=ended(code=137, oom_killed=True), peak=None))),
    ("train.memory", WARN, "its peak is unknown", replace(
        given(train={"max_memory": "50m"}), train=training(peak=None, memory_limit=0))),
    ("train.overfits-small-batch", PASS, "loss 1 -> 0.01 on 10 distinct rows 30 times", given()),
    ("train.overfits-small-batch", PASS, "loss 0.01", given(train={"small_batch": {"max_loss": 0.05}})),
    ("train.overfits-small-batch", PASS, "accuracy 1", given(scored("small-batch", 1.0), train=SCORE)),
    ("train.overfits-small-batch", PASS, "val_r2 0.92", given(
        scored("small-batch", 0.92, key="val_r2"), train=BY_R2, numeric=False)),
    ("train.overfits-small-batch", PASS, "score 0.92", given(
        scored("small-batch", 0.92, key="score"), train=BY_NAMELESS, numeric=True)),
    ("train.overfits-small-batch", WARN, "accuracy 0.92", given(
        scored("small-batch", 0.92), train=SCORE, numeric=True)),
    ("train.overfits-small-batch", WARN, "accuracy 95", given(scored("small-batch", 95.0), train=SCORE)),
    ("train.overfits-small-batch", PASS, "accuracy 95", given(
        scored("small-batch", 95.0), train={**SCORE, "small_batch": {"min_score": 90.0}})),
    ("train.overfits-small-batch", PASS, "accuracy 1", given(
        scored("small-batch", 1.0), train={**SCORE, "small_batch": {"min_score": 0.9}}, labels=None)),
    ("train.overfits-small-batch", WARN, "accuracy nan", given(scored("small-batch", 1.0, "NaN"), train=SCORE)),
    ("train.overfits-small-batch", FAIL, "accuracy 1, loss 0.5", given(
        scored("small-batch", 1.0), train={**SCORE, "small_batch": {"min_score": 0.9, "max_loss": 0.05}})),
    ("train.overfits-small-batch", PASS, "accuracy 1, loss 0.5", given(
        scored("small-batch", 1.0), train={**SCORE, "small_batch": {"min_score": 0.9, "max_loss": 0.5}})),
    ("train.overfits-small-batch", WARN, "loss 1 -> nan", given(lost(1.0, 0.01, float("nan")))),
    ("train.overfits-small-batch", FAIL, "loss nan", given(
        lost(1.0, 0.01, float("inf")), train={"small_batch": {"max_loss": 0.05}})),
    ("train.overfits-small-batch", SKIP, "begins at -1: `train.small_batch.max_loss`", given(lost(-1.0, -0.5))),
    ("train.overfits-small-batch", PASS, "loss -5", given(
        lost(-1.0, -5.0), train={"small_batch": {"max_loss": -4.0}})),
    ("train.overfits-small-batch", WARN, "loss 1 -> 0.8", given(STUCK)),
    ("train.overfits-small-batch", FAIL, "loss 1 -> 0.8", given(STUCK, strict=True)),
    ("train.overfits-small-batch", FAIL, "loss 0.8", given(STUCK, train={"small_batch": {"max_loss": 0.05}})),
    ("train.overfits-small-batch", WARN, "accuracy 0.92", given(scored("small-batch", 0.92), train=SCORE)),
    ("train.overfits-small-batch", FAIL, "accuracy 0.92", given(
        scored("small-batch", 0.92), train={**SCORE, "small_batch": {"min_score": 0.95}})),
    ("train.overfits-small-batch", FAIL, "accuracy nan", given(
        STUCK, train={**SCORE, "small_batch": {"min_score": 0.95}})),
    ("train.overfits-small-batch", WARN, "exit code 1\nsaved /model", given(REFUSED)),
    ("train.overfits-small-batch", FAIL, "exit code 1\nsaved /model", given(REFUSED, strict=True)),
    ("train.overfits-small-batch", SKIP, "recorded no `loss`", given(NAN)),
    ("train.overfits-small-batch", SKIP, "needs `train.score`", given(train={"small_batch": {"min_score": 1.0}})),
    ("train.overfits-small-batch", SKIP, "left out for the test", evidence(trainings=without("small-batch"))),
    ("train.learns-signal", PASS, "p = 0.18", given(train=SCORE)),
    ("train.learns-signal", FAIL, "with the true labels 0.95", given(scored("shuffled", 0.7), train=SCORE)),
    ("train.learns-signal", PASS, "p = ", given(scored("shuffled", 0.64), train=SCORE)),
    ("train.learns-signal", FAIL, "R2 0", given(
        scored("shuffled", 0.2, key="val_r2"), train=BY_R2, labels=NUMBERS)),
    ("train.learns-signal", PASS, "R2 0", given(
        scored("shuffled", -0.4, key="score"), train=BY_NAMELESS, labels=NUMBERS)),
    ("train.learns-signal", PASS, "R2 0", given(scored("shuffled", -0.1, key="val_r2"), train=BY_R2, labels=MARKS)),
    ("train.learns-signal", PASS, "the majority rate 0.050", given(
        scored("shuffled", 0.045), train=SCORE, labels=LETTERS)),
    ("train.learns-signal", FAIL, "the majority rate 0.050", given(
        scored("shuffled", 0.1), train=SCORE, labels=LETTERS)),
    ("train.learns-signal", FAIL, "accuracy 0.95, with shuffled labels 55", given(
        scored("shuffled", 55.0), train=SCORE)),
    ("train.learns-signal", FAIL, "accuracy 0.95, with shuffled labels -1", given(
        scored("shuffled", -1.0), train=SCORE)),
    ("train.learns-signal", FAIL, "val_r2 0.95, with shuffled labels 1.2", given(
        scored("shuffled", 1.2, key="val_r2"), train=BY_R2, labels=NUMBERS)),
    ("train.learns-signal", FAIL, "no `accuracy` that is a finite number", given(
        scored("shuffled", 0.9, float("nan")), train=SCORE)),
    ("train.learns-signal", WARN, "with shuffled labels 0.55", replace(
        given(train=SCORE), artifact=artifact(metrics=({"accuracy": 0.57},)))),
    ("train.learns-signal", FAIL, "no `accuracy`", given(scored("shuffled", None), train=SCORE)),
    ("train.learns-signal", FAIL, "exit code 1", given(rerun("shuffled", "x", 1), train=SCORE)),
    ("train.learns-signal", SKIP, "left out for the test", evidence(trainings=without("shuffled"))),
    ("train.deterministic", PASS, "the bytes repeat: 2 files are the same", given()),
    ("train.deterministic", PASS, "the parameters repeat: only the form of", given(content=FORM)),
    ("train.deterministic", PASS, "the parameters repeat: all files but metrics.jsonl are the same", given(
        content={"metrics.jsonl": "other bytes"})),
    ("train.deterministic", PASS, "agree; the predictor told nothing: it ended badly", given(
        silent("again"), content=CHANGED, repeated=Repeated(5, (), "it ended badly"))),
    ("train.deterministic", PASS, "the predictions repeat: the curves of `loss` agree", given(
        silent("again"), content=CHANGED)),
    ("train.deterministic", PASS, "5 predictions agree", given(
        silent("again", 9, 8), content=CHANGED, repeated=Repeated(5, ()))),
    ("train.deterministic", FAIL, "1 of 5 predictions differ: /0", given(
        silent("again"), content=CHANGED, repeated=Repeated(5, ("/0: 1 and 2",)), train={"seed_env": "SEED"})),
    ("train.deterministic", WARN, "`loss` parts at point 2 of 3: 0.5 and 0.51", given(
        silent("again", 0.9, 0.51, 0.2), content=CHANGED)),
    ("train.deterministic", WARN, "`loss` parts at point 3 of 3: ", given(
        silent("again", 0.9, 0.5, float("nan"), 0.2), content=CHANGED)),
    ("train.deterministic", FAIL, "parts at point 3 of 3: 0.2", given(
        silent("again", 0.9, 0.5), content=CHANGED, train={"repeat": "predictions"})),
    ("train.deterministic", FAIL, "the predictions repeat, the bytes do not", given(
        silent("again"), content=CHANGED, train={"repeat": "bytes"})),
    ("train.deterministic", FAIL, "the predictions repeat, the parameters do not", given(
        silent("again"), content=CHANGED, train={"repeat": "parameters"})),
    ("train.deterministic", WARN, "neither metrics nor a predictor", replace(
        given(rerun("again", "x", metrics=None, files=OTHER), content=CHANGED), artifact=artifact(metrics=()))),
    ("train.deterministic", FAIL, "exit code 1", given(rerun("again", "x", 1), rerun("repeat", "x", 1))),
    ("train.seed-matters", SKIP, "left out", replace(given(), trainings=without("seed"))),
    ("train.seed-matters", PASS, "SEED=8 in place of 7 gives another model", given(train={"seed_env": "SEED"})),
    ("train.seed-matters", PASS, "changes nothing", given(rerun("seed", "SEED=8"), train={"seed_env": "SEED"})),
    ("train.seed-matters", PASS, "another one is left out for the test", replace(
        given(train={"seed_env": "SEED"}), trainings=without("seed"))),
    ("train.seed-matters", FAIL, "training ignores it", given(
        silent("again", 0.8, 0.4, 0.2), content=CHANGED, train={"seed_env": "SEED"})),
    ("train.seed-matters", SKIP, "no second run with the same seed", replace(
        given(train={"seed_env": "SEED"}), trainings=without("again", "repeat"))),
    ("train.seed-matters", SKIP, "no second run with the same seed", given(
        rerun("again", "x", 1), rerun("repeat", "x", 1), train={"seed_env": "SEED"})),
    ("train.seed-matters", SKIP, "nothing tells whether", replace(
        given(rerun("again", "x", metrics=None, files=OTHER), content=CHANGED, train={"seed_env": "SEED"}),
        artifact=artifact(metrics=()))),
    ("train.seed-matters", FAIL, "exit code 1", given(rerun("seed", "SEED=8", 1), train={"seed_env": "SEED"})),
    ("train.exit-code-truth", PASS, "the column y is missing: exit code 1", given()),
    ("train.exit-code-truth", FAIL, "exit code 0, no complete artifact", given(rerun("no-data", "x", files=()))),
    ("train.exit-code-truth", FAIL, "exit code 0, an artifact that looks complete", given(rerun("no-column", "x"))),
    ("train.exit-code-truth", FAIL, "exit code 1, an artifact that", given(rerun("no-column", "x", 1, files=WHOLE))),
    ("train.exit-code-truth", FAIL, "stopped at its time limit", given(
        rerun("no-data", "x", 1, exit=ended(code=None, timed_out=True)))),
    ("train.exit-code-truth", FAIL, "exit code 0, no complete artifact", given(rerun("full-disk", "x", files=()))),
    ("train.exit-code-truth", FAIL, "exit code 0, an artifact that", given(rerun("unreadable-data", "x"))),
    ("train.exit-code-truth", PASS, "left to --deep: full-disk", given(left_out={"full-disk": "left to --deep"})),
    ("train.exit-code-truth", SKIP, "left out", evidence(trainings=without("no-data", "no-column"))),
    ("train.interruptible", PASS, "ended by signal 15 (exit code 143) 0.2 s after SIGTERM", given()),
    ("train.interruptible", WARN, "was killed 0.2 s after", given(KILLED)),
    ("train.interruptible", FAIL, "was killed 0.2 s after", given(KILLED, strict=True)),
    ("train.interruptible", FAIL, "was killed 0.2 s after", given(KILLED, service={"init": True})),
    ("train.interruptible", WARN, "was killed 0.2 s after", given(KILLED, service={"stop_grace_period": "1s"})),
    ("train.interruptible", FAIL, "was killed 0.2 s after SIGTERM, which came after 1.0 s, but all files", given(
        replace(KILLED, files=WHOLE))),
    ("train.interruptible", WARN, "did not hear it", given(rerun("interrupted", "x", signalled=0.2))),
    ("train.interruptible", FAIL, "did not hear it", given(rerun("interrupted", "x", signalled=0.2), strict=True)),
    ("train.interruptible", FAIL, "all files of an artifact are there", given(
        rerun("interrupted", "x", 143, signalled=1.0, files=WHOLE))),
    ("train.interruptible", FAIL, "exit code 0", given(rerun("interrupted", "x", signalled=1.0, files=()))),
    ("train.interruptible", SKIP, "too soon to tell", given(rerun("interrupted", "x", signalled=1.0))),
    ("train.interruptible", SKIP, "before it could be", given(rerun("interrupted", "x"))),
    ("train.hermetic", PASS, "without a network", given()),
    ("train.hermetic", WARN, "without a network: exit code 1: saved /model\nwhat holds: as an arbitrary user", given(
        rerun("again", "x", 1), rerun("repeat", "x"), rerun("without-a-network", "without a network", 1),
        rerun("as-an-arbitrary-user", "as an arbitrary user"))),
    ("train.hermetic", FAIL, "all at once: exit code 1", given(
        rerun("again", "x", 1), rerun("repeat", "x"), rerun("without-a-network", "without a network"), strict=True)),
    ("train.hermetic", WARN, "without any restriction too", given(rerun("again", "x", 1), rerun("repeat", "x", 1))),
]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "status", "received", "seen"), [pytest.param(*case, marks=shows(*case[:3])) for case in CASES]
)
def test_finds(name: str, status: Status, received: str, seen: Evidence) -> None:
    """Each defect is found by the check that is for it, with what was received and what to do."""
    findings = list(judge(seen, [CHECKS[name]]))
    assert {finding.status for finding in findings} == {status}, findings
    assert any(received in finding.received for finding in findings), findings
    if status in (WARN, FAIL):
        assert all(finding.expected and finding.advice for finding in findings)


@pytest.mark.parametrize(
    ("second", "expected"),
    [
        ('{"p": [1.0, 2]}\n[3]', Repeated(2, ())),
        ('warning\n{"p": [1.0000000000001, 2]}\n[3]\n', Repeated(2, ())),
        ('{"p": [1.0, 2]}\n[4]', Repeated(2, ("/0: expected 3, received 4 (more than 3e-09 off)",))),
        ("[3]", Repeated(2, (), "expected 2 answers, one JSON line each, received 2 and 1")),
    ],
)
def test_predictions_are_compared(second: str, expected: Repeated) -> None:
    """Answers of two equal trainings are compared to nine digits; what is no answer is passed over."""
    assert compared(2, ['loading\n{"p": [1.0, 2]}\n[3]\n', second], builders.spec()) == expected


def test_binomial_tail() -> None:
    """Against values that anybody can add up: 2 of 2 heads, 8 or more of 10, and the edges."""
    assert binomial_tail(2, 2, 0.5) == pytest.approx(0.25)
    assert binomial_tail(8, 10, 0.5) == pytest.approx(56 / 1024)
    assert binomial_tail(0, 10, 0.5) == 1.0
    assert binomial_tail(10, 10, 1.0) == 1.0
