"""One spelling for a skops file, so that the same training gives the same bytes.

skops names objects by their address in memory and stamps its zip entries with the time of day; both differ from run to
run. Here objects are numbered in the order of the file, and the zip carries a fixed date.
"""

from __future__ import annotations

import json
import zipfile
from io import BytesIO
from typing import Any, Final, cast

_SCHEMA: Final = "schema.json"
_DATE: Final = (1980, 1, 1, 0, 0, 0)


def canonical_skops(content: bytes) -> bytes:
    """Return the same file with numbered objects, sorted entries and a fixed date."""
    numbers: dict[int, int] = {}
    names: dict[str, str] = {}
    with zipfile.ZipFile(BytesIO(content)) as archive:
        entries = {name: archive.read(name) for name in archive.namelist()}
    schema = _renumbered(json.loads(entries.pop(_SCHEMA)), numbers, names)
    renamed = {names.get(name, name): body for name, body in entries.items()}
    renamed[_SCHEMA] = json.dumps(schema, indent=2).encode()
    target = BytesIO()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in sorted(renamed):
            archive.writestr(zipfile.ZipInfo(name, _DATE), renamed[name], zipfile.ZIP_DEFLATED)
    return target.getvalue()


def _renumbered(node: Any, numbers: dict[int, int], names: dict[str, str]) -> Any:
    """Walk the schema in its own order, giving each address and each file the next number."""
    if isinstance(node, list):
        return [_renumbered(item, numbers, names) for item in cast("list[Any]", node)]
    if not isinstance(node, dict):
        return node
    found: dict[str, Any] = {}
    for key, value in cast("dict[str, Any]", node).items():
        if key == "__id__" and isinstance(value, int):
            found[key] = numbers.setdefault(value, len(numbers) + 1)
        elif key == "file" and isinstance(value, str) and "__loader__" in node:
            suffix = value.rpartition(".")[2]
            found[key] = names.setdefault(value, f"{len(names) + 1}.{suffix}")
        else:
            found[key] = _renumbered(value, numbers, names)
    return found
