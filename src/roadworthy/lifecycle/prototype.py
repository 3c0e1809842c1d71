"""What a project brings in: training code, or a model as a file; and what is served of it."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import Any, Final, cast

from roadworthy.domain.candidate import Artifact, Environment
from roadworthy.domain.interface import Interface, Scalar
from roadworthy.domain.system import Content
from roadworthy.errors import ArtifactError, InputError
from roadworthy.lifecycle.pace import affordable, pace_of
from roadworthy.lifecycle.recipe import distributions_of
from roadworthy.lifecycle.split import Split
from roadworthy.lifecycle.training import train
from roadworthy.lifecycle.trust_pickle import SUFFIXES
from roadworthy.ports.artifacts import Artifacts
from roadworthy.ports.runtime import Predictor
from roadworthy.runtimes.environment import capture

_MOST_PARAMETERS: Final = 40


@dataclass(frozen=True, slots=True, kw_only=True)
class Prototype:
    """A prototype made ready to be kept: its artifacts, its predictor as it was trained, and how it is served.

    `predictor` answers as the served artifact does. `seen_holdout` says that nobody knows whether the model, which came
    as a file, was fitted on the rows that judge it.
    """

    runtime: str
    artifacts: tuple[Artifact, ...]
    environment: Environment
    predictor: Predictor
    parameters: Mapping[str, Scalar] = field(default_factory=dict[str, "Scalar"])
    notes: tuple[str, ...] = ()
    seen_holdout: bool = False


def prepare(folder: Path, content: Content, split: Split, artifacts: Artifacts) -> Prototype:
    """Train or take the prototype and keep its artifacts.

    Raises:
        InputError: the training code fails, or the file is of no known kind.
        ArtifactError: the model is a pickle, is damaged or holds untrusted types.
    """
    path = folder / content.use
    suffix = path.suffix.lower()
    if suffix == ".py":
        trained = train(folder, content, split)
        return from_skops(folder, trained.content, content, split, artifacts)
    if suffix == ".skops":
        found = from_skops(folder, path.read_bytes(), content, split, artifacts)
    elif suffix == ".onnx":
        found = _from_onnx(path.read_bytes(), content, artifacts)
    elif suffix == ".sql":
        return from_sql(path, content.interface, split, artifacts)
    else:
        raise unknown_kind(path)
    note = "the model came as a file: it may have seen the rows that judge it"
    return Prototype(
        runtime=found.runtime, artifacts=found.artifacts, environment=found.environment, predictor=found.predictor,
        parameters=found.parameters, notes=(*found.notes, note), seen_holdout=True,
    )  # fmt: skip


def unknown_kind(path: Path) -> InputError:
    """Say why a file is no prototype, and what to do about it."""
    if path.suffix.lower() in SUFFIXES:
        return InputError(
            f"{path.name} is a pickle, which can run any code when it is loaded",
            hint=f"if it is yours: roadworthy trust {path.name} --why '…', which makes {path.stem}.skops of it",
        )
    return InputError(f"{path.name} is no prototype", hint="use train.py, model.skops or model.onnx")


def from_skops(folder: Path, skops: bytes, content: Content, split: Split, artifacts: Artifacts) -> Prototype:
    """Keep an estimator, served as an ONNX graph where one agrees with it on every reference row.

    A slow estimator is asked fewer of them, evenly over time; the notes say so.
    """
    from roadworthy.lifecycle.export import export
    from roadworthy.runtimes.onnx import DISTRIBUTIONS, OnnxPredictor
    from roadworthy.runtimes.sklearn import SklearnPredictor

    interface = content.interface
    estimator = load_own(folder, skops, content.trusted_types)
    native = SklearnPredictor(estimator, interface)
    try:
        every = split.reference()
        pace = pace_of(native.predict, every.columns)
        rows = split.reference(affordable(pace))
        wanted = native.predict(rows.columns)
    except Exception as wrong:
        raise InputError(f"the model fails on its own training rows: {type(wrong).__name__}: {wrong}") from wrong
    exported = export(estimator, native, interface, rows.columns, wanted, pace)
    kept = [_keep(artifacts, "model" if exported.content is None else "native", "skops", skops)]
    if content.trusted_types:
        trusted = json.dumps(sorted(content.trusted_types)).encode()
        kept.append(_keep(artifacts, "trust", "json", trusted))
    notes = [] if hasattr(estimator, "predict_proba") or not interface.labels else [_no_probabilities(estimator)]
    if rows.n < every.n:
        spoken = f"{rows.n:,} of {every.n:,} training rows, evenly spaced"
        notes.append(f"the model was asked for {spoken}: it needs {pace * 1e3:.1f} ms a row")
    names = distributions_of(_modules(skops)) | {"skops", "numpy", "pandas"}
    parameters = _parameters(estimator)
    if exported.content is None:
        notes.append(f"served by scikit-learn itself, not as ONNX: {exported.reason}")
        return Prototype(
            runtime="sklearn", artifacts=tuple(kept), environment=capture(names), predictor=native,
            parameters=parameters, notes=tuple(notes),
        )  # fmt: skip
    notes.append(f"served as ONNX: {exported.agreement}")
    kept.insert(0, _keep(artifacts, "model", "onnx", exported.content))
    return Prototype(
        runtime="onnx", artifacts=tuple(kept), environment=capture({*names, *DISTRIBUTIONS}),
        predictor=OnnxPredictor(exported.content, interface), parameters=parameters, notes=tuple(notes),
    )  # fmt: skip


def from_sql(path: Path, interface: Interface, split: Split, artifacts: Artifacts) -> Prototype:
    """Fit a SQL prototype on the training rows and keep its text and table.

    Raises:
        InputError: the SQL is not of the expected form, fails, or does not answer row by row in order.
    """
    import tempfile

    from roadworthy.runtimes.sql import DISTRIBUTIONS, SqlPredictor, fit, split_statements

    text = path.read_bytes()
    try:
        statements = split_statements(text.decode())
    except UnicodeDecodeError as wrong:
        raise InputError(f"{path.name} is not UTF-8 text") from wrong
    except InputError as wrong:
        raise InputError(f"{path.name}: {wrong.message}", hint=wrong.hint) from wrong
    kept = [_keep(artifacts, "model", "sql", text)]
    notes: list[str] = []
    table: Path | None = None
    if statements.fit:
        with tempfile.TemporaryDirectory(prefix="roadworthy-fit-") as scratch:
            target = Path(scratch) / "fitted.parquet"
            rows = fit(statements, split.everything(split.train_index), split.table.fields, target)
            fitted = target.read_bytes()
        kept.append(_keep(artifacts, "fitted", "parquet", fitted))
        table = artifacts.path(kept[-1].digest)
        if rows > len(split.train_index) // 2:
            notes.append(
                f"{path.name} keeps {rows:,} rows for {len(split.train_index):,} training rows: not an aggregate"
            )
    predictor = SqlPredictor(statements, table, interface)
    _check_row_by_row(path.name, predictor, split)
    return Prototype(
        runtime="sql",
        artifacts=tuple(kept),
        environment=capture(DISTRIBUTIONS),
        predictor=predictor,
        notes=tuple(notes),
    )


def _check_row_by_row(name: str, predictor: Predictor, split: Split) -> None:
    """Refuse SQL whose answers depend on their neighbours, or come in another order than the rows."""
    import numpy as np

    from roadworthy.runtimes.columns import take
    from roadworthy.runtimes.outputs import score_of

    rows = take(split.train().columns, slice(0, 500))
    n = min(500, len(split.train_index))
    backwards = np.arange(n)[::-1]
    try:
        straight = score_of(predictor.predict(rows), split.interface)
        turned = score_of(predictor.predict(take(rows, backwards)), split.interface)
        single = score_of(predictor.predict(take(rows, slice(n - 1, n))), split.interface)
    except Exception as wrong:
        raise InputError(f"{name} fails on the training rows: {str(wrong).splitlines()[0]}") from wrong
    if not (np.allclose(straight, turned[backwards]) and np.allclose(straight[-1:], single)):
        raise InputError(
            f"{name} does not answer row by row in the order of its input",
            hint="end the query with: order by rw_row, and let no answer depend on other rows of `input`",
        )


def _from_onnx(graph: bytes, content: Content, artifacts: Artifacts) -> Prototype:
    from roadworthy.runtimes.onnx import DISTRIBUTIONS, OnnxPredictor

    return Prototype(
        runtime="onnx", artifacts=(_keep(artifacts, "model", "onnx", graph),), environment=capture(DISTRIBUTIONS),
        predictor=OnnxPredictor(graph, content.interface),
    )  # fmt: skip


def load_own(folder: Path, skops: bytes, trusted: Sequence[str] = ()) -> Any:
    """Load a project's estimator, refusing one that carries the project's own code: no worker has that.

    Raises:
        ArtifactError: so, or as `runtimes.sklearn.load_estimator` does.
    """
    from roadworthy.runtimes.sklearn import load_estimator
    from roadworthy.runtimes.trusted_types import unknown_types

    try:
        own = [name for name in unknown_types(skops) if _is_local(folder, name)]
    except Exception:  # noqa: BLE001 (no skops file at all: the next line says so better)
        own = []
    if own:
        raise ArtifactError(
            f"the model carries the project's own code, which no worker has: {', '.join(own)}",
            hint="use scikit-learn's own transformers, or move this step before the model",
        )
    return load_estimator(skops, trusted)


def _is_local(folder: Path, name: str) -> bool:
    module = name.split(".", maxsplit=1)[0]
    return module == "__main__" or (folder / f"{module}.py").exists() or (folder / module).is_dir()


def _keep(artifacts: Artifacts, role: str, kind: str, content: bytes) -> Artifact:
    return Artifact(role=role, format=kind, digest=artifacts.put(content), size=len(content))


def _no_probabilities(estimator: Any) -> str:
    name = type(estimator).__name__
    return f"{name} gives no probabilities, so they are 1 or 0; CalibratedClassifierCV({name}()) gives real ones"


def _modules(skops: bytes) -> set[str]:
    """Return the top-level modules of all types in a skops file."""
    with zipfile.ZipFile(BytesIO(skops)) as archive:
        schema = json.loads(archive.read("schema.json"))
    return {str(name).split(".")[0] for name in _values(schema, "__module__")}


def _values(node: object, key: str) -> Iterator[object]:
    if isinstance(node, dict):
        entries = cast("dict[str, object]", node)
        if key in entries:
            yield entries[key]
        for value in entries.values():
            yield from _values(value, key)
    elif isinstance(node, list):
        for value in cast("list[object]", node):
            yield from _values(value, key)


def _parameters(estimator: Any) -> dict[str, Scalar]:
    """Return the last step's class and plain parameters, as an experiment's record shows them."""
    last = estimator.steps[-1][1] if hasattr(estimator, "steps") else estimator
    found: dict[str, Scalar] = {"estimator": type(last).__name__}
    params: Mapping[str, Any] = last.get_params(deep=False) if hasattr(last, "get_params") else {}
    for name, value in sorted(params.items()):
        if value is not None and isinstance(value, bool | int | float | str) and value == value:  # noqa: PLR0124 (NaN)
            found[f"estimator.{name}"] = value
    return dict(list(found.items())[:_MOST_PARAMETERS])
