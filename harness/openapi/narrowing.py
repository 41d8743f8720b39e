"""Says where one schema refuses what another one allows: the question behind every breaking change of a body.

A request breaks where the new schema refuses what the old one took; an answer breaks where the old one refuses what
the new one may give. So one comparison serves both, with other words.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from math import inf
from typing import Any

from harness.openapi.alternatives import Alternative, Schema, Values, alternatives, is_number, key, named
from harness.openapi.reading import mapping

MAX_SHOWN = 5  # values of an enumeration that a message names
MAX_DEPTH = 32  # of fields in fields: a schema that is composed with itself has no end


@dataclass(frozen=True)
class SchemaDifference:
    """One thing that differs: where in the body, and what; additions break nobody."""

    place: str  # `instances/[]/sex`, empty for the whole body
    text: str
    addition: bool = False

    def below(self, step: str) -> SchemaDifference:
        """Return the same difference seen from one step above."""
        return SchemaDifference(f"{step}/{self.place}".rstrip("/"), self.text, self.addition)


@dataclass
class SchemaComparison:
    """Compares schemas of one body in one direction; remembers what it has compared, so that circles end."""

    answer: bool  # the body is an answer: the sender is the service
    _known: dict[tuple[int, int], list[SchemaDifference]] = field(default_factory=dict)
    _kept: list[Any] = field(default_factory=list)  # what `_known` names by identity must live
    _depth: int = 0

    def compare(self, old: Schema, new: Schema) -> list[SchemaDifference]:
        """Return what differs for a client that was made for the old schema."""
        old, new = (each.at(named(each.document, each.node)) for each in (old, new))
        sent, read = (new, old) if self.answer else (old, new)
        pair = (id(old.node), id(new.node))
        if pair not in self._known and self._depth < MAX_DEPTH:
            self._known[pair] = []  # inside itself a schema counts as unchanged
            self._kept += [old.node, new.node]
            self._depth += 1
            self._known[pair] = list(self._compare(sent, read))
            self._depth -= 1
        return self._known.get(pair, [])

    def _compare(self, sent: Schema, read: Schema) -> Iterator[SchemaDifference]:
        """Yield what the reader's schema refuses of the sender's."""
        readable = alternatives(read)
        for value in alternatives(sent):
            fitting = [each for each in readable if _may_fit(value, each)]
            if not fitting:
                yield self._kind(value, readable)
                continue
            found = [list(self._alternative(sent, value, read, each)) for each in fitting]
            yield from min(found, key=lambda differences: sum(not each.addition for each in differences))

    def _kind(self, value: Alternative, readable: list[Alternative]) -> SchemaDifference:
        name = str(value.get("type") or "anything")
        known = " or ".join(dict.fromkeys(str(each.get("type") or "anything") for each in readable)) or "nothing"
        if self.answer:
            return SchemaDifference("", f"may now be {name} (was {known})")
        return SchemaDifference("", f"no longer takes {name} (only {known})")

    def _alternative(
        self, sent: Schema, value: Alternative, read: Schema, wanted: Alternative
    ) -> Iterator[SchemaDifference]:
        yield from self._values(value, wanted)
        if value.get("type") in ("object", None):
            yield from self._fields(sent, value, read, wanted)
        if value.get("type") in ("array", None) and ("items" in value or "items" in wanted):
            yield from self._inner(sent.at(value.get("items", True)), read.at(wanted.get("items", True)), "[]")

    def _values(self, value: Alternative, wanted: Alternative) -> Iterator[SchemaDifference]:
        verb = "may now be" if self.answer else "no longer takes"
        if "enum" in wanted:
            allowed = Values(wanted["enum"])
            if "enum" in value:
                others = [key(each) for each in value["enum"] if each not in allowed]
                if others:
                    yield SchemaDifference("", f"{verb} {', '.join(others[:MAX_SHOWN])}")
            elif value.get("type") not in ("boolean", "null"):
                names = ", ".join(key(each) for each in allowed[:MAX_SHOWN])
                before = "was only" if self.answer else "only"
                yield SchemaDifference("", f"{verb} any {value.get('type') or 'value'} ({before} {names})")
            return
        if "enum" in value:
            return
        yield from self._ranges(value, wanted)
        for word in ("pattern", "format", "multipleOf", "uniqueItems"):
            if wanted.get(word) not in (None, False) and wanted[word] != value.get(word):
                if word == "format" and "format" not in value:
                    continue  # an annotation for most readers
                yield SchemaDifference("", self._words(word, value.get(word), wanted[word]))

    def _ranges(self, value: Alternative, wanted: Alternative) -> Iterator[SchemaDifference]:
        for name, words, sign in _BOUNDS:
            left, right = (_bound(each, words, sign) for each in (value, wanted))
            if right > left:
                yield SchemaDifference("", self._words(name, _plain(left, sign), _plain(right, sign)))

    def _words(self, name: str, sent: Any, wanted: Any) -> str:
        pair = (wanted, sent) if self.answer else (sent, wanted)
        old, new = ("not limited" if each is None else key(each) for each in pair)
        return f"{name} was {old}, is {new}"

    def _fields(
        self, sent: Schema, value: Alternative, read: Schema, wanted: Alternative
    ) -> Iterator[SchemaDifference]:
        theirs, known = mapping(value.get("properties")), mapping(wanted.get("properties"))
        required, promised = _names(wanted), _names(value)
        for name in dict.fromkeys((*known, *required)):
            if name not in theirs and name not in promised:
                yield self._only_read(name, required=name in required)
        for name in theirs:
            if name not in known:
                yield from self._only_sent(name, theirs[name], sent, read, wanted)
                continue
            if name in required and name not in promised:
                text = "is no longer always there" if self.answer else "is now required"
                yield SchemaDifference(name, text)
            yield from self._inner(sent.at(theirs[name]), read.at(known[name]), name)
        yield from self._others(sent, value, read, wanted)

    def _only_read(self, name: str, *, required: bool) -> SchemaDifference:
        """Say what follows where only the reader knows a field."""
        if self.answer:
            return SchemaDifference(name, "is gone from the answer")
        return SchemaDifference(name, f"is new and {'required' if required else 'optional'}", addition=not required)

    def _only_sent(
        self, name: str, node: Any, sent: Schema, read: Schema, wanted: Alternative
    ) -> Iterator[SchemaDifference]:
        """Yield what follows where only the sender knows a field."""
        rest = wanted.get("additionalProperties", True)
        if self.answer:
            yield SchemaDifference(name, "is new in the answer", addition=True)
        elif rest is False:
            yield SchemaDifference(name, "is no longer taken, and unknown fields are refused")
        elif rest is not True:
            yield from self._inner(sent.at(node), read.at(rest), name)

    def _others(
        self, sent: Schema, value: Alternative, read: Schema, wanted: Alternative
    ) -> Iterator[SchemaDifference]:
        """Yield what follows from what the schemas say of fields that they do not name."""
        left, right = value.get("additionalProperties", True), wanted.get("additionalProperties", True)
        if right is True or left is False:
            return
        if right is not False:
            yield from self._inner(sent.at(left), read.at(right), "*")
        elif not self.answer:
            yield SchemaDifference("", "unknown fields are now refused")

    def _inner(self, sent: Schema, read: Schema, step: str) -> Iterator[SchemaDifference]:
        old, new = (read, sent) if self.answer else (sent, read)
        yield from (difference.below(step) for difference in self.compare(old, new))


# Name, the keywords that set it, and 1 for a lower bound, -1 for an upper one.
_BOUNDS = (
    ("minimum", ("minimum", "exclusiveMinimum"), 1),
    ("maximum", ("maximum", "exclusiveMaximum"), -1),
    *((f"min{what}", (f"min{what}",), 1) for what in ("Length", "Items", "Properties")),
    *((f"max{what}", (f"max{what}",), -1) for what in ("Length", "Items", "Properties")),
)


def _bound(schema: Alternative, words: tuple[str, ...], sign: int) -> tuple[float, bool]:
    """Return the narrowest of some bounds, such that a greater one refuses more; an exclusive one breaks a tie."""
    found = [(sign * schema[word], word.startswith("excl")) for word in words if is_number(schema.get(word))]
    floor = (0, False) if words[0] in ("minLength", "minItems", "minProperties") else (-inf, False)
    return max([*found, floor])


def _plain(bound: tuple[float, bool], sign: int) -> Any:
    value, exclusive = bound
    if value == -inf:
        return None
    return f"{sign * value:g} (excluded)" if exclusive else sign * value


def _names(schema: Alternative) -> list[str]:
    names = schema.get("required")
    return [name for name in names if isinstance(name, str)] if isinstance(names, list) else []


def _may_fit(value: Alternative, wanted: Alternative) -> bool:
    """Whether the type of one alternative is one that the other takes; what has no type may be anything."""
    left, right = value.get("type"), wanted.get("type")
    return right is None or left == right or (left == "integer" and right == "number")
