"""Checks of what stands in the dataset's tables: leaks, classes, drift, secrets."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from harness.checks import check, failed, passed, skipped, warned
from harness.config.blocks import DataLimits
from harness.config.spec import Spec
from harness.evidence.records import Data, Drift, Finding, Secret, Split, Tell

SHOWN = 5
NO_DATA = "x-harness has no `data`"
NO_TARGET = "x-harness.data has no `target`"
NOT_RECORDED = "the record is from a version that did not look"


@check("data.no-leakage")
def no_leakage(spec: Spec, data: Data | None = None) -> Iterator[Finding]:
    """Training shares no rows with hold-out, and no column gives the target away."""
    split = data.split if data is not None else None
    if spec.block.data is None or split is None:
        yield skipped(NO_DATA if spec.block.data is None else NOT_RECORDED)
        return
    if split.problem:
        yield _problem(spec, split)
        return
    limits = spec.block.data.limits
    bad = [*_shared(split, limits), *(_told(spec, split, tell) for tell in split.tells)]
    yield from bad
    if not split.holdout_rows and not (bad or split.target):
        yield skipped(f"{', '.join(split.train)} has no hold-out table beside it, and {NO_TARGET}")
    elif not bad:
        yield passed(_no_leak(split))


@check("data.balanced")
def balanced(spec: Spec, data: Data | None = None) -> Iterator[Finding]:
    """Each class of the target is in training and in hold-out."""
    split = data.split if data is not None else None
    if spec.block.data is None or split is None:
        yield skipped(NO_DATA if spec.block.data is None else NOT_RECORDED)
    elif spec.block.data.target is None:
        yield skipped(NO_TARGET)
    elif split.problem:
        yield _problem(spec, split)
    elif split.is_number:
        yield skipped(f"{split.target} is a number: it has no classes")
    elif len(split.classes) < 2:  # noqa: PLR2004 - one class is nothing to learn
        yield failed(
            expected=f"at least two classes in {split.target}",
            received=", ".join(split.classes) or "no value at all",
            advice="Take rows of each class into the fixture: `harness data sample --target` does.",
        )
    else:
        yield from _classes(spec, split)


@check("data.drift", rubric="Monitor 2")
def no_drift(spec: Spec, data: Data | None = None) -> Iterator[Finding]:
    """The training rows are distributed as those of the reference sample."""
    block = spec.block.data
    if block is None or data is None:
        yield skipped(NO_DATA)
        return
    if block.reference is None or data.drift is None:
        yield skipped("x-harness.data has no `reference`" if block.reference is None else NOT_RECORDED)
        return
    if not data.drift:
        yield failed(
            expected=f"columns that {block.reference} has too",
            received="no column in common, or no rows",
            advice="Correct `data.reference`, or `data.train`.",
        )
        return
    over = [line for column in data.drift for line in _drifted(column, block.limits)]
    for expected, received in over:
        yield failed(
            expected=expected,
            received=received,
            advice=f"Draw the fixture anew from today's data, or {block.reference} where that is old; "
            "`data.limits` changes the thresholds.",
        )
    for column in data.drift:
        if column.appeared or column.vanished:
            yield warned(
                expected=f"the categories of {column.column} that {block.reference} has",
                received="; ".join(_named(column)),
                advice="Serving will meet the categories of the reference: draw the fixture so that it has them.",
            )
    if not over and not any(c.appeared or c.vanished for c in data.drift):
        yield passed(_farthest(data.drift))


@check("data.no-secrets", rubric="Data 5")
def no_secrets(spec: Spec, data: Data | None = None) -> Iterator[Finding]:
    """No file of the dataset holds a key, a token, a card number or an e-mail address."""
    found = data.secrets if data is not None else None
    if spec.block.data is None or found is None:
        yield skipped(NO_DATA if spec.block.data is None else NOT_RECORDED)
        return
    keys = [secret for secret in found.found if secret.is_key]
    personal = [secret for secret in found.found if not secret.is_key]
    if keys:
        yield failed(
            expected="no key or token in a dataset that is committed",
            received=_places(keys, found.keys),
            advice="Revoke it, for it is in the history of the repository; then remove the row or the file.",
        )
    if personal:
        fails = spec.block.contract.strict or any(secret.kind == "card number" for secret in personal)
        yield (failed if fails else warned)(
            expected="nothing that says who somebody is in a dataset that is committed",
            received=_places(personal, found.count - found.keys),
            advice="Replace it by made-up values (`name@example.com`), or drop the column.",
        )
    if found.unread:
        yield warned(
            expected="files that can be looked into",
            received=f"not read: {', '.join(found.unread[:SHOWN])}",
            advice="Commit small text files, or say why in `skip`: {data.no-secrets: reason}.",
        )
    if not found.count and not found.unread:
        yield passed(f"{len(data.files) if data else 0} files, {found.scanned} bytes")


def _problem(spec: Spec, split: Split) -> Finding:
    """What cannot be compared is a failure where the description names it, and else skipped."""
    block = spec.block.data
    declared = block is not None and any((block.target, block.train, block.holdout))
    words: dict[str, Any] = {
        "expected": "training and hold-out tables that can be compared",
        "received": split.problem,
        "advice": "Name them in `data.train` and `data.holdout`, and the column in `data.target`.",
    }
    return failed(**words) if declared else skipped(split.problem)


def _shared(split: Split, limits: DataLimits) -> Iterator[Finding]:
    if not split.holdout_rows:
        return
    chance = split.chance
    if chance > limits.shared:  # below, the limit is wider than what luck adds
        chance += 3 * math.sqrt(chance * (1 - chance) / split.holdout_rows)
    if split.shared <= (limits.shared + chance) * split.holdout_rows:
        return
    lines = [
        f"{s.holdout} row {s.holdout_row} {'is' if s.identical else 'is nearly'} {s.train} row {s.train_row}"
        for s in split.shared_rows[:SHOWN]
    ]
    more = [f"... and {split.shared - SHOWN} more"] if split.shared > SHOWN else []
    repeats = f"{split.repeated:.1%} of the training rows are in training more than once"
    yield failed(
        expected=f"at most {limits.shared:.1%} of the {split.holdout_rows} hold-out rows in training too"
        + (f", and {chance:.1%} by chance" if chance > limits.shared / 10 else ""),
        received="\n".join([f"{split.shared} ({split.shared / split.holdout_rows:.1%}); {repeats}", *lines, *more]),
        advice="Remove repeated rows before the split, or keep all rows of one thing on one side. Where so few columns "
        "make equal rows likely, raise `data.limits.shared`.",
    )


def _told(spec: Spec, split: Split, tell: Tell) -> Finding:
    """A copy of the target is broken; a column that is merely as good may be an easy problem."""
    block = spec.block.data
    declared = spec.block.contract.strict or (block is not None and "tells" in block.limits.model_fields_set)
    fails = split.features > 1 and (tell.is_copy or declared)
    measure = "squared correlation" if split.is_number else "accuracy"
    what = "is a copy of it" if tell.is_copy else "is as good as it"
    return (failed if fails else warned)(
        expected=f"no column that tells {split.target} by itself",
        received=f"{tell.column} {what}: {measure} {tell.score:.4g} with this column alone",
        advice=f"Drop {tell.column} if it is known only after the fact; if the problem is that easy, say so in `skip`.",
    )


def _no_leak(split: Split) -> str:
    parts = []
    if split.holdout_rows:
        parts.append(f"{split.shared} of {split.holdout_rows} hold-out rows in {split.train_rows} training rows")
    if split.target:
        parts.append(f"none of {split.features} columns tells {split.target}")
    if split.ignored:
        parts.append(f"row numbers ignored: {', '.join(split.ignored)}")
    return "; ".join(parts)


def _classes(spec: Spec, split: Split) -> Iterator[Finding]:
    """A class that training never saw cannot be predicted; one that hold-out lacks is never tested."""
    counted = ", ".join(f"{name} {left}+{right}" for name, (left, right) in [*split.classes.items()][:10])
    unknown = [name for name, (left, _) in split.classes.items() if not left]
    untested = [name for name, (_, right) in split.classes.items() if not right] if split.holdout_has_target else []
    if unknown:
        yield failed(
            expected=f"each class of {split.target} in training",
            received=f"only in hold-out: {', '.join(unknown[:SHOWN])} (training+hold-out: {counted})",
            advice="Split by class: `harness data sample --target` keeps rare ones.",
        )
    if untested:
        yield (failed if spec.block.contract.strict else warned)(
            expected=f"each class of {split.target} in hold-out",
            received=f"only in training: {', '.join(untested[:SHOWN])} (training+hold-out: {counted})",
            advice="Split by class, so that each one is tested.",
        )
    if not unknown and not untested:
        where = "training+hold-out" if split.holdout_has_target else "training; hold-out has no target"
        yield passed(f"{counted} ({where})")


def _drifted(column: Drift, limits: DataLimits) -> Iterator[tuple[str, str]]:
    limit = limits.numbers if column.measure == "Jensen-Shannon" else limits.categories
    if column.distance - column.noise > limit:
        yield (
            f"{column.measure} of {column.column} at most {limit:g} (beyond the {column.noise:.3g} of small samples)",
            f"{column.distance:.3g}",
        )
    before, now = column.missing
    if abs(now - before) - column.missing_noise > limits.missing:
        yield (
            f"{before:.1%} of {column.column} missing, give or take {limits.missing + column.missing_noise:.1%}",
            f"{now:.1%} missing",
        )


def _named(column: Drift) -> Iterator[str]:
    for word, names in (("new", column.appeared), ("gone", column.vanished)):
        if names:
            yield f"{word}: {', '.join(names[:SHOWN])}"


def _farthest(columns: tuple[Drift, ...]) -> str:
    worst = max(columns, key=lambda column: column.distance - column.noise)
    return f"{len(columns)} columns; farthest is {worst.column}, {worst.measure} {worst.distance:.3g}"


def _places(secrets: list[Secret], count: int) -> str:
    lines = [f"{s.file} line {s.line}: {s.kind} {s.shown}" for s in secrets[:SHOWN]]
    return "\n".join([*lines, *([f"... and {count - SHOWN} more"] if count > SHOWN else [])])
