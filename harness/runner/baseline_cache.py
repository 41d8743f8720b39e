"""What the two simpler models predict, remembered for the next run: to learn it anew takes two seconds of imports."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import version
from pathlib import Path

from harness.evidence.records.scored import Scalar
from harness.evidence.run_folder import write_atomic
from harness.statistics import dummy_models
from harness.statistics.dummy_models import Features

KEPT = 8  # pairs of files: the newest
LIBRARIES = ("scikit-learn", "scipy", "numpy")  # the distributions that compute the predictions
FORMAT = 1  # of the memory; a change of what `others.predicted` does changes it too

Both = tuple[list[Scalar], list[Scalar]]  # the dummy's and the linear model's predictions, one of each row


@dataclass(frozen=True)
class Question:
    """All that decides what the two models predict, apart from the code."""

    train: Sequence[Features]
    truth: Sequence[Scalar]
    rows: Sequence[Features]
    numbers: bool

    @cached_property
    def digest(self) -> str:
        """The SHA-256 of what is learnt from and asked, and of the libraries that answer."""
        limits = (FORMAT, dummy_models.MAX_ROWS, dummy_models.MAX_TEXTS, dummy_models.SEED, *map(version, LIBRARIES))
        decisive = [limits, self.numbers, *dummy_models.sampled(self.train, self.truth), self.rows]
        return hashlib.sha256(json.dumps(decisive, sort_keys=True, default=repr).encode()).hexdigest()


@dataclass(frozen=True)
class BaselineCache:
    """The answer of the last run over one pair of files, a table to learn from and one to predict."""

    file: Path

    @classmethod
    def of(cls, folder: Path, training: str, holdout: str) -> BaselineCache:
        """Return the memory of two files, given by their hashes."""
        return cls(folder / f"{hashlib.sha256(f'{training} {holdout}'.encode()).hexdigest()[:32]}.json")

    def predicted(self, question: Question) -> Both:
        """Return what the models predict, remembered or learnt now. Raises ValueError where they cannot learn."""
        known = self._recalled(question)
        if known is None:
            known = dummy_models.predicted(question.train, question.truth, question.rows, numbers=question.numbers)
            self._keep(question, known)
        return known

    @property
    def is_empty(self) -> bool:
        """Whether no run over these files has left anything."""
        return not self.file.is_file()

    def _recalled(self, question: Question) -> Both | None:
        """Return the answer to the same question; a file that is broken is as good as none."""
        kind, count = float if question.numbers else str, len(question.rows)
        with suppress(OSError, ValueError, RecursionError):  # the last of JSON that is nested without an end
            match json.loads(self.file.read_text(encoding="utf-8")):
                case {"question": question.digest, "dummy": list() as dummy, "linear": list() as linear}:
                    if all(len(each) == count and {*map(type, each)} <= {kind} for each in (dummy, linear)):
                        return dummy, linear
        return None

    def _keep(self, question: Question, both: Both) -> None:
        text = json.dumps({"question": question.digest, "dummy": both[0], "linear": both[1]})
        write_atomic(self.file, text)
        with suppress(OSError):  # another run may tidy up too
            files = sorted(self.file.parent.glob("*.json"), key=lambda file: file.stat().st_mtime, reverse=True)
            for old in files[KEPT:]:
                old.unlink(missing_ok=True)
