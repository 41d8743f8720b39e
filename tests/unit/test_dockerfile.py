"""Which images a Dockerfile starts from."""

from __future__ import annotations

from pathlib import Path

import builders
import pytest

from harness.project.dockerfile import PINNED_BASE, bases, digest_of

ALPINE = "alpine:3"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("FROM alpine:3\n", [ALPINE]),
        ("FROM scratch\n", []),
        ("FROM alpine:3 AS a\nFROM a\n", [ALPINE]),
        ("FROM alpine:3 AS a\nFROM debian:13\nCOPY --from=a /x /x\n", [ALPINE, "debian:13"]),
        ("FROM alpine:3 AS Build\nFROM debian:13\nCOPY --from=build /x /x\n", [ALPINE, "debian:13"]),
        ("FROM alpine:3 AS build\nFROM BUILD\n", [ALPINE]),
        ("FROM alpine:3\nFROM debian:13\nCOPY --from=0 /x /x\n", [ALPINE, "debian:13"]),
        ("FROM alpine:3\nCOPY --from=nginx:1 /x /x\n", [ALPINE, "nginx:1"]),
        ("FROM alpine:3\nCOPY --chown=1:1 --from=nginx:1 /x /x\n", [ALPINE, "nginx:1"]),
        ("FROM alpine:3\nCOPY --from=nginx:1 --chown=1:1 /x /x\n", [ALPINE, "nginx:1"]),
        ("FROM --platform=linux/amd64 alpine:3 AS a\nFROM a\n", [ALPINE]),
        ("FROM --platform=$BUILDPLATFORM alpine:3\n", [ALPINE]),
        ("FROM alpine:3\nFROM alpine:3\n", [ALPINE]),
        ("from alpine:3 as a\ncopy --from=nginx:1 /x /x\nfrom a\n", [ALPINE, "nginx:1"]),
        ("# syntax=docker/dockerfile:1\n# FROM debian:1\n\nFROM \\\n  # a comment\n  alpine:3 \\\n  AS a\n", [ALPINE]),
        ("FROM alpine:3\nRUN echo \\\n  FROM debian:13\n", [ALPINE]),
        ("FROM alpine:3\nRUN python3 <<EOF\nfrom pathlib import Path\nEOF\nCOPY a b\n", [ALPINE]),
        ("FROM alpine:3\nCOPY <<-'END' /x\n\tFROM debian:13\n\tEND\nFROM nginx:1\n", [ALPINE, "nginx:1"]),
        ("\ufeffFROM alpine:3\n", [ALPINE]),
        ("FROM alpine:3\r\nCOPY --from=nginx:1 /x /x\r\n", [ALPINE, "nginx:1"]),
    ],
)
def test_bases(text: str, expected: list[str]) -> None:
    """FROM and COPY --from name the bases, each once; earlier stages and `scratch` are none."""
    assert [base.reference for base in bases(text, {})] == expected


@pytest.mark.parametrize(
    ("text", "arguments", "expected"),
    [
        ("ARG B=alpine:3\nFROM $B\n", {}, ALPINE),
        ("ARG B=alpine:3\nFROM ${B}\n", {"B": "debian:13"}, "debian:13"),
        ('ARG B="alpine:3"\nFROM ${B}\n', {}, ALPINE),
        ("ARG TAG\nFROM alpine:${TAG:-3}\n", {}, ALPINE),
        ("ARG TAG\nFROM alpine:${TAG:-3}\n", {"TAG": "4"}, "alpine:4"),
        ("ARG TAG=9\nFROM alpine:3${TAG:+-slim}\n", {}, "alpine:3-slim"),
        ("ARG TAG\nFROM alpine:3${TAG:+-slim}\n", {}, ALPINE),
        ("ARG V=3\nARG B=alpine:$V\nFROM $B\n", {}, ALPINE),
        ("ARG V=3\nARG B=alpine:$V\nFROM $B\n", {"V": "4"}, "alpine:4"),
        ("ARG N=alpine V=3\nFROM $N:$V\n", {}, ALPINE),
        ("ARG V=3\nFROM debian:13\nARG V=4\nFROM alpine:$V\n", {}, ALPINE),
        ("ARG V=3\nFROM alpine:$V\n", {"OTHER": "x"}, ALPINE),
        ("FROM alpine:3$V\n", {"V": "4"}, ALPINE),
    ],
)
def test_arguments(text: str, arguments: dict[str, str], expected: str) -> None:
    """Global ARG lines give the defaults, build arguments replace them; an argument not declared is empty."""
    assert bases(text, arguments)[-1].reference == expected


def test_default_beside_the_replacement() -> None:
    """Where an argument replaces the base, what the Dockerfile itself names is still known."""
    (base,) = bases(f"ARG BASE_IMAGE={builders.PINNED}\nFROM ${{BASE_IMAGE}}\n", {"BASE_IMAGE": "local:1"})
    assert (base.reference, base.default) == ("local:1", builders.PINNED)


def test_digest() -> None:
    """A digest counts only whole and at the end."""
    assert digest_of(builders.PINNED) == builders.DIGEST
    assert digest_of(PINNED_BASE) is not None
    assert digest_of("python:3.13") is None
    assert digest_of("python@sha256:" + "d" * 63) is None


@pytest.mark.parametrize("name", ["docker/train/Dockerfile", "docker/serve/Dockerfile"])
def test_reference_project_is_pinned(name: str) -> None:
    """Both Dockerfiles of the reference project start from the pinned base alone."""
    text = (builders.REPO / name).read_text(encoding="utf-8")
    assert [base.reference for base in bases(text, {})] == [PINNED_BASE]


def test_nothing_left_on_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Reading a Dockerfile writes nothing into the working folder (the parser has a mode that does)."""
    monkeypatch.chdir(tmp_path)
    bases("FROM alpine:3\n", {})
    assert not list(tmp_path.iterdir())
