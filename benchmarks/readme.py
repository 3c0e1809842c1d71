"""Put figures into the README, between the marks of the benchmark that made them."""

from __future__ import annotations

import datetime as dt
import os
import platform
from pathlib import Path

README = Path(__file__).resolve().parents[1] / "README.md"


def machine() -> dict[str, object]:
    """Say when and on what was measured."""
    date = dt.datetime.now(dt.UTC).date().isoformat()
    return {"date": date, "cores": os.cpu_count(), "python": platform.python_version()}


def put(mark: str, table: str) -> None:
    """Replace the block between `<!-- mark:start -->` and `<!-- mark:end -->`.

    Raises:
        ValueError: the README has no such marks.
    """
    start, end = f"<!-- {mark}:start -->", f"<!-- {mark}:end -->"
    before, opened, rest = README.read_text(encoding="utf-8").partition(start)
    _, closed, after = rest.partition(end)
    if not opened or not closed:
        raise ValueError(f"the README has no marks {start} and {end}")
    README.write_text(f"{before}{start}\n{table}\n{end}{after}", encoding="utf-8")
