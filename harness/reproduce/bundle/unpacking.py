"""Unpacks a bundle that anybody may have made: nothing is written that its manifest does not name and vouch for.

A bundle is a gzip of a plain ustar archive (POSIX.1-1988) of regular files, `bundle.json` first. Everything else a tar
can hold (links, devices, folders, extension headers) is refused, so that no header makes the reader hold or follow
anything. Sizes are known from the manifest before a file is written.
"""

from __future__ import annotations

import hashlib
import shutil
import tarfile
import tempfile
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from harness.errors import DescriptionError
from harness.evidence.run_folder import RunFolder, disk_errors
from harness.reproduce.bundle.manifest import MAX_SIZE, NAME, BundleEntry, BundleManifest, parse

BLOCK = tarfile.BLOCKSIZE
CHUNK = 64 * 1024
GZIP = b"\x1f\x8b\x08"
EXECUTABLE = 0o100
WHY = "Get the file again; if it comes from a stranger, do not use it."


@dataclass(frozen=True)
class UnpackLimits:
    """What a bundle may make this machine write. A gzip can grow a thousandfold, what people pack hardly fiftyfold."""

    total: int = 20 * 2**30  # bytes of all files
    ratio: int = 200  # bytes written for each byte read
    free: int = 64 * 2**20  # bytes for which the ratio does not count


@dataclass(frozen=True)
class Bundle:
    """An unpacked bundle, every file of it as its manifest says."""

    path: Path
    manifest: BundleManifest

    @property
    def run(self) -> RunFolder:
        """The run folder."""
        return RunFolder(self.path / "run")

    @property
    def project(self) -> Path:
        """The folder of the project: what a rebuild and a run need of it."""
        return self.path / "project"

    @property
    def images(self) -> Mapping[str, Path]:
        """Service -> file of its image; empty where the bundle was packed without images."""
        found = self.manifest.images.items()
        return {service: self.path / image.file for service, image in found if image.file is not None}


def open_bundle(file: Path, into: Path, limits: UnpackLimits | None = None) -> Bundle:
    """Unpack a bundle into a folder that is new or empty, and verify every file.

    Either the whole bundle is there at the end or nothing is. Raises DescriptionError for a file that is no bundle, is
    damaged, hostile or of a newer format, and InfrastructureError for a disk that does not take it.
    """
    if into.exists() and (not into.is_dir() or any(into.iterdir())):
        raise DescriptionError(f"{into} is not empty", hint="Name a new folder.")
    with disk_errors(into):
        into.parent.mkdir(parents=True, exist_ok=True)
        work = Path(tempfile.mkdtemp(prefix=f".{into.name}-", dir=into.parent))
    try:
        manifest = _unpack(file, work, limits or UnpackLimits())
        with disk_errors(into):
            for name in manifest.folders:
                (work / name).mkdir(parents=True, exist_ok=True)
            for name in ("run", "project"):
                (work / name).mkdir(exist_ok=True)
            work.chmod(0o700)
            work.replace(into)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return Bundle(into, manifest)


def _unpack(file: Path, work: Path, limits: UnpackLimits) -> BundleManifest:
    try:
        stream = file.open("rb")
    except OSError as exc:
        raise DescriptionError(f"{file} cannot be read: {exc.strerror}", hint="Give the file of a bundle.") from exc
    with stream:
        archive = _Archive(stream, file.name, limits)
        manifest, digest = _manifest_of(archive, work)
        seen = {NAME: digest}
        for name, header in archive.members():
            entry = _expected(manifest, name, header, seen, file.name)
            seen[name] = _write(archive, work / name, entry.size, executable=bool(header.mode & EXECUTABLE))
            if seen[name] != entry.sha256:
                raise DescriptionError(
                    f"{file.name}: {name} was changed: expected SHA-256 {entry.sha256}, received {seen[name]}",
                    hint=WHY,
                )
        archive.expect_end()
    if missing := sorted(set(manifest.files) - set(seen)):
        raise DescriptionError(f"{file.name}: {missing[0]} is missing ({len(missing)} in all)", hint=WHY)
    return manifest


def _manifest_of(archive: _Archive, work: Path) -> tuple[BundleManifest, str]:
    """Read the first member, which must be the manifest; return it with its hash."""
    name, header = next(archive.members(), ("nothing", tarfile.TarInfo()))
    if name != NAME:
        raise DescriptionError(
            f"{archive.name} is no bundle of the harness: expected {NAME} as its first file, received {name[:200]!r}",
            hint="Give a file that `harness bundle` or a failed `harness run` made.",
        )
    if header.size > MAX_SIZE:
        raise DescriptionError(f"{archive.name}: {NAME} has {header.size} bytes, at most {MAX_SIZE} are read", hint=WHY)
    digest = _write(archive, work / NAME, header.size)
    manifest = parse((work / NAME).read_bytes(), archive.name)
    total = sum(entry.size for entry in manifest.files.values())
    if total > archive.limits.total:
        raise DescriptionError(
            f"{archive.name} would write {total} bytes, at most {archive.limits.total} are allowed", hint=WHY
        )
    return manifest, digest


def _expected(
    manifest: BundleManifest, name: str, header: tarfile.TarInfo, seen: Mapping[str, str], where: str
) -> BundleEntry:
    """Return what the manifest says of a member. Raises DescriptionError where it says nothing or something else."""
    entry = manifest.files.get(name)
    if entry is None or name == NAME:
        raise DescriptionError(f"{where}: {name[:200]!r} is not named in {NAME}", hint=WHY)
    if name in seen:
        raise DescriptionError(f"{where}: {name} is there twice", hint=WHY)
    if header.size != entry.size:
        raise DescriptionError(
            f"{where}: {name} was changed: expected {entry.size} bytes, received {header.size}", hint=WHY
        )
    return entry


def _write(archive: _Archive, target: Path, size: int, *, executable: bool = False) -> str:
    """Write the body of a member to a new file; return its SHA-256."""
    digest = hashlib.sha256()
    with disk_errors(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        out = target.open("xb")  # never through a file or a link that is there
    with out:
        for chunk in archive.body(size):
            digest.update(chunk)
            with disk_errors(target):
                out.write(chunk)
    target.chmod(0o755 if executable else 0o644)
    return digest.hexdigest()


class _Archive:
    """Members of a gzipped ustar archive, one after the other; at most a chunk is held."""

    def __init__(self, stream: IO[bytes], name: str, limits: UnpackLimits) -> None:
        self.name = name
        self.limits = limits
        self._stream = stream
        self._unzip = zlib.decompressobj(wbits=31)  # 31: a gzip header, and its check sum at the end
        self._read = self._made = 0
        self._rest = b""

    def members(self) -> Iterator[tuple[str, tarfile.TarInfo]]:
        """Yield name and header of each member; its body must be read before the next. Raises DescriptionError."""
        while True:
            block = self._exactly(BLOCK)
            if not any(block):
                return
            try:
                header = tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
            except tarfile.HeaderError as exc:
                raise DescriptionError(f"{self.name} holds no tar archive: {exc}", hint=WHY) from exc
            if header.type not in (tarfile.REGTYPE, tarfile.AREGTYPE) or header.size < 0:
                raise DescriptionError(
                    f"{self.name}: {header.name[:200]!r} is no regular file (type {header.type!r})",
                    hint="A bundle holds regular files alone: this one is foreign, damaged or hostile.",
                )
            yield header.name, header

    def body(self, size: int) -> Iterator[bytes]:
        """Yield the bytes of a member, and skip what fills its last block."""
        left = size
        while left:
            chunk = self._some(min(left, CHUNK))
            left -= len(chunk)
            yield chunk
        if size % BLOCK:
            self._exactly(BLOCK - size % BLOCK)

    def expect_end(self) -> None:
        """Raise DescriptionError unless nothing but zeros follows, and the gzip is whole."""
        while chunk := self._more(CHUNK):
            if any(chunk):
                raise DescriptionError(f"{self.name}: something follows the end of its archive", hint=WHY)
        if self._unzip.unused_data or self._stream.read(1):
            raise DescriptionError(f"{self.name}: something follows the end of its gzip", hint=WHY)

    def _exactly(self, size: int) -> bytes:
        parts = []
        while size:
            part = self._some(size)
            parts.append(part)
            size -= len(part)
        return b"".join(parts)

    def _some(self, size: int) -> bytes:
        """Return 1 to `size` bytes. Raises DescriptionError at the end."""
        if chunk := self._more(size):
            return chunk
        raise DescriptionError(f"{self.name} is truncated: its archive breaks off", hint=WHY)

    def _more(self, size: int) -> bytes:
        """Return at most `size` bytes, none at the end of the gzip."""
        while not self._rest and not self._unzip.eof:
            self._rest = self._inflated()
        chunk, self._rest = self._rest[:size], self._rest[size:]
        return chunk

    def _inflated(self) -> bytes:
        data = self._unzip.unconsumed_tail
        if not data:
            data = self._stream.read(CHUNK)
            if not self._read and not data.startswith(GZIP):
                raise DescriptionError(f"{self.name} is no bundle: it is no gzip", hint="Give the file of a bundle.")
            self._read += len(data)
        try:
            made = self._unzip.decompress(data, CHUNK)
        except zlib.error as exc:
            raise DescriptionError(f"{self.name} is damaged: {exc}", hint=WHY) from exc
        if not data and not made and not self._unzip.eof:  # without input zlib still gives what it holds
            raise DescriptionError(f"{self.name} is truncated: its gzip breaks off", hint=WHY)
        self._made += len(made)
        if self._made > self.limits.total + 2 * MAX_SIZE:
            raise DescriptionError(f"{self.name} would write more than {self.limits.total} bytes", hint=WHY)
        if self._made > self.limits.free and self._made > self.limits.ratio * self._read:
            raise DescriptionError(
                f"{self.name} grows more than {self.limits.ratio}-fold when it is unpacked: a bomb", hint=WHY
            )
        return made
