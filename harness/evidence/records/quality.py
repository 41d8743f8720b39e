"""What the served model predicts of labelled hold-out rows, beside what others predict of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from harness.evidence.records.finding import FileHash
from harness.evidence.records.scored import HoldoutRow


@dataclass(frozen=True)
class Quality:
    """The hold-out rows with their labels and predictions."""

    holdout: str  # file, relative to the project
    target: str
    columns: tuple[str, ...]  # of the file
    rows: tuple[HoldoutRow, ...]
    problem: str = ""  # why no row could be sent
    baseline: str | None = None  # where the predictions of the baseline come from
    baseline_problem: str = ""
    others_problem: str = ""  # why there is no dummy and no linear model
    # Every metric of the served model, of each class too, under its name in a condition.
    metrics: Mapping[str, float] = field(default_factory=dict)
    baseline_metrics: Mapping[str, float] = field(default_factory=dict)  # of the baseline, on the rows that both have

    holdout_sha256: str = ""  # of the file, as it was when its rows were sent
    predictions: FileHash | None = None  # of the served model, in the run folder
    baseline_digest: str = ""  # of the published artifact that the baseline is
    baseline_state: Literal["there", "unpublished", "broken"] = "there"  # of the store that it comes from

    blocker: None = None
