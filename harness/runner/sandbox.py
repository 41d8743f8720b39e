"""What a training is denied when it runs once more: the rungs of the hermetic ladder, as changes of its service."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from harness.project.description import mount_over
from harness.project.runfile import Model

Change = Callable[[Model], None]
USER = "54321:54321"  # one that no image knows


@dataclass(frozen=True)
class Rung:
    """One restriction of the hermetic ladder."""

    name: str
    apply: Change


def _no_network(service: Model) -> None:
    for key in ("networks", "ports", "links"):
        service.pop(key, None)
    service["network_mode"] = "none"


def _read_only(service: Model) -> None:
    service["read_only"] = True
    tmpfs = service.get("tmpfs") or []
    tmpfs = [tmpfs] if isinstance(tmpfs, str) else tmpfs
    if not any(entry.partition(":")[0] == "/tmp" for entry in tmpfs) and mount_over(service, "/tmp") is None:  # noqa: S108
        service["tmpfs"] = [*tmpfs, "/tmp"]  # noqa: S108 - inside the container


def _no_capabilities(service: Model) -> None:
    for key in ("cap_add", "privileged"):
        service.pop(key, None)
    service["cap_drop"] = ["ALL"]
    options = [o for o in service.get("security_opt") or () if not o.startswith("no-new-privileges")]
    service["security_opt"] = [*options, "no-new-privileges:true"]


def _arbitrary_user(service: Model) -> None:
    service["user"] = USER


RUNGS = (
    Rung("without a network", _no_network),
    Rung("with a read-only root", _read_only),
    Rung("without capabilities", _no_capabilities),
    Rung("as an arbitrary user", _arbitrary_user),
)


def restricted(*names: str) -> Change:
    """Return the change that makes all these restrictions at once."""

    def change(service: Model) -> None:
        for rung in RUNGS:
            if rung.name in names:
                rung.apply(service)

    return change
