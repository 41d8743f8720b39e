"""The highest use of memory of a container, looked at on a thread while it runs."""

from __future__ import annotations

import threading
from contextlib import suppress
from types import TracebackType
from typing import Self

import docker
import docker.errors

from harness.engine.running import Running
from harness.engine.sdk import mapped_errors
from harness.engine.stats import used
from harness.errors import HarnessError

INTERVAL = 0.2  # seconds between two looks
PATIENCE = 0.3  # seconds: an old engine answers once a second, and training is over
# Inside a container, where the engine does not say it itself (Podman): of cgroup v2, from Linux 5.19 on, and of v1.
FILES = {
    "/sys/fs/cgroup/memory.peak": "counted by cgroup v2",
    "/sys/fs/cgroup/memory/memory.max_usage_in_bytes": "counted by cgroup v1, file cache included",
}


class Peak:
    """The highest use that was seen, from where it is known, and when it was last looked at.

    cgroup v1 counts the peak itself (with the file cache) and Docker passes that on; else a file inside the container
    shows it, which needs `cat` there: both say all that came before. Else only single moments are seen, and `source`
    says so. What comes after the last look is unknown in any case: a container that has ended says nothing any more.
    """

    def __init__(self, running: Running) -> None:
        self.bytes: int | None = None
        self.source = ""
        self.at = 0.0  # seconds after the start
        self.samples: list[tuple[float, int]] = []  # seconds after the start, bytes in use then
        self._running = running
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None) -> None:
        self._over.set()
        self._thread.join(timeout=PATIENCE)

    def _look(self) -> None:
        with suppress(HarnessError):  # an engine that is lost is the training's to report
            while not self._over.is_set():
                at = self._running.seconds
                found, now = highest(self._running.api, self._running.container)
                if now is not None and not self._over.is_set():
                    self.samples.append((at, now))
                if found is not None:
                    self.bytes, self.source, self.at = max(self.bytes or 0, found[0]), found[1], at
                self._over.wait(INTERVAL)


def highest(api: docker.APIClient, container: str) -> tuple[tuple[int, str] | None, int | None]:
    """Return the highest use of a running container so far with its source, and that of now; None: nobody can say."""
    with mapped_errors():
        try:
            stats = api.stats(container, stream=False, one_shot=True)
        except (docker.errors.NotFound, docker.errors.InvalidVersion):
            return None, None
        now = used(stats)
        counted = (stats.get("memory_stats") or {}).get("max_usage")
        if isinstance(counted, int) and counted > 0:
            return (counted, "counted by cgroup v1, file cache included"), now
        for file, source in FILES.items():
            printed = b""
            with suppress(docker.errors.APIError):  # no such program, or the container has ended
                printed = bytes(api.exec_start(api.exec_create(container, ["cat", file])["Id"])).strip()
            if printed.isdigit():
                return (int(printed), source), now
    return None if now is None else (now, "seen at single moments"), now
