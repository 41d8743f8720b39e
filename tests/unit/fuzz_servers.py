"""Small services written the way of public tutorials, each good or wrong in one way, for the tests of the fuzzing."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Event, Thread
from typing import Annotated, Any

import uvicorn
from fastapi import FastAPI
from fastapi.responses import JSONResponse, RedirectResponse, Response
from pydantic import BaseModel, ConfigDict, Field

from harness.client.http import Target

Fault = Callable[["Row"], Response | None]  # what goes wrong at a row, if anything


class Row(BaseModel):
    """One row, as strict as it can be."""

    model_config = ConfigDict(strict=True, extra="forbid")
    length: float
    island: str
    year: int | None = None


class Request(BaseModel):
    """A batch."""

    model_config = ConfigDict(strict=True, extra="forbid")
    instances: Annotated[list[Row], Field(min_length=1)]


class LaxRow(BaseModel):
    """One row of a tutorial: no limits, unknown fields ignored."""

    length: float
    island: str
    year: int = 2007


class Answer(BaseModel):
    """One number a row."""

    predictions: list[float]


def strict(fault: Fault = lambda _row: None) -> FastAPI:
    """Return a strict service with a documented 400, wrong as `fault` says."""
    app = FastAPI()

    @app.get("/health")
    def health() -> dict[str, str]:
        return {"status": "ok"}

    @app.post("/predict", response_model=Answer, responses={400: {"description": "no JSON"}})
    def predict(request: Request) -> Answer | Response:
        for row in request.instances:
            if (wrong := fault(row)) is not None:
                return wrong
        return Answer(predictions=[0.5 for _ in request.instances])

    @app.post("/admin/shutdown")
    def shutdown() -> Response:
        return Response(status_code=500)

    return app


def lax() -> FastAPI:
    """Return a service as tutorials write it: `false` is read as 0.0."""
    app = FastAPI()

    @app.post("/predict")
    def predict(rows: list[LaxRow]) -> dict[str, list[float]]:
        return {"predictions": [float(len(row.island)) for row in rows]}

    return app


def fails_on_empty(row: Row) -> Response | None:
    """Answer 500 to an empty string."""
    return Response(status_code=500) if not row.island else None


def fails_rarely(row: Row) -> Response | None:
    """Answer 500 to a large number beside a longer name: two conditions that no single keyword of the schema meets."""
    return Response(status_code=500) if abs(row.length) > 1e6 and len(row.island) > 3 else None


def breaks_document(row: Row) -> Response | None:
    """Answer with what the document rules out."""
    return JSONResponse({"predictions": ["many"]}) if not row.island else None


def redirects(row: Row) -> Response | None:
    """Send the client elsewhere."""
    return RedirectResponse("http://127.0.0.1:9/elsewhere", 307) if not row.island else None


def hangs(row: Row) -> Response | None:
    """Do not answer in time."""
    if not row.island:
        time.sleep(3)
    return None


class Counted:
    """An ASGI application that counts the requests by method and path."""

    def __init__(self, app: Any) -> None:
        self.app = app
        self.seen: list[tuple[str, str]] = []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Count a request and pass it on."""
        if scope["type"] == "http":
            self.seen.append((scope["method"], scope["path"]))
        await self.app(scope, receive, send)


@contextmanager
def served(app: Any) -> Iterator[Target]:
    """Serve an application on a free port of this machine."""
    started = Event()

    class Server(uvicorn.Server):
        async def startup(self, sockets: Any = None) -> None:
            await super().startup(sockets)
            started.set()

    server = Server(uvicorn.Config(app, host="127.0.0.1", port=0, log_level="critical"))
    thread = Thread(target=server.run, daemon=True)
    thread.start()
    assert started.wait(10)
    try:
        yield Target("127.0.0.1", server.servers[0].sockets[0].getsockname()[1])
    finally:
        server.should_exit = True
        thread.join(10)
