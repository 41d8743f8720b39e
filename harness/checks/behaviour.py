"""Checks of the behavioural tests in the example files, after CheckList (Ribeiro et al. 2020)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from typing import Any

from harness.checks import check, failed, passed, skipped
from harness.checks.volatile import LeftOut, below, left_out, without
from harness.client.compare import compare, described, is_number, parse
from harness.client.protocols.rows import at
from harness.client.request_generators.behaviour import case, resolve
from harness.config.spec import Behaviour, Relation, Spec
from harness.evidence.records import Contract, Finding


class _NoAnswerError(Exception):
    """A request of the test got no prediction, or the prediction lacks the output that the test looks at."""


@check("contract.invariance")
def invariance(spec: Spec, contract: Contract) -> Iterator[Finding]:
    """INV: a change that must not matter leaves the output as it is."""
    yield from _judge(Relation.INVARIANCE, spec, contract)


@check("contract.directional")
def directional(spec: Spec, contract: Contract) -> Iterator[Finding]:
    """DIR: raising a field never lowers (or never raises) the output."""
    yield from _judge(Relation.DIRECTIONAL, spec, contract)


@check("contract.minimum")
def minimum(spec: Spec, contract: Contract) -> Iterator[Finding]:
    """MFT: of the simple cases at least the stated part is right."""
    yield from _judge(Relation.MINIMUM, spec, contract)


def _judge(relation: Relation, spec: Spec, contract: Contract) -> Iterator[Finding]:
    tests = [behaviour for behaviour in spec.behaviours if behaviour.relation is relation]
    if not tests:
        yield skipped(f'no example file holds a test of this kind ("test": "{relation.value}")')
        return
    wrong = 0
    aside = left_out(spec, contract)
    for each in tests:
        behaviour = replace(each, responses=tuple(aside.promised(response) for response in each.responses))
        try:
            outputs = [_output(behaviour, number, contract, aside) for number in range(len(behaviour.requests))]
            problem = _PROBLEMS[relation](behaviour, outputs)
        except _NoAnswerError as exc:
            problem = str(exc)
        if problem:
            wrong += 1
            yield failed(
                expected=f"{behaviour.name}: {_expected(behaviour)}",
                received=problem,
                advice=f"Correct the model or its data; if the new behaviour is right, correct {behaviour.file}.",
            )
    if not wrong:
        requests = sum(len(behaviour.requests) for behaviour in tests)
        yield passed(f"{len(tests)} of {len(tests)} tests hold ({requests} requests)")


def _output(behaviour: Behaviour, number: int, contract: Contract, aside: LeftOut) -> Any:
    exchange = contract.answer(case(behaviour, number))
    if exchange is None:
        raise _NoAnswerError("no request was recorded")
    if not aside.dialect.is_answer(exchange):
        raise _NoAnswerError(f"request {number} got {described(exchange)}")
    try:
        answer = parse(exchange)
        if not behaviour.output:
            return aside.promised(answer) if behaviour.relation is Relation.MINIMUM else aside.of(answer)
        path = resolve(answer, behaviour.output)
        return without(at(answer, path), below(aside.places, path))
    except (ValueError, RecursionError) as exc:
        raise _NoAnswerError(f"request {number}: {exc} in {described(exchange)}") from exc


def _invariance(behaviour: Behaviour, outputs: list[Any]) -> str:
    for number, output in enumerate(outputs[1:], start=1):
        if difference := next(compare(outputs[0], output, behaviour.tolerance), None):
            return f"step {number} changes it: {difference}"
    return ""


def _directional(behaviour: Behaviour, outputs: list[Any]) -> str:
    """Compare each step with the one before; the original stands for itself and is not part of the row of steps."""
    steps = outputs[1:]
    if strangers := [output for output in steps if not is_number(output)]:
        return f"{behaviour.output} is no number: {strangers[0]!r}"
    sign = 1 if behaviour.never == "falls" else -1
    for number, (left, right) in enumerate(pairwise(steps), start=2):
        slack = max(behaviour.tolerance.absolute, behaviour.tolerance.relative * abs(left))
        if sign * (right - left) < -slack:
            return f"from step {number - 1} to {number} it goes from {left!r} to {right!r}"
    return ""


def _minimum(behaviour: Behaviour, outputs: list[Any]) -> str:
    pairs = zip(behaviour.responses, outputs, strict=True)
    wrong = [next(compare(response, output, behaviour.tolerance), "") for response, output in pairs]
    right = sum(not problem for problem in wrong)
    if right >= behaviour.at_least * len(wrong):
        return ""
    return f"{right} of {len(wrong)}, first wrong one: {next(filter(None, wrong))}"


_PROBLEMS = {Relation.INVARIANCE: _invariance, Relation.DIRECTIONAL: _directional, Relation.MINIMUM: _minimum}


def _expected(behaviour: Behaviour) -> str:
    what = behaviour.output or "the answer"
    if behaviour.relation is Relation.INVARIANCE:
        return f"{what} stays as it is"
    if behaviour.relation is Relation.DIRECTIONAL:
        return f"{what} never {behaviour.never} from step to step"
    return f"at least {behaviour.at_least:.0%} of {len(behaviour.requests)} cases right"
