"""JSON lines, CSV, the file store of MLflow, TensorBoard event files, and a pattern over the log."""

from __future__ import annotations

import csv
import io
import json
import re
import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path, PurePosixPath
from types import TracebackType
from typing import TextIO

from harness.evidence.metrics.tensorboard import scalars

Value = float | int | str | bool | None
MetricRow = Mapping[str, Value]
EVENTS = "tfevents"  # in the name of every TensorBoard event file
STEP = "step"
LONGEST = 64 * 1024  # characters of a line that are looked at together
MOST = 1_000_000  # rows of a log
LEADING = re.compile(r"\.\*\??([A-Za-z0-9_=:\"' -]+)(?=[A-Za-z0-9_=:\"' -])")  # without its last character
PATIENCE = 20.0  # seconds for all lines that are longer


def read(path: str, files: Mapping[str, bytes]) -> tuple[MetricRow, ...]:
    """Return the rows of what is at `path` (name below it -> content). Raises ValueError with the place.

    A folder is what its files say: an MLflow store has `metrics/<key>`, TensorBoard `*tfevents*`.
    """
    if events := sorted(name for name in files if EVENTS in PurePosixPath(name).name):
        return _by_step(point for name in events for point in scalars(name, files[name]))
    if any("metrics" in PurePosixPath(name).parts[:-1] for name in files):
        return _mlflow(files)
    if list(files) != [PurePosixPath(path).name]:
        raise ValueError(f"{path} is a folder, but neither an MLflow store nor one with TensorBoard event files")
    text = files[PurePosixPath(path).name].decode("utf-8", errors="replace")
    return _csv(path, text) if path.endswith(".csv") else _json_lines(path, text)


def in_log(pattern: str, key: str, log: Path) -> tuple[MetricRow, ...]:
    """Return a row for each line of a log that a pattern fits: its named groups, else its group as `key`.

    The log may be of any size, and so may a line; a progress bar that begins anew begins a line. Raises OSError, and
    ValueError where it holds more than can be read: what is returned is never a part.
    """
    wanted = re.compile(pattern)
    found: list[MetricRow] = []
    with log.open(encoding="utf-8", errors="replace") as stream:
        for match in _matches(wanted, stream):
            named = match.groupdict() or {key: match[1]}
            found.append({name: _value(text) for name, text in named.items() if text is not None})
            if len(found) > MOST:
                raise ValueError(f"more than {MOST} lines of {log.name} fit `loss_pattern`: write them to a file")
    return tuple(found)


def _matches(wanted: re.Pattern[str], stream: TextIO) -> Iterator[re.Match[str]]:
    """Yield the first place of each line that fits."""
    patience, word = _Patience(PATIENCE), _word(wanted.pattern)
    while line := stream.readline(LONGEST):
        if line.endswith("\n") or len(line) < LONGEST:
            match = wanted.search(line.removesuffix("\n")) if word in line else None
        else:
            match = _in_long_line(wanted, word, line, stream, patience)
        if match is not None:
            yield match


def _word(pattern: str) -> str:
    """Return a text that all that fits must hold, where a pattern begins with `.*`; empty where that is not clear.

    Such a pattern takes the square of the length of a line that it does not fit: most need not be tried.
    """
    word = LEADING.match(pattern)
    return word[1] if word and "|" not in pattern else ""


def _in_long_line(
    wanted: re.Pattern[str], word: str, window: str, stream: TextIO, patience: _Patience
) -> re.Match[str] | None:
    """Return the first place that fits in a line without measure, looked at through windows that overlap by half.

    Raises ValueError where that is not known: a place that does not end within a window may be longer, and a pattern
    that takes the square of the length may take hours.
    """
    start, cut = 0, False
    while True:
        with patience:
            match = wanted.search(window.removesuffix("\n"), start) if word in window else None
        if match is not None and (match.end() < len(window.removesuffix("\n")) or window.endswith("\n")):
            while not window.endswith("\n") and (window := stream.readline(LONGEST)):
                pass  # the rest of the line says nothing more
            return match
        cut = cut or match is not None
        piece = "" if window.endswith("\n") else stream.readline(LONGEST // 2)
        if not piece:
            break
        window, start = window[-LONGEST // 2 :] + piece, 1  # so that `^` does not fit where a window begins
    if match is None and cut:
        raise ValueError(f"a line has more than {LONGEST} characters, and what fits `loss_pattern` in it does not end")
    return match


class _Patience:
    """The processor time that all such lines may take together; each part of it inside a `with`."""

    def __init__(self, seconds: float) -> None:
        self._seconds = self._left = seconds
        self._start = 0.0

    def __enter__(self) -> None:
        self._start = time.thread_time()

    def __exit__(self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None) -> None:
        self._left -= time.thread_time() - self._start
        if self._left < 0:
            raise ValueError(
                f"lines of more than {LONGEST} characters take `loss_pattern` longer than {self._seconds:g} s: "
                "begin it with a word instead of `.*`, or end those lines"
            )


def _json_lines(path: str, text: str) -> tuple[MetricRow, ...]:
    found: list[MetricRow] = []
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        try:
            entry = json.loads(line)
        except (ValueError, RecursionError) as exc:
            raise ValueError(f"{path}, line {number}: {exc}") from exc
        if not isinstance(entry, dict):
            raise ValueError(f"{path}, line {number}: expected a JSON object, received {line[:60]}")  # noqa: TRY004 - the file is wrong, no type
        found.append({k: v for k, v in entry.items() if v is None or isinstance(v, float | int | str | bool)})
    return tuple(found)


def _csv(path: str, text: str) -> tuple[MetricRow, ...]:
    """Return the rows of a CSV table; a cell that is empty has no value, as in the logs of PyTorch Lightning."""
    reader = csv.DictReader(io.StringIO(text.removeprefix("\ufeff"), newline=""))
    found: list[MetricRow] = []
    try:
        for row in reader:
            if None in row:
                raise ValueError(f"{path}, line {reader.line_num}: more cells than columns")
            found.append({name: _value(cell) for name, cell in row.items() if cell})
    except csv.Error as exc:
        raise ValueError(f"{path}, line {reader.line_num}: {exc}") from exc
    return tuple(found)


def _mlflow(files: Mapping[str, bytes]) -> tuple[MetricRow, ...]:
    """Return the metrics of the last run of a store: `<experiment>/<run>/metrics/<key>`, `timestamp value step` lines.

    The layout is that of MLflow's FileStore (mlflow/store/tracking/file_store.py); a key may hold slashes.
    """
    runs: dict[str, list[tuple[str, int, Value]]] = {}
    ends: dict[str, int] = {}
    for name in sorted(files):
        parts = PurePosixPath(name).parts
        if "metrics" not in parts[:-1]:
            continue
        at = parts.index("metrics")
        run, key = "/".join(parts[:at]), "/".join(parts[at + 1 :])
        for number, line in enumerate(files[name].decode("utf-8", errors="replace").splitlines(), start=1):
            try:
                stamp, value, *step = line.split()
                point = (key, int(step[0]) if step else number - 1, float(value))
                ends[run] = max(ends.get(run, 0), int(stamp))
            except (ValueError, IndexError) as exc:
                raise ValueError(
                    f"{name}, line {number}: expected `timestamp value step`, received {line[:60]}"
                ) from exc
            runs.setdefault(run, []).append(point)
    return _by_step(runs[max(ends, key=lambda run: ends[run])]) if ends else ()


def _by_step(points: Iterable[tuple[str, int, Value]]) -> tuple[MetricRow, ...]:
    """Put the series of single keys together: a row a step, in the order of the steps."""
    rows: dict[int, dict[str, Value]] = {}
    for key, step, value in points:
        rows.setdefault(step, {STEP: step})[key] = value
    return tuple(rows[step] for step in sorted(rows))


def _value(text: str) -> Value:
    """Return a number where a text is one (NaN and infinity too), else the text."""
    try:
        return int(text)
    except ValueError:
        pass
    try:
        return float(text)
    except ValueError:
        return text
