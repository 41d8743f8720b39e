"""How the files of two equal training runs differ: in bytes only, or in what they hold."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Sequence
from pathlib import Path

from harness.client.compare import compare
from harness.config.spec import Tolerance
from harness.evidence.records import FileHash, is_housekeeping

CLOSE = Tolerance(relative=1e-9)  # a parallel sum ends in other last digits
SAME = "the same content in other bytes"
UNKNOWN = "other bytes"
MAX_BYTES = 64 * 1024**2  # a larger JSON file is compared by its bytes


def differences(left: Sequence[FileHash], right: Sequence[FileHash], one: Path, other: Path) -> dict[str, str]:
    """Return name -> how it differs, for each file that is not the same in both folders.

    What no training makes, such as a `.gitkeep`, counts only where both have it.
    """
    first, second = ({file.path: file for file in files} for files in (left, right))
    found = dict.fromkeys(first.keys() - second.keys(), "only the first run left it")
    found |= dict.fromkeys(second.keys() - first.keys(), "only the second run left it")
    for name in first.keys() & second.keys():
        if first[name].sha256 != second[name].sha256:
            found[name] = _difference(one / name, other / name)
    alone = first.keys() ^ second.keys()
    return {name: how for name, how in sorted(found.items()) if name not in alone or not is_housekeeping(name)}


def _difference(one: Path, other: Path) -> str:
    """Compare two files by what they hold, where that can be read without loading a model."""
    try:
        if zipfile.is_zipfile(one) and zipfile.is_zipfile(other):
            return _members(one, other)
        if one.suffix == ".json" and max(one.stat().st_size, other.stat().st_size) <= MAX_BYTES:
            values = [json.loads(path.read_text(encoding="utf-8")) for path in (one, other)]
            found = next(compare(values[0], values[1], CLOSE), None) or next(compare(values[1], values[0], CLOSE), None)
            return found or SAME
    except (ValueError, OSError, RecursionError, zipfile.BadZipFile):
        pass
    return UNKNOWN


def _members(one: Path, other: Path) -> str:
    """Compare the members of two zip files (NumPy's .npz, PyTorch's .pt, Keras, skops): their times do not count."""
    with zipfile.ZipFile(one) as left, zipfile.ZipFile(other) as right:
        first, second = ({info.filename: (info.CRC, info.file_size) for info in z.infolist()} for z in (left, right))
    changed = sorted(name for name in first.keys() | second.keys() if first.get(name) != second.get(name))
    return f"{len(changed)} of {len(first)} members differ, the first is {changed[0]}" if changed else SAME
