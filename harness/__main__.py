"""`python -m harness` and the command `harness`: the only place that exits."""

import sys

from harness.cli import main as run_command
from harness.reports.foreign import guard_errors


def main() -> None:
    """Run the command line and exit with its code; what libraries and tracebacks print commands no runner."""
    guard_errors()
    sys.exit(run_command(sys.argv[1:]))


if __name__ == "__main__":
    main()
