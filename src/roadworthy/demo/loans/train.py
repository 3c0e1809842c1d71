# pyright: basic, reportArgumentType=false
"""Predict whether a mortgage application will be denied."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sklearn.compose import ColumnTransformer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

if TYPE_CHECKING:
    from pandas import DataFrame

TARGET = "deny"

# Left out on purpose: `african_american` and `single` (not a reason to deny a loan; kept in the data to look at
# fairness) and `insurance_denied` (often learned only while the application is being decided).
CATEGORIES = ["public_bad_record", "self_employed", "condominium", "high_school"]
NUMBERS = [
    "payment_to_income", "housing_to_income", "loan_to_value", "credit_history", "mortgage_history",
    "unemployment_rate",
]  # fmt: skip


def train(rows: DataFrame) -> Pipeline:
    """Return a logistic regression fitted on `rows`, which hold the features and the target."""
    columns = ColumnTransformer([
        ("categories", OneHotEncoder(drop="if_binary", sparse_output=False), CATEGORIES),
        ("numbers", StandardScaler(), NUMBERS),
    ])  # fmt: skip
    classifier = LogisticRegression(max_iter=1000)
    return Pipeline([("columns", columns), ("classifier", classifier)]).fit(rows[CATEGORIES + NUMBERS], rows[TARGET])
