"""Builds the local base image from Debian trixie's packages, where no registry answers."""

from __future__ import annotations

import hashlib
import re
import shutil
import tarfile
import tempfile
from pathlib import Path

from harness.engine import Engine, labels
from harness.errors import InfrastructureError
from harness.project.dockerfile import LOCAL_PREFIX
from harness.provision.host import Host
from harness.provision.programs import Logger, apt_install, run

REPOSITORY, TAG = f"{LOCAL_PREFIX}python", "3.13-trixie"
REFERENCE = f"{REPOSITORY}:{TAG}"
PACKAGES = ("python3-minimal", "python3-venv", "python-is-python3", "ca-certificates")
# Nobody reads manuals in a container; licences stay.
EXCLUDED = ("/usr/share/doc/*", "/usr/share/man/*", "/usr/share/info/*", "/usr/share/locale/*")
KEPT = ("/usr/share/doc/*/copyright", "/usr/share/locale/locale.alias")
# The release of trixie: with a fixed time, the same packages give the same layer on every machine.
EPOCH = "1754697600"
TIMEOUT = 900.0
CHANGES = (
    'CMD ["python3"]',
    "ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "ENV LANG=C.UTF-8",
)
# What the local base can stand for: CPython 3.13 over glibc. Alpine's musl is another platform.
_REPLACEABLE = re.compile(r"(?:python:3\.13(?!\d)(?!.*(?:alpine|windows))|debian:(?:trixie|13)(?!\d))")


def stands_for(reference: str) -> bool:
    """Whether the local base can replace an image."""
    return _REPLACEABLE.match(reference.rpartition("library/")[2]) is not None


def ensure_base(engine: Engine, host: Host, log: Logger) -> str:
    """Return the reference of the local base, built unless the engine has it. Raises InfrastructureError."""
    if engine.image(REFERENCE) is not None:
        return REFERENCE
    if shutil.which("mmdebstrap") is None:
        apt_install(["mmdebstrap", "debian-archive-keyring"], host, log)
    log(f"  building {REFERENCE} from Debian trixie's packages")
    with tempfile.TemporaryDirectory(prefix="harness-base-") as folder:
        tar = Path(folder) / "base.tar"
        argv = ["mmdebstrap", "--variant=minbase", f"--include={','.join(PACKAGES)}"]
        argv += [f"--dpkgopt=path-exclude={path}" for path in EXCLUDED]
        argv += [f"--dpkgopt=path-include={path}" for path in KEPT]
        ended = run([*argv, "trixie", str(tar)], log, timeout=TIMEOUT, environment={"SOURCE_DATE_EPOCH": EPOCH})
        ended.check("Correct what mmdebstrap says above (the network, the disk), then run `harness setup` again.")
        label = f"LABEL {labels.LOCAL_BASE}={digest(packages(tar))}"
        engine.import_image(tar, REPOSITORY, TAG, [*CHANGES, label])
    return REFERENCE


def packages(tar: Path) -> list[str]:
    """Return `package=version` of all packages in a root file system, from dpkg's own record."""
    with tarfile.open(tar) as archive:
        status = archive.extractfile("./var/lib/dpkg/status")
        if status is None:
            raise InfrastructureError(f"{tar} holds no dpkg status", hint="Run `harness setup` again.")
        text = status.read().decode()
    names = re.findall(r"^Package: (\S+)$", text, re.MULTILINE)
    versions = re.findall(r"^Version: (\S+)$", text, re.MULTILINE)
    return sorted(f"{name}={version}" for name, version in zip(names, versions, strict=True))


def digest(listed: list[str]) -> str:
    """Return the SHA-256 of a package list, which names a local base."""
    return hashlib.sha256("\n".join(listed).encode()).hexdigest()
