"""The verbs that look at a failure again: `replay`, `shell`, `clean`; `register` adds them."""

from __future__ import annotations

import argparse
import os
import shlex
import sys

from harness import errors
from harness.cli.verb_help import Verb

# Set by the CI systems that obey what a step prints: there the output of a container is made harmless.
RUNNERS = ("CI", "GITHUB_ACTIONS", "TF_BUILD", "GITLAB_CI", "TEAMCITY_VERSION", "BUILDKITE", "TRAVIS", "JENKINS_URL")


def register(verb: Verb, project: argparse.ArgumentParser) -> None:
    """Add the verbs; `project` is the parent parser with --project."""
    replay = verb("replay", _replay, "Run again what failed, and say whether it fails again or what differs.", project)
    replay.add_argument("run", nargs="?", default="latest", metavar="RUN|BUNDLE", help="run ID, folder, `latest`, file")
    replay.add_argument("--all", action="store_true", help="everything, not only what failed")
    replay.add_argument("--anyway", action="store_true", help="although the project or the platform is another one")
    replay.add_argument("--here", action="store_true", help="with the variables of this machine, not the recorded ones")
    replay.add_argument("-v", "--verbose", action="store_true", help="show every line of the builds")
    shell = verb("shell", _shell, "Open a shell in the state of a run's container; exits as the command does.", project)
    shell.add_argument("part", choices=("train", "serve"), help="of which container")
    shell.add_argument("--run", default="latest", metavar="RUN", help="run ID, folder, `latest`, or a bundle")
    shell.add_argument("--command", metavar="TEXT", help="run this in the shell, and end")
    shell.set_defaults(argv=[])  # what follows `--`: a program with its arguments, no shell
    shell.usage = f"{shell.format_usage().removeprefix('usage: ').rstrip()} [-- PROGRAM [ARG ...]]"
    clean = verb("clean", _clean, "Remove what dead runs left on this engine and the dataset volumes that nobody uses.")
    clean.add_argument("--run", metavar="RUN", help="remove what this run kept, by its whole ID")


def _replay(arguments: argparse.Namespace) -> int:
    from harness.reports.console import Console
    from harness.reports.replay_text import lines
    from harness.reproduce.replay import Options, opened, replay

    options = Options(whole=arguments.all, anyway=arguments.anyway, here=arguments.here)
    with Console(verbose=arguments.verbose) as console:
        given = opened(arguments.run, arguments.project)
        verdict = replay(given, console, options)
        for line in lines(verdict):
            console.say(line)
        if verdict.run:
            console.say(f"evidence: {given.root / '.harness' / 'runs' / verdict.run}")
    return verdict.exit_code


def _shell(arguments: argparse.Namespace) -> int:
    from harness.reports.console import Console
    from harness.reports.foreign import printer
    from harness.reproduce.replay import opened
    from harness.reproduce.replay.shell import enter

    if arguments.command is not None and arguments.argv:
        raise errors.DescriptionError(
            f"both --command and `-- {shlex.join(arguments.argv)}` say what to run", hint="Give one of them."
        )
    argv = ["sh", "-c", arguments.command] if arguments.command is not None else list(arguments.argv)
    given = opened(arguments.run, arguments.project)
    terminal = sys.stdin.isatty() and os.isatty(1)
    say = Console().say if terminal else _quiet  # the output of a command belongs to whoever reads it
    on_line = printer() if not terminal and any(os.environ.get(name) for name in RUNNERS) else None
    return enter(given, arguments.part, argv, say, terminal=terminal, on_line=on_line)


def _quiet(line: str) -> None:
    del line


def _clean(arguments: argparse.Namespace) -> int:
    from harness.reports.console import Console
    from harness.runner.pipeline import clean

    console = Console()
    removed = clean(arguments.run)
    for thing in removed:
        console.say(f"removed {thing.kind} {thing.name}")
    console.say(f"{len(removed)} removed")
    return errors.PASSED
