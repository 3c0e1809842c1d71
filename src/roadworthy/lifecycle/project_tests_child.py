"""The process in which a project's tests run: `python -m roadworthy.lifecycle.project_tests_child job.json`."""

from __future__ import annotations

import importlib.util
import inspect
import json
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from roadworthy import plugins
from roadworthy.domain.candidate import Candidate
from roadworthy.domain.interface import Scalar, Task
from roadworthy.ports.runtime import Outputs, Predictor
from roadworthy.runtimes.columns import gather
from roadworthy.stores.artifacts import FileArtifacts
from roadworthy.stores.codec import from_doc


def main(job_file: str) -> int:
    """Run every test and write what each said; 0 also when tests failed, since that is an answer."""
    job: dict[str, Any] = json.loads(Path(job_file).read_text(encoding="utf-8"))
    candidate = from_doc(Candidate, job["candidate"])
    runtime = plugins.load("roadworthy.runtimes", candidate.runtime)()
    predictor: Predictor = runtime.load(candidate, FileArtifacts(Path(job["artifacts"])))
    given: dict[str, object] = {
        "predict": partial(_answers, predictor, candidate),
        "rows": job["rows"],
        "candidate": job["candidate"],
    }
    sys.path.insert(0, job["folder"])
    results = [result for path in job["files"] for result in _run_file(Path(path), given)]
    Path(job["report"]).write_text(json.dumps(results), encoding="utf-8")
    return 0


def _answers(predictor: Predictor, candidate: Candidate, rows: Sequence[Mapping[str, Scalar]]) -> list[dict[str, Any]]:
    interface = candidate.interface
    outputs: Outputs = predictor.predict(gather(rows, interface.inputs))
    plain = {name: values.tolist() for name, values in outputs.items()}
    if interface.task is Task.MULTICLASS:
        plain["probabilities"] = [dict(zip(interface.labels, row, strict=True)) for row in plain["probabilities"]]
    return [dict(zip(plain, cells, strict=True)) for cells in zip(*plain.values(), strict=True)]


def _run_file(path: Path, given: Mapping[str, object]) -> Iterator[dict[str, str]]:
    try:
        module = _load(path)
    except BaseException as wrong:  # noqa: BLE001 (the project's code may raise anything; it is one failed test)
        traceback.print_exc()
        yield {"name": path.name, "error": _spell(wrong)}
        return
    for name, function in sorted(module.items(), key=_line):
        if name.startswith("test_") and callable(function):
            yield {"name": f"{path.name}::{name}", "error": _run(function, given)}


def _line(item: tuple[str, object]) -> int:
    code = getattr(item[1], "__code__", None)
    return getattr(code, "co_firstlineno", 0)


def _load(path: Path) -> dict[str, object]:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module
    spec.loader.exec_module(module)
    return dict(vars(module))


def _run(function: Callable[..., object], given: Mapping[str, object]) -> str:
    wanted = list(inspect.signature(function).parameters)
    unknown = [name for name in wanted if name not in given]
    if unknown:
        return f"it asks for {', '.join(unknown)}; a test may ask for {', '.join(given)}"
    try:
        function(**{name: given[name] for name in wanted})
    except BaseException as wrong:  # noqa: BLE001 (a test fails by raising anything)
        traceback.print_exc()
        return _spell(wrong)
    return ""


def _spell(wrong: BaseException) -> str:
    frames = traceback.extract_tb(wrong.__traceback__)
    place = f" (line {frames[-1].lineno}: {frames[-1].line})" if frames else ""
    return f"{type(wrong).__name__}: {wrong}{place}" if str(wrong) else f"{type(wrong).__name__}{place}"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
