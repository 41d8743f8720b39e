"""JSON lines, CSV, the file store of MLflow, TensorBoard event files, and a pattern over the log."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterable, Mapping
from pathlib import PurePosixPath

from harness.metrics.tensorboard import scalars

Value = float | int | str | bool | None
Row = Mapping[str, Value]
EVENTS = "tfevents"  # in the name of every TensorBoard event file
STEP = "step"


def read(path: str, files: Mapping[str, bytes]) -> tuple[Row, ...]:
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


def in_log(pattern: str, key: str, log: str) -> tuple[Row, ...]:
    """Return a row for each line of a log that a pattern fits: its named groups, else its group as `key`."""
    wanted = re.compile(pattern)
    found: list[Row] = []
    for match in filter(None, map(wanted.search, log.split("\n"))):
        named = match.groupdict() or {key: match[1]}
        found.append({name: _value(text) for name, text in named.items() if text is not None})
    return tuple(found)


def _json_lines(path: str, text: str) -> tuple[Row, ...]:
    found: list[Row] = []
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


def _csv(path: str, text: str) -> tuple[Row, ...]:
    """Return the rows of a CSV table; a cell that is empty has no value, as in the logs of PyTorch Lightning."""
    reader = csv.DictReader(io.StringIO(text.removeprefix("\ufeff"), newline=""))
    found: list[Row] = []
    try:
        for row in reader:
            if None in row:
                raise ValueError(f"{path}, line {reader.line_num}: more cells than columns")
            found.append({name: _value(cell) for name, cell in row.items() if cell})
    except csv.Error as exc:
        raise ValueError(f"{path}, line {reader.line_num}: {exc}") from exc
    return tuple(found)


def _mlflow(files: Mapping[str, bytes]) -> tuple[Row, ...]:
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


def _by_step(points: Iterable[tuple[str, int, Value]]) -> tuple[Row, ...]:
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
