"""Runs the failing part of a recorded run again, and says whether the failure came again or what differs."""

from harness.replay.again import Options, replay
from harness.replay.opened import Opened, opened

__all__ = ["Opened", "Options", "opened", "replay"]
