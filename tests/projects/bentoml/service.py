"""The heat that houses need by frost and wind, as a BentoML service."""

import json
from pathlib import Path
from typing import Annotated

import bentoml
from pydantic import BaseModel, ConfigDict, Field

MODEL = Path("/model/model.json")


class House(BaseModel):
    """One row."""

    model_config = ConfigDict(strict=True, extra="forbid", allow_inf_nan=False)

    frost: float = Field(ge=-60, le=60)
    wind: float = Field(ge=0, le=60)


@bentoml.service(http={"port": 3000})
class Heat:
    """Batches of houses."""

    def __init__(self) -> None:
        self.weights: list[float] = json.loads(MODEL.read_text(encoding="utf-8"))["weights"]

    @bentoml.api
    def predict(self, houses: Annotated[list[House], Field(min_length=1, max_length=1000)]) -> list[float]:
        """Return the heat of each house."""
        base, by_frost, by_wind = self.weights
        return [base + by_frost * house.frost + by_wind * house.wind for house in houses]
