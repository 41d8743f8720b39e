"""The SHA-256 of files, remembered from run to run as git's index does it: by their stat.

A remembered hash counts where size, both times, inode and device are what they were, and the file had been left alone
for `SETTLED` seconds when it was hashed: a later change within the same tick of the file system's clock would not show
(git's Documentation/technical/racy-git). So nothing that is written today is trusted before it has rested, and a time
in the future never is.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from harness.errors import HarnessError
from harness.evidence.run_folder import write_atomic

SETTLED = 2_000_000_000  # nanoseconds: the coarsest clock of a file system in use, that of FAT

CachedHash = tuple[list[int], str]  # size, mtime, ctime (ns), inode, device; SHA-256


@dataclass(frozen=True)
class Hashes:
    """The hashes of one run, and those that the last one left."""

    known: Mapping[str, CachedHash] = field(default_factory=dict)
    asked: dict[str, CachedHash] = field(default_factory=dict)

    def of(self, path: Path) -> str:
        """Return the SHA-256 of a file, as 64 hexadecimal digits. Raises OSError."""
        place, now = str(path.absolute()), time.time_ns()
        found = path.stat()
        stat = [found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino, found.st_dev]
        entry = self.asked.get(place) or self.known.get(place)
        if entry is None or entry[0] != stat:
            with path.open("rb") as stream:
                entry = (stat, hashlib.file_digest(stream, "sha256").hexdigest())
        if max(found.st_mtime_ns, found.st_ctime_ns) < now - SETTLED:
            self.asked[place] = entry
        return entry[1]


@contextmanager
def remembered(file: Path, *, fresh: bool = False) -> Iterator[Hashes]:
    """Yield hashes that know those of the last run, none of them with `fresh`; leave the settled ones for the next."""
    hashes = Hashes({} if fresh else _read(file))
    try:
        yield hashes
    finally:
        if hashes.asked:
            with suppress(HarnessError):  # it only saves time
                write_atomic(file, json.dumps(hashes.asked))


def _read(file: Path) -> dict[str, CachedHash]:
    """Return what a file remembers; one that is broken is as good as none."""
    with suppress(OSError, ValueError, TypeError, AttributeError, KeyError):
        known = json.loads(file.read_text(encoding="utf-8"))
        return {os.fspath(place): (list(stat), str(digest)) for place, (stat, digest) in known.items()}
    return {}
