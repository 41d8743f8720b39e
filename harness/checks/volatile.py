"""What is new in each answer and no part of the prediction: the ID of the request, the time, the latency.

`left_out` finds it in the answers to equal requests; every check and stage that compares answers leaves it out. What
else differs between them (a score, a label, what nobody knows) stays and fails.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from harness.checks import check, failed, passed, skipped, vocabulary, warned
from harness.checks.naming import SURE, AnswerField, Seen, is_predicted, is_time, kind, words
from harness.client.compare import is_nan, short
from harness.client.protocols import DIALECTS
from harness.client.protocols.protocol import Dialect, parsed
from harness.config.spec import Example, Spec
from harness.evidence.records import Contract, Exchange, Finding

KINDS = ("example", "batch", "again", "fields", "reversed", "single", "behaviour", "recovers", "skew", "load")
MAX_SHOWN = 8
ENOUGH, SOME = 16 * 2**20, 8  # bytes of answers, beyond some, that are looked at
DECLARE = "If a field is new each time and no prediction, name it in `contract.volatile`, such as [/request_id]."

AnswerPath = tuple[str, ...]  # names, `*` for any position; in what is declared for any name too


@dataclass(frozen=True)
class AnsweredRequest:
    """A request and its answer as JSON; `seconds` that it took, where somebody measured."""

    request: bytes
    answer: Any
    seconds: float | None = None


@dataclass(frozen=True)
class New:
    """A place that differs between answers to one request: what it is, and two of its values."""

    path: AnswerPath
    kind: str
    samples: tuple[Any, ...]

    def __str__(self) -> str:
        shown = ", then ".join(short(json.dumps(sample)) for sample in self.samples)
        return f"{pointer(self.path)} ({self.kind}: {shown})"


@dataclass(frozen=True)
class LeftOut:
    """What is left out of the answers of one service before they are compared."""

    dialect: Dialect
    declared: tuple[AnswerPath, ...] = ()
    found: tuple[New, ...] = ()
    clocks: tuple[AnswerPath, ...] = ()  # times of day, which may move on between any two answers

    def of(self, answer: Any) -> Any:
        """Return an answer without it, and without what is new each time by the protocol."""
        return without(self.dialect.lasting(answer), self.places)

    def promised(self, answer: Any) -> Any:
        """Return an answer, or what is promised of it, without it; what the protocol may make up can be promised."""
        return without(answer, self.places)

    def has(self, answer: Any, place: AnswerPath) -> bool:
        """Whether an answer has something at a place."""
        return _is_at(answer, place)

    @property
    def places(self) -> tuple[AnswerPath, ...]:
        """All that is left out."""
        return tuple(dict.fromkeys((*self.declared, *(new.path for new in self.found), *self.clocks)))


def left_out(spec: Spec, contract: Contract | None) -> LeftOut:
    """Return what this service's answers are compared without: what is declared, and what is seen to be new."""
    declared = tuple(_parts(text) for text in spec.block.contract.volatile)
    if contract is None:
        return LeftOut(DIALECTS["plain"], declared)
    dialect = DIALECTS[contract.interface.dialect]
    good = tuple(e for e in contract.exchanges if e.case.partition(":")[0] in KINDS and dialect.is_answer(e))
    return _of_exchanges(good, _promises(spec.examples), declared, dialect.name)


def found_in(asked: Sequence[AnsweredRequest], spec: Spec, dialect: Dialect) -> LeftOut:
    """Return the same of answers that stand in no record of the contract."""
    declared = tuple(_parts(text) for text in spec.block.contract.volatile)
    return _found(asked, _promises(spec.examples), declared, dialect)


def pointer(path: AnswerPath) -> str:
    """Return a place as a JSON pointer with `*`."""
    return "".join(f"/{part.replace('~', '~0').replace('/', '~1')}" for part in path) or "/"


def without(value: Any, places: Sequence[AnswerPath]) -> Any:
    """Return JSON without what stands at some places; in a list null takes its position."""
    if not places:
        return value
    if isinstance(value, dict):
        below = {key: _below(places, key) for key in value}
        return {key: without(child, below[key]) for key, child in value.items() if () not in below[key]}
    if isinstance(value, list):
        inside = [_below(places, str(number)) for number in range(len(value))]
        return [None if () in rest else without(child, rest) for child, rest in zip(value, inside, strict=True)]
    return value


def below(places: Sequence[AnswerPath], way: Sequence[str | int]) -> tuple[AnswerPath, ...]:
    """Return the places inside of what stands at the end of a way; what is itself such a place is somebody's choice."""
    for step in way:
        places = _below(places, str(step))
    return tuple(place for place in places if place)


@check("contract.volatile")
def volatile(spec: Spec, contract: Contract) -> Iterator[Finding]:
    """What is new in each answer, such as an ID or a time, is declared, and a prediction is left to be compared."""
    dialect = DIALECTS[contract.interface.dialect]
    good = [e for e in contract.exchanges if e.case.partition(":")[0] in KINDS and dialect.is_answer(e)]
    if not good:
        yield skipped("no good request was answered: see contract.examples" if spec.examples else "there is no example")
        return
    known = left_out(spec, contract)
    if nothing := _nothing_left(spec, good, known):
        yield failed(
            expected="something of each answer is left to be compared without `contract.volatile`",
            received=nothing,
            advice="Name in `contract.volatile` only what is new each time: without predictions nothing is judged.",
        )
        return
    idle = [p for p in spec.block.contract.volatile if not any(_is_at(parsed(e), _parts(p)) for e in good)]
    if idle:
        yield warned(
            expected="each place of `contract.volatile` in some answer",
            received=f"no answer has {', '.join(idle)}",
            advice="Correct the JSON pointer (`*` stands for any key or position), or take it out.",
        )
    if known.found:
        shown = [str(new) for new in known.found[:MAX_SHOWN]]
        more = [f"and {len(known.found) - MAX_SHOWN} more"] if len(known.found) > MAX_SHOWN else []
        names = ", ".join(pointer(path) for path in (*known.declared, *(new.path for new in known.found)))
        yield warned(
            expected="the same answer to the same request, but for what `contract.volatile` names",
            received="left out wherever answers are compared: " + "; ".join([*shown, *more]),
            advice=f"Declare it, so that nobody has to guess: `contract: {{volatile: [{names}]}}`.",
        )
    elif not idle:
        declared = ", ".join(spec.block.contract.volatile)
        yield passed(f"left out as declared: {declared}" if declared else "nothing in the answers is new each time")


def _promises(examples: Iterable[Example]) -> frozenset[AnswerPath]:
    good = (example.response for example in examples if example.is_good and example.has_response)
    return frozenset(path for response in good for path, _ in leaves(response))


def leaves(value: Any, path: AnswerPath = ()) -> Iterator[tuple[AnswerPath, Any]]:
    """Yield what holds nothing else, with its place: `*` for any position."""
    if isinstance(value, dict) and value:
        for key, child in value.items():
            yield from leaves(child, (*path, key))
    elif isinstance(value, list) and value:
        for child in value:
            yield from leaves(child, (*path, "*"))
    else:
        yield path, value


@lru_cache(maxsize=8)
def _of_exchanges(
    good: tuple[Exchange, ...], promised: frozenset[AnswerPath], declared: tuple[AnswerPath, ...], dialect: str
) -> LeftOut:
    size = 0
    asked: list[AnsweredRequest] = []
    for exchange in good:
        size += len(exchange.response)
        if size > ENOUGH and len(asked) > SOME:
            break
        if (answer := parsed(exchange)) is not None:
            asked.append(AnsweredRequest(exchange.request, answer, exchange.seconds))
    return _found(asked, promised, declared, DIALECTS[dialect])


def _found(
    asked: Sequence[AnsweredRequest],
    promised: frozenset[AnswerPath],
    declared: tuple[AnswerPath, ...],
    dialect: Dialect,
) -> LeftOut:
    kept = [AnsweredRequest(a.request, without(dialect.lasting(a.answer), declared), a.seconds) for a in asked]
    series: dict[AnswerPath, list[Seen]] = defaultdict(list)
    for each in kept:
        values: dict[AnswerPath, list[Any]] = defaultdict(list)
        for path, value in leaves(each.answer):
            if value is not None:
                values[path].append(value)
        for path, found in values.items():
            series[path].append(Seen(tuple(found), each.seconds))
    pairs = _pairs(kept)
    new = []
    for path, differing in pairs.items():
        field = AnswerField(path, tuple(series.get(path, ())), tuple(differing), path in promised)
        if series.get(path) and (what := kind(field)):
            new.append(New(_whole(path), what, tuple(differing[0])))
    clocks = [p for p, s in series.items() if p not in promised and is_time(AnswerField(p, tuple(s)))]
    sure = [each for each in new if each.kind in SURE]
    chosen = new if _leaves_something(kept, new) else sure
    return LeftOut(dialect, declared, tuple(chosen), tuple(_whole(path) for path in clocks))


def _pairs(asked: Sequence[AnsweredRequest]) -> dict[AnswerPath, list[tuple[Any, Any]]]:
    """Return the places at which answers to equal requests differ, and how."""
    first: dict[bytes, Any] = {}
    pairs: dict[AnswerPath, list[tuple[Any, Any]]] = defaultdict(list)
    for each in asked:
        if each.request not in first:
            first[each.request] = each.answer
            continue
        for path, left, right in _differences(first[each.request], each.answer):
            pairs[path].append((left, right))
    return pairs


def _differences(left: Any, right: Any, path: AnswerPath = ()) -> Iterator[tuple[AnswerPath, Any, Any]]:
    if left == right:
        return
    if isinstance(left, dict) and isinstance(right, dict):
        for key in dict.fromkeys((*left, *right)):
            yield from _differences(left.get(key), right.get(key), (*path, key))
    elif isinstance(left, list) and isinstance(right, list) and len(left) == len(right):
        for one, other in zip(left, right, strict=True):
            yield from _differences(one, other, (*path, "*"))
    elif not (is_nan(left) and is_nan(right)):
        yield path, left, right


def _leaves_something(asked: Sequence[AnsweredRequest], new: Sequence[New]) -> bool:
    """Whether each answer has more than what is new and what tells about it: a prediction, by any name."""
    places = [each.path for each in new]
    return all(any(_predicted(without(a.answer, places))) for a in asked)


def may_be_predicted(path: AnswerPath) -> bool:
    """Whether a place may be a prediction's: it has no name, or one that does not tell about an answer."""
    return is_predicted(path) or not words(path[-1]) <= vocabulary.ABOUT | vocabulary.ID or path[-1] == "*"


def _nothing_left(spec: Spec, good: Sequence[Exchange], known: LeftOut) -> str:
    """Say of which answer, or of which promise, nothing is left without what is declared; empty where of none."""
    if not known.declared:
        return ""
    for exchange in good:
        answer = known.dialect.lasting(parsed(exchange))
        if _is_emptied(answer, known.declared):
            return f"nothing of {exchange.case}: {short(json.dumps(answer))}"
    for example in spec.examples:
        if example.is_good and example.has_response and _is_emptied(example.response, known.declared):
            return f"nothing of what {example.name} promises: {short(json.dumps(example.response))}"
    return ""


def _is_emptied(answer: Any, declared: Sequence[AnswerPath]) -> bool:
    """Whether declared places hold all of an answer that may be predicted."""
    return any(_predicted(answer)) and not any(_predicted(without(answer, declared)))


def _predicted(answer: Any) -> Iterator[bool]:
    """Yield for each value of an answer whether it may be predicted."""
    for path, value in leaves(answer):
        yield value not in (None, {}, []) and (not path or may_be_predicted(path))


def _whole(path: AnswerPath) -> AnswerPath:
    """Return the list in place of its positions: a list of plain values is left out as a whole."""
    while path and path[-1] == "*":
        path = path[:-1]
    return path


def _parts(text: str) -> AnswerPath:
    return tuple(part.replace("~1", "/").replace("~0", "~") for part in text[1:].split("/"))


def _below(places: Sequence[AnswerPath], step: str) -> tuple[AnswerPath, ...]:
    return tuple(place[1:] for place in places if place and place[0] in ("*", step))


def _is_at(value: Any, path: AnswerPath) -> bool:
    """Whether an answer has something at a place."""
    if not path:
        return True
    if isinstance(value, dict):
        return any(_is_at(child, path[1:]) for key, child in value.items() if path[0] in ("*", key))
    if isinstance(value, list):
        return any(_is_at(child, path[1:]) for n, child in enumerate(value) if path[0] in ("*", str(n)))
    return False
