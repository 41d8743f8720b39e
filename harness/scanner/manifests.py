"""Reads what the files of an artifact say of it. JSON and plain YAML are parsed; no model is ever loaded.

Known are: `manifest.json` ({file, sha256} anywhere in it, or a list or mapping `files`), `MLmodel` of MLflow,
`model-settings.json` of MLServer, the shards of a TensorFlow SavedModel, and Hugging Face's `config.json` with its
weights and their `*.index.json`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

import yaml

from harness.evidence.records import Artifact, Claim, Manifest

MAX_SIZE = 16 * 1024**2  # bytes of one manifest
NAMES = ("file", "path", "filename")
HASHES = ("sha256", "digest", "hash")
LISTS = ("files", "artifacts")
MLFLOW_FILES = ("model_path", "pickled_model", "model_data", "model_binary")
WEIGHTS = (".safetensors", ".bin", ".pt", ".pth", ".h5", ".msgpack", ".onnx", ".gguf", ".ckpt", ".tflite", ".npz")
PARSERS: Mapping[str, Callable[[str], Any]] = {"MLmodel": yaml.safe_load, "requirements.txt": str}
_SHA256 = re.compile(r"^(?:sha256:)?([0-9a-f]{64})$")
_SHARD = re.compile(r"^variables\.data-\d{5}-of-(\d{5})$")
_PIN = re.compile(r"^([A-Za-z0-9._-]+)(?:\[[^\]]*\])?==([^\s;#\\]+)")

ListedFiles = Iterator[tuple[str, str]]  # file, and its SHA-256 or nothing


def read_manifest(folder: Path, artifact: Artifact, declared: tuple[str, ...]) -> Manifest:
    """Return what the project, and the files of an artifact in `folder`, claim."""
    claims = [Claim("artifact.files", name) for name in declared]
    versions: dict[str, str] = {}
    versions_by = ""
    unreadable = []
    for name in [file.path for file in artifact.files]:
        path = PurePosixPath(name)
        reader = _reader(path)
        if reader is None:
            continue
        try:
            content = _parsed(folder, path)
            claims += [Claim(name, _below(path, file), digest) for file, digest in reader(content, path, artifact)]
            found = _versions(content, path)
        except (ValueError, RecursionError, yaml.YAMLError) as exc:
            unreadable.append(f"{name}: {exc}")
            continue
        if found and not versions:
            versions, versions_by = found, name
    return Manifest(tuple(dict.fromkeys(claims)), versions, versions_by, tuple(unreadable))


def _parsed(folder: Path, path: PurePosixPath) -> Any:
    """Return the content of a manifest; None for a file whose name says all. Raises ValueError, YAMLError."""
    if _SHARD.match(path.name):
        return None
    file = folder / path
    if file.stat().st_size > MAX_SIZE:
        raise ValueError(f"expected a manifest of at most {MAX_SIZE} bytes, received {file.stat().st_size}")
    return PARSERS.get(path.name, json.loads)(file.read_text(encoding="utf-8"))


def _below(path: PurePosixPath, file: str) -> str:
    """Return a file that a manifest names, as it lies below the artifact."""
    return str(path.parent / file.removeprefix("./"))


Reader = Callable[[Any, PurePosixPath, Artifact], ListedFiles]


def _reader(path: PurePosixPath) -> Reader | None:
    if path.name.endswith(".index.json"):
        return _of_index
    return _of_shard if _SHARD.match(path.name) else READERS.get(path.name)


def _of_manifest(content: Any, path: PurePosixPath, artifact: Artifact) -> ListedFiles:
    """Yield the files of a manifest of the project's own: objects with a name and a hash, lists and mappings."""
    if isinstance(content, list):
        for value in content:
            yield from _of_manifest(value, path, artifact)
    if not isinstance(content, dict):
        return
    name = next((content[key] for key in NAMES if isinstance(content.get(key), str)), None)
    digest = next((content[key] for key in HASHES if isinstance(content.get(key), str)), "")
    if name and (match := _SHA256.match(digest)) and not name.startswith("/"):
        yield name, match[1]
    for key, value in content.items():
        if key in LISTS and isinstance(value, list):
            yield from ((each, "") for each in value if isinstance(each, str))
        if key in LISTS and isinstance(value, dict):
            hashes = {file: _SHA256.match(each) for file, each in value.items() if isinstance(each, str)}
            yield from ((file, match[1]) for file, match in hashes.items() if match)
        yield from _of_manifest(value, path, artifact)


def _of_mlflow(content: Any, path: PurePosixPath, artifact: Artifact) -> ListedFiles:
    """Yield the files that the flavors of an MLmodel name, and its example (`artifact_path` elsewhere is the run's)."""
    if isinstance(content, dict):
        example = content.get("saved_input_example_info")
        if isinstance(example, dict) and isinstance(example.get("artifact_path"), str):
            yield example["artifact_path"], ""
        for key, value in content.items():
            if key in MLFLOW_FILES and isinstance(value, str):
                folder = any(file.path.startswith(f"{_below(path, value)}/") for file in artifact.files)
                if not folder:
                    yield value, ""
            else:
                yield from _of_mlflow(value, path, artifact)


def _of_mlserver(content: Any, path: PurePosixPath, artifact: Artifact) -> ListedFiles:
    """Yield the model of MLServer's settings, where it lies beside them."""
    del path, artifact
    parameters = content.get("parameters") if isinstance(content, dict) else None
    uri = parameters.get("uri") if isinstance(parameters, dict) else None
    if isinstance(uri, str) and "://" not in uri and not uri.startswith("/") and uri.strip("./"):
        yield uri, ""


def _of_config(content: Any, path: PurePosixPath, artifact: Artifact) -> ListedFiles:
    """Yield the weights that a model of Hugging Face cannot do without."""
    if not isinstance(content, dict) or not {"model_type", "architectures"} & content.keys():
        return
    beside = [file.path for file in artifact.files if PurePosixPath(file.path).parent == path.parent]
    if not any(name.endswith(WEIGHTS) for name in beside):
        yield "model.safetensors", ""


def _of_index(content: Any, path: PurePosixPath, artifact: Artifact) -> ListedFiles:
    """Yield the shards of an index of weights."""
    del path, artifact
    shards = content.get("weight_map") if isinstance(content, dict) else None
    yield from ((name, "") for name in sorted(set(shards.values() if isinstance(shards, dict) else ())))


def _of_shard(content: Any, path: PurePosixPath, artifact: Artifact) -> ListedFiles:
    """Yield all shards of a SavedModel's variables, and their index."""
    del content, artifact
    match = _SHARD.match(path.name)
    count = match[1] if match else "0"
    yield from ((f"variables.data-{number:05}-of-{count}", "") for number in range(int(count)))
    yield "variables.index", ""


def _nothing(content: Any, path: PurePosixPath, artifact: Artifact) -> ListedFiles:
    del content, path, artifact
    yield from ()


READERS: Mapping[str, Reader] = {
    "manifest.json": _of_manifest,
    "MLmodel": _of_mlflow,
    "model-settings.json": _of_mlserver,
    "config.json": _of_config,
    "requirements.txt": _nothing,
}


def _versions(content: Any, path: PurePosixPath) -> dict[str, str]:
    """Return the versions that a manifest names under `versions`, or the pins of MLflow's requirements.txt."""
    if path.name == "requirements.txt":
        return {match[1]: match[2] for line in content.splitlines() if (match := _PIN.match(line.strip()))}
    versions = content.get("versions") if isinstance(content, dict) and path.name == "manifest.json" else None
    return {k: v for k, v in versions.items() if isinstance(v, str)} if isinstance(versions, dict) else {}
