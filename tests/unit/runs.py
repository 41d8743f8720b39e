"""Runs to report on: one of each ending, and one whose findings hold all that a report must survive."""

from __future__ import annotations

from dataclasses import fields, replace
from functools import cache
from pathlib import Path

import builders

from harness.checks import all_checks
from harness.checks.judge import judge
from harness.evidence.records import Ending, Evidence, Finding, StageTime, Status
from harness.evidence.run_folder import RunFolder
from harness.reports.run_report import RunReport

ID = "20260102T030405Z-abcdef"
LOG = "epoch 1\n\x1b[31mred\x1b[0m \x00\x07 <b>&amp;]]> `tick` | pipe\nlast line\n"
HOSTILE = (
    "\x1b[2J\x1b]0;title\x07\x00\x0b\ufffe\udce4 | pipe || <script>alert(1)</script> ]]> &amp; `tick` ```fence``` "
    "@someone #12 GH-7 [x](http://example.com) ![i](y) **bold** $x$ %0A ::error::x\nsecond | line\r\n~~~\nlast"
)
FAILED = Finding(
    Status.FAIL, "loss rose from 0.1 to 0.9\nin 3 epochs", "a falling loss", "Lower the rate.", "train.loss-decreases"
)
ERRORED = Finding(Status.ERROR, "Traceback", "a verdict", "Report it.", "artifact.safe")
WARNED = Finding(Status.WARN, "it runs as root", "a user of its own", "Add `USER`.", "serve.unprivileged")
ENDINGS = {
    "passed": Ending(0, "judged"),
    "failed": Ending(1, "judged"),
    "errored": Ending(3, "no container engine answers", "the engine is gone", "Start it."),
    "interrupted": Ending(130, "interrupted"),
}


@cache
def _good() -> tuple[Finding, ...]:
    return tuple(judge(builders.evidence(), all_checks()))


def changed(*findings: Finding) -> tuple[Finding, ...]:
    """The findings of a run that passes, but for the checks of those given."""
    names = {finding.check for finding in findings}
    good = [finding for finding in _good() if finding.check not in names]
    return (*good, *findings)


def evidence(ending: str) -> Evidence:
    """The evidence of a run with this ending."""
    whole = builders.evidence(
        end=ENDINGS[ending], quality=builders.quality(metrics={"accuracy": 0.95, "log_loss": 0.2})
    )
    if ending in ("passed", "failed"):
        return whole
    times = (StageTime("images", 0.0, 2.5, "done", done=True), StageTime("train", 2.5, 1.0, ending, done=False))
    return Evidence(spec=whole.spec, environment=whole.environment, images=whole.images, stages=times, end=whole.end)


def findings(ending: str) -> tuple[Finding, ...]:
    """What was found until the run ended so."""
    few = tuple(finding for finding in changed() if finding.check.startswith("images."))
    return {"passed": changed(WARNED), "failed": changed(FAILED, ERRORED, WARNED)}.get(ending, few)


def folder(root: Path, ending: str = "failed", name: str = ID) -> RunFolder:
    """A run folder below a project's root, as a run with this ending leaves it."""
    made = RunFolder(root / ".harness" / "runs" / name)
    (made.path / "train").mkdir(parents=True)
    (made.path / "train" / "log.txt").write_text(LOG, encoding="utf-8")
    whole = evidence(ending)
    whole = replace(whole, spec=replace(whole.spec, root=root, files=(root / "compose.yaml",)))
    for field in fields(Evidence):
        if getattr(whole, field.name):
            made.write(field.name, getattr(whole, field.name))
    made.write_findings(findings(ending))
    return made


def report(root: Path, ending: str = "failed", *given: Finding) -> RunReport:
    """What a report on such a run is made of; with findings given, on one that has those."""
    read = RunReport.of(folder(root, ending))
    return replace(read, findings=given) if given else read


def many(count: int, *, text: str = HOSTILE) -> tuple[Finding, ...]:
    """Failures of as many checks, a third of them warnings."""
    kinds = (Status.FAIL, Status.FAIL, Status.WARN)
    return tuple(Finding(kinds[n % 3], f"{n} {text}" * 3, text, text, f"contract.case-{n:03}") for n in range(count))
