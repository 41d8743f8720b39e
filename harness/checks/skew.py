"""Checks of what the training image predicts: as the examples promise, and row by row as serving does."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

from harness.checks import check, failed, passed, skipped, whole_log
from harness.checks.volatile import left_out
from harness.client.compare import compare, described, is_nan, is_number, parse, short
from harness.client.protocols import DIALECTS
from harness.config.blocks import SkewBlock
from harness.config.spec import Example, Spec, Tolerance
from harness.evidence.records import Contract, Exchange, Finding, Skew, Status

ABSOLUTE = 1e-12  # in place of a relative tolerance of numbers around zero
MAX_SHOWN = 3
ADVICE = "Correct the model's code or its predict program; if the new answer is right, correct the example."
NOT_RUN = "there is no record of the training image's answers"


@check("contract.skew", rubric="Monitor 3")
def skew(spec: Spec, contract: Contract, skew: Skew | None = None) -> Iterator[Finding]:
    """Hold-out rows get over HTTP the predictions that the training image makes of them."""
    block = spec.block.contract.skew
    if block is None:
        yield skipped("x-harness.contract names no `skew` rows and command")
    elif skew is None:
        yield Finding(Status.ERROR, NOT_RUN, "the evidence that the check reads", "Run again.")
    elif problem := _unusable(skew):
        whole_log(skew.exit, end_only=True)
        yield failed(
            expected=f"`{' '.join(block.command)}` answers {len(skew.requests) or 'the'} rows of {block.rows} "
            "in the training image",
            received=problem,
            advice="It reads one JSON request a line from the file that its last argument names, and prints one JSON "
            "answer a line, in the form in which the service answers.",
        )
    else:
        yield _compared(spec, block, contract, skew)


@check("code.api", rubric="Infra 2")
def api(spec: Spec, skew: Skew | None = None) -> Iterator[Finding]:
    """The project's own code predicts in the training image what the examples promise, without a server."""
    block = spec.block.contract.skew
    if block is None:
        yield skipped("x-harness.contract.skew names no `command` that predicts in the training image")
    elif skew is None:
        yield Finding(Status.ERROR, NOT_RUN, "the evidence that the check reads", "Run again.")
    elif skew.with_rows and _unusable(skew):
        yield skipped("the training image did not answer: `contract.skew` says why")
    elif not skew.examples:
        yield skipped("no example of the contract promises an answer")
    elif problem := _unusable(skew):
        whole_log(skew.exit, end_only=True)
        yield failed(
            expected=f"`{' '.join(block.command)}` answers the {len(skew.examples)} examples in the training image",
            received=problem,
            advice=ADVICE,
        )
    else:
        yield _promised(spec, block, {example.name: example for example in spec.examples}, skew)


def _promised(spec: Spec, block: SkewBlock, examples: Mapping[str, Example], skew: Skew) -> Finding:
    wrong = []
    aside = left_out(spec, None)
    for name, answer in zip(skew.examples, skew.example_answers, strict=False):
        example = examples[name]
        if difference := next(compare(aside.promised(example.response), aside.promised(answer), example.tolerance), ""):
            wrong.append(f"{name}: {difference}")
    if len(skew.example_answers) < len(skew.examples):
        unanswered = skew.examples[len(skew.example_answers)]
        wrong.append("\n".join((f"{unanswered}: no answer, {skew.exit.describe()}", *skew.exit.log_tail[-5:])))
    if not wrong:
        return passed(f"{len(skew.examples)} examples answered in the training image as promised")
    more = [f"and {len(wrong) - MAX_SHOWN} more examples"] if len(wrong) > MAX_SHOWN else []
    return failed(
        expected=f"`{' '.join(block.command)}` answers the {len(skew.examples)} examples as the contract promises",
        received="\n".join([*wrong[:MAX_SHOWN], *more]),
        advice=ADVICE,
    )


def _unusable(skew: Skew) -> str:
    """Return why there is nothing to compare; empty where there is. An example that ends the program ends no row."""
    if len(skew.answers) == len(skew.requests) and len(skew.example_answers) < len(skew.examples) and not skew.error:
        return ""
    if skew.exit.code != 0 and (skew.requests or not skew.error):
        return "\n".join((skew.exit.describe(), *skew.exit.log_tail[-5:]))
    if skew.error:
        return "\n".join((skew.error, *skew.exit.log_tail[-5:]))
    if len(skew.answers) != len(skew.requests):
        return f"{len(skew.answers)} answers to {len(skew.requests)} requests"
    return ""


def _compared(spec: Spec, block: SkewBlock, contract: Contract, skew: Skew) -> Finding:
    tolerance = Tolerance(block.relative, ABSOLUTE)
    aside = left_out(spec, contract)
    wrong: list[str] = []
    largest = 0.0
    for number, ours in enumerate(skew.answers):
        exchange = contract.answer(f"skew:{number}")
        theirs, problem = _served(contract, exchange)
        if not problem:
            ours, theirs = aside.promised(ours), aside.promised(theirs)  # noqa: PLW2901
            problem = next(compare(ours, theirs, tolerance), "")
            largest = max([largest, *_relative(ours, theirs)])
        if problem:
            wrong.append(f"row {number + 1}: {problem}")
    rows = f"{len(skew.answers)} rows of {block.rows}"
    if not wrong:
        apart = f"at most {largest:.1e} apart, relatively" if largest else "to the last digit"
        return passed(f"{rows}: the same in the training image and over HTTP ({apart})")
    more = f"\nand {len(wrong) - MAX_SHOWN} more rows" if len(wrong) > MAX_SHOWN else ""
    return failed(
        expected=f"{rows}: over HTTP what the training image predicts, within {block.relative:g} of it",
        received=f"{len(wrong)} differ, by up to {largest:.2g} relatively\n" + "\n".join(wrong[:MAX_SHOWN]) + more,
        advice="Compute the features in one place that both images copy, and pin the same package versions in both.",
    )


def _served(contract: Contract, exchange: Exchange | None) -> tuple[Any, str]:
    """Return what the service answered to a row; or None, and why there is nothing."""
    if exchange is None:
        return None, "no request was recorded"
    if not DIALECTS[contract.interface.dialect].is_answer(exchange):
        return None, short(described(exchange))
    try:
        return parse(exchange), ""
    except (ValueError, RecursionError):
        return None, f"not JSON: {described(exchange)}"


def _relative(ours: Any, theirs: Any) -> Iterator[float]:
    """Yield by how much each number differs, relatively to the training image's; labels count for nothing."""
    if isinstance(ours, dict) and isinstance(theirs, dict):
        for key in ours.keys() & theirs.keys():
            yield from _relative(ours[key], theirs[key])
    elif isinstance(ours, list) and isinstance(theirs, list):
        for left, right in zip(ours, theirs, strict=False):
            yield from _relative(left, right)
    elif is_number(ours) and is_number(theirs) and ours != theirs and not (is_nan(ours) and is_nan(theirs)):
        try:
            difference = abs(theirs - ours) / max(abs(ours), ABSOLUTE)
        except OverflowError:  # an integer beyond all floats
            difference = math.inf
        yield math.inf if math.isnan(difference) else difference
