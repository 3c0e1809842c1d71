"""The error tree. A caller's mistake is one of these, never a traceback.

RoadworthyError            RW000
├── ManifestError          RW100  the manifest text is wrong; carries every finding with line and column
├── InputError             RW200  a row, file or argument breaks its contract; carries every violation
├── RefusedError           RW300  a rule said no; nothing was changed (exit 2)
│   ├── ReleaseRefused     RW301  gates failed
│   ├── InconclusiveError  RW302  there is not enough evidence to say yes or no (exit 3)
│   ├── NotPermitted       RW303  the principal lacks the scope
│   └── Conflict           RW304  the state moved since it was read
├── NotFoundError          RW400  a name or id is unknown; carries the near misses
├── ArtifactError          RW500  bytes are missing, altered or not trusted
├── EnvironmentMismatch    RW501  this process lacks the packages the release was built with
├── StoreError             RW600  disk full, read-only, locked or corrupt
├── PluginError            RW700  a plug-in is missing or breaks its protocol
└── UnavailableError       RW800  a process or dependency does not answer
"""

from __future__ import annotations

from dataclasses import dataclass
from difflib import get_close_matches
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


class RoadworthyError(Exception):
    """Say what is wrong and why; `hint` says what to do next."""

    code: ClassVar[str] = "RW000"
    exit_code: ClassVar[int] = 1

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message}\n  next: {self.hint}" if self.hint else self.message


@dataclass(frozen=True, slots=True)
class Finding:
    """One mistake in a text file, where it is and how to mend it."""

    line: int
    column: int
    message: str
    hint: str = ""
    file: str = ""

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}:{self.column}" if self.file else f"line {self.line}, column {self.column}"
        return f"{place}: {self.message}" + (f" ({self.hint})" if self.hint else "")


class ManifestError(RoadworthyError):
    """The manifest is wrong in the places that `findings` lists, all at once."""

    code = "RW100"

    def __init__(
        self, findings: Sequence[Finding], *, hint: str = "mend these lines, then run: roadworthy check"
    ) -> None:
        self.findings = tuple(findings)
        count = len(self.findings)
        lines = "\n".join(f"  {finding}" for finding in self.findings)
        super().__init__(f"the manifest has {count} error{'s' if count != 1 else ''}:\n{lines}", hint=hint)


@dataclass(frozen=True, slots=True)
class Violation:
    """One value that breaks one rule of the interface. `value` is left out for classified fields."""

    field: str
    rule: str
    message: str
    value: object = None
    row: int = 0


class InputError(RoadworthyError):
    """Rows or arguments break their contract; `violations` lists each one."""

    code = "RW200"

    def __init__(self, message: str, violations: Sequence[Violation] = (), *, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.violations = tuple(violations)


class RefusedError(RoadworthyError):
    """A rule said no and nothing was changed."""

    code = "RW300"
    exit_code = 2


class ReleaseRefused(RefusedError):
    """The candidate failed gates; the message names every one of them."""

    code = "RW301"


class InconclusiveError(RefusedError):
    """The evidence does not suffice to say yes or no; never a pass."""

    code = "RW302"
    exit_code = 3


class NotPermitted(RefusedError):
    """The principal lacks the scope, or the key is unknown, expired or revoked."""

    code = "RW303"


class Conflict(RefusedError):
    """Someone else changed the subject since it was read; read again and retry."""

    code = "RW304"


class NotFoundError(RoadworthyError):
    """A name or id is unknown."""

    code = "RW400"

    @classmethod
    def among(cls, noun: str, name: str, known: Iterable[str], *, hint: str = "") -> NotFoundError:
        """Name what was not found, the nearest known name and what exists."""
        names = sorted(set(known))
        near = get_close_matches(name, names, n=1)
        guess = f"; did you mean '{near[0]}'?" if near else ""
        listed = ", ".join(names[:12]) + (", …" if len(names) > 12 else "")  # noqa: PLR2004
        return cls(f"no {noun} called '{name}'{guess} (known: {listed or 'none yet'})", hint=hint)


class ArtifactError(RoadworthyError):
    """Artifact bytes are missing, differ from their digest, or hold what may not be loaded."""

    code = "RW500"


class EnvironmentMismatch(RoadworthyError):
    """The release was built with other package versions than this process has."""

    code = "RW501"


class StoreError(RoadworthyError):
    """The disk is full or read-only, a file is locked by another process, or is corrupt."""

    code = "RW600"


class PluginError(RoadworthyError):
    """A plug-in is not installed or breaks its protocol."""

    code = "RW700"


class UnavailableError(RoadworthyError):
    """A process or dependency does not answer."""

    code = "RW800"
