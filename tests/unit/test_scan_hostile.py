"""Files made to harm the scanner: bombs, lies about sizes, endless nesting. They end fast, in little memory."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import pickle
import resource
import time
import zipfile
import zlib
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pytest

from harness.evidence.records import ScannedFile
from harness.scanner import scan_file
from harness.scanner.known import is_dangerous
from harness.scanner.pickles import HEAD
from harness.scanner.source import Budget

SYSTEM = b"cposix\nsystem\nX\x02\x00\x00\x00id\x85R"


def scan(content: bytes, folder: Path, budget: Budget | None = None) -> ScannedFile:
    path = folder / "model.bin"
    path.write_bytes(content)
    return scan_file(path, "model.bin", budget)


def dangers(file: ScannedFile) -> list[str]:
    return [each.full for each in file.imports if is_dangerous(each.module, each.name)]


def peak() -> int:
    """Peak memory of this process in bytes, as Linux counts."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


HUGE = (2**60).to_bytes(8, "little")
HOSTILE: dict[str, bytes] = {
    "bytes of 2^60": b"\x80\x04\x8e" + HUGE + b"abc",
    "bytearray of 2^60": b"\x80\x05\x96" + HUGE,
    "text of 2^60": b"\x80\x04\x8d" + HUGE + b"abc",
    "frame of 2^60, cut": b"\x80\x04\x95" + HUGE + b"]",
    "integer of 2^31 bytes": b"\x80\x02\x8b\xff\xff\xff\x7f\x01",
    "integer of a million digits, cut": b"\x80\x02I" + b"9" * 1_000_000,
    "stack underflow": b"\x80\x02R.",
    "no mark": b"\x80\x02t.",
    "memo that is empty": b"\x80\x02h\x07.",
    "negative memo": b"\x80\x02Np-1\n.",
    "array of objects, cut": b"\x80\x04",
    "no end": b"\x80\x04]" + b"]" * 1000,
    "zip, cut": b"PK\x03\x04" + bytes(100),
    "gzip, cut": gzip.compress(pickle.dumps(list(range(10000))))[:-20],
    "gzip, damaged": gzip.compress(pickle.dumps(list(range(1000))))[:-8] + bytes(8),
    "zlib, cut": zlib.compress(pickle.dumps(list(range(10000))))[:-20],
    "bz2, cut": bz2.compress(pickle.dumps(list(range(10000))))[:-20],
    "xz, cut": lzma.compress(pickle.dumps(list(range(10000))))[:-20],
    "npy header": b"\x93NUMPY\x01\x00\x10\x00" + b"[" * 16,
    "npy header of 4 GiB": b"\x93NUMPY\x02\x00\xff\xff\xff\xff" + b"[" * 16,
    "safetensors, cut": (20).to_bytes(8, "little") + b'{"a":{"data_offsets":[0,99]}}',
}


@pytest.mark.parametrize("name", HOSTILE)
def test_what_cannot_be_read_is_an_error(name: str, tmp_path: Path) -> None:
    """Cut, damaged and lying files have an error, at once, and are never clean."""
    before = time.monotonic()
    file = scan(HOSTILE[name], tmp_path)
    assert file.error
    assert time.monotonic() - before < 2


@pytest.mark.parametrize("cut", range(1, 60, 7))
def test_every_cut_of_a_pickle_is_an_error(cut: int, tmp_path: Path) -> None:
    """A pickle that breaks off anywhere is an error."""
    content = pickle.dumps({"a": [1.5, "text", (1, 2)], "b": b"123", "c": np.dtype("f4")}, 4)
    assert scan(content, tmp_path).error is None
    assert scan(content[:-cut], tmp_path).error


def test_every_cut_of_a_joblib_file_is_an_error(tmp_path: Path) -> None:
    """So is a joblib file, in the middle of an array too."""
    joblib.dump({"a": np.arange(50.0), "b": [np.ones(3, "f4")]}, tmp_path / "whole")
    content = (tmp_path / "whole").read_bytes()
    assert scan(content, tmp_path).error is None
    assert not [cut for cut in range(3, len(content)) if not scan(content[:cut], tmp_path).error]


def _zip_bomb() -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive, archive.open("a.bin", "w") as member:
        for _ in range(64):
            member.write(bytes(1024**2))
    return stream.getvalue()


@pytest.mark.parametrize("name", ["gzip", "gzip in gzip", "bz2", "xz", "zip"])
def test_bombs(name: str, tmp_path: Path) -> None:
    """What expands beyond the budget is an error, and never lies in memory as a whole."""
    size = 64 * 1024**2
    bombs = {"gzip": lambda: gzip.compress(bytes(size)), "bz2": lambda: bz2.compress(bytes(size)), "zip": _zip_bomb}
    bombs["xz"] = lambda: lzma.compress(bytes(size), preset=0)
    bombs["gzip in gzip"] = lambda: gzip.compress(gzip.compress(bytes(size)))
    file = scan(bombs[name](), tmp_path, Budget(expanded=size // 2))
    assert file.error is not None
    assert "bomb" in file.error


def test_streams_in_streams(tmp_path: Path) -> None:
    """A file that is compressed again and again is an error at the ninth layer."""
    content = pickle.dumps(1)
    for _ in range(9):
        content = gzip.compress(content)
    assert "bomb" in str(scan(content, tmp_path).error)


def test_lzma_that_asks_for_memory(tmp_path: Path) -> None:
    """The dictionary that a header asks for is bounded: this one is 1 GiB."""
    content = b"\x5d" + (2**30).to_bytes(4, "little") + b"\xff" * 8 + bytes(64)
    assert "Memory usage limit" in str(scan(content, tmp_path).error)


def test_nesting_does_not_recurse(tmp_path: Path) -> None:
    """A heap of nested tuples, and tuples whose hash would take for ever, are read like any other data."""
    deep = b"\x80\x02)" + b"\x85" * 200_000
    laughs = b"\x80\x04)" + b"\x94h\x00\x86" + b"".join(b"\x94h" + bytes([n]) + b"\x86" for n in range(1, 200))
    for content in (deep, laughs):
        file = scan(content + b"}" + b"N" + b"N" + b"s0." + b"", tmp_path)
        assert file.error is None
    file = scan(deep + b"0" + SYSTEM + b".", tmp_path)
    assert dangers(file) == ["posix.system"]


def test_too_deep_a_stack(tmp_path: Path) -> None:
    """A pickle that only piles up values is an error, in bounded memory."""
    file = scan(gzip.compress(b"\x80\x02" + b"N" * 3_000_000 + b"."), tmp_path)
    assert "on the stack" in str(file.error)


@pytest.mark.serial
def test_time_is_bounded(tmp_path: Path) -> None:
    """A scan that takes too long is an error."""
    content = b"\x80\x02N" + b"20" * 5_000_000
    before = time.monotonic()
    assert "longer than" in str(scan(content, tmp_path, Budget(seconds=0.2)).error)
    assert time.monotonic() - before < 2


def test_large_data_in_little_memory(tmp_path: Path) -> None:
    """Bytes, texts and arrays are passed over, compressed ones too."""
    big = np.zeros(8_000_000)
    joblib.dump([big, b"x" * 30_000_000, "y" * 30_000_000], tmp_path / "a.joblib", compress=1)
    joblib.dump([big, big + 1], tmp_path / "b.joblib")
    del big
    import tracemalloc

    tracemalloc.start()
    for name in ("a.joblib", "b.joblib"):
        assert scan_file(tmp_path / name, name).error is None
    top = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert top < 8 * 1024**2


def _wrapper(tmp_path: Path) -> bytes:
    joblib.dump([np.arange(16, dtype="f8")], tmp_path / "w", protocol=2)
    return (tmp_path / "w").read_bytes()


def lie(content: bytes, old: bytes, new: bytes) -> bytes:
    assert content.count(old) >= 1
    return content.replace(old, new, 1)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"K\x10\x85", b"K\x00\x85"),  # fewer items than there are bytes
        (b"K\x10\x85", b"K\xff\x85"),
        (b"K\x10\x85", b"J\xff\xff\xff\xff\x85"),  # a negative length
        (b"K\x10\x85", b"\x8a\x08\xff\xff\xff\xff\xff\xff\xff\x7f\x85"),
        (b"X\x02\x00\x00\x00f8", b"X\x02\x00\x00\x00f1"),
        (b"X\x02\x00\x00\x00f8", b"X\x02\x00\x00\x00xx"),
        (b"X\x02\x00\x00\x00f8", b"X\x0a\x00\x00\x00V999999999"),
    ],
)
def test_arrays_that_lie(old: bytes, new: bytes, tmp_path: Path) -> None:
    """An array of another length than its wrapper says is an error, never clean."""
    assert scan(_wrapper(tmp_path), tmp_path).error is None
    file = scan(lie(_wrapper(tmp_path), old, new), tmp_path)
    assert file.error or file.notes, file


def test_array_inside_a_frame(tmp_path: Path) -> None:
    """An array is read by joblib behind the frame: one inside would let us see other bytes than it does."""
    content = _wrapper(tmp_path)
    framed = b"\x80\x04\x95" + len(content).to_bytes(8, "little") + content[2:]
    assert "inside a frame" in str(scan(framed + bytes(60), tmp_path).error)


def test_padding_that_is_an_opcode(tmp_path: Path) -> None:
    """A length of padding that plain pickle would read as an opcode is refused: both readers must stop or agree."""
    content = _wrapper(tmp_path)
    at = next(
        n
        for n in range(len(content))
        if content[n] <= 16 and content[n + 1 : n + 1 + content[n]] == b"\xff" * content[n] and content[n] > 0
    )
    assert scan(content[:at] + b"\x2e" + content[at + 1 :], tmp_path).error


def test_payload_that_plain_pickle_would_run(tmp_path: Path) -> None:
    """Before joblib 1.1 nothing stood before the values: what plain pickle.load would import there is found."""
    payload = b"0" + SYSTEM + b"."
    array = np.frombuffer(payload.ljust(64, b"."), dtype="u1")
    content = _without_alignment(array, tmp_path)
    assert joblib.load(io.BytesIO(content))[0].tobytes() == array.tobytes()
    assert dangers(scan(content, tmp_path)) == ["posix.system"]


def _without_alignment(array: Any, tmp_path: Path) -> bytes:
    """Write an array as joblib 1.1 did."""
    from joblib.numpy_pickle import NumpyArrayWrapper, NumpyPickler

    class Old(NumpyPickler):  # type: ignore[misc]
        def _create_array_wrapper(self, array: Any) -> Any:
            wrapper = super()._create_array_wrapper(array)
            wrapper.numpy_array_alignment_bytes = None
            return wrapper

    assert NumpyArrayWrapper
    with (tmp_path / "old").open("wb") as stream:
        Old(stream, protocol=4).dump([array])
    return (tmp_path / "old").read_bytes()


@pytest.mark.parametrize(
    "how",
    [
        b"c__builtin__\nobject\ncjoblib.numpy_pickle\nNumpyArrayWrapper\n\x85R.",  # made in another way
        b"cjoblib.numpy_pickle\nNumpyArrayWrapper\n(NtR.",
        b"cjoblib.numpy_pickle\nNumpyArrayWrapper\n)\x81Nb.",  # no state
        b"cjoblib.numpy_pickle\nNumpyArrayWrapper\n)\x81}b.",  # an empty one
    ],
)
def test_wrappers_that_joblib_does_not_write(how: bytes, tmp_path: Path) -> None:
    """Where we cannot know what joblib's reader would pass over, the file is refused."""
    assert scan(b"\x80\x02" + how, tmp_path).error


def test_torch_load_from_bytes(tmp_path: Path) -> None:
    """A tensor in a plain pickle is bytes that torch unpickles: they are scanned, or the file is refused."""
    inner = b"\x80\x02" + SYSTEM + b"." * 20
    call = b"\x80\x04ctorch.storage\n_load_from_bytes\n"
    direct = call + b"C" + bytes([len(inner)]) + inner + b"\x85R."
    assert dangers(scan(direct, tmp_path)) == ["posix.system"]
    encoded = call + b"c_codecs\nencode\nX\x02\x00\x00\x00ab\x85R\x85R."
    assert scan(encoded, tmp_path).error


def test_missing_file(tmp_path: Path) -> None:
    """A file that is not there is an error."""
    assert scan_file(tmp_path / "none", "none").error


def test_random_damage(tmp_path: Path) -> None:
    """Whatever a byte is changed to, the scanner answers with a record."""
    rng = np.random.default_rng(7)
    content = bytearray(_wrapper(tmp_path))
    for _ in range(1500):
        damaged = bytearray(content)
        damaged[int(rng.integers(2, len(content)))] = int(rng.integers(256))
        file = scan(bytes(damaged), tmp_path)
        assert file.error is None or not file.error.startswith(("TypeError", "KeyError", "IndexError", "Attribute"))


def test_opcode_across_the_end_of_the_trial(tmp_path: Path) -> None:
    """A text that is a pickle is one, wherever the first look at it ends."""
    for filler in range(HEAD - 8, HEAD + 4):
        content = (
            b"(" + b"N0" * (filler // 2) + b"N" * (filler % 2) + b"Jabcd" + b"Vsystem\np1\n0Vposix\np2\n0g2\ng1\n\x93."
        )
        assert dangers(scan(content, tmp_path)) == ["posix.system"]
