"""The content of a bundle while it is put together: files redacted, hashed, and within the limits."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path

from harness.reproduce.bundle.contents import Candidate
from harness.reproduce.bundle.manifest import MAX_FILES, Absent, BundleEntry, Redaction, problem_of
from harness.reproduce.bundle.redaction import SNIFFED, Redactor

CHUNK = 2**20
OWN_FILES = 50  # that are added whatever the limits say: README, requests, images
TOO_LARGE = "larger than the limit of a file in a bundle"
TOO_MUCH = "more than the limit of the bundle"


@dataclass
class Stage:
    """The content of a bundle while it is put together, in a folder of its own."""

    folder: Path
    redactor: Redactor
    left: int  # bytes that still fit
    files: dict[str, BundleEntry] = field(default_factory=dict)
    absent: list[Absent] = field(default_factory=list)

    def put(self, path: str, chunks: Iterable[bytes], *, executable: bool = False) -> None:
        """Add a file from pieces."""
        target = self.folder / path
        digest, size = hashlib.sha256(), 0
        target.parent.mkdir(parents=True, exist_ok=True)
        with target.open("wb") as out:
            for chunk in chunks:
                digest.update(chunk)
                size += len(chunk)
                out.write(chunk)
        target.chmod(0o755 if executable else 0o644)
        self.files[path] = BundleEntry(digest.hexdigest(), size)

    def leave(self, candidate: Candidate, why: str, *, read: bool = True) -> None:
        """Note a file that stays out, with its hash where that may be told."""
        sha256, size = None, None
        if read and candidate.source.is_file():
            size = candidate.source.stat().st_size
            with candidate.source.open("rb") as stream:
                sha256 = hashlib.file_digest(stream, "sha256").hexdigest()
        how = candidate.how or "Look into the run folder on the machine of the run, or pack with a larger --limit."
        self.absent.append(Absent(candidate.path, sha256, size, why, how))

    def take(self, candidate: Candidate, limit: int | None) -> None:
        """Add a file, or note why it stays out; without a `limit` it may be as large as it is."""
        if (shown := self.redactor.redact(candidate.path.encode("utf-8", "surrogateescape"), "a file name")) != (
            candidate.path.encode("utf-8", "surrogateescape")
        ):
            named = replace(candidate, path=shown.decode("utf-8", "replace"))
            self.leave(named, "its name holds a secret", read=False)
            return
        why = candidate.why or problem_of(candidate.path)
        if why:
            self.leave(candidate, why, read="credential" not in why)
            return
        size = candidate.source.stat().st_size
        if limit is not None and (size > min(limit, self.left) or len(self.files) >= MAX_FILES - 10):
            self.leave(candidate, TOO_LARGE if size > limit else "more than the limit of the bundle")
            return
        with candidate.source.open("rb") as stream:
            head = stream.read(SNIFFED)
            stream.seek(0)
            executable = bool(candidate.source.stat().st_mode & 0o100)
            if b"\0" not in head:
                self.put(candidate.path, self.redactor.redact_file(stream, candidate.path), executable=executable)
            elif name := self.redactor.holds(stream):
                self.redactor.note(name, candidate.path)
                self.leave(candidate, f"a binary file that holds the secret {name}", read=False)
                return
            else:
                stream.seek(0)
                self.put(candidate.path, iter(lambda: stream.read(CHUNK), b""), executable=executable)
        self.left -= size if limit is not None else 0

    @property
    def redactions(self) -> tuple[Redaction, ...]:
        """What was replaced so far, and where."""
        places = sorted(self.redactor.places.items())
        return tuple(Redaction(name, tuple(sorted(where))) for name, where in places)
