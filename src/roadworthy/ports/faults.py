"""Faults for drills, injected into running processes."""

from collections.abc import Mapping
from typing import Any, Protocol


class Faults(Protocol):
    """Injects a named fault in one system and takes it back."""

    def names(self) -> tuple[str, ...]:
        """Return the faults that can be injected."""
        ...

    def inject(self, name: str, system: str, parameters: Mapping[str, Any]) -> str:
        """Start a fault; return the handle to clear it with."""
        ...

    def clear(self, handle: str) -> None:
        """Take a fault back; clearing twice is harmless."""
        ...
