"""The verb `ci`: writes the CI files of a project. `register` adds it to the command line."""

from __future__ import annotations

import argparse
import difflib

from harness import errors
from harness.cli.pipelines import SYSTEMS
from harness.cli.verb_help import Verb


def register(verb: Verb, project: argparse.ArgumentParser) -> None:
    """Add the verb; `project` is the parent parser with --project."""
    ci = verb("ci", _init, "Write the CI files of a project: run, caches, reports, bundle, summary, comment.", project)
    ci.add_argument("action", choices=("init",), help="write the files")
    ci.add_argument("system", choices=tuple(SYSTEMS), help="the system that runs them")
    ci.add_argument("--force", action="store_true", help="write over files that differ")
    ci.add_argument("--print", action="store_true", dest="show", help="print them; write nothing")


def _init(arguments: argparse.Namespace) -> int:
    """Write what is missing; files that differ are shown as a diff and stay as they are without --force."""
    from harness.cli.pipelines import rendered
    from harness.evidence.run_folder import write_atomic
    from harness.reports.console import Console

    console = Console()
    texts = rendered(arguments.system)
    if arguments.show:
        for path, text in texts.items():
            console.ours((f"# {path}\n" if len(texts) > 1 else "") + text.removesuffix("\n"))
        return errors.PASSED
    files = {arguments.project / path: text for path, text in texts.items()}
    present = {path: path.read_text(encoding="utf-8") for path in files if path.exists()}
    differing = [path for path, old in present.items() if old != files[path]]
    for path in differing:
        diff = difflib.unified_diff(present[path].splitlines(), files[path].splitlines(), str(path), "new", lineterm="")
        console.document("\n".join(diff))
    if differing and not arguments.force:
        raise errors.DescriptionError(
            f"{', '.join(map(str, differing))} differs from what would be written, as shown; nothing was written",
            hint="Add --force to write over it, or take over by hand what `--print` shows.",
        )
    for path, text in files.items():
        if present.get(path) == text:
            console.say(f"unchanged {path}")
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(path, text)
        console.say(f"wrote {path}")
    return errors.PASSED
