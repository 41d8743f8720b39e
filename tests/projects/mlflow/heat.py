"""The model as MLflow keeps it ("models from code"): this file beside the weights that training found."""

import json
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd

COLUMNS = ["frost", "wind"]


class Heat(mlflow.pyfunc.PythonModel):
    """The heat that a house needs by frost and wind: a linear model."""

    def load_context(self, context: Any) -> None:
        """Read the weights: the constant first, then one for each column."""
        self.weights = np.array(json.loads(Path(context.artifacts["weights"]).read_text(encoding="utf-8")))

    def predict(self, context: Any, model_input: Any) -> np.ndarray:  # noqa: ARG002 - MLflow's interface
        """Return the heat of every row; without a signature the rows may come as columns."""
        table = pd.DataFrame(model_input)
        return self.weights[0] + table[COLUMNS].to_numpy(dtype=float) @ self.weights[1:]


mlflow.models.set_model(Heat())
