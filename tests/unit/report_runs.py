"""Runs to report on: passed, failed, of numbers, ended by an error, in pieces, hostile. No engine has seen them."""

from __future__ import annotations

import math
from dataclasses import fields, is_dataclass, replace
from enum import Enum
from functools import cache
from pathlib import Path
from typing import Any

import builders

from harness.checks import all_checks
from harness.checks.judge import exit_code, judge
from harness.config.spec import Spec
from harness.evidence.records import Drift, Ending, Evidence, Finding, Labels, Rerun, StageTime, Status
from harness.evidence.records.scored import DUMMY, LINEAR, NEW, HoldoutRow, Prediction
from harness.reports.run_report import RunReport

ID = "20260102T030405Z-abcdef"
EVIL = "\"><script>alert(1)</script></style></title><img src=x onerror=alert(2)>'&\u202e\x1b[31m"
TRACEBACK = (
    '\x1b[31mERROR\x1b[0m in app\nTraceback (most recent call last):\n  File "app.py", line 4\nTypeError: no number\n'
)
KINDS = ("Adelie", "Chinstrap", "Gentoo")


def curve(factor: float, epochs: int = 40) -> tuple[dict[str, float], ...]:
    """Metrics of a training that learns at this pace."""
    return tuple(
        {"epoch": n, "loss": math.exp(-n * factor) + 0.01, "accuracy": 1 - math.exp(-n * factor) / 2}
        for n in range(1, epochs + 1)
    )


def rows(*, right: float = 1.0, count: int = 90) -> tuple[HoldoutRow, ...]:
    """Labelled rows of three classes, of which a part is predicted right."""
    found = []
    for number in range(1, count + 1):
        truth = KINDS[number % 3]
        said = truth if number <= round(right * count) else KINDS[(number + 1) % 3]
        columns = {"island": "Dream" if number % 3 else "Biscoe"}
        models = {NEW: Prediction(said), DUMMY: Prediction(KINDS[0]), LINEAR: Prediction(truth)}
        found.append(HoldoutRow(number, truth, columns, models))
    return tuple(found)


def rich(**changes: Any) -> Evidence:
    """A run with something to draw in every picture, that passes."""
    runs = (
        builders.rerun("small-batch", "10 distinct rows 30 times", 0, metrics=curve(0.3)),
        builders.rerun("shuffled", "the values of kind permuted", 0, metrics=curve(0.001)),
    )
    trainings = builders.trainings(*runs, labels=Labels("holdout.csv", 90, 0.5, numeric=False))
    latencies = tuple(sorted(0.008 + 0.0001 * (n % 37) + 0.02 * (n % 50 == 0) for n in range(100)))
    stream = builders.step(latencies=latencies, memory=((0.1, 200 * 2**20), (1.0, 201 * 2**20)))
    steps = tuple(
        builders.step(
            rate=None, clients=n, latencies=tuple(n * each for each in latencies), memory=((0.2, 203 * 2**20),)
        )
        for n in (1, 2, 4)
    )
    drift = tuple(
        Drift(name, "Jensen-Shannon", distance, 0.05)
        for name, distance in (("length", 0.03), ("depth", 0.06), ("kind", 0.01))
    )
    quality = builders.quality(
        rows=rows(), columns=("island", "kind"), metrics={"accuracy": 1.0}, target="kind", holdout="holdout.csv"
    )
    whole = builders.evidence(
        artifact=builders.artifact(metrics=curve(0.1)),
        trainings=trainings,
        load=builders.load(stream=stream, steps=steps),
        quality=quality,
        data=replace(builders.data(), drift=drift),
        train=replace(builders.training(), peak=300 * 2**20, peak_source="counted by cgroup v2"),
    )
    return replace(whole, **changes)


Judged = tuple[Evidence, tuple[Finding, ...]]  # frozen: the tests share what each kind of run was judged to be


def _judged(evidence: Evidence) -> Judged:
    findings = tuple(judge(evidence, all_checks()))
    return replace(evidence, end=Ending(exit_code(findings), "judged")), findings


def passed(root: Path) -> RunReport:
    """A run in which all is well."""
    return RunReport(root / ID, *_passed())


@cache
def _passed() -> Judged:
    return _judged(rich())


def failed(root: Path) -> RunReport:
    """A run with failures of many kinds, and a log with a traceback."""
    folder = root / ID
    builders.write_files(folder, {"serve/log.txt": TRACEBACK, "train/log.txt": "epoch 1\n\x1b[2Kepoch 2\n"})
    return RunReport(folder, *_failed())


@cache
def _failed() -> Judged:
    long = builders.exchange("rejects-null:/instances/0/length", 500, b"Traceback (most recent call last):\n  no")
    answers = (
        builders.exchange("example:one", 200, {"predictions": [99.0]}),
        replace(long, request=b'{"instances": [' + b"1, " * 2000 + b"null]}", request_type="application/json"),
        builders.exchange("recovers:rejects-null:/instances/0/length", 200, {"predictions": [7]}),
    )
    whole = rich()
    assert whole.data is not None
    assert whole.data.drift is not None
    far = replace(whole.data.drift[0], distance=0.4)
    whole = replace(
        whole,
        contract=builders.contract(*answers),
        quality=replace(whole.quality or builders.quality(), rows=rows(right=0.7)),
        data=replace(whole.data, drift=(far, *whole.data.drift[1:])),
        train=replace(whole.train or builders.training(), peak=3 * 2**30),
    )
    return _judged(whole)


def of_numbers(root: Path) -> RunReport:
    """A run whose target is a number."""
    return RunReport(root / ID, *_of_numbers())


@cache
def _of_numbers() -> Judged:
    found = tuple(
        HoldoutRow(
            n,
            float(n),
            {},
            {NEW: Prediction(n + 3 * math.sin(n)), DUMMY: Prediction(50.0), LINEAR: Prediction(n + 1.0)},
        )
        for n in range(1, 101)
    )
    block = {"quality": {"conditions": ["rmse <= 3.5", "mae <= 1"], "holdout": "holdout.csv", "target": "price"}}
    quality = builders.quality(rows=found, target="price", columns=("price",), metrics={"rmse": 2.1, "mae": 1.9})
    return _judged(rich(spec=builders.spec(block), quality=quality))


def ended_by_error(root: Path) -> RunReport:
    """A run that the engine left: there is a description and a stage, and no verdict."""
    stages = (StageTime("images", 0.0, 1.5, "no container engine answers", done=False),)
    end = Ending(
        3, "no container engine answers", "the engine went away\nwhile it built", "Start it: `systemctl start docker`."
    )
    evidence = Evidence(spec=builders.spec(), stages=stages, end=end)
    return RunReport(root / ID, evidence, (Finding(Status.PASS, "fine", check="data.pinned"),))


def in_pieces(root: Path) -> RunReport:
    """A run of which nothing is left but its description, and two files that cannot be read."""
    return RunReport(
        root / "copied",
        Evidence(spec=builders.spec()),
        (),
        ("train/record.json cannot be read: EOF", "end.json cannot be read"),
    )


def hostile(root: Path) -> RunReport:
    """A failed run in which every text of a project or of its containers tries to become a part of the page."""
    whole = failed(root)
    folder = root / ID
    builders.write_files(folder, {"serve/log.txt": f"ERROR {EVIL}\n", "train/log.txt": f"{EVIL}\n"})
    findings = tuple(
        replace(f, received=f.received + EVIL, expected=f.expected + EVIL, advice=f.advice + EVIL)
        for f in whole.findings
    )
    odd = (*findings, Finding(Status.FAIL, EVIL, EVIL, EVIL, f"{EVIL}.{EVIL}"))
    evidence = replace(poisoned(whole.evidence), end=Ending(1, "judged", EVIL, EVIL))
    return RunReport(folder, evidence, odd, (EVIL,))


def poisoned(value: Any) -> Any:
    """Return a record with a hostile text behind each text that the project or its containers chose."""
    found = value
    if isinstance(value, Spec):
        found = replace(value, project=value.project + EVIL)
    elif is_dataclass(value) and not isinstance(value, type):
        names = [f.name for f in fields(value) if f.init]
        # Names that the report looks for stay as they are: stages, reruns, cases, models.
        kept = ("case", "kind") if not isinstance(value, StageTime | Rerun) else ("name", "outcome")
        found = replace(value, **{n: getattr(value, n) if n in kept else poisoned(getattr(value, n)) for n in names})
    elif isinstance(value, tuple):
        found = tuple(poisoned(each) for each in value)
    elif isinstance(value, dict):
        found = {key: poisoned(each) for key, each in value.items()}
    elif isinstance(value, bytes):
        found = value + EVIL.encode()
    elif isinstance(value, str) and not isinstance(value, Enum) and value != "openapi":
        found = value + EVIL
    return found
