"""The README of a bundle: what is in it, and how to see the failure with nothing but Docker, Compose and curl."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from pathlib import PurePosixPath

from harness.config.spec import Handover
from harness.evidence.records import Evidence, Exchange
from harness.reproduce.bundle.contents import HERE, PROJECT
from harness.reproduce.bundle.manifest import Absent, BundleManifest
from harness.reproduce.bundle.manual_repro import COMPOSE, PORT, TRAIN_BUILD, ManualRepro

NAMED = 3  # files that are absent for one reason
CALL = f"docker compose --file {COMPOSE}"
URL = f"http://127.0.0.1:${{PORT:-{PORT}}}"


def text(manifest: BundleManifest, plan: ManualRepro, evidence: Evidence) -> str:
    """Return the README. Each step's command lines stand in one fenced block of `sh`."""
    parts = [*_head(manifest, evidence)]
    if plan.possible:
        parts += _by_hand(manifest, plan, evidence)
    else:
        parts += ["The service ran elsewhere: send these requests to it.", "", *_requests(plan, "$URL")]
    return "\n".join([*parts, *_lists(manifest)]) + "\n"


def _head(manifest: BundleManifest, evidence: Evidence) -> Iterator[str]:
    yield f"# Run {manifest.run} of {manifest.project}"
    yield ""
    end = evidence.end
    if end is not None and end.message:
        yield f"How it ended: {end.kind}: {end.message.splitlines()[0]}"
    elif end is not None:
        yield f"How it ended: exit code {end.exit_code}. The findings are in `run/findings.json`."
    else:
        yield "It did not come to its end: what it recorded until then is in `run/`."
    yield ""
    yield f"It was made with harness {manifest.harness} by `{shlex.join(manifest.command)}`. With the harness:"
    yield ""
    yield f"    harness replay {manifest.run}.harness.tar.gz"
    yield ""


def _by_hand(manifest: BundleManifest, plan: ManualRepro, evidence: Evidence) -> Iterator[str]:
    yield "## Without the harness"
    yield ""
    yield f"In the folder of this file, with Docker, Compose and curl. `PORT` is the port on this machine ({PORT})."
    yield "Variables whose values were redacted must be set in the environment first."
    yield ""
    yield from _images(manifest, plan, evidence)
    if evidence.images is not None and evidence.images.failure:
        yield f"The run ended here: the build of {evidence.images.failure} failed (`run/images/build.log`)."
        yield ""
        yield from _clean_up(plan)
        return
    yield from _data(manifest, plan, evidence)
    yield from _training(plan, evidence)
    if evidence.train is None or evidence.train.blocker is None:
        yield from _serving(plan, evidence)
        yield from _requests(plan, URL)
    yield from _clean_up(plan)


def _block(title: str, said: str, *lines: str) -> Iterator[str]:
    yield f"### {title}"
    yield ""
    if said:
        yield said
        yield ""
    if lines:
        yield "```sh"
        yield from lines
        yield "```"
        yield ""


def _images(manifest: BundleManifest, plan: ManualRepro, evidence: Evidence) -> Iterator[str]:
    saved = {key: image for key, image in manifest.images.items() if image.file is not None and key in plan.services}
    lines = []
    for key, image in saved.items():
        lines.append(f"docker load --input {shlex.quote(str(image.file))}")
        lines.append(f"docker tag {image.id} {shlex.quote(plan.services[key]['image'])}")
    if lines:
        yield from _block("Load the images", "They are in this bundle.", *lines)
    build = [key for key in plan.built if key not in saved and not _is_baked(evidence, key)]
    if not build:
        return
    lines = [*_training_context(evidence)] if evidence.spec.train_key in build else []
    yield from _block("Build the images", " ".join(_on_bases(manifest)), *lines, f"{CALL} build {shlex.join(build)}")


def _on_bases(manifest: BundleManifest) -> Iterator[str]:
    bases = sorted({base for image in manifest.images.values() for base in image.bases})
    if bases:
        yield f"They start from {', '.join(f'`{base}`' for base in bases)}."
    if any(base.startswith("harness-local/") for base in bases):
        yield "That base was made by `harness setup`; elsewhere set `BASE_IMAGE` to the one that the Dockerfile names."
    if any("wheel" in absent.why for absent in manifest.absent):
        yield "Their wheels are not in here: `harness setup` in `project/` fetches them, or `pip download --no-deps"
        yield "--require-hashes` with the requirements file, in a container of the base image, into the same folder."


def _training_context(evidence: Evidence) -> Iterator[str]:
    """Lay out the context of the training image that the harness supplies."""
    train = evidence.spec.block.train
    if train.from_ is None:
        return
    local = evidence.spec.block.wheels.get(train.from_)
    yield f"mkdir -p {TRAIN_BUILD}/source {TRAIN_BUILD}/wheels"
    yield f"cp -R {_project(train.source)}/. {TRAIN_BUILD}/source/"
    yield f"cp {_project(train.from_)} {TRAIN_BUILD}/requirements.txt"
    yield f"touch {TRAIN_BUILD}/wheels/.requirements.sha256"
    if local is not None:
        yield f"cp -R {_project(local)}/. {TRAIN_BUILD}/wheels/"


def _data(manifest: BundleManifest, plan: ManualRepro, evidence: Evidence) -> Iterator[str]:
    block = evidence.spec.block.data
    if plan.data_volume is None or block is None:
        return
    missing = [a.path for a in manifest.absent if a.path.startswith(f"{PROJECT}/{block.path}")]
    said = "It is a volume, as in the run."
    if missing:
        said += f" Get first what is not in this bundle: {', '.join(missing[:5])} (see below)."
    path = evidence.data.path if evidence.data is not None else block.path
    one_file = evidence.data is not None and [f.path for f in evidence.data.files] == [PurePosixPath(path).name]
    fill, volume = f"{plan.project}-fill", shlex.quote(plan.data_volume)
    image = shlex.quote(plan.services[evidence.spec.train_key]["image"])
    yield from _block(
        "Fill the volume of the dataset",
        said,
        f"docker volume create {volume}",
        f"docker container create --name {fill} --volume {volume}:{shlex.quote(block.mount)} {image} true",
        f"docker cp {_project(path)}{'' if one_file else '/.'} {fill}:{shlex.quote(block.mount)}",
        f"docker container rm {fill}",
    )


def _training(plan: ManualRepro, evidence: Evidence) -> Iterator[str]:
    key, train = evidence.spec.train_key, evidence.train
    said = "" if train is None else f"In the run: {train.exit.describe()}."
    run = f'{CALL} run --no-TTY --name {plan.project}-train {key} || echo "training ended with exit code $?"'
    yield from _block("Train", said, run)


def _serving(plan: ManualRepro, evidence: Evidence) -> Iterator[str]:
    spec, serve = evidence.spec, evidence.serve
    key = spec.serve_key
    lines = []
    if _is_baked(evidence, key):
        build = spec.block.serve.bake
        context = plan.services[key]["build"]["context"]
        yield from _block(
            "Bake the artifact into the serving image",
            "",
            f"mkdir -p {shlex.quote(f'{context}/{build}')}",
            f"docker cp {plan.project}-train:{shlex.quote(spec.block.train.artifact)}/. "
            f"{shlex.quote(f'{context}/{build}')}",
            f"{CALL} build {key}",
        )
    lines.append(f"{CALL} up --detach {key}")
    ready = serve.ready_path if serve is not None else spec.block.serve.ready or "/health"
    tries = max(5, int(spec.block.serve.timeout))
    # Of a service without a ready path any answer shows that it listens.
    fail = "" if serve is not None and serve.asked and serve.asked[-1].code in range(300, 500) else "--fail "
    wait = f'curl --silent {fail}--output /dev/null "{URL}{ready}" && break'
    lines.append(f"for attempt in $(seq {tries}); do {wait}; sleep 1; done")
    lines.append(f"{CALL} logs {key}")
    said = "" if serve is None else f"In the run it said: {serve.last_answer}."
    if plan.services[key].get("network_mode") is not None:
        said += " It has no network, so nothing here can ask it: look at its log."
    yield from _block("Serve", said, *lines)


def _requests(plan: ManualRepro, url: str) -> Iterator[str]:
    for step in plan.requests:
        exchange = step.exchange
        said = f"In the run: {_came_back(exchange)}, whole in `{step.answer}`."
        if step.body is None:
            said = f"{said} It has no body."
        yield from _block(f"Ask: {exchange.case}", said, _curl(exchange, step.body, url))


def _curl(exchange: Exchange, body: str | None, url: str) -> str:
    words = ["curl", "--silent", "--show-error", "--include", "--path-as-is", "--globoff", "--max-time", "30"]
    words += ["--request", shlex.quote(exchange.method)]
    if exchange.request_type:
        words += ["--header", shlex.quote(f"Content-Type: {exchange.request_type}")]
    elif body is not None:
        words += ["--header", "'Content-Type: application/json'"]
    if body is not None:
        words += ["--data-binary", f"@{body}"]
    path = exchange.path.replace("\\", "\\\\").replace('"', '\\"').replace("$", "\\$").replace("`", "\\`")
    return f'{" ".join(words)} "{url}{path}" || echo "curl ended with exit code $?"'


def _came_back(exchange: Exchange) -> str:
    return f"no answer ({exchange.error})" if exchange.status is None else f"status {exchange.status}"


def _clean_up(plan: ManualRepro) -> Iterator[str]:
    lines = [f"{CALL} down --volumes --remove-orphans", f"docker container rm --force {plan.project}-train || true"]
    if plan.data_volume is not None:
        lines.append(f"docker volume rm --force {shlex.quote(plan.data_volume)}")
    yield from _block("Clean up", "", *lines)


def _lists(manifest: BundleManifest) -> Iterator[str]:
    yield "## What is in here"
    yield ""
    yield "`bundle.json` lists every file with its SHA-256. `run/` is the evidence, `project/` what a rebuild needs."
    yield ""
    if manifest.redactions:
        yield "## Redacted"
        yield ""
        yield "Secrets were replaced by `[redacted NAME]`. Nothing else was changed in these files:"
        yield ""
        yield from (f"- {each.name}: {', '.join(each.places)}" for each in manifest.redactions)
        if any("exchanges" in place or "requests/" in place for r in manifest.redactions for place in r.places):
            yield ""
            yield "Requests or answers held a secret: they are not byte for byte those of the run."
        yield ""
    if hidden := [each.name for each in manifest.redactions if f"{PROJECT}/{HERE}" in each.places]:
        yield "## Variables"
        yield ""
        yield "The Compose files take these from the environment, and their values are not in here:"
        yield f"{', '.join(f'`{name}`' for name in hidden)}. Set them before anything else: `export NAME=value`."
        yield "What may be told belongs into `x-harness: {bundle: {variables: [NAME]}}` of the project."
        yield ""
    if manifest.absent:
        yield "## Not in here"
        yield ""
        yield from _absent(manifest)
        yield ""


def _absent(manifest: BundleManifest) -> Iterator[str]:
    """Name what is not in the bundle, files that are absent for one reason together; the manifest has all hashes."""
    groups: dict[tuple[str, str], list[Absent]] = {}
    for each in manifest.absent:
        groups.setdefault((each.why, each.how), []).append(each)
    for (why, how), group in groups.items():
        names = ", ".join(f"`{each.path}`" for each in group[:NAMED])
        more = f" and {len(group) - NAMED} more" if len(group) > NAMED else ""
        digest = f" (SHA-256 {group[0].sha256})" if len(group) == 1 and group[0].sha256 else ""
        yield f"- {names}{more}{digest}: {why}. {how}"


def _is_baked(evidence: Evidence, key: str) -> bool:
    return evidence.spec.handover is Handover.BAKED and key == evidence.spec.serve_key


def _project(path: str) -> str:
    return shlex.quote(str(PurePosixPath(PROJECT, path)))
