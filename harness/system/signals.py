"""Keeps an interrupt out of the few moments in which it would leave something behind."""

from __future__ import annotations

import signal
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

INTERRUPTS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)  # Ctrl-C, a cancelled CI job, a closed terminal


_taken = threading.Event()  # an interrupt has reached Python code of the main thread


def taken() -> None:
    """Say that an interrupt is being handled; every handler of one does."""
    _taken.set()


@contextmanager
def undelivered(patience: float, end: Callable[[], object]) -> Iterator[None]:
    """Call `end` on another thread where an interrupt has reached no handler `patience` seconds after it came.

    Python calls handlers between two steps of its own: a library that works in C keeps them waiting. The signal itself
    is noticed at once, by a byte that Python's C code writes into a socket. Only in the main thread.
    """
    _taken.clear()
    watched, written = socket.socketpair()
    written.setblocking(False)

    def watch() -> None:
        numbers = set(INTERRUPTS)
        while came := watched.recv(1):
            if came[0] in numbers and not _taken.wait(patience):
                end()

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    before = signal.set_wakeup_fd(written.fileno(), warn_on_full_buffer=False)
    try:
        yield
    finally:
        signal.set_wakeup_fd(before)
        written.close()
        thread.join()
        watched.close()


@contextmanager
def deferred() -> Iterator[None]:
    """Hold interrupts back until the end of the block, then let the last one take effect.

    Python handlers, not a signal mask: a program that is started inside inherits nothing of it. Outside the main
    thread, where Python delivers no signals, it does nothing.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    held: list[int] = []

    def hold(number: int, frame: FrameType | None) -> None:
        del frame
        taken()
        held.append(number)

    before = {number: signal.signal(number, hold) for number in INTERRUPTS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        if held:
            signal.raise_signal(held[-1])
