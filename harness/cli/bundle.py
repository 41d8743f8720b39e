"""Bundles on the command line: `harness bundle`, and the bundle of a run that failed."""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness import errors
from harness.cli.verb_help import Verb

if TYPE_CHECKING:
    from harness.evidence.run_folder import RunFolder
    from harness.reports.console import Console
    from harness.reports.events import Events
    from harness.reproduce.bundle import Packed


def register(verb: Verb, project: argparse.ArgumentParser) -> None:
    """Add the verb; `project` is the parent parser with --project."""
    bundle = verb("bundle", _bundle, "Pack a run into one file, from which others can replay it.", project)
    bundle.add_argument("run", nargs="?", default="latest", metavar="RUN", help="run ID, folder or `latest`")
    bundle.add_argument("--out", type=Path, metavar="FILE", help="default: .harness/bundles/<run>.harness.tar.gz")
    bundle.add_argument("--artifact", action="store_true", help="with the artifact, not its hashes alone")
    bundle.add_argument("--with-images", action="store_true", help="with the images, for a machine without a network")
    bundle.add_argument(
        "--limit", type=_size, metavar="SIZE", help="of all files, uncompressed; default: 32MiB, a 32nd of it a file"
    )


def add_options(run: argparse.ArgumentParser) -> None:
    """Add the options of `run` about its bundle."""
    run.add_argument("--bundle", action="store_true", help="pack a bundle though nothing failed")
    run.add_argument("--no-bundle", action="store_true", help="pack none though something failed")
    run.add_argument("--bundle-artifact", action="store_true", help="with the artifact, not its hashes alone")
    run.add_argument("--with-images", action="store_true", help="with the images, for a machine without a network")


@contextmanager
def packed_after(arguments: argparse.Namespace, console: Console | Events) -> Iterator[None]:
    """Pack the run of this block if it failed, or if it is asked for; that never changes how the block ends."""
    try:
        yield
    finally:
        if console.folder is not None and not arguments.no_bundle:
            try:
                _pack_run(arguments, console, console.folder)
            except Exception as exc:  # noqa: BLE001 - the run's own end is what counts
                console.say(f"bundle:   none was packed: {str(exc) or repr(exc)}")


def _pack_run(arguments: argparse.Namespace, console: Console | Events, path: Path) -> None:
    from harness.evidence.run_folder import RunFolder

    root, folder = arguments.project.resolve(), RunFolder(path)
    end = folder.ending()
    failed = end is None or end.exit_code not in (errors.PASSED, errors.INTERRUPTED)
    if failed or arguments.bundle:
        made = _pack(folder, root, with_images=arguments.with_images, artifact=arguments.bundle_artifact)
        _say(console, made)


def _bundle(arguments: argparse.Namespace) -> int:
    from harness.evidence.run_folder import RunFolder
    from harness.reports.console import Console
    from harness.reproduce.bundle import LIMIT

    folder = RunFolder.find(arguments.project, arguments.run)
    limit = arguments.limit or LIMIT
    options: dict[str, Any] = {"out": arguments.out, "artifact": arguments.artifact, "limit": limit}
    made = _pack(folder, arguments.project.resolve(), with_images=arguments.with_images, **options)
    console = Console()
    _say(console, made)
    for each in made.manifest.redactions:
        console.say(f"redacted: {each.name} in {', '.join(each.places)}")
    for absent in made.manifest.absent:
        console.say(f"left out: {absent.path} ({absent.why})")
    return errors.PASSED


def _pack(folder: RunFolder, root: Path, *, with_images: bool, **options: Any) -> Packed:
    from harness.engine import Engine
    from harness.reproduce.bundle import pack

    if not with_images:
        return pack(folder, root, environ=os.environ, **options)
    with Engine.connect() as engine:
        return pack(folder, root, images=engine, environ=os.environ, **options)


def _say(console: Console | Events, made: Packed) -> None:
    console.say(f"bundle:   {made.path} ({made.size / 1000:.0f} kB, {len(made.manifest.files)} files)")
    console.say(f"replay:   harness replay {made.path}")


def _size(text: str) -> int:
    from harness.config.values import parse_size

    try:
        size = int(str(parse_size(text)))
    except ValueError as exc:
        raise argparse.ArgumentTypeError(str(exc)) from exc
    if size <= 0:
        raise argparse.ArgumentTypeError(f"expected a size above 0, received {text!r}")
    return size
