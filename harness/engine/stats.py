"""How much memory a container uses, counted as `docker stats` counts it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import docker
import docker.errors

from harness.engine.sdk import mapped_errors

# The file cache that can be given back at once: the name on cgroup v1, then that on v2 (docker/cli, stats_helpers.go).
INACTIVE = ("total_inactive_file", "inactive_file")


def memory(api: docker.APIClient, container: str) -> int | None:
    """Ask the engine once; None where the container is gone or does not run, and where the engine does not say."""
    with mapped_errors():
        try:
            return used(api.stats(container, stream=False, one_shot=True))
        except (docker.errors.NotFound, docker.errors.InvalidVersion):
            return None


def used(stats: Mapping[str, Any]) -> int | None:
    """Return the bytes in use without the inactive file cache; None where the answer does not say (Podman)."""
    counted = stats.get("memory_stats") or {}
    usage = counted.get("usage")
    if not isinstance(usage, int) or usage <= 0:
        return None
    details = counted.get("stats") or {}
    cache = next((details[name] for name in INACTIVE if isinstance(details.get(name), int)), 0)
    return usage - cache if cache < usage else usage
