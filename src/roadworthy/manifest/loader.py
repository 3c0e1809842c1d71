"""`system.yaml` → `System`, or every mistake in it at once."""

from __future__ import annotations

from pathlib import Path

from roadworthy.domain.system import System
from roadworthy.errors import Finding, ManifestError
from roadworthy.manifest.catalogue import Catalogue
from roadworthy.manifest.findings import validate
from roadworthy.manifest.marked_yaml import read
from roadworthy.manifest.reading import Reading
from roadworthy.manifest.resolve import resolve
from roadworthy.manifest.shape import ManifestShape

FILE = "system.yaml"


def load(path: Path, catalogue: Catalogue) -> System:
    """Read a manifest from a file, or from `system.yaml` in a folder.

    Raises:
        ManifestError: the file is missing or wrong; every finding names file, line and column.
    """
    target = path / FILE if path.is_dir() else path
    try:
        content = target.read_bytes()
    except OSError as error:
        finding = Finding(1, 1, f"cannot be read ({error.strerror or type(error).__name__})", file=str(target))
        raise ManifestError([finding], hint="write one with: roadworthy init") from error
    return load_text(content, target.parent, catalogue, file=target.name)


def load_text(text: str | bytes, folder: Path, catalogue: Catalogue, *, file: str = "") -> System:
    """Read a manifest from text. Paths in it are looked up in `folder`.

    Total: each text is a system or a `ManifestError`.

    Raises:
        ManifestError: the text is wrong in the places that the findings list.
    """
    document = read(text, file)
    if document.findings and not document.value:
        raise ManifestError(document.findings)
    shape: ManifestShape | None = validate(ManifestShape, document, catalogue.monitors)
    reading = Reading(document, folder, catalogue)
    system = resolve(shape, reading) if shape is not None else None
    findings = _in_order([document.findings, *(other.findings for other in reading.others)])
    if findings or system is None:
        raise ManifestError(findings or [Finding(1, 1, "this is no manifest", file=file)])
    return system


def _in_order(groups: list[list[Finding]]) -> list[Finding]:
    """Return the findings of each file by line, each once."""
    return [finding for group in groups for finding in sorted(dict.fromkeys(group), key=_place)]


def _place(finding: Finding) -> tuple[int, int, str]:
    return finding.line, finding.column, finding.message
