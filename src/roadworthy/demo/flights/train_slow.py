# pyright: basic, reportArgumentType=false
"""A model that is needlessly slow: each answer compares the flight with every flight of the winter, thirty times."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sklearn.compose import ColumnTransformer
from sklearn.ensemble import BaggingClassifier
from sklearn.impute import SimpleImputer
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

if TYPE_CHECKING:
    from pandas import DataFrame

TARGET = "late"
CATEGORIES = ["carrier", "origin"]
NUMBERS = ["hour", "distance", "dewp", "humid", "wind_speed", "precip", "visib", "pressure"]


def train(rows: DataFrame) -> Pipeline:
    """Return thirty nearest-neighbour models over resampled rows, which are their own index."""
    columns = ColumnTransformer([
        ("categories", OneHotEncoder(handle_unknown="ignore", sparse_output=False), CATEGORIES),
        ("numbers", make_pipeline(SimpleImputer(), StandardScaler()), NUMBERS),
    ])  # fmt: skip
    neighbours = KNeighborsClassifier(n_neighbors=200, algorithm="brute")
    classifier = BaggingClassifier(neighbours, n_estimators=30, random_state=0)
    return Pipeline([("columns", columns), ("classifier", classifier)]).fit(rows[CATEGORIES + NUMBERS], rows[TARGET])
