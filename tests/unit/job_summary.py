"""On GitHub, the summary of a job says which tests took longest: a plug-in of pytest."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import pytest

SHOWN = 25


def table(reports: Iterable[pytest.TestReport], command: str) -> str:
    """Return the slowest tests as Markdown, their fixtures with them."""
    took: Counter[str] = Counter()
    for report in reports:
        took[report.nodeid] += report.duration  # type: ignore[assignment]  # a Counter adds up seconds as well
    lines = [f"### `{command}`", "", f"{len(took)} tests, {sum(took.values()):.0f} s of work; the longest:", ""]
    lines += ["| seconds | test |", "|---:|---|"]
    lines += [f"| {seconds:.1f} | `{name.replace('|', '/')}` |" for name, seconds in took.most_common(SHOWN)]
    return "\n".join(lines) + "\n\n"


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Append to the file that GitHub names; workers of pytest-xdist leave that to who started them."""
    if hasattr(config, "workerinput"):
        return
    file = os.environ.get("GITHUB_STEP_SUMMARY")
    reports = [r for found in terminalreporter.stats.values() for r in found if isinstance(r, pytest.TestReport)]
    if file and reports:
        command = " ".join(["pytest", *config.invocation_params.args])
        with Path(file).open("a", encoding="utf-8") as summary:
            summary.write(table(reports, command))
