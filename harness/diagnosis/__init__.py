"""Why something failed: the cause, not the symptom.

In come the records of what failed; out come causes, each with the lines that prove it.

Records in, records out: a `Failure` says what is known, `cause_of` finds what it was, `causes_of` does so for all that
a run recorded. Kinds of the machine (`CauseKind.is_infrastructure`) are never blamed on the model.
"""

from harness.diagnosis.builder import Heard, heard
from harness.diagnosis.derive import (
    MEANT_TO_FAIL,
    causes_of,
    of_build,
    of_container,
    of_death,
    of_ending,
    of_rerun,
    of_serving,
    of_start,
    of_training,
)
from harness.diagnosis.lines import ESCAPES, relevant
from harness.diagnosis.machine import full_disk
from harness.diagnosis.recognise import advice_for, cause_of, machine_fault
from harness.diagnosis.record import Cause, CauseKind, Failure

__all__ = [
    "ESCAPES",
    "MEANT_TO_FAIL",
    "Cause",
    "CauseKind",
    "Failure",
    "Heard",
    "advice_for",
    "cause_of",
    "causes_of",
    "full_disk",
    "heard",
    "machine_fault",
    "of_build",
    "of_container",
    "of_death",
    "of_ending",
    "of_rerun",
    "of_serving",
    "of_start",
    "of_training",
    "relevant",
]
