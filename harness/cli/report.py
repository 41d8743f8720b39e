"""The verbs about reports: `report` and `compare`."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import TYPE_CHECKING

from harness import errors
from harness.cli.verb_help import Verb

if TYPE_CHECKING:
    from harness.evidence.run_folder import RunFolder
    from harness.reports.comparison import Compared

ALL = "all"
FORMATS = ("html", "junit", "markdown", "sarif", "ctrf")  # of harness.reports.files, which `--help` need not import
SHOWN = "html"  # the format that --open opens


def register(verb: Verb, project: argparse.ArgumentParser) -> None:
    """Add the verbs; `project` is the parent parser with --project."""
    report = verb("report", _report, "Write the reports of a run, of one without an end too.", project)
    report.add_argument("run", nargs="?", default="latest", metavar="RUN", help="run ID, folder or `latest`")
    report.add_argument("--format", choices=(*FORMATS, ALL), default=ALL, help="default: all")
    report.add_argument("--out", type=Path, metavar="DIR", help="where to write them; default: the folder of the run")
    report.add_argument("--open", action="store_true", help="show it: the page where there is one, in the browser")
    compare = verb("compare", _compare, "Say what differs between two runs.", project)
    compare.add_argument("before", metavar="BEFORE", help="run ID or folder")
    compare.add_argument("after", nargs="?", default="latest", metavar="AFTER", help="default: latest")
    form = compare.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="print JSON")
    form.add_argument("--markdown", action="store_true", help="print Markdown")
    compare.add_argument("--fail-on-regression", action="store_true", help="exit code 1 where a check now fails")


def _report(arguments: argparse.Namespace) -> int:
    from harness.evidence.run_folder import RunFolder
    from harness.reports.console import Console
    from harness.reports.files import FORMATS, read, write_all

    report = read(RunFolder.find(arguments.project, arguments.run), os.environ)
    formats = tuple(FORMATS) if arguments.format == ALL else (arguments.format,)
    console = Console()
    written, failed = write_all(report, formats, arguments.out)
    for line in report.amiss:
        console.say(f"amiss: {line}")
    for path in written:
        console.say(f"wrote {path}")
    for name, exc in failed.items():
        console.say(f"failed: the {name} report cannot be made: {exc}")
        if isinstance(exc, errors.HarnessError):
            raise exc
        raise RuntimeError(f"the {name} report cannot be made") from exc
    if arguments.open and written:
        import webbrowser

        page = next((path for path in written if path.suffix == f".{SHOWN}"), written[0])
        if not webbrowser.open(page.resolve().as_uri()):
            console.say(f"no browser could be started: open {page}")
    return errors.PASSED


def _compare(arguments: argparse.Namespace) -> int:
    from harness.evidence.run_folder import RunFolder
    from harness.reports import compared as shown
    from harness.reports.comparison import compare
    from harness.reports.console import Console

    console = Console()
    runs = [RunFolder.find(arguments.project, name) for name in (arguments.before, arguments.after)]
    before, after = (_read(folder) for folder in runs)
    found = compare(before, after)
    if arguments.json:
        console.document(shown.as_json(found))
    elif arguments.markdown:
        console.document(shown.markdown(found))
    else:
        for line in shown.lines(found):
            console.say(line)
    if not arguments.fail_on_regression:
        return errors.PASSED
    for run in (before, after):
        if not run.findings:
            raise errors.DescriptionError(
                f"the run {run.id} was not judged: nobody can say what became worse", hint="Compare complete runs."
            )
    return errors.CHECK_FAILED if found.regressed else errors.PASSED


def _read(folder: RunFolder) -> Compared:
    from harness.reports.comparison import Compared
    from harness.reports.run_report import RunReport

    report = RunReport.of(folder)
    return Compared(report.id, report.evidence, report.findings)
