"""The process that loads a trusted pickle: `python -m roadworthy.lifecycle.trust_pickle_child FOLDER`."""

# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false
from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from roadworthy.errors import InputError


def main(folder: str) -> int:
    """Turn `model.pickle` into `model.skops`, or report what went wrong; return the exit code."""
    place = Path(folder)
    try:
        _convert(place)
    except BaseException as wrong:  # noqa: BLE001 (a pickle may raise anything, SystemExit included; the parent says so)
        hint = wrong.hint if isinstance(wrong, InputError) else ""
        told = wrong.message if isinstance(wrong, InputError) else f"{type(wrong).__name__}: {wrong}"
        (place / "report.json").write_text(json.dumps({"error": told, "hint": hint}), encoding="utf-8")
        return 1
    return 0


def _convert(place: Path) -> None:
    import joblib
    from skops.io import dumps

    model: Any = joblib.load(place / "model.pickle")
    if not hasattr(model, "predict"):
        raise InputError(f"it holds {type(model).__name__}, which cannot predict", hint="pickle the fitted estimator")
    (place / "model.skops").write_bytes(dumps(model))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
