"""Checks of the service."""

from __future__ import annotations

from collections.abc import Iterator

from harness.checks import check, failed, passed
from harness.config.spec import Spec
from harness.diagnosis import of_serving
from harness.evidence.records import Finding, Serving


@check("serve.ready", rubric="Infra 6")
def ready(spec: Spec, serve: Serving) -> Iterator[Finding]:
    """The service says that it is ready, and then answers a prediction, within its time."""
    if serve.ready:
        yield passed(f"after {serve.seconds:.1f} s ({serve.last_answer})")
        return
    died = f"the container died after {serve.seconds:.1f} s: " if serve.died is not None else ""
    cause = of_serving(serve, tuple(spec.block.wheels))
    yield failed(
        expected=f"2xx from {serve.ready_path} on port {serve.port} and an answered prediction within "
        f"{serve.timeout:g} s",
        received=died + cause.text,
        advice=cause.advice,
    )
