"""Checks of what training learns: a few rows by heart, and nothing from shuffled labels."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence

from harness.blocks import SmallBatchBlock
from harness.causes import of_rerun
from harness.checks import check, failed, passed, skipped, warned
from harness.checks.train import is_finite
from harness.records import Artifact, Finding, Labels, Rerun, Trainings
from harness.spec import Spec

ACCURACY, R2 = 0.99, 0.9  # what a learner reaches on ten rows that it saw thirty times
FALL = 0.1  # of the first loss, where nothing else says what low means
P = 0.001  # of the control with shuffled labels
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


def _heart(spec: Spec, trainings: Trainings, run: Rerun, block: SmallBatchBlock) -> tuple[str, str, bool | None]:
    """Return what is expected, what was received and whether that is enough; None where nobody can say."""
    loss, score = spec.block.train.loss, spec.block.train.score
    losses = series(run.metrics, loss)
    scores = series(run.metrics, score) if score and trainings.labels else ()
    wanted = block.min_score
    if wanted is None and block.max_loss is None and scores:
        wanted = R2 if trainings.numeric else ACCURACY
    if wanted is not None and score is None:
        return "", "`train.small_batch.min_score` needs `train.score`: the key of the score", None
    if wanted is not None:
        last = scores[-1] if scores else math.nan
        return f"a last `{score}` of at least {wanted:g}", f"{score} {last:.4g}", last >= wanted
    if not losses:
        return "", f"it recorded no `{loss}`: {run.metrics_error or 'the key is not there'}", None
    first, last = losses[0], losses[-1]
    if block.max_loss is not None:
        return f"a last `{loss}` of at most {block.max_loss:g}", f"{loss} {last:.4g}", last <= block.max_loss
    received = f"{loss} {first:.4g} -> {last:.4g}"
    expected = f"a last `{loss}` below {FALL:g} of the first (`train.small_batch.max_loss` can say better)"
    return expected, received, last < FALL * first


@check("train.learns-signal")
def learns_signal(spec: Spec, artifact: Artifact, trainings: Trainings) -> Iterator[Finding]:
    """With shuffled labels training scores no better than chance: else something leaks."""
    run, labels, score = trainings.of("shuffled"), trainings.labels, spec.block.train.score or ""
    if run is None or labels is None:
        yield skipped(trainings.left_out.get("shuffled", "the dataset has no hold-out table"))
        return
    real, control = (series(metrics, score) for metrics in (artifact.metrics, run.metrics))
    if run.exit.code != 0 or not control or not real:
        reason = f"no `{score}` in {artifact.metrics_path}" if run.exit.code == 0 else of_rerun(spec, run).text
        yield failed(
            expected=f"the `{score}` of a training with {run.change}",
            received=reason,
            advice="Correct `train.score`, or let training take labels that say nothing.",
        )
        return
    chance, limit = (
        _chance(control[-1], labels),
        "R2 0" if labels.numeric else f"the majority rate {labels.majority:.3f}",
    )
    shown = f"{score} {control[-1]:.4g} over {labels.rows} rows of {labels.table}, {limit}, p = {chance:.2g}"
    if chance < P:
        yield failed(
            expected=f"near {limit} with {run.change} (p >= {P:g})",
            received=f"{shown}; with the true labels {real[-1]:.4g}",
            advice="The labels reach the model by another way: a feature made of the target, a hold-out that training "
            "has seen, a score over the rows that it was fitted to.",
        )
    elif _chance(real[-1], labels) >= 0.05:  # noqa: PLR2004 - the usual level, for a warning
        yield warned(
            expected=f"a `{score}` better than chance with the true labels",
            received=f"{score} {real[-1]:.4g} over {labels.rows} rows, {limit}; with shuffled labels {control[-1]:.4g}",
            advice="The model learns nothing that the hold-out shows: look at the features, or give it more rows.",
        )
    else:
        yield passed(f"shuffled labels: {shown}; true labels: {real[-1]:.4g}")


def series(metrics: Sequence[Mapping[str, float | int | str | bool | None]] | None, key: str) -> tuple[float, ...]:
    """Return the finite values of one key."""
    return tuple(float(value) for row in metrics or () if is_finite(value := row.get(key)))


def _chance(score: float, labels: Labels) -> float:
    """Return the probability of such a score, or a better one, where features say nothing about the labels.

    Accuracy: binomial test against the majority rate. R2: Fisher's z of the correlation that its root is at most.
    """
    if labels.numeric:
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
