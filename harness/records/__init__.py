"""The frozen records that pass between stages, and that the checks read.

Each record is also a file of the run folder (`harness.evidence`), so a record holds data and nothing else.
Sizes are bytes, times are seconds, hashes are hexadecimal SHA-256.
"""

from __future__ import annotations

from harness.records.build import BaseImage, BuiltImage, Data, Images, Lock, Violation
from harness.records.exchange import Body, Contract, Exchange, Fuzz, FuzzFailure, Load, Skew, Step, Stop
from harness.records.finding import FileHash, Finding, Status, digest_of
from harness.records.quality import Quality
from harness.records.run import Environment, Evidence, Selection, StageTime
from harness.records.serving import Asked, Health, Interface, Robustness, Serving, Start
from harness.records.training import Artifact, Exit, Training
from harness.records.trainings import Labels, Repeated, Rerun, Trainings

__all__ = [
    "Artifact",
    "Asked",
    "BaseImage",
    "Body",
    "BuiltImage",
    "Contract",
    "Data",
    "Environment",
    "Evidence",
    "Exchange",
    "Exit",
    "FileHash",
    "Finding",
    "Fuzz",
    "FuzzFailure",
    "Health",
    "Images",
    "Interface",
    "Labels",
    "Load",
    "Lock",
    "Quality",
    "Repeated",
    "Rerun",
    "Robustness",
    "Selection",
    "Serving",
    "Skew",
    "StageTime",
    "Start",
    "Status",
    "Step",
    "Stop",
    "Training",
    "Trainings",
    "Violation",
    "digest_of",
]
