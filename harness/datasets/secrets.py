"""Looks for secrets in the files of a dataset, line by line, within a bounded amount of work."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from harness.datasets.secret_patterns import CARD, EMAIL, EXAMPLE_DOMAINS, hidden, is_card, issued, keys
from harness.evidence.records import Secret, Secrets

if TYPE_CHECKING:
    import pandas as pd

MAX_BYTES = 16 * 2**20  # of each file: a committed fixture is smaller
MAX_TOTAL = 64 * 2**20  # of all files, about five seconds
BLOCK = 2**16  # read at once, up to the end of its last line where that is near
OVERLAP = 512  # between the parts of a long line, so that no key is cut in two
SHOWN = 20
SNIFFED = 8192
COMPRESSED = (".parquet", ".gz", ".zip", ".zst", ".xz", ".bz2", ".npz")  # what is in them is not seen in their bytes
MIN_CARDS = 3  # bare numbers of one column: of random ones one in ten has the right check digit
CARD_SHARE = 0.8
_KEY_BEFORE = re.compile(rb'"([^"]{1,64})"\s*:\s*"?$')


@dataclass
class _Found:
    """What one file held; bare card numbers wait by column until the whole column is known."""

    file: str
    secrets: list[Secret] = field(default_factory=list)
    bare: dict[bytes, list[tuple[int, str]]] = field(default_factory=dict)

    def add(self, line: int, kind: str, text: str, *, is_key: bool) -> None:
        self.secrets.append(Secret(self.file, line, kind, hidden(text), is_key))


def scan(path: Path, names: tuple[str, ...], frames: Mapping[str, pd.DataFrame] | None = None) -> Secrets:
    """Look into all files of a dataset; into a Parquet file through its frame, as CSV. Raises OSError."""
    found: list[Secret] = []
    unread: list[str] = []
    scanned = 0
    for name in names:
        file = path / name if path.is_dir() else path
        frame = (frames or {}).get(name) if file.suffix == ".parquet" else None
        if scanned > MAX_TOTAL or (file.suffix in COMPRESSED and frame is None):
            unread.append(name)
            continue
        with file.open("rb") if frame is None else io.BytesIO(frame.to_csv(index=False).encode()) as stream:
            found += _scan_file(stream, name)
            scanned += stream.tell()
            if stream.read(1):
                unread.append(f"{name} beyond {MAX_BYTES >> 20} MiB")
    keys_first = sorted(found, key=lambda secret: not secret.is_key)
    keys_found = sum(secret.is_key for secret in found)
    return Secrets(tuple(keys_first[:SHOWN]), len(found), keys_found, scanned, tuple(unread[:SHOWN]))


def _scan_file(stream: BinaryIO, name: str) -> list[Secret]:
    found = _Found(name)
    is_text = b"\0" not in stream.read(SNIFFED)
    stream.seek(0)
    for number, block in _blocks(stream):
        for start, kind, text in keys(block):
            found.add(number + block.count(b"\n", 0, start), kind, text, is_key=True)
        if is_text:  # in the bytes of a picture an address or a number is chance
            _personal(block, number, found)
    for column in found.bare.values():
        found.secrets += _cards_of_column(name, column)
    return sorted(dict.fromkeys(found.secrets), key=lambda secret: (not secret.is_key, secret.line))


def _blocks(stream: BinaryIO) -> Iterator[tuple[int, bytes]]:
    """Yield whole lines with the number of the first, a long line in overlapping parts, up to `MAX_BYTES`."""
    number, tail = 1, b""
    while stream.tell() < MAX_BYTES and (block := stream.read(BLOCK)):
        block += stream.readline(BLOCK)
        yield number, tail + block
        tail = b"" if block.endswith(b"\n") else block[block.rfind(b"\n") + 1 :][-OVERLAP:]
        number += block.count(b"\n")


def _personal(block: bytes, first: int, found: _Found) -> None:
    """Note addresses and card numbers. A number that fills its field may be any number: its column decides."""
    if b"@" in block:
        for match in EMAIL.finditer(block):
            if not EXAMPLE_DOMAINS.search(match[1].decode()):
                number = first + block.count(b"\n", 0, match.start())
                found.add(number, "e-mail address", match[0].decode(), is_key=False)
    for match in CARD.finditer(block):
        digits = re.sub(rb"[ -]", b"", match[0]).decode()
        if not issued(digits):
            continue
        number = first + block.count(b"\n", 0, match.start())
        before = block[block.rfind(b"\n", 0, match.start()) + 1 : match.start()]
        if b"-" in match[0] or (b" " in match[0] and before.strip()):
            if is_card(digits):
                found.add(number, "card number", digits, is_key=False)
        else:
            found.bare.setdefault(_column(before), []).append((number, digits))


def _column(before: bytes) -> bytes:
    """Return what names the column of a place: the key of a JSON object, else how many separators stand before."""
    key = _KEY_BEFORE.search(before[-128:])
    return key[1] if key else b"%d" % len(re.findall(rb"[,;\t]", before))


def _cards_of_column(name: str, column: list[tuple[int, str]]) -> Iterator[Secret]:
    """Yield the card numbers of a column in which (nearly) all that could be one has the right check digit."""
    distinct = {digits for _, digits in column}
    right = {digits for digits in distinct if is_card(digits)}
    if len(right) >= max(MIN_CARDS, CARD_SHARE * len(distinct)):
        yield from (Secret(name, n, "card number", hidden(d), is_key=False) for n, d in column if d in right)
