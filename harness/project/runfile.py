"""Writes the run's own Compose file: the user's normalised model with this run's images, volumes and labels.

Pure functions over the output of `docker compose config`. The file lies in the run folder, so that a run can be
repeated by hand: `docker compose --file .harness/runs/<id>/compose.json up`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any

from harness.client.protocols import DIALECTS, environment
from harness.config.companions import dependencies, forget, keep_name
from harness.config.spec import Handover, Spec
from harness.engine.labels import STAGE
from harness.project.conventions import dialect_of
from harness.project.description import mount_over

ARTIFACT_VOLUME = "harness-artifact"
DATA_VOLUME = "harness-data"
LOOPBACK = "127.0.0.1"
OWN_NAME = re.compile(r"harness-(?P<run>\d{8}t\d{6}z-[0-9a-f]+)-(?:baked|built)")

Model = dict[str, Any]


@dataclass(frozen=True)
class Variant:
    """Another container of train or serve in the same run, under a name of its own."""

    name: str
    change: Callable[[Model], None]  # changes a copy of the service in place
    # Key in the file -> name of a volume that exists; None: a new one of this run.
    volumes: Mapping[str, str | None] = field(default_factory=dict)


def varied(model: Model, service: str, *variants: Variant, networks: Mapping[str, Model] | None = None) -> Model:
    """Return the file of a run with variants in place of a service; `networks` are further ones of this run.

    What only one container can have (an address, a name in a network) stays the original's, and what that one waits
    for is not waited for again.
    """
    made = deepcopy(model)
    original = made["services"].pop(service)
    labels = {key: value for key, value in original["labels"].items() if key.startswith("harness.") and key != STAGE}
    made["networks"] |= _own(dict(networks or {}), model["name"], labels)
    for variant in variants:
        own = deepcopy(original)
        _unname(own)
        variant.change(own)
        own["labels"] = {**own["labels"], STAGE: variant.name}
        made["services"][variant.name] = own
        for key, name in variant.volumes.items():
            external = {"name": name, "external": True}
            made["volumes"][key] = external if name else _own({key: {}}, model["name"], labels)[key]
    return made


def _unname(service: Model) -> None:
    """Take away what only one container can have, and the services that it waits for: they are up."""
    for key in ("depends_on", "mac_address"):
        service.pop(key, None)
    for key in ("ipv4_address", "ipv6_address", "aliases", "mac_address"):
        for network in (service.get("networks") or {}).values():
            (network or {}).pop(key, None)


def project_name(run: str) -> str:
    """Return the Compose project of a run: its containers, networks and volumes are nobody else's."""
    return f"harness-{run.lower()}"


def baked_name(run: str) -> str:
    """Return the name of the image that a run makes for itself alone, and removes."""
    return f"{project_name(run)}-baked"


def built_name(run: str) -> str:
    """Return the name that a run gives to the image that its own layer starts from: no builder takes an ID there."""
    return f"{project_name(run)}-built"


def names_of(run: str) -> tuple[str, ...]:
    """Return all names of images that a run makes and removes, in the order of removal."""
    return baked_name(run), built_name(run)


def run_of(name: str) -> str | None:
    """Return the run, in small letters, that an image's name is of; None for any other name."""
    found = OWN_NAME.fullmatch(name)
    return found["run"] if found else None


def image_name(spec: Spec, key: str) -> str:
    """Return the name that Compose itself would give to a service's image.

    Where one service trains and serves, the image that trains has a name of its own: what is baked takes the other.
    """
    services = spec.model["services"]
    service = services.get(key)
    if service is None and not services.get(spec.block.train.service, {}).get("build"):
        service = services.get(spec.block.train.service) if key == spec.train_key else None
    return str((service or {}).get("image") or f"{spec.project}-{key}")


def build_file(spec: Spec, training: Model | None = None) -> Model:
    """Return the Compose file of the builds; `training` is the build of a training image that the harness supplies."""
    services: Model = {}
    declared, train = spec.model["services"], spec.block.train
    for key in (spec.serve_key, *dependencies(spec)):
        if build := declared[key].get("build"):
            services[key] = {"build": dict(build)}
    if training is not None:
        services[spec.train_key] = {"build": training}
    elif build := declared.get(train.service, {}).get("build"):
        if train.target is not None:  # `tags` are of the whole image: BuildKit would give them to this stage too
            build = {**{key: value for key, value in build.items() if key != "tags"}, "target": train.target}
        services[spec.train_key] = {"build": dict(build)}
    for key, service in services.items():
        service["image"] = image_name(spec, key)
    secrets = spec.model.get("secrets") if any(s["build"].get("secrets") for s in services.values()) else None
    return {"name": spec.project, "services": services, **({"secrets": deepcopy(secrets)} if secrets else {})}


def run_file(
    spec: Spec,
    *,
    project: str,
    images: Mapping[str, str],
    data_volume: str | None,
    labels: Mapping[str, str],
    published_at: str = LOOPBACK,
) -> Model:
    """Return the Compose file of one run: of train and serve those whose images are given, and what they depend on.

    `images` are IDs by service; one that is missing runs under the name that Compose gives it.

    The port of the service is published at an address of the engine's machine.
    """
    services: Model = {}
    for key in dict.fromkeys((spec.train_key, spec.serve_key)):
        if key not in images:
            continue
        services[key] = _train(spec, images[key]) if key == spec.train_key else _serve(spec, images[key], published_at)
        if data_volume is not None:
            _mount_data(spec, services[key], always=key == spec.train_key)
    configs: Model = deepcopy(spec.model.get("configs", {}))
    if spec.train_key in services:
        configs |= _train_files(spec, services[spec.train_key])
    for key in dependencies(spec):
        services[key] = _beside(spec, key, images.get(key))
    _share_artifact(spec, services)
    for key, service in services.items():
        keep_name(service)
        for fixed in ("container_name", "profiles", "scale"):
            service.pop(fixed, None)
        service.get("deploy", {}).pop("replicas", None)
        service["labels"] = {**service.get("labels", {}), **labels, STAGE: key}
    return {
        "name": project,
        "services": services,
        "volumes": _volumes(spec, services, project, data_volume, labels),
        "networks": _own(spec.model.get("networks", {}), project, labels),
        **({"secrets": deepcopy(spec.model["secrets"])} if "secrets" in spec.model else {}),
        **({"configs": configs} if configs else {}),
    }


def inline_files(model: Model, service: str) -> dict[str, str]:
    """Return path -> text of the files that a service takes from `configs` with `content` of their own.

    Compose puts these into a container when it starts it, not when it creates it.
    """
    declared: Model = model.get("configs", {})
    taken = {
        entry.get("target") or f"/{entry['source']}": declared.get(entry["source"], {}).get("content")
        for entry in model["services"][service].get("configs", ())
    }
    return {path: text.replace("$$", "$") for path, text in taken.items() if text is not None}


def _train_files(spec: Spec, service: Model) -> Model:
    """Give a train service the files and the environment that its protocol has for training."""
    dialect = dialect_of(spec.block)
    if dialect is None or dialect.train_files is None:
        return {}
    service["environment"] = {**dialect.train_environment, **(service.get("environment") or {})}
    configs: Model = {}
    mounted = list(service.get("configs", ()))
    for number, (path, text) in enumerate(dialect.train_files(spec.block).items()):
        if all(entry.get("target") != path for entry in mounted):  # the project's own file wins
            configs[f"harness-{number}"] = {"content": text.replace("$", "$$")}
            service["configs"] = [*service.get("configs", ()), {"source": f"harness-{number}", "target": path}]
    return configs


def _beside(spec: Spec, key: str, image: str | None) -> Model:
    """Return a service that train or serve depends on: as it is, but for what it publishes."""
    service: Model = deepcopy(spec.model["services"][key])
    service.pop("ports", None)
    if service.pop("build", None) or image:
        service |= {"image": image or image_name(spec, key)}
        service.pop("pull_policy", None)
    forget(service, {spec.block.train.service, spec.serve_key})
    return service


def artifact_mount(spec: Spec) -> Model | None:
    """Return the project's own mount of the artifact, in whose place the run has a volume; None where it has none."""
    train, services = spec.block.train, spec.model["services"]
    if spec.handover is not Handover.MOUNTED:
        return None
    if train.from_ is None:
        return mount_over(services.get(train.service, {}), train.artifact)
    return mount_over(services[spec.serve_key], spec.serve_artifact or train.artifact)


def _share_artifact(spec: Spec, services: Model) -> None:
    """Let everybody who mounts what the project keeps its artifact in mount the run's own volume instead."""
    own = artifact_mount(spec) or {}
    for service in services.values():
        for entry in service.get("volumes") or ():
            if own and (entry["type"], entry.get("source")) == (own["type"], own["source"]):
                options = entry.get("volume", {})
                entry |= {"type": "volume", "source": ARTIFACT_VOLUME, "volume": options}
                entry.pop("bind", None)


def _train(spec: Spec, image: str) -> Model:
    train = spec.block.train
    if train.from_ is not None:
        service: Model = {"environment": {}, "network_mode": "none"}
    else:
        service = deepcopy(spec.model["services"][train.service])
        service.pop("ports", None)
        forget(service, {spec.serve_key})
    if train.target is not None:  # the stage's image with the limits and the environment of its service
        service = {key: value for key, value in service.items() if key in _OF_A_STAGE}
    service.pop("build", None)
    service |= {"image": image, "restart": "no"}
    if train.command:
        service["command"] = [word.replace("$", "$$") for word in train.command]
        if train.target is not None:
            service["entrypoint"] = []
    if spec.handover is Handover.MOUNTED:
        mount(service, train.artifact, ARTIFACT_VOLUME, read_only=False)
    return service


# What a build stage that trains takes over from its service; its mounts and its command belong to serving.
_OF_A_STAGE = ("environment", "mem_limit", "cpus", "shm_size", "platform", "deploy")


def _serve(spec: Spec, image: str, published_at: str) -> Model:
    service: Model = deepcopy(spec.model["services"][spec.serve_key])
    service.pop("build", None)
    service |= {"image": image, "restart": "no"}
    forget(service, {spec.block.train.service})
    dialect = dialect_of(spec.block)
    if dialect is not None and dialect.serve_command is not None and not service.get("command"):
        service["command"] = list(dialect.serve_command)
    if given := environment(spec, DIALECTS.get(spec.block.serve.dialect)):
        service["environment"] = {key: value.replace("$", "$$") for key, value in given.items()} | {
            key: value for key, value in (service.get("environment") or {}).items() if value is not None
        }
    if service.get("network_mode") is None:
        # A free port of the engine's host, so that two runs and the user's own service do not collide.
        service["ports"] = [{"mode": "ingress", "host_ip": published_at, "target": spec.port, "protocol": "tcp"}]
    else:
        service.pop("ports", None)
    if spec.handover is Handover.MOUNTED and spec.serve_artifact is not None and not spec.converted:
        mount(service, spec.serve_artifact, ARTIFACT_VOLUME, read_only=True)
    return service


def mount(service: Model, path: str, volume: str, *, read_only: bool) -> None:
    """Put a volume where the user's own mount over `path` is, or at `path` where there is none."""
    old = mount_over(service, path)
    target = old["target"] if old else path
    mounts = [m for m in service.get("volumes", ()) if m["target"] != target]
    options = old.get("volume", {}) if old else {}
    service["volumes"] = [
        *mounts,
        {
            "type": "volume",
            "source": volume,
            "target": target,
            "read_only": read_only or bool(old and old.get("read_only")),
            "volume": options,
        },
    ]


def _mount_data(spec: Spec, service: Model, *, always: bool) -> None:
    data = spec.block.data
    if data is None:
        return
    mounts = [m for m in service.get("volumes", ()) if m["target"] != data.mount]
    if always or len(mounts) < len(service.get("volumes", ())):
        service["volumes"] = [
            *mounts,
            {"type": "volume", "source": DATA_VOLUME, "target": data.mount, "read_only": True, "volume": {}},
        ]


def _volumes(spec: Spec, services: Model, project: str, data_volume: str | None, labels: Mapping[str, str]) -> Model:
    used = {m.get("source") for s in services.values() for m in s.get("volumes", ()) if m["type"] == "volume"}
    declared = {key: value for key, value in spec.model.get("volumes", {}).items() if key in used}
    volumes = _own(declared, project, labels)
    if ARTIFACT_VOLUME in used:
        options = _options_of_artifact(spec)
        volumes[ARTIFACT_VOLUME] = {**options, "name": f"{project}_artifact", "labels": dict(labels)}
    if data_volume is not None:
        volumes[DATA_VOLUME] = {"name": data_volume, "external": True}
    return volumes


def _options_of_artifact(spec: Spec) -> Model:
    """Return the driver options of the volume that the user declared for the artifact (a size limit, say)."""
    train = spec.model["services"].get(spec.block.train.service, {})
    mount = mount_over(train, spec.block.train.artifact)
    declared = spec.model.get("volumes", {}).get(mount["source"], {}) if mount else {}
    return {key: value for key, value in (declared or {}).items() if key in ("driver", "driver_opts")}


def _own(declared: Model, project: str, labels: Mapping[str, str]) -> Model:
    """Give volumes or networks names of this run; external ones stay the user's."""
    own: Model = {}
    for key, value in declared.items():
        entry = dict(value or {})
        if not entry.get("external"):
            entry |= {"name": f"{project}_{key}", "labels": {**entry.get("labels", {}), **labels}}
        own[key] = entry
    return own
