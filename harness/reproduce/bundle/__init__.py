"""Bundles: one file with all that another machine needs to see a run's failure again, without its secrets."""

from harness.reproduce.bundle.manifest import Absent, BundleEntry, BundleManifest, Image, Redaction
from harness.reproduce.bundle.packing import LIMIT, Packed, pack, place_of, redactor_of
from harness.reproduce.bundle.redaction import Redactor
from harness.reproduce.bundle.unpacking import Bundle, UnpackLimits, open_bundle

__all__ = [
    "LIMIT",
    "Absent",
    "Bundle",
    "BundleEntry",
    "BundleManifest",
    "Image",
    "Packed",
    "Redaction",
    "Redactor",
    "UnpackLimits",
    "open_bundle",
    "pack",
    "place_of",
    "redactor_of",
]
