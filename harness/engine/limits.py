"""Reads from an inspect answer what a container was held to."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from harness.evidence.records import Limits

NANO = 1e9


def limits_of(inspected: Mapping[str, Any]) -> Limits:
    """Return the limits of a container from the engine's inspect answer; what it does not say is no limit."""
    host = inspected.get("HostConfig") or {}
    tmpfs = {str(path): str(options) for path, options in (host.get("Tmpfs") or {}).items()}
    for mount in host.get("Mounts") or ():
        if mount.get("Type") == "tmpfs":
            size = (mount.get("TmpfsOptions") or {}).get("SizeBytes")
            tmpfs[str(mount.get("Target"))] = f"size={size}" if size else ""
    return Limits(
        memory=max(0, host.get("Memory") or 0),
        swap=host.get("MemorySwap") or 0,
        pids=max(0, host.get("PidsLimit") or 0),
        cpus=_cpus(host),
        shm=host.get("ShmSize") or 0,
        tmpfs=tmpfs,
        read_only=bool(host.get("ReadonlyRootfs")),
        user=str((inspected.get("Config") or {}).get("User") or ""),
    )


def _cpus(host: Mapping[str, Any]) -> float:
    quota, period = host.get("CpuQuota") or 0, host.get("CpuPeriod") or 0
    return float((host.get("NanoCpus") or 0) / NANO or (quota / period if quota > 0 and period else 0.0))
