"""How many bytes an array takes in a joblib file: what its wrapper and its dtype say, read as joblib and numpy do.

Nothing is guessed: where a file says something that joblib and numpy do not write, it is refused, because a length
that differs from the one that the real reader finds would hide what follows.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from harness.scanner.source import UnreadableError
from harness.scanner.values import Dtype

_TYPE = re.compile(r"[<>|=]?([biufcmMOSUVa?])(\d*)(?:\[\w+\])?")  # such as `<f8`, `|S5`, `<M8[ns]`
_MAX_ITEM = 2**31 - 1
_MAX_BYTES = 2**62
_OBJECT_FLAG = 1  # NPY_ITEM_REFCOUNT
_VERSIONS = (3, 4)  # in states of earlier ones numpy looks for objects itself and passes over the flags
_ELSIZE, _FLAGS = 5, 7  # places in the state of a dtype: version, order, sub-array, names, fields, size, alignment
_MAX_PADDING = 16  # numpy_array_alignment_bytes of joblib


@dataclass(frozen=True)
class Layout:
    """What follows the wrapper of an array."""

    size: int  # bytes of the values; unknown, because they are a pickle, with `has_objects`
    has_objects: bool
    padded: bool  # one byte with a length, then so many bytes, come first


def make_dtype(arguments: tuple[Any, ...]) -> Dtype:
    """Return the dtype that `numpy.dtype(...)` makes of the arguments that numpy pickles, such as `f8, False, True`."""
    match = _TYPE.fullmatch(arguments[0]) if arguments and type(arguments[0]) is str else None
    if match is None or len(match[2]) > 10:  # noqa: PLR2004 - digits
        return Dtype("?", 0, has_objects=False, bad=True)
    kind = match[1]
    size = (int(match[2]) if match[2] else 1) * (4 if kind == "U" else 1)
    bad = size > _MAX_ITEM or (not match[2] and kind != "?")
    return Dtype(kind, size, has_objects=kind == "O", bad=bad)


def set_dtype(dtype: Dtype, state: Any) -> None:
    """Give a dtype the state that numpy pickles."""
    if not isinstance(state, tuple) or len(state) <= _FLAGS:
        dtype.bad = True
        return
    size, flags = state[_ELSIZE], state[_FLAGS]
    if state[0] not in _VERSIONS or type(size) is not int or type(flags) is not int:
        dtype.bad = True
        return
    if size not in (-1, dtype.size):
        dtype.bad = True
    if flags & _OBJECT_FLAG:
        dtype.bad = dtype.bad or dtype.kind not in "OV"
        dtype.has_objects = True


def layout(state: dict[str, Any], at: int) -> Layout:
    """Return what follows a wrapper with this state. Raises UnreadableError where that cannot be known."""
    dtype, shape = state.get("dtype"), state.get("shape")
    alignment = state.get("numpy_array_alignment_bytes")
    if not isinstance(dtype, Dtype) or dtype.bad:
        raise UnreadableError(f"byte {at}: an array whose dtype is not written as numpy writes it")
    if not isinstance(shape, tuple) or any(type(n) is not int or n < 0 for n in shape):
        raise UnreadableError(f"byte {at}: an array whose shape is not written as joblib writes it")
    if alignment is not None and alignment != _MAX_PADDING:
        raise UnreadableError(f"byte {at}: an array with an alignment that joblib does not use")
    if dtype.has_objects and state.get("allow_mmap") is not False:
        raise UnreadableError(
            f"byte {at}: an array of objects that could be mapped into memory, as no joblib writes it"
        )
    count = 1
    for length in shape:
        count *= length
    size = count * dtype.size
    if size > _MAX_BYTES:
        raise UnreadableError(f"byte {at}: an array of {size} bytes")
    return Layout(size, dtype.has_objects, alignment is not None)


def padding(length: int, at: int) -> int:
    """Return the bytes of padding that their first byte announces; joblib's is at most 16."""
    if length > _MAX_PADDING:
        raise UnreadableError(f"byte {at}: {length} bytes of padding, joblib writes at most {_MAX_PADDING}")
    return length


def has_objects(descr: Any) -> bool:
    """Whether the dtype in the header of a .npy file holds Python objects; where in doubt, it does."""
    if isinstance(descr, str):
        return _TYPE.fullmatch(descr) is None or "O" in descr
    if isinstance(descr, list):
        return any(not isinstance(f, tuple) or len(f) < 2 or has_objects(f[1]) for f in descr)  # noqa: PLR2004
    if isinstance(descr, tuple):
        return not descr or has_objects(descr[0])
    return True
