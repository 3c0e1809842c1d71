"""How a prototype is called."""

from collections.abc import Mapping
from typing import Any, Protocol, TypeAlias

from roadworthy.domain.candidate import Candidate
from roadworthy.ports.artifacts import Artifacts

Columns: TypeAlias = Mapping[str, Any]
"""Field name → one-dimensional numpy array of n values, in the interface's order.

number: float64, null is NaN · integer: int64, or float64 with NaN where nulls are allowed · boolean: bool, or object
with None · string: object of str or None · timestamp: int64 µs UTC.
"""

Outputs: TypeAlias = Mapping[str, Any]
"""binary: `probability` float64 (n,), `label` object (n,) · multiclass: `label` object (n,), `probabilities` float64
(n, k) in the order of `interface.labels` · regression: `value` float64 (n,)."""


class Predictor(Protocol):
    """A loaded release. Thread-safe, without side effects."""

    def predict(self, columns: Columns) -> Outputs:
        """Answer n rows at once; outputs are finite and have n rows.

        Raises:
            Exception: whatever the model raises; the serving path turns it into a fallback.
        """
        ...


class Runtime(Protocol):
    """Loads candidates of one format. `native` runtimes may hold the interpreter and run in a child process."""

    name: str
    native: bool

    def load(self, candidate: Candidate, artifacts: Artifacts) -> Predictor:
        """Check digests, environment and trust, then load and warm.

        Raises:
            ArtifactError: bytes are missing, altered or not trusted.
            EnvironmentMismatch: packages differ; the message names them.
        """
        ...
