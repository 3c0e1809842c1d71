"""The loss of a decision, bounded to [0, 1] so that anytime-valid tests need no further assumption."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from roadworthy.stats.arrays import Floats


def label_loss(truth: ArrayLike, label: ArrayLike) -> Floats:
    """Return 1 where the answered label differs from the true one, else 0; shapes (n,), labels as text."""
    return (np.asarray(truth, dtype=object) != np.asarray(label, dtype=object)).astype(np.float64)


def value_loss(truth: ArrayLike, value: ArrayLike, scale: float) -> Floats:
    """Return the absolute error over `scale`, capped at 1; shapes (n,).

    `scale` is the spread beyond which an answer is simply wrong: the build takes the 90 % quantile of the
    baseline's absolute errors, so that 1 means "as bad as a bad guess".

    Raises:
        ValueError: the scale is not above 0.
    """
    if not scale > 0:
        raise ValueError(f"a scale above 0 is needed, got {scale}")
    error = np.abs(np.asarray(truth, dtype=np.float64) - np.asarray(value, dtype=np.float64))
    return np.minimum(1.0, error / scale)
