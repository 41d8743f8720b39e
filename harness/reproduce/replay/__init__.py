"""Runs the failing part of a recorded run again, and says whether the failure came again or what differs."""

from harness.reproduce.replay.rerun import Options, replay
from harness.reproduce.replay.source import Opened, opened

__all__ = ["Opened", "Options", "opened", "replay"]
