"""Shows a run as events for programs: one JSON object a line, each with `event` and `seconds` since the start.

| event         | further keys                                                                              |
|---------------|-------------------------------------------------------------------------------------------|
| `run-begins`  | `run`, `project`, `harness`, `engine`, `expected_seconds` (null: no run like it is known)  |
| `stage-begins`| `stage`                                                                                   |
| `line`        | `stage`, `text`: a line of a stage's log                                                   |
| `stage-ends`  | `stage`, `outcome`, `done`, `took` in seconds                                              |
| `finding`     | `check`, `status`, `expected`, `received`, `advice`                                        |
| `verdict`     | `exit_code`, `passed`, `counts` by status, `evidence`: the run folder                      |
| `note`        | `text`: what else a person would be told                                                   |
| `error`       | `kind`, `message`, `hint`: what ended the command without a verdict                        |
"""

from __future__ import annotations

import sys
import threading
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TextIO

from harness.checks.judge import exit_code
from harness.config.spec import Spec
from harness.evidence.forecast import Forecast
from harness.evidence.records import Environment, Finding, StageTime
from harness.evidence.run_folder import STORE
from harness.reports.foreign import as_json


class Events:
    """A `line.Watcher` that prints JSON lines; each is written whole, whichever thread it comes from."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream or sys.stdout
        self._start = time.monotonic()
        self._lock = threading.Lock()
        self.folder: Path | None = None  # of the run, as soon as there is one

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None) -> None:
        pass

    def run_begins(self, spec: Spec, environment: Environment, run_id: str, forecast: Forecast | None = None) -> None:
        """Tell what is about to run, and where."""
        self.folder = spec.root / STORE / "runs" / run_id
        expected = round(forecast.total, 1) if forecast else None
        self._tell(
            "run-begins",
            run=run_id,
            project=spec.project,
            harness=environment.harness,
            engine=environment.engine,
            expected_seconds=expected,
        )

    def stage_begins(self, stage: str) -> None:
        """Tell that a stage begins."""
        self._tell("stage-begins", stage=stage)

    def line(self, stage: str, line: str) -> None:
        """Tell a line of a stage's log."""
        self._tell("line", stage=stage, text=line)

    def stage_ends(self, stage: StageTime, *, beside: bool = False) -> None:
        """Tell how a stage ended; one that ran `beside` the others was not announced."""
        del beside
        self._tell("stage-ends", stage=stage.name, outcome=stage.outcome, done=stage.done, took=round(stage.seconds, 3))

    def found(self, finding: Finding) -> None:
        """Tell a finding."""
        self._tell("finding", **asdict(finding))

    def verdict(self, findings: Sequence[Finding], stages: Sequence[StageTime], folder: Path) -> None:
        """Tell the end."""
        del stages
        code = exit_code(findings)
        counts = Counter(finding.status.value for finding in findings)
        self._tell("verdict", exit_code=code, passed=code == 0, counts=dict(counts), evidence=str(folder))

    def say(self, line: str) -> None:
        """Tell what else a person would be told."""
        self._tell("note", text=line)

    def problem(self, kind: str, message: str, hint: str) -> None:
        """Tell an error that ended the command."""
        self._tell("error", kind=kind, message=message, hint=hint)

    def _tell(self, event: str, **values: Any) -> None:
        told = {"event": event, "seconds": round(time.monotonic() - self._start, 3), **values}
        text = as_json(told)
        with self._lock:
            self._stream.write(text + "\n")
            self._stream.flush()
