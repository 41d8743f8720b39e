"""Builds the images through Compose and records what they are and what they start from."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from harness.config.companions import dependencies
from harness.config.spec import Handover
from harness.diagnosis import heard
from harness.engine import Leftover
from harness.engine.compose import ComposeOutput
from harness.errors import DescriptionError, ImageUnavailableError, InfrastructureError
from harness.evidence.records import BaseImage, BuiltImage, Images
from harness.evidence.run_folder import STORE, disk_errors, write_atomic
from harness.project import runfile, wheels
from harness.project.context import copy_context, fingerprint, put_into
from harness.project.dockerfile import LOCAL_PREFIX
from harness.project.pins import base_images, builds, dockerfile_text
from harness.project.runfile import build_file, image_name
from harness.runner.stages import Run

# How a builder begins a step; what Compose says of builders is not always true, and the first of these always is.
BUILDERS = {
    "classic": re.compile(r"Step \d+/\d+ : "),
    "buildah": re.compile(r"STEP \d+/\d+: "),  # Podman's: Compose takes it for the classic one
    "buildkit": re.compile(r"#\d+ "),
}
STEP_CONTAINER = re.compile(r"^ ---> Running in ([0-9a-f]{12,})")  # as the classic builder prints it
NOTHING = "nothing to build"
MEMORY = f"{STORE}/builds.json"  # service -> fingerprint of its build, image ID


def collect(run: Run, *, rebuild: bool = False, given: Mapping[str, str] | None = None) -> Images:
    """Build the train and serve images, and those of the services that these depend on.

    A serving image that bakes the artifact is left to `bake`.

    `given` are images of this engine that are taken as they are, service -> ID: nothing is built or pulled for them.

    An image whose build would see what it saw the last time is not built again, unless `rebuild`: sending a large
    context to the engine, only to find every step in its cache, takes seconds.
    """
    spec, given = run.spec, given or {}
    supplied = spec.block.train.from_ is not None and spec.train_key not in given
    model = builds(spec, _training_context(run) if supplied else None)
    if model["services"].keys() - given.keys():
        _check_wheels(run)
    if supplied:
        _as_file(model["services"][spec.train_key]["build"])
    for base in base_images(spec, run.engine, model):
        if base.service not in given:
            _make_available(run, base.reference)
    bases = base_images(spec, run.engine, model)  # once more: of those that were pulled the layers are known now
    _pull_beside(run, given)
    beside = [key for key in dependencies(spec) if key in model["services"]]
    model["services"] = {key: service for key, service in model["services"].items() if key not in given}
    keys = [spec.train_key, spec.serve_key]
    if spec.handover is Handover.BAKED:
        model["services"].pop(spec.serve_key, None)
        keys.remove(spec.serve_key)
    inputs = _inputs(run, model, bases)
    known = {} if rebuild else _known(run)
    fresh = {key for key, value in inputs.items() if value and known.get(key) == [value, _id(run, key)]}
    stale = {key: service for key, service in model["services"].items() if key not in fresh}
    builder, output = _build(run, {**model, "services": stale}, "images/build.json")
    done = output is None or output.code == 0
    failure = "" if done else _failed({"services": stale}, output)
    if "," in failure:  # the builder does not say which: one at a time it does, and what is good comes from its cache
        failure, output = _singly(run, model, stale) or (failure, output)
    if done and stale:
        built = {key: [inputs[key], _id(run, key)] for key in inputs}
        write_atomic(run.spec.root / MEMORY, json.dumps({**_known(run), **built}, indent=1))
    return Images(
        builder=builder,
        compose=run.compose.description,
        images=tuple(_inspect(run, key, given.get(key, "")) for key in keys) if done else (),
        bases=bases,
        requirements={name: wheels.digest(spec.root / name) for name in spec.block.wheels},
        failure=failure or None,
        log_tail=() if output is None else output.lines,
        beside=tuple(_inspect(run, key, given.get(key, "")) for key in beside) if done else (),
    )


def bake(run: Run, images: Images) -> Images:
    """Bake the fresh artifact into the serving image, and return the record with that image in it.

    Baked: the serving image is built from a copy of its context with the artifact put there. Trained in build:
    the artifact replaces, in a layer on top, the one that the build made.
    """
    spec = run.spec
    context = run.folder.path / "context"
    layer = spec.handover is Handover.TRAINED_IN_BUILD
    try:
        service = _layer(run, images, context) if layer else _with_artifact(run, context)
        model = {"name": spec.project, "services": {spec.serve_key: service}}
        builder, output = _build(run, model, "images/bake.json", on_the_engine=layer)
    finally:
        shutil.rmtree(context, ignore_errors=True)
        if layer:
            with suppress(InfrastructureError):  # the end of the run tries again
                run.engine.remove_image(runfile.built_name(run.folder.id))
    images = replace(images, builder=builder if images.builder == NOTHING else images.builder)
    if output is None or output.code != 0:
        return replace(images, failure=spec.serve_key, log_tail=output.lines if output else ())
    others = tuple(image for image in images.images if image.service != spec.serve_key)
    return replace(images, images=(*others, _inspect(run, spec.serve_key, service["image"])))


def _layer(run: Run, images: Images, context: Path) -> dict[str, Any]:
    """Return the build of a layer that puts the artifact over the one that the project's build made.

    BuildKit takes `FROM sha256:...` for a repository of that name: so the image gets a name for as long as that lasts.
    """
    spec, name = run.spec, runfile.built_name(run.folder.id)
    target = spec.serve_artifact or spec.block.train.artifact
    with disk_errors(context):
        shutil.copytree(run.folder.path / "artifact", context / "artifact")
        (context / "Dockerfile").write_text(f"FROM {name}\nCOPY artifact/ {target}/\n")
    run.engine.name_image(images.of(spec.serve_key).id, name)
    return {"build": {"context": str(context), "labels": dict(run.labels)}, "image": baked_name(run)}


def _with_artifact(run: Run, context: Path) -> dict[str, Any]:
    """Return the project's own build of the serving image, over a copy of its context with the artifact in it."""
    spec = run.spec
    service: dict[str, Any] = build_file(spec)["services"][spec.serve_key]
    source, dockerfile = Path(service["build"]["context"]), service["build"].get("dockerfile", "Dockerfile")
    with disk_errors(context):
        copy_context(source, context, dockerfile)
        put_into(context, str(spec.block.serve.bake), run.folder.path / "artifact")
    # Under a name of this run's own too: another run of the project may take the common one at any moment.
    tags = [*service["build"].get("tags", ()), service["image"]]
    return {"build": {**service["build"], "context": str(context), "tags": tags}, "image": baked_name(run)}


def baked_name(run: Run) -> str:
    """Return the name of the image that a run makes for itself alone, and removes."""
    return runfile.baked_name(run.folder.id)


def _make_available(run: Run, reference: str) -> None:
    if run.engine.image(reference) is not None:
        return
    if reference.startswith(LOCAL_PREFIX):
        raise ImageUnavailableError(
            f"the local base image {reference} is not on this engine", hint="Run `harness setup`: it builds it."
        )
    run.engine.pull(reference, lambda line: run.say("images", line))


def _pull_beside(run: Run, given: Mapping[str, str]) -> None:
    """Pull the ready images of the services beside train and serve; one for another platform is left to Compose."""
    services = run.spec.model["services"]
    for key in dependencies(run.spec):
        image = services[key].get("image")
        if image and not services[key].keys() & {"build", "platform"} and key not in given:
            _make_available(run, image)


def _check_wheels(run: Run) -> None:
    for name, folder in run.spec.block.wheels.items():
        requirements = run.spec.root / name
        if not requirements.is_file():
            raise DescriptionError(f"`x-harness.wheels`: there is no {name}", hint="Correct the path.")
        if not wheels.is_current(requirements, run.spec.root / folder):
            raise InfrastructureError(
                f"{folder} does not hold the wheels of {name}", hint="Run `harness setup`: it fetches them."
            )


def _training_context(run: Run) -> Path:
    """Lay out the build context of the training image that the harness supplies."""
    train = run.spec.block.train
    context = run.folder.path / "images" / "train-context"
    local = run.spec.block.wheels.get(str(train.from_))
    with disk_errors(context):
        copy_context(run.spec.root / train.source, context / "source")
        shutil.copy2(run.spec.root / str(train.from_), context / "requirements.txt")
        if local is None:
            (context / "wheels").mkdir()
            (context / "wheels" / wheels.STAMP).write_text("")  # COPY wants a file
        else:
            shutil.copytree(run.spec.root / local, context / "wheels")
    return context


def _as_file(build: dict[str, Any]) -> None:
    """Put an inline Dockerfile into its context: the classic builder looks for the file."""
    text = str(build.pop("dockerfile_inline")).replace("$$", "$")
    (Path(build["context"]) / "Dockerfile").write_text(text)


def _inputs(run: Run, model: dict[str, Any], bases: tuple[BaseImage, ...]) -> dict[str, str | None]:
    """Return a fingerprint of all that each build would see."""
    seen: dict[Path, str] = {}
    found = {}
    for key, service in model["services"].items():
        own = {base.reference: (run.engine.image(base.reference) or {}).get("Id", "") for base in bases}
        text = dockerfile_text(key, service["build"])
        found[key] = fingerprint(service["build"], text, own, seen, run.hashes)
    return found


def _known(run: Run) -> dict[str, list[str | None]]:
    """Return what the last builds saw and gave; a broken file is as good as none."""
    try:
        known: dict[str, list[str | None]] = json.loads((run.spec.root / MEMORY).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return known


def _id(run: Run, key: str) -> str | None:
    return (run.engine.image(image_name(run.spec, key)) or {}).get("Id")


def _build(
    run: Run, model: dict[str, Any], name: str, *, on_the_engine: bool = False
) -> tuple[str, ComposeOutput | None]:
    """Build all services of a Compose file; return the builder that ran and what it printed.

    What starts from an image of the engine alone is built `on_the_engine`, not with a builder in a container.
    """
    if not model["services"]:
        return NOTHING, None
    builders, steps = list[str](), list[str]()

    def on_line(line: str) -> None:
        builders.extend(builder for builder, sign in BUILDERS.items() if sign.match(line))
        if step := STEP_CONTAINER.search(line):
            steps.append(step[1])
        log.write(line + "\n")

    file = run.folder.write_json(name, model)
    compose = run.compose.with_builder_of(run.engine.url) if on_the_engine else run.compose
    try:
        with run.log("images", f"{Path(name).with_suffix('.log')}") as log:
            output = compose.build(run.spec.root, file, list(model["services"]), on_line)
    except InfrastructureError:
        with suppress(InfrastructureError):  # what ended the build is told, not what follows from it
            _remove_steps(run, steps)
        raise
    if output.code != 0:
        run.engine.ping()  # an engine that goes away ends the build: then no Dockerfile is to blame
        _remove_steps(run, steps)
    return next(iter(builders), "unknown"), output


def _remove_steps(run: Run, steps: Sequence[str]) -> None:
    """Remove the container of the step that failed, which the classic builder keeps."""
    for step in steps:
        run.engine.remove(Leftover("container", step, step, {}))


def _singly(run: Run, model: dict[str, Any], stale: Mapping[str, Any]) -> tuple[str, ComposeOutput | None] | None:
    """Build one service after the other; return the first that fails and what its build printed."""
    for key, service in stale.items():
        _, output = _build(run, {**model, "services": {key: service}}, f"images/build-{key}.json")
        if output is not None and output.code != 0:
            return key, output
    return None


def _failed(model: dict[str, Any], output: ComposeOutput | None) -> str:
    """Name the service whose build failed; all of them where the builder does not say."""
    targets = heard(output.lines).targets if output else ()
    names = [key for key in model["services"] if key.replace(".", "_") in targets]  # as Compose names its targets
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
