"""Checks of the service under load: how fast it answers a steady stream, and what becomes of answers under pressure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from harness.checks import check, failed, passed, skipped, warned
from harness.config.blocks import LatencyBlock, LoadBlock
from harness.config.spec import Spec
from harness.evidence.records import Finding, Load, Step

BUSY = ("status 409", "status 429")  # the service asks to be asked less often, and says so
SHED = (*BUSY, "status 503")  # what a service may answer under more load than it promised to bear
WRONG = "other answer"
NOTHING_ASKED = "no good request was answered before, so there is nothing to ask again: see contract.examples"
MIB = 2**20


@check("contract.latency", rubric="Monitor 6")
def latency(spec: Spec, load: Load) -> Iterator[Finding]:
    """Every request of a steady stream is answered, within the declared percentiles."""
    stream = load.stream
    if stream is None:
        yield skipped(NOTHING_ASKED)
        return
    budget = spec.block.contract.latency
    unanswered, busy = _lost_of(stream, BUSY), _of(stream.errors, BUSY)
    over = list(_exceeded(budget, stream))
    if unanswered:
        yield failed(
            expected=f"{stream.sent} of {stream.sent} requests answered, {_pace(stream)}",
            received=_counted(unanswered),
            advice="Read the service's log: a request that is answered alone must be answered in a slow stream too.",
        )
    for expected, received in over:
        yield failed(
            expected=expected,
            received=f"{received}; {_figures(stream)}",
            advice="Make the model or the service faster, or declare what it can keep in `contract.latency`.",
        )
    if busy:
        yield warned(
            expected=f"{stream.sent} of {stream.sent} requests answered, {_pace(stream)}",
            received=_counted(busy),
            advice="Say in `contract.latency.rate` how many requests a second the service takes.",
        )
    if not (unanswered or over or busy):
        yield passed(_figures(stream))


@check("contract.load", rubric="Monitor 6")
def load(spec: Spec, load: Load) -> Iterator[Finding]:
    """With many clients at once every client gets the answer to its own request."""
    if load.stream is None or not load.steps:
        yield skipped(NOTHING_ASKED)
        return
    block = spec.block.contract.load
    bad = [*_mixed_up(load), *_lost(load.steps), *_not_sustained(block, load.steps)]
    yield from bad
    shed = {step.clients: only for step in load.steps if (only := _of(step.errors, SHED))}
    for clients, errors in shed.items():
        yield warned(
            expected=f"an answer to each request of {clients} clients at once",
            received=f"{_counted(errors)}; {_report(block, load)}",
            advice="A service may refuse what it cannot bear; say in `contract.load.sustains` what it must bear.",
        )
    if not bad and not shed:
        yield passed(_report(block, load))


def _exceeded(budget: LatencyBlock, stream: Step) -> Iterator[tuple[str, str]]:
    """Yield each declared percentile that is exceeded: what was expected and received."""
    for p, limit in ((50, budget.p50), (95, budget.p95), (99, budget.p99)):
        if limit is None:
            continue
        received = stream.percentile(p) if stream.latencies else None
        if received is None or received > limit:
            said = "no answer at all" if received is None else _ms(received)
            yield f"p{p} of at most {_ms(limit)}, {_pace(stream)}", said


def _mixed_up(load: Load) -> Iterator[Finding]:
    """Find answers that belong to another request, or to none; in the stream too."""
    for step in filter(None, (load.stream, *load.steps)):
        if step.crossed:
            yield failed(
                expected=f"{_pace(step)}: each client gets the answer to its own request",
                received=f"{sum(step.crossed.values())} of {step.answered} answers crossed: {_counted(step.crossed)}",
                advice="Look for state that requests share: globals, one buffer for all, a queue without identities.",
            )
        if wrong := step.errors.get(WRONG):
            yield failed(
                expected=f"{_pace(step)}: the answers that the same requests got alone",
                received="\n".join([f"{wrong} of {step.sent} were others", *step.samples]),
                advice="A prediction must depend on its row alone, whatever else is predicted at that time.",
            )


def _lost(steps: tuple[Step, ...]) -> Iterator[Finding]:
    """Find requests that got no answer, or one that no service may give under load."""
    for step in steps:
        if lost := _lost_of(step, SHED):
            yield failed(
                expected=f"{_pace(step)}: each request answered, or refused with 429 or 503",
                received=f"{_counted(lost)} of {step.sent}",
                advice="Read the service's log; let the server queue, or refuse in time, rather than drop or break.",
            )


def _not_sustained(block: LoadBlock, steps: tuple[Step, ...]) -> Iterator[Finding]:
    if block.sustains is None:
        return
    borne = max((step.clients or 0 for step in steps if _is_borne(block, step)), default=0)
    if borne < block.sustains:
        first = next((step for step in steps if not _is_borne(block, step)), steps[-1])
        yield failed(
            expected=f"{block.sustains} clients at once within a p95 of {_ms(block.p95)}, without an error",
            received=f"{borne} clients; {_step(first)}",
            advice="Give the service more workers or a faster model, or promise less in `contract.load.sustains`.",
        )


def _is_borne(block: LoadBlock, step: Step) -> bool:
    return bool(step.latencies) and not step.errors and not step.crossed and step.percentile(95) <= block.p95


def _report(block: LoadBlock, load: Load) -> str:
    """Say what each step gave, where the service breaks, and what became of its memory."""
    last = load.steps[-1]
    parts = [_step(step) for step in load.steps]
    slow = bool(last.latencies) and last.percentile(95) > block.p95
    parts.append(f"p95 beyond {_ms(block.p95)} {f'from {_clients(last)} on' if slow else 'not reached'}")
    memory = [used for step in filter(None, (load.stream, *load.steps)) for _, used in step.memory]
    if memory:
        peak = f"peak {max(memory) / MIB:.1f}"
        parts.append(f"memory {memory[0] / MIB:.1f} MiB before, {peak}, {memory[-1] / MIB:.1f} after")
    if load.distinct < 2:  # noqa: PLR2004 - one answer cannot be told from itself
        parts.append("crossed answers could not be seen: all requests have one answer")
    else:
        parts.append(f"no answer crossed ({load.distinct} different ones)")
    return "; ".join(parts)


def _step(step: Step) -> str:
    p95 = f"p95 {_ms(step.percentile(95))}" if step.latencies else "no answer"
    errors = f", {_counted(step.errors)}" if step.errors else ""
    return f"{_clients(step)}: {step.throughput:.0f} answers a second, {p95}{errors}"


def _figures(stream: Step) -> str:
    if not stream.latencies:
        return f"no answer to {stream.sent} requests"
    p50, p95, p99, most = (_ms(stream.percentile(p)) for p in (50, 95, 99, 100))
    late = f"; the harness itself sent up to {_ms(stream.late)} late (p99)" if stream.late > 0.001 else ""  # noqa: PLR2004
    return f"p50 {p50}, p95 {p95}, p99 {p99}, max {most} of {stream.answered} answers, {_pace(stream)}{late}"


def _pace(step: Step) -> str:
    return f"{step.rate:.3g} requests a second" if step.rate is not None else _clients(step)


def _clients(step: Step) -> str:
    return f"{step.clients} client{'' if step.clients == 1 else 's'}"


def _of(errors: Mapping[str, int], reasons: tuple[str, ...]) -> dict[str, int]:
    return {reason: times for reason, times in errors.items() if reason in reasons}


def _lost_of(step: Step, excused: tuple[str, ...]) -> dict[str, int]:
    """Return what became of requests without an answer, and how often."""
    lost = {reason: times for reason, times in step.errors.items() if reason not in (*excused, WRONG)}
    if missing := step.sent - step.answered - sum(step.errors.values()):
        lost["never heard of again"] = missing
    return lost


def _counted(reasons: Mapping[str, int]) -> str:
    shown = sorted(reasons.items(), key=lambda item: -item[1])
    more = f" and {len(shown) - 3} more kinds" if len(shown) > 3 else ""  # noqa: PLR2004 - what fits a line
    return ", ".join(f"{times} x {reason}" for reason, times in shown[:3]) + more


def _ms(seconds: float) -> str:
    return f"{seconds * 1000:.3g} ms" if seconds < 1 else f"{seconds:.3g} s"
