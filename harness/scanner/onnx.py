"""Walks an ONNX model (protobuf, onnx.proto) for what it takes from outside: data files and custom operators.

Field numbers: ModelProto.graph 7, .opset_import 8, .training_info 20, .functions 25; TrainingInfoProto
.initialization 1, .algorithm 2; FunctionProto.node 7, .attribute_proto 11; GraphProto.node 1, .initializer 5,
.sparse_initializer 15; NodeProto.op_type 4, .attribute 5, .domain 7; AttributeProto.t 5, .g 6, .tensors 10,
.graphs 11; TensorProto.external_data 13; StringStringEntryProto.key 1, .value 2.
"""

from __future__ import annotations

from contextlib import suppress

from harness.evidence.records.scan import Kind
from harness.scanner.formats import has_control
from harness.scanner.source import Budget, Source, UnreadableError
from harness.scanner.values import Found, leads_outside

_DOMAINS = ("", "ai.onnx", "ai.onnx.ml", "ai.onnx.training", "ai.onnx.preview.training", "com.microsoft")
_MAX_TEXT = 4096
_ENDLESS = f"a name of more than {_MAX_TEXT} bytes"
_MODEL = {1: 0, 5: 0, **dict.fromkeys((2, 3, 4, 6, 7, 8, 14, 20, 25), 2)}  # fields of ModelProto: their wire types
_VERSIONS = range(3, 31)  # of the format, ir_version
_MAX_DEPTH = 32  # graphs in attributes of nodes in graphs
_WAYS = {
    "model": {7: "graph", 20: "training", 25: "function"},
    "training": {1: "graph", 2: "graph"},
    "graph": {1: "node", 5: "tensor", 15: "sparse"},
    "function": {7: "node", 11: "attribute"},
    "node": {4: "op", 5: "attribute", 7: "domain"},
    "attribute": {5: "tensor", 6: "graph", 10: "tensor", 11: "graph", 22: "sparse", 23: "sparse"},
    "sparse": {1: "tensor", 2: "tensor"},
    "tensor": {13: "entry"},
    "entry": {1: "key", 2: "value"},
}
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5  # wire types


def is_onnx(head: bytes) -> bool:
    """Whether data begins as ModelProto does: fields of it alone, in any order, its version among them.

    Where a graph or a text is longer than what is seen, the version may follow it.
    """
    source, version = Source(iter((head,)), Budget()), None
    with suppress(UnreadableError):
        while source.peek(1):
            field, wire = divmod(_varint(source), 8)
            if _MODEL.get(field) != wire:
                return False
            value = _varint(source)
            version = value if field == 1 else version
            if wire == _BYTES and value > len(head) - source.at:
                return version in _VERSIONS or (version is None and field in (6, 7) and has_control(head))
            source.skip(value if wire == _BYTES else 0)
    return version in _VERSIONS


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
            elif way == "value" and length > _MAX_TEXT:
                source.skip(length)
                texts[way] = _ENDLESS
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
            self._found.note(
                Kind.OUTSIDE if leads_outside(place) or place == _ENDLESS else Kind.EXTERNAL_DATA,
                place,
                at,
                self._where,
            )


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
