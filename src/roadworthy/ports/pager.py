"""Pages to people."""

from dataclasses import dataclass
from typing import Protocol

from roadworthy.domain.moment import Micros


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """What a person is told: what broke, since when, what was done already, what to do next, where to look.

    `key` is the same at every attempt, so a receiver can drop repeats.
    """

    key: str
    to: str
    title: str
    body: str
    severity: str
    system: str
    incident: str
    at: Micros
    url: str = ""


class Pager(Protocol):
    """Delivers pages to one kind of address (`file:`, `http://127.0.0.1…`, `https:`)."""

    def send(self, page: Page) -> None:
        """Deliver, or raise UnavailableError; it will be tried again with the same key."""
        ...
