"""Many rows a request, strict and documented: a service that fails nothing.

It is warned of one thing: Litestar reads "5.1" as a number, where the model does not say otherwise.
"""

from typing import Annotated

import joblib
import pandas as pd
from litestar import Litestar, Request, Response, get, post
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


def too_deep(_: Request, __: RecursionError) -> Response[Problem]:
    """Answer 400 to JSON that is nested too deeply; left alone, the error of the parser would become a 500."""
    return Response(Problem(400, "The JSON is nested too deeply."), status_code=400)


app = Litestar(
    [health, predict],
    exception_handlers={RecursionError: too_deep},
    openapi_config=OpenAPIConfig(title="Iris", version="1.0.0", path="/"),
)
