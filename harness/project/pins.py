"""What a project's images start from: base images, the requirement locks, and what `harness lock` pins of them."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Any

from harness.config.spec import Spec
from harness.engine import Engine, labels
from harness.errors import DescriptionError
from harness.evidence.records import BaseImage
from harness.project import wheels
from harness.project.dockerfile import BASE_ARGUMENT, PINNED_BASE, bases, digest_of
from harness.project.runfile import build_file, image_name


def builds(spec: Spec, train_context: Path | None = None) -> dict[str, Any]:
    """Return the Compose file of the builds, the training image for code without a Dockerfile included."""
    if spec.block.train.from_ is None:
        return build_file(spec)
    base = base_of_environment(spec)
    training = {
        "context": str(train_context or spec.root),
        "dockerfile_inline": _training_dockerfile(spec).replace("$", "$$"),
        "args": {BASE_ARGUMENT: base} if base else {},
    }
    return build_file(spec, training)


def base_images(spec: Spec, engine: Engine, model: dict[str, Any]) -> tuple[BaseImage, ...]:
    """Return every image that the builds start from, and those that run without a build."""
    found = []
    for key, service in model["services"].items():
        text = dockerfile_text(key, service["build"])
        found += [(key, base.reference, base.default) for base in bases(text, service["build"].get("args") or {})]
    for key in (spec.train_key, spec.serve_key):
        if key not in model["services"]:
            name = image_name(spec, key)
            if all(name != service.get("image") for service in model["services"].values()):  # the other one builds it
                found.append((key, name, name))
    return tuple(
        BaseImage(
            reference=reference,
            service=key,
            digest=digest_of(reference),
            local=((image.get("Config") or {}).get("Labels") or {}).get(labels.LOCAL_BASE),
            layers=_layers(image),
            default=default if default != reference else None,
        )
        for key, reference, default in found
        for image in (engine.image(reference) or {},)
    )


def dockerfile_text(key: str, build: dict[str, Any]) -> str:
    """Return the Dockerfile of a build. Raises DescriptionError where it does not exist."""
    if inline := build.get("dockerfile_inline"):
        return str(inline).replace("$$", "$")
    path = Path(build["context"], build.get("dockerfile", "Dockerfile"))
    if not path.is_file():
        raise DescriptionError(
            f"the service {key} is built from {path}, which does not exist",
            hint="Correct `build` in compose.yaml, or add the file.",
        )
    return path.read_text(encoding="utf-8")


def base_of_environment(spec: Spec) -> str | None:
    """Return BASE_IMAGE as Compose sees it: from the environment, else from `.env`."""
    if value := os.environ.get(BASE_ARGUMENT):
        return value
    file = spec.root / ".env"
    lines = file.read_text(encoding="utf-8").splitlines() if file.is_file() else []
    values = [line.partition("=")[2].strip().strip("\"'") for line in lines if line.startswith(f"{BASE_ARGUMENT}=")]
    return values[-1] if values else None


def _layers(image: dict[str, Any]) -> str:
    ids = (image.get("RootFS") or {}).get("Layers") or ()
    return hashlib.sha256(" ".join(ids).encode()).hexdigest() if ids else ""


def _training_dockerfile(spec: Spec) -> str:
    """Return the Dockerfile of the training image that we supply; BASE_IMAGE may replace the pinned base."""
    train = spec.block.train
    local = "--no-index --find-links=/harness/wheels --require-hashes " if train.from_ in spec.block.wheels else ""
    return f"""\
ARG {BASE_ARGUMENT}={PINNED_BASE}
FROM ${{{BASE_ARGUMENT}}}
COPY requirements.txt /harness/
COPY wheels /harness/wheels
RUN python3 -m venv /opt/venv \\
 && /opt/venv/bin/pip install --no-cache-dir {local}-r /harness/requirements.txt \\
 && mkdir -p {train.artifact} && chown 10001:10001 {train.artifact}
ENV PATH=/opt/venv/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
WORKDIR /app
COPY source /app
USER 10001:10001
"""


def locked(spec: Spec, engine: Engine) -> tuple[dict[str, str], dict[str, str]]:
    """Return what `harness lock` pins: base reference -> digest, requirements file -> SHA-256.

    Raises DescriptionError for a base without a digest, naming the digest where the engine knows it.
    """
    found = {}
    for base in base_images(spec, engine, builds(spec)):
        name = base.default or base.reference
        digest = digest_of(name)
        if digest is None:
            known = (engine.image(name) or {}).get("RepoDigests") or [f"{name}@sha256:<digest>"]
            raise DescriptionError(
                f"the base image {name} of {base.service} is not pinned by digest",
                hint=f"Write {known[0]} in its place, then run `harness lock` again.",
            )
        found[name] = digest
    return found, {name: wheels.digest(spec.root / name) for name in spec.block.wheels}


def built_diff_ids(spec: Spec, engine: Engine) -> dict[str, tuple[str, ...]]:
    """Return the diff-IDs of the images that are built already; none where they start from a local base."""
    model = builds(spec)
    if any(base.local for base in base_images(spec, engine, model)):
        return {}
    answers = {key: engine.image(image_name(spec, key)) for key in model["services"]}
    return {key: tuple(image["RootFS"].get("Layers") or ()) for key, image in answers.items() if image}
