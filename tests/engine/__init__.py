"""Tests with the real container engine, in a folder for each kind, which can run as a shard of its own.

The default run proves each kind of thing once or twice. Marked `nightly` is what proves the same on a further engine,
protocol or kind of failure; marked `serial`, what must run while no other test does (`tests/unit/turns.py`).
"""
