"""Loads `compose.yaml` and its `x-harness` block into a frozen `Spec`; findings name line and column."""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError

from harness.client.protocols import DIALECTS, port_of_environment
from harness.config.blocks import Block
from harness.config.companions import between, without_container_names
from harness.config.spec import Handover, Spec
from harness.datasets.pointers import is_tracked
from harness.engine.compose import Compose
from harness.errors import ComposeError, DescriptionError
from harness.project import named_files
from harness.project.compose_file import KEY, Places, block_of, child, find_files, is_described, parse
from harness.project.contract_file import load_contract
from harness.project.conventions import dialect_of, with_conventions
from harness.project.holdout_file import completed

MINIMAL = "x-harness:\n  version: 1\n  contract:\n    predict: /predict\n    examples: tests/contract/*.json"


def load(compose: Compose, root: Path, files: Sequence[Path] = ()) -> Spec:
    """Load and check the description. Raises DescriptionError."""
    root = root.resolve()
    paths = find_files(root, files)
    trees = [parse(path) for path in paths]
    if not any(child(tree, KEY) for tree in trees):
        raise DescriptionError(
            f"{paths[0].name} has no top-level `{KEY}` block",
            hint=f"Add at least:\n{MINIMAL}",
        )
    model = without_container_names(compose.config(paths[0].parent, paths))
    block = parse_block(_single_dollars(model.get(KEY)), zip(paths, trees, strict=True))
    return _resolve(root, paths, block, model, Places(tuple(zip(paths, trees, strict=True))))


def find_block(root: Path, files: Sequence[Path] = ()) -> Block | None:
    """Return the x-harness block of a project, read without an engine; None where there is none.

    Compose reads it as it does for a run. Where there is no Compose, or where it refuses what else stands in the files
    (the services run elsewhere: an `env_file` of theirs need not be here), the block alone is read by the same rules.
    Raises DescriptionError for a broken one.
    """
    if not files and not is_described(root):
        return None
    sources = [(path, parse(path)) for path in find_files(root, files)]
    if not any(child(tree, KEY) for _, tree in sources):
        return None
    try:
        raw = _single_dollars(Compose.find().config(sources[0][0].parent, [path for path, _ in sources]).get(KEY))
    except (ComposeError, DescriptionError):
        raw = block_of(sources)
    if raw is None:
        return None
    block = parse_block(raw, sources)
    named_files.verify(root.resolve(), block, Places(tuple(sources)))
    return block


def parse_block(raw: Any, sources: Iterable[tuple[Path, yaml.Node | None]] = ()) -> Block:
    """Validate an `x-harness` block; every error names its place, and an unknown key the nearest valid one."""
    places = Places(tuple(sources))
    try:
        return Block.model_validate_json(json.dumps(raw))
    except ValidationError as exc:
        lines = [_explain(dict(error), places) for error in exc.errors()]
    raise DescriptionError(
        "\n".join(lines), hint="`harness schema` prints every key with its type; README shows a whole block."
    )


def _single_dollars(value: Any) -> Any:
    """Undo the doubling of `$` that `docker compose config` prints."""
    if isinstance(value, str):
        return value.replace("$$", "$")
    if isinstance(value, dict):
        return {k: _single_dollars(v) for k, v in value.items()}
    if isinstance(value, list):
        return [_single_dollars(v) for v in value]
    return value


def _explain(error: dict[str, Any], places: Places) -> str:
    loc: tuple[str | int, ...] = error["loc"]
    where = places(*loc)
    name = ".".join(str(part) for part in (KEY, *loc))
    if error["type"] == "extra_forbidden":
        valid = _keys_of(loc[:-1])
        near = difflib.get_close_matches(str(loc[-1]), valid, n=1, cutoff=0.5)
        guess = f"did you mean `{near[0]}`?" if near else f"valid here: {', '.join(valid)}"
        return f"{where}unknown key `{name}`: {guess}"
    if error["type"] == "missing":
        return f"{where}`{name}` is missing"
    if error["type"] == "literal_error" and isinstance(error["input"], str):
        valid = [word.strip("'") for word in re.split(r", | or ", error["ctx"]["expected"])]
        near = difflib.get_close_matches(error["input"], valid, n=1, cutoff=0.5)
        guess = f"did you mean `{near[0]}`?" if near else f"valid here: {', '.join(valid)}"
        return f"{where}`{name}`: there is no `{error['input']}`: {guess}"
    message = error["msg"].removeprefix("Value error, ")
    received = "" if "received" in message else f", received {error['input']!r}"
    return f"{where}`{name}`: {message[:1].lower()}{message[1:]}{received}"


def _keys_of(loc: Sequence[str | int]) -> list[str]:
    model: type[BaseModel] = Block
    for part in loc:
        field = next(f for n, f in model.model_fields.items() if (f.alias or n) == part)
        candidates = [field.annotation, *getattr(field.annotation, "__args__", ())]
        model = next(c for c in candidates if isinstance(c, type) and issubclass(c, BaseModel))
    return [field.alias or name for name, field in model.model_fields.items()]


def _resolve(root: Path, files: tuple[Path, ...], block: Block, model: dict[str, Any], places: Places) -> Spec:
    """Check what the block says against the services, and fill in what follows from them."""
    named_files.verify(root, block, places)
    services: dict[str, Any] = model.get("services", {})
    _service(services, block.serve.service, places("serve", "service"))
    # Where one service trains and serves, its two containers are two services of the run's own file.
    train_key = block.train.service if block.train.service != block.serve.service else f"{block.train.service}-train"
    if block.train.target is not None:
        train_key = f"{block.train.service}-{block.train.target}"
        _service(services, block.train.service, places("train", "service"))
    elif block.train.from_ is None:
        _service(services, block.train.service, places("train", "service"))
    block = with_conventions(block, services)
    _check_train(root, block, services, places)
    if block.data and not ((root / block.data.path).exists() or is_tracked(root, root / block.data.path)):
        raise DescriptionError(
            f"{places('data', 'path')}the dataset {block.data.path} does not exist", hint="Commit it, or its pointer."
        )
    _check_skew(root, block, places)
    block = completed(root, block, places)
    handover, serve_artifact, converted = _handover(block, services, places)
    examples, behaviours = load_contract(root, block.contract.examples)
    return Spec(
        root=root,
        files=files,
        project=model["name"],
        block=block,
        model=model,
        handover=handover,
        train_key=train_key,
        serve_key=block.serve.service,
        port=block.serve.port
        or port_of_environment(services[block.serve.service], block.serve.dialect)
        or _only_port(services[block.serve.service], block.serve.dialect, places),
        serve_artifact=serve_artifact,
        examples=examples,
        behaviours=behaviours,
        baseline=_baseline(root, block, places),
        converted=converted,
    )


def _baseline(root: Path, block: Block, places: Places) -> dict[str, Any] | None:
    """Read the committed API document."""
    name = block.contract.baseline
    if name is None:
        return None
    where = places("contract", "baseline")
    try:
        document = json.loads((root / name).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as exc:
        raise DescriptionError(
            f"{where}{name} is no JSON document: {exc}", hint="Save the service's own: curl .../openapi.json > FILE"
        ) from exc
    if not isinstance(document, dict):
        raise DescriptionError(f"{where}{name} holds no JSON object", hint="Save the whole document.")
    return document


def _check_skew(root: Path, block: Block, places: Places) -> None:
    skew = block.contract.skew
    if skew is None:
        return
    if Path(skew.rows).suffix not in (".csv", ".jsonl") or not (root / skew.rows).is_file():
        raise DescriptionError(
            f"{places('contract', 'skew', 'rows')}{skew.rows} is no CSV or JSON-lines file",
            hint="Name a .csv or .jsonl file with hold-out rows.",
        )
    if block.contract.examples is None:
        raise DescriptionError(
            f"{places('contract', 'skew')}`contract.skew` needs `contract.examples`: the rows take their form",
            hint="Add an example with one good request.",
        )


def _service(services: dict[str, Any], name: str, where: str) -> dict[str, Any]:
    if name in services:
        service: dict[str, Any] = services[name]
        return service
    near = difflib.get_close_matches(name, services, n=1, cutoff=0.5)
    guess = f"did you mean `{near[0]}`?" if near else f"there are: {', '.join(services) or 'none'}"
    raise DescriptionError(f"{where}there is no service `{name}`: {guess}", hint="Correct the name or add the service.")


def _check_train(root: Path, block: Block, services: dict[str, Any], places: Places) -> None:
    train = block.train
    if train.from_ is not None:
        for key, path in (("from", train.from_), ("source", train.source)):
            if not (root / path).exists():
                raise DescriptionError(f"{places('train', key)}{path} does not exist", hint=f"Correct `train.{key}`.")
        if train.service in services:
            raise DescriptionError(
                f"{places('train', 'from')}`train.from` supplies the train service, but the Compose file has one too",
                hint=f"Remove `train.from`, or rename the service `{train.service}`.",
            )
    if (train.from_ is not None or train.target is not None) and not train.command:
        raise DescriptionError(
            f"{places('train')}`train.command` is missing: nothing else says how to train",
            hint="Add for example: command: [python, -m, src.train]",
        )


def mount_over(service: dict[str, Any], path: str) -> dict[str, Any] | None:
    """Return the mount of a service that covers a path inside its container, the longest target first."""
    mounts = [
        m
        for m in service.get("volumes", ())
        if m.get("source") and (path == m["target"] or path.startswith(m["target"].rstrip("/") + "/"))
    ]
    return max(mounts, key=lambda m: len(m["target"]), default=None)


def _handover(block: Block, services: dict[str, Any], places: Places) -> tuple[Handover, str | None, bool]:
    """Return how the artifact travels, where it lies in serving, and whether a step between makes what lies there."""
    train, serve = block.train, block.serve
    if train.target is not None:
        return Handover.TRAINED_IN_BUILD, serve.artifact or train.artifact, False
    if serve.bake is not None:
        return Handover.BAKED, serve.artifact, False
    server = services[serve.service]
    if train.from_ is not None:
        if mount_over(server, serve.artifact or train.artifact):
            return Handover.MOUNTED, serve.artifact or train.artifact, False
    elif left := mount_over(services[train.service], train.artifact):
        if made := _made_between(block, services, left, places):
            return Handover.MOUNTED, made, True
        for right in server.get("volumes", ()):
            if right.get("source") == left["source"]:
                inside = train.artifact.removeprefix(left["target"].rstrip("/"))
                return Handover.MOUNTED, serve.artifact or right["target"].rstrip("/") + inside, False
    if (dialect := dialect_of(block)) and dialect.artifact:  # its platform carries the artifact; here a volume does
        return Handover.MOUNTED, serve.artifact or dialect.artifact, False
    raise DescriptionError(
        f"{places('train', 'artifact')}the artifact {train.artifact} has no way from `{train.service}` "
        f"to `{serve.service}`",
        hint="Either mount one volume in both services at the artifact, or name in `serve.bake` the path in the "
        "build context that the serving Dockerfile copies, or name in `train.target` the stage that trains.",
    )


def _made_between(block: Block, services: dict[str, Any], left: dict[str, Any], places: Places) -> str | None:
    """Return where serving sees what a step between makes of the artifact in another volume; None where it does not.

    `left` is the mount in which training leaves the artifact.
    """
    serve = block.serve
    steps = between(services, block.train.service, serve.service)
    mounts = [mount for step in steps for mount in services[step].get("volumes", ()) if mount.get("source")]
    if all(mount["source"] != left["source"] for mount in mounts):  # no step sees what training leaves
        return None
    made = {mount["source"] for mount in mounts if not mount.get("read_only")} - {left["source"]}
    seen = [mount for mount in services[serve.service].get("volumes", ()) if mount.get("source")]
    if serve.artifact is not None:
        over = mount_over(services[serve.service], serve.artifact)
        return serve.artifact if over and over["source"] in made else None
    if any(mount["source"] == left["source"] for mount in seen):
        return None
    places_of = [str(mount["target"]) for mount in seen if mount["source"] in made]
    if len(places_of) > 1:
        raise DescriptionError(
            f"{places('serve')}cannot tell where `{serve.service}` sees the artifact: {', '.join(steps)} may write to "
            f"{', '.join(places_of)}",
            hint=f"Add its path inside the container, for example: serve: {{artifact: {places_of[0]}}}",
        )
    return places_of[0] if places_of else None


def _only_port(service: dict[str, Any], dialect: str, places: Places) -> int:
    ports = {int(p["target"]) for p in service.get("ports", ())}
    for exposed in service.get("expose", ()):
        first, _, last = str(exposed).partition("/")[0].partition("-")
        ports |= set(range(int(first), int(last or first) + 1))
    if len(ports) == 1:
        return ports.pop()
    if not ports and dialect not in ("auto", "openapi", "plain"):
        return DIALECTS[dialect].port
    raise DescriptionError(
        f"{places('serve')}cannot tell the port: the serve service names {len(ports)} of them",
        hint="Add the port inside the container, for example: serve: {port: 8080}",
    )
