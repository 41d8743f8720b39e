"""Lets the project's own predictor answer the contract's examples with the artifacts of two equal training runs."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from harness.checks.volatile import AnsweredRequest, found_in
from harness.client.compare import compare
from harness.client.protocols import PLAIN
from harness.config.spec import Handover, Spec
from harness.evidence.records import Images, Repeated
from harness.project.runfile import ARTIFACT_VOLUME, Model, Variant, mount
from harness.runner.artifact_diff import CLOSE
from harness.runner.stages import Run

PREFIX = "harness-repeat-"  # of the services
REQUESTS, SECOND = "harness-repeat-requests", "harness-repeat-artifact"  # keys of the volumes in the Compose file
FOLDER = "/harness-repeat"
FILE = "requests.jsonl"
RUNS = ("first", "second")


def collect(
    run: Run, images: Images, data_volume: str | None, *, second: str, deliver: Callable[[Path], str]
) -> Repeated | None:
    """Predict with both artifacts; `second` is the volume of the other one. None where there is no predictor.

    The command is that of `contract.skew`: it gets a file of requests as its last argument and prints an answer a line.
    """
    spec, block = run.spec, run.spec.block.contract.skew
    requests = [example.request for example in spec.examples if example.is_good]
    if block is None or not requests or spec.handover is not Handover.MOUNTED:
        return None
    lines = "\n".join(json.dumps(request) for request in requests)
    file = run.folder.write_text(f"trainings/requests/{FILE}", lines)
    volumes = {REQUESTS: deliver(file.parent), SECOND: second}
    words = [word.replace("$", "$$") for word in (*block.command, f"{FOLDER}/{FILE}")]

    def variant(name: str, artifact: str) -> Variant:
        def change(service: Model) -> None:
            for key in ("logging", "tty", "healthcheck"):  # its standard output alone must be readable
                service.pop(key, None)
            service |= {"entrypoint": words[:1], "command": words[1:]}
            mount(service, spec.block.train.artifact, artifact, read_only=True)
            mount(service, FOLDER, REQUESTS, read_only=True)

        return Variant(f"{PREFIX}{name}", change, volumes)

    variants = [variant(name, volume) for name, volume in zip(RUNS, (ARTIFACT_VOLUME, SECOND), strict=True)]
    made = run.create_variants(spec.train_key, images.ids(spec.train_key), data_volume, variants)
    printed = []
    for name in RUNS:
        with run.engine.started(made[f"{PREFIX}{name}"], keep_output=True) as process:
            if not process.wait(spec.block.train.timeout):
                process.stop()
            ended = process.exit()
            if ended.code != 0:
                return Repeated(len(requests), (), f"the predictor ended badly: {ended.describe()}")
            if ended.unread:
                return Repeated(len(requests), (), f"what the predictor printed is not whole: {ended.unread}")
            try:
                printed.append(process.printed())
            except ValueError as exc:
                return Repeated(len(requests), (), str(exc))
    return compared(len(requests), printed, spec)


def compared(requests: int, printed: Sequence[str], spec: Spec) -> Repeated:
    """Compare the answers that a predictor printed twice, but for what is new each time."""
    first, second = (list(answers(text)) for text in printed)
    if len(first) != requests or len(second) != requests:
        error = f"expected {requests} answers, one JSON line each, received {len(first)} and {len(second)}"
        return Repeated(requests, (), error)
    asked = [
        AnsweredRequest(str(number).encode(), answer) for run in (first, second) for number, answer in enumerate(run)
    ]
    aside = found_in(asked, spec, PLAIN)
    pairs = zip(map(aside.promised, first), map(aside.promised, second), strict=True)
    return Repeated(requests, tuple(line for left, right in pairs for line in islice(compare(left, right, CLOSE), 1)))


def answers(text: str) -> Iterator[Any]:
    """Yield the JSON objects and lists among the lines that a program printed."""
    for line in text.split("\n"):
        try:
            value = json.loads(line)
        except (ValueError, RecursionError):
            continue
        if isinstance(value, dict | list):
            yield value
