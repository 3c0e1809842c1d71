"""A small project folder, and how tests read a manifest in it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from roadworthy.domain.system import System
from roadworthy.errors import Finding, ManifestError
from roadworthy.manifest import BUILT_IN, load_text

MINIMAL = """\
roadworthy: 1
system: flights
kind: model
owner: ana@example.com
decision: whom to call before the flight
use: model.skops
data: {table: flights.parquet, target: late}
baseline: baseline.sql
"""

INTERFACE = """\
task: binary
labels: ["on time", late]
inputs:
  hour: integer 0..23
  carrier: string [AA, UA]
  temp: number?
  temp_age: number? age of temp
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A project with a prototype, a baseline and an interface."""
    for name, text in (("model.skops", ""), ("model.onnx", ""), ("train.py", ""), ("baseline.sql", "")):
        (tmp_path / name).write_text(text)
    (tmp_path / "interface.yaml").write_text(INTERFACE)
    return tmp_path


@pytest.fixture
def read(folder: Path) -> Callable[..., System]:
    """Read a manifest: the minimal one with more lines, or another text."""

    def read(more: str = "", *, text: str = MINIMAL, without: str = "") -> System:
        kept = "".join(line for line in text.splitlines(keepends=True) if not (without and line.startswith(without)))
        return load_text(kept + more, folder, BUILT_IN)

    return read


@pytest.fixture
def findings(read: Callable[..., System]) -> Callable[..., list[Finding]]:
    """Read a manifest that is wrong and return what was found."""

    def findings(more: str = "", *, text: str = MINIMAL, without: str = "") -> list[Finding]:
        with pytest.raises(ManifestError) as caught:
            read(more, text=text, without=without)
        return list(caught.value.findings)

    return findings


@pytest.fixture
def minimal() -> str:
    """The smallest legal manifest."""
    return MINIMAL
