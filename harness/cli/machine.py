"""The verbs about this machine and the project's files: `setup`, `doctor`, `lock`, `schema`, `completion`."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable

from harness import errors
from harness.cli.verb_help import Verb


def register(verb: Verb, files: argparse.ArgumentParser, parser: Callable[[], argparse.ArgumentParser]) -> None:
    """Add the verbs; `files` is the parent parser with --project and --file, `parser` the whole command line."""
    verb("setup", _setup, "Make this machine ready: engine, Compose, base image, wheels.", files)
    doctor = verb("doctor", _doctor, "Say what this machine has and what is missing; change nothing.", files)
    doctor.add_argument("--json", action="store_true", help="print JSON")
    verb("lock", _lock, "Pin base images, requirements and dataset in harness.lock.", files)
    verb("schema", _schema, "Print the JSON Schema of the x-harness block.")

    def complete(arguments: argparse.Namespace) -> int:
        import shtab

        from harness.reports.console import Console

        Console().ours(shtab.complete(parser(), arguments.shell))
        return errors.PASSED

    completion = verb("completion", complete, "Print the completion script of a shell.")
    completion.add_argument("shell", choices=["bash", "zsh"], help="of which shell")


def _setup(arguments: argparse.Namespace) -> int:
    from harness import provision
    from harness.reports.console import Console

    provision.setup(arguments.project, arguments.file, Console().say)
    return errors.PASSED


def _doctor(arguments: argparse.Namespace) -> int:
    from dataclasses import asdict

    from harness import provision
    from harness.reports.console import Console
    from harness.reports.foreign import as_json

    console = Console()
    lines = provision.doctor(arguments.project, arguments.file)
    if arguments.json:
        console.document(as_json([asdict(line) for line in lines], indent=1))
    else:
        for line in lines:
            console.say(f"{'ok  ' if line.ok else 'MISS'} {line.name:<12} {line.value}")
            if line.mend and not line.ok:
                console.say(f"     {'do':<12} {line.mend}")
    return errors.PASSED if all(line.ok for line in lines) else errors.InfrastructureError.exit_code


def _lock(arguments: argparse.Namespace) -> int:
    from harness.reports.console import Console
    from harness.runner.pipeline import make_lock

    made, changed = make_lock(arguments.project, arguments.file)
    console = Console()
    for name, digest in {**made.bases, **made.requirements, "data": made.data or "no dataset"}.items():
        console.say(f"  {name}  {digest}")
    console.say("harness.lock is new: commit it" if changed else "harness.project.lock is unchanged")
    return errors.PASSED


def _schema(arguments: argparse.Namespace) -> int:
    from harness.config.blocks import json_schema
    from harness.reports.console import Console

    del arguments
    Console().ours(json.dumps(json_schema(), indent=2))
    return errors.PASSED
