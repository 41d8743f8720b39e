"""Reads model files without executing anything, and says what loading them would import.

In come model files as bytes; out come records of what loading them would import.

`scan_file` recognises what lies in a file by its first bytes, unpacks it as a stream (`source`, `archives`) and walks
pickles (`pickles`, `machine`) to their end. It returns a record; `known` says what the imports mean. Memory does not
grow with the file. A file that cannot be read to its end has an `error`: it is never clean.

Not looked into: TensorFlow's SavedModel and GGUF (data, with graphs and templates of their own), what HDF5 compresses.
"""

from __future__ import annotations

import ast
import re
import zipfile
from functools import partial
from pathlib import Path
from typing import BinaryIO

from harness.errors import RunOverError
from harness.evidence.records.scan import Kind, ScannedFile
from harness.scanner import documents, formats
from harness.scanner.archives import scan_tar, scan_zip, seekable
from harness.scanner.arguments import BrokenError
from harness.scanner.arrays import has_objects
from harness.scanner.carve import carve
from harness.scanner.onnx import is_onnx, scan_onnx
from harness.scanner.pickles import HEAD, TORCH_MAGIC, Trial, attempt, scan_pickles, starts_as_pickle
from harness.scanner.source import CHUNK, Budget, CutError, Source, UnreadableError, unpacked
from harness.scanner.values import Found

_MAX_NPY_HEADER = 10_000  # as numpy's own limit
_TENSOR = re.compile(r"[^/]+/(?:data|constants|tensors)/\d+")  # of a PyTorch archive: bytes, never a pickle
_NESTED = 16  # bytes that can be a file of their own
_USER_BLOCK = 512  # HDF5 begins at byte 0, or at this one times any power of two


def scan_file(path: Path, name: str, budget: Budget | None = None) -> ScannedFile:
    """Scan one file; `name` is its name in the record. A file that cannot be read is a record with an error.

    Raises RunOverError when the budget's run is over.
    """
    scanner = _Scanner(budget or Budget())
    size, error = 0, None
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            scanner.file(file, size)
    except RunOverError:
        raise
    except UnreadableError as exc:
        error = str(exc)
    except Exception as exc:  # noqa: BLE001 - whatever a hostile file makes this code do, the file is not clean
        error = f"{type(exc).__name__}: {exc}"
    return ScannedFile(
        path=name,
        size=size,
        formats=tuple(dict.fromkeys(scanner.formats)),
        imports=scanner.found.imports(),
        notes=tuple(scanner.found.notes),
        error=error,
    )


class _Scanner:
    """One file, with all that lies inside it."""

    def __init__(self, budget: Budget) -> None:
        self.found = Found()
        self.formats: list[str] = []
        self._budget = budget

    def file(self, file: BinaryIO, size: int) -> None:
        """Scan a file, and an archive that hangs at its end: readers of zip look there."""
        source = Source.of(file, size, self._budget)
        if formats.is_zip(source.peek(4)):
            self._zip(file, "")
            return
        try:
            self.stream(source, "", size)
        finally:
            if zipfile.is_zipfile(file):
                self._zip(file, "archive at the end", whole=False)
            self._user_block(file, size)

    def stream(self, source: Source, where: str, size: int | None = None) -> None:
        """Scan a stream to its end."""
        self._budget.depth -= 1
        if self._budget.depth < 0:
            raise UnreadableError("streams in streams in streams: a decompression bomb?")
        try:
            self._one(source, where, size)
        finally:
            self._budget.depth += 1

    def _one(self, source: Source, where: str, size: int | None) -> None:
        head = source.peek(HEAD)
        if not head:
            self.formats.append("empty")
        elif formats.is_zfile(head):
            source.skip(formats.ZFILE_HEADER)
            source.skip(source.peek(1) == b" ")  # of Python 2
            self._packed(source, "zlib", where)
        elif packing := formats.packing(head):
            self._packed(source, packing, where)
        elif formats.is_zip(head):
            with seekable(source) as file:
                self._zip(file, where)
        elif formats.is_tar(head):
            self._tar(source, head, where)
        elif head.startswith(formats.NPY):
            self._npy(source, where)
        else:
            self._leaf(source, head, where, size)

    def _leaf(self, source: Source, head: bytes, where: str, size: int | None) -> None:
        """Scan what is no container of other files."""
        trial, start = attempt(head, whole=len(head) < HEAD), source.at
        if trial.is_pickle:
            self._pickle(source, head, where, trial)
        elif head.startswith(formats.HDF5):
            self.formats.append("hdf5")
            carve(source, self.found, where, documents.code_in_text(self.found, where))
        elif formats.is_safetensors(head, size):
            self.formats.append("safetensors")
            documents.scan_safetensors(source)
            self._rest(source, where)
        elif is_onnx(head):
            self.formats.append("onnx")
            scan_onnx(source, self.found, where)
        else:
            self._other(source, head, where)
        _goes_beyond(source, start, trial)

    def _pickle(self, source: Source, head: bytes, where: str, trial: Trial) -> None:
        """Scan a pickle, or a long text whose lines look like one until, without having named anything, one does not.

        A list of codes such as `P100` or `V2`, each on a line, is such a text.
        """
        is_torch = TORCH_MAGIC in head[: len(TORCH_MAGIC) + 2]
        self.formats.append("joblib" if trial.is_joblib else "torch legacy" if is_torch else "pickle")
        text, named = formats.text(head) if trial.is_doubtful else None, len(self.found.refs)
        try:
            scan_pickles(source, self.found, where, self._nested)
        except (BrokenError, CutError):
            if text is None or len(self.found.refs) > named:
                raise
            self.formats[-1] = text
            carve(source, self.found, where, documents.text_to_the_end(self.found, where))

    def _other(self, source: Source, head: bytes, where: str) -> None:
        if native := formats.native(head):
            self.found.note(Kind.NATIVE_CODE, native, 0, where)
        text = formats.text(head)
        known = native or formats.plain(head) or text
        self.formats.append(known or "unknown")
        if known is None:
            self.found.note(Kind.UNKNOWN, f"starts with {head[:8].hex(' ')}", 0, where)
        look = documents.text_to_the_end(self.found, where) if text and text == known else None
        carve(source, self.found, where, look)

    def _user_block(self, file: BinaryIO, size: int) -> None:
        """Scan HDF5 behind a block of other data: its readers look for it there."""
        at = _USER_BLOCK
        while at < size:
            file.seek(at)
            if file.read(len(formats.HDF5)) == formats.HDF5:
                self.found.note(Kind.UNKNOWN, f"{at} bytes in front of an HDF5 file")
                file.seek(at)
                self.stream(Source(iter(partial(file.read, CHUNK), b""), self._budget), f"byte {at}")
                return
            at *= 2

    def _tar(self, source: Source, head: bytes, where: str) -> None:
        self.formats.append("tar")
        trial, start = attempt(head, whole=len(head) < HEAD), source.at
        if trial.follows:
            raise UnreadableError("a tar archive that is a pickle too: its readers see different files")
        scan_tar(source, lambda inner, name: self.stream(inner, _inside(where, name)))
        self._rest(source, where)
        _goes_beyond(source, start, trial)

    def _packed(self, source: Source, packing: str, where: str) -> None:
        self.formats.append(packing)
        self.stream(unpacked(source, packing), _inside(where, packing))
        self._rest(source, where)

    def _rest(self, source: Source, where: str) -> None:
        """Note and look through what lies behind the end of a format; zeros are padding."""
        head = source.peek(HEAD)
        if head.strip(b"\0"):
            self.found.note(Kind.TRAILING, f"bytes after the end, from byte {source.at}", source.at, where)
        carve(source, self.found, where)

    def _nested(self, source: Source, count: int, place: str) -> bool:
        """Scan a binary string that can be a file of its own: a tensor saved inside a pickle, say."""
        head = source.peek(min(count, _NESTED)) if count >= _NESTED else b""
        if starts_as_pickle(head):  # as numbers do: 1152 is the mark of protocol 4
            if not attempt(source.peek(min(count, HEAD)), whole=count <= HEAD).follows:
                return False
        elif not formats.is_zip(head):
            return False
        part = source.part(count)
        self.stream(part, place)
        part.drain()
        return True

    def _npy(self, source: Source, where: str) -> None:
        """Scan a .npy file (numpy.lib.format); arrays of Python objects are a pickle."""
        self.formats.append("npy")
        version = source.read(8)[6]
        length = int.from_bytes(source.read(2 if version == 1 else 4), "little")
        if length > _MAX_NPY_HEADER:
            raise UnreadableError(f"a .npy header of {length} bytes, numpy reads at most {_MAX_NPY_HEADER}")
        try:
            header = ast.literal_eval(source.read(length).decode("utf-8"))
            objects = has_objects(header["descr"])
        except (ValueError, SyntaxError, TypeError, KeyError, RecursionError, MemoryError) as exc:
            raise UnreadableError(f"a .npy header that numpy did not write: {exc}") from exc
        if objects:
            scan_pickles(source, self.found, where, self._nested, joblib=False)
        else:
            carve(source, self.found, where)

    def _zip(self, file: BinaryIO, where: str, *, whole: bool = True) -> None:
        names: list[str] = []
        self._budget.depth -= 1
        try:
            scan_zip(file, self._budget, names.extend, partial(self._member, names, where), whole=whole)
        finally:
            self._budget.depth += 1
        if self._budget.depth < 0:
            raise UnreadableError("archives in archives in archives: a decompression bomb?")
        if not names:
            self.formats.append("zip")

    def _member(self, names: list[str], where: str, source: Source, name: str) -> None:
        kind = _archive(names)
        if kind not in self.formats:
            self.formats.append(kind)
        place = _inside(where, name)
        if name == "schema.json":  # whatever else lies beside it: a reader looks for the one name that it knows
            documents.scan_skops(source, self.found, place)
        elif name == "config.json":
            documents.scan_keras(source, self.found, place)
        elif kind == "torch" and _TENSOR.fullmatch(name):
            carve(source, self.found, place)  # the values of tensors
        else:
            if kind == "torch" and name.endswith("/data.pkl"):
                head = source.peek(HEAD)
                if not attempt(head, whole=len(head) < HEAD).is_pickle:
                    raise UnreadableError(f"{name} is no pickle")
            self.stream(source, place)


def _goes_beyond(source: Source, start: int, trial: Trial) -> None:
    """Raise UnreadableError where data, read to their end, are long enough for the pickle as which they begin."""
    if 0 < trial.needed <= source.at - start:
        raise UnreadableError(f"a pickle too, that goes on behind byte {trial.needed}: readers see different files")


def _archive(names: list[str]) -> str:
    """Return the format that keeps these files in a zip archive."""
    last = {name.rpartition("/")[2] for name in names}
    if "schema.json" in names:
        return "skops"
    if {"config.json", "metadata.json"} <= last and any(name.endswith(".weights.h5") for name in last):
        return "keras"
    if "data.pkl" in last:
        return "torch"
    return "npz" if names and all(name.endswith(".npy") for name in names) else "zip"


def _inside(where: str, name: str) -> str:
    return f"{where} > {name}" if where else name
