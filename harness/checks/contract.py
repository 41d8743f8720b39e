"""Checks of the answers to good requests: the examples, the protocol's own rules, the return after a bad request."""

from __future__ import annotations

import json
from collections.abc import Iterator

from jsonschema import Draft202012Validator

from harness.checks import check, failed, passed, skipped
from harness.checks.volatile import DECLARE, LeftOut, left_out
from harness.client.compare import SAME, compare, described, is_limited, parse, short
from harness.client.protocols import DIALECTS
from harness.client.protocols.protocol import Expected
from harness.config.spec import Example, Spec
from harness.diagnosis import Cause, of_death
from harness.evidence.records import Contract, Exchange, Finding

NO_EXAMPLES = "x-harness.contract names no examples"


@check("contract.examples", rubric="Infra 3")
def examples(spec: Spec, contract: Contract) -> Iterator[Finding]:
    """Every example gets the promised answer."""
    if not spec.examples:
        yield skipped(NO_EXAMPLES)
        return
    good = 0
    death = _death(spec, contract)
    aside = left_out(spec, contract)
    for example in spec.examples:
        exchange = contract.answer(f"example:{example.name}")
        differences = ["no request was recorded"] if exchange is None else list(_differences(example, exchange, aside))
        if not differences:
            good += 1
            continue
        advice = _advice(example, exchange)
        if death is not None and exchange is not None and exchange.status is None:
            differences.append(death.text)
            advice, death = death.advice, None  # told once
        yield failed(
            expected=f"{example.name}: status {example.status}"
            + (f" and {short(json.dumps(example.response))}" if example.has_response else ""),
            received="\n".join(differences),
            advice=advice,
        )
    if good == len(spec.examples):
        yield passed(f"{good} of {good} examples answered as promised")


@check("contract.conforms")
def conforms(spec: Spec, contract: Contract) -> Iterator[Finding]:
    """The service answers as its serving protocol demands."""
    dialect = DIALECTS[contract.interface.dialect]
    if not dialect.probes:
        yield skipped(f"the dialect `{dialect.name}` demands nothing beyond the other checks")
        return
    wrong = 0
    deviations: list[str] = []
    has_good = any(example.is_good for example in spec.examples)
    probes = [probe for probe in dialect.probes if has_good or not probe.example]
    for probe in probes:
        exchange = contract.answer(f"conforms:{probe.name}")
        problem = "no request was recorded" if exchange is None else _breach(probe.spec, exchange)
        if exchange is not None and problem and probe.shipped is not None and not spec.block.contract.strict:
            accepted = _breach(probe.shipped, exchange)
            if not accepted:
                deviations.append(probe.name)
            problem = accepted and problem
        if problem:
            wrong += 1
            yield failed(
                expected=f"{probe.method} {exchange.path if exchange else probe.path} ({probe.name}): "
                f"status {' or '.join(str(status) for status in probe.spec.statuses)}"
                f"{f' within {probe.spec.within:g} s' if probe.spec.within else ''}, as {probe.source} says",
                received=problem,
                advice="Correct the server, or name the protocol that it speaks in `serve.dialect`.",
            )
    if not wrong:
        known = f"; known deviations of shipped servers: {', '.join(deviations)}" if deviations else ""
        yield passed(f"{len(probes)} of {len(probes)} demands of {dialect.name} met{known}")


@check("contract.recovers")
def recovers(spec: Spec, contract: Contract) -> Iterator[Finding]:
    """After every malformed request the same good request gets the same answer."""
    if not spec.examples:
        yield skipped(NO_EXAMPLES)
        return
    aside = left_out(spec, contract)
    reference = _reference(spec, contract)
    after = tuple(exchange for exchange in contract.of("recovers") if not is_limited(exchange))
    wrong = [e for e in after if reference is None or not _is_same(reference, e, aside)]
    if not after:
        limited = contract.of("recovers")
        yield skipped(f"each time: {described(limited[0])}" if limited else "no malformed request was sent")
    elif reference is not None and reference.status is None:
        yield skipped("the first example got no answer at all: see contract.examples")
    elif reference is not None and not wrong and (refused := proves_nothing(spec, contract)):
        yield skipped(refused)
    elif wrong:
        first = wrong[0]
        death = _death(spec, contract)
        yield failed(
            expected="the answer to the first example, each time: " + (described(reference) if reference else "none"),
            received=f"another one after {len(wrong)} of {len(after)}, first after "
            f"{first.case.partition(':rejects-')[2]}: {described(first)}" + (f"\n{death.text}" if death else ""),
            advice=f"A bad request must not change the service: no shared state, no dying workers. {DECLARE}"
            + (f" {death.advice}" if death else ""),
        )
    else:
        yield passed(f"the same answer after each of {len(after)} malformed requests")


def _advice(example: Example, exchange: Exchange | None) -> str:
    """Return what to do about an example that is not answered as promised, by the status of its answer."""
    status = None if exchange is None or exchange.status == example.status else exchange.status
    if exchange is not None and exchange.location and status is not None:
        return f"A redirect is not followed: name the path that predicts in `contract.predict` ({exchange.location})."
    advice = {
        401: "The harness sends no credentials: let the service under test run without them, say by a variable.",
        404: "Name the path that predicts in `contract.predict`, and the model in `serve.model` if the path holds one.",
        429: "It is asked too often: lift the limit for the service under test.",
    }
    advice |= {403: advice[401], 405: advice[404], 407: advice[401]}
    right = f"Correct the model or the service; if the new answer is right, correct {example.file}."
    return advice.get(status or 0, right) if example.is_good else right


def proves_nothing(spec: Spec, contract: Contract) -> str:
    """Say why no answer to another request tells anything: the good one got no prediction. Empty where it got one."""
    example, exchange = spec.reference, _reference(spec, contract)
    if example is None or exchange is None:
        return ""
    if DIALECTS[contract.interface.dialect].is_answer(exchange) and not exchange.error:
        return ""
    which = "the good request gets no prediction either" if example.is_good else "no example is a good request"
    said = exchange.error or f"status {exchange.status}"
    return f"{which} ({said}): see contract.examples"


def _reference(spec: Spec, contract: Contract) -> Exchange | None:
    return None if spec.reference is None else contract.answer(f"example:{spec.reference.name}")


def _death(spec: Spec, contract: Contract) -> Cause | None:
    """Return why the service ended while it was asked; None where it did not."""
    return None if contract.died is None else of_death(contract.died, "contract", tuple(spec.block.wheels))


def _differences(example: Example, exchange: Exchange, aside: LeftOut) -> Iterator[str]:
    if exchange.status != example.status:
        yield described(exchange)
        return
    if not example.has_response:
        return
    try:
        body = parse(exchange)
    except (ValueError, RecursionError):
        said = exchange.error or short(exchange.response.decode(errors="replace"))
        yield f"the answer is not JSON: {said}"
        return
    yield from compare(aside.promised(example.response), aside.promised(body), example.tolerance)


def _breach(demanded: Expected, exchange: Exchange) -> str:
    """Return what an answer lacks of what is demanded; empty where it lacks nothing."""
    if exchange.status not in demanded.statuses:
        return described(exchange)
    if demanded.within is not None and exchange.seconds > demanded.within:
        return f"after {exchange.seconds:.1f} s, more than {demanded.within:g} s: {described(exchange)}"
    if demanded.schema is None:
        return ""
    try:
        body = parse(exchange)
    except (ValueError, RecursionError):
        return f"not JSON: {described(exchange)}"
    error = next(Draft202012Validator(demanded.schema).iter_errors(body), None)
    return f"{error.json_path}: {short(error.message)} in {described(exchange)}" if error else ""


def _is_same(reference: Exchange, other: Exchange, aside: LeftOut) -> bool:
    """Whether two answers to one request are the same: status, and JSON but for the last digits of numbers."""
    if reference.status != other.status:
        return False
    try:
        left, right = aside.of(parse(reference)), aside.of(parse(other))
    except (ValueError, RecursionError):
        return reference.response == other.response
    return not any(compare(left, right, SAME))
