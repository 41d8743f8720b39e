"""The only importer of the Docker SDK.

In come the services of a Compose model; out come records of images, containers and their output, and everything made is
labelled.
"""

from harness.engine.client import Engine, Leftover
from harness.engine.execution import Executed
from harness.engine.images import context_files
from harness.engine.peak import Peak
from harness.engine.running import Running, Sink

__all__ = ["Engine", "Executed", "Leftover", "Peak", "Running", "Sink", "context_files"]
