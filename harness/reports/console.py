"""Shows a run on a terminal (with `rich`), as plain lines elsewhere, folded in groups on GitHub.

All that is printed passes `_print` or `document`, which take it for foreign text; `ours` alone does not.
"""

from __future__ import annotations

import os
import re
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from io import TextIOWrapper
from pathlib import Path
from types import TracebackType
from typing import Self, TextIO

from rich.console import Console as Rich
from rich.markup import escape
from rich.progress import Progress, SpinnerColumn, TextColumn
from rich.text import Text

from harness.checks.ml_test_score import AUTOMATED, MANUAL, SECTIONS, Score
from harness.checks.ml_test_score import title as title_of
from harness.config.spec import Spec
from harness.evidence.forecast import Forecast
from harness.evidence.records import Ending, Environment, Finding, StageTime, Status
from harness.evidence.run_folder import STORE
from harness.reports.foreign import command, harmless, one_line
from harness.runner.golden import Golden

STYLES = {
    Status.PASS: "green",
    Status.WARN: "yellow",
    Status.FAIL: "bold red",
    Status.ERROR: "bold magenta",
    Status.SKIP: "dim",
}
LEFT_OUT = "left out by "
NAME_WIDTH = 31
# A build prints hundreds of lines; of these only the steps are shown without --verbose.
BUILD_STEP = re.compile(r"^(Step \d+/\d+|#\d+ \[)|ERROR|failed")


@dataclass(frozen=True)
class Clock:
    """The time of a stage, as it is whenever it is shown: how long it has worked, and how long the run still takes."""

    begun: float
    start: float  # of the run; both as time.monotonic() has it
    forecast: Forecast | None

    def __str__(self) -> str:
        now = time.monotonic()
        text = f"{now - self.begun:.0f} s"
        left = self.forecast.left(now - self.start) if self.forecast else 0.0
        return f"{text}, about {left:.0f} s left" if left >= 1 else text


class Console:
    """A `pipeline.Watcher` that prints. Use it in a `with`: the spinner ends with it."""

    def __init__(self, *, verbose: bool = False, quiet: bool = False, stream: TextIO | None = None) -> None:
        out = stream or sys.stdout
        if isinstance(out, TextIOWrapper):  # what a terminal's encoding does not have must not end the run
            out.reconfigure(errors="replace")
        self._rich = Rich(file=out, highlight=False, soft_wrap=True)
        self._verbose = verbose
        self.folder: Path | None = None  # of the run, as soon as there is one
        self._quiet = quiet  # only what is not well, and the verdict
        self._groups = os.environ.get("GITHUB_ACTIONS") == "true" and not quiet
        self._progress: Progress | None = None
        self._forecast: Forecast | None = None
        self._start = time.monotonic()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None) -> None:
        self._end_progress()

    def run_begins(self, spec: Spec, environment: Environment, run_id: str, forecast: Forecast | None = None) -> None:
        """Show what is about to run, where, and how long it will probably take."""
        self._forecast, self._start = forecast, time.monotonic()
        self.folder = spec.root / STORE / "runs" / run_id
        if self._quiet:
            return
        self._print(f"harness {environment.harness} · project {spec.project} · run {run_id}")
        memory = environment.memory / 2**30
        self._print(
            f"engine {environment.engine} (API {environment.api}), {environment.compose}, "
            f"{environment.cores} cores, {memory:.1f} GiB"
        )

    def stage_begins(self, stage: str) -> None:
        """Show that a stage begins."""
        if self._quiet:
            return
        if self._groups:
            self.ours(command("group", stage))
        elif self._rich.is_terminal:
            self._end_progress()
            columns = (
                SpinnerColumn(),
                TextColumn("{task.description}"),
                TextColumn("{task.fields[clock]}", style="dim"),
            )
            self._progress = Progress(*columns, console=self._rich, transient=True, get_time=time.monotonic)
            self._progress.add_task(stage, total=None, clock=Clock(time.monotonic(), self._start, self._forecast))
            self._progress.start()
        else:
            self._print(f"{stage} ...")

    def line(self, stage: str, line: str) -> None:
        """Show a line of a stage's log."""
        if self._quiet:
            return
        shown = {"images": BUILD_STEP.search(line) is not None, "serve": False}.get(stage, True)
        if not (shown or self._verbose or self._groups):
            return
        progress = self._progress
        if progress is not None and not self._verbose:
            progress.update(progress.task_ids[0], description=f"{stage}  {escape(harmless(line[:100]))}")
        if progress is None or self._verbose or stage == "train":
            self._print(f"  {stage} | {line}", style="dim")

    def stage_ends(self, stage: StageTime, *, beside: bool = False) -> None:
        """Show how a stage ended; one that ran `beside` the others was not announced."""
        if not beside:
            self._end_progress()
            if self._groups:
                self.ours(command("endgroup"))
        if self._quiet:
            return
        self._print(
            f"{stage.name:<10} {stage.outcome}  ({stage.seconds:.1f} s)", style="" if stage.done else "bold red"
        )

    def found(self, finding: Finding) -> None:
        """Show a finding: one line, and for what is not well what to do."""
        if finding.status is Status.SKIP and finding.received.startswith(LEFT_OUT):
            return  # the user chose so: the verdict counts them
        quiet = finding.status in (Status.PASS, Status.SKIP)
        if quiet and self._quiet:
            return
        told = finding.received if quiet else finding.expected and f"expected {finding.expected}"
        line = Text("  ")
        line.append(f"{finding.status.value.upper():<5}", style=STYLES[finding.status])
        line.append(one_line(f" {finding.check:<{NAME_WIDTH}} {' '.join(told.splitlines())}"))
        self._rich.print(line)
        if quiet:
            return
        for title, text in (("received", finding.received), ("do", finding.advice)):
            for number, part in enumerate(text.splitlines()):
                self._print(f"        {title if number == 0 else '':<9} {part}")

    def verdict(
        self, findings: Sequence[Finding], stages: Sequence[StageTime], folder: Path, broke: Ending | None = None
    ) -> None:
        """Show the end: the count, the times, where the evidence lies; a run that an error ended has not passed."""
        counts = {status: sum(f.status is status for f in findings) for status in Status}
        names = {Status.PASS: "passed", Status.WARN: "warned", Status.FAIL: "failed", Status.ERROR: "in error"}
        parts = [f"{counts[s]} {names.get(s, 'skipped')}" for s in Status if counts[s]]
        bad = counts[Status.FAIL] + counts[Status.ERROR] or not findings
        self._print("")
        if broke is not None and not bad:
            self._print(f"ENDED BEFORE A VERDICT ({broke.kind}): {', '.join(parts)}", style="bold red")
            self._print(f"  {broke.message}")
        else:
            style = "bold red" if bad else "bold green"
            self._print(f"{'FAILED' if bad else 'PASSED'}: {', '.join(parts)}", style=style)
        times = " · ".join(f"{stage.name} {stage.seconds:.1f}" for stage in stages if stage.seconds)
        total = max((stage.start + stage.seconds for stage in stages), default=0.0)
        self._print(f"time:     {total:.1f} s ({times})")
        self._print(f"evidence: {folder}")

    def rubric(self, score: Score) -> None:
        """Show the ML Test Score: each test, by what it is covered, the sections and the final score."""
        for each in score.covered:
            kind = {AUTOMATED: "automated", MANUAL: "by hand"}.get(each.points, "-")
            self._print(f"{each.test:<10} {kind:<10} {title_of(each.test)}")
            if each.by:
                self._print(f"{'':<21} {', '.join(each.by)}", style="dim")
        sections = ", ".join(f"{section} {score.of(section):g}" for section in SECTIONS)
        self._print(f"ML Test Score {score.final:g} (the least of {sections}; 7 each)", style="bold")

    def golden(self, found: Sequence[Golden]) -> None:
        """Show what a served model answered, and what of it may be promised."""
        for each in found:
            self._print(f"  {each.name}: {each.problem or each.exchange.response.decode(errors='replace')[:300]}")
            if each.left_out:
                self._print(f"  new each time, not promised: {', '.join(each.left_out)}")

    def say(self, line: str) -> None:
        """Print one plain line; further lines of it are marked as such."""
        self._print(line)

    def document(self, text: str) -> None:
        """Print a whole text of ours, such as JSON or Markdown; only what would command a runner is changed."""
        self._rich.print(Text(harmless(text)))

    def ours(self, text: str) -> None:
        """Print what is ours alone, to the letter: a command that `foreign.command` made, a file of this package."""
        self._rich.print(Text(text))

    def problem(self, kind: str, message: str, hint: str) -> None:
        """Show an error that ended the command."""
        self._end_progress()
        if self._groups:
            self.ours(command("error", (message.splitlines() or [kind])[0], title=kind))
        self._print(f"harness: {kind}: {message}", style="bold red")
        for number, part in enumerate(hint.splitlines()):
            self._print(f"  {'do:' if number == 0 else '   '} {part}")

    def _print(self, text: str, style: str = "") -> None:
        self._rich.print(Text(one_line(text), style=style))

    def _end_progress(self) -> None:
        if self._progress is not None:
            self._progress.stop()
            self._progress = None
