"""The heat model on KServe's own server; it refuses what KServe itself lets through."""

import json
import math
from pathlib import Path
from typing import Any

from kserve import Model, ModelServer
from kserve.errors import InvalidInput

LIMIT = 1_000_000


def is_number(value: object) -> bool:
    """Tell whether a JSON value is a number of a sensible size; `true` is none."""
    return type(value) in (int, float) and abs(value) <= LIMIT  # type: ignore[arg-type]


class Heat(Model):
    """Least squares with two inputs."""

    def load(self) -> bool:
        """Read the weights."""
        model = json.loads(Path("/model/model.json").read_text(encoding="utf-8"))
        self.columns, self.weights = model["columns"], model["weights"]
        self.ready = True
        return True

    async def predict(self, payload: Any, *_: object, **__: object) -> dict[str, list[float]]:
        """Return one heat for each row; raises InvalidInput, which KServe answers with 400."""
        # KServe hands over the bytes of a body that does not say that it is JSON.
        rows = payload.get("instances") if isinstance(payload, dict) else None
        if not isinstance(rows, list) or not rows:
            message = "instances: expected a list of at least one row"
            raise InvalidInput(message)
        for row in rows:
            if not isinstance(row, dict) or set(row) != set(self.columns):
                message = f"instances: expected rows with exactly {', '.join(self.columns)}"
                raise InvalidInput(message)
            if not all(map(is_number, row.values())):
                message = f"instances: expected numbers from -{LIMIT} to {LIMIT}"
                raise InvalidInput(message)
        inputs = [[1.0, *(row[name] for name in self.columns)] for row in rows]
        return {"predictions": [math.sumprod(self.weights, row) for row in inputs]}


if __name__ == "__main__":
    heat = Heat("heat")
    heat.load()
    ModelServer(http_port=8080, workers=1, enable_grpc=False).start([heat])
