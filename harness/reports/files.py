"""The reports of a run as files, each made of the run folder alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from harness.evidence.run_folder import RunFolder, write_atomic
from harness.reports import ctrf, html, junit, markdown, sarif
from harness.reports.run_report import RunReport
from harness.reproduce.bundle import redactor_of

# Format -> file name and what renders it.
FORMATS: Mapping[str, tuple[str, Callable[[RunReport], str]]] = {
    "html": ("report.html", html.render),
    "junit": ("junit.xml", junit.render),
    "markdown": ("summary.md", markdown.render),
    "sarif": ("results.sarif", sarif.render),
    "ctrf": ("ctrf-report.json", ctrf.render),
}
# Folder of the checkout as GitHub, GitLab, Azure and Jenkins name it: they want paths relative to it.
WORKSPACES = ("GITHUB_WORKSPACE", "CI_PROJECT_DIR", "BUILD_SOURCESDIRECTORY", "WORKSPACE")


def write_all(
    report: RunReport, formats: Sequence[str] = (), out: Path | None = None
) -> tuple[list[Path], dict[str, Exception]]:
    """Write reports, all where no formats are named; return the files, and the format -> why it has none.

    They go into the folder of the run, or into `out`. A report that cannot be made is a defect of the harness or of
    the disk: it hides neither the verdict nor the others.
    """
    written: list[Path] = []
    failed: dict[str, Exception] = {}
    for name in formats or FORMATS:
        file, render = FORMATS[name]
        path = (out or report.folder) / file
        try:
            write_atomic(path, report.redacted(render(report)), private=out is None)
        except Exception as exc:  # noqa: BLE001 - told by whoever asked for it
            failed[name] = exc
        else:
            written.append(path)
    return written, failed


def read(folder: RunFolder, environment: Mapping[str, str]) -> RunReport:
    """Read a run for a report in this environment. Raises DescriptionError as RunReport.of does."""
    report = RunReport.of(folder)
    root = report.evidence.spec.root
    redactor = redactor_of(folder, report.evidence.spec, root, environment)
    return replace(report, base=workspace(environment, root), redactor=redactor)


def workspace(environment: Mapping[str, str], root: Path) -> Path | None:
    """Return the folder that CI wants paths relative to; None where the project does not lie in it."""
    found = (Path(environment[name]).resolve() for name in WORKSPACES if environment.get(name))
    return next((path for path in found if root.is_relative_to(path)), None)
