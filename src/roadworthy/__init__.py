"""Roadworthy: take a prototype, make it a production system, and keep it one.

The public names below are loaded on first use, so that importing the package costs nothing. What is not listed here
is private, however it is spelled.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

_PUBLIC = {
    "Candidate": "domain.candidate",
    "Client": "serving.client",
    "Condition": "domain.condition",
    "Conflict": "errors",
    "Field": "domain.interface",
    "FieldType": "domain.interface",
    "Incident": "domain.incident",
    "InconclusiveError": "errors",
    "InputError": "errors",
    "Interface": "domain.interface",
    "Judgement": "domain.verdict",
    "ManifestError": "errors",
    "NotFoundError": "errors",
    "NotPermitted": "errors",
    "Objective": "domain.objective",
    "Outcome": "domain.record",
    "Record": "domain.record",
    "RefusedError": "errors",
    "Release": "domain.release",
    "ReleaseRefused": "errors",
    "RoadworthyError": "errors",
    "Signal": "domain.objective",
    "System": "domain.system",
    "Task": "domain.interface",
    "Verdict": "domain.verdict",
    "VerdictState": "domain.verdict",
}

__all__ = [
    "Candidate",
    "Client",
    "Condition",
    "Conflict",
    "Field",
    "FieldType",
    "Incident",
    "InconclusiveError",
    "InputError",
    "Interface",
    "Judgement",
    "ManifestError",
    "NotFoundError",
    "NotPermitted",
    "Objective",
    "Outcome",
    "Record",
    "RefusedError",
    "Release",
    "ReleaseRefused",
    "RoadworthyError",
    "Signal",
    "System",
    "Task",
    "Verdict",
    "VerdictState",
    "__version__",
]

if TYPE_CHECKING:
    from roadworthy.domain.candidate import Candidate as Candidate
    from roadworthy.domain.condition import Condition as Condition
    from roadworthy.domain.incident import Incident as Incident
    from roadworthy.domain.interface import Field as Field
    from roadworthy.domain.interface import FieldType as FieldType
    from roadworthy.domain.interface import Interface as Interface
    from roadworthy.domain.interface import Task as Task
    from roadworthy.domain.objective import Objective as Objective
    from roadworthy.domain.objective import Signal as Signal
    from roadworthy.domain.record import Outcome as Outcome
    from roadworthy.domain.record import Record as Record
    from roadworthy.domain.release import Release as Release
    from roadworthy.domain.system import System as System
    from roadworthy.domain.verdict import Judgement as Judgement
    from roadworthy.domain.verdict import Verdict as Verdict
    from roadworthy.domain.verdict import VerdictState as VerdictState
    from roadworthy.errors import Conflict as Conflict
    from roadworthy.errors import InconclusiveError as InconclusiveError
    from roadworthy.errors import InputError as InputError
    from roadworthy.errors import ManifestError as ManifestError
    from roadworthy.errors import NotFoundError as NotFoundError
    from roadworthy.errors import NotPermitted as NotPermitted
    from roadworthy.errors import RefusedError as RefusedError
    from roadworthy.errors import ReleaseRefused as ReleaseRefused
    from roadworthy.errors import RoadworthyError as RoadworthyError
    from roadworthy.serving.client import Client as Client


def __getattr__(name: str) -> Any:
    """Load a public name on first use."""
    if name not in _PUBLIC:
        raise AttributeError(f"module 'roadworthy' has no public name '{name}'")
    return getattr(import_module(f"roadworthy.{_PUBLIC[name]}"), name)


def __dir__() -> list[str]:
    """List the public names only."""
    return list(__all__)
