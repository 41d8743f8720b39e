"""Which tables are for training and which are held out; what both have in common."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from fnmatch import fnmatch
from typing import TYPE_CHECKING

from harness.config.blocks import DataBlock
from harness.datasets.classes import counts, is_number
from harness.datasets.leakage import shared
from harness.datasets.target_leakage import telling
from harness.evidence.records import Split

if TYPE_CHECKING:
    import pandas as pd

TRAIN = frozenset({"train", "training"})
HOLDOUT = frozenset({"holdout", "heldout", "test", "testing", "valid", "validation", "val", "dev", "eval"})


def find(tables: Sequence[str], train: str | None, holdout: str | None) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the training and the hold-out tables: by the names or globs given, else by the words of their paths.

    Tables whose name says neither (`penguins.csv`) are for training where nothing else is.
    """
    held = tuple(name for name in tables if _fits(name, holdout, HOLDOUT))
    rest = tuple(name for name in tables if name not in held)
    trained = tuple(name for name in rest if _fits(name, train, TRAIN))
    return (trained or (rest if train is None else ())), held


def _fits(name: str, given: str | None, words: frozenset[str]) -> bool:
    if given is not None:
        return fnmatch(name, given) or fnmatch(name.rpartition("/")[2], given)
    lowered = re.sub(r"(hold|held)[-_ ]out", r"\1out", name.lower())
    return bool(words & set(re.split(r"[^a-z]+", lowered)))


def joined(frames: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """Return all rows under the index (file, row)."""
    import pandas as pd

    return pd.concat(frames, names=["file", "row"])


def _alike(frames: dict[str, pd.DataFrame], names: tuple[str, ...], target: str | None) -> tuple[str, ...]:
    """Return the tables with the columns of the widest that has the target: one of labels alone has other rows."""
    widest = max(names, key=lambda name: (target in frames[name], frames[name].shape[1]), default="")
    return tuple(name for name in names if set(frames[name].columns) == set(frames[widest].columns))


def compare(frames: dict[str, pd.DataFrame], block: DataBlock, problem: str = "") -> Split:
    """Compare training with hold-out: shared rows, classes, and columns that tell the target."""
    train_names, holdout_names = find(tuple(frames), block.train, block.holdout)
    train_names = _alike(frames, train_names, block.target)
    holdout_names = _alike(frames, holdout_names, block.target)
    split = Split(train_names, holdout_names, target=block.target, problem=problem)
    if problem or not train_names:
        return replace(split, problem=problem or "no table is for training")
    train = joined({name: frames[name] for name in train_names})
    holdout = joined({name: frames[name] for name in holdout_names}) if holdout_names else None
    split = replace(split, train_rows=len(train), features=train.shape[1] - (block.target in train))
    if holdout is not None:
        overlap = shared(train, holdout)
        split = replace(
            split,
            holdout_rows=len(holdout),
            shared=overlap.count,
            repeated=overlap.repeated,
            chance=overlap.chance,
            shared_rows=overlap.rows,
            ignored=overlap.ignored,
        )
    if block.target is None:
        return split
    if block.target not in train:
        return replace(split, problem=f"no training table has the target column {block.target!r}")
    number = is_number(train[block.target])
    held = holdout[block.target] if holdout is not None and block.target in holdout else train[block.target].iloc[:0]
    return replace(
        split,
        is_number=number,
        holdout_has_target=holdout is not None and block.target in holdout,
        classes={} if number else counts(train[block.target], held),
        tells=tuple(telling(train, holdout, block.target, block.limits.tells)),
    )
