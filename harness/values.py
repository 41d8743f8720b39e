"""The types of single values in the `x-harness` block: durations, sizes, paths, patterns."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field, WithJsonSchema

_DURATION = re.compile(r"^(\d+(?:\.\d+)?)(ms|s|m|h)$")
_SIZE = re.compile(r"^(\d+(?:\.\d+)?)([kmg]?)i?b?$")
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}


def parse_duration(value: object) -> object:
    """Turn `200ms`, `60s`, `2m` or `1h` into seconds; anything else is left for the model to refuse."""
    if not isinstance(value, str):
        return value
    match = _DURATION.match(value.strip())
    if match is None:
        raise ValueError(f"expected a duration such as 500ms, 60s, 2m or 1h, received {value!r}")
    return float(match[1]) * _SECONDS[match[2]]


def parse_size(value: object) -> object:
    """Turn `512m` or `2g` into bytes, as Compose reads sizes; anything else is left for the model to refuse."""
    if not isinstance(value, str):
        return value
    match = _SIZE.match(value.strip().lower())
    if match is None:
        raise ValueError(f"expected a size such as 512m or 2g, received {value!r}")
    return int(float(match[1]) * 1024 ** " kmg".index(match[2] or " "))


def _pattern(value: str) -> str:
    try:
        groups = re.compile(value).groups
    except re.error as exc:
        raise ValueError(f"expected a regular expression, received {value!r}: {exc}") from exc
    if not groups:
        raise ValueError(f"expected a regular expression with a group around the number, received {value!r}")
    return value


def _absolute(value: str) -> str:
    if not value.startswith("/"):
        raise ValueError(f"expected an absolute path inside the container, received {value!r}")
    return value.rstrip("/") or "/"


def _url_path(value: str) -> str:
    if not value.startswith("/"):
        raise ValueError(f"expected a URL path such as /predict, received {value!r}")
    if not value.isascii() or not value.isprintable() or " " in value:
        raise ValueError(f"expected a URL path with spaces and letters beyond ASCII %-encoded, received {value!r}")
    return value


Seconds = Annotated[
    float,
    BeforeValidator(parse_duration),
    Field(gt=0),
    WithJsonSchema({"type": ["string", "number"], "examples": ["500ms", "60s", "2m"]}),
]
ContainerPath = Annotated[str, AfterValidator(_absolute), Field(examples=["/model"])]
UrlPath = Annotated[str, AfterValidator(_url_path), Field(examples=["/predict"])]
DialectName = Literal[
    "auto", "openapi", "plain", "mlflow", "sagemaker", "oip-v2", "kserve-v1", "cog", "bentoml", "vertex"
]
Bytes = Annotated[
    int,
    BeforeValidator(parse_size),
    Field(gt=0),
    WithJsonSchema({"type": ["string", "integer"], "examples": ["512m", "2g"]}),
]
LossPattern = Annotated[str, AfterValidator(_pattern)]
Argv = Annotated[tuple[str, ...], Field(min_length=1, examples=[["python", "-m", "src.train"]])]
