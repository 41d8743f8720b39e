"""Builds the images through Compose and records what they are and what they start from."""

from __future__ import annotations

import os
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

from harness import labels, wheels
from harness.compose import Output
from harness.dockerfile import BASE_ARGUMENT, PINNED_BASE, bases, digest_of
from harness.engine import Engine, context_files
from harness.errors import DescriptionError, InfrastructureError
from harness.evidence import STORE
from harness.records import BaseImage, BuiltImage, Handover, Images, Spec
from harness.runfile import build_file, image_name
from harness.stages import Run, relative


def collect(run: Run) -> Images:
    """Build the train and serve images; a serving image that bakes the artifact is left to `bake`."""
    spec = run.spec
    _check_wheels(run)
    context = str(_training_context(run)) if spec.block.train.from_ is not None else ""
    model = build_file(spec, context)
    found = _bases(spec, run.engine, model)
    for base in found:
        if run.engine.image(base.reference) is None:
            run.engine.pull(base.reference, lambda line: run.say("images", line))
    keys = [spec.train_key, spec.serve_key]
    if spec.handover is Handover.BAKED:
        model["services"].pop(spec.serve_key)
        keys.remove(spec.serve_key)
    builder, output = _build(run, model, "images/build.json")
    done = output is None or output.code == 0
    return Images(
        builder=builder,
        compose=run.compose.description,
        images=tuple(_inspect(run, key) for key in keys) if done else (),
        bases=found,
        requirements={name: wheels.digest(spec.root / name) for name in spec.block.wheels},
        failure=None if done else _failed(model, output),
        log_tail=() if output is None else output.lines,
    )


def bake(run: Run, images: Images) -> Images:
    """Bake the fresh artifact into the serving image, and return the record with that image in it.

    Baked: the serving image is built from a copy of its context with the artifact put there. Trained in build:
    the artifact replaces, in a layer on top, the one that the build made.
    """
    spec = run.spec
    artifact, context = run.folder.path / "artifact", run.folder.path / "context"
    try:
        if spec.handover is Handover.TRAINED_IN_BUILD:
            target = spec.serve_artifact or spec.block.train.artifact
            shutil.copytree(artifact, context / "artifact")
            (context / "Dockerfile").write_text(f"FROM {images.of(spec.serve_key).id}\nCOPY artifact/ {target}/\n")
            service: dict[str, Any] = {
                "build": {"context": str(context), "labels": dict(run.labels)},
                "image": baked_name(run),
            }
        else:
            service = build_file(spec)["services"][spec.serve_key]
            _copy_context(Path(service["build"]["context"]), context, service["build"].get("dockerfile", "Dockerfile"))
            shutil.copytree(artifact, context / str(spec.block.serve.bake), dirs_exist_ok=True)
            service["build"]["context"] = str(context)
        model = {"name": spec.project, "services": {spec.serve_key: service}}
        _, output = _build(run, model, "images/bake.json")
    finally:
        shutil.rmtree(context, ignore_errors=True)
    if output is None or output.code != 0:
        return replace(images, failure=spec.serve_key, log_tail=output.lines if output else ())
    others = tuple(image for image in images.images if image.service != spec.serve_key)
    return replace(images, images=(*others, _inspect(run, spec.serve_key, service["image"])))


def pins(spec: Spec, engine: Engine) -> tuple[dict[str, str], dict[str, str]]:
    """Return what `harness lock` pins: base reference -> digest, requirements file -> SHA-256.

    Raises DescriptionError for a base without a digest, naming the digest where the engine knows it.
    """
    found = {}
    for base in _bases(spec, engine, build_file(spec)):
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
    model = build_file(spec)
    if any(base.local for base in _bases(spec, engine, model)):
        return {}
    answers = {key: engine.image(image_name(spec, key)) for key in model["services"]}
    return {key: tuple(image["RootFS"].get("Layers") or ()) for key, image in answers.items() if image}


def baked_name(run: Run) -> str:
    """Return the name of the image that a run makes for itself alone, and removes."""
    return f"{run.project}-baked"


def _check_wheels(run: Run) -> None:
    for name, folder in run.spec.block.wheels.items():
        requirements = run.spec.root / name
        if not requirements.is_file():
            raise DescriptionError(f"`x-harness.wheels`: there is no {name}", hint="Correct the path.")
        if not wheels.is_current(requirements, run.spec.root / folder):
            raise InfrastructureError(
                f"{folder} does not hold the wheels of {name}", hint="Run `harness setup`: it fetches them."
            )


def training_dockerfile(artifact: str, *, wheels_here: bool) -> str:
    """Return the Dockerfile of the training image for code without one; BASE_IMAGE may replace the pinned base."""
    options = "--no-index --find-links=/harness/wheels --require-hashes " if wheels_here else ""
    return f"""\
ARG {BASE_ARGUMENT}={PINNED_BASE}
FROM ${{{BASE_ARGUMENT}}}
COPY requirements.txt /harness/
COPY wheels /harness/wheels
RUN python3 -m venv /opt/venv \\
 && /opt/venv/bin/pip install --no-cache-dir {options}-r /harness/requirements.txt \\
 && mkdir -p {artifact} && chown 10001:10001 {artifact}
ENV PATH=/opt/venv/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
WORKDIR /app
COPY source /app
USER 10001:10001
"""


def _training_context(run: Run) -> Path:
    """Lay out the build context of the training image that the harness supplies."""
    train = run.spec.block.train
    context = run.folder.path / "images" / "train-context"
    _copy_context(run.spec.root / train.source, context / "source", "Dockerfile")
    requirements = run.spec.root / str(train.from_)
    shutil.copy2(requirements, context / "requirements.txt")
    local = run.spec.block.wheels.get(str(train.from_))
    if local is None:
        (context / "wheels").mkdir()
        (context / "wheels" / wheels.STAMP).write_text("")  # COPY wants a file
    else:
        shutil.copytree(run.spec.root / local, context / "wheels")
    (context / "Dockerfile").write_text(training_dockerfile(train.artifact, wheels_here=local is not None))
    return context


def _copy_context(source: Path, target: Path, dockerfile: str) -> None:
    """Copy what a build would see, without the harness's own folder and git's."""
    for name in context_files(source, dockerfile):
        if Path(name).parts[0] in (STORE, ".git"):
            continue
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        if (source / name).is_dir():
            (target / name).mkdir(exist_ok=True)
        else:
            shutil.copy2(source / name, target / name, follow_symlinks=False)


def _bases(spec: Spec, engine: Engine, model: dict[str, Any]) -> tuple[BaseImage, ...]:
    """Return every image that the builds start from, and those that run without a build."""
    found = []
    for key, service in model["services"].items():
        build = service["build"]
        if key == spec.train_key and spec.block.train.from_ is not None:  # the training image that we supply
            base = base_of_environment(spec)
            text = training_dockerfile(spec.block.train.artifact, wheels_here=True)
            args = {BASE_ARGUMENT: base} if base else {}
        else:
            text, args = build.get("dockerfile_inline") or _dockerfile(spec, key, build), build.get("args") or {}
        found += [(key, each.reference, each.default) for each in bases(text, args)]
    for key in (spec.train_key, spec.serve_key):
        if key not in model["services"]:
            name = image_name(spec, key)
            found.append((key, name, name))
    return tuple(
        BaseImage(
            reference=reference,
            service=key,
            digest=digest_of(reference),
            local=_local(engine, reference),
            default=default if default != reference else None,
        )
        for key, reference, default in found
    )


def base_of_environment(spec: Spec) -> str | None:
    """Return BASE_IMAGE as Compose sees it: from the environment, else from `.env`."""
    if value := os.environ.get(BASE_ARGUMENT):
        return value
    file = spec.root / ".env"
    lines = file.read_text(encoding="utf-8").splitlines() if file.is_file() else []
    return next((line.partition("=")[2].strip() for line in lines if line.startswith(f"{BASE_ARGUMENT}=")), None)


def _dockerfile(spec: Spec, key: str, build: dict[str, Any]) -> str:
    path = Path(build["context"], build.get("dockerfile", "Dockerfile"))
    if not path.is_file():
        raise DescriptionError(
            f"the service {key} is built from {relative(path, spec.root)}, which does not exist",
            hint="Correct `build` in compose.yaml, or add the file.",
        )
    return path.read_text(encoding="utf-8")


def _local(engine: Engine, reference: str) -> str | None:
    image = engine.image(reference) or {}
    return ((image.get("Config") or {}).get("Labels") or {}).get(labels.LOCAL_BASE)


def _build(run: Run, model: dict[str, Any], name: str) -> tuple[str, Output | None]:
    """Build all services of a Compose file; return the builder that ran and what it printed."""
    if not model["services"]:
        return "none", None
    builders = ["buildkit"]

    def on_line(line: str) -> None:
        if "classic builder" in line:
            builders[0] = "classic"
        run.log("images", f"{Path(name).with_suffix('.log')}", line)

    file = run.folder.write_json(name, model)
    output = run.compose.build(run.spec.root, file, list(model["services"]), on_line)
    return builders[0], output


def _failed(model: dict[str, Any], output: Output | None) -> str:
    """Name the service whose build failed; all of them where the builder does not say."""
    text = "\n".join(output.lines) if output else ""
    names = [key for key in model["services"] if f"target {key}:" in text]
    return ", ".join(names or model["services"])


def _inspect(run: Run, key: str, name: str = "") -> BuiltImage:
    reference = name or image_name(run.spec, key)
    image = run.engine.image(reference)
    if image is None:
        raise InfrastructureError(f"the build left no image {reference}", hint="Look at images/build.log.")
    run.folder.write_json(f"images/{key}.json", image)
    config = image.get("Config") or {}
    return BuiltImage(
        service=key,
        reference=reference,
        id=image["Id"],
        diff_ids=tuple(image.get("RootFS", {}).get("Layers") or ()),
        platform=f"{image.get('Os')}/{image.get('Architecture')}",
        size=image.get("Size", 0),
        working_dir=config.get("WorkingDir") or "/",
        user=config.get("User") or "",
    )
