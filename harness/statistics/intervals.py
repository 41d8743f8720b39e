"""Confidence bounds. Each of both bounds holds at the one-sided `confidence`: they form an interval at 2p - 1."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from statistics import NormalDist
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

    Numbers = np.ndarray[tuple[int], np.dtype[np.float64]]
    Places = np.ndarray[tuple[int], np.dtype[np.int64]]

SEED = 20190331  # of every bootstrap: the same evidence, the same verdict
RESAMPLES = 9_999
FEW_RESAMPLES = 999  # of a statistic that must be computed anew for each
MANY_ROWS = 2_000  # above, the corrections of BCa vanish, and its leave-one-out costs the square of the rows
CELLS = 5_000_000  # values that are resampled at a time: 40 MB
TOLERANCE = 1e-12


@dataclass(frozen=True)
class Interval:
    """Both one-sided bounds, and how they were found."""

    low: float
    high: float
    method: str


def exact(successes: int, rows: int, confidence: float) -> Interval:
    """Return the bounds of a proportion (Clopper and Pearson 1934): never too narrow, however few the rows."""
    from scipy.special import betaincinv  # in place of binomtest: scipy.stats takes a second of a core to import

    low = betaincinv(successes, rows - successes + 1, 1 - confidence) if successes else 0.0
    high = betaincinv(successes + 1, rows - successes, confidence) if successes < rows else 1.0
    return Interval(float(low), float(high), "Clopper-Pearson")


def paired(only_old: int, only_new: int, rows: int, confidence: float) -> Interval:
    """Return the bounds of the difference new - old of two proportions of right answers on the same rows.

    Bonett and Price (2012): with b = old right and new wrong, c = old wrong and new right, p1 = (c+1)/(n+2) and
    p2 = (b+1)/(n+2), they are p1 - p2 -/+ z sqrt((p1 + p2 - (p1-p2)^2)/(n+2)).
    """
    p1, p2 = (only_new + 1) / (rows + 2), (only_old + 1) / (rows + 2)
    reach = NormalDist().inv_cdf(confidence) * math.sqrt((p1 + p2 - (p1 - p2) ** 2) / (rows + 2))
    return Interval(max(-1.0, p1 - p2 - reach), min(1.0, p1 - p2 + reach), "Bonett-Price")


def tango(only_old: int, only_new: int, rows: int, confidence: float) -> Interval:
    """Return the same bounds by inverting the score test (Tango 1998), found by bisection."""
    z = NormalDist().inv_cdf(confidence)
    estimate = (only_new - only_old) / rows

    def score(difference: float) -> float:
        # q: the probability of `only_old`, of greatest likelihood where the difference is the given one
        b = (2 * rows - only_new + only_old) * difference - only_new - only_old
        q = (math.sqrt(max(0.0, b * b + 8 * rows * only_old * difference * (1 - difference))) - b) / (4 * rows)
        variance = rows * (2 * q + difference * (1 - difference))
        distance = only_new - only_old - rows * difference
        if variance <= 0:
            return math.copysign(math.inf, distance) if distance else 0.0
        return distance / math.sqrt(variance)

    low = _bisect(lambda at: score(at) > z, -1.0, estimate)
    high = _bisect(lambda at: score(at) >= -z, estimate, 1.0)
    return Interval(low, high, "Tango")


def paired_t(differences: Numbers, confidence: float) -> Interval | None:
    """Return Student's bounds of a mean of paired differences; None for fewer than two rows."""
    from scipy.stats import ttest_1samp

    if len(differences) < 2 or not differences.std():  # noqa: PLR2004 - a variance needs two
        return None
    found = ttest_1samp(differences, 0.0).confidence_interval(2 * confidence - 1)
    return Interval(float(found.low), float(found.high), "paired t")


def bootstrap(values: Numbers, statistic: Callable[..., Numbers], confidence: float) -> Interval | None:
    """Return the BCa bounds (Efron 1987) of a statistic that is computed along an axis; None where there are none.

    There are none where all resamples give the same value: then nothing tells how far off it may be. With more than
    `MANY_ROWS` rows they are the plain percentiles.
    """
    return _bca(values, confidence, statistic=statistic, vectorized=True, n_resamples=RESAMPLES)


def bootstrap_rows(rows: int, statistic: Callable[[Places], float], confidence: float) -> Interval | None:
    """Return the BCa bounds of a statistic of rows, given by their places; None where there are none."""
    import numpy as np

    return _bca(np.arange(rows), confidence, statistic=statistic, vectorized=False, n_resamples=FEW_RESAMPLES)


def _bca(
    values: Numbers | Places, confidence: float, *, statistic: Callable[..., object], vectorized: bool, n_resamples: int
) -> Interval | None:
    import warnings

    import numpy as np
    from scipy.stats import bootstrap as resample

    if len(values) < 2:  # noqa: PLR2004 - one row resampled is itself
        return None
    method = "BCa" if len(values) <= MANY_ROWS else "percentile"
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")  # of a degenerate distribution: the NaN below says it
        found = resample(
            (values,),
            statistic,
            vectorized=vectorized,
            n_resamples=n_resamples,
            confidence_level=2 * confidence - 1,
            method=method,
            batch=max(1, CELLS // len(values)),
            rng=np.random.default_rng(SEED),
        ).confidence_interval
    low, high = float(found.low), float(found.high)
    return Interval(low, high, f"{method} bootstrap") if math.isfinite(low) and low < high < math.inf else None


def _bisect(is_left: Callable[[float], bool], low: float, high: float) -> float:
    """Return where a predicate that is true on the left becomes false."""
    while high - low > TOLERANCE:
        middle = (low + high) / 2
        low, high = (middle, high) if is_left(middle) else (low, middle)
    return (low + high) / 2
