"""Makes small datasets with one defect or none, and judges them with all checks of data."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import builders

from harness.checks import all_checks
from harness.checks.judge import judge_one
from harness.evidence.records import Finding, Status
from harness.runner.stages.data import collect

CHECKS = [check for check in all_checks() if check.name.startswith("data.")]
HEADER = "length,colour,kind"
BLOCK: dict[str, Any] = {
    "path": "data", "schema": None, "target": "kind", "reference": "reference.csv",
}  # fmt: skip
Rows = list[list[str]]


def rows(count: int, seed: int) -> Rows:
    """Rows of a length, a colour and a kind that depends on both, but on neither alone."""
    draw = random.Random(seed)  # noqa: S311 - a dataset is no secret
    made = []
    for _ in range(count):
        kind, colour = draw.choice("ab"), draw.choice(["red", "blue", "green"])
        made.append([f"{draw.gauss(5.0 if kind == 'a' else 6.0, 1):.6f}", colour, kind])
    return made


def table(of: Sequence[Sequence[str]], header: str = HEADER) -> str:
    """Return rows as CSV."""
    return "\n".join([header, *(",".join(row) for row in of)]) + "\n"


def files(change: Callable[[Rows, Rows], None] | None = None, header: str = HEADER) -> dict[str, str]:
    """Return a good dataset of 300 and 100 rows, or one that `change(training, hold-out)` spoils."""
    train, holdout = rows(300, 1), rows(100, 2)
    if change is not None:
        change(train, holdout)
    return {
        "data/train.csv": table(train, header),
        "data/holdout.csv": table(holdout, header),
        "reference.csv": table(rows(1000, 3)),
    }


def judged(root: Path, texts: dict[str, str], **block: Any) -> dict[str, list[Finding]]:
    """Return what each check of data finds in a dataset."""
    builders.write_files(root, texts)
    spec = builders.spec({"data": BLOCK | block}, root=root)
    data = collect(spec)
    lock = builders.lock(data=data.sha256)
    evidence = builders.evidence(spec=spec, data=data, lock=lock)
    return {check.name: list(judge_one(evidence, check)) for check in CHECKS}


def verdicts(found: dict[str, list[Finding]]) -> dict[str, Status]:
    """Return the worst verdict of the checks that did not pass or skip."""
    order = (Status.ERROR, Status.FAIL, Status.WARN)
    worst = {name: next((s for s in order if s in {f.status for f in fs}), None) for name, fs in found.items()}
    return {name: status for name, status in worst.items() if status is not None}
