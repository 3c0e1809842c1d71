"""The process in which a project's training code runs: `python -m roadworthy.lifecycle.training_child job.json`."""

# pyright: reportMissingTypeStubs=false
from __future__ import annotations

import importlib.util
import inspect
import json
import random
import sys
import traceback
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from roadworthy.domain.interface import Field, FieldType
from roadworthy.errors import InputError, RoadworthyError


def main(job_file: str) -> int:
    """Do the job, write the model or a report of what went wrong, and return the exit code."""
    job: dict[str, Any] = json.loads(Path(job_file).read_text(encoding="utf-8"))
    try:
        _do(job)
    except RoadworthyError as wrong:
        _report(job, wrong.message, wrong.hint)
    except BaseException as wrong:  # noqa: BLE001 (user code may raise anything, SystemExit included; the parent says so)
        _report(job, _spell(wrong, job))
        traceback.print_exc()
    else:
        return 0
    return 1


def _do(job: Mapping[str, Any]) -> None:
    from skops.io import dumps

    from roadworthy.lifecycle.table import read_table
    from roadworthy.runtimes.frame import frame_of
    from roadworthy.runtimes.skops_file import canonical_skops

    fields = tuple(Field(name=name, type=FieldType(kind)) for name, kind in job["fields"])
    table = read_table(Path(job["rows"]), fields)
    train = _load(job)
    random.seed(job["seed"])
    np.random.seed(job["seed"] % 2**32)  # noqa: NPY002 (user code draws from the old global generator)
    wanted = _arguments(train, {**job["parameters"], "seed": job["seed"]}, job["parameters"])
    model = train(frame_of(table.columns, fields), **wanted)
    if not hasattr(model, "predict"):
        raise InputError(f"train() returned {type(model).__name__}, which cannot predict; return the fitted estimator")
    try:
        content = dumps(model)
    except Exception as wrong:
        raise InputError(f"train() returned {type(model).__name__}, which skops cannot keep: {wrong}") from wrong
    Path(job["model"]).write_bytes(canonical_skops(content))


def _load(job: Mapping[str, Any]) -> Callable[..., Any]:
    """Import the project's file under its own name, so that what it defines can be found again."""
    path = Path(job["code"])
    sys.path.insert(0, str(job["folder"]))
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None:
        raise InputError("it cannot be imported as a Python module")
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module
    spec.loader.exec_module(module)
    train = getattr(module, "train", None)
    if not callable(train):
        raise InputError("it defines no function `train(rows)`", hint="def train(rows): return model.fit(rows[…], …)")
    return train


def _arguments(train: Callable[..., Any], known: Mapping[str, Any], declared: Mapping[str, Any]) -> dict[str, Any]:
    """Return the keyword arguments for `train`: the manifest's parameters, and the seed if it asks for one."""
    accepted = inspect.signature(train).parameters
    takes_all = any(parameter.kind is parameter.VAR_KEYWORD for parameter in accepted.values())
    refused = [name for name in declared if name not in accepted and not takes_all]
    if refused:
        raise InputError(f"system.yaml gives parameters that train() does not take: {', '.join(refused)}")
    return {name: value for name, value in known.items() if name in accepted or (takes_all and name in declared)}


def _spell(wrong: BaseException, job: Mapping[str, Any]) -> str:
    """Name the error and the last line of the project's own code on the way to it."""
    own: Sequence[traceback.FrameSummary] = [
        frame
        for frame in traceback.extract_tb(wrong.__traceback__)
        if frame.filename.startswith(str(job["folder"])) and "site-packages" not in frame.filename
    ]
    place = f" (line {own[-1].lineno} of {Path(own[-1].filename).name})" if own else ""
    return f"train() raised {type(wrong).__name__}: {wrong}{place}"


def _report(job: Mapping[str, Any], error: str, hint: str = "") -> None:
    Path(job["report"]).write_text(json.dumps({"error": error, "hint": hint}), encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
