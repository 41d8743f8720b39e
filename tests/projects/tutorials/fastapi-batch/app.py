"""Many rows a request, as FastAPI tutorials serve them."""

import joblib
import pandas as pd
from fastapi import FastAPI
from pydantic import BaseModel

app = FastAPI()
model = joblib.load("/model/model.joblib")


class Iris(BaseModel):
    sepal_length: float
    sepal_width: float
    petal_length: float
    petal_width: float


class Batch(BaseModel):
    data: list[Iris]


@app.get("/health")
async def health():
    return {"status": "ok"}


@app.post("/predict")
async def predict(batch: Batch):
    df = pd.DataFrame([row.model_dump() for row in batch.data])
    return {"predictions": model.predict(df).tolist(), "probabilities": model.predict_proba(df).tolist()}
