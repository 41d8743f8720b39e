"""The only caller of DVC: fetches what a `.dvc` pointer stands for (https://dvc.org/doc/command-reference/pull)."""

from __future__ import annotations

import os
import shutil
from collections import deque
from pathlib import Path

from harness.errors import InfrastructureError
from harness.process import stream

TIMEOUT = 1800.0  # seconds
TAIL = 5  # lines of its output that an error shows


def pull(pointer: Path, root: Path) -> None:
    """Fetch one pointer's file or folder. Raises InfrastructureError, with what to do where DVC is missing."""
    name = os.path.relpath(pointer, root)
    program = shutil.which("dvc")
    if program is None:
        raise InfrastructureError(
            f"{name} points to data that is not here, and DVC is not installed",
            hint=f"Install it with the extra of your storage (pip install 'dvc[s3]'), then: dvc pull {name}",
        )
    tail: deque[str] = deque(maxlen=TAIL)
    argv = [program, "pull", "--quiet", name]
    ended = stream(argv, {**os.environ, "DVC_NO_ANALYTICS": "1"}, tail.append, timeout=TIMEOUT, grace=5.0, folder=root)
    if not ended.is_well:
        why = f"was ended after {TIMEOUT:.0f} s" if ended.expired else f"ended with exit code {ended.code}"
        raise InfrastructureError(
            "\n".join([f"dvc pull {name} {why}", *tail]),
            hint="Check the remote and its credentials: `dvc remote list`, `dvc doctor`.",
        )
