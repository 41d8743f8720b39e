"""The verbs about what a run recorded: `judge`, `score`, `checks`."""

from __future__ import annotations

import argparse

from harness import errors
from harness.cli.verb_help import Verb


def register(verb: Verb, project: argparse.ArgumentParser) -> None:
    """Add the verbs; `project` is the parent parser with --project."""
    judge = verb("judge", _judge, "Judge the evidence of a run again.", project)
    judge.add_argument("run", nargs="?", default="latest", metavar="RUN", help="run ID, folder or `latest`")
    rated = verb("score", _score, "Compute the ML Test Score of a run: what its checks automate.", project)
    rated.add_argument("run", nargs="?", default="latest", metavar="RUN", help="run ID, folder or `latest`")
    verb("checks", _checks, "List the checks, what they read and what they cover.")


def _judge(arguments: argparse.Namespace) -> int:
    from harness.evidence.records.run import error_of
    from harness.reports.console import Console
    from harness.runner.pipeline import judge_again

    evidence, verdict = judge_again(arguments.project, arguments.run)
    console = Console()
    for finding in verdict.findings:
        console.found(finding)
    console.verdict(verdict.findings, verdict.stages, verdict.folder.path, error_of(evidence.end))
    return verdict.exit_code


def _score(arguments: argparse.Namespace) -> int:
    from harness.checks import all_checks
    from harness.checks.ml_test_score import score
    from harness.reports.console import Console
    from harness.runner.pipeline import judge_again

    evidence, verdict = judge_again(arguments.project, arguments.run)
    Console().rubric(score(verdict.findings, all_checks(), evidence.spec.block))
    return errors.PASSED


def _checks(arguments: argparse.Namespace) -> int:
    from harness.checks import all_checks
    from harness.reports.console import Console

    del arguments
    console = Console()
    for check in all_checks():
        reads = ", ".join([*check.reads, *(f"{name}?" for name in check.may_read)])
        console.say(f"{check.name:<26} {check.sentence}")
        console.say(f"{'':<26} reads {reads}" + (f"; ML Test Score {check.rubric}" if check.rubric else ""))
    return errors.PASSED
