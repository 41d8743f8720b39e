"""What the checks of code, data, training, artifact and quality add to the warm main line: A B A B ..., medians.

A is `harness run --fast`; B is the same with all those checks, and without what the other slow ones need (load,
fuzzing, skew, further starts of the service).

Run it in the repository after `tox -e setup,smoke`: `.tox/smoke/bin/python tests/benchmarks/evidence.py`.
"""

from __future__ import annotations

import statistics
import sys

from overhead import run

from harness.checks import all_checks
from harness.evidence.records import Selection

RUNS = 5
SUBJECTS = ("code", "data", "train", "artifact", "quality")


def main() -> None:
    """Print the medians."""
    slow = [check.name for check in all_checks() if Selection(fast=True).left_out(check)]
    others = [name for name in slow if name.partition(".")[0] not in SUBJECTS]
    harness = [sys.executable, "-m", "harness", "run", "--quiet"]
    with_evidence = [*harness, *(word for name in others for word in ("--skip", name))]
    for argv in ([*harness, "--fast"], with_evidence):  # warm caches, not counted
        run(argv)
    pairs = [(run([*harness, "--fast"])[0], run(with_evidence)[0]) for _ in range(RUNS)]
    line, whole = (statistics.median(column) for column in zip(*pairs, strict=True))
    print(f"main line     {line:6.2f} s   of {', '.join(f'{a:.2f}' for a, _ in pairs)}")
    print(f"with evidence {whole:6.2f} s   of {', '.join(f'{b:.2f}' for _, b in pairs)}")
    paired = statistics.median(b / a - 1 for a, b in pairs)
    print(f"added         {whole / line - 1:6.0%}     of medians; {paired:.0%} pair by pair")


if __name__ == "__main__":
    main()
