"""The heat model as a runtime of MLServer; it refuses what MLServer itself lets through."""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
from mlserver import MLModel
from mlserver.codecs import NumpyCodec
from mlserver.errors import InferenceError
from mlserver.types import InferenceRequest, InferenceResponse, RequestInput
from mlserver.utils import get_model_uri

LIMIT = 1_000_000


def column(tensor: RequestInput) -> list[float]:
    """Return the values of a tensor of one column; raises InferenceError, which MLServer answers with 400."""
    data: object = getattr(tensor.data, "root", tensor.data)
    if not isinstance(data, list) or len(tensor.shape) not in {1, 2} or math.prod(tensor.shape[1:]) != 1:
        message = f"{tensor.name}: expected a tensor of the shape [rows, 1]"
        raise InferenceError(message)
    values = [value[0] if isinstance(value, list) and len(value) == 1 else value for value in data]
    if not values or len(values) != tensor.shape[0]:
        message = f"{tensor.name}: expected at least one row, and as many as the shape says"
        raise InferenceError(message)
    # The comparison fails for NaN too; a boolean is no number.
    if not all(type(value) in {int, float} and -LIMIT <= value <= LIMIT for value in values):
        message = f"{tensor.name}: expected numbers from -{LIMIT} to {LIMIT}"
        raise InferenceError(message)
    return values


def read(path: str) -> dict[str, Any]:
    """Return the model as training wrote it."""
    model: dict[str, Any] = json.loads(Path(path).read_text(encoding="utf-8"))
    return model


class Heat(MLModel):
    """Least squares with two inputs."""

    async def load(self) -> bool:
        """Read the weights."""
        model = read(await get_model_uri(self._settings))
        self.columns, self.weights = model["columns"], np.array(model["weights"])
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        """Return one heat for each row."""
        found = {tensor.name: column(tensor) for tensor in payload.inputs}
        if len(payload.inputs) != len(self.columns) or set(found) != set(self.columns):
            message = f"expected the inputs {', '.join(self.columns)}"
            raise InferenceError(message)
        rows = [found[name] for name in self.columns]
        if len({len(values) for values in rows}) != 1:
            message = "expected inputs with the same number of rows"
            raise InferenceError(message)
        heat = np.column_stack([np.ones(len(rows[0])), *rows]) @ self.weights
        output = NumpyCodec.encode_output("heat", heat.reshape(-1, 1))
        return InferenceResponse(model_name=self.name, model_version=self.version, outputs=[output])
