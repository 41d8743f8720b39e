"""Fetches the wheels of hash-locked requirements on the host, for the Python and the platform of the image.

The host's pip does it, so that its index, proxy and certificates apply and the image build needs no network.
"""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.config.spec import Spec
from harness.engine import Engine
from harness.errors import DescriptionError, InfrastructureError
from harness.project import wheels
from harness.provision import base, probe
from harness.provision.programs import Logger, run

TIMEOUT = 1800.0
TAIL = 30  # lines of pip's output that an error keeps
# What the image's Python says about itself. glibc tells its version by confstr(3), musl by its loader (stderr).
SCRIPT = """\
import glob, json, os, platform, re, subprocess, sys
try:
    libc = os.confstr("CS_GNU_LIBC_VERSION").split()
except (ValueError, AttributeError):
    loader = subprocess.run(glob.glob("/lib/ld-musl-*")[:1], stderr=subprocess.PIPE).stderr.decode()
    libc = ["musl", re.search("Version ([0-9.]+)", loader)[1]]
tag = "%d%d%s" % (*sys.version_info[:2], getattr(sys, "abiflags", ""))
print(json.dumps({"version": platform.python_version(), "tag": tag, "machine": platform.machine(), "libc": libc}))
"""


@dataclass(frozen=True)
class WheelTarget:
    """The Python of an image: `3.13.5`, `cp313`, and the platform tags that it takes, best first."""

    version: str
    abi: str
    platforms: tuple[str, ...]

    @classmethod
    def of(cls, engine: Engine, image: str) -> WheelTarget:
        """Ask the Python in an image. Raises InfrastructureError."""
        told = json.loads(probe.ask_python(engine, image, SCRIPT))
        family, version = told["libc"]
        return cls(told["version"], f"cp{told['tag']}", platform_tags(told["machine"], family, version))

    def pip_options(self) -> list[str]:
        """Return the options by which pip chooses wheels for this target and not for itself."""
        platforms = [option for tag in self.platforms for option in ("--platform", tag)]
        return ["--python-version", self.version, "--implementation", "cp", "--abi", self.abi, *platforms]


def platform_tags(machine: str, libc: str, version: str) -> tuple[str, ...]:
    """Return the platform tags of a Linux with this C library (PEP 600, PEP 656), best first."""
    major, minor = (int(part) for part in version.split(".")[:2])
    if libc == "musl":
        return tuple(f"musllinux_{major}_{m}_{machine}" for m in range(minor, -1, -1))
    aliases = {17: "manylinux2014"}
    if machine in ("x86_64", "i686"):
        aliases |= {12: "manylinux2010", 5: "manylinux1"}
    tags: list[str] = []
    for m in range(minor, min(aliases) - 1, -1):
        tags.append(f"manylinux_{major}_{m}_{machine}")
        if m in aliases:
            tags.append(f"{aliases[m]}_{machine}")
    return (*tags, f"linux_{machine}")


def ensure(spec: Spec, engine: Engine, log: Logger) -> str:
    """Fill every folder of `x-harness.wheels` that is not current, and say what was done.

    Raises DescriptionError for a missing requirements file, InfrastructureError with what pip says.
    """
    folders: dict[Path, list[Path]] = {}
    for name, folder in spec.block.wheels.items():
        if not (spec.root / name).is_file():
            raise DescriptionError(f"`x-harness.wheels`: there is no {name}", hint="Correct the path.")
        folders.setdefault((spec.root / folder).resolve(), []).append(spec.root / name)
    if not folders:
        return "none are asked for"
    stale = {f: names for f, names in folders.items() if not all(wheels.is_current(name, f) for name in names)}
    if not stale:
        return f"current: {len(spec.block.wheels)} requirements files"
    return "; ".join(_fill(folder, names, spec, engine, log) for folder, names in stale.items())


def _fill(folder: Path, names: Sequence[Path], spec: Spec, engine: Engine, log: Logger) -> str:
    """Fetch the wheels of all requirements files that share a folder; a failure leaves it as it was."""
    partial = folder.with_name(f".{folder.name}.partial")
    try:
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        for name in names:
            _download(name, WheelTarget.of(engine, image_for(name, spec)), partial, log)
        _replace(folder, partial, names)
    except OSError as exc:
        raise InfrastructureError(f"cannot fill {folder}: {exc}", hint="Check the folder and the disk.") from exc
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    found = list(folder.glob("*.whl"))
    return f"{len(found)} wheels, {sum(file.stat().st_size for file in found) / 1e6:.1f} MB in {folder.name}/"


def image_for(requirements: Path, spec: Spec) -> str:
    """Return the base image whose Python will install a requirements file.

    That of the service whose Dockerfile names the file, else of the first one with it in its build context.
    """
    if spec.block.train.from_ is not None and spec.root / spec.block.train.from_ == requirements:
        return base.supplied(spec).reference
    having = [b for b in base.builds(spec) if b.wants and requirements.resolve().is_relative_to(b.context.resolve())]
    naming = [b for b in having if str(requirements.resolve().relative_to(b.context.resolve())) in b.text]
    if not having:
        raise DescriptionError(
            f"`x-harness.wheels`: no service is built from a folder that holds {requirements.name}",
            hint="Put the requirements file into the build context of the service that installs it.",
        )
    return (naming or having)[0].wants[0].reference


def _download(requirements: Path, target: WheelTarget, folder: Path, log: Logger) -> None:
    log(f"  fetching the wheels of {requirements.parent.name}/{requirements.name} for {target.abi}")
    argv = [sys.executable, "-P", "-m", "pip", "download"]  # -P: a folder `pip/` in the project is not pip
    argv += ["--disable-pip-version-check", "--no-input", "--progress-bar", "off"]
    argv += ["--only-binary=:all:", "--no-deps", "--require-hashes", *target.pip_options()]
    result = run([*argv, "--requirement", str(requirements), "--dest", str(folder)], log, timeout=TIMEOUT)
    if result.ended.is_well:
        return
    text = "\n".join(result.lines[-TAIL:])
    if "DO NOT MATCH THE HASHES" in text:
        raise InfrastructureError(
            f"the index offers another file than {requirements} has locked:\n{text}",
            hint="Lock the requirements again if the change is meant. If not, the index or a proxy changed the file.",
        )
    raise InfrastructureError(
        f"pip cannot fetch the wheels of {requirements}:\n{text}",
        hint="pip's own settings apply (index, proxy, certificates). Every line needs a version, its hashes, and a "
        f"wheel for {target.abi}.",
    )


def _replace(folder: Path, fresh: Path, names: Sequence[Path]) -> None:
    """Let a folder hold the fresh wheels and no other; the stamp goes first and comes last."""
    folder.mkdir(parents=True, exist_ok=True)
    stamp = folder / wheels.STAMP
    stamp.unlink(missing_ok=True)
    new = {file.name: file for file in fresh.iterdir()}
    for old in folder.glob("*.whl"):
        if old.name not in new:
            old.unlink()
    for name, file in new.items():
        file.replace(folder / name)
    stamp.write_text("".join(sorted(f"{wheels.digest(name)}  {name.name}\n" for name in names)))
