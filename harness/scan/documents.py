"""JSON inside model files: the types of a skops file, the layers of a Keras model, the header of safetensors."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from harness.records.scan import Kind, Use
from harness.scan.source import Source, UnreadableError
from harness.scan.values import Found

MAX_JSON = 64 * 1024**2
_LAMBDA = re.compile(rb'"class_name":\s*"(__lambda__|Lambda)"')
_OVERLAP = 64


def parse(source: Source, limit: int = MAX_JSON) -> Any:
    """Return the JSON value of a whole stream. Raises UnreadableError."""
    parts, size = [], 0
    while data := source.some():
        size += len(data)
        if size > limit:
            raise UnreadableError(f"a JSON document of more than {limit} bytes")
        parts.append(data)
    try:
        return json.loads(b"".join(parts))
    except (ValueError, RecursionError) as exc:
        raise UnreadableError(f"no JSON: {exc}") from exc


def objects(value: Any) -> Iterator[dict[str, Any]]:
    """Yield every object inside a JSON value."""
    waiting = [value]
    while waiting:
        item = waiting.pop()
        if isinstance(item, dict):
            yield item
            waiting += item.values()
        elif isinstance(item, list):
            waiting += item


def scan_skops(source: Source, found: Found, where: str) -> None:
    """Note the types that a skops file names: `skops.io.load` asks the user to trust each."""
    for item in objects(parse(source)):
        module, name = item.get("__module__"), item.get("__class__")
        if isinstance(module, str) and isinstance(name, str):
            found.ref(module, name, 0, where).used(Use.BUILT)


def scan_keras(source: Source, found: Found, where: str) -> None:
    """Note the Lambda layers of a `.keras` file: their Python bytecode runs when the model does."""
    for item in objects(parse(source)):
        if item.get("class_name") in ("__lambda__", "Lambda"):
            found.note(Kind.EMBEDDED_CODE, f"a Keras {item['class_name']}", 0, where)


def scan_hdf5(source: Source, found: Found, where: str) -> None:
    """Search an HDF5 file for Keras Lambda layers by their text; what the file compresses is not seen."""
    rest, at = b"", source.at
    while data := source.some():
        window = rest + data
        for match in _LAMBDA.finditer(window):
            found.note(Kind.EMBEDDED_CODE, f"a Keras {match[1].decode()}", at - len(rest) + match.start(), where)
        at += len(data)
        rest = window[-_OVERLAP:]


def scan_safetensors(source: Source) -> None:
    """Read the header of a safetensors file, and pass over as many bytes as its tensors take."""
    length = int.from_bytes(source.read(8), "little")
    header = parse(source.part(length))
    if not isinstance(header, dict):
        raise UnreadableError("its header is no JSON object")
    end = 0
    for name, tensor in header.items():
        if name == "__metadata__":
            continue
        offsets = tensor.get("data_offsets") if isinstance(tensor, dict) else None
        if not isinstance(offsets, list) or len(offsets) != 2 or not all(type(n) is int for n in offsets):  # noqa: PLR2004
            raise UnreadableError(f"the tensor {name[:60]} has no place")
        end = max(end, offsets[1])
    source.skip(end)
