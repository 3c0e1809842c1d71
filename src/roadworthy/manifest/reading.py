"""What the resolvers share while they read one manifest: the text, the folder, what is installed, the findings."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path as FilePath

from roadworthy.domain.system import Kind, Tier
from roadworthy.manifest import defaults_llm_v1, defaults_v1
from roadworthy.manifest.catalogue import Catalogue
from roadworthy.manifest.defaults_v1 import TierDefaults
from roadworthy.manifest.marked_yaml import Document, Path


@dataclass(slots=True)
class Reading:
    """One manifest being read. `others` are further files of the project, each with findings of its own."""

    document: Document
    folder: FilePath
    catalogue: Catalogue
    tier: Tier = Tier.LOW
    kind: Kind = Kind.MODEL
    others: list[Document] = field(default_factory=list[Document])

    @property
    def defaults(self) -> TierDefaults:
        """Return what kind and tier put in force."""
        return (defaults_llm_v1 if self.kind is Kind.LLM else defaults_v1).TIERS[self.tier]

    def note(self, path: Path, message: str, hint: str = "", *, key: bool = False) -> None:
        """Keep a finding at a path of the manifest, at its value or at its key."""
        self.document.note(self.document.mark_of(path, key=key), message, hint)

    def says(self, *path: str | int) -> bool:
        """Tell whether the text has something here, even if it was wrong and noted already."""
        return path in self.document.marks

    def unknown(self, noun: str, name: str, installed: Iterable[str], path: Path, *, key: bool = False) -> None:
        """Note that a plug-in or name does not exist, with the nearest one and all there are."""
        known = sorted(installed)
        there = "in force" if " or " in noun else "installed"
        message = f"no {noun} called '{name[:60]}'; {there}: {', '.join(known) or 'none'}"
        self.note(path, message, nearest(name, known), key=key)


def nearest(name: str, known: Iterable[str]) -> str:
    """Ask back for the nearest known name, or say nothing."""
    near = get_close_matches(name, sorted(known), n=1)
    return f"did you mean '{near[0]}'?" if near else ""
