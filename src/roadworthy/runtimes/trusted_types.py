"""The types a skops file may hold without anyone's say, by exact name.

skops itself trusts scikit-learn's public estimators, numpy's dtypes and functions without side effects. The names
below were read one by one: each is plain data, or arithmetic on the arrays it was given; none opens a file, imports a
module by name or calls what it was handed. `tests/unit/runtimes` loads every one of them.
"""

# pyright: reportMissingTypeStubs=false
from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from skops.io import get_untrusted_types

REVIEWED: Final = frozenset(
    {
        # Trees and nearest neighbours: arrays and the code that walks them.
        "sklearn.tree._tree.Tree",
        "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",
        "sklearn.neighbors._ball_tree.BallTree",
        "sklearn.neighbors._kd_tree.KDTree",
        "sklearn.metrics._dist_metrics.ChebyshevDistance64",
        "sklearn.metrics._dist_metrics.EuclideanDistance64",
        "sklearn.metrics._dist_metrics.ManhattanDistance64",
        "sklearn.metrics._dist_metrics.MinkowskiDistance64",
        # Parts of fitted classifiers and regressors.
        "sklearn._loss.loss.HalfTweedieLoss",
        "sklearn._loss.loss.HalfTweedieLossIdentity",
        "sklearn.calibration._CalibratedClassifier",
        "sklearn.calibration._SigmoidCalibration",
        "sklearn.gaussian_process._gpc._BinaryGaussianProcessClassifierLaplace",
        "sklearn.gaussian_process.kernels.ConstantKernel",
        "sklearn.gaussian_process.kernels.DotProduct",
        "sklearn.gaussian_process.kernels.Matern",
        "sklearn.gaussian_process.kernels.Product",
        "sklearn.gaussian_process.kernels.RBF",
        "sklearn.gaussian_process.kernels.RationalQuadratic",
        "sklearn.gaussian_process.kernels.Sum",
        "sklearn.gaussian_process.kernels.WhiteKernel",
        "sklearn.neural_network._stochastic_optimizers.AdamOptimizer",
        "sklearn.neural_network._stochastic_optimizers.SGDOptimizer",
        "sklearn.utils._bunch.Bunch",
        "sklearn.compose._column_transformer.make_column_selector",
        "sklearn.utils.validation.check_array",
        # Holds a function and arguments for it; the function is a type of the file too, and judged by itself.
        "functools.partial",
        # What searches and thresholds keep of how they were made.
        "numpy.dtype",
        "numpy.mean",
        "sklearn.feature_selection._univariate_selection.f_classif",
        "sklearn.feature_selection._univariate_selection.f_regression",
        "sklearn.metrics._classification.balanced_accuracy_score",
        "sklearn.metrics._scorer._CurveScorer",
        "sklearn.metrics._scorer._PassthroughScorer",
        "sklearn.metrics._scorer._Scorer",
        "sklearn.model_selection._split.KFold",
        "sklearn.model_selection._split.StratifiedKFold",
        "sklearn.utils._metadata_requests.MetadataRequest",
        "sklearn.utils._metadata_requests.MethodMetadataRequest",
        # Sparse matrices and splines.
        "scipy._lib.array_api_compat.numpy._aliases.asarray",
        "scipy.interpolate._bsplines.BSpline",
        "scipy.sparse._csc.csc_matrix",
        "scipy.sparse._csr.csr_matrix",
    }
)


def unknown_types(content: bytes, trusted: Iterable[str] = ()) -> tuple[str, ...]:
    """Return the types in a skops file that neither the list nor the project's own `trusted` covers, sorted."""
    return tuple(sorted(set(get_untrusted_types(data=content)) - REVIEWED - set(trusted)))


def trust_line(types: Iterable[str]) -> str:
    """Return the manifest line that trusts these types, ready to copy."""
    return f"trust: [{', '.join(types)}]"
