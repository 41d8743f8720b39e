"""Makes the images available that the builds start from: the pinned ones pulled, else the local base."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from harness.config.spec import Spec
from harness.engine import Engine, labels
from harness.engine.compose import Compose
from harness.errors import DescriptionError, HarnessError, ImageUnavailableError
from harness.project.description import load
from harness.project.dockerfile import BASE_ARGUMENT, LOCAL_PREFIX, PINNED_BASE, bases, digest_of
from harness.project.pins import base_of_environment
from harness.provision import debian
from harness.provision.dotenv import set_base
from harness.provision.host import SETUP, Host
from harness.provision.programs import Logger, sparsely

FIRST_ANSWER = 45.0  # seconds until the registry has said anything; an engine tries for minutes
PULL_TIMEOUT = 600.0
REGISTRY_HINT = "Check the registry and the network."


@dataclass(frozen=True)
class Want:
    """One image that must be on the engine: as the build uses it, and as the Dockerfile itself names it."""

    service: str
    reference: str
    default: str

    @property
    def is_ours(self) -> bool:
        """Whether the build uses a local base. Such a name is never pulled: in a registry it is a stranger's."""
        return self.reference.startswith(LOCAL_PREFIX)

    @property
    def pulled(self) -> str:
        """What a registry is asked for."""
        return self.default if self.is_ours else self.reference


@dataclass(frozen=True)
class Tools:
    """What images are obtained with."""

    compose: Compose
    engine: Engine
    host: Host
    log: Logger


@dataclass(frozen=True)
class Build:
    """One service that is built: its Dockerfile, where its context is, and what its build starts from."""

    service: str
    context: Path
    text: str
    wants: tuple[Want, ...]


def builds(spec: Spec) -> Iterator[Build]:
    """Yield what Compose builds. Raises DescriptionError for a Dockerfile that is not there."""
    services: dict[str, Any] = spec.model.get("services", {})
    for key, service in services.items():
        build = service.get("build")
        if not build:
            continue
        context = Path(build.get("context", "."))
        text = build.get("dockerfile_inline") or _text(key, context / build.get("dockerfile", "Dockerfile"))
        arguments = {name: str(value) for name, value in (build.get("args") or {}).items() if value is not None}
        found = bases(text, arguments)
        yield Build(key, context, text, tuple(Want(key, base.reference, base.default) for base in found))


def wanted(spec: Spec) -> tuple[Want, ...]:
    """Return every image that the builds start from, and those that run without a build, each once."""
    found = [want for build in builds(spec) for want in build.wants]
    if spec.block.train.from_ is not None:
        found.append(supplied(spec))
    for key, service in spec.model.get("services", {}).items():
        if not service.get("build") and (image := service.get("image")):
            found.append(Want(key, image, image))
    return tuple({(want.reference, want.default): want for want in reversed(found)}.values())[::-1]


def supplied(spec: Spec) -> Want:
    """Return the base of the training image that the harness supplies for code without a Dockerfile."""
    return Want(spec.train_key, base_of_environment(spec) or PINNED_BASE, PINNED_BASE)


def ensure(spec: Spec, tools: Tools) -> Spec:
    """Make every wanted image available and return the description as it then is (`.env` may have changed).

    Raises ImageUnavailableError with what to do.
    """
    for want in wanted(spec):
        # An earlier one may have changed `.env`: then this one is looked at as it is now.
        current = next((w for w in wanted(spec) if (w.service, w.default) == (want.service, want.default)), want)
        if tools.engine.image(current.reference) is None and _obtain(current, spec, tools):
            spec = load(tools.compose, spec.root, spec.files)
    for want in wanted(spec):
        if tools.engine.image(want.reference) is None:
            raise ImageUnavailableError(
                f"{want.service} uses {want.reference}, which is not on this engine", hint=_environment_hint()
            )
    return spec


def describe(engine: Engine, want: Want) -> str:
    """Say which image serves. Raises ImageUnavailableError where the engine has none."""
    image = engine.image(want.reference)
    if image is None:
        raise ImageUnavailableError(f"{want.reference} is not on this engine", hint=SETUP)
    local = ((image.get("Config") or {}).get("Labels") or {}).get(labels.LOCAL_BASE)
    if local:
        return f"{want.reference} (local base {local[:12]}, of Debian trixie's packages)"
    if want.is_ours:
        return f"{want.reference} (local base, made by hand)"
    return f"{want.reference} ({'pinned' if digest_of(want.reference) else 'not pinned by digest'})"


def _obtain(want: Want, spec: Spec, tools: Tools) -> bool:
    """Pull an image, else let the local base stand for it; whether `.env` was changed."""
    env = spec.root / ".env"
    if tools.engine.image(want.pulled) is None:
        try:
            _pull(tools.engine, want.pulled, tools.log)
        except ImageUnavailableError as exc:
            if reason := _why_no_local_base(want, spec, tools):
                raise ImageUnavailableError(str(exc), hint=reason) from exc
            tools.log(f"  {str(exc).splitlines()[0]}")
            set_base(env, debian.ensure_base(tools.engine, tools.host, tools.log))
            return True
    if want.is_ours:
        set_base(env, None)
    return want.is_ours


def _why_no_local_base(want: Want, spec: Spec, tools: Tools) -> str:
    """Return what to do where the local base cannot stand for an image; empty where it can."""
    chosen = base_of_environment(spec)
    if chosen and not chosen.startswith(LOCAL_PREFIX):
        return f"{BASE_ARGUMENT} names it: make it available, or remove that line to use the Dockerfile's own base."
    if os.environ.get(BASE_ARGUMENT, debian.REFERENCE) != debian.REFERENCE:
        return _environment_hint()
    if not debian.stands_for(want.default):
        return "Load it by hand (`docker load`), or use a reachable registry: the local base is Debian's Python 3.13."
    if not _is_replaceable(want, spec, tools.compose):
        return (
            f"Load it by hand (`docker load`). Or begin the Dockerfile with `ARG {BASE_ARGUMENT}={want.default}` and "
            f"`FROM ${{{BASE_ARGUMENT}}}`, and pass `args: [{BASE_ARGUMENT}]` in compose.yaml; then setup builds one."
        )
    if tools.host.may_install or tools.engine.image(debian.REFERENCE) is not None:
        return ""
    return "Run `harness setup` as root on Debian or Ubuntu: it builds a local base. Or load the image by hand."


def _is_replaceable(want: Want, spec: Spec, compose: Compose) -> bool:
    """Whether BASE_IMAGE would replace an image: asked of Compose itself, with the variable set."""
    if want.service not in spec.model.get("services", {}):
        return True  # the supplied training image
    environment = {**compose.environment, BASE_ARGUMENT: debian.REFERENCE}
    model = replace(compose, environment=environment).config(spec.root, spec.files)
    there = wanted(replace(spec, model=model))
    return any(w.reference == debian.REFERENCE and w.default == want.default for w in there)


def _pull(engine: Engine, reference: str, log: Logger) -> None:
    """Pull within a time limit. The thread that is given up ends with the program, and with it the pull."""
    if reference.startswith(LOCAL_PREFIX):
        raise ImageUnavailableError(f"{reference} is a local base and in no registry", hint=SETUP)
    log(f"  pulling {reference} (at most {FIRST_ANSWER:g} s for the first answer, {PULL_TIMEOUT:g} s in all)")
    answered, ended = threading.Event(), threading.Event()
    failures: list[Exception] = []
    show = sparsely(log)

    def on_line(line: str) -> None:
        answered.set()
        if not ended.is_set():
            show(line)

    def work() -> None:
        try:
            engine.pull(reference, on_line)
        except Exception as exc:  # noqa: BLE001 - handed to the thread that waits
            failures.append(exc)
        answered.set()
        ended.set()

    threading.Thread(target=work, daemon=True).start()
    for event, seconds in ((answered, FIRST_ANSWER), (ended, PULL_TIMEOUT)):
        if not event.wait(seconds):
            ended.set()
            raise ImageUnavailableError(f"the pull of {reference} was given up after {seconds:g} s", hint=REGISTRY_HINT)
    if failures and isinstance(failures[0], HarnessError):
        raise failures[0]
    if failures:
        raise ImageUnavailableError(f"the pull of {reference} failed: {failures[0]}", hint=REGISTRY_HINT) from failures[
            0
        ]


def _environment_hint() -> str:
    return f"Unset {BASE_ARGUMENT} in the environment: it wins over `.env`. Then run `harness setup` again."


def _text(service: str, file: Path) -> str:
    if not file.is_file():
        raise DescriptionError(
            f"the service {service} is built from {file}, which does not exist",
            hint="Correct `build` in compose.yaml, or add the file.",
        )
    return file.read_text(encoding="utf-8")
