"""The heat that a house needs by frost and wind, as a Cog model."""

import json
from pathlib import Path

from cog import BaseRunner, Input

MODEL = Path("/model/model.json")


class Runner(BaseRunner):
    """One house a request."""

    def setup(self) -> None:
        """Load the weights."""
        self.weights: list[float] = json.loads(MODEL.read_text(encoding="utf-8"))["weights"]

    def run(
        self,
        frost: float = Input(description="Degrees of frost.", ge=-60, le=60),
        wind: float = Input(description="Force of the wind.", ge=0, le=60),
    ) -> float:
        """Return the heat."""
        base, by_frost, by_wind = self.weights
        return base + by_frost * frost + by_wind * wind
