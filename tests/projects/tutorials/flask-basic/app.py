"""One row a request, as Flask tutorials serve it: what can go wrong is not thought of."""

import joblib
import numpy as np
from flask import Flask, jsonify, request

app = Flask(__name__)
model = joblib.load("/model/model.joblib")


@app.route("/")
def home():
    return "Iris prediction API"


@app.route("/predict", methods=["POST"])
def predict():
    data = request.get_json()
    features = np.array([data["sepal_length"], data["sepal_width"], data["petal_length"], data["petal_width"]])
    prediction = model.predict(features.reshape(1, -1))
    return jsonify({"prediction": int(prediction[0])})


if __name__ == "__main__":
    app.run(host="0.0.0.0", port=5000)
