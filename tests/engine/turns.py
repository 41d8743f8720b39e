"""Which tests may run beside which: most beside any other, those marked `serial` alone on their machine.

A test that counts what is left, that removes what is nobody's, or that measures would disturb others or be disturbed by
them, whichever worker or session they run in. So each test holds a lock of the machine while it runs: a serial test
alone, all others together.
"""

from __future__ import annotations

import fcntl
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def turn(*, alone: bool) -> Iterator[None]:
    """Wait until a test may run; what must not run beside it waits meanwhile.

    Everybody passes the gate, and who waits for the lock stands in it: one who wants to be alone would else wait for as
    long as any of the others begins anew before the last of them has ended.
    """
    name = f"{tempfile.gettempdir()}/harness-engine-tests-{os.getuid()}"
    with Path(f"{name}.lock").open("ab") as lock:
        with Path(f"{name}.gate").open("ab") as gate:
            fcntl.flock(gate, fcntl.LOCK_EX)
            fcntl.flock(lock, fcntl.LOCK_EX if alone else fcntl.LOCK_SH)
        yield
