"""The frozen records that pass between stages, and that the checks read.

Each record is also a file of the run folder (`harness.evidence.run_folder`), so a record holds data and nothing else.
Sizes are bytes, times are seconds, hashes are hexadecimal SHA-256.
"""

from __future__ import annotations

from harness.evidence.records.build import BaseImage, BuiltImage, Images, Lock
from harness.evidence.records.code import Code, FailedTest, FeatureTable, Tally, UnitTests
from harness.evidence.records.dataset import Data, Drift, DvcPointer, Secret, Secrets, SharedRow, Split, Tell, Violation
from harness.evidence.records.exchange import Body, Contract, Exchange, Fuzz, FuzzFailure, Load, Skew, Step, Stop
from harness.evidence.records.finding import FileHash, Finding, Status, digest_of, is_housekeeping
from harness.evidence.records.limits import Limits
from harness.evidence.records.manifest import Claim, Loaded, Manifest
from harness.evidence.records.provenance import Provenance
from harness.evidence.records.quality import Quality
from harness.evidence.records.run import Ending, Environment, Evidence, Selection, StageTime
from harness.evidence.records.run_environment import Inside, Surroundings
from harness.evidence.records.scan import Borrowed, Import, Kind, Note, Scan, ScannedFile, Tracked, TrackedFile, Use
from harness.evidence.records.services import Companion, Services
from harness.evidence.records.serving import Health, Interface, ReadinessProbe, Robustness, Serving, Start
from harness.evidence.records.training import Artifact, Exit, Training
from harness.evidence.records.training_variants import Labels, Repeated, Rerun, Trainings

__all__ = [
    "Artifact",
    "BaseImage",
    "Body",
    "Borrowed",
    "BuiltImage",
    "Claim",
    "Code",
    "Companion",
    "Contract",
    "Data",
    "Drift",
    "DvcPointer",
    "Ending",
    "Environment",
    "Evidence",
    "Exchange",
    "Exit",
    "FailedTest",
    "FeatureTable",
    "FileHash",
    "Finding",
    "Fuzz",
    "FuzzFailure",
    "Health",
    "Images",
    "Import",
    "Inside",
    "Interface",
    "Kind",
    "Labels",
    "Limits",
    "Load",
    "Loaded",
    "Lock",
    "Manifest",
    "Note",
    "Provenance",
    "Quality",
    "ReadinessProbe",
    "Repeated",
    "Rerun",
    "Robustness",
    "Scan",
    "ScannedFile",
    "Secret",
    "Secrets",
    "Selection",
    "Services",
    "Serving",
    "SharedRow",
    "Skew",
    "Split",
    "StageTime",
    "Start",
    "Status",
    "Step",
    "Stop",
    "Surroundings",
    "Tally",
    "Tell",
    "Tracked",
    "TrackedFile",
    "Training",
    "Trainings",
    "UnitTests",
    "Use",
    "Violation",
    "digest_of",
    "is_housekeeping",
]
