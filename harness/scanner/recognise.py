"""Says from the first bytes alone whether a file is a trained model."""

from __future__ import annotations

from contextlib import suppress

from harness.scanner import formats
from harness.scanner.onnx import is_onnx
from harness.scanner.pickles import HEAD, attempt, starts_as_pickle
from harness.scanner.source import Budget, Source, UnreadableError, unpacked

_MIN_ONNX = 1000  # bytes; a shorter file that begins like one is a coincidence


def model_format(head: bytes, size: int) -> str | None:
    """Return the format of a model, None for any other file. Text is none: nobody keeps a model in a few lines."""
    if packing := formats.packing(head):
        inner = b""
        with suppress(UnreadableError):
            inner = unpacked(Source(iter((head,)), Budget()), packing).peek(min(HEAD, 4096))
        found = _plain(inner, None)
        return f"{packing} {found}" if found else None
    return _plain(head, size)


def _plain(head: bytes, size: int | None) -> str | None:
    if starts_as_pickle(head):
        trial = attempt(head, whole=False)
        return "joblib" if trial.is_joblib else "pickle"
    if head.startswith(formats.HDF5):
        return "hdf5"
    if formats.is_zip(head) and (b"data.pkl" in head[:200] or b"schema.json" in head):
        return "torch" if b"data.pkl" in head[:200] else "skops"
    if size is not None and formats.is_safetensors(head, size):
        return "safetensors"
    if size is not None and size >= _MIN_ONNX and is_onnx(head):
        return "onnx"
    plain = formats.plain(head)
    return plain if plain in ("catboost", "xgboost ubjson", "gguf") else None
