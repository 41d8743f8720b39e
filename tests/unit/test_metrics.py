"""Metrics are read from whatever wrote them: JSON lines, CSV, MLflow, TensorBoard, the log."""

from __future__ import annotations

import math
import struct
from pathlib import Path
from typing import Any

import builders
import pytest

from harness.errors import DescriptionError
from harness.evidence.metrics import in_log, read
from harness.evidence.metrics.tensorboard import _masked
from harness.project.description import parse_block


def _varint(value: int) -> bytes:
    found = b""
    while value > 0x7F:
        found, value = found + bytes([value & 0x7F | 0x80]), value >> 7
    return found + bytes([value])


def _text(number: int, value: bytes) -> bytes:
    return _varint(number << 3 | 2) + _varint(len(value)) + value


def _simple(number: float) -> bytes:
    """A scalar as PyTorch writes it."""
    return _varint(2 << 3 | 5) + struct.pack("<f", number)


def _tensor(code: str, dtype: int, field: int, number: float) -> bytes:
    """A scalar as TensorFlow 2 writes it."""
    return _text(8, _varint(1 << 3) + _varint(dtype) + _text(field, struct.pack(code, number)))


def _record(step: int, tag: str, value: bytes) -> bytes:
    event = _varint(1 << 3 | 1) + struct.pack("<d", 1.7e9) + _varint(2 << 3) + _varint(step)
    event += _text(5, _text(1, _text(1, tag.encode()) + value))
    length = struct.pack("<Q", len(event))
    return length + struct.pack("<I", _masked(length)) + event + struct.pack("<I", _masked(event))


EVENTS = "logs/events.out.tfevents.1700000000.host"
STORE = {
    "0/meta.yaml": b"name: Default",
    "0/old/metrics/loss": b"100 9.0 0",
    "0/new/metrics/loss": b"200 0.9 0\n201 0.5 1\n202 nan 2\n",
    "0/new/metrics/val/loss": b"201 0.7 1\n",
    "0/new/params/lr": b"0.1",
}


def test_csv() -> None:
    """Numbers are numbers, NaN too; an empty cell is no value; a byte order mark is none of the first name."""
    text = "\ufeffepoch,loss,note\r\n1,0.5,a\r\n2,,b\r\n3,nan,\r\n"
    first, second, third = read("/m/metrics.csv", {"metrics.csv": text.encode()})
    assert (dict(first), dict(second)) == ({"epoch": 1, "loss": 0.5, "note": "a"}, {"epoch": 2, "note": "b"})
    assert math.isnan(float(third["loss"] or 0))


def test_a_csv_line_with_too_many_cells() -> None:
    """A broken table names its line."""
    with pytest.raises(ValueError, match="line 2: more cells than columns"):
        read("/m/metrics.csv", {"metrics.csv": b"a,b\n1,2,3\n"})


def test_mlflow() -> None:
    """Of a store the last run counts; its series are put together by step."""
    rows = read("/mlruns", STORE)
    assert [dict(row) for row in rows[:2]] == [{"step": 0, "loss": 0.9}, {"step": 1, "loss": 0.5, "val/loss": 0.7}]
    assert math.isnan(float(rows[2]["loss"] or 0))
    assert len(rows) == 3


def test_an_mlflow_line_that_is_none() -> None:
    """A metric that cannot be read is named with its line."""
    with pytest.raises(ValueError, match="0/r/metrics/loss, line 1: expected `timestamp value step`"):
        read("/mlruns", {"0/r/metrics/loss": b"low"})


@pytest.mark.parametrize(
    "value",
    [
        _simple(0.5),
        _tensor("<f", 1, 4, 0.5),
        _tensor("<f", 1, 5, 0.5),
        _tensor("<d", 2, 4, 0.5),
        _tensor("<d", 2, 6, 0.5),
    ],
)
def test_tensorboard(value: bytes) -> None:
    """Scalars are read in the forms of PyTorch and of TensorFlow; a record that is not whole is left out."""
    content = _record(300, "Loss/train", value) + _record(7, "Loss/train", _simple(2.0)) + _record(8, "x", value)[:-9]
    rows = read("/runs", {EVENTS: content, "logs/other.txt": b""})
    assert [dict(row) for row in rows] == [{"step": 7, "Loss/train": 2.0}, {"step": 300, "Loss/train": 0.5}]


def test_checksum_of_a_record() -> None:
    """The checksum is CRC-32C: 0xE3069283 for the digits 1 to 9 (RFC 3720, B.4 has more), masked as TFRecord does."""
    crc = 0xE3069283
    assert _masked(b"123456789") == ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


@pytest.mark.parametrize("content", [b"no event file at all", _record(1, "a", b"\x0f" * 9)])
def test_what_is_no_event_file(content: bytes) -> None:
    """A file that only has the name of an event file is refused."""
    with pytest.raises(ValueError, match="tfevents"):
        read("/runs", {EVENTS: content})


def test_a_folder_of_something_else() -> None:
    """A folder that nobody can read metrics from says so."""
    with pytest.raises(ValueError, match="neither an MLflow store nor"):
        read("/model", {"a.txt": b""})


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        (r"loss=(\S+)", [{"loss": 0.5}, {"loss": 0.25}]),
        (r"(?P<step>\d+): loss=(?P<loss>\S+)", [{"step": 1, "loss": 0.5}, {"step": 2, "loss": 0.25}]),
    ],
)
def test_a_pattern_over_the_log(pattern: str, expected: list[Any], tmp_path: Path) -> None:
    """Each line that the pattern fits is a row."""
    log = tmp_path / "log.txt"
    log.write_text("begin\n1: loss=0.5 ok\n2: loss=0.25\n", encoding="utf-8")
    assert list(in_log(pattern, "loss", log)) == expected


@pytest.mark.parametrize(("pattern", "said"), [("loss=(", "expected a regular expression"), ("loss", "with a group")])
def test_a_pattern_that_is_none(pattern: str, said: str) -> None:
    """A pattern that cannot find a number is refused before anything runs."""
    with pytest.raises(DescriptionError, match=said):
        parse_block({"version": 1, "train": {"loss_pattern": pattern}})


@pytest.mark.parametrize(("text", "size"), [("512m", 512 * 2**20), ("1.5g", 1610612736), ("10", 10), (2048, 2048)])
def test_sizes(text: str | int, size: int) -> None:
    """A budget of memory is written as Compose writes sizes."""
    assert builders.spec({"train": {"max_memory": text}}).block.train.max_memory == size
