"""Describes the machine that a run sees: its engine, its processor, and the settings that code inherits."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from harness import __version__
from harness.engine import Engine
from harness.engine.compose import Compose
from harness.evidence.records import Environment

# Read by OpenMP, oneMKL, OpenBLAS, Accelerate, numexpr, numba, PyTorch's inter-op pool, TensorFlow, tokenizers, polars.
THREADS = (
    *("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "GOTO_NUM_THREADS", "BLIS_NUM_THREADS"),
    *("VECLIB_MAXIMUM_THREADS", "NUMEXPR_NUM_THREADS", "NUMEXPR_MAX_THREADS", "NUMBA_NUM_THREADS"),
    *("OMP_THREAD_LIMIT", "OMP_DYNAMIC", "MKL_DYNAMIC", "TORCH_NUM_THREADS", "TF_NUM_INTRAOP_THREADS"),
    *("TF_NUM_INTEROP_THREADS", "RAYON_NUM_THREADS", "POLARS_MAX_THREADS", "LOKY_MAX_CPU_COUNT"),
)
# locale(7), tzset(3), and what Python reads beside them (PEP 538, PEP 540).
LOCALE = ("LANG", "LANGUAGE", "LC_", "TZ", "PYTHONUTF8", "PYTHONIOENCODING", "PYTHONCOERCECLOCALE")
CPUINFO = Path("/proc/cpuinfo")


def describe(engine: Engine, compose: Compose) -> Environment:
    """Describe the machine that a run sees; what only a container can tell of a remote engine is left empty."""
    info = engine.info()
    local = engine.url.startswith("unix:") and CPUINFO.is_file()
    model, flags = parse_cpuinfo(CPUINFO.read_text(errors="replace") if local else "")
    return Environment(
        harness=__version__,
        python=platform.python_version(),
        host=platform.platform(),
        engine=f"{info.get('Version')} at {engine.url}",
        api=f"{info.get('ApiVersion')} of {info.get('MinAPIVersion')}-{info.get('MaxAPIVersion')}",
        compose=compose.description,
        storage=str(info.get("Driver")),
        cores=int(info.get("NCPU", 0)),
        memory=int(info.get("MemTotal", 0)),
        hash_seed=os.environ.get("PYTHONHASHSEED", "random"),
        engine_version=str(info.get("Version", "")),
        engine_kind=kind(info),
        system=str(info.get("OperatingSystem", "")),
        kernel=str(info.get("KernelVersion", "")),
        architecture=str(info.get("Architecture", "")),
        cgroup=str(info.get("CgroupVersion") or "1"),
        cpu_model=model,
        cpu_flags=flags,
        timezone=_timezone(),
        variables={name: value for name, value in sorted(os.environ.items()) if is_setting(name)},
    )


def kind(info: Mapping[str, Any]) -> str:
    """Name the kind of an engine from its `info`: Podman stores images in `containers/storage` and says so."""
    root = str(info.get("DockerRootDir", ""))
    name = "podman" if "containers/storage" in root or info.get("BuildahVersion") else "docker"
    rootless = any("rootless" in str(option) for option in info.get("SecurityOptions") or ())
    return f"{name} rootless" if rootless else name


def parse_cpuinfo(text: str) -> tuple[str, tuple[str, ...]]:
    """Return model and sorted flags of the first processor in /proc/cpuinfo (proc_cpuinfo(5)); empty for none.

    ARM has `Features` in place of `flags`, and often no model name.
    """
    found: dict[str, str] = {}
    for line in text.splitlines():
        key, _, value = line.partition(":")
        found.setdefault(key.strip().lower(), value.strip())
    flags = found.get("flags") or found.get("features") or ""
    return found.get("model name") or found.get("cpu part", ""), tuple(sorted(set(flags.split())))


def is_setting(name: str) -> bool:
    """Whether a variable sets threads or the locale."""
    return name in THREADS or name.startswith(LOCALE) or name == "PYTHONHASHSEED"


def _timezone() -> str:
    if zone := os.environ.get("TZ"):
        return zone
    path = Path("/etc/localtime")
    if path.is_symlink() and "zoneinfo/" in (target := str(path.readlink())):
        return target.partition("zoneinfo/")[2]
    return datetime.now().astimezone().tzname() or ""
