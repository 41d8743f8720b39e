"""What a field is by its name and by the form of its values: an ID, a time, a duration, a counter ... Pure.

Both must fit, and every word of the name must be known: `request_id` beside a UUID is an ID, `product_id` beside a 7
may be what a recommender predicts. Nothing here is ever said of a score, a probability or a label.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from email.utils import parsedate_to_datetime
from itertools import pairwise
from typing import Any

from harness.checks import vocabulary
from harness.client.compare import is_number

_WORD = re.compile(r"[A-Z]+(?=[A-Z][a-z])|[A-Z]?[a-z]+|[A-Z]+|\d+")
_UUID = re.compile(r"(?:urn:uuid:|\{)?[0-9a-f]{8}(?:-?[0-9a-f]{4}){3}-?[0-9a-f]{12}\}?", re.IGNORECASE)
_OPAQUE = re.compile(
    rf"{_UUID.pattern}|[0-9A-HJKMNP-TV-Z]{{26}}|(?=[0-9a-f]*\d)[0-9a-f]{{12,}}|\d{{10,}}"
    r"|(?=\S*\d)(?=\S*[a-z])[\w+/=.~-]{16,}|[a-z]+[-_:.](?=\w*\d)[\w-]{6,}",
    re.IGNORECASE,
)
_SHORT = re.compile(r"(?=\S*\d)[\w:.-]{6,}|[0-9a-f]{6,}", re.IGNORECASE)
_CLOCK = re.compile(r"\b\d{1,2}:\d\d(?::\d\d)?\b")
_NUMBERED = re.compile(r"(\D*)(\d+)")
_LASTED = re.compile(
    r"\s*(\d+(?:\.\d+)?(?:e-?\d+)?)\s*(ns|[uµμ]s|ms|s|sec|secs|seconds|milliseconds)\s*", re.IGNORECASE
)
_DELTA = re.compile(r"\d+:\d\d:\d\d(?:\.\d+)?|PT[\d.]+S")
_TIMES = (
    re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d(?::\d\d)?(?:[.,]\d+)?(?:Z|[+-]\d\d:?\d\d)?"),
    re.compile(r"\b\d+(?:\.\d+)?(?:e-?\d+)?\s?(?:ns|[uµμ]s|ms|s|sec|secs|seconds|milliseconds)\b"),
)
_MASKS = (*_TIMES, _UUID, re.compile(r"\b(?=[0-9a-f]*\d)[0-9a-f]{16,}\b", re.IGNORECASE))
_EPOCHS = tuple((1e9 * scale, 4.2e9 * scale) for scale in (1, 1e3, 1e6, 1e9))  # 2001 to 2103 in s, ms, us, ns
SLACK = 0.1  # seconds by which a duration may exceed twice the time that its answer took
ENOUGH = 3  # answers that tell a number which grows from one that happened to


@dataclass(frozen=True)
class Seen:
    """What stood at one place in one answer: a value, or one for each row; and how long the answer took."""

    values: tuple[Any, ...]
    seconds: float | None = None


@dataclass(frozen=True)
class AnswerField:
    """A place in the answers (names, `*` for any position) and what stood there, in one answer after the other."""

    path: tuple[str, ...]
    series: tuple[Seen, ...]
    pairs: tuple[tuple[Any, Any], ...] = ()  # in two answers to one request
    promised: bool = False  # an example names it

    @property
    def own(self) -> frozenset[str]:
        """The words of its name; a position has that of its list."""
        return words(next((name for name in reversed(self.path) if name != "*"), ""))

    @property
    def above(self) -> frozenset[str]:
        """The words of what it stands in."""
        return frozenset().union(*(words(name) for name in self.path[:-1]))

    @property
    def values(self) -> list[Any]:
        """All its values."""
        return [value for seen in self.series for value in seen.values]

    def known(self, core: frozenset[str], more: frozenset[str]) -> bool:
        """Whether its name has a word of `core` and none that is not known; numbers tell nothing."""
        own = self.own
        return bool(own & core) and all(word in core or word in more or word.isdecimal() for word in own)

    def all(self, *kinds: Callable[[Any], bool]) -> bool:
        """Whether each value is of one of the kinds."""
        return all(any(is_such(value) for is_such in kinds) for value in self.values)


def words(name: str) -> frozenset[str]:
    """Return the words of a name in small letters: those of `requestId`, `request_id` and `X-Request-ID` alike."""
    return frozenset(word.lower() for word in _WORD.findall(name))


def is_predicted(path: Sequence[str]) -> bool:
    """Whether a place is, by its names, what a model says."""
    field = AnswerField(tuple(path), ())
    return bool(field.own & vocabulary.SAID or field.above & vocabulary.PREDICTED)


def kind(field: AnswerField) -> str:
    """Say what a field is that differs from answer to answer; empty where that is not known, so that it is compared.

    Of what an example promises more is asked: only what no prediction can look like is something else.
    """
    own = field.own
    if not own or field.above & vocabulary.PREDICTED or (own & vocabulary.PREDICTED and not own & vocabulary.ID):
        return ""
    return next((name for name, is_such in _KINDS.items() if is_such(field)), "")


def is_time(field: AnswerField) -> bool:
    """Whether a field is the time of day, also where it has not moved on as yet."""
    return not field.above & vocabulary.PREDICTED and not field.own & vocabulary.PREDICTED and _is_time(field)


def _is_id(field: AnswerField) -> bool:
    if not field.known(vocabulary.ID, vocabulary.OF_ID) or not field.all(_is_text, _is_integer):
        return False
    if grows(field.series):
        return not field.promised or bool(field.own & vocabulary.ASKED)
    if not _is_fresh(field.series):
        return False
    if field.own & vocabulary.ASKED and not field.promised:
        return True
    form = _OPAQUE if field.promised or "token" in field.own else _SHORT
    texts = [str(value) for value in field.values]
    return all(_OPAQUE.fullmatch(text) or form.fullmatch(text) for text in texts)


def _is_clock(field: AnswerField) -> bool:
    if not field.known(vocabulary.TIME, vocabulary.OF_TIME):
        return False
    moments = [[_moment(value) for value in seen.values] for seen in field.series]
    if any(moment is None for found in moments for moment in found):
        return False
    ends = [(min(m for m in found if m is not None), max(m for m in found if m is not None)) for found in moments]
    return all(left[1] <= right[0] + SLACK for left, right in pairwise(ends))


def _is_time(field: AnswerField) -> bool:
    if _is_clock(field):
        return True
    if field.promised or not field.known(vocabulary.TIME, vocabulary.OF_TIME):
        return False
    if field.all(lambda value: isinstance(value, str) and _CLOCK.search(value) is not None):
        return True
    return len(field.series) >= ENOUGH and grows(field.series)  # a clock that starts with the machine


def _is_duration(field: AnswerField) -> bool:
    named = field.known(vocabulary.DURATION, vocabulary.OF_DURATION) or bool(
        field.above & vocabulary.TIMINGS and not field.promised
    )
    stem = bool((field.own | field.above) & vocabulary.STEM)
    unit = next((vocabulary.UNITS[word] for word in field.own if word in vocabulary.UNITS), None)
    if not named or (field.promised and (not stem or unit is None)):
        return False
    sure = stem and not field.promised
    return all(_lasted(value, unit, seen.seconds, sure=sure) for seen in field.series for value in seen.values)


def _lasted(value: Any, unit: float | None, measured: float | None, *, sure: bool) -> bool:
    """Whether a value may be a time within the one that its answer took."""
    if isinstance(value, str):
        return _LASTED.fullmatch(value) is not None or _DELTA.fullmatch(value) is not None
    if not is_number(value) or value < 0:
        return False
    return sure or measured is None or value * (unit or 1e-3) <= 2 * measured + SLACK


def _is_counter(field: AnswerField) -> bool:
    if field.promised or not field.known(vocabulary.COUNTER, vocabulary.OF_COUNTER):
        return False
    if grows(field.series) or not field.all(is_number):
        return grows(field.series)
    down = [Seen(tuple(-value for value in seen.values)) for seen in field.series]
    return bool(field.own & vocabulary.SERVED) or grows(down)


def _is_flag(field: AnswerField) -> bool:
    if field.promised or not field.known(vocabulary.FLAG | vocabulary.SOURCE, vocabulary.OF_FLAG):
        return False
    if field.own & vocabulary.FLAG:
        return field.all(lambda value: isinstance(value, bool), _is_text, _is_integer)
    return any(_is_text(value) and words(value) & vocabulary.FLAG for value in field.values)


def _is_place(field: AnswerField) -> bool:
    return (
        not field.promised and field.known(vocabulary.PLACE, vocabulary.OF_PLACE) and field.all(_is_text, _is_integer)
    )


def _is_resource(field: AnswerField) -> bool:
    return not field.promised and field.known(vocabulary.RESOURCE, vocabulary.OF_RESOURCE) and field.all(is_number)


def _is_aside(field: AnswerField) -> bool:
    return not field.promised and bool(field.above & vocabulary.ASIDE) and not field.own & vocabulary.SAID


def _is_dated_text(field: AnswerField) -> bool:
    """Whether texts differ only in IDs, times of day and durations."""
    if field.promised or field.own & (vocabulary.SAID - {"text"}) or not field.pairs:
        return False
    if not all(_is_text(each) for pair in field.pairs for each in pair):
        return False
    if all(_masked(left, _TIMES) == _masked(right, _TIMES) for left, right in field.pairs):
        return True
    return _is_fresh(field.series) and all(_masked(left) == _masked(right) for left, right in field.pairs)


_KINDS: dict[str, Callable[[AnswerField], bool]] = {
    "an ID": _is_id,
    "a time": _is_time,
    "a duration": _is_duration,
    "a counter": _is_counter,
    "told of a cache": _is_flag,
    "who answered": _is_place,
    "of the machine": _is_resource,
    "beside the prediction": _is_aside,
    "a text with an ID or a time": _is_dated_text,
}
SURE = ("an ID", "a time")  # in a form in which no model predicts


def grows(series: Sequence[Seen]) -> bool:
    """Whether the numbers, or those at the end of texts that begin alike, grow from answer to answer."""
    ends: list[tuple[float, float]] = []
    starts = set()
    for seen in series:
        found = [each for value in seen.values if (each := _number(value)) is not None]
        if len(found) < len(seen.values) or not found:
            return False
        starts |= {start for start, _ in found}
        ends.append((min(number for _, number in found), max(number for _, number in found)))
    return len(ends) > 1 and len(starts) == 1 and all(left[1] < right[0] for left, right in pairwise(ends))


def _is_fresh(series: Sequence[Seen]) -> bool:
    """Whether no answer says what another one has said."""
    sets = [{str(value) for value in seen.values} for seen in series]
    return len(sets) > 1 and sum(map(len, sets)) == len(frozenset().union(*sets))


def _masked(text: str, masks: Sequence[re.Pattern[str]] = _MASKS) -> str:
    for mask in masks:
        text = mask.sub("#", text)
    return text


def _number(value: Any) -> tuple[str, float] | None:
    if is_number(value):
        return "", value
    if isinstance(value, str) and (found := _NUMBERED.fullmatch(value)) is not None:
        return found[1], int(found[2])
    return None


def _moment(value: Any) -> float | None:
    """Return seconds since 1970; None for what is no time of day."""
    if isinstance(value, str) and re.fullmatch(r"\d{10,19}(\.\d+)?", value):
        value = float(value)
    if is_number(value):
        return next((value / 1e3**n for n, (low, high) in enumerate(_EPOCHS) if low <= value < high), None)
    if not isinstance(value, str):
        return None
    for read in (datetime.fromisoformat, parsedate_to_datetime):
        try:
            return read(value).timestamp()
        except (ValueError, TypeError, OverflowError, IndexError):
            continue
    return None


def _is_integer(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_text(value: Any) -> bool:
    return isinstance(value, str)
