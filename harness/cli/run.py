"""The verbs that run the line, whole or in part: `run`, `contract`, `record`."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from harness import errors
from harness.cli import bundle
from harness.cli.verb_help import Verb

if TYPE_CHECKING:
    from harness.evidence.records import Selection
    from harness.reports.console import Console
    from harness.reports.events import Events

KEEP = ("never", "on-failure", "always")  # as harness.runner.cleanup.Keep has them


def register(verb: Verb, files: argparse.ArgumentParser) -> None:
    """Add the verbs; `files` is the parent parser with --project and --file."""
    run = verb("run", _run, "Build, train, serve and judge.", files)
    run.add_argument("-v", "--verbose", action="store_true", help="show every line of the builds")
    run.add_argument("--rebuild", action="store_true", help="build images again although nothing has changed")
    run.add_argument("--keep", choices=KEEP, default=KEEP[0], help="leave the containers for a look at them, for 24 h")
    bundle.add_options(run)
    _show(run)
    _select(run)
    contract = verb("contract", _contract, "Judge a server that runs already, without training.", files)
    contract.add_argument("--url", required=True, help="its root, such as http://127.0.0.1:8080")
    contract.add_argument("--examples", metavar="GLOB", help="example files; default: those that x-harness names")
    contract.add_argument("--predict", metavar="PATH", help="path of predictions; default: as x-harness says")
    contract.add_argument("--dialect", help="serving protocol; default: x-harness's, else recognised by asking")
    contract.add_argument("--strict", action="store_true", help="judge what was never promised as failures")
    _show(contract)
    _select(contract)
    record = verb("record", _record, "Write the answers of a served model down as golden examples.", files)
    record.add_argument("rows", nargs="+", type=Path, metavar="FILE", help=".json, .jsonl or .csv with requests")
    record.add_argument("--out", type=Path, default=Path("tests/contract"), metavar="DIR", help="where to write them")
    record.add_argument("--url", help="a server that runs already; default: train and serve the project")
    record.add_argument("--yes", action="store_true", help="write without asking")


def _show(parser: argparse.ArgumentParser) -> None:
    """Add the options that choose what is shown."""
    shown = parser.add_mutually_exclusive_group()
    shown.add_argument("-q", "--quiet", action="store_true", help="show only what is not well, and the verdict")
    shown.add_argument("--json", dest="events", action="store_true", help="print events, one JSON object a line")


def _watcher(arguments: argparse.Namespace) -> Console | Events:
    from harness.reports.console import Console
    from harness.reports.events import Events

    if arguments.events:
        return Events()
    return Console(verbose=getattr(arguments, "verbose", False), quiet=arguments.quiet)


def _run(arguments: argparse.Namespace) -> int:
    from harness.reports.after_run import reported
    from harness.runner.cleanup import Keep
    from harness.runner.pipeline import run

    with reported(_watcher(arguments)) as watcher, bundle.packed_after(arguments, watcher):
        selection, keep = _selection(arguments), Keep(arguments.keep)
        verdict = run(arguments.project, arguments.file, watcher, selection, rebuild=arguments.rebuild, keep=keep)
        watcher.verdict(verdict.findings, verdict.stages, verdict.folder.path)
    return verdict.exit_code


def _selection(arguments: argparse.Namespace) -> Selection:
    from harness.evidence.records import Selection

    return Selection(
        tuple(arguments.only),
        tuple(arguments.skip),
        fast=arguments.fast,
        deep=arguments.deep,
        seed=arguments.seed,
        budget=arguments.budget,
    )


def _contract(arguments: argparse.Namespace) -> int:
    from harness.client.http import Target
    from harness.reports.after_run import reported
    from harness.runner import remote

    target = Target.parse(arguments.url)
    overrides = remote.Overrides(arguments.examples, arguments.predict, arguments.dialect, arguments.strict)
    spec = remote.describe(arguments.project, arguments.file, target, overrides)
    with reported(_watcher(arguments)) as watcher:
        verdict = remote.judge(spec, target, watcher, _selection(arguments))
        watcher.verdict(verdict.findings, verdict.stages, verdict.folder.path)
    return verdict.exit_code


def _record(arguments: argparse.Namespace) -> int:
    from harness.client.http import Target
    from harness.config.spec import Spec
    from harness.evidence.records import Interface, Selection
    from harness.reports.console import Console
    from harness.runner import golden, remote
    from harness.runner.pipeline import run
    from harness.runner.scheduler import stage
    from harness.runner.stages import Run
    from harness.runner.stages.readiness import await_ready
    from harness.runner.stages.serve import Served

    if not arguments.yes and not sys.stdin.isatty():
        raise errors.DescriptionError("nobody is here to confirm", hint="Add --yes, or run it in a terminal.")
    found: list[golden.Golden] = []

    def ask(spec: Spec, target: Target, interface: Interface) -> None:
        requests = golden.read_requests(arguments.rows, spec.examples, interface)
        found.extend(golden.ask(spec, target, interface, requests, spec.root / arguments.out))

    @stage("answers")
    def answers(run: Run, serve: Served) -> None:
        ask(run.spec, *serve.way)

    with Console() as console:
        if arguments.url:
            target = Target.parse(arguments.url)
            spec = remote.describe(arguments.project, arguments.file, target, remote.Overrides())
            ask(spec, target, await_ready(spec, target))
        else:
            verdict = run(
                arguments.project,
                arguments.file,
                console,
                Selection(only=("serve.ready",)),
                also=answers,
            )
            if verdict.exit_code:
                return verdict.exit_code
    console.golden(found)
    good = sum(not each.problem for each in found)
    if good and (arguments.yes or input(f"write {good} examples to {arguments.out}? [y/N] ").lower() in ("y", "yes")):
        for file in golden.write(found):
            console.say(f"wrote {file}")
        return errors.PASSED
    console.say("nothing written")
    return errors.PASSED


def _select(parser: argparse.ArgumentParser) -> None:
    """Add the options that choose checks."""
    parser.add_argument("--only", action="append", default=[], metavar="CHECK", help="these checks, as `contract.*`")
    parser.add_argument("--skip", action="append", default=[], metavar="CHECK", help="not these checks")
    parser.add_argument("--fast", action="store_true", help="the main line alone: no load, no fuzzing, no more starts")
    parser.add_argument("--deep", action="store_true", help="fuzz with random requests too")
    parser.add_argument("--seed", type=int, default=1, help="of fuzzing; default: 1")
    parser.add_argument("--budget", type=_seconds, metavar="TIME", help="of fuzzing; default: 30s, 60s with --deep")


def _seconds(text: str) -> float:
    from harness.config.values import parse_duration

    try:
        return float(str(parse_duration(text)))
    except ValueError as exc:
        raise argparse.ArgumentTypeError(str(exc)) from exc
