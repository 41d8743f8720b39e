"""The containerized test harness for machine learning."""

__version__ = "0.1.0"
