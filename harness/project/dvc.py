"""The only caller of DVC: fetches what a `.dvc` pointer stands for, and puts artifacts into its remotes.

Source: https://dvc.org/doc/command-reference, `pull` and `add --to-remote`.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from harness.errors import DescriptionError, InfrastructureError
from harness.system.output import shortened
from harness.system.process import stream

SUFFIX = ".dvc"
TIMEOUT = 1800.0  # seconds
TAIL = 5  # lines of its output that an error shows
OURS = "harness"  # the name of a remote that was given by its place


def pull(pointer: Path, root: Path) -> None:
    """Fetch one pointer's file or folder. Raises InfrastructureError, with what to do where DVC is missing."""
    name = os.path.relpath(pointer, root)
    program = _program(
        f"{name} points to data that is not here", f"of your storage (pip install 'dvc[s3]'), then: dvc pull {name}"
    )
    argv = [program, "pull", name]
    _run(argv, root, f"dvc pull {name}", {})


def push(folder: Path, pointer: Path, remote: str) -> None:
    """Put a folder into a remote, and write its pointer file; neither cache nor work tree keep a copy.

    `remote` is the name of one, or its place: a path or a URL. Raises DescriptionError for a pointer without `.dvc`,
    InfrastructureError where DVC is missing, or fails.
    """
    if pointer.suffix != SUFFIX:
        raise DescriptionError(
            f"expected a pointer file such as models/penguins{SUFFIX}, received {pointer}",
            hint="Name it with --pointer.",
        )
    program = _program(f"{pointer} cannot be made", "of your storage: pip install 'dvc[s3]'")
    pointer.parent.mkdir(parents=True, exist_ok=True)
    with _placed(remote) as (name, more):
        argv = [program, "add", "--force", "--to-remote", "--remote", name, "--out", pointer.stem]
        _run([*argv, str(folder.resolve())], pointer.parent, f"dvc add --to-remote --remote {name}", more)
    if not pointer.is_file():
        raise InfrastructureError(f"DVC wrote no {pointer}", hint="Look at `dvc doctor`.")


@contextmanager
def _placed(remote: str) -> Iterator[tuple[str, dict[str, str]]]:
    """Yield a remote's name and what the environment needs: one given by its place is known to this call alone."""
    if not any(mark in remote for mark in ("/", os.sep)):
        yield remote, {}
        return
    place = remote if "://" in remote else str(Path(remote).resolve())
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "config").write_text(f"['remote \"{OURS}\"']\n    url = {json.dumps(place)}\n", "utf-8")
        yield OURS, {"DVC_SYSTEM_CONFIG_DIR": folder}


def _program(why: str, extra: str) -> str:
    program = shutil.which("dvc")
    if program is None:
        raise InfrastructureError(f"{why}, and DVC is not installed", hint=f"Install it with the extra {extra}")
    return program


def _run(argv: list[str], folder: Path, what: str, more: dict[str, str]) -> None:
    tail: deque[str] = deque(maxlen=TAIL)
    environment = {**os.environ, "DVC_NO_ANALYTICS": "1", **more}
    ended = stream(
        argv, environment, lambda line: tail.append(shortened(line)), timeout=TIMEOUT, grace=5.0, folder=folder
    )
    if not ended.is_well:
        why = f"was ended after {TIMEOUT:.0f} s" if ended.expired else f"ended with exit code {ended.code}"
        raise InfrastructureError(
            "\n".join([f"{what} {why}", *tail]),
            hint="Check the remote and its credentials: `dvc remote list`, `dvc doctor`; `dvc init` makes a project.",
        )
