"""Row counts and bounds against published numbers, other implementations, and simulations with a seed."""

from __future__ import annotations

import math
from collections.abc import Callable
from statistics import NormalDist

import numpy as np
import pytest
from scipy.stats import beta, binomtest

from harness.statistics import sample_size
from harness.statistics.intervals import Interval, bootstrap, bootstrap_rows, exact, paired, paired_t, tango

TWO_SIDED = 0.975  # the one-sided confidence of each end of a 95 % interval


def test_bennett_of_ease_ml_ci() -> None:
    """Renggli et al. (2019): p = 0.1, eps = 0.01, delta = 1e-4, 32 models need "29K" labels, adaptive ones "67K"."""
    assert sample_size.bennett(0.01, 1e-4, 0.1, 32) == 29_048
    assert sample_size.bennett(0.01, 1e-4, 0.1, 32, adaptive=True) == 67_706


def test_hoeffding() -> None:
    """The paired bound of the design: 2,397 rows for eps = delta = 0.05; a quarter of it for one proportion."""
    assert sample_size.hoeffding(0.05, 0.05, width=2.0) == 2397
    assert sample_size.hoeffding(0.05, 0.05) == 600


def test_power() -> None:
    """248 rows for a disagreement of 10 %, a margin of 5 points and a power of 80 %."""
    assert sample_size.powered(0.05, 0.1, 0.95) == 248


def test_power_holds_in_a_simulation() -> None:
    """An equal model passes about 80 % of the time with the rows that were said to be needed."""
    rate = _pass_rate(paired, rows=248, disagreement=0.1, difference=0.0, margin=0.05)
    assert rate == pytest.approx(0.8, abs=0.03)


def test_rows_of_an_exact_bound() -> None:
    """The rule of three: 29 rows, all right, show an accuracy above 0.9 at 95 %, 28 do not."""
    assert sample_size.exact(1.0, 0.9, 0.95) == 29
    assert exact(29, 29, 0.95).low > 0.9 > exact(28, 28, 0.95).low
    assert sample_size.exact(0.5, 0.6, 0.95) == 76
    assert exact(38, 76, 0.95).high < 0.6 < exact(37, 74, 0.95).high
    assert sample_size.exact(0.9, 0.9, 0.95) is None


def test_scaled_rows() -> None:
    """Half the width needs four times the rows."""
    assert sample_size.scaled(100, 0.2, 0.1) == 400


@pytest.mark.parametrize(
    ("successes", "rows", "low", "high"),
    [(81, 263, 0.2527, 0.3676), (15, 148, 0.0578, 0.1617), (0, 20, 0.0, 0.1684), (1, 29, 0.0009, 0.1776)],
)
def test_clopper_pearson(successes: int, rows: int, low: float, high: float) -> None:
    """Newcombe (1998), Statistics in Medicine 17, 857-872, table I, method 5."""
    found = exact(successes, rows, TWO_SIDED)
    assert [found.low, found.high] == [pytest.approx(low, abs=5e-5), pytest.approx(high, abs=5e-5)]


CONFIDENCES = (0.9, 0.95, 0.975, 0.9999)


@pytest.mark.parametrize("rows", [1, 2, 7, 30])
def test_clopper_pearson_as_scipy_has_it(rows: int) -> None:
    """The bounds are those of `binomtest`, which takes a second of a core to import, for every count of some rows."""
    for successes in range(rows + 1):
        test = binomtest(successes, rows)
        for confidence in CONFIDENCES:
            known = test.proportion_ci(2 * confidence - 1, "exact")
            found = exact(successes, rows, confidence)
            assert (found.low, found.high) == pytest.approx((known.low, known.high), rel=1e-9, abs=1e-12)


@pytest.mark.parametrize("confidence", CONFIDENCES)
def test_clopper_pearson_of_many_rows(confidence: float) -> None:
    """The same for each count of more rows: the quantiles of the beta distribution are what `binomtest` looks for."""
    rows, counts = 333, np.arange(334)
    low = np.append(0.0, beta.ppf(1 - confidence, counts[1:], rows - counts[1:] + 1))
    high = np.append(beta.ppf(confidence, counts[:-1] + 1, rows - counts[:-1]), 1.0)
    found = [exact(int(successes), rows, confidence) for successes in counts]
    assert [each.low for each in found] == pytest.approx(low, rel=1e-9, abs=1e-12)
    assert [each.high for each in found] == pytest.approx(high, rel=1e-9, abs=1e-12)


@pytest.mark.parametrize(("bounds", "low", "high"), [(paired, -0.508, -0.013), (tango, -0.517, -0.026)])
def test_paired_bounds(bounds: Callable[..., Interval], low: float, high: float) -> None:
    """Fagerland, Lydersen and Laake (2014), table V: airway reactivity, n = 21, discordant pairs 1 and 7."""
    found = bounds(7, 1, 21, TWO_SIDED)
    assert (round(found.low, 3), round(found.high, 3)) == (low, high)


@pytest.mark.parametrize("bounds", [paired, tango])
@pytest.mark.parametrize(("only_old", "only_new", "rows"), [(0, 0, 1), (0, 0, 30), (3, 0, 3), (0, 5, 5), (4, 4, 9)])
def test_paired_bounds_at_the_edges(bounds: Callable[..., Interval], only_old: int, only_new: int, rows: int) -> None:
    """Bounds are never outside -1 to 1 nor on the wrong side, and they mirror when the models change places."""
    found, mirrored = bounds(only_old, only_new, rows, 0.95), bounds(only_new, only_old, rows, 0.95)
    assert -1 <= found.low < found.high <= 1
    assert [found.low, found.high] == [pytest.approx(-mirrored.high, abs=1e-9), pytest.approx(-mirrored.low, abs=1e-9)]
    if bounds is tango:
        assert found.low <= (only_new - only_old) / rows <= found.high


@pytest.mark.parametrize("margin", [0.03, 0.05, 0.1])
def test_false_passes_are_rare(margin: float) -> None:
    """At 30 rows with 10 % disagreement, a model that is worse by the margin passes at most about 5 % of the time.

    Wald's interval, which is not used, lets more than 10 % pass.
    """
    rates = [
        _pass_rate(bounds, rows=30, disagreement=0.1, difference=-margin, margin=margin)
        for bounds in (paired, tango, _wald)
    ]
    assert rates[0] <= 0.055
    assert rates[1] <= 0.055
    assert rates[2] > 0.1


def test_paired_t() -> None:
    """Student's sleep data (1908), as R's t.test(extra ~ group, paired = TRUE) has it: 0.7001142 to 2.4598858."""
    first = np.array([0.7, -1.6, -0.2, -1.2, -0.1, 3.4, 3.7, 0.8, 0.0, 2.0])
    second = np.array([1.9, 0.8, 1.1, 0.1, -0.1, 4.4, 5.5, 1.6, 4.6, 3.4])
    found = paired_t(second - first, TWO_SIDED)
    assert found is not None
    assert [found.low, found.high] == [pytest.approx(0.7001142, abs=1e-6), pytest.approx(2.4598858, abs=1e-6)]
    assert paired_t(np.zeros(5), 0.95) is None
    assert paired_t(np.array([1.0]), 0.95) is None


def test_bca() -> None:
    """Efron and Tibshirani (1993), table 14.2: 90 % BCa bounds of the variance of 26 spatial scores, 115.8 to 259.6."""
    scores = np.array(
        [48, 36, 20, 29, 42, 42, 20, 42, 22, 41, 45, 14, 6, 0, 33, 28, 34, 4, 32, 24, 47, 41, 24, 26, 30, 41], float
    )
    found = bootstrap(scores, np.var, 0.95)
    assert found is not None
    assert [found.low, found.high] == [pytest.approx(115.8, abs=3), pytest.approx(259.6, abs=5)]
    assert bootstrap(scores, np.var, 0.95) == found, "a seed makes the verdict repeatable"


def test_bootstrap_of_rows() -> None:
    """A statistic of rows gets nearly the bounds of the same statistic of values."""
    values = np.random.default_rng(3).normal(size=60)
    whole = bootstrap(values, np.mean, 0.95)
    rows = bootstrap_rows(60, lambda places: float(values[places].mean()), 0.95)
    assert whole is not None
    assert rows is not None
    assert [rows.low, rows.high] == [pytest.approx(whole.low, abs=0.05), pytest.approx(whole.high, abs=0.05)]


def test_bootstrap_without_an_answer() -> None:
    """Values that are all alike, or one alone, give no bounds instead of a point that looks certain."""
    assert bootstrap(np.ones(20), np.mean, 0.95) is None
    assert bootstrap(np.ones(1), np.mean, 0.95) is None
    assert bootstrap_rows(20, lambda _: 1.0, 0.95) is None


def test_many_rows_are_resampled_by_parts() -> None:
    """Percentiles of many rows: close to the normal bounds, and in little memory."""
    values = np.random.default_rng(3).normal(size=20_000)
    found = bootstrap(values, np.mean, 0.95)
    assert found is not None
    assert found.method == "percentile bootstrap"
    reach = NormalDist().inv_cdf(0.95) * values.std() / math.sqrt(20_000)
    assert [found.low, found.high] == [
        pytest.approx(values.mean() - reach, rel=0.2, abs=5e-4),
        pytest.approx(values.mean() + reach, rel=0.2, abs=5e-4),
    ]
    assert bootstrap(np.ones(3_000), np.mean, 0.95) is None


def test_bca_of_losses_rarely_passes_a_worse_model() -> None:
    """At 40 rows the lower bound of a skewed mean lies above it at most about as often as it should."""
    generator = np.random.default_rng(11)
    found = [bootstrap(generator.exponential(size=40) - 1.0, np.mean, 0.95) for _ in range(100)]
    assert sum(each is not None and each.high < 0 for each in found) <= 12
    assert sum(each is not None and each.low > 0 for each in found) <= 10


def _wald(only_old: int, only_new: int, rows: int, confidence: float) -> Interval:
    estimate = (only_new - only_old) / rows
    variance = max(0.0, (only_new + only_old) / rows - estimate**2) / rows
    reach = NormalDist().inv_cdf(confidence) * math.sqrt(variance)
    return Interval(estimate - reach, estimate + reach, "Wald")


def _pass_rate(
    bounds: Callable[..., Interval], *, rows: int, disagreement: float, difference: float, margin: float
) -> float:
    """Return how often the lower bound lies above -margin, in 20,000 hold-outs drawn with a seed."""
    generator = np.random.default_rng(20190331)
    worse, better = (disagreement - difference) / 2, (disagreement + difference) / 2
    drawn = generator.multinomial(rows, [worse, better, 1 - disagreement], size=20_000)
    counts, times = np.unique(drawn[:, :2], axis=0, return_counts=True)
    passes = [bounds(int(b), int(c), rows, 0.95).low > -margin for b, c in counts]
    return float(times[passes].sum() / times.sum())
