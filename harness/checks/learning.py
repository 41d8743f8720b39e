"""Checks of what training learns: a few rows by heart, and nothing from shuffled labels."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator

from harness.checks import Metrics, check, failed, passed, skipped, warned, whole_metrics
from harness.checks.train import is_finite
from harness.config.blocks import SmallBatchBlock
from harness.config.spec import Spec
from harness.diagnosis import of_rerun
from harness.evidence.records import Artifact, Finding, Labels, Rerun, Trainings

# What is expected, what was received, whether that is enough: None, nobody knows.
Judgement = tuple[str, str, bool | None]

ACCURACY, R2 = 0.99, 0.9  # what a learner reaches on ten rows that it saw thirty times
FALL = 0.1  # of the first loss, where nothing else says what low means
P = 0.001  # of the control with shuffled labels
SLACK = 1e-6  # of a score in single precision
NAMES_R2 = re.compile(r"(?<![a-z])r[\W_]?(2|sq)", re.IGNORECASE)  # r2, R^2, val_r2, r_squared
NAMES_ACCURACY = re.compile(r"(?<![a-z])acc", re.IGNORECASE)
CANNOT = (
    "Some learners cannot at their default settings: a minimum of rows in a leaf (HistGradientBoosting: 20), "
    "nearest neighbours that vote, strong regularisation, dropout, early stopping. Raise `train.small_batch.tile`, set "
    "`max_loss` or `min_score` to what the learner can reach, or skip the check with that reason."
)


@check("train.overfits-small-batch", rubric="Infra 2")
def overfits_small_batch(spec: Spec, trainings: Trainings) -> Iterator[Finding]:
    """Training learns a few rows by heart."""
    run = trainings.of("small-batch")
    block = spec.block.train.small_batch
    if run is None:
        yield skipped(trainings.left_out["small-batch"])
        return
    promised = spec.block.contract.strict or block is not None
    find = failed if promised else warned
    if run.exit.code != 0:
        yield find(
            expected=f"a training on {run.change}",
            received=of_rerun(spec, run).text,
            advice=f"Let training accept a few rows, or say in `skip` why it cannot. {CANNOT}",
        )
        return
    expected, received, good = _heart(spec, trainings, run, block or SmallBatchBlock())
    if good is None:
        yield skipped(received)
    elif good:
        yield passed(f"{received} on {run.change}")
    else:
        advice = f"A training that cannot learn so few rows has a defect: the loss, the labels, the gradient. {CANNOT}"
        yield find(expected=f"{expected} on {run.change}", received=received, advice=advice)


def _heart(spec: Spec, trainings: Trainings, run: Rerun, block: SmallBatchBlock) -> Judgement:
    """Judge by all that the description asks for; where it asks for nothing, by the score, or else by the loss."""
    score = spec.block.train.score
    # Without a hold-out table nobody knows whether the score is over these rows, but who asks for one says so.
    has_score = bool(trainings.labels and score and recorded(whole_metrics(run), score))
    found = []
    if block.min_score is not None or (block.max_loss is None and has_score):
        found.append(_by_score(score, run, block.min_score, trainings))
    if block.max_loss is not None or not found:
        found.append(_by_loss(spec.block.train.loss, run, block.max_loss))
    if unknown := next((each for each in found if each[2] is None), None):
        return unknown
    expected, received, good = zip(*found, strict=True)
    return " and ".join(expected), ", ".join(received), all(good)


def _by_score(score: str | None, run: Rerun, least: float | None, trainings: Trainings) -> Judgement:
    if score is None:
        return "", "`train.small_batch.min_score` needs `train.score`: the key of the score", None
    last = next(reversed(recorded(whole_metrics(run), score)), math.nan)
    received = f"{score} {last:.4g}"
    by_r2 = is_r2(score, numeric=trainings.numeric)
    if least is None and _is_impossible(last, by_r2=by_r2):
        return _range(score, by_r2=by_r2), received, False
    wanted = least if least is not None else R2 if by_r2 else ACCURACY
    return f"a last `{score}` of at least {wanted:g}", received, last >= wanted


def _by_loss(loss: str, run: Rerun, most: float | None) -> Judgement:
    losses = recorded(whole_metrics(run), loss)
    if not losses:
        return "", f"it recorded no `{loss}`: {run.metrics_error or 'the key is not there'}", None
    first, last = next(iter(series(whole_metrics(run), loss)), math.nan), losses[-1]
    if most is not None:
        return f"a last `{loss}` of at most {most:g}", f"{loss} {last:.4g}", last <= most
    if first <= 0:
        return "", f"`{loss}` begins at {first:.4g}: `train.small_batch.max_loss` must say what is low", None
    expected = f"a last `{loss}` below {FALL:g} of the first (`train.small_batch.max_loss` can say better)"
    return expected, f"{loss} {first:.4g} -> {last:.4g}", last < FALL * first


@check("train.learns-signal")
def learns_signal(spec: Spec, artifact: Artifact, trainings: Trainings) -> Iterator[Finding]:
    """With shuffled labels training scores no better than chance: else something leaks."""
    run, labels, score = trainings.of("shuffled"), trainings.labels, spec.block.train.score or ""
    if run is None or labels is None:
        yield skipped(trainings.left_out.get("shuffled", "the dataset has no hold-out table"))
        return
    real, control = (next(reversed(recorded(whole_metrics(of), score)), math.nan) for of in (artifact, run))
    by_r2 = is_r2(score, numeric=labels.numeric)
    if run.exit.code != 0 or not math.isfinite(control) or not math.isfinite(real):
        missing = f"no `{score}` that is a finite number at the end of {artifact.metrics_path}"
        yield failed(
            expected=f"the `{score}` of a training with {run.change}",
            received=missing if run.exit.code == 0 else of_rerun(spec, run).text,
            advice="Correct `train.score`, or let training take labels that say nothing.",
        )
    elif _is_impossible(real, by_r2=by_r2) or _is_impossible(control, by_r2=by_r2):
        yield failed(
            expected=_range(score, by_r2=by_r2),
            received=f"{score} {real:.4g}, with shuffled labels {control:.4g}",
            advice="Record the part of right answers (0.95 for 95 %) or R2, and name that key in `train.score`.",
        )
    else:
        yield _signal(score, real, control, labels, run.change)


def _signal(score: str, real: float, control: float, labels: Labels, change: str) -> Finding:
    by_r2 = is_r2(score, numeric=labels.numeric)
    chance, limit = (
        _chance(control, labels, by_r2=by_r2),
        "R2 0" if by_r2 else f"the majority rate {labels.majority:.3f}",
    )
    shown = f"{score} {control:.4g} over {labels.rows} rows of {labels.table}, {limit}, p = {chance:.2g}"
    if chance < P:
        return failed(
            expected=f"near {limit} with {change} (p >= {P:g})",
            received=f"{shown}; with the true labels {real:.4g}",
            advice="The labels reach the model by another way: a feature made of the target, a hold-out that training "
            "has seen, a score over the rows that it was fitted to.",
        )
    if _chance(real, labels, by_r2=by_r2) >= 0.05:  # noqa: PLR2004 - the usual level, for a warning
        return warned(
            expected=f"a `{score}` better than chance with the true labels",
            received=f"{score} {real:.4g} over {labels.rows} rows, {limit}; with shuffled labels {control:.4g}",
            advice="The model learns nothing that the hold-out shows: look at the features, or give it more rows.",
        )
    return passed(f"shuffled labels: {shown}; true labels: {real:.4g}")


def recorded(metrics: Metrics | None, key: str) -> tuple[float, ...]:
    """Return all values of one key; what is no finite number is NaN, so that the last is never an older one."""
    values = [row[key] for row in metrics or () if key in row]
    return tuple(float(value) if is_finite(value) else math.nan for value in values)


def is_r2(score: str, *, numeric: bool) -> bool:
    """Whether a score is R2: by its name where that says so, else by the target. A class may be one of many numbers."""
    return bool(NAMES_R2.search(score)) or (numeric and not NAMES_ACCURACY.search(score))


def _is_impossible(score: float, *, by_r2: bool) -> bool:
    return score > 1 + SLACK or (not by_r2 and score < 0)


def _range(score: str, *, by_r2: bool) -> str:
    return f"`{score}` as {'an R2 of at most 1' if by_r2 else 'an accuracy from 0 to 1'}"


def series(metrics: Metrics | None, key: str) -> tuple[float, ...]:
    """Return the finite values of one key."""
    return tuple(float(value) for row in metrics or () if is_finite(value := row.get(key)))


def _chance(score: float, labels: Labels, *, by_r2: bool) -> float:
    """Return the probability of such a score, or a better one, where features say nothing about the labels.

    Accuracy: binomial test against the majority rate. R2: Fisher's z of the correlation that its root is at most.
    """
    if by_r2:
        if score <= 0 or labels.rows <= 3:  # noqa: PLR2004 - z has n - 3 degrees of freedom
            return 1.0
        z = math.atanh(min(math.sqrt(score), 1 - 1e-12)) * math.sqrt(labels.rows - 3)
        return math.erfc(z / math.sqrt(2)) / 2
    right = round(min(max(score, 0.0), 1.0) * labels.rows)
    return binomial_tail(right, labels.rows, labels.majority)


def binomial_tail(right: int, rows: int, rate: float) -> float:
    """Return P(X >= right) of a binomial distribution, each term by logarithms of the gamma function."""
    if right <= 0 or rate >= 1:
        return 1.0
    terms = (
        math.lgamma(rows + 1)
        - math.lgamma(k + 1)
        - math.lgamma(rows - k + 1)
        + k * math.log(rate)
        + (rows - k) * math.log1p(-rate)
        for k in range(right, rows + 1)
    )
    return min(1.0, math.fsum(map(math.exp, terms)))
