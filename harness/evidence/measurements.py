"""What a run measured, taken out of its evidence: metrics beside the baseline, latencies, images; pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from harness.config.metric_names import METRICS
from harness.evidence.records import BuiltImage, Evidence

BETTER, WORSE, SAME = "better", "worse", "same"
KILO = 1000


@dataclass(frozen=True)
class Metric:
    """One metric of the served model, beside the baseline's where there is one."""

    name: str
    value: float
    baseline: float | None = None

    @property
    def change(self) -> str:
        """The change against the baseline: signed, and whether it is for the better; empty without a baseline."""
        if self.baseline is None:
            return ""
        difference = self.value - self.baseline
        known = METRICS.get(self.name.partition("[")[0])
        if not difference or known is None:
            return f"{difference:+.4g}" if difference else SAME
        return f"{difference:+.4g} ({BETTER if (difference > 0) is known.rises else WORSE})"


def metrics(evidence: Evidence) -> tuple[Metric, ...]:
    """Return the metrics of the served model on the hold-out rows; those of single classes last."""
    if evidence.quality is None:
        return ()
    before = evidence.quality.baseline_metrics
    found = [Metric(name, value, before.get(name)) for name, value in evidence.quality.metrics.items()]
    return tuple(sorted(found, key=lambda metric: "[" in metric.name))


def trained(evidence: Evidence) -> dict[str, float]:
    """Return the numbers of the last row that training recorded."""
    rows = evidence.artifact.metrics if evidence.artifact else None
    last = rows[-1] if rows else {}
    return {
        name: value for name, value in last.items() if isinstance(value, int | float) and not isinstance(value, bool)
    }


def latencies(evidence: Evidence) -> dict[str, float]:
    """Return percentiles of the latency under a steady stream, in seconds, by their names."""
    stream = evidence.load.stream if evidence.load else None
    if stream is None or not stream.latencies:
        return {}
    return {f"p{p}": stream.percentile(p) for p in (50, 95, 99)}


def image_facts(image: BuiltImage) -> str:
    """Return size, number of layers and content of an image."""
    content = image.diff_ids[-1].removeprefix("sha256:")[:12] if image.diff_ids else "none"
    return f"{size(image.size)}, {len(image.diff_ids)} layers, the last is {content}"


def bases(evidence: Evidence) -> Iterator[str]:
    """Yield the base images, and which are local ones."""
    for base in dict.fromkeys((b.reference, b.local) for b in (evidence.images.bases if evidence.images else ())):
        reference, local = base
        yield f"{reference} (local, packages {local[:12]})" if local else reference


def size(count: float) -> str:
    """Return a number of bytes for people, in powers of 1000."""
    for unit in ("B", "kB", "MB"):
        if count < KILO:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= KILO
    return f"{count:.1f} GB"
