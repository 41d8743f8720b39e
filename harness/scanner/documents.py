"""Text inside model files: the types of a skops file, the layers of a Keras model, the header of safetensors.

And the words that make a loader of YAML or jsonpickle call a function.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from harness.evidence.records.scan import Kind, Use
from harness.scanner.carve import Look
from harness.scanner.formats import has_control
from harness.scanner.source import Source, UnreadableError
from harness.scanner.values import Found

MAX_JSON = 64 * 1024**2
_ESCAPE = re.compile(rb"\\u00([0-7][0-9a-fA-F])")  # JSON may write any letter so
_BRINGS_CODE = ("__lambda__", "Lambda", "TorchModuleWrapper")  # the last one holds a pickle
_CODE: tuple[tuple[str, bytes, re.Pattern[bytes]], ...] = (  # whose, a word of it that is found fast, all of it
    (
        "Keras",
        b'"class_name"',
        re.compile(rb'"class_name"\s{0,2000}:\s{0,2000}"(' + "|".join(_BRINGS_CODE).encode() + rb')"'),
    ),
    ("YAML", b"python/", re.compile(rb"((?:!!|tag:yaml\.org,2002:)python/(?:object|name|module)[\w/:.]{0,80})")),
    ("jsonpickle", b'"py/', re.compile(rb'"(py/(?:reduce|function|method|type|repr))"\s{0,2000}:')),
)


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
    """Note the types that a skops file names: `skops.io.load` asks the user to trust each.

    A node may name what it imports in other places than its class (skops.io: FunctionNode, MethodNode,
    OperatorFuncNode).
    """
    for item in objects(parse(source)):
        module, name = item.get("__module__"), item.get("__class__")
        loader, content = item.get("__loader__"), item.get("content")
        if isinstance(content, dict) and isinstance(content.get("function"), str):
            found.ref(str(content.get("module_path")), content["function"], 0, where).used(Use.BUILT)
            name = None if name == "function" else name
        if isinstance(content, dict) and isinstance(content.get("func"), str):
            made = content.get("obj")
            whose = made if isinstance(made, dict) else {}
            method = f"{whose.get('__class__')}.{content['func']}"
            found.ref(str(whose.get("__module__")), method, 0, where).used(Use.BUILT)
        if isinstance(module, str) and isinstance(name, str):
            module = "operator" if loader == "OperatorFuncNode" else module
            found.ref(module, name, 0, where).used(Use.BUILT)


def scan_keras(source: Source, found: Found, where: str) -> None:
    """Note what a `.keras` file imports, and its Lambda layers: their Python bytecode runs when the model does."""
    for item in objects(parse(source)):
        name, module = item.get("class_name"), item.get("module")
        if name in _BRINGS_CODE:
            found.note(Kind.EMBEDDED_CODE, f"a Keras {name}", 0, where)
        name = item.get("config") if name == "function" else name
        if isinstance(module, str) and isinstance(name, str):
            found.ref(module, name, 0, where).used(Use.BUILT)


def code_in_text(found: Found, where: str) -> Look:
    """Return what notes, in the windows of a file, the text that makes a loader run code.

    What HDF5 compresses is not seen.
    """

    def look(at: int, window: bytes) -> None:
        plain = _ESCAPE.sub(lambda match: bytes([int(match[1], 16)]), window) if b"\\u00" in window else window
        for format_, word, pattern in _CODE:
            for match in pattern.finditer(plain) if word in plain else ():
                found.note(Kind.EMBEDDED_CODE, f"a {format_} {match[1].decode()}", at, where)

    return look


def text_to_the_end(found: Found, where: str) -> Look:
    """Return what looks for code in text, and notes where the text ends and other data begin."""
    code = code_in_text(found, where)

    def look(at: int, window: bytes) -> None:
        code(at, window)
        if has_control(window):
            found.note(Kind.UNKNOWN, "begins as a text and goes on as something else", at, where)

    return look


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
