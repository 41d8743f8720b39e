"""The ML Test Score of a run: which tests of the rubric its checks automate, which are done by hand, which by nobody.

Breck, Cai, Nielsen, Salib, Sculley: The ML Test Score: A Rubric for ML Production Readiness and Technical Debt
Reduction, IEEE Big Data 2017. A test that runs automatically counts 1, one done by hand and documented 0.5; the score
of a section is the sum over its seven tests, the final score the least of the four. Only what was really run counts: a
check that was skipped, or could not judge, automates nothing, and neither does one that the project gave no limit.

A check covers a test where it does what the paper asks for: Infra 1 is a second training that repeats the first (pins
and hashes are only its condition), Infra 3 a line from data to an answer, Infra 6 "testing that a model successfully
loads into production serving binaries and that inference on production input data succeeds" (live traffic is by hand).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from harness.checks import Check
from harness.config.blocks import Block
from harness.evidence.records import Finding, Status

SECTIONS: dict[str, tuple[str, ...]] = {
    "Data": (
        "Feature expectations are captured in a schema",
        "All features are beneficial",
        "No feature's cost is too much",
        "Features adhere to meta-level requirements",
        "The data pipeline has appropriate privacy controls",
        "New features can be added quickly",
        "All input feature code is tested",
    ),
    "Model": (
        "Model specs are reviewed and submitted",
        "Offline and online metrics correlate",
        "All hyperparameters have been tuned",
        "The impact of model staleness is known",
        "A simpler model is not better",
        "Model quality is sufficient on important data slices",
        "The model is tested for considerations of inclusion",
    ),
    "Infra": (
        "Training is reproducible",
        "Model specs are unit tested",
        "The ML pipeline is integration tested",
        "Model quality is validated before serving",
        "The model is debuggable",
        "Models are canaried before serving",
        "Serving models can be rolled back",
    ),
    "Monitor": (
        "Dependency changes result in notification",
        "Data invariants hold for inputs",
        "Training and serving are not skewed",
        "Models are not too stale",
        "Models are numerically stable",
        "Computing performance has not regressed",
        "Prediction quality has not regressed",
    ),
}
AUTOMATED, MANUAL = 1.0, 0.5
JUDGED = (Status.PASS, Status.WARN, Status.FAIL)


def tests() -> tuple[str, ...]:
    """Return the names of all 28 tests: `Data 1` to `Monitor 7`."""
    return tuple(f"{section} {n}" for section, names in SECTIONS.items() for n in range(1, len(names) + 1))


def title(test: str) -> str:
    """Return what a test asks for. Raises KeyError and IndexError for one that the rubric does not have."""
    section, _, number = test.partition(" ")
    return SECTIONS[section][int(number) - 1]


@dataclass(frozen=True)
class Covered:
    """One test of the rubric, and by what it is covered."""

    test: str
    points: float
    by: tuple[str, ...]  # checks that ran; for a manual test where it is documented


@dataclass(frozen=True)
class Score:
    """All 28 tests; the final score is that of the weakest section."""

    covered: tuple[Covered, ...]

    def of(self, section: str) -> float:
        """Return the points of a section, 0 to 7."""
        return sum(each.points for each in self.covered if each.test.startswith(f"{section} "))

    @property
    def final(self) -> float:
        """The least of the four sections."""
        return min(self.of(section) for section in SECTIONS)


def score(findings: Sequence[Finding], checks: Sequence[Check], block: Block) -> Score:
    """Return the score of a run; `manual` of its block says where the results of tests by hand are documented."""
    judged = {finding.check for finding in findings if finding.status in JUDGED} - _without_limit(block)
    found = []
    for test in tests():
        by = tuple(check.name for check in checks if check.rubric == test and check.name in judged)
        if by:
            found.append(Covered(test, AUTOMATED, by))
        elif test in block.manual:
            found.append(Covered(test, MANUAL, (block.manual[test],)))
        else:
            found.append(Covered(test, 0.0, ()))
    return Score(tuple(found))


def _without_limit(block: Block) -> set[str]:
    """Return the checks that measure performance, but would notice no regression: nothing says how good it must be."""
    latency, load = block.contract.latency, block.contract.load
    limits = {
        "contract.latency": (latency.p50, latency.p95, latency.p99),
        "contract.load": (load.sustains,),
    }
    return {name for name, given in limits.items() if all(limit is None for limit in given)}
