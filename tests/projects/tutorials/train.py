"""Train the iris classifier of a hundred tutorials."""

import joblib
from sklearn.datasets import load_iris
from sklearn.ensemble import RandomForestClassifier
from sklearn.model_selection import train_test_split

FEATURES = ["sepal_length", "sepal_width", "petal_length", "petal_width"]

iris = load_iris(as_frame=True)
X, y = iris.data.set_axis(FEATURES, axis=1), iris.target
X_train, X_test, y_train, y_test = train_test_split(X, y, test_size=0.2, random_state=42)
model = RandomForestClassifier(n_estimators=50, random_state=42)
model.fit(X_train, y_train)
print(f"accuracy: {model.score(X_test, y_test):.3f}")
joblib.dump(model, "/model/model.joblib")
