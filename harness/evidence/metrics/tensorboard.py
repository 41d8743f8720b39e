"""Reads the scalars of TensorBoard event files: TFRecord framing around Event messages, without TensorFlow.

A record is `uint64 length, uint32 crc of it, data, uint32 crc of that`, little-endian, the checksums CRC-32C and
masked (tensorflow/core/lib/io/record_writer.h); that of the length is verified. Of the protocol buffers only these
fields are read (tensorflow/core/util/event.proto, framework/summary.proto and tensor.proto): Event.step = 2,
Event.summary = 5, Summary.value = 1, Value.tag = 1, Value.simple_value = 2, Value.tensor = 8, and of a tensor
dtype = 1, tensor_content = 4, float_val = 5, double_val = 6.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from functools import cache

Point = tuple[str, int, float]  # tag, step, value
WireField = tuple[int, int | bytes]
HEADER = 12  # bytes: length and its checksum
VARINT, FIXED64, TEXT, FIXED32 = 0, 1, 2, 5  # wire types, see protobuf.dev/programming-guides/encoding
DOUBLE = 2  # DataType DT_DOUBLE
LONGEST = 10  # bytes of a varint of 64 bits


def scalars(name: str, content: bytes) -> Iterator[Point]:
    """Yield the scalars of an event file. A last record that is not whole is left out: the writer was ended.

    Raises ValueError for a file that is no event file.
    """
    for record in _records(name, content):
        try:
            yield from _event(record)
        except (IndexError, struct.error, UnicodeDecodeError, TypeError) as exc:
            raise ValueError(f"{name}: a record is no TensorBoard event: {exc}") from exc


def _records(name: str, content: bytes) -> Iterator[bytes]:
    at = 0
    while at + HEADER <= len(content):
        length, checksum = struct.unpack_from("<QI", content, at)
        if _masked(content[at : at + 8]) != checksum:
            raise ValueError(f"{name}: the record at byte {at} has a wrong checksum, so this is no event file")
        end = at + HEADER + length
        if end + 4 > len(content):
            return
        yield content[at + HEADER : end]
        at = end + 4


def _event(event: bytes) -> Iterator[Point]:
    step, summaries = 0, []
    for number, value in _fields(event):
        if number == 2 and isinstance(value, int):  # noqa: PLR2004 - Event.step
            step = value
        elif number == 5 and isinstance(value, bytes):  # noqa: PLR2004 - Event.summary
            summaries.append(value)
    for summary in summaries:
        for number, value in _fields(summary):
            if number == 1 and isinstance(value, bytes):
                yield from _scalar(value, step)


def _scalar(value: bytes, step: int) -> Iterator[Point]:
    fields = dict(_fields(value))
    tag, simple, tensor = fields.get(1), fields.get(2), fields.get(8)
    if not isinstance(tag, bytes):
        return
    number: float | None = None
    if isinstance(simple, bytes):
        number = float(struct.unpack("<f", simple)[0])
    elif isinstance(tensor, bytes):
        number = _tensor(tensor)
    if number is not None:
        yield tag.decode(), step, number


def _tensor(tensor: bytes) -> float | None:
    """Return the number of a tensor that holds just one."""
    fields = dict(_fields(tensor))
    code, size, listed = ("<d", 8, 6) if fields.get(1) == DOUBLE else ("<f", 4, 5)
    for held in (fields.get(4), fields.get(listed)):
        if isinstance(held, bytes) and len(held) == size:
            return float(struct.unpack(code, held)[0])
    return None


def _fields(message: bytes) -> Iterator[WireField]:
    """Yield field number and value; numbers that are no varints stay bytes."""
    at = 0
    while at < len(message):
        key, at = _varint(message, at)
        kind = key & 7
        if kind == VARINT:
            value, at = _varint(message, at)
            yield key >> 3, value
            continue
        if kind == TEXT:
            size, at = _varint(message, at)
        else:
            size = {FIXED64: 8, FIXED32: 4}.get(kind, -1)
        if size < 0 or at + size > len(message):
            raise IndexError(f"field {key >> 3} of wire type {kind} ends beyond its message")
        yield key >> 3, message[at : at + size]
        at += size


def _varint(message: bytes, at: int) -> tuple[int, int]:
    value = 0
    for shift in range(LONGEST):
        byte = message[at + shift]
        value |= (byte & 0x7F) << (7 * shift)
        if byte < 0x80:  # noqa: PLR2004 - the last byte has no continuation bit
            return value, at + shift + 1
    raise IndexError("a varint of more than 64 bits")


def _masked(data: bytes) -> int:
    """Return the masked CRC-32C (Castagnoli) of TFRecord."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc = _table()[(crc ^ byte) & 0xFF] ^ (crc >> 8)
    crc ^= 0xFFFFFFFF
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


@cache
def _table() -> tuple[int, ...]:
    found = []
    for value in range(256):
        for _ in range(8):
            value = value >> 1 ^ (0x82F63B78 if value & 1 else 0)  # noqa: PLW2901
        found.append(value)
    return tuple(found)
