"""What the engine's configuration file knows of a registry: user and password, from its credential helpers too."""

from __future__ import annotations

from dataclasses import dataclass, field

import docker.auth
import docker.errors

from harness.errors import InfrastructureError


@dataclass(frozen=True)
class Credentials:
    """What `docker login` has left: a user with a password, or a token that others are asked for with."""

    user: str = ""
    password: str = field(default="", repr=False)
    identity_token: str = field(default="", repr=False)


def credentials_of(host: str) -> Credentials | None:
    """Return what is known of a registry, HOST or HOST:PORT; None where nothing is. Raises InfrastructureError."""
    try:
        found = docker.auth.load_config().resolve_authconfig(host)
    except (docker.errors.DockerException, OSError, ValueError) as exc:
        raise InfrastructureError(
            f"the credentials for {host} cannot be read: {exc}", hint=f"Log in again: docker login {host}"
        ) from exc
    known = {key.lower(): str(value) for key, value in (found or {}).items() if value}
    if not known.keys() & {"username", "identitytoken"}:
        return None
    return Credentials(known.get("username", ""), known.get("password", ""), known.get("identitytoken", ""))
