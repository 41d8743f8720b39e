"""Serve the penguin classifier: one artifact, one prediction route, one honest health route."""

import hashlib
import json
import os
import sys
import warnings
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Annotated, Literal, Self

import features
import joblib
import pandas as pd
import uvicorn
from fastapi import FastAPI, HTTPException, Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from sklearn.pipeline import Pipeline
from starlette.exceptions import HTTPException as StarletteHTTPException

PORT = 8080
MAX_INSTANCES = 1000
SHUTDOWN_SECONDS = 5
TOLERANCE = 1e-9

Probability = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]


class Strict(BaseModel):
    """A request part: no unknown field, no silent conversion, no NaN."""

    model_config = ConfigDict(strict=True, extra="forbid", allow_inf_nan=False)


class Instance(Strict):
    """One penguin. The ranges are those of the training data's schema."""

    island: Literal["Biscoe", "Dream", "Torgersen"]
    bill_length_mm: float | None = Field(None, ge=10, le=100)
    bill_depth_mm: float | None = Field(None, ge=5, le=50)
    flipper_length_mm: float | None = Field(None, ge=100, le=300)
    body_mass_g: float | None = Field(None, ge=1000, le=10_000)
    sex: Literal["female", "male"] | None = None
    year: int | None = Field(
        None,
        ge=2000,
        le=2100,
        description="Part of the data set's rows and so accepted; the model does not read it.",
    )


class PredictRequest(Strict):
    """A batch of penguins."""

    instances: list[Instance] = Field(min_length=1, max_length=MAX_INSTANCES)


class Prediction(BaseModel):
    """The most probable species and the probability of each."""

    species: features.Species
    probabilities: dict[features.Species, Probability]


class ModelInfo(BaseModel):
    """Which artifact answers."""

    sha256: str


class PredictResponse(BaseModel):
    """One prediction for each instance, in the same order."""

    predictions: list[Prediction]
    model: ModelInfo


class Health(BaseModel):
    """The service is ready."""

    status: Literal["ready"] = "ready"
    model: ModelInfo


class Fault(BaseModel):
    """One thing that is wrong, and where."""

    location: list[str | int]
    message: str


class Problem(BaseModel):
    """The body of every answer that is an error."""

    detail: str
    errors: list[Fault]


class Artifact(BaseModel):
    """The manifest's statement about the model file."""

    file: str
    sha256: str


class Example(BaseModel):
    """One row and the probabilities that the training run computed for it."""

    instance: Instance
    probabilities: dict[features.Species, float]


class Manifest(BaseModel):
    """What serving reads of `manifest.json`."""

    format: Literal[1]
    artifact: Artifact
    example: Example


class ModelError(Exception):
    """The artifact cannot be served; the message says why."""


@dataclass(frozen=True)
class Model:
    """A verified artifact."""

    pipeline: Pipeline
    manifest: Manifest

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Load the artifact and prove that it is the one that training wrote."""
        try:
            manifest = Manifest.model_validate_json((folder / "manifest.json").read_bytes())
            content = (folder / manifest.artifact.file).read_bytes()
        except OSError as error:
            message = f"{error.filename}: {error.strerror}; train first"
            raise ModelError(message) from error
        except ValidationError as error:
            fault = error.errors()[0]
            place = ".".join(map(str, fault["loc"])) or "content"
            message = f"{folder / 'manifest.json'}: {place}: {fault['msg']}; train again"
            raise ModelError(message) from error
        path = folder / manifest.artifact.file
        received = hashlib.sha256(content).hexdigest()
        # Before unpickling: a file that training did not write must not run.
        if received != manifest.artifact.sha256:
            message = f"{path}: expected SHA-256 {manifest.artifact.sha256}, received {received}; train again"
            raise ModelError(message)
        try:
            with warnings.catch_warnings():
                # Among them scikit-learn's warning about a model of another version.
                warnings.simplefilter("error")
                pipeline = joblib.load(path)
        except Exception as error:  # Unpickling runs code: anything may be raised.
            message = f"{path}: cannot be loaded: {type(error).__name__}: {error}"
            raise ModelError(message) from error
        model = cls(pipeline, manifest)
        model.check()
        return model

    @property
    def info(self) -> ModelInfo:
        """Return which artifact this is."""
        return ModelInfo(sha256=self.manifest.artifact.sha256)

    def predict(self, instances: list[Instance]) -> list[Prediction]:
        """Return one prediction for each instance."""
        rows = pd.DataFrame([instance.model_dump() for instance in instances])
        return [
            Prediction(
                species=features.SPECIES[chances.argmax()],
                probabilities=dict(zip(features.SPECIES, chances.tolist(), strict=True)),
            )
            for chances in self.pipeline.predict_proba(rows)
        ]

    def check(self) -> None:
        """Predict the manifest's example and compare with what training computed."""
        expected = self.manifest.example.probabilities
        try:
            [prediction] = self.predict([self.manifest.example.instance])
        except Exception as error:  # Whatever it is, the service is not ready.
            message = f"the self-prediction failed: {type(error).__name__}: {error}"
            raise ModelError(message) from error
        received = prediction.probabilities
        if any(abs(received[name] - chance) > TOLERANCE for name, chance in expected.items()):
            message = f"the self-prediction: expected {expected}, received {received}"
            raise ModelError(message)


def problem(status: int, detail: str, faults: list[Fault] | None = None) -> Response:
    """Return an error as JSON.

    The text is escaped to ASCII: a field name that a client sent may hold a lone
    surrogate, which UTF-8 cannot express.
    """
    body = {"detail": detail, "errors": [fault.model_dump() for fault in faults or []]}
    return Response(json.dumps(body), status, media_type="application/json")


async def on_invalid_request(_: Request, error: RequestValidationError) -> Response:
    """Answer 400 to a body that is no JSON and 422 to one that breaks the schema.

    FastAPI's own answer repeats the input, and fails itself where that holds a NaN.
    """
    faults = [Fault(location=list(each["loc"]), message=each["msg"]) for each in error.errors()]
    if any(each["type"] == "json_invalid" for each in error.errors()):
        return problem(HTTPStatus.BAD_REQUEST, "The body is not valid JSON.", faults)
    return problem(HTTPStatus.UNPROCESSABLE_ENTITY, "The request breaks the schema.", faults)


async def on_http_error(_: Request, error: StarletteHTTPException) -> Response:
    """Give the framework's own errors the documented form."""
    response = problem(error.status_code, error.detail)
    response.headers.update(error.headers or {})
    return response


def create_app(model: Model) -> FastAPI:
    """Return the service for a verified artifact."""
    app = FastAPI(title="Palmer penguins", version="1.0.0")
    app.exception_handler(RequestValidationError)(on_invalid_request)
    app.exception_handler(StarletteHTTPException)(on_http_error)

    @app.get("/health", responses={503: {"model": Problem, "description": "Not ready"}})
    def health() -> Health:
        """Answer 200 only where a real prediction has just come out right."""
        try:
            model.check()
        except ModelError as error:
            raise HTTPException(HTTPStatus.SERVICE_UNAVAILABLE, str(error)) from error
        return Health(model=model.info)

    @app.post(
        "/predict",
        responses={
            400: {"model": Problem, "description": "The body is not valid JSON"},
            422: {"model": Problem, "description": "The request breaks the schema"},
        },
    )
    def predict(request: PredictRequest) -> PredictResponse:
        """Predict the species of each penguin."""
        return PredictResponse(predictions=model.predict(request.instances), model=model.info)

    return app


def main() -> None:
    """Load the artifact, or leave at once with one line that says why not, and serve it."""
    try:
        model = Model.load(Path(os.environ.get("MODEL_DIR", "/model")))
    except ModelError as error:
        sys.exit(f"error: {error}")
    # Every address: a container's port is published from outside of it.
    uvicorn.run(
        create_app(model),
        host="0.0.0.0",  # noqa: S104
        port=PORT,
        timeout_graceful_shutdown=SHUTDOWN_SECONDS,
    )


if __name__ == "__main__":
    main()
