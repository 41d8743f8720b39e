"""Whether the engine is still the process that it was when the run began."""

from __future__ import annotations

import threading
from contextlib import suppress

import docker
import docker.errors
import docker.types
import requests.exceptions
import urllib3.exceptions

from harness.engine.sdk import close_stream

FRESH = 60.0  # seconds after which the connection is replaced: what is between may end one on which nothing is said
NOTHING = {"type": "container", "container": "harness-pulse"}  # events that never come


class Pulse:
    """A connection on which the engine never says anything, and which ends with it.

    An engine that is started anew answers as the old one did, at once where its socket was kept open for it (systemd),
    and knows nothing of why the containers of the old one have ended: nobody else can tell.
    """

    def __init__(self, api: docker.APIClient) -> None:
        self.is_lost = False
        self._api = api
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._keep, daemon=True)

    def start(self) -> None:
        """Hold the connection from now on, on a thread."""
        self._thread.start()

    def close(self) -> None:
        """Let it go."""
        self._over.set()

    def _keep(self) -> None:
        held: _Held | None = None
        while not self._over.is_set() and not self.is_lost:
            try:
                fresh = _Held(self, self._api.events(filters=NOTHING))
            except docker.errors.APIError:  # an engine, or what stands before it, that gives no events
                return
            except (docker.errors.DockerException, OSError, urllib3.exceptions.HTTPError):
                self.is_lost = not self._over.is_set()
                return
            if held is not None:
                held.let_go()
            held = fresh
            self._over.wait(FRESH)
        if held is not None:
            held.let_go()


class _Held:
    """One stream of events, read to its end on a thread."""

    def __init__(self, pulse: Pulse, stream: docker.types.CancellableStream) -> None:
        self._pulse = pulse
        self._stream = stream
        self._is_let_go = False
        threading.Thread(target=self._read, daemon=True).start()

    def let_go(self) -> None:
        """Close it: that is no end of the engine."""
        self._is_let_go = True
        with suppress(OSError, AttributeError, docker.errors.DockerException):  # it has ended, or came over SSH
            self._stream.close()  # ends the connection; the rest is closed by the thread that reads it

    def _read(self) -> None:
        try:
            for _ in self._stream:
                pass
        except (OSError, ValueError, urllib3.exceptions.HTTPError, requests.exceptions.RequestException):
            pass  # an end too
        finally:
            with suppress(AttributeError, docker.errors.DockerException):
                close_stream(self._stream)
        self._pulse.is_lost = self._pulse.is_lost or not self._is_let_go
