"""One case a check: its findings together, the stage that gave its evidence, its logs, and where to look."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from harness.checks import Check, all_checks
from harness.evidence.records import Finding, StageTime, Status
from harness.evidence.records.run import error_of
from harness.evidence.stages import STAGES
from harness.project.compose_file import KEY, NAMES
from harness.reports.run_report import SERVICES, Place, RunReport
from harness.reports.text import plain

VERDICT = "run.verdict"  # stands for the run itself where it ended without a verdict
FOLDER = "run.folder"  # stands for what could not be read of its folder
LEFT_OUT = "left out by "
ORDER = (Status.FAIL, Status.ERROR, Status.WARN, Status.PASS, Status.SKIP)  # the worst first
WELL = (Status.PASS, Status.SKIP)
NAMES_OF = {Status.PASS: "passed", Status.WARN: "warned", Status.FAIL: "failed", Status.ERROR: "in error"}
MAX_LOGS = 8


@dataclass(frozen=True)
class Case:
    """All that a run has to say of one check."""

    check: str
    sentence: str
    findings: tuple[Finding, ...]
    places: tuple[Place, ...]  # of each finding
    stage: StageTime | None = None  # that gave the evidence; None where nobody knows
    logs: tuple[Path, ...] = ()

    @property
    def subject(self) -> str:
        """What the check is about: the part of its name before the dot."""
        return self.check.partition(".")[0]

    @property
    def status(self) -> Status:
        """The worst status of its findings."""
        return min((finding.status for finding in self.findings), key=ORDER.index)

    @property
    def place(self) -> Place:
        """Where to look first: where its worst finding is."""
        return min(zip(self.findings, self.places, strict=True), key=lambda pair: ORDER.index(pair[0].status))[1]

    @property
    def seconds(self) -> float:
        """How long the stage took that gave the evidence; checks of one stage share that time."""
        return self.stage.seconds if self.stage else 0.0

    @property
    def chosen(self) -> bool:
        """Whether the user left the check out."""
        return self.status is Status.SKIP and all(f.received.startswith(LEFT_OUT) for f in self.findings)


def cases(report: RunReport) -> tuple[Case, ...]:
    """Return the cases of a run, in the order of its findings, its end without a verdict and its broken files first."""
    known = {check.name: check for check in all_checks()}
    files = _files(report)
    grouped: dict[str, list[Finding]] = {}
    for finding in (*_of_the_run(report), *report.findings):
        grouped.setdefault(finding.check or "run.unknown", []).append(finding)
    return tuple(_case(report, name, tuple(found), known.get(name), files) for name, found in grouped.items())


def explain(finding: Finding) -> str:
    """Return a finding as lines: expected, received, what to do."""
    rows = (("expected", finding.expected), ("received", finding.received), ("do", finding.advice))
    lines = []
    for title, text in rows:
        for number, line in enumerate(plain(text).splitlines()):
            lines.append(f"{title if number == 0 else '':<9} {line}")
    return "\n".join(lines)


def verdict(report: RunReport) -> str:
    """Return the verdict of a run in one line."""
    counts = {status: sum(f.status is status for f in report.findings) for status in Status}
    parts = [f"{counts[s]} {NAMES_OF.get(s, 'skipped')}" for s in Status if counts[s]]
    count = ", ".join(parts) or "nothing was judged"
    if (end := error_of(report.evidence.end)) is not None:
        return f"{'INTERRUPTED' if end.kind == 'interrupted' else f'ENDED: {plain(end.kind)}'}: {count}"
    bad = counts[Status.FAIL] + counts[Status.ERROR] or not report.findings
    return f"{'FAILED' if bad else 'PASSED'}: {count}"


def well(report: RunReport) -> bool:
    """Whether the run passed."""
    return verdict(report).startswith("PASSED")


def _of_the_run(report: RunReport) -> list[Finding]:
    """Return what is to be said of the run itself, beside its checks."""
    found = []
    if (end := error_of(report.evidence.end)) is not None:
        received = f"{end.kind}{': ' if end.message else ''}{end.message}"
        found.append(Finding(Status.ERROR, received, "a run that ends with a verdict", end.hint, VERDICT))
    elif not report.findings:
        advice = "Run again; `harness judge` judges what was recorded."
        found.append(Finding(Status.ERROR, "nothing was judged", "a run that ends with a verdict", advice, VERDICT))
    if report.amiss:
        advice = "The report is made of the rest. A run of another version is read whole by that version."
        found.append(Finding(Status.WARN, "\n".join(report.amiss), "a run folder that can be read", advice, FOLDER))
    return found


def _case(
    report: RunReport, name: str, findings: tuple[Finding, ...], check: Check | None, files: Mapping[str, str]
) -> Case:
    stage = _stage(report, check)
    patterns = STAGES[stage.name].logs if stage and stage.name in STAGES else ()
    logs = [path for pattern in patterns for path in sorted(report.folder.glob(pattern)) if path.is_file()]
    places = tuple(_place(report, name, finding, files) for finding in findings)
    return Case(name, check.sentence if check else "", findings, places, stage, tuple(logs[:MAX_LOGS]))


def _stage(report: RunReport, check: Check | None) -> StageTime | None:
    """Return the last stage that gave a check evidence that it cannot do without, else any that it reads."""
    if check is None:
        return None
    for names in (check.reads, check.may_read):
        if stages := [stage for stage in report.evidence.stages if stage.name in names and stage.done]:
            return max(stages, key=lambda stage: stage.start + stage.seconds)
    return None


def _files(report: RunReport) -> dict[str, str]:
    """Return the files that findings name -> the same relative to the project."""
    spec, evidence = report.evidence.spec, report.evidence
    found = {path.name: path.name for path in spec.files}
    found |= {each.file: each.file for each in spec.examples} | {each.file: each.file for each in spec.behaviours}
    if evidence.images is not None:
        found |= {name: name for name in evidence.images.requirements}
    if evidence.tracked is not None:
        found |= {file.path: file.path for file in evidence.tracked.files}
    if evidence.data is not None:
        top = evidence.data.path
        alone = len(evidence.data.files) == 1 and Path(top).name == evidence.data.files[0].path
        found |= {file.path: top if alone else f"{top.rstrip('/')}/{file.path}" for file in evidence.data.files}
    return found


def _place(report: RunReport, name: str, finding: Finding, files: Mapping[str, str]) -> Place:
    """Return the first place that a finding names, else that of the block which the check is about."""
    text = "" if finding.status in WELL else f"{finding.received}\n{finding.expected}"
    hits = [(match, path) for file, path in files.items() if file and (match := _mention(file, text))]
    if hits:
        match, path = min(hits, key=lambda hit: hit[0].start())
        return Place(path, max(1, int(match["line"] or 1)))
    subject = name.partition(".")[0]
    default = Place(report.evidence.spec.files[0].name if report.evidence.spec.files else NAMES[0])
    return report.places.get(SERVICES if subject == "images" else subject) or report.places.get(KEY, default)


def _mention(file: str, text: str) -> re.Match[str] | None:
    if file not in text:  # a dataset may have thousands of files: no pattern for each
        return None
    return re.search(rf"(?<![\w./-]){re.escape(file)}(?![\w/-])(?:(?::| line )(?P<line>\d{{1,7}}))?", text)
