"""One row a request, as FastAPI tutorials serve it."""

import joblib
import numpy as np
from fastapi import FastAPI
from pydantic import BaseModel

app = FastAPI(title="Iris API")
model = joblib.load("/model/model.joblib")
species = ["setosa", "versicolor", "virginica"]


class Iris(BaseModel):
    sepal_length: float
    sepal_width: float
    petal_length: float
    petal_width: float


@app.get("/")
def home():
    return {"message": "Iris API is running"}


@app.post("/predict")
def predict(iris: Iris):
    data = np.array([[iris.sepal_length, iris.sepal_width, iris.petal_length, iris.petal_width]])
    prediction = model.predict(data)[0]
    probability = model.predict_proba(data).max()
    return {"prediction": species[prediction], "probability": float(probability)}
