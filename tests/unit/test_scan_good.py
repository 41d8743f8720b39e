"""Honest models raise no alarm: each import of each framework is known, and each file is read to its end."""

from __future__ import annotations

import json
import pickle
import zoneinfo
from functools import cache
from pathlib import Path
from typing import Any

import builders
import joblib
import numpy as np
import pytest

from harness.evidence.records import Kind, ScannedFile
from harness.scanner import scan_file
from harness.scanner.known import Category, categorise

FIXTURES = builders.REPO / "tests/fixtures/artifacts"
FORMATS = {
    "frame.joblib": "joblib",
    "lightgbm-booster.pkl": "pickle",
    "lightgbm.joblib": "joblib",
    "lightgbm.txt": "text",
    "model.onnx": "onnx",
    "scaler.skops": "skops",
    "torch-checkpoint.pt": "torch",
    "torch-legacy.pt": "torch legacy",
    "torch-module-legacy.pt": "torch legacy",
    "torch-module.pt": "torch",
    "torch-plain.pkl": "pickle",
    "torch-script.pt": "torch",
    "torch-state.pt": "torch",
    "torch.safetensors": "safetensors",
    "versions.json": "json",
    "xgboost-booster.pkl": "pickle",
    "xgboost.joblib": "pickle",
    "xgboost.json": "json",
    "xgboost.ubj": "xgboost ubjson",
}
NO_IMPORTS = {"lightgbm.txt", "model.onnx", "torch.safetensors", "versions.json", "xgboost.json", "xgboost.ubj"}
PACKINGS = [0, "zlib", "gzip", "bz2", "xz", "lzma", "lz4"]


def assert_clean(file: ScannedFile) -> None:
    """Nothing to complain about."""
    assert file.error is None, file
    assert not file.notes, file
    odd = [each.full for each in file.imports if categorise(each.module, each.name) is not Category.KNOWN]
    assert not odd, file


@pytest.mark.parametrize("name", FORMATS)
def test_frameworks(name: str) -> None:
    """XGBoost, LightGBM, PyTorch, skops, ONNX and pandas: recognised, every import known."""
    file = scan_file(FIXTURES / name, name)
    assert file.formats[0] == FORMATS[name]
    assert_clean(file)
    assert bool(file.imports) == (name not in NO_IMPORTS)


def test_all_fixtures_are_tested() -> None:
    """Every fixture is judged, and none is large."""
    assert {path.name for path in FIXTURES.iterdir()} == {*FORMATS, "odd.onnx"}
    assert all(path.stat().st_size < 20_000 for path in FIXTURES.iterdir())


def test_onnx_with_things_from_outside() -> None:
    """Custom operators and external data are noted."""
    notes = {note.kind: note.text for note in scan_file(FIXTURES / "odd.onnx", "odd.onnx").notes}
    assert notes == {Kind.CUSTOM_OPERATOR: "my.operators.Mine", Kind.OUTSIDE: "../../etc/passwd"}


@cache
def models() -> dict[str, Any]:
    """Fitted models of scikit-learn, of all kinds that write something of their own."""
    import pandas as pd
    from sklearn import (
        cluster,
        compose,
        decomposition,
        ensemble,
        feature_selection,
        impute,
        linear_model,
        neighbors,
        svm,
    )
    from sklearn.feature_extraction.text import CountVectorizer, TfidfVectorizer
    from sklearn.metrics import pairwise
    from sklearn.model_selection import GridSearchCV
    from sklearn.naive_bayes import MultinomialNB
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, SplineTransformer, StandardScaler

    rng = np.random.default_rng(0)
    x = rng.random((60, 3))
    y = np.arange(60) % 3
    mixed = np.array([[a, b] for a, b in zip(x[:, 0], np.where(y > 1, "a", "b"), strict=True)], dtype=object)
    texts = ["the quick brown fox", "jumps over", "the lazy dog", "again and again"] * 15
    columns = compose.ColumnTransformer(
        [("n", make_pipeline(impute.SimpleImputer(), StandardScaler()), [0]), ("c", OneHotEncoder(), [1])]
    )
    grid = GridSearchCV(linear_model.LogisticRegression(), {"C": [0.1, 1.0]}, scoring="f1_macro", cv=2)
    return {
        "pipeline": make_pipeline(StandardScaler(), linear_model.LogisticRegression()).fit(x, y),
        "columns": make_pipeline(columns, ensemble.RandomForestClassifier(4)).fit(mixed, y),
        "forest": ensemble.RandomForestRegressor(4).fit(x, y),
        "gradient boosting": ensemble.GradientBoostingClassifier(n_estimators=3).fit(x, y),
        "histogram boosting": ensemble.HistGradientBoostingClassifier(max_iter=3).fit(x, y),
        "svm": svm.SVC().fit(x, y),
        "neighbours": neighbors.KNeighborsClassifier(algorithm="kd_tree").fit(x, y),
        "tfidf": make_pipeline(TfidfVectorizer(), MultinomialNB()).fit(texts, y),
        "counts": CountVectorizer(ngram_range=(1, 2)).fit(texts),
        "search": grid.fit(x, y),
        "selection": make_pipeline(feature_selection.SelectKBest(k=2), linear_model.RidgeCV()).fit(x, y),
        "function": make_pipeline(FunctionTransformer(np.log1p), decomposition.PCA(2)).fit(x),
        "splines": SplineTransformer().fit(x),
        "isolation": ensemble.IsolationForest(n_estimators=3).fit(x),
        "arrays": {
            "objects": np.array(["x", None], dtype=object),
            "fields": np.array([("a", 1)], dtype=[("n", "U4"), ("v", "i4")]),
            "objects in fields": np.array([("a", [1])], dtype=[("n", "U4"), ("v", "O")]),
            "dates": np.array(["2024-01-01"], dtype="M8[D]"),
            "empty": np.zeros((0, 3)),
            "big-endian": np.arange(3, dtype=">f8"),
            "Fortran": np.asfortranarray(np.ones((3, 4))),
            "scalar": np.float64(3),
            "none": np.array(1.5),
            # Numbers whose first bytes are the mark of a pickle.
            "looks like one": [np.array([n, 1, 2, *range(9)]) for n in (640, 896, 1152, 1408)],
        },
        "bisecting": cluster.BisectingKMeans(2, random_state=0).fit(x),
        "kernels": svm.SVC(kernel=pairwise.rbf_kernel),
        "times": {
            "zone": zoneinfo.ZoneInfo("Europe/Berlin"),
            "frame": pd.DataFrame({"t": pd.date_range("2024", periods=3, tz="Europe/Berlin"), "s": ["a", "b", None]}),
            "stamp": pd.Timestamp("2024-05-01", tz="UTC"),
            "offset": pd.DateOffset(days=3),
            "nothing": type(None),
        },
        "curves": [np.polynomial.Polynomial([1, 2]), np.poly1d([1, 2])],
    }


NAMES = [
    *("pipeline", "columns", "forest", "gradient boosting", "histogram boosting", "svm", "neighbours", "tfidf"),
    *("counts", "search", "selection", "function", "splines", "isolation", "arrays"),
    *("bisecting", "kernels", "times", "curves"),
]


@pytest.mark.parametrize("name", NAMES)
def test_scikit_learn(name: str, tmp_path: Path) -> None:
    """Every model is clean as joblib in every protocol and compression, and as pickle in every protocol."""
    path = tmp_path / "model"
    model = models()[name]
    for protocol in range(6):
        path.write_bytes(pickle.dumps(model, protocol))
        assert_clean(scan_file(path, f"{name}, pickle {protocol}"))
        joblib.dump(model, path, protocol=protocol)
        assert_clean(scan_file(path, f"{name}, joblib {protocol}"))
    for packing in PACKINGS:
        if packing != "lz4" or _has_lz4():
            joblib.dump(model, path, compress=(packing, 3) if packing else 0)
            file = scan_file(path, f"{name}, {packing}")
            assert_clean(file)
            assert file.formats[0] == (packing or file.formats[0])


def _has_lz4() -> bool:
    try:
        import lz4.frame
    except ImportError:
        return False
    return bool(lz4.frame)


def test_numpy_files(tmp_path: Path) -> None:
    """Arrays of numbers, of objects, and archives of them."""
    np.save(tmp_path / "a.npy", np.ones(5))
    np.save(tmp_path / "t.npy", np.array(["2024-01-01"], dtype="M8[ns]"))
    np.save(tmp_path / "f.npy", np.zeros(2, dtype=[("a", "<f4", (2,)), ("t", "m8[s]")]))
    np.save(tmp_path / "o.npy", np.array([None, "x"], dtype=object))
    np.savez(tmp_path / "z.npz", a=np.ones(3), o=np.array([1, None], dtype=object))
    np.savez_compressed(tmp_path / "c.npz", a=np.ones(3))
    for path in sorted(tmp_path.iterdir()):
        file = scan_file(path, path.name)
        assert_clean(file)
        assert file.formats[0] == path.suffix[1:]
        assert bool(file.imports) == (path.name in ("o.npy", "z.npz"))


def test_several_pickles_in_one_file(tmp_path: Path) -> None:
    """A file that was written with several dumps is clean."""
    path = tmp_path / "many.pkl"
    path.write_bytes(b"".join(pickle.dumps(np.arange(n), n % 6) for n in range(12)))
    assert_clean(scan_file(path, path.name))


@pytest.mark.parametrize(
    ("content", "format_"),
    [
        (b"", "empty"),
        (b'{"loss": 0.5}\n{"loss": 0.25}\n', "json"),
        (b"length,island\n1.5,Dream\n", "text"),
        (b"Name,Value\nVorname,1\n", "text"),
        (b"cat\ndog\n", "text"),  # the labels of a model: `c` and two lines are an import
        (b"iris\nsetosa\n", "text"),
        (b"ZFS pools of the machine\n", "text"),
        (b"classes:\n- cat\n- dog\ncos\nsystem\n", "text"),  # words that look like opcodes
        ("Größe: 5 µm\n".encode(), "text"),
        (b"# MLmodel\nflavors:\n  python_function:\n    loader_module: mlflow.sklearn\n", "text"),
        (b"import os\nos.system('ls')\n", "text"),
        (b"PAR1" + bytes(100), "parquet"),
        (b"\x89PNG\r\n\x1a\n" + bytes(50), "png"),
    ],
)
def test_harmless_files(content: bytes, format_: str, tmp_path: Path) -> None:
    """Text, tables and pictures are no pickles."""
    path = tmp_path / "file"
    path.write_bytes(content)
    file = scan_file(path, "file")
    assert file.formats == (format_,)
    assert_clean(file)
    assert not file.imports


def test_unknown_is_not_clean(tmp_path: Path) -> None:
    """What nobody recognises is noted as such."""
    path = tmp_path / "file"
    path.write_bytes(bytes(range(256)))
    assert [note.kind for note in scan_file(path, "file").notes] == [Kind.UNKNOWN]


def test_programs_are_noted(tmp_path: Path) -> None:
    """A shared library, a program and compiled Python are noted."""
    path = tmp_path / "file"
    for content in (b"\x7fELF\x02\x01\x01" + bytes(50), b"MZ\x90\x00" + bytes(50), b"\xa7\x0d\r\n" + bytes(50)):
        path.write_bytes(content)
        assert [note.kind for note in scan_file(path, "file").notes] == [Kind.NATIVE_CODE]


def test_keras_layers_that_bring_code(tmp_path: Path) -> None:
    """A Lambda layer is noted in a .keras file and in an HDF5 file; other layers are not."""
    import zipfile

    for layer, expected in (("Lambda", [Kind.EMBEDDED_CODE]), ("Dense", [])):
        config = json.dumps({"class_name": "Sequential", "config": {"layers": [{"class_name": layer}]}})
        with zipfile.ZipFile(tmp_path / "a.keras", "w") as archive:
            archive.writestr("config.json", config)
            archive.writestr("metadata.json", "{}")
            archive.writestr("model.weights.h5", b"\x89HDF\r\n\x1a\n" + bytes(100))
        (tmp_path / "a.h5").write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(100) + config.encode() + bytes(100))
        for name in ("a.keras", "a.h5"):
            assert [note.kind for note in scan_file(tmp_path / name, name).notes] == expected
