"""The types of single values in the `x-harness` block: durations, sizes, paths, patterns."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum
from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field, WithJsonSchema

_DURATION = re.compile(r"^(\d+(?:\.\d+)?)(ms|s|m|h)$")
_SIZE = re.compile(r"^(\d+(?:\.\d+)?) ?([kmg]?)(i?b?)$", re.IGNORECASE)
_RUBRIC = re.compile(r"^(Data|Model|Infra|Monitor) [1-7]$")
_PREDICTIONS = ("prediction", "predictions", "output", "outputs", "instances")
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
    """Turn `50MB`, `512MiB`, `512m` or `2g` into bytes; anything else is left for the model to refuse.

    MB is 1000 * 1000; MiB, and the bare `m` as Compose reads it, 1024 * 1024.
    """
    if not isinstance(value, str):
        return value
    match = _SIZE.match(value.strip())
    if match is None:
        raise ValueError(f"expected a size such as 500KB, 50MB or 2GiB, received {value!r}")
    step = 1000 if match[3].lower() == "b" else 1024
    return int(float(match[1]) * step ** " kmg".index(match[2].lower() or " "))


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


def _rubric_test(value: str) -> str:
    if not _RUBRIC.match(value):
        raise ValueError(
            f"expected a test of the ML Test Score, Data, Model, Infra or Monitor 1 to 7, received {value!r}"
        )
    return value


def _volatile(value: str) -> str:
    parts = value.split("/")[1:]
    if not value.startswith("/") or "" in parts:
        raise ValueError(f"expected a JSON pointer such as /request_id or /predictions/*/id, received {value!r}")
    while parts and parts[-1] == "*":
        parts.pop()
    if not parts or (len(parts) == 1 and parts[0] in _PREDICTIONS) or set(parts) == {"*"}:
        raise ValueError(
            f"expected a place beside the predictions, such as /request_id, received {value!r}: without what it covers "
            "no prediction would be compared"
        )
    return value


class Reads(Enum):
    """How a path of this machine is read."""

    PATH = "a file, or a folder that is copied with its links as links"
    FOLDER = "a file, or a folder whose files are read, links followed"
    GLOB = "all files that a pattern finds"
    STORE = "an artifact store: a folder, or a registry"
    CONTEXT = "a path in a build context, where something is put"


@dataclass(frozen=True)
class HostPath:
    """Marks a text as a path of this machine: `harness.project.named_files` keeps it inside the project."""

    reads: Reads


ProjectPath = Annotated[str, HostPath(Reads.PATH)]
ProjectFolder = Annotated[str, HostPath(Reads.FOLDER)]
ProjectGlob = Annotated[str, HostPath(Reads.GLOB)]
ContextPath = Annotated[str, HostPath(Reads.CONTEXT)]
RubricTest = Annotated[
    str, AfterValidator(_rubric_test), WithJsonSchema({"type": "string", "pattern": _RUBRIC.pattern})
]
Seconds = Annotated[
    float,
    BeforeValidator(parse_duration),
    Field(gt=0),
    WithJsonSchema({"type": ["string", "number"], "examples": ["500ms", "60s", "2m"]}),
]
Share = Annotated[float, Field(ge=0, le=1)]
ContainerPath = Annotated[str, AfterValidator(_absolute), Field(examples=["/model"])]
UrlPath = Annotated[str, AfterValidator(_url_path), Field(examples=["/predict"])]
DialectName = Literal[
    "auto", "openapi", "plain", "mlflow", "sagemaker", "oip-v2", "kserve-v1", "cog", "bentoml", "vertex"
]
Bytes = Annotated[
    int,
    BeforeValidator(parse_size),
    Field(gt=0),
    WithJsonSchema({"type": ["string", "integer"], "examples": ["500KB", "50MB", "2GiB"]}),
]
Volatile = Annotated[str, AfterValidator(_volatile), WithJsonSchema({"type": "string", "pattern": "^/[^/*]|^/\\*/"})]
LossPattern = Annotated[str, AfterValidator(_pattern)]
Argv = Annotated[tuple[str, ...], Field(min_length=1, examples=[["python", "-m", "src.train"]])]
