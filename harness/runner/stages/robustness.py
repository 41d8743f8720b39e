"""Starts the serving image anew, each time changed in one way, beside the service that the contract is asked of.

What the run's clean-up would have to know of is made in `prepare`; `collect` then only starts what is there, so it
may run on another thread while the run may be interrupted.
"""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from copy import deepcopy
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any

from harness.client import http
from harness.engine.archive import is_file, read_files
from harness.errors import DescriptionError
from harness.evidence.records import Health, Images, Robustness, Serving, Start
from harness.project.description import mount_over
from harness.project.runfile import Model, Variant, run_file
from harness.runner.stages import Run, health, not_for_want_of_disk
from harness.runner.stages.readiness import PROBE_TIMEOUT, Ready, candidates, wait
from harness.runner.stages.volumes import fill

MISSING, TRUNCATED, HERMETIC, DEAD = "artifact-missing", "artifact-truncated", "hermetic", "health-dead"
NO_NETWORK, READ_ONLY, ANY_UID, NO_CAPABILITIES = "no-network", "read-only", "arbitrary-uid", "no-capabilities"
RUNGS = (NO_NETWORK, READ_ONLY, ANY_UID, NO_CAPABILITIES)
PREFIX = "harness-"  # of the services, so that they meet no name of the user's
INTERNAL = "harness-internal"  # a network without a way out
FILL = "/harness-artifact"
LEFT = "steps/artifact"  # as the stage `services` calls it
UID = "54321:0"  # no image knows it; OpenShift too gives an unknown user of group 0 (its own numbers are larger)
AT_ONCE = 2
# How long a service without its artifact is watched, how long one that is silent, and a hermetic one waited for:
# seconds at least, times that of the good start. The longer ones are for machines that are busy meanwhile.
NEVER = (3.0, 3.0)
SOON = (20.0, 8.0)


@dataclass(frozen=True)
class Prepared:
    """The containers that wait to be started, what cannot be tried and why, and the main service's own state."""

    containers: Mapping[str, str]  # name of the start -> ID
    impossible: Mapping[str, str]
    health: Health
    user: str
    main: str  # ID of the serving container
    left_out: Mapping[str, str] = field(default_factory=dict)  # rung -> why it is no part of the hermetic start


def prepare(run: Run, images: Images, data_volume: str | None, serving: Serving) -> Prepared:
    """Create all containers with one call of Compose, and cut the artifact for one of them; nothing is started."""
    spec = run.spec
    key = spec.serve_key
    main = run.engine.container(run.project, key)
    inspected = run.engine.inspect(main)
    check = health.declared(inspected.get("Config", {}))
    base = run_file(
        spec,
        project=run.project,
        images=images.ids(key),
        data_volume=data_volume,
        labels=run.labels,
    )
    service = base["services"][key]
    place = _place(run, main, serving, service, images.of(key).working_dir)
    files = _artifact(run)
    changes: dict[str, Model] = {}
    impossible: dict[str, str] = {}
    for name in (MISSING, TRUNCATED):
        reason = _shared_network(service) or (place if isinstance(place, str) else "")
        if name == TRUNCATED and not any(path.stat().st_size for path in files):
            reason = reason or "the artifact holds nothing that could be cut"
        if reason or isinstance(place, str):
            impossible[name] = reason
        else:
            changes[name] = {"volumes": _over(service, place.target, PREFIX + name)}
    left_out = _left_out(run, main, service)
    changes |= _rungs(service, left_out)
    if check.command:
        changes[DEAD] = _doubled(
            {"entrypoint": list(check.command), "command": [], "network_mode": "none", "networks": None, "ports": None}
        )
    fresh = {MISSING, TRUNCATED}
    variants = [
        Variant(PREFIX + name, partial(_change, change), {PREFIX + name: None} if name in fresh else {})
        for name, change in changes.items()
    ]
    made = run.create_variants(key, images.ids(key), data_volume, variants, {INTERNAL: {"internal": True}})
    if TRUNCATED in changes and not isinstance(place, str):
        root, volume = _folder(run), f"{run.project}_{PREFIX}{TRUNCATED}"
        named = {str(PurePosixPath(place.inside, file.relative_to(root).as_posix())): file for file in files}
        fill(run, serving.image, volume, FILL, named, stage=PREFIX + TRUNCATED, halves=True)
    return Prepared(
        containers={name: made[PREFIX + name] for name in changes},
        impossible=impossible,
        health=check,
        user=str(inspected.get("Config", {}).get("User") or ""),
        main=main,
        left_out=left_out,
    )


def collect(run: Run, prepared: Prepared, serving: Serving) -> Robustness:
    """Start them, at most two at a time; the rungs of the hermetic start alone only where not all hold at once."""

    def start(name: str) -> Start:
        return _start(run, prepared, serving, name, NEVER if name in (MISSING, TRUNCATED) else SOON)

    with ThreadPoolExecutor(max_workers=AT_ONCE) as pool:
        checked = pool.submit(health.examine, run, prepared.health, prepared.main, prepared.containers.get(DEAD))
        starts = list(pool.map(start, (HERMETIC, MISSING, TRUNCATED)))
        rungs = RUNGS if not starts[0].answered else tuple(prepared.left_out)
        starts += pool.map(start, rungs)
    run.say("robustness", f"{sum(not start.impossible for start in starts)} further starts")
    return Robustness(
        starts=tuple(starts), health=checked.result(), user=prepared.user, uid=health.uid(run, prepared.main)
    )


def _start(run: Run, prepared: Prepared, serving: Serving, name: str, time: tuple[float, float]) -> Start:
    if reason := {**prepared.impossible, **prepared.left_out}.get(name):
        return Start(name, impossible=reason)
    limit, longest = _seconds(run, serving, time), _seconds(run, serving, SOON)
    try:
        with (
            run.file(f"robustness/{name}.txt") as log,
            run.engine.started(prepared.containers[name], log) as server,
        ):
            ready = wait(run, server, limit, serving.interface)
            if ready.died is None and not _heard(ready) and limit < longest:
                more = wait(run, server, longest - limit, serving.interface)
                limit, ready = longest, replace(more, seconds=ready.seconds + more.seconds)
            tail = server.tail
            whole = name in (MISSING, TRUNCATED) and _answered(ready) and _is_whole(run, server.container, serving)
    except DescriptionError as exc:  # it cannot even be started this way
        return Start(name, watched=limit, last_answer=str(exc))
    if ready.died is not None:
        not_for_want_of_disk(ready.died, "a further start of the service")
    if whole:
        return Start(name, impossible="this engine shows the image's own files in an empty volume: nothing was missing")
    return Start(
        name,
        ready=any(asked.ready for asked in ready.asked),
        answered=_answered(ready),
        heard=_heard(ready),
        seconds=ready.seconds,
        watched=limit,
        last_answer=ready.last,
        exit=ready.died,
        log_tail=ready.died.log_tail if ready.died else tail,
    )


def _is_whole(run: Run, container: str, serving: Serving) -> bool:
    """Whether a service has the artifact after all: Podman 4 fills an empty volume although it is told not to."""
    return read_files(run.engine, container, serving.artifact_path) == serving.files


def _seconds(run: Run, serving: Serving, time: tuple[float, float]) -> float:
    least, times = time
    return min(max(least, times * serving.seconds), run.spec.block.serve.timeout)


def _change(change: Model, service: Model) -> None:
    """Change a copy of the serve service; None removes a key.

    The health check is run by us, once.
    """
    if service.get("networks"):
        service["networks"] = dict.fromkeys(service["networks"])
    service |= {"healthcheck": {"disable": True}, **deepcopy(change)}
    for key in [key for key, value in service.items() if value is None]:
        del service[key]


def _answered(ready: Ready) -> bool:
    return any(asked.ready and asked.honest for asked in ready.asked)


def _heard(ready: Ready) -> bool:
    return any(asked.code is not None for asked in ready.asked)


@dataclass(frozen=True)
class _Place:
    """Where a volume hides the artifact, and where in that volume the artifact's files belong."""

    target: str
    inside: str


def _place(run: Run, main: str, serving: Serving, service: Model, working_dir: str) -> _Place | str:
    """Return where a volume can be mounted over the artifact, or why it cannot."""
    path = serving.artifact_path
    if serving.files is None:
        return f"the serving container has nothing at {path}"
    mount = mount_over(service, path)
    single = is_file(run.engine, main, path)
    if mount is not None and (single or mount["target"] == path):
        inside = PurePosixPath(path).relative_to(mount["target"])
        return _Place(mount["target"], str(inside.parent if single else inside))
    if single:
        return f"{path} is a single file of the image: no volume can be mounted over it"
    if mount is None and PurePosixPath(working_dir or "/").is_relative_to(path):
        return f"{path} is the working directory of the service: a volume over it would hide its code too"
    return _Place(path, ".")


def _over(service: Model, target: str, volume: str) -> list[Model]:
    """Return the mounts of a service with a volume in the place of what is mounted at `target` or below."""
    inside = PurePosixPath(target)
    others = [m for m in service.get("volumes", ()) if not PurePosixPath(m["target"]).is_relative_to(inside)]
    hiding = {
        "type": "volume",
        "source": volume,
        "target": target,
        "read_only": any(m["target"] == target and m.get("read_only") for m in service.get("volumes", ())),
        "volume": {"nocopy": True},  # else the engine fills an empty volume with what the image has there
    }
    return [*others, hiding]


def _artifact(run: Run) -> list[Path]:
    return sorted(path for path in _folder(run).rglob("*") if path.is_file())


def _folder(run: Run) -> Path:
    """Return where this run keeps what serving got: what a step between made, else what training left."""
    made = run.folder.path / LEFT
    return made if made.is_dir() else run.folder.path / "artifact"


def _shared_network(service: Model) -> str:
    """Say why a second container of a service cannot serve beside the first; empty where it can."""
    mode = str(service.get("network_mode") or "")
    if mode == "host" or mode.partition(":")[0] in ("service", "container"):
        return f"the service runs with `network_mode: {mode}`, in which its port is taken already"
    return ""


def _left_out(run: Run, main: str, service: Model) -> dict[str, str]:
    """Return the rungs that cannot be tried here, and why."""
    wanted = service.get("depends_on") or {}
    if asked := sorted(key for key, how in wanted.items() if how.get("condition") != "service_completed_successfully"):
        return {NO_NETWORK: f"the service depends on {', '.join(asked)}"}
    own = [t for t in candidates(run, main) if t.host != run.engine.reach.host]
    if not run.engine.reach.sees_internal(main) or not any(
        http.send(t, "/", case="reach", timeout=PROBE_TIMEOUT).status is not None for t in own
    ):
        return {NO_NETWORK: "the harness cannot reach addresses of containers here, and such a network has no ports"}
    return {}


def _rungs(service: Model, left_out: Mapping[str, str]) -> dict[str, Model]:
    """Return what each rung changes of the service, and all of them together."""
    tmp = [t for t in _listed(service.get("tmpfs")) if t.partition(":")[0] != "/tmp"]  # noqa: S108 - in a container
    safe = [option for option in service.get("security_opt") or () if not option.startswith("no-new-privileges")]
    changes: dict[str, Model] = {
        NO_NETWORK: {"networks": {INTERNAL: None}, "network_mode": None, "ports": None},
        READ_ONLY: {"read_only": True, "tmpfs": [*tmp, "/tmp"]},  # noqa: S108
        ANY_UID: {"user": UID},
        NO_CAPABILITIES: {
            "cap_drop": ["ALL"],
            "cap_add": None,
            "privileged": None,
            "security_opt": [*safe, "no-new-privileges:true"],
        },
    }
    wanted = {rung: change for rung, change in changes.items() if rung not in left_out}
    return {HERMETIC: {k: v for change in wanted.values() for k, v in change.items()}, **wanted}


def _listed(value: Any) -> list[str]:
    return [value] if isinstance(value, str) else list(value or ())


def _doubled(change: Model) -> Model:
    """Double `$`, as a Compose file wants it, in the words of a command."""
    return {k: [w.replace("$", "$$") for w in v] if isinstance(v, list) else v for k, v in change.items()}
