"""How many labelled rows a decision needs. All counts are rounded up."""

from __future__ import annotations

import math
from statistics import NormalDist

MOST = 10_000_000


def hoeffding(epsilon: float, delta: float, width: float = 1.0) -> int:
    """Return the rows after which a mean is at most `epsilon` off, on one side, but for a probability of `delta`.

    m = r^2 ln(1/delta) / (2 eps^2) (Hoeffding 1963, as Renggli et al. 2019 use it). `width` r is that of the range of
    one row's value: 1 for right or wrong, 2 for the difference of two models on a row.
    """
    return math.ceil(width**2 * math.log(1 / delta) / (2 * epsilon**2))


def bennett(epsilon: float, delta: float, disagreement: float, models: int = 1, *, adaptive: bool = False) -> int:
    """Return the rows for the difference of two models that differ on at most `disagreement` of the rows.

    m = (ln H - ln(delta/4)) / (p h(eps/p)) with h(u) = (1+u) ln(1+u) - u (Bennett 1962; Renggli et al. 2019,
    proposition 1 and what follows from it). One hold-out judges `models` H models; where each may depend on the
    verdicts before (`adaptive`), there are 2^H possible ones.
    """
    u = epsilon / disagreement
    histories = models * math.log(2) if adaptive else math.log(models)
    return math.ceil((histories - math.log(delta / 4)) / (disagreement * ((1 + u) * math.log1p(u) - u)))


def powered(margin: float, disagreement: float, confidence: float, power: float = 0.8) -> int:
    """Return the rows with which an equally good model passes a margin with a probability of `power`.

    n ~ (z_a + z_b)^2 d / margin^2, d the rate of disagreement (normal approximation, as in Bonett and Price 2012).
    """
    normal = NormalDist()
    return math.ceil((normal.inv_cdf(confidence) + normal.inv_cdf(power)) ** 2 * disagreement / margin**2)


def exact(estimate: float, threshold: float, confidence: float) -> int | None:
    """Return the rows at which the Clopper-Pearson bound of the same proportion leaves a threshold outside.

    None where even `MOST` rows would not.
    """
    from scipy.special import betaincinv

    def is_outside(rows: int) -> bool:
        right = estimate * rows
        if estimate > threshold:
            return bool(betaincinv(right, rows - right + 1, 1 - confidence) > threshold)
        return bool(betaincinv(right + 1, rows - right, confidence) < threshold)

    if estimate == threshold or not is_outside(MOST):
        return None
    low, high = 0, MOST
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if is_outside(middle) else (middle, high)
    return high


def scaled(rows: int, reach: float, epsilon: float) -> int:
    """Return the rows at which a bound that is `reach` away from its estimate comes as near as `epsilon`.

    A standard error shrinks with the root of the rows.
    """
    return math.ceil(rows * (reach / epsilon) ** 2)
