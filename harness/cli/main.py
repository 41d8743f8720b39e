"""The verbs of the command `harness`. Each imports what it needs, so that `--help` answers at once."""

from __future__ import annotations

import argparse
import itertools
import signal
from collections.abc import Callable, Sequence
from pathlib import Path
from types import FrameType
from typing import NoReturn

from harness import __version__, errors
from harness.cli import artifact, bundle, ci, data, judge, machine, replay, report, run
from harness.cli.verb_help import examples
from harness.system.signals import INTERRUPTS, taken

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
    arguments = parse(argv)
    verb: Callable[[argparse.Namespace], int] = arguments.verb
    for number in INTERRUPTS:  # CI cancels with SIGTERM, a closed terminal with SIGHUP: clean up as after Ctrl-C
        signal.signal(number, _interrupt)
    try:
        return verb(arguments)
    except errors.HarnessError as exc:
        _problem(arguments, exc.kind, str(exc), exc.hint)
        return exc.exit_code
    except KeyboardInterrupt:
        _problem(arguments, "interrupted", "the run was interrupted and all that it created is removed", "")
        return errors.INTERRUPTED
    except Exception:  # noqa: BLE001 - Python's own exit code 1 would read as a failed check
        import traceback

        _problem(
            arguments,
            "the harness crashed",
            traceback.format_exc(),
            "This is a defect of the harness: please report it.",
        )
        return errors.CRASHED


def parse(argv: Sequence[str]) -> argparse.Namespace:
    """Return the arguments; what follows `--` is a program's. Exits with code 2 where they are wrong."""
    parser = _parser()
    own = list(itertools.takewhile(lambda word: word != "--", argv))
    arguments = parser.parse_args(own)
    if program := list(argv[len(own) + 1 :]):
        if not hasattr(arguments, "argv"):
            parser.error(f"only `harness shell` runs a program: {' '.join(program)}")
        arguments.argv = program
    return arguments


def _interrupt(number: int, frame: FrameType | None) -> NoReturn:
    del number, frame
    taken()
    raise KeyboardInterrupt


def _problem(arguments: argparse.Namespace, kind: str, message: str, hint: str) -> None:
    from harness.reports.console import Console
    from harness.reports.events import Events

    (Events() if getattr(arguments, "events", False) else Console()).problem(kind, message, hint)


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
        made: argparse.ArgumentParser = verbs.add_parser(
            name,
            help=text,
            description=text,
            parents=list(parents),
            epilog=examples(name),
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        made.set_defaults(verb=function)
        return made

    machine.register(verb, files, _parser)
    run.register(verb, files)
    judge.register(verb, project)
    bundle.register(verb, project)
    report.register(verb, project)
    artifact.register(verb, project)
    ci.register(verb, project)
    data.register(verbs)
    replay.register(verb, project)
    return parser
