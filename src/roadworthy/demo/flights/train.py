# pyright: basic, reportArgumentType=false
"""Predict, at the scheduled departure, whether a flight arrives more than 15 minutes late."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sklearn.compose import ColumnTransformer
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import OneHotEncoder

if TYPE_CHECKING:
    from pandas import DataFrame

TARGET = "late"

# Who flies, from where, at what hour, how far; and the weather. Left out on purpose: month and weekday (three months
# teach no season), the destination (100 levels, some first seen in summer; distance stands for it) and temperature
# (dew point and humidity together determine it).
CATEGORIES = ["carrier", "origin"]
NUMBERS = ["hour", "distance", "dewp", "humid", "wind_speed", "precip", "visib", "pressure"]


def train(rows: DataFrame) -> Pipeline:
    """Return a model fitted on `rows`, which hold the features and the target; missing weather may stay missing."""
    # One-hot, not `categorical_features=`: that option does not survive the conversion to ONNX.
    columns = ColumnTransformer([
        ("categories", OneHotEncoder(handle_unknown="ignore", sparse_output=False), CATEGORIES),
        ("numbers", "passthrough", NUMBERS),
    ])  # fmt: skip
    classifier = HistGradientBoostingClassifier(
        max_iter=100, learning_rate=0.05, max_leaf_nodes=15, min_samples_leaf=200, early_stopping=False, random_state=0
    )
    return Pipeline([("columns", columns), ("classifier", classifier)]).fit(rows[CATEGORIES + NUMBERS], rows[TARGET])
