"""The verbs of the command `harness`. Each imports what it needs, so that `--help` answers at once."""

from __future__ import annotations

import argparse
import json
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, NoReturn

from harness import __version__, artifact_verbs, data_cli, errors, replay_verbs
from harness.signals import INTERRUPTS

if TYPE_CHECKING:
    from harness.records import Selection

EPILOG = """\
exit codes:
  0  passed            1  a check failed            2  the description is wrong
  3  the infrastructure failed (engine, registry, disk)
  4  a check crashed   5  replayed, and not reproduced
  70  the harness crashed      130  interrupted

examples:
  harness setup              find or install an engine, base image and wheels
  harness run                build, train, serve, judge the project in this folder
  harness replay latest      run what failed again: reproduced, or what differs
  harness shell train        a shell in the state of the last run's container
  harness judge latest       judge the last run again, without any container
"""


def main(argv: Sequence[str]) -> int:
    """Run one verb and return the exit code."""
    arguments = _parser().parse_args(argv)
    verb: Callable[[argparse.Namespace], int] = arguments.verb
    for number in INTERRUPTS:  # CI cancels with SIGTERM, a closed terminal with SIGHUP: clean up as after Ctrl-C
        signal.signal(number, _interrupt)
    try:
        return verb(arguments)
    except errors.HarnessError as exc:
        _problem(exc.kind, str(exc), exc.hint)
        return exc.exit_code
    except KeyboardInterrupt:
        _problem("interrupted", "the run was interrupted and all that it created is removed", "")
        return errors.INTERRUPTED
    except Exception:  # noqa: BLE001 - Python's own exit code 1 would read as a failed check
        import traceback

        _problem("the harness crashed", traceback.format_exc(), "This is a defect of the harness: please report it.")
        return errors.CRASHED


def _interrupt(number: int, frame: FrameType | None) -> NoReturn:
    del number, frame
    raise KeyboardInterrupt


def _problem(kind: str, message: str, hint: str) -> None:
    from harness.reports.console import Console

    Console().problem(kind, message, hint)


def _setup(arguments: argparse.Namespace) -> int:
    from harness import provision
    from harness.reports.console import Console

    provision.setup(arguments.project, arguments.file, Console().say)
    return errors.PASSED


def _doctor(arguments: argparse.Namespace) -> int:
    from dataclasses import asdict

    from harness import provision
    from harness.reports.console import Console

    console = Console()
    lines = provision.doctor(arguments.project, arguments.file)
    if arguments.json:
        console.say(json.dumps([asdict(line) for line in lines], indent=1))
    else:
        for line in lines:
            console.say(f"{'ok  ' if line.ok else 'MISS'} {line.name:<12} {line.value}")
            if line.mend and not line.ok:
                console.say(f"     {'do':<12} {line.mend}")
    return errors.PASSED if all(line.ok for line in lines) else errors.InfrastructureError.exit_code


def _lock(arguments: argparse.Namespace) -> int:
    from harness.pipeline import make_lock
    from harness.reports.console import Console

    made, changed = make_lock(arguments.project, arguments.file)
    console = Console()
    for name, digest in {**made.bases, **made.requirements, "data": made.data or "no dataset"}.items():
        console.say(f"{name}  {digest}")
    console.say("harness.lock is new: commit it" if changed else "harness.lock is unchanged")
    return errors.PASSED


def _run(arguments: argparse.Namespace) -> int:
    from harness.cleanup import Keep
    from harness.pipeline import run
    from harness.reports.console import Console

    with Console(verbose=arguments.verbose) as console:
        selection, keep = _selection(arguments), Keep(arguments.keep)
        verdict = run(arguments.project, arguments.file, console, selection, rebuild=arguments.rebuild, keep=keep)
        console.verdict(verdict.findings, verdict.stages, verdict.folder.path)
    return verdict.exit_code


def _selection(arguments: argparse.Namespace) -> Selection:
    from harness.records import Selection

    return Selection(
        tuple(arguments.only),
        tuple(arguments.skip),
        fast=arguments.fast,
        deep=arguments.deep,
        seed=arguments.seed,
        budget=arguments.budget,
    )


def _contract(arguments: argparse.Namespace) -> int:
    from harness import remote
    from harness.http import Target
    from harness.reports.console import Console

    target = Target.parse(arguments.url)
    overrides = remote.Overrides(arguments.examples, arguments.predict, arguments.dialect, arguments.strict)
    spec = remote.describe(arguments.project, arguments.file, target, overrides)
    with Console() as console:
        verdict = remote.judge(spec, target, console, _selection(arguments))
        console.verdict(verdict.findings, verdict.stages, verdict.folder.path)
    return verdict.exit_code


def _record(arguments: argparse.Namespace) -> int:
    from harness import golden, remote
    from harness.http import Target
    from harness.order import Service
    from harness.pipeline import run
    from harness.records import Interface, Selection
    from harness.reports.console import Console
    from harness.spec import Spec
    from harness.stages.readiness import await_ready

    if not arguments.yes and not sys.stdin.isatty():
        raise errors.DescriptionError("nobody is here to confirm", hint="Add --yes, or run it in a terminal.")
    found: list[golden.Golden] = []

    def ask(spec: Spec, target: Target, interface: Interface) -> None:
        requests = golden.read_requests(arguments.rows, spec.examples, interface)
        found.extend(golden.ask(target, interface, requests, spec.root / arguments.out))

    def ask_served(served: Service) -> None:
        ask(served.run.spec, served.target, served.interface)

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
                Selection(only=("serve.ready", "contract.examples")),
                then=ask_served,
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


def _judge(arguments: argparse.Namespace) -> int:
    from harness.pipeline import judge_again
    from harness.reports.console import Console

    _, verdict = judge_again(arguments.project, arguments.run)
    console = Console()
    for finding in verdict.findings:
        console.found(finding)
    console.verdict(verdict.findings, verdict.stages, verdict.folder.path)
    return verdict.exit_code


def _score(arguments: argparse.Namespace) -> int:
    from harness.checks import all_checks
    from harness.pipeline import judge_again
    from harness.reports.console import Console
    from harness.rubric import score

    evidence, verdict = judge_again(arguments.project, arguments.run)
    Console().rubric(score(verdict.findings, all_checks(), evidence.spec.block.manual))
    return errors.PASSED


def _schema(arguments: argparse.Namespace) -> int:
    from harness.blocks import json_schema
    from harness.reports.console import Console

    del arguments
    Console().say(json.dumps(json_schema(), indent=2))
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


def _select(parser: argparse.ArgumentParser) -> None:
    """Add the options that choose checks."""
    parser.add_argument("--only", action="append", default=[], metavar="CHECK", help="these checks, as `contract.*`")
    parser.add_argument("--skip", action="append", default=[], metavar="CHECK", help="not these checks")
    parser.add_argument("--fast", action="store_true", help="the main line alone: no load, no fuzzing, no more starts")
    parser.add_argument("--deep", action="store_true", help="fuzz with random requests too")
    parser.add_argument("--seed", type=int, default=1, help="of fuzzing; default: 1")
    parser.add_argument("--budget", type=_seconds, metavar="TIME", help="of fuzzing; default: 30s, 60s with --deep")


def _seconds(text: str) -> float:
    from harness.values import parse_duration

    try:
        return float(str(parse_duration(text)))
    except ValueError as exc:
        raise argparse.ArgumentTypeError(str(exc)) from exc


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="harness",
        description="The containerized test harness for machine learning: pinned build, train in a container, "
        "the same artifact served, its answers judged.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"harness {__version__}")
    verbs = parser.add_subparsers(required=True, metavar="VERB")
    project = argparse.ArgumentParser(add_help=False)
    project.add_argument("--project", type=Path, default=Path(), metavar="DIR", help="folder of compose.yaml")
    files = argparse.ArgumentParser(add_help=False, parents=[project])
    files.add_argument("-f", "--file", type=Path, action="append", default=[], help="Compose file, may be repeated")

    def verb(
        name: str, function: Callable[[argparse.Namespace], int], text: str, *parents: argparse.ArgumentParser
    ) -> argparse.ArgumentParser:
        made = verbs.add_parser(name, help=text, description=text, parents=list(parents))
        made.set_defaults(verb=function)
        return made

    verb("setup", _setup, "Make this machine ready: engine, Compose, base image, wheels.", files)
    doctor = verb("doctor", _doctor, "Say what this machine has and what is missing; change nothing.", files)
    doctor.add_argument("--json", action="store_true", help="print JSON")
    verb("lock", _lock, "Pin base images, requirements and dataset in harness.lock.", files)
    run = verb("run", _run, "Build, train, serve and judge.", files)
    run.add_argument("-v", "--verbose", action="store_true", help="show every line of the builds")
    run.add_argument("--rebuild", action="store_true", help="build images again although nothing has changed")
    _select(run)
    contract = verb("contract", _contract, "Judge a server that runs already, without training.", files)
    contract.add_argument("--url", required=True, help="its root, such as http://127.0.0.1:8080")
    contract.add_argument("--examples", metavar="GLOB", help="example files; default: those that x-harness names")
    contract.add_argument("--predict", metavar="PATH", help="path of predictions; default: as x-harness says")
    contract.add_argument("--dialect", help="serving protocol; default: x-harness's, else recognised by asking")
    contract.add_argument("--strict", action="store_true", help="judge what was never promised as failures")
    _select(contract)
    record = verb("record", _record, "Write the answers of a served model down as golden examples.", files)
    record.add_argument("rows", nargs="+", type=Path, metavar="FILE", help=".json, .jsonl or .csv with requests")
    record.add_argument("--out", type=Path, default=Path("tests/contract"), metavar="DIR", help="where to write them")
    record.add_argument("--url", help="a server that runs already; default: train and serve the project")
    record.add_argument("--yes", action="store_true", help="write without asking")
    judge = verb("judge", _judge, "Judge the evidence of a run again.", project)
    judge.add_argument("run", nargs="?", default="latest", metavar="RUN", help="run ID, folder or `latest`")
    rated = verb("score", _score, "Compute the ML Test Score of a run: what its checks automate.", project)
    rated.add_argument("run", nargs="?", default="latest", metavar="RUN", help="run ID, folder or `latest`")
    artifact_verbs.register(verb, project)
    data_cli.register(verbs)
    verb("schema", _schema, "Print the JSON Schema of the x-harness block.")
    verb("checks", _checks, "List the checks, what they read and what they cover.")
    replay_verbs.register(verb, project, run)
    return parser
