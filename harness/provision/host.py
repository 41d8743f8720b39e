"""What this machine is: which decides what setup may change on it, and what people are told to do themselves."""

from __future__ import annotations

import os
import platform
import shutil
from dataclasses import dataclass
from pathlib import Path

SETUP = "Run `harness setup`: it mends this."
DISTRIBUTIONS = ("debian", "ubuntu")


@dataclass(frozen=True)
class Host:
    """The facts that setup decides by."""

    system: str  # as `platform.system` says: Linux, Darwin, Windows
    distribution: str  # ID of os-release; empty where there is none
    is_root: bool
    is_wsl: bool
    has_systemd: bool
    has_dockerd: bool
    docker_host: str  # DOCKER_HOST; empty where unset

    @classmethod
    def current(cls) -> Host:
        """Look at this machine."""
        return cls(
            system=platform.system(),
            distribution=_distribution(),
            is_root=hasattr(os, "geteuid") and os.geteuid() == 0,
            is_wsl="microsoft" in platform.release().lower(),
            has_systemd=Path("/run/systemd/system").is_dir(),  # what sd_booted(3) looks at
            has_dockerd=shutil.which("dockerd") is not None,
            docker_host=os.environ.get("DOCKER_HOST", ""),
        )

    @property
    def may_install(self) -> bool:
        """Whether setup installs packages here: as root on Debian or Ubuntu."""
        return self.system == "Linux" and not self.is_wsl and self.is_root and self.distribution in DISTRIBUTIONS

    @property
    def may_start(self) -> bool:
        """Whether setup starts an engine here that is installed."""
        return self.system == "Linux" and not self.is_wsl and self.is_root and self.has_dockerd

    def engine_mend(self) -> str:
        """Say what to do where no engine answers: the first line of this table that fits."""
        windows = (
            "Install Docker Desktop for Windows, start it, and turn on its WSL integration for this distribution "
            "(Settings, Resources, WSL integration); run the harness inside WSL 2."
        )
        join = "sudo usermod --append --groups docker $USER, then log in again"
        start = f"Start the engine: sudo systemctl start docker. If it runs, this user may not speak to it: {join}."
        install = f"Install an engine: sudo apt-get install docker.io, {join}; or run `harness setup` as root."
        given = f"Start the engine at DOCKER_HOST={self.docker_host}, or unset DOCKER_HOST to use one on this machine."
        table = (
            (bool(self.docker_host), given),
            (self.may_install or self.may_start, SETUP),
            (self.system == "Darwin", "Install Docker Desktop, OrbStack, Colima or Podman Desktop, and start it."),
            (self.system == "Windows" or self.is_wsl, windows),
            (self.has_dockerd, start),
            (self.distribution in DISTRIBUTIONS, install),
        )
        otherwise = "Install and start an engine from your distribution's packages: docker, moby-engine or podman."
        return next((text for fits, text in table if fits), otherwise)


def _distribution() -> str:
    try:
        return platform.freedesktop_os_release().get("ID", "")
    except OSError:
        return ""
