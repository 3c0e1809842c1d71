"""Releases: admitted candidates with their proof."""

from __future__ import annotations

from dataclasses import dataclass

from roadworthy.domain.candidate import Candidate
from roadworthy.domain.digest import Digest
from roadworthy.domain.moment import Micros


@dataclass(frozen=True, slots=True, kw_only=True)
class Release:
    """An admitted candidate. Its id is the candidate digest, so releasing twice is a no-op.

    `number` counts per system (`name@v2`); 0 is the baseline (`name@baseline`). `run` is the build it came from.
    `forced_by` names the person who promoted it past failed gates. `withdrawn_for` are the objectives it was
    rolled back for: automation never returns to it for the same cause.
    """

    id: Digest
    system: str
    number: int
    candidate: Candidate
    policy: Digest
    run: str
    admitted_at: Micros
    admitted_by: str
    verdicts: tuple[str, ...] = ()
    approved_by: tuple[str, ...] = ()
    forced_by: str = ""
    withdrawn_for: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """Write the release as people say it: `flights@v2`, `flights@baseline`."""
        return f"{self.system}@baseline" if self.candidate.is_baseline else f"{self.system}@v{self.number}"
