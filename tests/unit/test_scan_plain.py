"""Plain files that begin with opcodes of pickle by chance are no pickles; real ones are found all the same."""

from __future__ import annotations

import gzip
import io
import pickle
import tarfile
from pathlib import Path

import pytest

from harness.evidence.records import ScannedFile
from harness.scanner import scan_file
from harness.scanner.known import Category, categorise
from harness.scanner.pickles import HEAD, TEXT_LENGTH

LONG = 2 * HEAD  # bytes: more than a trial reads
EVIL = b"cposix\nsystem\n(S'id'\ntR."
TEXTS = {
    "a full stop first": b".\n,\nthe\nof\n",
    "a note": b"N.B. this is a note\n",
    "a bracket": b"]. and then\n",
    "an empty list": b")).(. tokens\n",
    "hidden files": b"Paths\n.gitignore\n.env\n",
    "a vocabulary": b"Version\n.\n,\nthe\n",
    "a string": b"S'quoted'\n.\nmore\n",
    "a number": b"I1\n.5\n",
    "numbers": b".5,.25\n.5,.75\n",
    "a long text with X": b"Xylophones are played by many.\n" * (LONG // 30),
    "a long text with T": b"The quick brown fox, and so on.\n" * (LONG // 30),
    "a long text with B": b"Best of all are the other ones.\n" * (LONG // 30),
    "a long text with G": b"Go where you will go, and stay.\n" * (LONG // 30),
    "codes": b"".join(b"P%d\n" % n for n in range(20_000)),
    "codes, then others": b"".join(b"V%d\n" % n for n in range(20_000)) + b"words\n",
    "a full stop, then much": b".\n" + b"word\n" * (LONG // 5),
}


def _scanned(tmp_path: Path, data: bytes, name: str = "file") -> ScannedFile:
    path = tmp_path / name
    path.write_bytes(data)
    return scan_file(path, name)


def _tar(name: str, content: bytes, mode: str = "w") -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode=mode) as archive:  # type: ignore[call-overload]
        info = tarfile.TarInfo(name)
        info.size = len(content)
        archive.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


@pytest.mark.parametrize("data", TEXTS.values(), ids=TEXTS)
@pytest.mark.parametrize("packed", [False, True])
def test_a_text_is_no_pickle(data: bytes, *, packed: bool, tmp_path: Path) -> None:
    """A vocabulary, a table, a list of codes: nothing to warn of."""
    found = _scanned(tmp_path, gzip.compress(data) if packed else data)
    assert (found.error, found.notes, found.imports) == (None, (), ())
    assert found.formats[-1] == "text"


@pytest.mark.parametrize(
    "name", [".", "./model.json", ".config", "N.txt", "Xtrain.csv", "Train.csv", "BERT/vocab.txt", "].txt", "Go.txt"]
)
@pytest.mark.parametrize("mode", ["w", "w:gz"])
def test_a_tar_is_no_pickle(name: str, mode: str, tmp_path: Path) -> None:
    """The first name of an archive is its first bytes: `tar -C folder .` writes `./`."""
    found = _scanned(tmp_path, _tar(name, b'{"weights": [1, 2]}' * LONG, mode))
    assert (found.error, found.notes, found.imports) == (None, (), ())


@pytest.mark.parametrize("before", [b"", b"N.", b"N0"])
def test_a_tar_that_is_a_pickle_too(before: bytes, tmp_path: Path) -> None:
    """An archive whose first name calls something is refused, whatever stands before the call."""
    name = (before + EVIL).decode()
    assert "pickle too" in str(_scanned(tmp_path, _tar(name, b"x")).error)


@pytest.mark.parametrize(
    "before", [b"N.", b"]0", b"I1\n.", b"N." * (LONG // 2), b"Vx\n0" * (LONG // 4), b"P1\n0" * LONG]
)
def test_what_follows_harmless_opcodes_is_read(before: bytes, tmp_path: Path) -> None:
    """However long nothing is named, a call behind it is found."""
    found = _scanned(tmp_path, before + EVIL)
    assert [each.full for each in found.imports] == ["posix.system"]


def test_an_unknown_import_far_behind(tmp_path: Path) -> None:
    """A name of no list, behind more harmless lines than a trial reads, is an import too."""
    found = _scanned(tmp_path, b"Vx\n0" * LONG + b"cmine\nrun\n)R.")
    assert [each.full for each in found.imports] == ["mine.run"]


def test_a_pickle_without_its_mark(tmp_path: Path) -> None:
    """Protocols 0 and 1 begin with no mark: those that break off after much are not clean, long texts in them are."""
    assert _scanned(tmp_path, pickle.dumps("a" * 4 * HEAD, protocol=1)).formats == ("pickle",)
    assert _scanned(tmp_path, pickle.dumps(list(range(HEAD)), protocol=0)).error is None
    broken = _scanned(tmp_path, b"(lp0\n" + b"cmine\nrun\n0" * HEAD)
    assert broken.error


def test_an_end_without_a_value_is_none(tmp_path: Path) -> None:
    """A pickle that ends with nothing on its stack is refused by every reader; what it called before is reported."""
    with pytest.raises(pickle.UnpicklingError):
        pickle.loads(b".")  # noqa: S301 - what Python says of it is the point
    found = _scanned(tmp_path, EVIL.replace(b"R.", b"R0."))
    assert [each.full for each in found.imports] == ["posix.system"]
    assert found.error


def test_a_text_as_long_as_the_pickle_that_it_begins_as(tmp_path: Path) -> None:
    """Where the length that the letters announce is there, a call may stand behind it: that is not clean."""
    path = tmp_path / "sparse"
    with path.open("wb") as file:
        file.write(b"X" + TEXT_LENGTH.to_bytes(4, "little"))
        file.seek(5 + TEXT_LENGTH)
        file.write(b"0" + EVIL)
    found = scan_file(path, "sparse")
    assert found.error or any(each.full == "posix.system" for each in found.imports)


def test_a_namespace_holds_attributes_alone() -> None:
    """`types.SimpleNamespace`, which statsmodels pickles, calls nothing; the rest of `types` makes code."""
    assert categorise("types", "SimpleNamespace") is Category.KNOWN
    for name in ("FunctionType", "CodeType", "SimpleNamespace.__init__", "SimpleNamespace.__init__.__globals__"):
        assert categorise("types", name) is Category.DANGEROUS, name
