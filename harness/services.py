"""Which other services train and serve need, and which of them stand between the two; pure over a Compose model."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from copy import deepcopy
from typing import Any

Services = Mapping[str, Mapping[str, Any]]
MODES = ("network_mode", "pid", "ipc")  # of a service: each may be that of another container


def needed(services: Services, name: str, main: Collection[str]) -> tuple[str, ...]:
    """Return what a service depends on, directly or not, each after all that it depends on itself.

    The services of `main` are ended at: train and serve are started by us, whoever depends on them.
    """
    found: dict[str, None] = {}

    def visit(key: str, above: tuple[str, ...]) -> None:
        for other in services.get(key, {}).get("depends_on") or {}:
            if other in services and other not in (*main, *above, *found):
                visit(other, (*above, other))
                found[other] = None

    visit(name, (name,))
    return tuple(found)


def between(services: Services, train: str, serve: str) -> tuple[str, ...]:
    """Return the services that serving depends on and that depend on training: the steps between the two, in order."""
    late = {train}
    steps = []
    for name in needed(services, serve, {train, serve}):
        if late & set(services[name].get("depends_on") or {}):
            late.add(name)
            steps.append(name)
    return tuple(steps)


def without_container_names(model: Mapping[str, Any]) -> dict[str, Any]:
    """Return a model whose services speak of each other as services, where they name each other's containers.

    The containers of a run have names of their own: what the project calls `container_name: db` may be up beside it,
    and `network_mode: container:db` would join that one.
    """
    made = deepcopy(dict(model))
    services: dict[str, dict[str, Any]] = made.get("services") or {}
    names = {service["container_name"]: key for key, service in services.items() if service.get("container_name")}
    for own, service in services.items():
        joined = set()
        for mode in MODES:
            kind, _, name = str(service.get(mode) or "").partition(":")
            if kind == "container" and name in names:
                service[mode] = f"service:{names[name]}"
                joined.add(names[name])
        joined |= _volumes_from(service, names) | _links(service, names)
        for key in joined - {own}:
            service["depends_on"] = {
                key: {"condition": "service_started", "required": True},
                **(service.get("depends_on") or {}),
            }
    return made


def _volumes_from(service: dict[str, Any], names: Mapping[str, str]) -> set[str]:
    joined = set()
    for number, entry in enumerate(service.get("volumes_from") or ()):
        kind, _, rest = entry.partition(":")
        name, _, mode = rest.partition(":")
        if kind == "container" and name in names:
            service["volumes_from"][number] = ":".join(filter(None, (names[name], mode)))
            joined.add(names[name])
    return joined


def _links(service: dict[str, Any], names: Mapping[str, str]) -> set[str]:
    """Turn links to containers of the project into links to its services, under the same name."""
    joined = set()
    foreign = []
    for entry in service.get("external_links") or ():
        name, _, alias = entry.partition(":")
        if name not in names:
            foreign.append(entry)
            continue
        service["links"] = [*(service.get("links") or ()), f"{names[name]}:{alias or name}"]
        joined.add(names[name])
    if "external_links" in service:
        service["external_links"] = foreign
    return joined
