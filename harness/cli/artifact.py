"""The verbs about an artifact: `publish`, `verify` and `pull`. `register` adds them to the command line."""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from harness import errors
from harness.cli.verb_help import Verb

if TYPE_CHECKING:
    from harness.evidence.provenance import Statement
    from harness.evidence.records import Quality
    from harness.evidence.run_folder import RunFolder
    from harness.store.oci import ArtifactStore, HoldoutPredictions, Publication

DVC = "dvc:"
PLACE = "DIR, oci://HOST[:PORT]/REPOSITORY[:TAG]"


def register(verb: Verb, project: argparse.ArgumentParser) -> None:
    """Add the verbs; `project` is the parent parser with --project."""
    publish = verb("publish", _publish, "Put the artifact of a run into an artifact store, by its digest.", project)
    publish.add_argument("run", nargs="?", default="latest", metavar="RUN", help="run ID, folder or `latest`")
    publish.add_argument(
        "--to",
        required=True,
        metavar="STORE",
        help=f"{PLACE} or {DVC}REMOTE (name, path or URL of a DVC remote)",
    )
    publish.add_argument(
        "--pointer", type=Path, metavar="FILE.dvc", help=f"with --to {DVC}REMOTE: the pointer file to write"
    )
    publish.add_argument("--failed", action="store_true", help="publish although a check failed")
    verify = verb("verify", _verify, "Say whether an artifact is the one that its provenance is about.")
    verify.add_argument("artifact", metavar="ARTIFACT", help=f"file, folder, run folder or artifact store ({PLACE})")
    verify.add_argument("--provenance", type=Path, metavar="FILE", help="default: provenance.json in it or beside it")
    pull = verb("pull", _pull, "Fetch a published artifact and its provenance into a new folder, and verify it.")
    pull.add_argument("artifact", metavar="STORE", help=f"{PLACE}, both with @DIGEST; default: the newest")
    pull.add_argument("folder", type=Path, metavar="DIR", help="new folder for the files")
    for each in (publish, verify, pull):
        each.add_argument("--plain-http", action="store_true", help="the registry speaks no TLS")


def _publish(arguments: argparse.Namespace) -> int:
    from harness.checks.judge import exit_code
    from harness.evidence.provenance import FILE, read_statement
    from harness.evidence.run_folder import RunFolder
    from harness.reports.console import Console
    from harness.store.folder import publish
    from harness.store.oci import packed
    from harness.store.published import reference_of
    from harness.store.registry import connected

    to = str(arguments.to)
    reference = reference_of(to, plain_http=arguments.plain_http)
    if reference and reference.digest:
        raise errors.DescriptionError(f"{to} names a digest", hint="Publish under a tag: the digest is the content's.")
    folder = RunFolder.find(arguments.project, arguments.run)
    evidence = folder.load()
    if evidence.artifact is None or not evidence.artifact.files:
        raise errors.DescriptionError(f"the run {folder.id} left no artifact", hint="Name another run.")
    if exit_code(folder.findings()) != errors.PASSED and not arguments.failed:
        raise errors.DescriptionError(
            f"the run {folder.id} did not pass", hint="Publish one that did, or add --failed."
        )
    if not (folder.path / FILE).is_file():
        raise errors.DescriptionError(
            f"the run {folder.id} recorded no provenance of its artifact",
            hint="Run again without --skip, or with --only artifact.provenance beside the others.",
        )
    said = read_statement(folder.path / FILE)
    measured = _measured(folder, evidence.quality)
    publication = packed(folder.path / "artifact", evidence.artifact.files, said, measured)
    if to.startswith(DVC):
        _to_dvc(publication, said, to.removeprefix(DVC), arguments.pointer)
    elif reference:
        with connected(reference) as registry:
            registry.publish(publication)
    else:
        _not_in_git(Path(to))
        publish(publication, Path(to))
    files = f"{len(evidence.artifact.files)} files of run {folder.id}"
    if to.startswith(DVC):
        Console().say(f"{arguments.pointer}  {files}; fetch them with `dvc pull`, here or where the remote is known")
    else:
        rows = f"predictions of {measured.holdout}" if measured else "no predictions: it cannot be a baseline"
        Console().say(f"{to}@{publication.artifact.digest}  {files}, {rows}")
    return errors.PASSED


def _measured(folder: RunFolder, quality: Quality | None) -> HoldoutPredictions | None:
    """Return what a run recorded of its hold-out rows. Raises DescriptionError where that was changed since."""
    from harness.store.oci import HoldoutPredictions, digest_of, same

    if quality is None or quality.predictions is None:
        return None
    path = folder.path / quality.predictions.path
    if not path.is_file():
        raise errors.DescriptionError(f"{path} is missing", hint="The run folder is incomplete: run again.")
    text = path.read_bytes()
    same(path, digest_of(text), f"sha256:{quality.predictions.sha256}")
    return HoldoutPredictions(folder.id, text, quality.holdout, quality.holdout_sha256)


def _to_dvc(publication: Publication, said: Statement, remote: str, pointer: Path | None) -> None:
    """Put the files and their provenance into a DVC remote; git ignores the place where `dvc pull` will put them."""
    from harness.project import dvc
    from harness.project.commit import keeper_of
    from harness.store.oci import unpack

    if not remote or pointer is None:
        raise errors.DescriptionError(
            "a DVC remote keeps the content, and a pointer file names it: one of them is missing",
            hint=f"For example --to {DVC}storage --pointer models/penguins.dvc",
        )
    with tempfile.TemporaryDirectory() as temporary:
        unpack(publication, said, Path(temporary))
        dvc.push(Path(temporary), pointer, remote)
    target = pointer.with_suffix("")
    if keeper_of(target):
        with (pointer.parent / ".gitignore").open("a", encoding="utf-8") as stream:
            stream.write(f"/{target.name}\n")


def _not_in_git(to: Path) -> None:
    from harness.project.commit import keeper_of

    if top := keeper_of(to):
        raise errors.DescriptionError(
            f"{to} lies in the git work tree {top}, and models do not belong into git",
            hint="Name a folder outside, or ignore this one in .gitignore.",
        )


def _pull(arguments: argparse.Namespace) -> int:
    from harness.reports.console import Console
    from harness.store.oci import published, pull
    from harness.store.published import opened

    with opened(arguments.artifact, plain_http=arguments.plain_http) as source:
        artifact = published(source, source.artifacts()[-1])
        pull(source, artifact, arguments.folder)
    Console().say(f"  {arguments.folder}: {len(artifact.files)} files of {artifact.digest}")
    return _report(_verified(str(arguments.folder), None, plain_http=False)) if artifact.statements else errors.PASSED


def _verify(arguments: argparse.Namespace) -> int:
    return _report(_verified(arguments.artifact, arguments.provenance, plain_http=arguments.plain_http))


def _report(found: Iterator[tuple[str, list[str]]]) -> int:
    from harness.reports.console import Console

    console = Console()
    wrong = 0
    for what, differences in found:
        wrong += len(differences)
        console.say(f"{'differs' if differences else 'verified'}  {what}")
        for line in differences:
            console.say(f"  {line}")
    return errors.CHECK_FAILED if wrong else errors.PASSED


def _verified(name: str, file: Path | None, *, plain_http: bool) -> Iterator[tuple[str, list[str]]]:
    """Yield each artifact at a place, and in what it differs. Raises DescriptionError."""
    from harness.evidence.provenance import FILE, difference_of_file, differences, hashes_below, read_statement
    from harness.store.published import is_stored, opened

    if is_stored(name):
        with opened(name, plain_http=plain_http) as source:
            yield from _stored(source, [read_statement(file)] if file else [])
        return
    path = Path(name)
    if not path.exists():
        raise errors.DescriptionError(f"there is no {path}", hint="Name a file, a folder or an artifact store.")
    try:
        folder = path / "artifact" if (path / "artifact").is_dir() and (path / FILE).is_file() else path
        near = [place / FILE for place in (path, path.parent, path.parent.parent)]
        said = read_statement(file or next((each for each in near if each.is_file()), near[1 if path.is_file() else 0]))
        one = path.is_file()
        yield str(path), list(difference_of_file(said, path) if one else differences(said, hashes_below(folder)))
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as exc:
        raise errors.DescriptionError(f"{path} cannot be verified: {exc!r}", hint="Publish it again.") from exc


def _stored(source: ArtifactStore, given: list[Statement]) -> Iterator[tuple[str, list[str]]]:
    from harness.evidence.provenance import differences
    from harness.store.oci import hashes, published

    for digest in source.artifacts():
        artifact = published(source, digest)
        found = hashes(source, artifact)
        statements = given or list(artifact.statements)
        lines = [line for said in statements for line in differences(said, found)]
        yield digest, list(dict.fromkeys(lines)) if statements else ["it has no provenance"]
