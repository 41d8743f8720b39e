"""Which other services train and serve need, and which of them stand between the two; pure over a Compose model."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from copy import deepcopy
from typing import Any

from harness.config.spec import Spec

ComposeServices = Mapping[str, Mapping[str, Any]]
MODES = ("network_mode", "pid", "ipc")  # of a service: each may be that of another container


def needed(services: ComposeServices, name: str, main: Collection[str]) -> tuple[str, ...]:
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


def between(services: ComposeServices, train: str, serve: str) -> tuple[str, ...]:
    """Return the services that serving depends on and that depend on training: the steps between the two, in order."""
    late = {train}
    steps = []
    for name in needed(services, serve, {train, serve}):
        if late & set(services[name].get("depends_on") or {}):
            late.add(name)
            steps.append(name)
    return tuple(steps)


def dependencies(spec: Spec) -> tuple[str, ...]:
    """Return the other services that train and serve depend on, directly or not; each after what it depends on."""
    return tuple(dict.fromkeys((*needed_by(spec, spec.train_key), *needed_by(spec, spec.serve_key))))


def needed_by(spec: Spec, key: str) -> tuple[str, ...]:
    """Return the other services that train or serve depends on, directly or not."""
    train = spec.block.train
    if key == spec.train_key and (train.target is not None or train.from_ is not None):
        return ()
    own = train.service if key == spec.train_key else key
    return needed(spec.model["services"], own, {train.service, spec.serve_key})


def steps(spec: Spec) -> tuple[str, ...]:
    """Return the services between training and serving: they depend on the one, and the other on them."""
    return between(spec.model["services"], spec.block.train.service, spec.serve_key)


def forget(service: dict[str, Any], main: set[str]) -> None:
    """Take away what a service says of train and serve: the run starts these one by one."""
    wanted = {key: value for key, value in (service.pop("depends_on", None) or {}).items() if key not in main}
    links = [link for link in service.pop("links", None) or () if link.partition(":")[0] not in main]
    service |= {"depends_on": wanted} if wanted else {}
    service |= {"links": links} if links else {}


def keep_name(service: dict[str, Any]) -> None:
    """Let a service be found in its networks by the name that its container has outside of a run."""
    name = service.get("container_name")
    if name and not service.get("network_mode"):
        service["networks"] = {
            key: {**(value or {}), "aliases": [*((value or {}).get("aliases") or ()), name]}
            for key, value in (service.get("networks") or {"default": None}).items()
        }


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
