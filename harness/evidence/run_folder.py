"""Writes and reads the run folder: every record is a file, written atomically, readable without the harness."""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, fields, replace
from datetime import UTC, datetime
from pathlib import Path
from types import UnionType
from typing import Any, get_args, get_type_hints

from pydantic import ConfigDict, TypeAdapter, ValidationError

from harness.errors import DescriptionError, DiskFullError, InfrastructureError, is_disk_full
from harness.evidence.records import Ending, Evidence, Exchange, Finding

STORE = ".harness"
LATEST = "latest"
FINDINGS = "findings.json"
EXCHANGES = "exchanges.ndjson"
VIOLATIONS = "violations.ndjson"  # breaches of the data schema, all of them
# `provenance.json` itself is the statement. Everything else is `<field of Evidence>.json`.
FOLDERS = {"train": "train/record.json", "serve": "serve/record.json", "provenance": "provenance/record.json"}


@dataclass(frozen=True)
class RunFolder:
    """One run's evidence on disk."""

    path: Path

    @property
    def id(self) -> str:
        """The run's ID is the name of its folder."""
        return self.path.name

    @property
    def cache(self) -> Path:
        """Folder beside the runs for what they share and can make anew."""
        return self.path.parents[1] / "cache"

    @classmethod
    def create(cls, root: Path) -> RunFolder:
        """Make the folder of a new run. Raises InfrastructureError, DiskFullError."""
        name = f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{secrets.token_hex(3)}"
        path = root / STORE / "runs" / name
        ignored(root)
        with disk_errors(path):
            private_folder(path)
        return cls(path)

    @classmethod
    def find(cls, root: Path, name: str) -> RunFolder:
        """Return a run by path, ID, start of an ID, or `latest`. Raises DescriptionError."""
        runs = root / STORE / "runs"
        for candidate in (runs / name, Path(name)):
            if (candidate / "spec.json").is_file():
                return cls(candidate.resolve())
        folders = sorted(runs.glob("*"))
        complete = [p for p in folders if (p / "spec.json").is_file() and not p.is_symlink()]
        matching = [p for p in complete if p.name.startswith(name)]
        if len(matching) == 1:
            return cls(matching[0])
        known = ", ".join(p.name for p in folders[-5:]) or "none"
        raise DescriptionError(
            f"{len(matching)} runs match {name!r} below {runs}; the last ones are: {known}",
            hint="Give a run's ID, its folder, or `latest`.",
        )

    def write(self, field: str, record: Any) -> None:
        """Write one record of the evidence; the exchanges of the contract lie beside it, one a line."""
        if field == "contract":
            self.write_lines(EXCHANGES, map(_line, record.exchanges))
            record = replace(record, exchanges=())
        self.write_text(_file_of(field), _json(_ADAPTERS[field], record, indent=1))

    def append_exchange(self, exchange: Exchange) -> None:
        """Write one exchange as soon as it is over, so that an interrupt loses none."""
        self.append(EXCHANGES, _line(exchange))

    def write_findings(self, findings: Iterable[Finding]) -> None:
        """Write what the checks found."""
        self.write_text(FINDINGS, _json(_FINDINGS, tuple(findings), indent=1))

    def findings(self) -> tuple[Finding, ...]:
        """Return what the checks found; nothing where the run was not judged. Raises DescriptionError."""
        path = self.path / FINDINGS
        if not path.is_file():
            return ()
        try:
            return _FINDINGS.validate_json(path.read_bytes())
        except ValidationError as exc:
            raise DescriptionError(f"{path} is broken: {exc}", hint="Judge the run again: `harness judge`.") from exc

    def write_json(self, name: str, value: Any) -> Path:
        """Write any JSON value and return its path."""
        return self.write_text(name, json.dumps(value, indent=1, sort_keys=True))

    def write_text(self, name: str, text: str) -> Path:
        """Write a file atomically: a reader sees the old one, the new one, never a part."""
        path = self.path / name
        write_atomic(path, text + "\n", private=True)
        return path

    def write_lines(self, name: str, lines: Iterable[str]) -> int:
        """Write a file line by line, atomically, without holding it in memory; return how many lines it has."""
        path = self.path / name
        temporary = path.with_name(f".{path.name}.{os.getpid()}")
        count = 0
        with disk_errors(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            try:
                with open(temporary, "w", encoding="utf-8", errors="replace", opener=_private) as stream:
                    for line in lines:
                        stream.write(line + "\n")
                        count += 1
                temporary.replace(path)
            finally:
                temporary.unlink(missing_ok=True)
        return count

    def append(self, name: str, line: str) -> None:
        """Append one line to a log."""
        path = self.path / name
        with disk_errors(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            with open(path, "a", encoding="utf-8", opener=_private) as stream:
                stream.write(line + "\n")

    def mark_latest(self) -> None:
        """Let `.harness/runs/latest` point at this run, atomically."""
        link = self.path.with_name(LATEST)
        temporary = self.path.with_name(f".{LATEST}-{self.id}")
        with disk_errors(link):
            temporary.symlink_to(self.path.name)
            temporary.replace(link)

    def load(self) -> Evidence:
        """Read all records that are there; a missing one is None. Raises DescriptionError for a broken one."""
        values: dict[str, Any] = {}
        for name, adapter in _ADAPTERS.items():
            path = self.path / _file_of(name)
            if not path.is_file():
                continue
            try:
                values[name] = adapter.validate_json(path.read_bytes())
            except ValidationError as exc:
                raise DescriptionError(
                    f"{path} is no record of this version: {exc}", hint="Judge it with the version that ran it."
                ) from exc
            if values[name] is None:
                raise DescriptionError(f"{path} is no record", hint="The run folder is incomplete: run again.")
        if "contract" in values:
            values["contract"] = replace(values["contract"], exchanges=self._exchanges())
        if "spec" not in values:
            raise DescriptionError(f"{self.path} holds no spec.json", hint="Give the folder of a run.")
        return Evidence(**values)

    def ending(self) -> Ending | None:
        """Return how the run ended, without reading the rest; None where nothing readable says so."""
        try:
            ending: Ending | None = _ADAPTERS["end"].validate_json((self.path / _file_of("end")).read_bytes())
        except (OSError, ValidationError):
            return None
        return ending

    def salvage(self) -> tuple[Evidence | None, tuple[Finding, ...], tuple[str, ...]]:
        """Read what can be read, for a report on an incomplete run: evidence, findings, and what is amiss.

        The evidence is None where not even `spec.json` can be read: nothing says then what the run was of.
        """
        values: dict[str, Any] = {}
        amiss: list[str] = []
        for name, adapter in _ADAPTERS.items():
            path = self.path / _file_of(name)
            try:
                values[name] = adapter.validate_json(path.read_bytes())
                if name == "contract" and values[name] is not None:
                    values[name] = replace(values[name], exchanges=self._exchanges())
            except FileNotFoundError:
                continue
            except (OSError, ValueError, DescriptionError) as exc:
                amiss.append(f"{path.name} cannot be read: {str(exc).splitlines()[0]}")
        try:
            findings = self.findings()
        except (OSError, DescriptionError) as exc:
            findings = ()
            amiss.append(str(exc).splitlines()[0])
        if values.get("spec") is None:
            return None, findings, (*amiss, "spec.json cannot be read")
        return Evidence(**{name: value for name, value in values.items() if value is not None}), findings, tuple(amiss)

    def _exchanges(self) -> tuple[Exchange, ...]:
        path = self.path / EXCHANGES
        if not path.is_file():
            raise DescriptionError(f"{path} is missing", hint="The run folder is incomplete: run again.")
        try:
            with path.open("rb") as lines:
                return tuple(_EXCHANGE.validate_json(line) for line in lines if line.strip())
        except ValidationError as exc:
            raise DescriptionError(
                f"{path} holds a line that is no exchange: {exc}", hint="Judge it with the version that ran it."
            ) from exc


def ignored(root: Path) -> Path:
    """Return the folder of the harness in a project, which git ignores and its owner alone reads.

    Raises InfrastructureError, DiskFullError.
    """
    store = root / STORE
    with disk_errors(store):
        private_folder(store)
        ignore = store / ".gitignore"
        if not ignore.exists():
            ignore.write_text("# made by the harness: evidence of runs is not source\n*\n")
    return store


def private_folder(path: Path) -> None:
    """Make a folder that its owner alone reads: logs and answers of a run hold what other users must not see.

    One that is there is closed too; one of another user is left as it is. Raises OSError.
    """
    path.mkdir(parents=True, exist_ok=True, mode=0o700)
    with suppress(PermissionError):
        path.chmod(0o700)


def _private(path: str, flags: int) -> int:
    """Open a file so that a new one is its owner's alone."""
    return os.open(path, flags, 0o600)


def write_atomic(path: Path, text: str, *, private: bool = False) -> None:
    """Write a file so that a reader sees the old one or the new one, never a part. Raises as RunFolder does.

    One that is `private` is its owner's alone.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    with disk_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with open(temporary, "w", encoding="utf-8", opener=_private if private else None) as stream:
                stream.write(text)
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)


def _file_of(field: str) -> str:
    return FOLDERS.get(field, f"{field}.json")


def _line(exchange: Exchange) -> str:
    return _json(_EXCHANGE, exchange)


def _json(adapter: TypeAdapter[Any], record: Any, indent: int | None = None) -> str:
    """Return JSON with NaN and infinity as themselves, and `?` for what is no Unicode (a file name in Latin-1)."""
    text = json.dumps(adapter.dump_python(record, mode="json"), indent=indent, ensure_ascii=False)
    return text.encode("utf-8", "replace").decode()


def _adapters() -> dict[str, TypeAdapter[Any]]:
    hints = get_type_hints(Evidence)
    found: dict[str, TypeAdapter[Any]] = {}
    for field in fields(Evidence):
        hint = hints[field.name]
        kind = next(a for a in get_args(hint) if a is not type(None)) if isinstance(hint, UnionType) else hint
        # `| None`, because pydantic takes a configuration for no bare dataclass; `load` refuses it.
        found[field.name] = TypeAdapter(kind | None, config=ConfigDict(ser_json_inf_nan="constants"))
    return found


_ADAPTERS = _adapters()
_EXCHANGE = TypeAdapter(Exchange)
_FINDINGS: TypeAdapter[tuple[Finding, ...]] = TypeAdapter(tuple[Finding, ...])


@contextmanager
def disk_errors(path: Path) -> Iterator[None]:
    """Map what the disk of `path` refuses to DiskFullError or InfrastructureError."""
    try:
        yield
    except OSError as exc:
        if is_disk_full(str(exc)):
            raise DiskFullError(
                f"the disk is full: cannot write {path}", hint="Free space, or run the harness on another disk."
            ) from exc
        raise InfrastructureError(f"cannot write {path}: {exc}", hint="Check the folder's permissions.") from exc
