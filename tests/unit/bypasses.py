"""Files that once passed `artifact.safe`, or that are like those that passed other scanners. Generated, never loaded.

Each is written opcode by opcode or byte by byte; nothing here has to be importable.
"""

from __future__ import annotations

import io
import json
import lzma
import struct
import tarfile
import zipfile
import zlib

STOP = b"."
P4 = b"\x80\x04"
HEX = b"I0x10\n0"  # a number that `pickle` reads and that looks like none


def named(module: str, name: str) -> bytes:
    return f"c{module}\n{name}\n".encode()


def word(value: str) -> bytes:
    return b"X" + struct.pack("<I", len(value)) + value.encode()


def call(function: bytes, *arguments: bytes) -> bytes:
    return function + b"(" + b"".join(arguments) + b"tR"


def dotted(module: str, name: str) -> bytes:
    """A pickle of protocol 4 that calls an attribute of an attribute."""
    return P4 + call(word(module) + word(name) + b"\x93", word("id")) + STOP


SYSTEM = call(named("posix", "system"), word("id"))
HARMLESS = P4 + b"N" + STOP
PAYLOAD = P4 + SYSTEM + STOP
UNLISTED = P4 + call(named("somebody.tools", "shell"), word("id")) + STOP
NOT_NAMED = call(named("numpy.core", "_ufunc_reconstruct"), word("posix"), word("system"))
CALLER = named("torch._tensor", "_rebuild_from_type_v2")
TENSOR = named("torch", "Tensor")


def text_file(first: bytes) -> bytes:
    """A pickle that is valid UTF-8 without control characters: STACK_GLOBAL is the second byte of U+0093."""
    return first + b"Vsystem\np194\n0Vposix\nh\xc2\x93(Vid\ntR."


# --- joblib's array wrappers

WRAPPER = named("joblib.numpy_pickle", "NumpyArrayWrapper")


def dtype(code: str, state: bytes) -> bytes:
    return call(named("numpy", "dtype"), word(code), b"\x89", b"\x88") + state + b"b"


def array(wrapper: bytes, kind: bytes, count: int, mapped: bytes = b"\x88") -> bytes:
    """An instance of the wrapper with its state; its values follow."""
    items = [("shape", b"K" + bytes([count]) + b"\x85"), ("dtype", kind), ("order", word("C")), ("allow_mmap", mapped)]
    return P4 + wrapper + b"}(" + b"".join(word(key) + value for key, value in items) + b"ub"


PLAIN = b"(K\x03X\x01\x00\x00\x00|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00t"
OBJECTS = PLAIN.replace(b"K\x00t", b"K?t")
# A dtype of version 2 without flags and with a field of objects: numpy looks for itself and finds them.
VERSION_2 = (
    b"(K\x02"
    + word("|")
    + b"N"
    + word("a")
    + b"\x85}"
    + word("a")
    + dtype("O8", OBJECTS)
    + b"K\x00\x86sK\x08K\x01K\x00t"
)
BYTES = dtype("u1", PLAIN)
SWALLOWED = b"B" + struct.pack("<I", len(SYSTEM) + 2)  # five bytes of an array, or a string of all that follows
FILE_WRAPPER = named("joblib.numpy_pickle_compat", "NDArrayWrapper") + b")\x81}" + word("filename")


# --- archives


def zipped(members: dict[str, bytes]) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return stream.getvalue()


def torch(content: bytes, rest: int = 64) -> bytes:
    return zipped({"m/data.pkl": content, "m/version": b"3\n", "m/data/0": bytes(rest)})


def _directory(archive: bytes) -> tuple[int, int]:
    return archive.index(b"PK\x01\x02"), archive.index(b"PK\x05\x06")


def _moved(archive: bytes, offset: int) -> bytes:
    """The archive up to its end record, each member said to lie further on."""
    moved = bytearray(archive[: _directory(archive)[1]])
    at = _directory(archive)[0]
    while moved[at : at + 4] == b"PK\x01\x02":
        place, names = struct.unpack_from("<I", moved, at + 42)[0], struct.unpack_from("<HHH", moved, at + 28)
        struct.pack_into("<I", moved, at + 42, place + offset)
        at += 46 + sum(names)
    return bytes(moved)


def two_directories(seen: bytes, loaded: bytes) -> bytes:
    """Python takes the directory before the end record; miniz, in PyTorch, the one at the place that is stated."""
    start, end = _directory(loaded)
    first, last = _directory(seen)
    shift = start - first  # what Python adds to each place is the rest of the way to the second archive
    assert shift >= 0
    record = bytearray(seen[last:])
    struct.pack_into("<I", record, 16, start)
    return loaded[:end] + _moved(seen, shift) + bytes(record)


def locator_elsewhere(seen: bytes, loaded: bytes) -> bytes:
    """CVE-2025-8291: Python before the fix takes the zip64 record before the locator, others the one it points to."""

    def record(length: int, place: int) -> bytes:
        return b"PK\x06\x06" + struct.pack("<QHHIIQQQQ", 44, 45, 45, 0, 0, 3, 3, length, place)

    start, end = _directory(loaded)
    first, last = _directory(seen)
    before = loaded[:end] + record(end - start, start)
    whole = before + _moved(seen, len(before)) + record(last - first, len(before) + first)
    locator = b"PK\x06\x07" + struct.pack("<IQI", 0, end, 1)
    return whole + locator + b"PK\x05\x06" + struct.pack("<HHHHIIH", 0, 0, 3, 3, last - first, len(before) + first, 0)


def tarred(content: bytes, name: bytes = b"a", *, magic: bool = True) -> bytes:
    """A tar archive of one file; its name may be a pickle, and the oldest kind has no magic number."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        info = tarfile.TarInfo("a")
        info.size = len(content)
        archive.addfile(info, io.BytesIO(content))
    whole = bytearray(stream.getvalue())
    whole[:100] = name.ljust(100, b"\0")
    if not magic:
        whole[257:265] = bytes(8)
    whole[148:156] = b" " * 8
    whole[148:156] = f"{sum(whole[:512]):06o}\0 ".encode()
    return bytes(whole)


# --- documents

LAYER = {"class_name": "Functional", "config": {"layers": [{"class_name": "Lambda", "config": {}}]}}
LAMBDA = json.dumps(LAYER).encode()
HDF5 = b"\x89HDF\r\n\x1a\n"
WEIGHTS = {"model.weights.h5": HDF5 + bytes(100)}


def keras(item: dict[str, object]) -> bytes:
    return zipped({"metadata.json": b"{}", "config.json": json.dumps({"layers": [item]}).encode(), **WEIGHTS})


def skops(item: dict[str, object]) -> bytes:
    cover = {"__class__": "SVC", "__module__": "sklearn.svm._classes"}
    return zipped({"schema.json": json.dumps(cover | item).encode()})


def field(number: int, content: bytes) -> bytes:
    """A field of a protobuf with a length."""
    return _varint(number << 3 | 2) + _varint(len(content)) + content


def _varint(value: int) -> bytes:
    return bytes([value & 0x7F | 0x80]) + _varint(value >> 7) if value > 0x7F else bytes([value])


def external(place: str) -> bytes:
    """A tensor whose values lie in another file."""
    return field(13, field(1, b"location") + field(2, place.encode()))


def onnx(*tensors: bytes, after: bytes = b"") -> bytes:
    return b"\x08\x08" + field(2, b"made") + field(7, b"".join(field(5, tensor) for tensor in tensors)) + after


def _small_window(content: bytes) -> bytes:
    """What joblib takes for LZMA by its first two bytes."""
    packed = bytearray(lzma.compress(content, lzma.FORMAT_ALONE))
    packed[1:5] = struct.pack("<I", 0x100)
    return bytes(packed)


ATTRGETTER = call(named("sklearn.feature_selection._base", "attrgetter"), word("f2py.diagnose.os.system"))

# What the file does -> the file, and what comes of it.
BYPASSES: dict[str, tuple[bytes, str]] = {
    "attrgetter under the name of a scikit-learn module, and a call of what it finds": (
        P4 + call(ATTRGETTER, named("sklearn.metrics.pairwise", "np")) + b"(" + word("id") + b"tR.",
        "fail",
    ),
    "numpy's loader of ufuncs names os.system": (P4 + NOT_NAMED + STOP, "fail"),
    "numpy's loader of ufuncs names os.system, numpy.random calls it": (
        P4 + call(named("numpy.random._pickle", "__randomstate_ctor"), word("id"), NOT_NAMED) + STOP,
        "fail",
    ),
    "numpy's loader of ufuncs is called by another function": (
        P4
        + call(
            CALLER,
            named("numpy.core", "_ufunc_reconstruct"),
            TENSOR,
            b"(" + word("posix") + word("system") + b"t",
            b"N",
        )
        + STOP,
        "fail",
    ),
    "torch's loader of bytes is called by another function": (
        P4
        + call(
            CALLER,
            named("torch.storage", "_load_from_bytes"),
            TENSOR,
            b"C\x40" + SYSTEM.ljust(64, b".") + b"\x85",
            b"N",
        )
        + STOP,
        "error",
    ),
    "numpy.memmap overwrites a file": (
        P4
        + call(named("numpy", "memmap"), word("/app/main.py"), word("u1"), word("w+"), b"K\x00", b"K\x01\x85")
        + STOP,
        "fail",
    ),
    "leads a package to other modules: APPEND to its __path__": (
        P4 + named("sklearn.preprocessing", "__path__") + word("/app/model") + b"a.",
        "fail",
    ),
    "APPEND to an imported list": (P4 + named("sklearn.svm._classes", "SVC") + word("x") + b"a.", "fail"),
    "a module of a known package through another one": (dotted("numpy", "f2py.crackfortran.myeval"), "fail"),
    "a function through a module of the project": (dotted("__main__", "pd.read_pickle"), "fail"),
    "a text file with a hexadecimal number is a pickle": (text_file(HEX), "fail"),
    "a text file with a signed number is a pickle": (text_file(b"I+5\n0"), "fail"),
    "a text file with a number of 5000 digits is a pickle": (text_file(b"F" + b"0" * 5000 + b"1\n0"), "fail"),
    "a text file with zeros before a place in the memo is a pickle": (text_file(b"Np" + b"0" * 30 + b"7\n0"), "fail"),
    "an array of numbers that numpy reads as objects": (
        array(WRAPPER + b")\x81", dtype("V8", VERSION_2), 16) + UNLISTED.ljust(128, b"\0") + STOP,
        "error",
    ),
    "an array of objects that is mapped into memory": (
        array(WRAPPER + b")\x81", dtype("O8", OBJECTS), 1) + HARMLESS + STOP,
        "error",
    ),
    "an array wrapper that another function makes": (
        array(call(CALLER, named("sklearn.neighbors._kd_tree", "newObj"), TENSOR, WRAPPER + b"\x85", b"N"), BYTES, 5)
        + SWALLOWED
        + b"0"
        + SYSTEM
        + b"0N.",
        "error",
    ),
    "an array in another file, which is unpickled": (P4 + FILE_WRAPPER + word("/tmp/upload.npy") + b"sb.", "fail"),
    "under LZMA with a small window": (_small_window(PAYLOAD), "fail"),
    "compressed by joblib 0.9, the length in other letters": (
        b"ZF" + f"{len(PAYLOAD):x}".ljust(19).encode() + b" " + zlib.compress(PAYLOAD),
        "fail",
    ),
    "a tar archive whose first name is a pickle": (tarred(b"hello", SYSTEM + STOP), "error"),
    "a tar archive of the oldest kind": (tarred(PAYLOAD, magic=False), "fail"),
    "a zip archive with two directories": (two_directories(torch(HARMLESS), torch(PAYLOAD, 4000)), "error"),
    "a zip archive whose zip64 locator leads elsewhere": (locator_elsewhere(torch(HARMLESS), torch(PAYLOAD)), "error"),
    "a Keras model with a Lambda layer and no metadata": (zipped({"config.json": LAMBDA, **WEIGHTS}), "fail"),
    "a Keras model with a Lambda layer in the dress of skops": (
        zipped({"schema.json": b"{}", "metadata.json": b"{}", "config.json": LAMBDA, **WEIGHTS}),
        "fail",
    ),
    "a Keras model with a Lambda layer behind 100 unknown files": (
        zipped({f"{n}": b"\x01" + bytes([n, n, n]) for n in range(110)} | {"config.json": LAMBDA, **WEIGHTS}),
        "fail",
    ),
    "a Keras layer of any module (CVE-2025-1550)": (keras({"module": "subprocess", "class_name": "Popen"}), "fail"),
    "a Keras function that switches the safe mode off": (
        keras({"module": "keras.config", "class_name": "function", "config": "enable_unsafe_deserialization"}),
        "fail",
    ),
    "a Keras layer that holds a pickle of torch": (
        keras({"module": "keras.layers", "class_name": "TorchModuleWrapper"}),
        "fail",
    ),
    "HDF5 with a Lambda layer in other letters": (
        HDF5 + bytes(99) + LAMBDA.replace(b'"Lambda"', b'"\\u004cambda"') + bytes(9),
        "fail",
    ),
    "HDF5 with a Lambda layer behind a text": (b"a" * 65536 + HDF5 + bytes(99) + LAMBDA + bytes(9), "fail"),
    "a Lambda layer in JSON": (LAMBDA, "fail"),
    "YAML that calls a function": (b"!!python/object/apply:os.system ['id']\n", "fail"),
    "jsonpickle that calls a function": (
        b'{"py/reduce": [{"py/function": "os.system"}, {"py/tuple": ["id"]}]}',
        "fail",
    ),
    "a function in a skops file under the name of a class": (
        skops({"__loader__": "FunctionNode", "content": {"module_path": "posix", "function": "system"}}),
        "fail",
    ),
    "an operator in a skops file under the name of a class": (
        skops({"__class__": "methodcaller", "__loader__": "OperatorFuncNode"}),
        "fail",
    ),
    "a method in a skops file that reaches everything": (
        skops(
            {
                "__loader__": "MethodNode",
                "content": {"func": "__getattribute__", "obj": {"__class__": "SVC", "__module__": "sklearn.svm"}},
            }
        ),
        "fail",
    ),
    "ONNX data outside the folder, after 101 files inside": (
        onnx(*[external(f"w{n}.bin") for n in range(101)], external("../../etc/passwd")),
        "fail",
    ),
    "ONNX data outside the folder, in the graph of a training": (
        onnx(after=field(20, field(1, field(5, external("../x"))))),
        "fail",
    ),
    "ONNX data outside the folder, in a function's attribute": (
        onnx(after=field(25, field(11, field(5, external("../x"))))),
        "fail",
    ),
    "ONNX data outside the folder, behind a long way round": (onnx(external("a/../" * 900 + "../x")), "fail"),
    "ONNX data outside the folder, the graph before the version": (
        field(7, field(5, external("../x"))) + b"\x08\x08",
        "fail",
    ),
    "a text that goes on as something else": (b"a" * 70_000 + b"\x00\x01", "warn"),
    "bytes behind a tar archive": (tarred(b"hello") + bytes(10240) + b"more", "warn"),
}
