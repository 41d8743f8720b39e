"""Predicts hold-out rows inside the training image, with the artifact in its place; judges nothing.

The command is run in a container like that of training, so with its user, limits and file system. It gets a file of
requests as its last argument, one JSON request a line, and prints one JSON answer a line to its standard output
(`harness.client.request_generators.skew.answers_in` says which lines are answers). Both the requests and an artifact
that no volume holds come in volumes of their own: that works with a read-only root and on an engine elsewhere.
"""

from __future__ import annotations

import json
from pathlib import PurePosixPath
from typing import Any

from harness.client.protocols import DIALECTS
from harness.client.request_generators.skew import answers_in, row_requests
from harness.config.blocks import SkewBlock
from harness.config.spec import Handover, Spec
from harness.datasets.row_file import read_rows
from harness.errors import DescriptionError
from harness.evidence.records import Artifact, Exit, Images, Interface, Skew
from harness.project.runfile import ARTIFACT_VOLUME, Model, Variant, mount
from harness.runner.stages import Run, not_for_want_of_disk
from harness.runner.stages.volumes import filled, show

LOG = "skew/log.txt"
NAME = "harness-skew"  # of the service
REQUESTS = "harness-skew-requests"  # keys of the volumes in the Compose file
ARTIFACT = "harness-skew-artifact"
FOLDER = "/harness-skew"
FILE = "requests.jsonl"
NOT_RUN = Exit(code=None, oom_killed=False, timed_out=False, seconds=0.0, log_tail=())


def collect(
    run: Run,
    images: Images,
    data_volume: str | None,
    *,
    block: SkewBlock,
    artifact: Artifact,
    interface: Interface,
    with_rows: bool = True,
) -> Skew:
    """Make the requests, of the hold-out rows (`with_rows`) and of the examples; answer them in the training image."""
    dialect = DIALECTS[interface.dialect]
    try:
        requests = row_requests(_rows(run.spec, block), run.spec.examples, dialect) if with_rows else []
    except ValueError as exc:
        return Skew(requests=(), answers=(), exit=NOT_RUN, error=f"{block.rows}: {exc}")
    examples = [example for example in run.spec.examples if example.is_good and example.has_response]
    asked = [*requests, *(example.request for example in examples)]
    if not asked:
        return Skew(requests=(), answers=(), exit=NOT_RUN, with_rows=with_rows)
    ended, printed, error = _predict(run, images, data_volume, artifact, command=block.command, requests=asked)
    answers = answers_in(printed, len(asked), dialect)
    short = ended.code == 0 and len(answers) != len(asked)
    if short and not error:
        error = f"expected {len(asked)} answers, one JSON line each, received {len(answers)}"
    run.say("skew", f"{len(requests)} rows and {len(examples)} examples, {len(answers)} answers of the training image")
    return Skew(
        requests=tuple(requests),
        answers=tuple(answers[: len(requests)]),
        exit=ended,
        error=error,
        examples=tuple(example.name for example in examples),
        example_answers=tuple(answers[len(requests) :]),
        with_rows=with_rows,
    )


def _rows(spec: Spec, block: SkewBlock) -> list[dict[str, Any]]:
    """Return the hold-out rows. Raises DescriptionError where the file cannot be read, ValueError where it has none."""
    try:
        return read_rows(spec.root / block.rows, block.limit)
    except (OSError, UnicodeDecodeError) as exc:
        raise DescriptionError(
            f"`x-harness.contract.skew.rows`: {block.rows} cannot be read: {exc}",
            hint="Name a CSV or JSON-lines file with hold-out rows.",
        ) from exc


def _predict(
    run: Run,
    images: Images,
    data_volume: str | None,
    artifact: Artifact,
    *,
    command: tuple[str, ...],
    requests: list[Any],
) -> tuple[Exit, str, str]:
    """Run the command in the training image; return how it ended, its standard output, and why there is none."""
    spec = run.spec
    image = images.of(spec.train_key).id
    source = run.folder.write_text(f"skew/{FILE}", "\n".join(json.dumps(request) for request in requests))
    volumes = {REQUESTS: filled(run, image, "skew-requests", FOLDER, {FILE: source})}
    place = spec.block.train.artifact
    if spec.handover is not Handover.MOUNTED:
        kept = run.folder.path / "artifact"
        single = len(artifact.files) == 1 and artifact.files[0].path == PurePosixPath(place).name
        place = str(PurePosixPath(place).parent) if single else place
        files = {file.path: kept / file.path for file in artifact.files}
        volumes[ARTIFACT] = filled(run, image, "skew-artifact", place, files)

    def change(service: Model) -> None:
        argv = [*command, f"{FOLDER}/{FILE}"]
        words = [word.replace("$", "$$") for word in argv]
        for key in ("logging", "tty", "healthcheck"):  # its standard output alone must be readable
            service.pop(key, None)
        service |= {"entrypoint": words[:1], "command": words[1:]}
        show(service, FOLDER, REQUESTS)
        if ARTIFACT in volumes:
            show(service, place, ARTIFACT)
        else:
            mount(service, place, ARTIFACT_VOLUME, read_only=True)

    variant = Variant(NAME, change, volumes)
    container = run.create(spec.train_key, images.ids(spec.train_key), data_volume, variant)
    with run.file(LOG) as log, run.engine.started(container, log, keep_output=True) as program:
        if not program.wait(spec.block.train.timeout):
            program.stop()
        ended = program.exit()
        not_for_want_of_disk(ended, "the predictor")
        try:
            return ended, program.printed(), ""
        except ValueError as exc:
            return ended, "", str(exc)
