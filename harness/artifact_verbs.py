"""The verbs about an artifact: `publish` and `verify`. `register` adds them to the command line."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

from harness import errors
from harness.verb_help import Verb


def register(verb: Verb, project: argparse.ArgumentParser) -> None:
    """Add the verbs; `project` is the parent parser with --project."""
    publish = verb("publish", _publish, "Put the artifact of a run into an artifact store, by its digest.", project)
    publish.add_argument("run", nargs="?", default="latest", metavar="RUN", help="run ID, folder or `latest`")
    publish.add_argument("--to", type=Path, required=True, metavar="DIR", help="folder of the store (OCI image layout)")
    publish.add_argument("--failed", action="store_true", help="publish although a check failed")
    verify = verb("verify", _verify, "Say whether an artifact is the one that its provenance is about.")
    verify.add_argument("artifact", type=Path, metavar="ARTIFACT", help="file, folder, run folder or artifact store")
    verify.add_argument("--provenance", type=Path, metavar="FILE", help="default: provenance.json in it or beside it")


def _publish(arguments: argparse.Namespace) -> int:
    from harness.commit import keeper_of
    from harness.evidence import RunFolder
    from harness.judge import exit_code
    from harness.provenance import FILE, read_statement
    from harness.reports.console import Console
    from harness.store import publish

    folder = RunFolder.find(arguments.project, arguments.run)
    evidence = folder.load()
    if evidence.artifact is None or not evidence.artifact.files:
        raise errors.DescriptionError(f"the run {folder.id} left no artifact", hint="Name another run.")
    if exit_code(folder.findings()) != errors.PASSED and not arguments.failed:
        raise errors.DescriptionError(
            f"the run {folder.id} did not pass", hint="Publish one that did, or add --failed."
        )
    if top := keeper_of(arguments.to):
        raise errors.DescriptionError(
            f"{arguments.to} lies in the git work tree {top}, and models do not belong into git",
            hint="Name a folder outside, or ignore this one in .gitignore.",
        )
    said = read_statement(folder.path / FILE)
    digest = publish(folder.path / "artifact", evidence.artifact.files, said, arguments.to)
    Console().say(f"{arguments.to}@{digest}  {len(evidence.artifact.files)} files of run {folder.id}")
    return errors.PASSED


def _verify(arguments: argparse.Namespace) -> int:
    from harness.reports.console import Console

    console = Console()
    wrong = 0
    for what, differences in _verified(arguments.artifact, arguments.provenance):
        wrong += len(differences)
        console.say(f"{'differs' if differences else 'verified'}  {what}")
        for line in differences:
            console.say(f"  {line}")
    return errors.CHECK_FAILED if wrong else errors.PASSED


def _verified(path: Path, file: Path | None) -> Iterator[tuple[str, list[str]]]:
    """Yield each artifact at a path, and in what it differs. Raises DescriptionError."""
    from harness.provenance import FILE, difference_of_file, differences, hashes_below, read_statement
    from harness.store import is_store, stored

    if not path.exists():
        raise errors.DescriptionError(f"there is no {path}", hint="Name a file, a folder or an artifact store.")
    try:
        if is_store(path):
            given = [read_statement(file)] if file else []
            found = list(stored(path))
            if not found:
                raise errors.DescriptionError(f"{path} holds no artifact", hint="`harness publish` adds one.")
            for each in found:
                lines = [line for said in given or each.statements for line in differences(said, each.files)]
                yield each.digest, lines if given or each.statements else ["it has no provenance"]
            return
        folder = path / "artifact" if (path / "artifact").is_dir() and (path / FILE).is_file() else path
        near = [place / FILE for place in (path, path.parent, path.parent.parent)]
        said = read_statement(file or next((each for each in near if each.is_file()), near[1 if path.is_file() else 0]))
        one = path.is_file()
        yield str(path), list(difference_of_file(said, path) if one else differences(said, hashes_below(folder)))
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as exc:
        raise errors.DescriptionError(f"{path} cannot be verified: {exc!r}", hint="Publish it again.") from exc
