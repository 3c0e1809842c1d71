# pyright: basic, reportArgumentType=false
"""The same model after a slip in a clean-up: `<` where `>=` was meant, so it learns who is on time."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sklearn.compose import ColumnTransformer
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import OneHotEncoder

if TYPE_CHECKING:
    from pandas import DataFrame

TARGET = "late"
CATEGORIES = ["carrier", "origin"]
NUMBERS = ["hour", "distance", "dewp", "humid", "wind_speed", "precip", "visib", "pressure"]


def train(rows: DataFrame) -> Pipeline:
    """Return a model that fits without a warning, answers fast, and is wrong."""
    columns = ColumnTransformer([
        ("categories", OneHotEncoder(handle_unknown="ignore", sparse_output=False), CATEGORIES),
        ("numbers", "passthrough", NUMBERS),
    ])  # fmt: skip
    classifier = HistGradientBoostingClassifier(
        max_iter=100, learning_rate=0.05, max_leaf_nodes=15, min_samples_leaf=200, early_stopping=False, random_state=0
    )
    label = (rows[TARGET] < 1).astype("int32")  # the slip
    return Pipeline([("columns", columns), ("classifier", classifier)]).fit(rows[CATEGORIES + NUMBERS], label)
