"""How far the columns of a table are from those of a reference sample.

The measures are those of TensorFlow Data Validation (Breck et al. 2019, "Data Validation for Machine Learning"): the
L-infinity distance of the frequencies for categories, the Jensen-Shannon divergence (Lin 1991, in bits) over shared
bins for numbers. Small samples differ without any drift: `noise` is three standard deviations above what two samples of
one distribution show. For frequencies p it is 3 sqrt(p (1-p) (1/n + 1/m)); for k bins 8 ln(2) D / (1/n + 1/m) is about
chi-squared with k - 1 degrees of freedom, of mean k - 1 and variance 2 (k - 1) (Menendez et al. 1997).
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from harness.evidence.records import Drift

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

BINS = 10
FEW = 10  # distinct whole numbers that are categories
MAX_CATEGORIES = 100  # beyond, a text is no category but a name
CHANCE = 1e-3  # a category has vanished when the luck of the draw would lose it less often
SHOWN = 10


def drift(reference: pd.DataFrame, frame: pd.DataFrame) -> tuple[Drift, ...]:
    """Compare the columns that both have."""
    if reference.empty or frame.empty:
        return ()
    return tuple(_column(reference[name], frame[name]) for name in reference.columns if name in frame.columns)


def _column(left: pd.Series, right: pd.Series) -> Drift:
    import pandas as pd

    name = str(left.name)
    gone = (float(left.isna().mean()), float(right.isna().mean()))
    share = (left.isna().sum() + right.isna().sum()) / (len(left) + len(right))
    gone_noise = _noise(float(share), len(left), len(right))
    left, right = left.dropna(), right.dropna()
    numeric = pd.api.types.is_numeric_dtype(left) and pd.api.types.is_numeric_dtype(right)
    if not len(left) or not len(right):
        return Drift(name, "nothing", 0.0, 0.0, gone, gone_noise)
    if numeric and left.nunique() > FEW and not pd.api.types.is_bool_dtype(left):
        return Drift(name, "Jensen-Shannon", *_divergence(left, right), gone, gone_noise)
    return _categories(name, _texts(left), _texts(right), gone, gone_noise)


def _texts(column: pd.Series) -> pd.Series:
    import pandas as pd

    return column.astype(float).astype(str) if pd.api.types.is_numeric_dtype(column) else column.astype(str)


def _noise(share: float, n: int, m: int) -> float:
    return 3 * math.sqrt(share * (1 - share) * (1 / n + 1 / m))


def _categories(name: str, left: pd.Series, right: pd.Series, gone: tuple[float, float], gone_noise: float) -> Drift:
    n, m = len(left), len(right)
    before, now = left.value_counts(), right.value_counts()
    if len(before) > min(MAX_CATEGORIES, max(FEW, n // 2)):
        return Drift(name, "nothing", 0.0, 0.0, gone, gone_noise)
    distances = []
    for value in {*before.index, *now.index}:
        p, q = before.get(value, 0) / n, now.get(value, 0) / m
        distances.append((abs(p - q), _noise((p * n + q * m) / (n + m), n, m)))
    distance, noise = max(distances, key=lambda each: each[0] - each[1])
    appeared = [str(value) for value in now.index if value not in before.index]
    vanished = [str(v) for v in before.index if v not in now.index and (1 - before[v] / n) ** m < CHANCE]
    shown = tuple(appeared[:SHOWN]), tuple(vanished[:SHOWN])
    return Drift(name, "L-infinity", distance, noise, gone, gone_noise, *shown)


def _divergence(left: pd.Series, right: pd.Series) -> tuple[float, float]:
    """Return the divergence over bins that hold about the same number of reference values, and its noise."""
    import numpy as np

    edges = np.unique(np.quantile(left.astype(float), np.linspace(0, 1, BINS + 1)[1:-1]))
    counts = [np.bincount(np.searchsorted(edges, s.astype(float), "right"), minlength=len(edges) + 1)
              for s in (left, right)]  # fmt: skip
    p, q = (c / c.sum() for c in counts)
    middle = (p + q) / 2
    freedom = len(edges)
    noise = (freedom + 3 * math.sqrt(2 * freedom)) * (1 / len(left) + 1 / len(right)) / (8 * math.log(2))
    return (_entropy(middle) - (_entropy(p) + _entropy(q)) / 2), noise


def _entropy(p: np.ndarray[Any, Any]) -> float:
    import numpy as np

    known = p[p > 0]
    return float(-(known * np.log2(known)).sum())
