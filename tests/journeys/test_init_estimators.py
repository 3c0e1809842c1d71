"""Estimators of scikit-learn on tables as people have them: init, build, and the served answers are the model's own."""

from __future__ import annotations

import subprocess
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn import (
    calibration,
    discriminant_analysis,
    dummy,
    ensemble,
    gaussian_process,
    kernel_ridge,
    linear_model,
    naive_bayes,
    neighbors,
    neural_network,
    svm,
    tree,
)
from sklearn.base import is_classifier
from sklearn.compose import TransformedTargetRegressor, make_column_selector, make_column_transformer
from sklearn.cross_decomposition import PLSRegression
from sklearn.impute import SimpleImputer
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder, StandardScaler
from skops.io import dump

from roadworthy import plugins, wiring
from roadworthy.domain.interface import Task
from roadworthy.domain.principal import Actor
from roadworthy.lifecycle.build import build
from roadworthy.lifecycle.init import init
from roadworthy.lifecycle.table import read_table
from roadworthy.manifest import BUILT_IN, load
from roadworthy.ports.plane import Plane
from roadworthy.settings import Settings
from roadworthy.stores.home import create

ROWS = 240


def _estimators() -> dict[str, Callable[[], Any]]:
    tree_two = tree.DecisionTreeClassifier(max_depth=2, random_state=0)
    logistic = linear_model.LogisticRegression(max_iter=500)
    return {
        "LogisticRegression": lambda: linear_model.LogisticRegression(max_iter=500),
        "RidgeClassifier": linear_model.RidgeClassifier,
        "SGDClassifier(log_loss)": lambda: linear_model.SGDClassifier(loss="log_loss", random_state=0),
        "LinearSVC": lambda: svm.LinearSVC(random_state=0, max_iter=20_000),
        "SVC": lambda: svm.SVC(random_state=0),
        "CalibratedClassifierCV": lambda: calibration.CalibratedClassifierCV(svm.LinearSVC(random_state=0), cv=2),
        "GaussianNB": naive_bayes.GaussianNB,
        "KNeighborsClassifier": neighbors.KNeighborsClassifier,
        "NearestCentroid": neighbors.NearestCentroid,
        "DecisionTreeClassifier": lambda: tree.DecisionTreeClassifier(max_depth=4, random_state=0),
        "RandomForestClassifier": lambda: ensemble.RandomForestClassifier(12, random_state=0, n_jobs=2),
        "ExtraTreesClassifier": lambda: ensemble.ExtraTreesClassifier(12, random_state=0),
        "GradientBoostingClassifier": lambda: ensemble.GradientBoostingClassifier(n_estimators=12, random_state=0),
        "HistGradientBoostingClassifier": lambda: ensemble.HistGradientBoostingClassifier(max_iter=12),
        "AdaBoostClassifier": lambda: ensemble.AdaBoostClassifier(n_estimators=8, random_state=0),
        "BaggingClassifier": lambda: ensemble.BaggingClassifier(n_estimators=5, random_state=0),
        "VotingClassifier": lambda: ensemble.VotingClassifier([("a", logistic), ("b", tree_two)], voting="soft"),
        "StackingClassifier": lambda: ensemble.StackingClassifier([("a", logistic), ("b", tree_two)], cv=2),
        "MLPClassifier": lambda: neural_network.MLPClassifier(hidden_layer_sizes=(8,), random_state=0, tol=1e-2),
        "LinearDiscriminantAnalysis": discriminant_analysis.LinearDiscriminantAnalysis,
        "GaussianProcessClassifier": lambda: gaussian_process.GaussianProcessClassifier(optimizer=None),
        "GridSearchCV": lambda: GridSearchCV(tree_two, {"max_depth": [2, 3]}, cv=2),
        "DummyClassifier": dummy.DummyClassifier,
        "LinearRegression": linear_model.LinearRegression,
        "Ridge": linear_model.Ridge,
        "ElasticNet": lambda: linear_model.ElasticNet(alpha=0.01, max_iter=20_000),
        "BayesianRidge": linear_model.BayesianRidge,
        "HuberRegressor": lambda: linear_model.HuberRegressor(max_iter=2_000),
        "SVR": svm.SVR,
        "KernelRidge": kernel_ridge.KernelRidge,
        "KNeighborsRegressor": neighbors.KNeighborsRegressor,
        "DecisionTreeRegressor": lambda: tree.DecisionTreeRegressor(max_depth=4, random_state=0),
        "RandomForestRegressor": lambda: ensemble.RandomForestRegressor(12, random_state=0),
        "GradientBoostingRegressor": lambda: ensemble.GradientBoostingRegressor(n_estimators=12, random_state=0),
        "HistGradientBoostingRegressor": lambda: ensemble.HistGradientBoostingRegressor(max_iter=12),
        "MLPRegressor": lambda: neural_network.MLPRegressor(hidden_layer_sizes=(8,), random_state=0, tol=1e-1),
        "GaussianProcessRegressor": lambda: gaussian_process.GaussianProcessRegressor(alpha=1.0, optimizer=None),
        "PLSRegression": lambda: PLSRegression(n_components=2),
        "TransformedTargetRegressor": lambda: TransformedTargetRegressor(
            linear_model.Ridge(), func=np.cbrt, inverse_func=np.square, check_inverse=False
        ),
        "DummyRegressor": dummy.DummyRegressor,
    }  # fmt: skip


def _numbers(generator: np.random.Generator, names: str | list[str]) -> dict[str, Any]:
    return {name: np.round(generator.normal(10, 3, ROWS), 3) for name in names}


def _strings(generator: np.random.Generator) -> pd.DataFrame:
    table = pd.DataFrame(_numbers(generator, "ab"))
    table["colour"] = generator.choice(["red", "green", "deep blue"], ROWS)
    table["city"] = generator.choice(["Lyon", "København", "O'Fallon", "São Paulo"], ROWS)
    return table


def _missing(generator: np.random.Generator) -> pd.DataFrame:
    table = _strings(generator).drop(columns="city")
    table["count"] = generator.integers(0, 9, ROWS).astype(float)
    for place, name in enumerate(table.columns):
        table.loc[generator.choice(ROWS, 12 + place, replace=False), name] = None
    return table


def _dates(generator: np.random.Generator) -> pd.DataFrame:
    table = pd.DataFrame(_numbers(generator, "ab"))
    table["ordered_at"] = pd.Timestamp("2024-01-01") + pd.to_timedelta(generator.integers(0, 5_000_000, ROWS), unit="s")
    table["month"] = table["ordered_at"].dt.month
    table["hour"] = table["ordered_at"].dt.hour
    return table


def _wide(generator: np.random.Generator) -> pd.DataFrame:
    return pd.DataFrame(_numbers(generator, [f"sensor {number}" for number in range(60)]))


def _booleans(generator: np.random.Generator) -> pd.DataFrame:
    table = pd.DataFrame({name: generator.random(ROWS) < share for name, share in (("member", 0.3), ("Active", 0.6))})
    table["visits"] = generator.integers(0, 30, ROWS)
    return table


TABLES: dict[str, Callable[[np.random.Generator], pd.DataFrame]] = {
    "strings": _strings, "missing": _missing, "dates": _dates, "wide": _wide, "booleans": _booleans,
}  # fmt: skip


def _features(table: str, rows: pd.DataFrame) -> pd.DataFrame:
    """Choose what the model sees: of a date, what was derived from it."""
    return rows.drop(columns=["ordered_at"]) if table == "dates" else rows


def _pipeline(table: str, estimator: Any) -> Any:
    """Put the usual steps before an estimator, as its author would for this table."""
    texts, numbers = make_column_selector(dtype_include=["object", "str"]), make_column_selector(dtype_include="number")
    if table == "wide":
        return make_pipeline(StandardScaler(), estimator)
    if table == "strings":
        return make_pipeline(
            make_column_transformer(
                (OneHotEncoder(handle_unknown="ignore", sparse_output=False), texts), (StandardScaler(), numbers)
            ),
            estimator,
        )
    if table == "missing":
        words = make_pipeline(
            SimpleImputer(strategy="most_frequent"), OneHotEncoder(handle_unknown="ignore", sparse_output=False)
        )
        return make_pipeline(
            make_column_transformer((words, texts), (make_pipeline(SimpleImputer(), StandardScaler()), numbers)),
            estimator,
        )
    if table == "booleans":
        truths = make_column_selector(dtype_include="bool")
        return make_pipeline(
            make_column_transformer((OrdinalEncoder(), truths), (StandardScaler(), numbers)), estimator
        )
    return make_pipeline(StandardScaler(), estimator)


def _target(rows: pd.DataFrame, *, classes: bool) -> Any:
    """Make a truth that the columns explain in part: texts for a classifier, numbers for a regressor."""
    score = np.zeros(ROWS)
    for place, name in enumerate(rows.columns):
        codes = rows[name].astype("category").cat.codes.to_numpy(dtype=float)
        score += codes / (1 + codes.max()) / (1 + place)
    score = np.round(score + np.random.default_rng(1).normal(0, 0.2, ROWS), 4)
    return np.where(score > np.median(score), "yes", "no") if classes else 50 * score


@dataclass(frozen=True)
class Bench:
    """A home and a Git repository that all cases share."""

    root: Path
    plane: Plane


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    """Make the home and the repository."""
    root = tmp_path_factory.mktemp("projects")
    subprocess.run(["git", "init", "-q", str(root)], check=True)
    create(root / ".roadworthy")
    plane = wiring.open_plane(Settings(home=root / ".roadworthy"))
    return Bench(root, plane)


def _cases() -> Iterator[Any]:
    """Pair every estimator with every table: two tables each at once, the others among the long tests."""
    for place, name in enumerate(_estimators()):
        for turn, table in enumerate(TABLES):
            later = [] if (turn - 2 * place) % len(TABLES) < 2 else [pytest.mark.long]
            yield pytest.param(name, table, marks=later, id=f"{name}-{table}")


@pytest.mark.slow
@pytest.mark.parametrize(("name", "table"), list(_cases()))
def test_what_is_served_answers_as_the_estimator_does(bench: Bench, tmp_path: Path, table: str, name: str) -> None:
    """A fitted pipeline of any common estimator becomes a project whose built candidate gives the same answers."""
    estimator = _estimators()[name]()
    rows = TABLES[table](np.random.default_rng(7))
    rows["truth"] = _target(_features(table, rows), classes=is_classifier(estimator))
    data = tmp_path / "rows.csv"
    rows.to_csv(data, index=False)
    seen = pd.read_csv(data, parse_dates=["ordered_at"] if table == "dates" else False)
    features = _features(table, seen.drop(columns="truth"))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # whether a small model converged is not the question here
        model = _pipeline(table, estimator).fit(features, seen["truth"])
    dump(model, tmp_path / "model.skops")

    folder = bench.root / f"{table}-{len(list(bench.root.iterdir()))}"
    init(tmp_path / "model.skops", data, "ana@example.com", folder=folder, open_plane=lambda: bench.plane)
    system = load(folder, BUILT_IN)
    built = build(folder, system, bench.plane, Actor(principal="ana"))

    interface = built.candidate.interface
    predictor = plugins.load("runtimes", built.candidate.runtime).load(built.candidate, bench.plane.artifacts)
    answers = predictor.predict(read_table(data, interface.inputs).columns)
    assert len(system.content.interface.features) == features.shape[1]
    if interface.task is Task.REGRESSION:
        expected = np.asarray(model.predict(features)).reshape(-1)
        assert np.abs(answers["value"] - expected).max() <= 1e-5 * max(1.0, np.abs(expected).max())
    elif hasattr(model, "predict_proba"):
        share = model.predict_proba(features)[:, list(model.classes_).index(interface.positive)]
        assert np.abs(answers["probability"] - share).max() <= 1e-5
    else:
        assert answers["label"].tolist() == model.predict(features).tolist()
