"""Reads a table row by row, hashing its bytes on the way, and writes the rows of a sample as they were."""

from __future__ import annotations

import csv
import hashlib
import io
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.datasets.sample import MISSING, SampledRow
from harness.datasets.tables import require
from harness.errors import DescriptionError

BUFFER = 2**20
NO_CLASS = ""


class _Hashed(io.RawIOBase):
    """A file whose bytes are hashed as they are read."""

    def __init__(self, path: Path) -> None:
        self._file: io.FileIO | None = None  # closed by the interpreter too where the file cannot be opened
        self.sha256 = hashlib.sha256()
        self._file = path.open("rb", buffering=0)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        count = (self._file.readinto(buffer) if self._file else 0) or 0
        self.sha256.update(memoryview(buffer)[:count])
        return count

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
        super().close()


@dataclass
class TableSource:
    """A table that is read once; `sha256` is that of the whole file once it was read to its end."""

    path: Path
    target: str | None
    raw: _Hashed
    header: Any = None

    @property
    def sha256(self) -> str:
        """The hash of the bytes read so far."""
        return self.raw.sha256.hexdigest()

    def rows(self) -> Iterator[SampledRow]:
        """Yield all rows. Raises DescriptionError for what is no table, naming the line."""
        try:
            if self.path.suffix == ".parquet":
                yield from self._parquet()
                return
            text = io.TextIOWrapper(io.BufferedReader(self.raw, BUFFER), encoding="utf-8-sig", newline="")
            yield from self._csv(text) if self.path.suffix == ".csv" else self._json_lines(text)
        except UnicodeDecodeError as exc:
            raise DescriptionError(f"{self.path.name} is no UTF-8: {exc}", hint="Convert it to UTF-8.") from exc

    def write(self, path: Path, rows: tuple[SampledRow, ...]) -> None:
        """Write rows in the format of the source. Raises OSError."""
        if self.path.suffix == ".parquet":
            import pyarrow as pa
            from pyarrow import parquet

            table = pa.Table.from_pylist([row.raw for row in rows], schema=self.header)
            parquet.write_table(table, path)
            return
        with path.open("w", encoding="utf-8", newline="") as stream:
            if self.path.suffix == ".csv":
                csv.writer(stream, lineterminator="\n").writerows([self.header, *(row.raw for row in rows)])
            else:
                stream.writelines(f"{row.raw}\n" for row in rows)

    def _csv(self, text: io.TextIOWrapper) -> Iterator[SampledRow]:
        reader = csv.reader(text)
        try:
            self.header = header = next(reader, [])
            place = self._place(header)
            number = 0
            for values in reader:
                if not values:
                    continue
                if len(values) != len(header):
                    raise self._broken(reader.line_num, f"expected {len(header)} values, received {len(values)}")
                lacks = () if MISSING.isdisjoint(values) else tuple(
                    name for name, value in zip(header, values, strict=True) if value in MISSING
                )  # fmt: skip
                yield SampledRow(number, values[place] if place is not None else NO_CLASS, lacks, values)
                number += 1
        except csv.Error as exc:
            raise self._broken(reader.line_num, str(exc)) from exc

    def _json_lines(self, text: io.TextIOWrapper) -> Iterator[SampledRow]:
        number = 0
        for line_number, line in enumerate(text, 1):
            if not (stripped := line.strip()):
                continue
            try:
                values = json.loads(stripped)
            except ValueError as exc:
                raise self._broken(line_number, str(exc)) from exc
            if not isinstance(values, dict):
                raise self._broken(line_number, f"expected an object, received {stripped[:40]}")
            if number == 0:
                self.header = list(values)
                self._place(self.header)
            lacks = tuple(name for name in self.header if values.get(name) is None)
            yield SampledRow(number, self._label(values), lacks, stripped)
            number += 1

    def _parquet(self) -> Iterator[SampledRow]:
        from pyarrow import parquet

        while self.raw.read(BUFFER):
            pass
        number = 0
        with parquet.ParquetFile(self.path) as file:
            self.header = file.schema_arrow
            self._place(self.header.names)
            for batch in file.iter_batches(batch_size=10_000):
                for values in batch.to_pylist():
                    lacks = tuple(name for name, value in values.items() if value is None or value != value)  # noqa: PLR0124
                    yield SampledRow(number, self._label(values), lacks, values)
                    number += 1

    def _label(self, values: dict[str, Any]) -> str:
        return NO_CLASS if self.target is None else str(values.get(self.target))

    def _place(self, header: list[str]) -> int | None:
        """Return where the target stands. Raises DescriptionError."""
        if self.target is None:
            return None
        if self.target not in header:
            raise DescriptionError(
                f"{self.path.name} has no column {self.target!r}", hint=f"It has {', '.join(header[:20])}."
            )
        return header.index(self.target)

    def _broken(self, line: int, why: str) -> DescriptionError:
        return DescriptionError(f"{self.path.name}, line {line}: {why}", hint="Correct the table, then draw again.")


@contextmanager
def source(path: Path, target: str | None) -> Iterator[TableSource]:
    """Open a table. Raises DescriptionError."""
    require(path)
    try:
        raw = _Hashed(path)
    except OSError as exc:
        raise DescriptionError(f"the table {path} cannot be read: {exc}", hint="Correct the path.") from exc
    with raw:
        yield TableSource(path, target, raw)
