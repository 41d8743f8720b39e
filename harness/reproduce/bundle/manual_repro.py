"""What reproduces a run without the harness: a Compose file whose paths are those of the bundle, and the requests."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness.config.spec import Spec
from harness.engine.labels import STAGE
from harness.errors import HarnessError
from harness.evidence.records import Evidence, Exchange, Finding
from harness.project import pins
from harness.project.dockerfile import BASE_ARGUMENT
from harness.project.runfile import build_file, run_file
from harness.reproduce.bundle.failing import failing_exchanges
from harness.reproduce.bundle.redaction import marker
from harness.reproduce.bundle.secret_names import is_secret_name

COMPOSE = "compose.json"
TRAIN_BUILD = "build/train"  # context of a training image that the harness supplies
PORT = 18080


@dataclass(frozen=True)
class ReproRequest:
    """One request to send again: where its body lies, and what came back in the run."""

    exchange: Exchange
    body: str | None  # path in the bundle
    answer: str


@dataclass(frozen=True)
class ManualRepro:
    """The files for reproducing by hand, and what the README says with them."""

    project: str  # Compose project, in whose name all is created
    files: dict[str, bytes] = field(default_factory=dict)
    services: dict[str, Any] = field(default_factory=dict)
    built: tuple[str, ...] = ()  # services whose image is built here
    data_volume: str | None = None
    requests: tuple[ReproRequest, ...] = ()

    @property
    def possible(self) -> bool:
        """Whether there are containers to start: not where the service was somebody else's."""
        return bool(self.services)


def plan(evidence: Evidence, findings: Sequence[Finding], hidden: Mapping[str, str] | None = None) -> ManualRepro:
    """Return how to reproduce a run by hand; `hidden` are values that are to be given anew, with their names."""
    hidden = hidden or {}
    spec = evidence.spec
    project = f"{spec.project}-by-hand"
    files, requests = _requests(evidence, findings)
    if not spec.model.get("services"):
        return ManualRepro(project, files, requests=requests)
    builds = _builds(spec, files, hidden)
    images = {key: f"{project}-{key}" if key in builds else _reference(spec, key) for key in (*_keys(spec), *builds)}
    volume = f"{project}-data" if spec.block.data is not None else None
    model = run_file(spec, project=project, images=images, data_volume=volume, labels={})
    for key, service in model["services"].items():
        service.pop("labels", None)
        if key in builds:
            service["build"] = builds[key]
        if service.get("ports"):
            service["ports"] = [f"127.0.0.1:${{PORT:-{PORT}}}:{spec.port}"]
        service["environment"] = _without_secrets(service.get("environment"), hidden)
    for kind in ("volumes", "networks"):
        for entry in model.get(kind, {}).values():
            entry.pop("labels", None)
    here = _relative(model, str(spec.root))
    files[COMPOSE] = json.dumps(here, indent=1, sort_keys=True).encode() + b"\n"
    return ManualRepro(project, files, here["services"], tuple(sorted(builds)), volume, requests)


def _keys(spec: Spec) -> tuple[str, ...]:
    return tuple(dict.fromkeys((spec.train_key, spec.serve_key)))


def _reference(spec: Spec, key: str) -> str:
    service = spec.model["services"].get(key) or spec.model["services"].get(spec.block.train.service, {})
    return str(service.get("image") or f"{spec.project}-{key}")


def _builds(spec: Spec, files: dict[str, bytes], hidden: Mapping[str, str]) -> dict[str, Any]:
    """Return service -> its `build`, the base image as a variable; the harness's own Dockerfile becomes a file."""
    model = build_file(spec)
    if spec.block.train.from_ is not None:
        try:
            made = pins.builds(spec, Path(TRAIN_BUILD))["services"][spec.train_key]["build"]
        except (HarnessError, OSError):
            return {}
        files[f"{TRAIN_BUILD}/Dockerfile"] = str(made["dockerfile_inline"]).replace("$$", "$").encode()
        model["services"][spec.train_key] = {"build": {"context": TRAIN_BUILD, "args": made["args"]}}
    found = {}
    for key, service in model["services"].items():
        build = {name: value for name, value in service["build"].items() if name not in ("tags", "labels")}
        arguments = dict(build.get("args") or {})
        if base := arguments.get(BASE_ARGUMENT):
            arguments[BASE_ARGUMENT] = f"${{{BASE_ARGUMENT}:-{base}}}"
        found[key] = {**build, "args": _without_secrets(arguments, hidden)}
    return found


def _without_secrets(values: Any, hidden: Mapping[str, str]) -> dict[str, Any]:
    """Let secrets, and values that are hidden, come from the environment of whoever reproduces the run."""
    found = {}
    for name, value in (values or {}).items():
        source = name if value and is_secret_name(name) else hidden.get(value, "") if isinstance(value, str) else ""
        found[name] = f"${{{source}:-{marker(source)}}}" if source else value
    return found


def _relative(value: Any, root: str) -> Any:
    """Return a model in which the paths of the project are those of the bundle."""
    if isinstance(value, dict):
        return {key: _relative(each, root) for key, each in value.items() if key != STAGE}
    if isinstance(value, list):
        return [_relative(each, root) for each in value]
    if isinstance(value, str) and (value == root or value.startswith(f"{root}/")):
        return f"./project{value[len(root) :]}"
    if value == TRAIN_BUILD:
        return f"./{TRAIN_BUILD}"
    return value


def _requests(evidence: Evidence, findings: Sequence[Finding]) -> tuple[dict[str, bytes], tuple[ReproRequest, ...]]:
    """Return the bodies as files, and the requests in the order in which they are sent."""
    chosen = failing_exchanges(evidence, findings)
    if not chosen and evidence.contract is not None:
        chosen = evidence.contract.of("example")[:1]
    files: dict[str, bytes] = {}
    steps = []
    for number, exchange in enumerate(chosen, 1):
        body = f"requests/{number:02}.body" if exchange.request else None
        if body is not None:
            files[body] = exchange.request
        answer = f"requests/{number:02}.answer"
        files[answer] = exchange.response
        steps.append(ReproRequest(exchange, body, answer))
    return files, tuple(steps)
