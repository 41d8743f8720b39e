"""Reads the metrics of training, whoever wrote them, as rows: one object an epoch or step."""

from harness.evidence.metrics.sources import MetricRow, in_log, read

__all__ = ["MetricRow", "in_log", "read"]
