"""What the last good model predicted of the hold-out rows: from a committed file, or from an artifact store."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from harness.client.request_generators import holdout
from harness.config.quality import PublishedBaseline
from harness.errors import HarnessError, NotPublishedError, TamperedError
from harness.evidence.records.scored import Prediction
from harness.store.oci import published
from harness.store.published import opened

SHORT = 12  # digits of a hash that are shown


@dataclass(frozen=True)
class Baseline:
    """Predictions by the digests of rows, and what is wrong with them."""

    predictions: Mapping[str, Prediction] = field(default_factory=dict)
    problem: str = ""
    digest: str = ""  # of the published artifact
    state: Literal["there", "unpublished", "broken"] = "there"


def place_of(named: str | PublishedBaseline | None) -> str | None:
    """Return where a baseline comes from, as the block has it."""
    return named.store if isinstance(named, PublishedBaseline) else named


def read_baseline(
    named: str | PublishedBaseline | None, root: Path, digests: Sequence[str], holdout_sha256: str
) -> Baseline:
    """Return the baseline of the rows with these digests; never raises, what is wrong stands in it.

    `holdout_sha256` is that of the file which the rows are from: a published artifact says which it was measured on.
    """
    if named is None:
        return Baseline()
    if isinstance(named, PublishedBaseline):
        return _published(named, root, digests, holdout_sha256)
    try:
        found = holdout.read_kept((root / named).read_text(encoding="utf-8"))
    except (OSError, ValueError) as exc:
        return Baseline(problem=f"{named}: {exc}")
    lacking = _lacking(found, digests)
    return Baseline(found, f"{named} lacks {lacking} of {len(digests)} rows" if lacking else "")


def _published(named: PublishedBaseline, root: Path, digests: Sequence[str], holdout_sha256: str) -> Baseline:
    digest = ""
    try:
        with opened(named.store, root=root, plain_http=named.plain_http) as source:
            digest = source.artifacts()[-1]
            artifact = published(source, digest)
            if not artifact.measured:
                return Baseline(problem=f"{digest} was published without predictions", digest=digest)
            last = artifact.measured[-1]
            found = holdout.read_kept(last.predictions.decode())
    except NotPublishedError as exc:
        return Baseline(problem=str(exc), state="unpublished")
    except TamperedError as exc:
        return Baseline(problem=str(exc), digest=digest, state="broken")
    except HarnessError as exc:  # the registry does not answer, or refuses
        return Baseline(problem=str(exc), digest=digest)
    lacking = _lacking(found, digests)
    problem = f"it lacks {lacking} of {len(digests)} rows" if lacking else ""
    if last.holdout_sha256 != holdout_sha256:
        problem = (
            f"the run {last.run} predicted another hold-out file, {last.holdout} with SHA-256 "
            f"{last.holdout_sha256[:SHORT]}..., where it is {holdout_sha256[:SHORT]}... now: "
            f"{len(digests) - lacking} of {len(digests)} rows are in both"
        )
    return Baseline(found, problem, digest)


def _lacking(found: Mapping[str, Prediction], digests: Sequence[str]) -> int:
    return sum(key not in found for key in digests)
