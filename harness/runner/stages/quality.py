"""Predicts the labelled hold-out rows over HTTP, which is what will be judged; judges nothing."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from importlib import import_module
from typing import Any

from harness.checks.volatile import AnsweredRequest, LeftOut, found_in
from harness.client import http
from harness.client.http import Target
from harness.client.protocols import DIALECTS
from harness.client.protocols.protocol import Dialect, parsed
from harness.client.request_generators import holdout
from harness.client.request_generators.skew import row_requests
from harness.config import gate_language
from harness.config.metric_names import METRICS, Family
from harness.config.quality import QualityBlock
from harness.datasets.row_file import read_rows
from harness.evidence.provenance import hash_file
from harness.evidence.records import Exchange, FileHash, Interface, Quality
from harness.evidence.records.scored import BASELINE, DUMMY, LINEAR, NEW, HoldoutRow, Prediction, Scalar, scored
from harness.runner.baseline_cache import BaselineCache, Question
from harness.runner.stages import Recording
from harness.statistics.gate import library
from harness.statistics.metrics import summary
from harness.store.baseline import place_of, read_baseline

PREDICTIONS = "quality/predictions.jsonl"  # in the run folder: it can be committed as the next baseline
BATCH = 50
TIMEOUT = 60.0  # seconds for one answer
SHORT = 200

HoldoutTable = list[dict[str, Any]]


def collect(run: Recording, target: Target, interface: Interface, block: QualityBlock) -> Quality:
    """Send the hold-out rows and record labels, predictions and metrics, beside what the baselines predict.

    `block` is complete, as `harness.project.holdout_file.completed` makes it.
    """
    name, label = block.holdout or "", block.target or ""
    empty = Quality(holdout=name, target=label, columns=(), rows=(), baseline=place_of(block.baseline))
    dialect = DIALECTS[interface.dialect]
    try:
        sha256 = hash_file(run.spec.root / name)
        table = read_rows(run.spec.root / name)
        requests = row_requests(table, run.spec.examples, dialect)
    except (OSError, ValueError) as exc:
        return replace(empty, problem=f"{name}: {exc}")
    columns = tuple(dict.fromkeys(str(column) for row in table for column in row))
    if label not in columns:
        return replace(empty, columns=columns, problem=f"{name} has no column {label}: it has {', '.join(columns)}")
    chosen = _columns(block)
    rows = [
        HoldoutRow(
            number=number,
            truth=holdout.label_of(row.get(label)),
            columns={column: str(row[column]) for column in chosen if row.get(column) is not None},
            predictions={NEW: found} if isinstance(found, Prediction) else {},
            problem=found if isinstance(found, str) else "",
        )
        for number, (row, found) in enumerate(
            zip(table, _Service(run, target, interface, block).predict(requests), strict=True), start=1
        )
    ]
    digests = [holdout.digest(row, label) for row in table]
    written = run.folder.write_text(PREDICTIONS, holdout.kept(digests, rows))
    known = read_baseline(block.baseline, run.spec.root, digests, sha256)
    rows = [
        _also(row, {BASELINE: known.predictions[key]} if key in known.predictions else {})
        for row, key in zip(rows, digests, strict=True)
    ]
    rows, others_problem = _with_others(run, block, rows, requests, dialect)
    metrics = summary(scored(rows, NEW)[0], families(block))
    before = scored(rows, NEW, BASELINE)[1]
    shown = ", ".join(f"{key} {value:.3g}" for key, value in metrics.items() if "[" not in key)
    run.say("quality", f"{len(rows)} hold-out rows: {shown or 'nothing could be measured'}")
    return replace(
        empty,
        columns=columns,
        rows=tuple(rows),
        baseline_problem=known.problem,
        baseline_digest=known.digest,
        baseline_state=known.state,
        holdout_sha256=sha256,
        predictions=FileHash(PREDICTIONS, written.stat().st_size, hash_file(written)),
        others_problem=others_problem,
        metrics=metrics,
        baseline_metrics=summary(before, families(block)) if len(before) else {},
    )


def warm(run: Recording, block: QualityBlock) -> None:
    """Import what this run will need and is slow to import, on a thread while only a container works.

    scikit-learn learns the two simpler models, unless their predictions are remembered; SciPy resamples.
    """
    names = {library(gate_language.parse(text)) for text in block.conditions}
    if block.training is not None:
        if Family.NUMBERS in families(block):
            names.add("scipy.stats")  # `quality.beats-baselines` asks Student of numbers
        if _memory(run, block).is_empty:
            names |= {"sklearn.linear_model", "sklearn.feature_extraction"}
    for name in sorted(names):
        import_module(name)


def families(block: QualityBlock) -> frozenset[Family]:
    """Return what kind of metrics the project is about: those of numbers where a condition is, else of labels."""
    named = {METRICS[gate_language.parse(text).measure.metric].family for text in block.conditions}
    return frozenset({Family.NUMBERS} if Family.NUMBERS in named else {Family.LABELS, Family.PROBABILITIES})


def _columns(block: QualityBlock) -> list[str]:
    return sorted({column for text in block.conditions for column, _ in gate_language.parse(text).measure.where})


class _Service:
    """Asks for predictions: many rows at once where the protocol has batches, one by one where that fails."""

    def __init__(self, run: Recording, target: Target, interface: Interface, block: QualityBlock) -> None:
        self.run = run
        self.target = target
        self.aside: LeftOut | None = None
        self.interface = interface
        self.block = block
        self.dialect = DIALECTS[interface.dialect]

    def predict(self, requests: Sequence[Any]) -> list[Prediction | str]:
        """Return the prediction of each request of one row, or why there is none."""
        found: list[Prediction | str] = []
        for group in holdout.grouped(requests, self.dialect, BATCH):
            exchange = self._ask(holdout.joined(group, self.dialect))
            answers = self._answers(exchange, len(group))
            if answers is None and len(group) > 1:
                found += [self._one(request) for request in group]
            elif answers is None:
                found.append(_described(exchange))
            else:
                found += [self._read(answer) for answer in answers]
        return found

    def _one(self, request: Any) -> Prediction | str:
        exchange = self._ask(request)
        answers = self._answers(exchange, 1)
        return _described(exchange) if answers is None else self._read(answers[0])

    def _ask(self, request: Any) -> Exchange:
        exchange = http.send(
            self.target,
            self.interface.predict,
            case="quality",
            method="POST",
            body=json.dumps(request).encode(),
            timeout=max(TIMEOUT, self.dialect.predict_within or 0),
        )
        if exchange.status is None:
            self.run.verify()
        return exchange

    def _answers(self, exchange: Exchange, count: int) -> tuple[Any, ...] | None:
        if not self.dialect.is_answer(exchange):
            return None
        found = holdout.answers(parsed(exchange), count, self.dialect)
        if found and isinstance(self._read(found[0]), str):  # which field is it? Not one that is new each time
            found = holdout.answers(self._without_new(exchange), count, self.dialect)
        return found

    def _without_new(self, exchange: Exchange) -> Any:
        if self.aside is None:
            again = self._ask(json.loads(exchange.request))
            asked = [
                AnsweredRequest(e.request, parsed(e), e.seconds) for e in (exchange, again) if self.dialect.is_answer(e)
            ]
            self.aside = found_in(asked, self.run.spec, self.dialect)
        return self.aside.of(parsed(exchange))

    def _read(self, answer: Any) -> Prediction | str:
        try:
            return holdout.prediction(answer, self.block.prediction, self.block.target or "")
        except ValueError as exc:
            return str(exc)


def _described(exchange: Exchange) -> str:
    text = exchange.response.decode(errors="replace")[:SHORT]
    return f"status {exchange.status}: {text}" if exchange.status is not None else f"no answer: {exchange.error}"


def _with_others(
    run: Recording, block: QualityBlock, rows: list[HoldoutRow], requests: Sequence[Any], dialect: Dialect
) -> tuple[list[HoldoutRow], str]:
    """Add what a dummy and a linear model predict, learnt from the training rows; return too why there are none."""
    if block.training is None:
        return rows, "there is no table train.* in the data, and `quality.training` names none"
    try:
        table = [row for row in read_rows(run.spec.root / block.training) if _truth(row, block) is not None]
        known = row_requests(table, run.spec.examples, dialect)
        numbers = Family.NUMBERS in families(block)
        question = Question(
            train=[_features(request, dialect) for request in known],
            truth=[_target(row, block, numbers=numbers) for row in table],
            rows=[_features(request, dialect) for request in requests],
            numbers=numbers,
        )
        dummy, linear = _memory(run, block).predicted(question)
    except (OSError, ValueError) as exc:
        return rows, f"{block.training}: {exc}"
    return [
        _also(row, {DUMMY: Prediction(left), LINEAR: Prediction(right)})
        for row, left, right in zip(rows, dummy, linear, strict=True)
    ], ""


def _memory(run: Recording, block: QualityBlock) -> BaselineCache:
    """Return where the predictions over these files are remembered: known before it is known how the service speaks."""
    training, holdout = (hash_file(run.spec.root / str(name)) for name in (block.training, block.holdout))
    return BaselineCache.of(run.folder.cache / "baselines", training, holdout)


def _truth(row: Mapping[str, Any], block: QualityBlock) -> Scalar | None:
    return holdout.label_of(row.get(block.target or ""))


def _target(row: Mapping[str, Any], block: QualityBlock, *, numbers: bool) -> Scalar:
    value = _truth(row, block)
    return float(value or 0) if numbers else str(value)


def _features(request: Any, dialect: Dialect) -> dict[str, Any]:
    row = holdout.row_of(request, dialect)
    if isinstance(row, dict):
        return row
    return {str(place): value for place, value in enumerate(row if isinstance(row, list) else [row])}


def _also(row: HoldoutRow, predictions: Mapping[str, Prediction]) -> HoldoutRow:
    return replace(row, predictions={**row.predictions, **predictions})
