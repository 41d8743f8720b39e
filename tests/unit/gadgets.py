"""Pickles that would do harm, and the forms in which a model file can hide them: generated, never stored.

`assemble` writes the opcodes of any protocol by hand, so that no module has to be importable; what would run, if
anything did, is a command that makes the canary file.
"""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import pickle
import tarfile
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import joblib
import numpy as np

# What the file imports, as a pickle names it.
GADGETS: tuple[tuple[str, str], ...] = (
    ("os", "system"),
    ("posix", "system"),
    ("nt", "system"),
    ("os", "popen"),
    ("os", "execv"),
    ("os", "remove"),
    ("subprocess", "Popen"),
    ("subprocess", "check_output"),
    ("builtins", "eval"),
    ("builtins", "exec"),
    ("builtins", "compile"),
    ("builtins", "open"),
    ("builtins", "getattr"),
    ("builtins", "__import__"),
    ("__builtin__", "eval"),
    ("__builtin__", "execfile"),
    ("commands", "getoutput"),
    ("importlib", "import_module"),
    ("importlib.util", "module_from_spec"),
    ("runpy", "run_path"),
    ("runpy", "_run_code"),
    ("code", "InteractiveInterpreter"),
    ("timeit", "timeit"),
    ("cProfile", "run"),
    ("pdb", "run"),
    ("trace", "Trace"),
    ("doctest", "debug_script"),
    ("ctypes", "CDLL"),
    ("socket", "create_connection"),
    ("urllib.request", "urlopen"),
    ("requests", "get"),
    ("shutil", "rmtree"),
    ("tempfile", "mktemp"),
    ("webbrowser", "open"),
    ("pty", "spawn"),
    ("pydoc", "pipepager"),
    ("asyncio.unix_events", "_UnixSubprocessTransport._start"),
    ("multiprocessing.util", "spawnv_passfds"),
    ("functools", "partial"),
    ("operator", "attrgetter"),
    ("operator", "methodcaller"),
    ("_operator", "methodcaller"),
    ("types", "FunctionType"),
    ("types", "CodeType"),
    ("marshal", "loads"),
    ("pickle", "loads"),
    ("_pickle", "load"),
    ("cloudpickle.cloudpickle", "_make_function"),
    ("dill._dill", "_create_code"),
    ("logging.config", "listen"),
    ("sys", "modules.__setitem__"),
    ("pip", "main"),
    ("numpy", "load"),
    ("numpy", "f2py.os.system"),
    ("numpy.f2py.diagnose", "os.system"),
    ("numpy.testing._private.utils", "runstring"),
    ("numpy.distutils.exec_command", "exec_command"),
    ("joblib", "load"),
    ("pandas", "read_pickle"),
    ("pandas", "eval"),
    ("sklearn.utils", "os.system"),
    ("torch", "load"),
    ("torch.hub", "load"),
    ("torch.serialization", "load"),
    ("torch.utils.cpp_extension", "load_inline"),
    ("features", "os.system"),
    ("__main__", "subprocess.Popen"),
)
PROTOCOLS = range(6)


class Gadget:
    """An object whose pickle calls a function when it is loaded."""

    def __init__(self, function: Callable[..., Any], *arguments: Any) -> None:
        self._call = (function, arguments)

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return self._call


def text(value: str, protocol: int) -> bytes:
    """The opcode of a text."""
    data = value.encode()
    if protocol == 0:
        return b"V" + data + b"\n"
    if protocol < 4:
        return b"X" + len(data).to_bytes(4, "little") + data
    return b"\x8c" + len(data).to_bytes(1, "little") + data


def named(module: str, name: str, protocol: int) -> bytes:
    """The opcodes of an import."""
    if protocol < 4:
        return f"c{module}\n{name}\n".encode()
    return text(module, 4) + b"\x94" + text(name, 4) + b"\x94\x93\x94"


def assemble(module: str, name: str, argument: str, protocol: int) -> bytes:
    """A whole pickle that calls `module.name(argument)`, as the protocol writes it."""
    start = b"\x80" + bytes([protocol]) if protocol >= 2 else b""
    arguments = text(argument, protocol) + b"\x85" if protocol >= 2 else b"(" + text(argument, protocol) + b"t"
    body = named(module, name, protocol) + arguments + b"R."
    return start + (b"\x95" + len(body).to_bytes(8, "little") if protocol >= 4 else b"") + body


def variants(module: str, name: str, argument: str) -> dict[str, bytes]:
    """The other ways of pickle to call or to hide a name."""
    word, names = text(argument, 2), f"{module}\n{name}\n".encode()
    memo = text("x", 4) + b"\x94" + text(name, 4) + b"\x94" + text(module, 4) + b"\x94000" + b"h\x02h\x01\x93"
    return {
        "INST": b"(" + word + b"i" + names + b".",
        "OBJ": b"(c" + names + word + b"o.",
        "NEWOBJ": b"\x80\x02c" + names + word + b"\x85\x81.",
        "NEWOBJ_EX": b"\x80\x04c" + names + word + b"\x85}\x92.",
        "memo": b"\x80\x04" + memo + word + b"\x85R.",
        "sparse memo": b"\x80\x04" + text(module, 4) + b"r\xff\xff\x00\x000N" + text(name, 4) + b"p7\n0"
        b"j\xff\xff\x00\x00g7\n\x93" + word + b"\x85R.",
        "string opcode": b"S'" + module.encode() + b"'\nS'" + name.encode() + b"'\n\x93" + word + b"\x85R.",
        "escaped": b"V" + "".join(f"\\u{ord(c):04x}" for c in module).encode() + b"\n" + text(name, 2) + b"\x93.",
        "inside dict": b"\x80\x02}X\x01\x00\x00\x00ac" + names + word + b"\x85Rs.",
        "list first": b"\x80\x02](K\x01K\x02e0c" + names + word + b"\x85R.",
        "breaks off": b"\x80\x02c" + names + word + b"\x85R]K",
        "then no opcode": b"\x80\x02c" + names + word + b"\x85R\xff\xff",
        "only named": b"\x80\x02c" + names + b".",
        "huge bytes before": b"\x80\x04B\x00\x00\x02\x00" + bytes(0x20000) + b"0c" + names + word + b"\x85R.",
    }


def _zip(members: dict[str, bytes], method: int = zipfile.ZIP_STORED) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", method) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return stream.getvalue()


def _tar(content: bytes) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        info = tarfile.TarInfo("inner.pkl")
        info.size = len(content)
        archive.addfile(info, io.BytesIO(content))
    return stream.getvalue()


def _npy(content: bytes) -> bytes:
    """A .npy file of an object array, the pickle of which is `content`."""
    stream = io.BytesIO()
    np.lib.format.write_array_header_1_0(stream, {"descr": "|O", "fortran_order": False, "shape": (1,)})
    return stream.getvalue() + content


def _joblib(content: bytes, folder: Path, compress: Any = 0) -> bytes:
    """A joblib file: an array of numbers, then an array of objects whose inner pickle is `content`."""
    path = folder / "made.joblib"
    joblib.dump([np.arange(1000.0), np.array([None], dtype=object), np.arange(7, dtype="i2")], path)
    whole = path.read_bytes()
    start = next(at for mark in (b"\x80\x05\x95", b"\x80\x02c") if (at := whole.find(mark, 2)) > 0)  # of the values
    stream = io.BytesIO(whole[start:])
    pickle.load(stream)  # noqa: S301 - made two lines above
    whole = whole[:start] + content + stream.read()
    if not compress:
        return whole
    return FORMS[compress](whole, folder)


def _after_arrays(content: bytes, folder: Path) -> bytes:
    path = folder / "made.joblib"
    joblib.dump([np.arange(1000.0), np.ones((3, 4), dtype="f4")], path)
    whole = path.read_bytes()
    assert whole.endswith(b"e.")
    body = content.removesuffix(b".")
    if body[:1] == b"\x80":  # the outer pickle has its protocol already; its frames are over
        body = body[2:]
        body = body[9:] if body[:1] == b"\x95" else body
    return whole[:-2] + body + b"e."


def _lz4(content: bytes, _folder: Path) -> bytes:
    from lz4.frame import compress

    packed: bytes = compress(content)
    return packed


Form = Callable[[bytes, Path], bytes]
FORMS: dict[str, Form] = {
    "bare": lambda c, _: c,
    "gzip": lambda c, _: gzip.compress(c),
    "zlib": lambda c, _: zlib.compress(c),
    "bz2": lambda c, _: bz2.compress(c),
    "xz": lambda c, _: lzma.compress(c),
    "lzma": lambda c, _: lzma.compress(c, lzma.FORMAT_ALONE),
    "lz4": _lz4,
    "gzip in zlib in bz2": lambda c, _: bz2.compress(zlib.compress(gzip.compress(c))),
    "second gzip member": lambda c, _: gzip.compress(pickle.dumps([1])) + gzip.compress(c),
    "joblib": _joblib,
    "joblib zlib": lambda c, f: _joblib(c, f, "zlib"),
    "joblib gzip": lambda c, f: _joblib(c, f, "gzip"),
    "joblib bz2": lambda c, f: _joblib(c, f, "bz2"),
    "joblib xz": lambda c, f: _joblib(c, f, "xz"),
    "joblib lzma": lambda c, f: _joblib(c, f, "lzma"),
    "joblib lz4": lambda c, f: _joblib(c, f, "lz4"),
    "after arrays": _after_arrays,
    "after arrays, zlib": lambda c, f: zlib.compress(_after_arrays(c, f)),
    "joblib before 0.10": lambda c, _: b"ZF" + hex(len(c)).ljust(19).encode() + zlib.compress(c),
    "npy": lambda c, _: _npy(c),
    "npz": lambda c, _: _zip({"a.npy": _npy(c)}),
    "npz deflated": lambda c, _: _zip({"a.npy": _npy(c)}, zipfile.ZIP_DEFLATED),
    "zip": lambda c, _: _zip({"readme.txt": b"x", "deep/model.pkl": c}),
    "zip in zip": lambda c, _: _zip({"inner.zip": _zip({"model.pkl": c}, zipfile.ZIP_DEFLATED)}),
    "zip in gzip": lambda c, _: gzip.compress(_zip({"model.pkl": c})),
    "tar": lambda c, _: _tar(c),
    "tar.gz": lambda c, _: gzip.compress(_tar(c)),
    "torch zip": lambda c, _: _zip({"m/data.pkl": c, "m/data/0": bytes(64), "m/version": b"3\n"}),
    "torch zip named data": lambda c, _: _zip({"data/data.pkl": c, "data/data/0": bytes(64)}),
    "torch zip, other member": lambda c, _: _zip({"m/data.pkl": b"N.", "m/extra": c}),
    "torch zip, tensor": lambda c, _: _zip({"m/data.pkl": b"N.", "m/data/0": c}),
    "second pickle": lambda c, _: pickle.dumps({"a": 1}) + c,
    "third pickle": lambda c, _: pickle.dumps({"a": 1}) + pickle.dumps([]) + c,
    "behind zeros": lambda c, _: pickle.dumps({"a": 1}) + bytes(5000) + c,
    "behind an image": lambda c, _: b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 20 + c,
    "behind JSON": lambda c, _: json.dumps({"a": [1, 2]}).encode() + b"\n" + c,
    "behind much": lambda c, _: b"\x00\x01\x02" * 800_000 + c,
    "zip behind a pickle": lambda c, _: pickle.dumps(1) + _zip({"model.pkl": c}),
    "bytes in a pickle": lambda c, _: pickle.dumps([c.ljust(32, b".")], protocol=4),
    "bytes in a pickle, 5": lambda c, _: pickle.dumps([bytearray(c.ljust(32, b"."))], protocol=5),
}
