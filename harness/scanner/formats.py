"""Recognises a format by its first bytes, never by its name."""

from __future__ import annotations

import re
import tarfile

from harness.scanner.source import PACKED

ZIP = b"PK\x03\x04"
EMPTY_ZIP = b"PK\x05\x06"
NPY = b"\x93NUMPY"
HDF5 = b"\x89HDF\r\n\x1a\n"
_TAR_HEADER = 512
_PLAIN: tuple[tuple[bytes, str], ...] = (  # formats that hold data and nothing that loading them would run
    (b"PAR1", "parquet"),
    (b"ARROW1", "arrow"),
    (b"\x89PNG\r\n", "png"),
    (b"\xff\xd8\xff", "jpeg"),
    (b"CBM1", "catboost"),
    (b"{L\x00\x00\x00\x00\x00\x00\x00\x07learner", "xgboost ubjson"),
    (b"{L\x00\x00\x00\x00\x00\x00\x00\x06Config", "xgboost ubjson"),
    (b"binf", "xgboost"),
    (b"SQLite format 3\x00", "sqlite"),
    (b"GGUF", "gguf"),
)
_NATIVE: tuple[tuple[bytes, str], ...] = (
    (b"\x7fELF", "ELF"),
    (b"MZ", "PE"),
    (b"\xcf\xfa\xed\xfe", "Mach-O"),
    (b"\xca\xfe\xba\xbe", "Mach-O or Java"),
)
_PYC = re.compile(rb"[\x00-\xff][\x0c-\x0f]\r\n")  # magic numbers of Python 3.5 and later are 3xxx
_ZFILE = re.compile(rb"ZF[0-9a-fA-FxX_+ ]{19}")  # joblib before 0.10: `ZF`, the length in 19 characters, zlib
ZFILE_HEADER = 21
_TEXT = bytes(({*range(256)} - {*range(32), 127}) | {*b"\t\n\r\x1b"})  # what a text may hold, in UTF-8 too


def packing(head: bytes) -> str | None:
    """Return the compression of a stream, None where it has none."""
    for name, (magic, _) in PACKED.items():
        if head.startswith(magic):
            if name == "zlib" and (len(head) < 2 or int.from_bytes(head[:2]) % 31 or head[1] & 0x20):  # noqa: PLR2004
                continue  # RFC 1950: the two bytes of the header are a multiple of 31; a dictionary has no place here
            return name
    return None


def is_zfile(head: bytes) -> bool:
    """Whether data begins as a compressed file of joblib before 0.10."""
    return _ZFILE.match(head) is not None


def is_zip(head: bytes) -> bool:
    """Whether data begins as a zip archive."""
    return head.startswith((ZIP, EMPTY_ZIP))


def is_tar(head: bytes) -> bool:
    """Whether data begins as a tar archive of any kind: the oldest has no name, all have a checksum."""
    try:
        tarfile.TarInfo.frombuf(head[:_TAR_HEADER], "utf-8", "surrogateescape")
    except (tarfile.TarError, ValueError):
        return False
    return True


def is_safetensors(head: bytes, size: int | None) -> bool:
    """Whether data begins with a length and a JSON object of that length."""
    if len(head) < 10 or head[8:9] != b"{":  # noqa: PLR2004 - eight bytes, and `{}`
        return False
    length = int.from_bytes(head[:8], "little")
    return 2 <= length <= (100 * 1024**2 if size is None else size - 8)  # noqa: PLR2004 - `{}`


def plain(head: bytes) -> str | None:
    """Return the name of a format that holds data alone."""
    return next((name for magic, name in _PLAIN if head.startswith(magic)), None)


def native(head: bytes) -> str | None:
    """Return the name of a format that holds programs."""
    found = next((name for magic, name in _NATIVE if head.startswith(magic)), None)
    return found or ("compiled Python" if _PYC.match(head) else None)


def has_control(data: bytes) -> bool:
    """Whether data hold a control character that no text has."""
    return bool(data.translate(None, _TEXT))


def text(head: bytes) -> str | None:
    """Return `json` or `text` for UTF-8 without control characters, None for anything else."""
    if has_control(head):
        return None
    try:
        head.decode()
    except UnicodeDecodeError as exc:
        if exc.end < len(head) or len(head) - exc.start > 3:  # noqa: PLR2004 - a letter that the head cuts
            return None
    return "json" if head.lstrip()[:1] in (b"{", b"[") else "text"
