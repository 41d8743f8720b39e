"""Holds JSON against the schemas of a document, in the dialect of its version: JSON Schema 2020-12 from 3.1 on."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from typing import Any

from harness.openapi.reading import Document, operation, short

Holds = Callable[[Any], "str | None"]  # what of a value breaks the schema; empty: nothing; None: it does not say


def request_validator(document: Document | None, path: str) -> Callable[[Any], bool | None] | None:
    """Return whether the document allows a JSON body of POST `path` (None: it does not say); None without a schema."""
    found = operation(document, path)
    schema = None if found is None else found.request.schema("application/json")
    if document is None or schema is None:
        return None
    holds = holder(document, schema)

    def allows(value: Any) -> bool | None:
        problem = holds(value)
        return None if problem is None else not problem

    return allows


def documented_statuses(document: Document | None, path: str) -> frozenset[str] | None:
    """Return the statuses that POST `path` lists, as the document writes them; None where it does not say."""
    found = operation(document, path)
    return frozenset(found.responses) if found is not None and "responses" in found.item else None


def holder(document: Document, schema: Any) -> Holds:
    """Return a function that holds values against a schema of the document.

    It answers with the first thing that is wrong and its JSON path, with "" where nothing is, and with None where
    the schema cannot tell: it is broken, without end, or refers to what the document does not hold.
    """
    from jsonschema.exceptions import SchemaError, UnknownType, best_match
    from referencing import Registry
    from referencing.exceptions import Unresolvable
    from referencing.jsonschema import DRAFT202012

    # The schema stands inside its document, so that `#/components/...` leads where it should; nothing else is known,
    # and so nothing is fetched.
    kind = validators(str(document.get("openapi", "")))
    whole = DRAFT202012.create_resource({**document, _PLACE: schema})
    registry: Registry[Any] = Registry().with_resource(_ROOT, whole)
    validator = kind({"$ref": f"{_ROOT}#/{_PLACE}"}, registry=registry)

    def holds(value: Any) -> str | None:
        try:
            error = best_match(validator.iter_errors(value))
        except (Unresolvable, RecursionError, SchemaError, UnknownType, re.error, *_BROKEN):
            return None
        if error is not None and error.message.startswith(f"{error.validator_value!r} {_NO_PATTERN}"):
            return None  # where the library `regress` is installed it does not raise
        return "" if error is None else f"{error.json_path}: {short(error.message)}"

    return holds


_NO_PATTERN = "is not a valid regular expression"
_PLACE = "x-harness-schema"
_ROOT = "urn:harness:document"
_BROKEN = (TypeError, AttributeError, ValueError, KeyError)  # what jsonschema raises where a schema is none


@cache
def validators(version: str) -> Any:
    """Return the class that validates the schemas of a version of OpenAPI."""
    from openapi_schema_validator import OAS31Validator, OAS32Validator

    if version.startswith("3.0"):
        return _lenient()
    return OAS32Validator if version.startswith("3.2") else OAS31Validator


def _lenient() -> Any:
    """Return the validator of 3.0, reading three things as those who write documents mean them.

    `nullable` beside `allOf`, `enum` or `$ref` allows null; 2.0 is an integer, as from JSON Schema draft 6 on; and a
    field that is `writeOnly` is not required in an answer.
    """
    from jsonschema.validators import extend
    from openapi_schema_validator import OAS30ReadValidator, OAS30Validator

    def nullable(keyword: Callable[..., Iterator[Any]]) -> Callable[..., Iterator[Any]]:
        def judged(validator: Any, value: Any, instance: Any, schema: Mapping[str, Any]) -> Iterator[Any]:
            if instance is not None or schema.get("nullable") is not True:
                yield from keyword(validator, value, instance, schema) or ()

        return judged

    own = OAS30Validator.VALIDATORS
    changed = {name: nullable(own[name]) for name in ("allOf", "anyOf", "oneOf", "enum", "$ref")}
    changed["required"] = OAS30ReadValidator.VALIDATORS["required"]
    types = OAS30Validator.TYPE_CHECKER.redefine("integer", lambda _, value: _is_integer(value))
    return extend(OAS30Validator, changed, type_checker=types)  # type: ignore[no-untyped-call]


def _is_integer(value: Any) -> bool:
    return (isinstance(value, int) and not isinstance(value, bool)) or (isinstance(value, float) and value.is_integer())
