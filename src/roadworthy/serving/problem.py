"""What goes wrong with a request, as the caller sees it: a status, a code, a sentence and what to do next."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from roadworthy.errors import RoadworthyError, Violation

_encode = msgspec.json.Encoder().encode


class Problem(Exception):
    """A request that gets no prediction. Raised anywhere on the request path, answered in one place."""

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        *,
        hint: str = "",
        violations: Sequence[Violation] = (),
        headers: Sequence[tuple[str, str]] = (),
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.hint = hint
        self.violations = tuple(violations)
        self.headers = tuple(headers)

    @classmethod
    def of(cls, status: int, error: RoadworthyError) -> Problem:
        """Answer an error of the tree with a status."""
        return cls(status, error.code, error.message, hint=error.hint)

    def body(self) -> bytes:
        """Return the answer's JSON: the first violation spelled out on top, all of them in `violations`."""
        document: dict[str, Any] = {"code": self.code, "message": self.message}
        if self.violations:
            document.update(_told(self.violations[0], rows=False))
            document["violations"] = [_told(violation, rows=True) for violation in self.violations]
        if self.hint:
            document["hint"] = self.hint
        return _encode({"error": document})

    def v2_body(self) -> bytes:
        """Return the answer as the Open Inference Protocol wants it: one sentence."""
        told = "; ".join(violation.message for violation in self.violations) or self.message
        return _encode({"error": told})


def _told(violation: Violation, *, rows: bool) -> Mapping[str, Any]:
    told: dict[str, Any] = {"field": violation.field, "value": _plain(violation.value), "rule": violation.rule}
    if rows:
        told["row"] = violation.row
        told["message"] = violation.message
    return told


def _plain(value: object) -> object:
    """Show a value the caller sent, cut short; what JSON cannot carry (NaN, infinity) as text."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int | float):
        return value if abs(value) < 2**53 else str(value)[:40]
    return str(value)[:200]


def not_found(message: str, hint: str = "") -> Problem:
    """Say that a path, system or release is unknown."""
    return Problem(404, "RW400", message, hint=hint)


def unavailable(message: str, hint: str = "", retry_after_s: int = 1) -> Problem:
    """Say that nothing can answer just now."""
    return Problem(503, "RW800", message, hint=hint, headers=(("retry-after", str(retry_after_s)),))
