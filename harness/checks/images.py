"""Checks of the images."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from harness.checks import check, failed, passed, warned
from harness.diagnosis import of_build
from harness.evidence.records import BaseImage, BuiltImage, Finding, Images, Lock


@check("images.built")
def built(images: Images) -> Iterator[Finding]:
    """Every image builds."""
    if images.failure is None:
        made = (*images.images, *images.beside)
        yield passed(", ".join(f"{i.service} {i.size / 1e6:.0f} MB" for i in made) + f" ({images.builder})")
        return
    cause = of_build(images)
    yield failed(expected=f"the image of {images.failure} builds", received=cause.text, advice=cause.advice)


@check("images.pinned")
def pinned(images: Images, lock: Lock | None = None) -> Iterator[Finding]:
    """Every base image is pinned by digest, and it and the requirements are those of harness.lock."""
    users: dict[BaseImage, list[str]] = {}
    for base in images.bases:
        users.setdefault(replace(base, service=""), []).append(base.service)
    findings = [_base(replace(base, service=" and ".join(names)), lock) for base, names in users.items()]
    if lock is not None:
        findings += [_platform(image, lock) for image in (*images.images, *images.beside)]
        findings += [_requirements(name, digest, lock) for name, digest in images.requirements.items()]
    bad = [finding for finding in findings if finding is not None]
    yield from bad
    if not bad:
        references = dict.fromkeys(base.reference for base in images.bases)
        yield passed(", ".join(references) or "no image has a base")


def _base(base: BaseImage, lock: Lock | None) -> Finding | None:
    if base.local is not None:
        return warned(
            expected=f"the pinned base {base.default or 'of a registry'}",
            received=f"{base.service} built on {base.reference}, a local base with packages {base.local[:12]}",
            advice="Fine where no registry answers; results are comparable between machines with the pinned base only.",
        )
    name = base.default or base.reference
    if lock is None:
        if base.digest is not None:
            return None
        return warned(
            expected=f"{base.service} built on an image pinned by digest",
            received=base.reference,
            advice=f"Write {base.reference}@sha256:<digest>, so that CI and laptop build from the same bytes.",
        )
    if base.digest is None:
        return failed(
            expected=f"{base.service} built on an image pinned by digest, since harness.lock is committed",
            received=base.reference,
            advice=f"Write {base.reference}@sha256:<digest> in the Dockerfile, then `harness lock`.",
        )
    if base.digest != lock.bases.get(name):
        return failed(
            expected=f"{name} as in harness.lock: {lock.bases.get(name, 'not there')}",
            received=base.reference,
            advice="If the new base is meant, run `harness lock` and commit harness.lock.",
        )
    return None


def _platform(image: BuiltImage, lock: Lock) -> Finding | None:
    if image.platform == lock.platform:
        return None
    return warned(
        expected=f"{image.service} built for {lock.platform}, as in harness.lock",
        received=image.platform,
        advice="Numbers may differ between processors; `platform:` in compose.yaml makes all machines build for one.",
    )


def _requirements(name: str, digest: str, lock: Lock) -> Finding | None:
    if lock.requirements.get(name) == digest:
        return None
    return failed(
        expected=f"{name} as in harness.lock: {lock.requirements.get(name, 'not there')}",
        received=digest,
        advice="If the change is meant, run `harness lock` and commit harness.lock.",
    )
