"""Are callers assigned to arms in the declared shares? If not, no comparison of the arms can be trusted."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

_FEWEST_SHARES = 2


@dataclass(frozen=True, slots=True)
class Ratio:
    """Evidence that arms are not assigned in the declared shares; then no comparison of them can be trusted.

    `peak` is the largest log Bayes factor at any look.

    Source: Lindon and Malek 2022, "Anytime-valid inference for multinomial count data".
    """

    shares: tuple[float, ...]
    counts: tuple[int, ...]
    peak: float = 0.0
    concentration: float = 100.0

    @classmethod
    def start(cls, shares: tuple[float, ...]) -> "Ratio":
        """Return the state before any assignment.

        Raises:
            ValueError: fewer than 2 shares, one not above 0, or a sum other than 1.
        """
        if len(shares) < _FEWEST_SHARES or min(shares) <= 0 or not math.isclose(sum(shares), 1):
            raise ValueError(f"two or more shares above 0 with the sum 1 are needed, got {shares}")
        return cls(shares, (0,) * len(shares))

    @property
    def p_value(self) -> float:
        """Return the anytime-valid p-value of "assigned in these shares"."""
        return min(1.0, math.exp(-self.peak))

    def update(self, assigned: tuple[int, ...]) -> "Ratio":
        """Return the state after further assignments, one count per arm.

        Raises:
            ValueError: another number of arms, or a negative count.
        """
        if len(assigned) != len(self.shares) or min(assigned) < 0:
            raise ValueError(f"{len(self.shares)} counts of 0 or more are needed, got {assigned}")
        counts = tuple(a + b for a, b in zip(self.counts, assigned, strict=True))
        c, n = self.concentration, sum(counts)
        factor = math.lgamma(c) - math.lgamma(c + n)
        for share, count in zip(self.shares, counts, strict=True):
            factor += math.lgamma(c * share + count) - math.lgamma(c * share) - count * math.log(share)
        return Ratio(self.shares, counts, max(self.peak, factor), c)

    def to_doc(self) -> dict[str, Any]:
        """Return plain builtins that JSON can hold; `from_doc` reads them back."""
        return {**asdict(self), "shares": list(self.shares), "counts": list(self.counts)}

    @classmethod
    def from_doc(cls, doc: Mapping[str, Any]) -> "Ratio":
        """Return the state that `to_doc` wrote."""
        fields: dict[str, Any] = {**doc, "shares": tuple(doc["shares"]), "counts": tuple(doc["counts"])}
        return cls(**fields)
