"""The reports that every run leaves in its folder, however it ends; on GitHub annotations and the job's summary too."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from harness.evidence.run_folder import RunFolder
from harness.reports.console import Console
from harness.reports.events import Events
from harness.reports.files import read, write_all
from harness.reports.github import append_summary, commands
from harness.reports.run_report import RunReport
from harness.system.signals import deferred


@contextmanager
def reported(watcher: Console | Events) -> Iterator[Console | Events]:
    """Show a run to whoever watches, and leave its reports in its folder: after an error or an interrupt too."""
    with watcher:
        try:
            yield watcher
        finally:
            if watcher.folder is not None:
                with deferred():
                    _leave(watcher, watcher.folder)


def _leave(watcher: Console | Events, folder: Path) -> None:
    """Write all reports; what cannot be made is said, and changes neither the verdict nor the error of the run."""
    try:
        report = read(RunFolder(folder), os.environ)
        written, failed = write_all(report)
        if written:
            watcher.say(f"report:   {written[0]}")
        for name, exc in failed.items():
            watcher.say(f"the {name} report cannot be made: {exc!r}")
        if os.environ.get("GITHUB_ACTIONS") == "true":
            _tell_github(watcher, report)
    except Exception as exc:  # noqa: BLE001 - a defect of a report is none of the project
        watcher.say(f"the reports cannot be made: {exc!r}")


def _tell_github(watcher: Console | Events, report: RunReport) -> None:
    if isinstance(watcher, Console):  # a command of GitHub is no event
        for line in commands(report):
            watcher.ours(line)
    summary = os.environ.get("GITHUB_STEP_SUMMARY")
    if summary and not append_summary(report, Path(summary)):
        watcher.say(f"the summary of the job is full: {report.folder / 'summary.md'} has that of this run")
