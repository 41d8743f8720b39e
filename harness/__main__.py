"""`python -m harness` and the command `harness`: the only place that exits."""

from __future__ import annotations

import atexit
import os
import signal
import sys
import threading
import time
from typing import NoReturn

from harness.cli.main import main as run_command
from harness.errors import INTERRUPTED
from harness.reports.foreign import flush, guard_errors
from harness.system.signals import INTERRUPTS, undelivered

PATIENCE = 6.0  # seconds for Python to deliver an interrupt: it waits for a library that reads a large table
LINGERING = 1.0  # seconds for threads that nobody waits for any more
SAID = b"harness: interrupted: it ended in the midst of what it did; `harness clean` removes what a run left\n"


def main() -> None:
    """Run the command line and exit with its code; what libraries and tracebacks print commands no runner."""
    guard_errors()
    with undelivered(PATIENCE, lambda: _end_at_once(INTERRUPTED, SAID)):
        code = run_command(sys.argv[1:])
        for number in INTERRUPTS:
            signal.signal(number, signal.SIG_IGN)  # it ends already
    deadline = time.monotonic() + LINGERING
    others = [thread for thread in threading.enumerate() if not thread.daemon and thread is not threading.main_thread()]
    for thread in others:
        thread.join(max(0.0, deadline - time.monotonic()))
    if any(thread.is_alive() for thread in others):  # Python would wait for them: for the whole of a large table, say
        _end_at_once(code)
    sys.exit(code)


def _end_at_once(code: int, said: bytes = b"") -> NoReturn:
    """End the process and all of its threads; what was printed is written, and temporary folders are removed."""
    if said:  # the main thread is busy, and may hold what it prints with
        os.write(1, said)
    else:
        flush()
        atexit._run_exitfuncs()  # noqa: SLF001 - nothing else calls them before os._exit
    os._exit(code)


if __name__ == "__main__":
    main()
