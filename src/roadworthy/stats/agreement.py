"""Do two artifacts of one model answer alike? Asked of an exported graph before it may stand in for its prototype."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import ArrayLike

MOST_DIFFERENCE: Final = 1e-5


@dataclass(frozen=True, slots=True)
class Agreement:
    """The largest difference over n rows, and how many labels differ; both must be small for `holds`."""

    largest: float
    flips: int
    n: int
    tolerance: float = MOST_DIFFERENCE

    @property
    def holds(self) -> bool:
        """Claim that no row differs by more than the tolerance and no label flips."""
        return self.largest <= self.tolerance and self.flips == 0

    def __str__(self) -> str:
        return f"largest difference {self.largest:.2g}, {self.flips} labels flipped, over {self.n:,} rows"


def of_probabilities(first: ArrayLike, second: ArrayLike, labels: ArrayLike, other_labels: ArrayLike) -> Agreement:
    """Compare probabilities, shape (n,) or (n, k), and the labels they led to, shape (n,).

    Raises:
        ValueError: the shapes differ.
    """
    a, b = _alike(first, second)
    flips = int((np.asarray(labels, dtype=object) != np.asarray(other_labels, dtype=object)).sum())
    return Agreement(float(np.abs(a - b).max(initial=0.0)), flips, len(a))


def of_values(first: ArrayLike, second: ArrayLike) -> Agreement:
    """Compare numbers, shape (n,), relative to the larger of each first one and the mean size of them all.

    So an answer near 0 is not held to more digits than its neighbours.

    Raises:
        ValueError: the shapes differ.
    """
    a, b = _alike(first, second)
    if len(a) == 0:
        return Agreement(0.0, 0, 0)
    size = np.maximum(np.abs(a), max(float(np.abs(a).mean()), np.finfo(np.float64).tiny))
    return Agreement(float((np.abs(a - b) / size).max()), 0, len(a))


def _alike(first: ArrayLike, second: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    a, b = np.asarray(first, dtype=np.float64), np.asarray(second, dtype=np.float64)
    if a.shape != b.shape:
        raise ValueError(f"answers of shapes {a.shape} and {b.shape} cannot be compared")
    return a, b
