"""Every type on the reviewed list is met in a file that is loaded, so that the list holds nothing for show."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from scipy.sparse import csc_matrix
from sklearn import (
    calibration,
    compose,
    ensemble,
    feature_selection,
    gaussian_process,
    impute,
    linear_model,
    model_selection,
    neighbors,
    neural_network,
    pipeline,
    preprocessing,
    random_projection,
    tree,
)
from sklearn.gaussian_process import kernels
from sklearn.metrics import make_scorer, mean_absolute_error
from skops.io import dumps, get_untrusted_types

from roadworthy.errors import ArtifactError
from roadworthy.runtimes.sklearn import load_estimator
from roadworthy.runtimes.skops_file import canonical_skops
from roadworthy.runtimes.trusted_types import REVIEWED, trust_line, unknown_types

GENERATOR = np.random.default_rng(0)
X = np.abs(GENERATOR.normal(size=(80, 4)))
LABEL = (X[:, 0] > 0.6).astype(int)
NUMBER = X[:, 0] + 0.1


def _models() -> Iterator[Any]:
    """Build one small model for every type of the list."""
    logistic = linear_model.LogisticRegression()
    kernel = kernels.ConstantKernel() * kernels.RBF() + kernels.WhiteKernel()
    yield tree.DecisionTreeClassifier(max_depth=2).fit(X, LABEL)
    yield ensemble.HistGradientBoostingClassifier(max_iter=2).fit(X, LABEL)
    yield ensemble.HistGradientBoostingClassifier(max_iter=2, categorical_features=[0]).fit(X.round(), LABEL)
    for metric in ("euclidean", "manhattan", "chebyshev", "minkowski"):
        yield neighbors.KNeighborsRegressor(3, algorithm="kd_tree", metric=metric, p=3).fit(X, NUMBER)
    yield neighbors.KNeighborsClassifier(3, algorithm="ball_tree").fit(X, LABEL)
    yield linear_model.TweedieRegressor(power=1.5).fit(X, NUMBER)
    yield linear_model.TweedieRegressor(power=1.5, link="identity", alpha=10).fit(X, NUMBER)
    yield calibration.CalibratedClassifierCV(logistic, cv=2).fit(X, LABEL)
    yield gaussian_process.GaussianProcessClassifier(kernel, optimizer=None).fit(X, LABEL)
    for one in (kernels.DotProduct(), kernels.Matern(), kernels.RationalQuadratic()):
        yield gaussian_process.GaussianProcessRegressor(one, alpha=1.0, optimizer=None).fit(X, NUMBER)
    yield neural_network.MLPClassifier(hidden_layer_sizes=(2,), max_iter=5).fit(X, LABEL)
    yield neural_network.MLPClassifier(hidden_layer_sizes=(2,), max_iter=5, solver="sgd").fit(X, LABEL)
    yield ensemble.VotingClassifier([("a", logistic)]).fit(X, LABEL)
    yield pipeline.make_pipeline(feature_selection.SelectKBest(k=2), logistic).fit(X, LABEL)
    yield feature_selection.SelectKBest(feature_selection.f_regression, k=2).fit(X, NUMBER)
    folds = model_selection.StratifiedKFold(2)
    yield model_selection.GridSearchCV(logistic, {"C": [1.0]}, cv=folds).fit(X, LABEL)
    yield model_selection.GridSearchCV(linear_model.Ridge(), {"alpha": [1.0]}, cv=model_selection.KFold(2)).fit(
        X, NUMBER
    )
    yield model_selection.TunedThresholdClassifierCV(logistic, cv=2, thresholds=5).fit(X, LABEL)
    yield compose.make_column_transformer((impute.SimpleImputer(), [0]), remainder="passthrough").fit(X)
    yield preprocessing.SplineTransformer(n_knots=3).fit(X)
    yield random_projection.SparseRandomProjection(2).fit(X)
    from sklearn.cluster import FeatureAgglomeration

    yield FeatureAgglomeration(n_clusters=2).fit(X)
    import pandas as pd

    chosen = compose.make_column_selector(dtype_include="number")
    yield compose.make_column_transformer((preprocessing.StandardScaler(), chosen)).fit(pd.DataFrame(X))
    yield preprocessing.FunctionTransformer(np.log1p, kw_args={"where": csc_matrix(np.eye(2))})


@pytest.fixture(scope="module")
def files() -> list[bytes]:
    """Write each model as a skops file."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # five rounds of training do not converge, and need not
        return [dumps(model) for model in _models()]


def test_every_reviewed_type_is_loaded(files: list[bytes]) -> None:
    """A name stands on the list only because a real model needs it and loads with it."""
    met: set[str] = set()
    for content in files:
        assert load_estimator(content) is not None
        met.update(get_untrusted_types(data=content))
    assert REVIEWED - met == set()


def test_a_file_spelled_canonically_is_the_same_model(files: list[bytes]) -> None:
    """Numbering objects and dating entries alike changes the bytes, not what is loaded."""
    for content in files:
        canonical = canonical_skops(content)
        assert canonical_skops(canonical) == canonical
        model, again = load_estimator(content), load_estimator(canonical)
        assert type(model) is type(again)
        if hasattr(model, "predict"):
            assert np.array_equal(model.predict(X), again.predict(X))


def test_an_unknown_type_is_refused_with_the_line_that_would_trust_it() -> None:
    """The owner sees which types to read, and can copy the line once they did."""
    content = dumps(model_selection.GridSearchCV(linear_model.Ridge(), {}, scoring=make_scorer(mean_absolute_error)))
    unknown = unknown_types(content)
    assert unknown == ("sklearn.metrics._regression.mean_absolute_error",)
    with pytest.raises(ArtifactError, match=r"nobody has reviewed: sklearn\.metrics\._regression") as refused:
        load_estimator(content)
    assert trust_line(unknown) in refused.value.hint
    assert load_estimator(content, trusted=unknown) is not None


def test_code_in_a_file_is_refused() -> None:
    """A function that could do anything does not pass as a step of a pipeline."""
    import os

    content = dumps(preprocessing.FunctionTransformer(os.system))
    with pytest.raises(ArtifactError, match=r"posix\.system"):
        load_estimator(content)
