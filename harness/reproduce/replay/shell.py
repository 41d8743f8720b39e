"""Opens a shell in the state of a recorded container: its image, mounts, user, limits, environment and network.

The service of the recorded run is described anew by the same pure function (`runfile`), its entrypoint replaced.
All that is created is labelled, and removed at the end.
"""

from __future__ import annotations

import secrets
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path, PurePosixPath

from harness.config.spec import Handover
from harness.engine import Engine, Leftover, labels
from harness.engine.bind_mount_copy import fill, without_binds
from harness.engine.compose import Compose
from harness.errors import DescriptionError
from harness.evidence.records import Evidence, FileHash
from harness.evidence.run_folder import RunFolder, disk_errors
from harness.project.named_files import verify, verify_files
from harness.project.runfile import ARTIFACT_VOLUME, Model, image_name, project_name, run_file
from harness.reproduce.replay.recorded import relocated
from harness.reproduce.replay.source import Opened
from harness.runner.cleanup import remove_run
from harness.runner.stages import Run
from harness.runner.stages import data as data_stage
from harness.runner.stages.volumes import filled, show
from harness.system.signals import deferred

SHELL = "sh"
LOOKS = 5  # an interrupted Compose may still be creating the container
PLACES = ("/bin/sh", "/usr/bin/sh", "/busybox/sh")


def enter(
    given: Opened,
    part: str,
    argv: Sequence[str],
    say: Callable[[str], None],
    *,
    terminal: bool,
    on_line: Callable[[str], None] | None = None,
) -> int:
    """Run a command, by default a shell, in the state of the `train` or `serve` container; return its exit code.

    With `on_line` each line of its output goes there, instead of to our standard streams. Raises DescriptionError where
    that state cannot be had any more, with what to do.
    """
    evidence, _, amiss = given.recorded.salvage()
    if evidence is None or not evidence.spec.model:
        said = amiss[-1] if amiss else "it was of a server at a URL"
        raise DescriptionError(f"the run {given.id} has no containers: {said}", hint="Name another run.")
    spec = relocated(evidence.spec, given.root)
    verify(given.root, spec.block)
    key = spec.train_key if part == "train" else spec.serve_key
    with Engine.connect() as engine, tempfile.TemporaryDirectory(prefix="harness-shell-") as folder:
        own = RunFolder(Path(folder) / f"shell-{secrets.token_hex(4)}")
        run = Run(
            spec=spec,
            engine=engine,
            compose=Compose.find(engine.compose_host),
            folder=own,
            labels=labels.labels_of_run(own.id, spec.project),
            say=lambda _stage, line: say(line),
        )
        try:
            model = _carried(run, _model(run, evidence, given, key, argv), key)
            file = run.folder.write_json("compose.json", model)
            say(f"{part} of run {given.id}: image, mounts, user, limits, environment and network as they were")
            return run.compose.run(spec.root, file, key, terminal=terminal, on_line=on_line)
        finally:
            with deferred():
                remove_run(engine, run.folder.id, LOOKS)


def _model(run: Run, evidence: Evidence, given: Opened, key: str, argv: Sequence[str]) -> Model:
    """Return the Compose file of the shell."""
    image, bakes_anew = _image(run, evidence, key)
    if not argv:
        _need_shell(run, image)
    volume = _data(run, evidence, image)
    model = run_file(
        run.spec,
        project=run.project,
        images={key: image},
        data_volume=volume,
        labels=run.labels,
        published_at=run.engine.reach.published_at,
    )
    service = model["services"][key]
    service["entrypoint"] = [word.replace("$", "$$") for word in argv or (SHELL,)]
    service["command"] = []
    mounted = next((m for m in service.get("volumes", ()) if m.get("source") == ARTIFACT_VOLUME), None)
    path = _artifact_path(run, key)
    if mounted is None and not bakes_anew:
        return model
    place = mounted["target"] if mounted else path
    artifact = _artifact(run, evidence, given, image, place=place, path=path)
    if artifact is None:
        run.say("shell", f"the run left no artifact: {path} is as the image has it")
        return model
    if mounted is None:
        show(service, path, ARTIFACT_VOLUME)
    model["volumes"][ARTIFACT_VOLUME] = {"name": artifact, "external": True}
    return model


def _carried(run: Run, model: Model, key: str) -> Model:
    """Return the file as an engine needs it that does not see this machine's: folders as volumes, files as texts.

    Compose creates and starts the container at once, so a file cannot be written into it in between.
    Raises DescriptionError for a mounted file that is no text.
    """
    if run.engine.reach.shares_files:
        return model
    carried = without_binds(model, run.spec.root)
    fill(run.engine, carried, model["services"][key]["image"], run.labels)
    made = carried.model
    for service, files in carried.files.items():
        for path, file in files.items():
            name = f"carried-{len(made.setdefault('configs', {}))}"
            made["configs"][name] = {"content": _text(file).replace("$", "$$")}
            taken = made["services"][service].setdefault("configs", [])
            taken.append({"source": name, "target": path})
    return made


def _text(file: Path) -> str:
    with disk_errors(file):
        content = file.read_bytes()
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as exc:
        raise DescriptionError(
            f"this engine does not see {file}, which is mounted and no text",
            hint="Mount the folder of the file: a folder is carried to the engine as a volume.",
        ) from exc


def _image(run: Run, evidence: Evidence, key: str) -> tuple[str, bool]:
    """Return the image of the container, and whether the artifact that was baked into it is still to be put there."""
    images = {image.service: image.id for image in evidence.images.images} if evidence.images else {}
    recorded = images.get(key)
    if recorded is not None and run.engine.image(recorded) is not None:
        return recorded, False
    name = image_name(run.spec, key)
    if run.spec.handover is Handover.TRAINED_IN_BUILD and key == run.spec.serve_key and run.engine.image(name):
        return name, True  # the layer with the artifact went with the run; a volume in its place shows the same files
    what = "was never built in this run" if recorded is None else "is not on this engine any more"
    raise DescriptionError(
        f"the image of {key} {what}",
        hint="`harness replay RUN --all` builds it anew; `harness run --keep=on-failure` keeps it next time.",
    )


def _need_shell(run: Run, image: str) -> None:
    """Raise DescriptionError where an image has no shell, as a distroless one."""
    container = run.engine.create(image, [SHELL], {**run.labels, labels.STAGE: "shell"})
    try:
        for path in PLACES:
            if (found := run.engine.read(container, path)) is not None:
                found.close()
                return
    finally:
        run.engine.remove(Leftover("container", container, container, {}))
    raise DescriptionError(
        "the image has no shell (`sh`)",
        hint="Run a program that it has: harness shell train|serve -- python3 -c 'print(1)'",
    )


def _data(run: Run, evidence: Evidence, image: str) -> str | None:
    """Return the volume of the dataset as the run saw it. Raises DescriptionError where it is another one by now."""
    if evidence.data is None:
        return None
    name = data_stage.volume_name(evidence.data)
    if not run.engine.has_volume(f"{name}{data_stage.READY}"):
        path = run.spec.root / evidence.data.path
        verify_files(run.spec.root, path, "the recorded dataset")
        if not path.exists() or data_stage.hash_files(path) != evidence.data.files:
            raise DescriptionError(
                f"the dataset {evidence.data.path} is not as the run saw it, and its volume is gone",
                hint="Check that state out, or open a shell in a newer run.",
            )
    return data_stage.deliver(run, evidence.data, image)


def _artifact_path(run: Run, key: str) -> str:
    own = run.spec.block.train.artifact
    return own if key == run.spec.train_key else run.spec.serve_artifact or own


def _artifact(run: Run, evidence: Evidence, given: Opened, image: str, *, place: str, path: str) -> str | None:
    """Return a volume with the artifact: the one that the run kept, else a new one, filled from its folder."""
    kept = f"{project_name(given.id)}_artifact"
    if run.engine.has_volume(kept):
        return kept
    if evidence.artifact is None or not evidence.artifact.files:
        return None
    files = evidence.artifact.files
    folder = PurePosixPath(path)
    if _is_single(files, path):
        folder = folder.parent
    below = folder.relative_to(place) if folder.is_relative_to(place) else PurePosixPath()
    sources = {str(below / file.path): given.recorded.path / "artifact" / file.path for file in files}
    lost = [name for name, source in sources.items() if not source.is_file()]
    if lost:
        raise DescriptionError(
            f"the run folder has no artifact any more: {', '.join(lost[:3])}",
            hint="Pack the bundle with its artifact, or replay the run and open a shell in the new one.",
        )
    return filled(run, image, "artifact", place, sources, owner=_owner(run, image))


def _is_single(files: Sequence[FileHash], path: str) -> bool:
    return len(files) == 1 and files[0].path == PurePosixPath(path).name


def _owner(run: Run, image: str) -> tuple[int, int]:
    """Return UID and GID that train works as, where they are numbers: the files were its own."""
    key = run.spec.train_key
    user = run.spec.model["services"].get(key, {}).get("user")
    user = str(user or ((run.engine.image(image) or {}).get("Config") or {}).get("User") or "0")
    uid, _, gid = user.partition(":")
    return (int(uid), int(gid or 0)) if uid.isdigit() and (gid or "0").isdigit() else (0, 0)
