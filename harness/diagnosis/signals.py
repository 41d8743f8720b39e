"""Signals that end a container, by number: see signal(7). Numbers are those of Linux, whatever the host is."""

from __future__ import annotations

from harness.evidence.records.training import LAST_SIGNAL

SIGNALLED = 128  # added to the number of the signal, as in a shell
SIGKILL = 9
NAMES = {
    1: "SIGHUP",
    2: "SIGINT",
    3: "SIGQUIT",
    4: "SIGILL",
    6: "SIGABRT",
    7: "SIGBUS",
    8: "SIGFPE",
    SIGKILL: "SIGKILL",
    11: "SIGSEGV",
    13: "SIGPIPE",
    15: "SIGTERM",
}
ADVICE = {
    4: "An instruction that this processor does not have: use a build of the library for older processors (the flags "
    "of the processor are in the environment of the run).",
    6: "The program aborted itself: an assertion or an exception in native code, often for want of memory or threads.",
    7: "Shared memory or a mapped file ran out: raise `shm_size` of the service.",
    8: "A division by zero in native code.",
    SIGKILL: "It was killed from outside, mostly because memory ran out. The memory limit is {memory}: raise "
    "`mem_limit` of the service or free memory of the machine (`dmesg` names what the kernel killed).",
    11: "Native code crashed: look for libraries with mismatched binary versions; PYTHONFAULTHANDLER=1 in "
    "`environment` shows where.",
    15: "Somebody asked it to end; it did not end by itself.",
}


def signal_of(code: int | None) -> int | None:
    """Return the number of the signal that an exit code tells of; None where it tells of none."""
    if code is None or not SIGNALLED < code <= SIGNALLED + LAST_SIGNAL:
        return None
    return code - SIGNALLED


def name_of(number: int) -> str:
    """Return the name of a signal."""
    return NAMES.get(number, f"signal {number}")


def advice_of(number: int, memory: str) -> str:
    """Return what to try; `memory` is the memory limit for people, empty where there is none."""
    return ADVICE.get(number, "").format(memory=memory or "that of the machine")
