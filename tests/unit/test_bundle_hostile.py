"""Unpacking what anybody may have made: truncated, tampered, foreign, newer and hostile bundles."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import tarfile
import tracemalloc
import zipfile
import zlib
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest

from harness.errors import DescriptionError
from harness.reproduce.bundle import Bundle, UnpackLimits, open_bundle
from harness.reproduce.bundle.manifest import MAX_FILES, MAX_SIZE

FILES = {"README.md": b"# Run\n", "project/compose.yaml": b"name: demo\n", "run/spec.json": b"{}\n"}
IMAGE = {"reference": "x", "bases": [], "id": "x", "diff_ids": [], "platform": ""}
Member = tuple[tarfile.TarInfo, bytes]


def _sha(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _manifest(held: dict[str, bytes], **changes: Any) -> bytes:
    whole = {
        "format": 1,
        "harness": "0.1.0",
        "run": "r1",
        "project": "demo",
        "command": ["harness", "run"],
        "compose_files": ["compose.yaml"],
        "files": {name: {"sha256": _sha(content), "size": len(content)} for name, content in held.items()},
        **changes,
    }
    return json.dumps(whole).encode()


def _member(name: str, content: bytes = b"", **changes: Any) -> Member:
    info = tarfile.TarInfo(name)
    info.size = len(content)
    for key, value in changes.items():
        setattr(info, key, value)
    return info, content


def _tar(members: Iterable[Member], kind: int = tarfile.USTAR_FORMAT) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=kind) as archive:
        for info, content in members:
            archive.addfile(info, io.BytesIO(content))
    return out.getvalue()


def _bundle(*more: Member, files: dict[str, bytes] | None = None, **changes: Any) -> bytes:
    """Return a good bundle with members added; `changes` are of its manifest."""
    held = FILES if files is None else files
    members = [_member(name, content) for name, content in held.items()]
    named = changes.pop("named", held)
    return _tar([_member("bundle.json", _manifest(named, **changes)), *members, *more])


def _open(tmp_path: Path, content: bytes, limits: UnpackLimits | None = None) -> Bundle:
    file = tmp_path / "r1.harness.tar.gz"
    file.write_bytes(content)
    return open_bundle(file, tmp_path / "into", limits)


def _refused(tmp_path: Path, content: bytes, *texts: str, limits: UnpackLimits | None = None) -> None:
    """Expect one clear error, and that nothing was written, neither where it belongs nor anywhere else."""
    file = tmp_path / "r1.harness.tar.gz"
    file.write_bytes(content)
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(DescriptionError) as caught:
        open_bundle(file, tmp_path / "into", limits)
    for text in texts:
        assert text in str(caught.value), str(caught.value)
    assert caught.value.hint
    assert len(str(caught.value)) < 1000
    assert sorted(tmp_path.rglob("*")) == before


def test_a_good_bundle_opens(tmp_path: Path) -> None:
    """The bundle that the other tests break is good: every file is there, executable where it was."""
    script = _member("project/go.sh", b"#!/bin/sh\n", mode=0o755)
    bundle = _open(tmp_path, gzip.compress(_bundle(script, named={**FILES, "project/go.sh": b"#!/bin/sh\n"})))
    assert bundle.manifest.run == "r1"
    assert bundle.run.path == tmp_path / "into/run"
    assert (bundle.project / "compose.yaml").read_bytes() == b"name: demo\n"
    assert os.access(bundle.project / "go.sh", os.X_OK)
    assert not (bundle.project / "compose.yaml").stat().st_mode & 0o111
    assert bundle.images == {}


@pytest.mark.parametrize(
    "name",
    [
        "../evil",
        "run/../../evil",
        "/etc/evil",
        "run//evil",
        "./run/evil",
        "run/./evil",
        "run/ev\til",
        "run/ev\nil",
        "run/ev\x1b[2Jil",
        "run/\u202egnp.exe",
        "run\\..\\evil",
        "C:/evil",
        "run/" + "x" * 256,
        "..",
        ".",
        "",
    ],
)
def test_names_that_lead_elsewhere(tmp_path: Path, name: str) -> None:
    """A name that is absolute, leads outside, has control characters or is too long is refused in the manifest."""
    _refused(tmp_path, gzip.compress(_bundle(named={**FILES, name: b"x"})), "its name")


@pytest.mark.parametrize("name", ["../evil", "/tmp/evil-of-a-bundle", "run/../../evil", "run/unnamed", "bundle.json"])
def test_members_that_the_manifest_does_not_name(tmp_path: Path, name: str) -> None:
    """A member that the manifest does not name is never written, wherever it would go."""
    _refused(tmp_path, gzip.compress(_bundle(_member(name, b"x"))), "is not named in bundle.json")
    assert not Path("/tmp/evil-of-a-bundle").exists()


@pytest.mark.parametrize(
    ("kind", "what"),
    [
        (tarfile.SYMTYPE, "link"),
        (tarfile.LNKTYPE, "hard link"),
        (tarfile.CHRTYPE, "device"),
        (tarfile.BLKTYPE, "device"),
        (tarfile.FIFOTYPE, "pipe"),
        (tarfile.DIRTYPE, "folder"),
        (tarfile.CONTTYPE, "contiguous file"),
        (tarfile.GNUTYPE_SPARSE, "sparse file"),
        (tarfile.XHDTYPE, "extension header"),
        (tarfile.XGLTYPE, "global header"),
        (tarfile.GNUTYPE_LONGNAME, "long name"),
    ],
)
def test_what_is_no_regular_file(tmp_path: Path, kind: bytes, what: str) -> None:
    """Links, devices, pipes, folders and extension headers are refused, although the manifest names them."""
    del what
    member = _member("run/evil", type=kind, linkname="/etc/passwd")
    _refused(tmp_path, gzip.compress(_bundle(member, named={**FILES, "run/evil": b""})), "is no regular file")


def test_a_file_through_a_link(tmp_path: Path) -> None:
    """A link that a later file would be written through is refused before that file comes."""
    link = _member("run/out", type=tarfile.SYMTYPE, linkname="/tmp")
    named = {**FILES, "run/out/evil": b"x"}
    _refused(tmp_path, gzip.compress(_bundle(link, _member("run/out/evil", b"x"), named=named)), "is no regular file")


def test_duplicates(tmp_path: Path) -> None:
    """A file that comes twice is refused: one of the two was not looked at by somebody."""
    _refused(tmp_path, gzip.compress(_bundle(_member("run/spec.json", b"{}\n"))), "run/spec.json is there twice")


@pytest.mark.parametrize(
    "names",
    [
        ("run/A.txt", "run/a.txt"),
        ("run/straße", "run/STRASSE"),
        ("run/e\u0301", "run/\u00e9"),
        ("run/x", "run/x/y"),
        ("run/x/y", "run/X/z"),
    ],
)
def test_collisions(tmp_path: Path, names: tuple[str, str]) -> None:
    """Two names that some file system takes for one, or a file that is a folder too, are refused."""
    named = {**FILES, **dict.fromkeys(names, b"x")}
    _refused(tmp_path, gzip.compress(_bundle(named=named)), "would be one file on some disks")


def test_a_changed_file_is_named(tmp_path: Path) -> None:
    """The error names the file, the expected and the received hash."""
    changed = {**FILES, "run/spec.json": b"[]\n"}
    content = gzip.compress(_bundle(files=changed, named=FILES))
    _refused(tmp_path, content, "run/spec.json was changed", _sha(b"{}\n"), _sha(b"[]\n"))


def test_a_file_of_another_size(tmp_path: Path) -> None:
    """A file that is longer than the manifest says is refused before it is written."""
    content = gzip.compress(_bundle(files={**FILES, "run/spec.json": b"{ }\n"}, named=FILES))
    _refused(tmp_path, content, "run/spec.json was changed", "expected 3 bytes, received 4")


def test_a_missing_file(tmp_path: Path) -> None:
    """A file that the manifest names and the archive does not have is named."""
    _refused(tmp_path, gzip.compress(_bundle(named={**FILES, "run/x": b"x"})), "run/x is missing")


@pytest.mark.parametrize("keep", [0.0, 0.02, 0.3, 0.6, 0.95, 0.999])
def test_truncated_gzip(tmp_path: Path, keep: float) -> None:
    """A file that breaks off anywhere is said to be truncated, or no gzip where nothing is left."""
    content = gzip.compress(_bundle(files={**FILES, "run/noise": os.urandom(20_000)}))
    _refused(tmp_path, content[: int(len(content) * keep)], "truncated" if keep else "no gzip")


@pytest.mark.parametrize("keep", [100, 512, 1200, 3000])
def test_truncated_tar(tmp_path: Path, keep: int) -> None:
    """A tar that breaks off in a whole gzip is truncated too."""
    _refused(tmp_path, gzip.compress(_bundle()[:keep]), "truncated")


def test_a_flipped_bit(tmp_path: Path) -> None:
    """A gzip whose check sum does not fit is damaged."""
    content = bytearray(gzip.compress(_bundle()))
    content[-6] ^= 1
    _refused(tmp_path, bytes(content), "is damaged")


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (b"", "no gzip"),
        (b"hello", "no gzip"),
        (b"\x1f\x8b\x08", "truncated"),
        (gzip.compress(b"", mtime=0), "truncated"),
        (gzip.compress(b"hello" * 200, mtime=0), "no tar archive"),
        (gzip.compress(b"\0" * 10240, mtime=0), "no bundle of the harness"),
        (gzip.compress(_tar([_member("etc/passwd", b"root")])), "no bundle of the harness"),
        (gzip.compress(_tar([_member("a/bundle.json", b"{}")])), "no bundle of the harness"),
        (gzip.compress(_tar([_member("ü" * 120, b"x")], tarfile.PAX_FORMAT)), "no regular file"),
    ],
)
def test_foreign_files(tmp_path: Path, content: bytes, text: str) -> None:
    """What is no bundle is refused with what it is instead."""
    _refused(tmp_path, content, text)


def test_a_zip(tmp_path: Path) -> None:
    """A zip, as CI systems wrap what they keep, is no bundle."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("bundle.json", _manifest(FILES))
    _refused(tmp_path, out.getvalue(), "no gzip")


def test_something_behind_the_end(tmp_path: Path) -> None:
    """Nothing may hide behind the end of the archive or of the gzip."""
    _refused(tmp_path, gzip.compress(_bundle() + b"x" * 512), "something follows")
    _refused(tmp_path, gzip.compress(_bundle()) + gzip.compress(b"x"), "something follows")
    _refused(tmp_path, gzip.compress(_bundle()) + b"x", "something follows")


def test_a_newer_format(tmp_path: Path) -> None:
    """The error says which version of the harness is needed."""
    file = tmp_path / "new.tar.gz"
    file.write_bytes(gzip.compress(_bundle(format=2, harness="9.1.0", files={**FILES})))
    with pytest.raises(DescriptionError, match="has format 2, and this harness reads format 1") as caught:
        open_bundle(file, tmp_path / "into")
    assert "ml-container-harness >= 9.1.0" in caught.value.hint


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (b"", "no JSON"),
        (b"{", "no JSON"),
        (b"[" * 100_000, "no JSON"),
        (b"\xff\xfe", "no JSON"),
        (b"[]", "names no format"),
        (b'{"format": "1"}', "names no format"),
        (b'{"format": true}', "names no format"),
        (b'{"format": 1}', "is broken"),
        (_manifest(FILES, files=[]), "is broken"),
        (_manifest(FILES, files={"a": {"sha256": "x", "size": 1}}), "is broken"),
        (_manifest(FILES, files={"a": {"sha256": "0" * 64, "size": -1}}), "is broken"),
        (_manifest(FILES, compose_files=["../compose.yaml"]), "its name"),
        (_manifest(FILES, data="../../home"), "its name"),
        (_manifest(FILES, folders=["../x"]), "its name"),
        (
            _manifest(FILES, images={"train": {**IMAGE, "file": "/x"}}),
            "its name",
        ),
    ],
)
def test_broken_manifests(tmp_path: Path, text: bytes, said: str) -> None:
    """A manifest that is no JSON, of another form, or names places outside is refused."""
    _refused(tmp_path, gzip.compress(_tar([_member("bundle.json", text)])), said)


def test_an_image_that_is_not_in_the_bundle(tmp_path: Path) -> None:
    """An image file that the manifest promises and does not list is refused."""
    image = {**IMAGE, "file": "images/train.tar"}
    _refused(tmp_path, gzip.compress(_bundle(images={"train": image})), "images/train.tar")


def _peak(work: Callable[[], None]) -> int:
    tracemalloc.start()
    try:
        work()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_a_huge_manifest(tmp_path: Path) -> None:
    """A manifest of gigabytes is refused by its header: neither read nor held."""
    info = tarfile.TarInfo("bundle.json")
    info.size = 8 * 2**30 - 1
    header = info.tobuf(tarfile.USTAR_FORMAT)
    peak = _peak(lambda: _refused(tmp_path, gzip.compress(header), f"at most {MAX_SIZE} are read"))
    assert peak < 8 * 2**20


def test_a_huge_extension_header(tmp_path: Path) -> None:
    """An extension header that announces gigabytes, which tar readers hold in memory, is refused by its type."""
    info = tarfile.TarInfo("././@PaxHeader")
    info.type, info.size = tarfile.XHDTYPE, 8 * 2**30 - 1
    peak = _peak(lambda: _refused(tmp_path, gzip.compress(info.tobuf(tarfile.USTAR_FORMAT)), "is no regular file"))
    assert peak < 8 * 2**20


def test_a_size_below_zero(tmp_path: Path) -> None:
    """A negative size in the base-256 notation of GNU is refused."""
    info = tarfile.TarInfo("bundle.json")
    block = bytearray(info.tobuf(tarfile.GNU_FORMAT))
    block[124:136] = tarfile.itn(-512, 12, tarfile.GNU_FORMAT)  # type: ignore[attr-defined]
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    _refused(tmp_path, gzip.compress(bytes(block)), "is no regular file")


def _zeros(size: int, *, behind: bytes) -> bytes:
    """Return a gzip of zeros behind something, made without holding them."""
    packer = zlib.compressobj(9, wbits=31)
    parts = [packer.compress(behind)]
    parts += [packer.compress(b"\0" * 2**20) for _ in range(size >> 20)]
    return b"".join([*parts, packer.flush()])


def test_a_bomb(tmp_path: Path) -> None:
    """A file that grows a thousandfold is refused by its ratio, long before the disk is full."""
    size = 128 * 2**20  # twice what may be written before the ratio counts
    head = _member("bundle.json", json.dumps({
        **json.loads(_manifest({})), "files": {"run/zeros": {"sha256": "0" * 64, "size": size}},
    }).encode())  # fmt: skip
    body = _tar([head])[: 512 * (1 + -(-len(head[1]) // 512))]
    info = tarfile.TarInfo("run/zeros")
    info.size = size
    packer = zlib.compressobj(9, wbits=31)
    parts = [packer.compress(body + info.tobuf(tarfile.USTAR_FORMAT))]
    parts += [packer.compress(b"\0" * 2**20) for _ in range(size >> 20)]
    content = b"".join([*parts, packer.flush()])
    assert len(content) < 2**20
    peak = _peak(lambda: _refused(tmp_path, content, "a bomb"))
    assert peak < 8 * 2**20


def test_a_bomb_of_nothing(tmp_path: Path) -> None:
    """Zeros behind the end of an archive are bounded too."""
    _refused(tmp_path, _zeros(128 * 2**20, behind=_bundle()), "a bomb")


def test_more_than_the_total(tmp_path: Path) -> None:
    """A bundle that would write more than is allowed is refused before a file of it is written."""
    content = gzip.compress(_bundle(files={**FILES, "run/noise": os.urandom(5000)}))
    _refused(tmp_path, content, "at most 4000 are allowed", limits=UnpackLimits(total=4000))


def test_a_million_files(tmp_path: Path) -> None:
    """An archive of a million files stops at the first that is not named, and holds none of them."""
    body = _bundle()
    while body.endswith(b"\0" * 512):
        body = body[:-512]
    packer = zlib.compressobj(1, wbits=31)
    parts = [packer.compress(body)]
    template = tarfile.TarInfo("run/f").tobuf(tarfile.USTAR_FORMAT)
    parts += [packer.compress(template * 10_000) for _ in range(100)]
    content = b"".join([*parts, packer.flush()])
    peak = _peak(lambda: _refused(tmp_path, content, "'run/f' is not named"))
    assert peak < 8 * 2**20


def test_a_manifest_of_too_many_files(tmp_path: Path) -> None:
    """A manifest that names more files than any bundle holds is refused before one is written."""
    named = {f"run/{number}": b"" for number in range(MAX_FILES + 1)}
    _refused(tmp_path, gzip.compress(_bundle(named=named)), f"more than {MAX_FILES} files")


def test_where_to(tmp_path: Path) -> None:
    """A folder that holds something is never written into; one that is empty, or new, is."""
    (tmp_path / "into").mkdir()
    assert _open(tmp_path, gzip.compress(_bundle())).manifest.run == "r1"
    with pytest.raises(DescriptionError, match="is not empty"):
        _open(tmp_path, gzip.compress(_bundle()))


def test_no_file(tmp_path: Path) -> None:
    """A file that is not there, and a folder in its place, are said to be so."""
    with pytest.raises(DescriptionError, match="cannot be read: No such file"):
        open_bundle(tmp_path / "none", tmp_path / "into")
    (tmp_path / "folder").mkdir()
    with pytest.raises(DescriptionError, match="cannot be read"):
        open_bundle(tmp_path / "folder", tmp_path / "into")
