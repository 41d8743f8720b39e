"""The condition language of the quality gate, after ease.ml/ci (Renggli et al. 2019).

    condition  = [ measure ":" ] "new" "-" "baseline" operator number [ precision ]
               | measure operator number [ precision ]
    measure    = metric [ "[" selector { "," selector } "]" ]
    selector   = column "=" value | class
    operator   = ">=" | "<=" | ">" | "<"
    precision  = [ "+/-" number ] [ "@" number ]

A column, value or class stands in double quotes where it holds one of `"=,[]`; a quote in it is doubled: "5"" disk".
A metric alone is compared as it was measured. With a precision, and always for a difference, the one-sided bounds at
the confidence after `@` decide (0.95 where none is given): pass, fail, or unknown.
"""

from __future__ import annotations

import difflib
import math
import re
from dataclasses import dataclass, replace
from typing import NoReturn

from harness.config.metric_names import METRICS, MetricBounds

CONFIDENCE = 0.95
EXAMPLES = (
    "accuracy >= 0.9",
    "accuracy[island=Dream] >= 0.8",
    "recall[Adelie] >= 0.9 @ 0.95",
    "rmse <= 3.5",
    "new - baseline > -0.02 +/- 0.02 @ 0.95",
    "mae: new - baseline < 0.1",
)
_OPERATORS = (">=", "<=", ">", "<")
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
_WORD = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_PART = re.compile(r'"((?:[^"]|"")*)"|([^"=,\[\]]+)')
_COMPARISONS = ("!", "<", ">", "~")  # before a `=`: what a slice does not know
ROUNDING = 1e-12
FINEST = 1e-6  # precision of a bounded metric: it asks for 10^12 rows
EXTREME = 1e100  # beyond the scale of any metric


class ConditionError(ValueError):
    """A condition that cannot be read; the text says where, and shows one that can."""


@dataclass(frozen=True)
class Measure:
    """A metric, of one class or of all, on the rows that have these values in these columns."""

    metric: str
    of_class: str | None = None
    where: tuple[tuple[str, str], ...] = ()

    def __str__(self) -> str:
        parts = [_quoted(self.of_class)] if self.of_class is not None else []
        parts += [f"{_quoted(column)}={_quoted(value)}" for column, value in self.where]
        return self.metric + (f"[{', '.join(parts)}]" if parts else "")


@dataclass(frozen=True)
class Condition:
    """One condition: the measure of the new model, or its difference to the baseline's, against a threshold."""

    text: str
    measure: Measure
    is_difference: bool
    operator: str
    threshold: float
    epsilon: float | None = None  # the precision asked for
    confidence: float | None = None  # None: the measured value itself decides

    def holds(self, value: float) -> bool:
        """Whether a value satisfies the comparison; a mean that is off in its last digits equals the threshold."""
        equal = math.isclose(value, self.threshold, rel_tol=ROUNDING)
        match self.operator:
            case ">=":
                return value >= self.threshold or equal
            case "<=":
                return value <= self.threshold or equal
            case ">":
                return value > self.threshold and not equal
            case _:
                return value < self.threshold and not equal

    @property
    def wants_more(self) -> bool:
        """Whether larger values satisfy it."""
        return self.operator.startswith(">")


def parse(text: str) -> Condition:
    """Read one condition. Raises ConditionError."""
    reader = _TextReader(text)
    measure = Measure("accuracy")
    if not reader.sees("new"):
        measure = _measure(reader)
        if reader.takes(":") and not reader.sees("new"):
            reader.refuse("`new - baseline` after the colon")
    is_difference = reader.takes("new")
    if is_difference:
        for word in ("-", "baseline"):
            if not reader.takes(word):
                reader.refuse("`new - baseline`")
    operator = next((each for each in _OPERATORS if reader.takes(each)), None)
    if operator is None:
        reader.refuse("one of >=, <=, >, <")
    start = reader.skip()
    threshold = reader.number("a number to compare with")
    condition = Condition(text.strip(), measure, is_difference, operator, threshold)
    _check_range(reader, start, condition)
    epsilon, confidence = _precision(reader, METRICS[measure.metric])
    if reader.rest:
        reader.refuse("the end, or `+/- 0.02`, or `@ 0.95`")
    if confidence is None and (is_difference or epsilon is not None):
        confidence = CONFIDENCE
    return replace(condition, epsilon=epsilon, confidence=confidence)


class _TextReader:
    """The text, and how far it has been read."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0

    def skip(self) -> int:
        """Go to the next character that is no space, and return its place."""
        while self.at < len(self.text) and self.text[self.at].isspace():
            self.at += 1
        return self.at

    @property
    def rest(self) -> str:
        return self.text[self.skip() :]

    def sees(self, token: str) -> bool:
        """Whether a token comes next; a word must end there."""
        rest = self.rest
        if not rest.startswith(token):
            return False
        return not (token[-1].isalnum() and re.match(r"\w", rest[len(token) :]))

    def takes(self, token: str) -> bool:
        """Take a token where it comes next."""
        found = self.sees(token)
        self.at += len(token) if found else 0
        return found

    def number(self, expected: str) -> float:
        """Take a number."""
        match = _NUMBER.match(self.rest)
        if match is None or re.match(r"[\w%.,]", self.rest[match.end() :]):
            self.refuse(expected)
        self.at += match.end()
        return float(match[0])

    def part(self, expected: str) -> str:
        """Take a name or a value between brackets, in quotes or not."""
        match = _PART.match(self.rest)
        if match is None or not match[0].strip():
            self.refuse(expected)
        self.at += match.end()
        return match[1].replace('""', '"') if match[1] is not None else match[2].strip()

    def refuse(self, expected: str, at: int | None = None) -> NoReturn:
        """Raise ConditionError: what was expected here, what stands here, and what is valid."""
        place = self.skip() if at is None else at
        received = f"`{self.text[place:]}`" if self.text[place:] else "the end"
        raise ConditionError(
            f"`{self.text.strip()}`: expected {expected} at character {place + 1}, received {received}; "
            f"valid is for example `{_near(self.text)}`"
        )


def _measure(reader: _TextReader) -> Measure:
    match = _WORD.match(reader.rest)
    if match is None:
        reader.refuse("a metric or `new - baseline`")
    name = match[0]
    if name not in METRICS:
        near = difflib.get_close_matches(name.lower(), METRICS, n=1, cutoff=0.5)
        known = f"did you mean {near[0]}?" if near else f"there are {', '.join(METRICS)}"
        reader.refuse(f"a metric ({known})")
    reader.at += match.end()
    if not reader.takes("["):
        return Measure(name)
    of_class: str | None = None
    where: list[tuple[str, str]] = []
    while True:
        start = reader.skip()
        part = reader.part("a class, or column=value")
        if reader.sees("="):
            where.append((part, _value(reader)))
        elif of_class is not None:
            reader.refuse("column=value, because a class is named already", start)
        elif not METRICS[name].of_class:
            reader.refuse(f"column=value, because {name} is not measured for one class", start)
        else:
            of_class = part
        if reader.takes("]"):
            return Measure(name, of_class, tuple(where))
        if not reader.takes(","):
            reader.refuse("`,` or `]`")


def _value(reader: _TextReader) -> str:
    """Take `=` and the value after it; `!=` and the like are refused where they stand."""
    before = reader.at - 1
    if reader.text[before] in _COMPARISONS:
        reader.refuse("column=value, because a slice knows no other comparison,", before)
    reader.takes("=")
    return reader.part("a value after `=`")


def _precision(reader: _TextReader, metric: MetricBounds) -> tuple[float | None, float | None]:
    epsilon = confidence = None
    if reader.takes("+/-"):
        start = reader.skip()
        epsilon = reader.number("a number after `+/-`")
        if epsilon <= 0:
            reader.refuse("a precision above 0", start)
        low, high = _span(metric, is_difference=False)
        finest, widest = (1 / EXTREME, EXTREME) if low is None or high is None else (FINEST, high - low)
        if not finest <= epsilon < widest:
            reader.refuse(f"a precision from {finest:g} to less than {widest:g}, as {metric.name} is measured", start)
    if reader.takes("@"):
        start = reader.skip()
        confidence = reader.number("a confidence such as 0.95 after `@`")
        if not 0.5 < confidence < 1:  # noqa: PLR2004 - below, a bound would lie on the wrong side of the estimate
            reader.refuse("a confidence between 0.5 and 1", start)
    return epsilon, confidence


def _span(metric: MetricBounds, *, is_difference: bool) -> tuple[float | None, float | None]:
    """Return between what a metric lies, or the difference of two of it."""
    low, high = metric.low, metric.high
    if not is_difference:
        return low, high
    return (None, None) if low is None or high is None else (low - high, high - low)


def _check_range(reader: _TextReader, start: int, condition: Condition) -> None:
    """Refuse what is always or never true, such as `accuracy >= 90`, `accuracy > 1` and `rmse >= 0`."""
    metric, value = METRICS[condition.measure.metric], condition.threshold
    low, high = _span(metric, is_difference=condition.is_difference)
    if (low is not None and value < low) or (high is not None and value > high):
        bounds = f"from {low:g} to {high:g}" if low is not None and high is not None else _one_bound(low, high)
        reader.refuse(f"a threshold {bounds}, where {metric.name} lies", start)
    if abs(value) > EXTREME:
        reader.refuse(f"a threshold from {-EXTREME:g} to {EXTREME:g}", start)
    if condition.operator in {low: (">=", "<"), high: ("<=", ">")}.get(value, ()):
        reader.refuse(f"a threshold that can decide ({'always' if condition.holds(value) else 'never'} true)", start)


def _one_bound(low: float | None, high: float | None) -> str:
    return f"of at least {low:g}" if low is not None else f"of at most {high:g}"


def _near(text: str) -> str:
    """Return the example that resembles a text most."""
    return max(EXAMPLES, key=lambda example: difflib.SequenceMatcher(None, text, example).ratio())


def _quoted(text: str) -> str:
    """Return a part as it is written in a condition."""
    is_plain = '"' not in text and text == text.strip() and _PART.fullmatch(text) and not text.endswith(_COMPARISONS)
    return text if is_plain else '"{}"'.format(text.replace('"', '""'))
