"""Many rows a request, strict and documented: what a service looks like that fails nothing and is warned of nothing."""

from typing import Annotated

import joblib
import pandas as pd
from litestar import Litestar, get, post
from litestar.openapi import OpenAPIConfig
from litestar.openapi.datastructures import ResponseSpec
from msgspec import Meta, Struct, to_builtins

MODEL = joblib.load("/model/model.joblib")
Centimetres = Annotated[float, Meta(ge=0, le=100)]


class Iris(Struct, forbid_unknown_fields=True):
    """One flower."""

    sepal_length: Centimetres
    sepal_width: Centimetres
    petal_length: Centimetres
    petal_width: Centimetres


class Batch(Struct, forbid_unknown_fields=True):
    """The rows of a request."""

    instances: Annotated[list[Iris], Meta(min_length=1, max_length=1000)]


class Predictions(Struct):
    """One class for each row."""

    predictions: list[int]


class Problem(Struct):
    """What was wrong."""

    status_code: int
    detail: str


@get("/health", sync_to_thread=False)
def health() -> dict[str, str]:
    """Answer as soon as the model is loaded."""
    return {"status": "ready"}


@post("/predict", status_code=200, sync_to_thread=True, responses={413: ResponseSpec(Problem)})
def predict(data: Batch) -> Predictions:
    """Return the class of each row."""
    return Predictions(MODEL.predict(pd.DataFrame(to_builtins(data.instances))).tolist())


app = Litestar([health, predict], openapi_config=OpenAPIConfig(title="Iris", version="1.0.0", path="/"))
