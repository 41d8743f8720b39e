"""Small services written the way of public tutorials, each good or wrong in one way, for the tests of the fuzzing.

What the tool reported on most of them is kept in `tests/fixtures/fuzz`: to start it costs seconds of a core, and what
comes of a report is asked of the same service again, whoever wrote it. `RECORD_FUZZ=1 pytest tests/unit/test_fuzz.py`
starts the tool for each and writes the reports anew.
"""

from __future__ import annotations

import json
import os
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Event, Thread
from typing import Annotated, Any

import uvicorn
from fastapi import FastAPI
from fastapi.responses import JSONResponse, RedirectResponse, Response
from pydantic import BaseModel, ConfigDict, Field

from harness.client import fuzzer
from harness.client.http import Target

RECORDS = Path(__file__).parents[1] / "fixtures/fuzz"
RECORD = "RECORD_FUZZ" in os.environ
ANYWHERE = "http://service.invalid"  # in place of where a service was when its report was made
HANG = 0.6  # seconds, of which the tests wait for half
ENOUGH = 3  # cases of a kind in what is kept of a report
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
        time.sleep(HANG)
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


@dataclass
class Player:
    """Stands in for `fuzzer.run`: gives the report that the tool once made, of the service as it is now."""

    name: str
    tool: Callable[..., str] = fuzzer.run

    def __call__(self, folder: Path, cache: Path, url: str, phases: tuple[str, ...], *, budget: float) -> str:
        """Play a report, or let the tool make it and keep it."""
        report, kept = folder / fuzzer.report_of(phases), RECORDS / f"{self.name}-{phases[-1]}.ndjson"
        if RECORD:
            problem = self.tool(folder, cache, url, phases, budget=budget)
            assert not problem, problem
            lines = report.read_text(encoding="utf-8").splitlines()
            text = "".join(f"{json.dumps(event)}\n" for event in _kept(map(json.loads, lines)))
            kept.parent.mkdir(exist_ok=True)
            kept.write_text(text.replace(url, ANYWHERE), encoding="utf-8")
        report.write_text(kept.read_text(encoding="utf-8").replace(ANYWHERE, url), encoding="utf-8")
        return ""


def _kept(events: Iterator[Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
    """Yield what is kept of a report: what the harness reads, a few cases of each kind, the times of a fast machine."""
    seen: Counter[tuple[Any, ...]] = Counter()
    for number, event in enumerate(events):
        [(name, said)] = event.items()
        now = 1e9 + number / 1000
        match name:
            case "LoadingFinished":
                yield {name: {"statistic": said["statistic"]}}
            case "EngineStarted":
                yield {name: {"timestamp": now}}
            case "NonFatalError" | "FatalError" | "EngineFinished":
                yield {name: said}
            case "ScenarioFinished":
                recorder = _cases(said["recorder"], seen)
                yield {name: {"phase": said["phase"], "timestamp": now, "elapsed_time": 0.001, "recorder": recorder}}


def _cases(recorder: Mapping[str, Any], seen: Counter[tuple[Any, ...]]) -> dict[str, Any]:
    cases, checks = {}, {}
    for key, exchange in recorder.get("interactions", {}).items():
        failed = [each for each in recorder.get("checks", {}).get(key, ()) if each["status"] == "failure"]
        request, response = exchange["request"], exchange.get("response")
        kind = (recorder["label"], response and response["status_code"], *(each["name"] for each in failed))
        seen[kind] += 1
        if seen[kind] <= ENOUGH:
            types = {k: v for k, v in ((response or {}).get("headers") or {}).items() if k.lower() == "content-type"}
            answer = response and {"status_code": response["status_code"], "headers": types}
            cases[key], checks[key] = {"request": request, "response": answer}, failed
    return {"label": recorder["label"], "interactions": cases, "checks": checks}
