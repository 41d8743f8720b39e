"""Walks an ONNX model (protobuf, onnx.proto) for what it takes from outside: data files and custom operators.

Field numbers: ModelProto.graph 7, .opset_import 8, .functions 25; GraphProto.node 1, .initializer 5,
.sparse_initializer 15; NodeProto.op_type 4, .attribute 5, .domain 7; AttributeProto.t 5, .g 6, .tensors 10,
.graphs 11; TensorProto.external_data 13; StringStringEntryProto.key 1, .value 2.
"""

from __future__ import annotations

from pathlib import PurePosixPath, PureWindowsPath

from harness.records.scan import Kind
from harness.scan.source import Source, UnreadableError
from harness.scan.values import Found

_DOMAINS = ("", "ai.onnx", "ai.onnx.ml", "ai.onnx.training", "ai.onnx.preview.training", "com.microsoft")
_MAX_TEXT = 4096
_MAX_DEPTH = 32  # graphs in attributes of nodes in graphs
_WAYS = {
    "model": {7: "graph", 25: "function"},
    "graph": {1: "node", 5: "tensor", 15: "sparse"},
    "function": {7: "node"},
    "node": {4: "op", 5: "attribute", 7: "domain"},
    "attribute": {5: "tensor", 6: "graph", 10: "tensor", 11: "graph", 22: "sparse", 23: "sparse"},
    "sparse": {1: "tensor", 2: "tensor"},
    "tensor": {13: "entry"},
    "entry": {1: "key", 2: "value"},
}
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5  # wire types


def is_onnx(head: bytes) -> bool:
    """Whether data begins as ModelProto does: its version, then a name, a graph or an operator set."""
    return head[:1] == b"\x08" and 3 <= head[1] <= 30 and head[2:3] in (b"\x12", b"\x1a", b"\x3a", b"\x42", b"\x22")  # noqa: PLR2004 - ir_version


def scan_onnx(source: Source, found: Found, where: str) -> None:
    """Walk a model to its end. Raises UnreadableError where it is no protobuf, or cut."""
    _Walk(source, found, where).message("model", None, 0)


class _Walk:
    def __init__(self, source: Source, found: Found, where: str) -> None:
        self._source = source
        self._found = found
        self._where = where

    def message(self, kind: str, size: int | None, depth: int) -> None:
        """Walk one message of `size` bytes, None for all that is there."""
        if depth > _MAX_DEPTH:
            raise UnreadableError(f"graphs in graphs, deeper than {_MAX_DEPTH}")
        source = self._source
        start = source.at
        end = None if size is None else start + size
        texts: dict[str, str] = {}
        while source.at < end if end is not None else source.peek(1):
            key = _varint(source)
            way = _WAYS[kind].get(key >> 3)
            if key & 7 != _BYTES:
                _skip(source, key & 7)
                continue
            length = _varint(source)
            if end is not None and source.at + length > end:
                raise UnreadableError(f"byte {source.at}: a field that is longer than its message")
            if way in _WAYS:
                self.message(way, length, depth + 1)
            elif way is not None and length <= _MAX_TEXT:
                texts[way] = source.read(length).decode("utf-8", "replace")
            else:
                source.skip(length)
        self._note(kind, texts, start)

    def _note(self, kind: str, texts: dict[str, str], at: int) -> None:
        if kind == "node" and texts.get("domain", "") not in _DOMAINS:
            self._found.note(Kind.CUSTOM_OPERATOR, f"{texts['domain']}.{texts.get('op', '?')}", at, self._where)
        if kind == "entry" and texts.get("key") == "location":
            place = texts.get("value", "")
            outside = any(p.is_absolute() or ".." in p.parts for p in (PurePosixPath(place), PureWindowsPath(place)))
            self._found.note(Kind.OUTSIDE if outside else Kind.EXTERNAL_DATA, place, at, self._where)


def _varint(source: Source) -> int:
    value = 0
    for shift in range(0, 70, 7):
        byte = source.read(1)[0]
        value |= (byte & 0x7F) << shift
        if byte < 0x80:  # noqa: PLR2004 - the last byte has no high bit
            return value
    raise UnreadableError(f"byte {source.at}: no number of a protobuf")


def _skip(source: Source, wire: int) -> None:
    if wire == _VARINT:
        _varint(source)
    elif wire in (_FIXED64, _FIXED32):
        source.skip(8 if wire == _FIXED64 else 4)
    else:
        raise UnreadableError(f"byte {source.at}: wire type {wire} is none of protobuf")
