"""Bring a manifest to the newest schema version, keeping its comments."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from roadworthy.errors import ManifestError
from roadworthy.manifest.marked_yaml import Mark, read

NEWEST: Final = 1


@dataclass(frozen=True, slots=True)
class Upgrade:
    """The text to write, and in words what changed; nothing when it is the newest version already."""

    text: str
    changes: tuple[str, ...] = ()


def upgrade(text: str, file: str = "") -> Upgrade:
    """Rewrite a manifest of an older schema version. Version 1 is the first and newest, so it stays as it is.

    Raises:
        ManifestError: the text is no manifest, or of a version this roadworthy does not know.
    """
    document = read(text, file)
    version = document.value.get("roadworthy")
    mark = document.mark_of(("roadworthy",))
    if version is None and not document.findings:
        document.note(Mark(1, 1), "the schema version is missing", "begin the file with: roadworthy: 1")
    elif type(version) is int and version > NEWEST:
        message = f"schema version {version} is newer than this roadworthy, which knows versions up to {NEWEST}"
        document.note(mark, message, "install a newer roadworthy")
    elif version is not None and (version is True or version != NEWEST):
        document.note(mark, f"there is no schema version {str(version)[:40]}", "write: roadworthy: 1")
    if document.findings:
        raise ManifestError(document.findings)
    return Upgrade(text)
