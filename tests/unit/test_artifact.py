"""Files come out of a container as a tar stream that nobody trusts."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, cast

import pytest

from harness.engine import Engine, archive
from harness.engine.archive import read_files, read_text
from harness.errors import InfrastructureError
from harness.evidence.records import FileHash
from harness.runner.stages.artifact import _metrics


class FakeEngine:
    """An engine that answers one path with a tar stream, in chunks of a size that fits nothing."""

    def __init__(self, tar: bytes | None, chunk: int = 700) -> None:
        self.tar = tar
        self.chunk = chunk

    def read(self, container: str, path: str) -> Iterator[bytes] | None:
        """Return the stream, None where there is nothing."""
        assert (container, path) == ("c", "/model")
        if self.tar is None:
            return None
        return (self.tar[at : at + self.chunk] for at in range(0, len(self.tar), self.chunk))


def _tar(*members: tuple[str, bytes | None], **special: dict[str, Any]) -> bytes:
    """Make a tar of (name, content) members; None is a folder; `special` are members with other attributes."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as tar:
        for name, content in members:
            info = tarfile.TarInfo(name)
            info.size = len(content or b"")
            info.type = tarfile.DIRTYPE if content is None else tarfile.REGTYPE
            tar.addfile(info, io.BytesIO(content or b""))
        for name, attributes in special.items():
            info = tarfile.TarInfo(f"model/{name}")
            for attribute, value in attributes.items():
                setattr(info, attribute, value)
            tar.addfile(info)
    return stream.getvalue()


def _read(tar: bytes | None, destination: Path | None = None) -> tuple[FileHash, ...] | None:
    return read_files(cast("Engine", FakeEngine(tar)), "c", "/model", destination)


def _hash(path: str, content: bytes) -> FileHash:
    return FileHash(path, len(content), hashlib.sha256(content).hexdigest())


BIG = bytes(range(256)) * 5000


def test_nothing_there() -> None:
    """Where there is nothing the answer is None, not an empty artifact."""
    assert _read(None) is None


def test_nested_files(tmp_path: Path) -> None:
    """Files of a folder are named below it, sorted, hashed and written as they are."""
    tar = _tar(("model", None), ("model/b.bin", BIG), ("model/a", None), ("model/a/x", b"x"), ("model/empty", b""))
    assert _read(tar, tmp_path) == (_hash("a/x", b"x"), _hash("b.bin", BIG), _hash("empty", b""))
    assert (tmp_path / "b.bin").read_bytes() == BIG
    assert (tmp_path / "a/x").read_bytes() == b"x"


def test_without_a_destination(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a destination the same hashes come back and nothing is written."""
    monkeypatch.chdir(tmp_path)
    assert _read(_tar(("model", None), ("model/b.bin", BIG))) == (_hash("b.bin", BIG),)
    assert not list(tmp_path.iterdir())


def test_single_file(tmp_path: Path) -> None:
    """A single file goes by its own name."""
    assert _read(_tar(("model.pkl", b"x")), tmp_path) == (_hash("model.pkl", b"x"),)
    assert (tmp_path / "model.pkl").read_bytes() == b"x"


def test_empty_folder() -> None:
    """An empty folder is there, and has no files."""
    assert _read(_tar(("model", None))) == ()


@pytest.mark.parametrize("name", ["model/../../evil", "model/a/../../../evil", "../../evil"])
def test_path_traversal_is_refused(tmp_path: Path, name: str) -> None:
    """A name that leads out of the artifact is refused, and nothing is written outside."""
    with pytest.raises(InfrastructureError, match="names a file outside it"):
        _read(_tar((name, b"x")), tmp_path / "deep" / "er")
    assert not list(tmp_path.rglob("evil"))


@pytest.mark.parametrize("name", ["/etc/evil", "//etc/evil", "../evil"])
def test_strange_name_stays_inside(tmp_path: Path, name: str) -> None:
    """A name that is absolute or relative to elsewhere is refused, or lands inside the destination."""
    inside = tmp_path / "inside"
    try:
        _read(_tar((name, b"x")), inside)
    except InfrastructureError:
        return
    assert [path.is_relative_to(inside) for path in tmp_path.rglob("evil")] == [True]


@pytest.mark.parametrize("target", ["/etc/passwd", "../../x", "b.bin"])
def test_links_are_not_followed(tmp_path: Path, target: str) -> None:
    """A symbolic link is neither written nor followed; the files beside it are there."""
    tar = _tar(("model", None), ("model/b.bin", b"x"), link={"type": tarfile.SYMTYPE, "linkname": target})
    assert _read(tar, tmp_path) == (_hash("b.bin", b"x"),)
    assert [path.name for path in tmp_path.iterdir()] == ["b.bin"]


def test_file_through_a_link(tmp_path: Path) -> None:
    """A link to the outside and then a file below it: the file lands inside, for the link was never made."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as tar:
        link = tarfile.TarInfo("model/out")
        link.type, link.linkname = tarfile.SYMTYPE, str(tmp_path / "outside")
        tar.addfile(link)
        file = tarfile.TarInfo("model/out/evil")
        file.size = 1
        tar.addfile(file, io.BytesIO(b"x"))
    (tmp_path / "outside").mkdir()
    _read(stream.getvalue(), tmp_path / "inside")
    assert not list((tmp_path / "outside").iterdir())


@pytest.mark.parametrize("kind", [tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE])
def test_devices_are_ignored(tmp_path: Path, kind: bytes) -> None:
    """Devices and pipes are no files."""
    assert _read(_tar(dev={"type": kind, "devmajor": 1, "devminor": 3}), tmp_path) == ()


def test_hard_link_is_a_file(tmp_path: Path) -> None:
    """A second name of the same file is a file of the artifact too: Docker's tar carries it as a hard link."""
    tar = _tar(("model", None), ("model/a", b"x"), b={"type": tarfile.LNKTYPE, "linkname": "model/a"})
    assert _read(tar, tmp_path) == (_hash("a", b"x"), _hash("b", b"x"))
    assert (tmp_path / "b").read_bytes() == b"x"


def test_limit_on_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """More bytes than the limit end the copy before they are on the disk."""
    monkeypatch.setattr(archive, "MAX_BYTES", 1000)
    with pytest.raises(InfrastructureError, match="larger than 1000 bytes") as caught:
        _read(_tar(("model/a", b"x" * 600), ("model/b", b"x" * 600)), tmp_path)
    assert caught.value.hint
    assert sum(path.stat().st_size for path in tmp_path.rglob("*")) <= 1000


def test_limit_on_number(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """More files than the limit end the copy."""
    monkeypatch.setattr(archive, "MAX_FILES", 3)
    with pytest.raises(InfrastructureError, match="3 files"):
        _read(_tar(*((f"model/{n}", b"") for n in range(5))), tmp_path)


@pytest.mark.parametrize("cut", [100, 512, 1100])
def test_stream_that_breaks_off(tmp_path: Path, cut: int) -> None:
    """A stream that ends in the middle is a failed infrastructure, never a smaller artifact."""
    with pytest.raises(InfrastructureError):
        _read(_tar(("model/a", b"x" * 2000))[:cut], tmp_path)


def test_read_text() -> None:
    """One file is read as text up to a limit; a folder is no text."""
    assert read_text(cast("Engine", FakeEngine(_tar(("m", b"abc\xff")))), "c", "/model", 100) == "abc\ufffd"
    assert read_text(cast("Engine", FakeEngine(_tar(("m", b"abc")))), "c", "/model", 2) == "ab"
    assert read_text(cast("Engine", FakeEngine(_tar(("m", None)))), "c", "/model", 2) is None
    assert read_text(cast("Engine", FakeEngine(None)), "c", "/model", 2) is None


def _lines(text: str | None) -> tuple[Any, str | None]:
    tar = None if text is None else _tar(("model", text.encode()))
    with TemporaryDirectory() as folder:
        return _metrics(cast("Engine", FakeEngine(tar)), "c", "/model", Path(folder))


def test_metrics() -> None:
    """Each line is an object; empty lines and nested values are left out; NaN and infinity are read."""
    found, error = _lines('{"loss": 1}\n\n{"loss": NaN, "deep": {"a": 1}}\r\n{"loss": -Infinity, "ok": true}')
    assert error is None
    assert json.dumps(found) == '[{"loss": 1}, {"loss": NaN}, {"loss": -Infinity, "ok": true}]'


def test_metrics_with_unusual_line_ends() -> None:
    """Only an end of line ends a line: U+2028 and U+0085 may stand inside a JSON string."""
    assert _lines('{"note": "a\u2028b\x85c", "loss": 1}\n') == (({"note": "a\u2028b\x85c", "loss": 1},), None)


@pytest.mark.parametrize(
    ("text", "error"),
    [
        (None, "there is no /model"),
        ('{"loss": 1}\nloss: 2', "/model, line 2: "),
        ('{"loss": 1}\n\n[1]', "/model, line 3: expected a JSON object"),
        ("[" * 100_000, "/model, line 1: "),
        ('{"loss": 1', "/model, line 1: "),
    ],
)
def test_broken_metrics(text: str | None, error: str) -> None:
    """Metrics that cannot be read are none, with the line and why."""
    found, received = _lines(text)
    assert found is None
    assert error in (received or "")


def test_no_metrics_in_an_empty_file() -> None:
    """An empty file has no lines; that is not the same as no file."""
    assert _lines("") == ((), None)
