"""The manifest of a bundle, `bundle.json`: what is in it, what is not and how to get it, what was redacted."""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Annotated, Any

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError

from harness.errors import DescriptionError

FORMAT = 1
NAME = "bundle.json"
MAX_SIZE = 8 * 2**20  # bytes of bundle.json
MAX_FILES = 20_000
MAX_NAME = 255  # bytes: what the header of a tar member holds without an extension

Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Size = Annotated[int, Field(ge=0)]


@dataclass(frozen=True)
class BundleEntry:
    """One file of the bundle."""

    sha256: Sha256
    size: Size


@dataclass(frozen=True)
class Absent:
    """One file that belongs to the run and is not in the bundle."""

    path: str
    sha256: str | None  # None where it could not or must not be read
    size: int | None
    why: str
    how: str  # to get it


@dataclass(frozen=True)
class Image:
    """One image of the run: what it is called, what it starts from, what it is."""

    reference: str
    bases: tuple[str, ...]  # references of the images that its build starts from, with their digests
    id: str  # digest of its configuration
    diff_ids: tuple[str, ...]
    platform: str
    file: str | None = None  # path in the bundle of what `docker save` gave


@dataclass(frozen=True)
class Redaction:
    """One secret that was replaced: its name, and in which files. The value stands nowhere."""

    name: str
    places: tuple[str, ...]


@dataclass(frozen=True)
class BundleManifest:
    """All that is said of a bundle."""

    __pydantic_config__ = ConfigDict(ser_json_inf_nan="constants")

    format: int
    harness: str  # version that packed it
    run: str
    project: str
    command: tuple[str, ...]  # the call that made the run, such as ("harness", "run", "--fast")
    compose_files: tuple[str, ...]  # below project/
    files: dict[str, BundleEntry]
    folders: tuple[str, ...] = ()  # empty ones
    absent: tuple[Absent, ...] = ()
    images: Mapping[str, Image] = field(default_factory=dict)  # service -> image
    redactions: tuple[Redaction, ...] = ()
    data: str | None = None  # path of the dataset below project/

    def to_json(self) -> bytes:
        """Return it as JSON whose bytes depend on its content alone."""
        return json.dumps(_MANIFEST.dump_python(self, mode="json"), indent=1, sort_keys=True).encode() + b"\n"


_MANIFEST: TypeAdapter[BundleManifest] = TypeAdapter(BundleManifest)


def parse(text: bytes, where: str) -> BundleManifest:
    """Return the manifest in a text, its names checked. Raises DescriptionError."""
    try:
        raw: Any = json.loads(text)
    except (ValueError, RecursionError) as exc:
        raise DescriptionError(f"{where}: {NAME} is no JSON: {exc!r}", hint="Get the file again.") from exc
    if not isinstance(raw, dict) or type(raw.get("format")) is not int:
        raise DescriptionError(f"{where}: {NAME} names no format", hint="Give a file that `harness bundle` made.")
    if raw["format"] != FORMAT:
        needed = raw.get("harness")
        version = f" >= {needed}" if isinstance(needed, str) and re.fullmatch(r"[0-9][\w.+]{0,30}", needed) else ""
        raise DescriptionError(
            f"{where} has format {raw['format']}, and this harness reads format {FORMAT}",
            hint=f"Install the harness that made it: pip install 'ml-container-harness{version}'.",
        )
    try:
        found = _MANIFEST.validate_python(raw, strict=False)
    except (ValidationError, RecursionError) as exc:
        said = str(exc).splitlines()
        raise DescriptionError(f"{where}: {NAME} is broken: {' '.join(said[:3])}", hint="Get the file again.") from exc
    _check(found, where)
    return found


def problem_of(name: str) -> str:
    """Return why a bundle holds no file of this name; empty where it may."""
    if not name or len(name.encode("utf-8", "surrogateescape")) > MAX_NAME:
        return f"its name is empty or longer than {MAX_NAME} bytes"
    if any(unicodedata.category(character) in ("Cc", "Cf", "Cs", "Zl", "Zp") for character in name):
        return "its name has control characters, or is no UTF-8"
    if name.startswith("/") or "\\" in name or re.match(r"^[A-Za-z]:", name):
        return "its name is absolute or has a backslash"
    if str(PurePosixPath(name)) != name or ".." in PurePosixPath(name).parts or name == ".":
        return "its name leads outside, or is not the shortest of its kind"
    return ""


def _check(manifest: BundleManifest, where: str) -> None:
    """Raise DescriptionError where a name is unsafe, or two would be one file on some disk."""
    hint = "The file is damaged or hostile: do not use it."
    if len(manifest.files) + len(manifest.folders) > MAX_FILES:
        raise DescriptionError(f"{where} names more than {MAX_FILES} files", hint=hint)
    names = [*manifest.files, *manifest.folders, *(f"project/{name}" for name in manifest.compose_files)]
    names += [image.file for image in manifest.images.values() if image.file is not None]
    if manifest.data not in (None, "."):
        names.append(f"project/{manifest.data}")
    for name in names:
        if problem := problem_of(name):
            raise DescriptionError(f"{where} names the file {name[:200]!r}: {problem}", hint=hint)
    saved = (image.file for image in manifest.images.values() if image.file is not None)
    if lost := next((name for name in saved if name not in manifest.files), None):
        raise DescriptionError(f"{where} names the image {lost[:200]!r}, which is none of its files", hint=hint)
    if clash := collision([*manifest.files, *manifest.folders]):
        raise DescriptionError(f"{where}: {clash[0]!r} and {clash[1]!r} would be one file on some disks", hint=hint)


def collision(names: Iterable[str]) -> tuple[str, str] | None:
    """Return two names that some file system takes for one, or of which one is a file and a folder; else None."""
    files: dict[str, str] = {}
    folders: dict[str, str] = {}
    for name in names:
        key = _folded(name)
        other = files.get(key, folders.get(key))
        if other is not None:
            return other, name
        files[key] = name
        for parent in PurePosixPath(name).parents:
            above = str(parent)
            if above == ".":
                break
            key = _folded(above)
            if key in files:
                return files[key], name
            if folders.setdefault(key, above) != above:
                return folders[key], above
    return None


def _folded(name: str) -> str:
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())
