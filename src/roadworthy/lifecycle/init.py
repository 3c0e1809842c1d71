"""Make a running project of a prototype: manifest, interface, baseline, first test, home and first key."""

from __future__ import annotations

import ast
import json
import shlex
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np

from roadworthy.domain.interface import Interface, Task
from roadworthy.domain.system import Content, DataPlan
from roadworthy.errors import ArtifactError, InputError, RoadworthyError
from roadworthy.lifecycle.first_baseline import first_baseline
from roadworthy.lifecycle.first_files import MOST_COMMITTED_BYTES, first_test, manifest
from roadworthy.lifecycle.founding import (
    InitResult,
    check_owner,
    commit_first,
    first_key,
    here,
    kept_files,
    refuse_a_project,
    system_name,
    write_texts,
)
from roadworthy.lifecycle.infer import Inferred, Signature, as_text, infer
from roadworthy.lifecycle.prototype import load_own, unknown_kind
from roadworthy.lifecycle.recipe import local_modules
from roadworthy.lifecycle.split import Split, read_split
from roadworthy.lifecycle.table import Table, digest_file, read_table
from roadworthy.lifecycle.training import train
from roadworthy.manifest import read_interface, write_interface
from roadworthy.ports.plane import Plane
from roadworthy.runtimes.columns import spread, take

_PROBE_ROWS: Final = 1_000
_SIGNATURE_ROWS: Final = 20_000


@dataclass(frozen=True, slots=True, kw_only=True)
class _Sources:
    """The prototype and the table: where they are, and what they will be called in the project."""

    use: Path
    table: Path
    copies: Mapping[str, Path]


def init(
    source: Path,
    data: Path,
    owner: str,
    *,
    folder: Path,
    open_plane: Callable[[], Plane],
    target: str = "",
    name: str = "",
    trust: Sequence[str] = (),
    url: str = "http://127.0.0.1:8080",
) -> InitResult:
    """Write a project into a folder and make its first key. Nothing is written before everything is known to fit.

    Args:
        source: `model.skops`, `model.onnx` or `train.py`; copied when it lies outside the folder.
        data: `table.parquet` or `table.csv`; copied when it lies outside the folder.
        owner: where the owner is reached, such as ana@example.com.
        folder: the project; files in it are never overwritten. A `baseline.sql`, an `interface.yaml` or a `tests/`
            that is there already is used as it is.
        open_plane: opens the home, creating it where there is none.
        target: the column to predict, if it cannot be told.
        name: the system's name; the folder's if empty.
        trust: types a skops file may hold beyond the reviewed ones.
        url: where the data plane will answer.

    Raises:
        InputError: prototype, table or address are odd, do not fit together, or a file is in the way.
        ArtifactError: the model is a pickle, damaged or holds untrusted types.
    """
    folder = folder.resolve()
    refuse_a_project(folder)
    check_owner(owner)
    system = system_name(name, folder)
    sources = _sources(source, data, folder)
    inferred = _fit(sources, target, trust)
    inferred = _reviewed(folder, inferred)
    plan = DataPlan(table=sources.table.name, target=inferred.target, time=inferred.time, entity=inferred.entity)
    split = read_split(sources.table.parent, _content(sources.use.name, plan, inferred.interface))
    in_project = replace(plan, table=_relative(folder, sources.table))
    texts = {
        "system.yaml": manifest(system, owner, _relative(folder, sources.use), in_project, trust),
        "interface.yaml": write_interface(inferred.interface),
        "baseline.sql": first_baseline(split, inferred.target),
        "tests/test_system.py": first_test(system, inferred.interface),
    }
    kept = kept_files(folder, tuple(texts))
    texts = {name: text for name, text in texts.items() if name not in kept}
    _refuse_overwriting(folder, sources)
    # The home comes first: a read-only disk or a damaged home then leaves no half project that bars the next try.
    plane = open_plane()
    written = _write(folder, texts, sources, kept)
    commit, git_note = commit_first(folder, written)
    key = first_key(plane, owner, system)
    said = [f"kept: {name.split('/')[0]} was here" for name in kept]
    return InitResult(
        name=system, folder=folder, files=tuple(written), key=key, commit=commit,
        call=_call(url, system, key, split, inferred.interface),
        notes=(*inferred.notes, *said, *([git_note] if git_note else [])),
    )  # fmt: skip


def _sources(source: Path, data: Path, folder: Path) -> _Sources:
    for path, flag in ((source, "--from"), (data, "--data")):
        if not path.is_file():
            kind = "is a folder" if path.is_dir() else "does not exist"
            raise InputError(f"{flag} {path}: it {kind}", hint=f"give {flag} a file")
    if source.suffix.lower() not in (".py", ".skops", ".onnx"):
        raise unknown_kind(source)
    if data.suffix.lower() not in (".csv", ".parquet"):
        raise InputError(f"{data.name} is neither .csv nor .parquet", hint="save the table as one of them")
    use, table = source.resolve(), data.resolve()
    modules = local_modules(use.parent, use) if use.suffix == ".py" else {use}
    copies = {path.relative_to(use.parent).as_posix(): path for path in modules if not path.is_relative_to(folder)}
    if not table.is_relative_to(folder):
        copies[table.name] = table
    return _Sources(use=use, table=table, copies=copies)


def _fit(sources: _Sources, target: str, trust: Sequence[str]) -> Inferred:
    """Infer the interface, and prove by a call that the model answers rows that keep to it."""
    table = read_table(sources.table)
    kind = sources.use.suffix.lower()
    if kind == ".onnx":
        return _fit_onnx(sources, table, target)
    declared = _declared_target(sources.use) if kind == ".py" else ""
    if kind == ".py":
        estimator = _estimator_of_code(sources, table, target or declared, trust)
    else:
        estimator = load_own(sources.use.parent, sources.use.read_bytes(), trust)
    inferred = infer(table, replace(_signature(estimator), target=declared), target)
    return _prove(estimator, sources, inferred)


def _signature(estimator: Any) -> Signature:
    from roadworthy.runtimes.sklearn import classes_of, feature_names, is_classifier, is_regressor

    kind = type(estimator).__name__
    if not hasattr(estimator, "predict"):
        raise InputError(
            f"{kind} cannot predict; a prototype is a fitted classifier or regressor, or a pipeline of one"
        )
    classifier, regressor = is_classifier(estimator), is_regressor(estimator)
    if not classifier and not regressor:
        raise InputError(f"{kind} is neither a classifier nor a regressor, so nothing could say how good it is")
    classes = classes_of(estimator)
    if classifier and (not classes or any(isinstance(one, list) for one in classes)):
        raise InputError(f"{kind} is not fitted, or predicts several columns at once; one is served")
    return Signature(
        task=Task.REGRESSION if regressor else None,
        features=feature_names(estimator),
        width=getattr(estimator, "n_features_in_", None),
        classes=classes,
    )


def _prove(estimator: Any, sources: _Sources, inferred: Inferred) -> Inferred:
    """Return the inferred interface, with dates as texts if only so the model answers.

    Raises:
        InputError: the model fails on the table's own rows.
    """
    from roadworthy.runtimes.sklearn import SklearnPredictor

    trouble: Exception | None = None
    for interface in dict.fromkeys((inferred.interface, as_text(inferred.interface))):
        table = read_table(sources.table, interface.inputs)
        try:
            SklearnPredictor(estimator, interface).predict(take(table.columns, _spread_out(table.n)))
        except (ArtifactError, InputError):
            raise
        except Exception as wrong:  # noqa: BLE001 (a model may raise anything; the next reading may please it)
            trouble = trouble or wrong
        else:
            time = inferred.time
            if interface is not inferred.interface and any(field.name == time for field in interface.features):
                time = ""
            return replace(inferred, interface=interface, time=time)
    said = str(trouble).strip().splitlines()
    raise InputError(
        f"the model fails on rows of {sources.table.name}: {type(trouble).__name__}: {said[0] if said else ''}",
        hint="give the table as the model was trained on it: same columns, same types",
    )


def _spread_out(n: int, most: int = _PROBE_ROWS) -> np.ndarray[Any, np.dtype[np.intp]]:
    return np.unique(np.linspace(0, n - 1, min(n, most)).astype(np.intp))


def _declared_target(code: Path) -> str:
    """Return the `TARGET = "…"` of a training file, if it has one."""
    # That it is valid Python was seen when its modules were looked for.
    for node in ast.parse(code.read_bytes(), filename=code.name).body:
        named = isinstance(node, ast.Assign) and any(isinstance(t, ast.Name) and t.id == "TARGET" for t in node.targets)
        value = node.value if isinstance(node, ast.Assign) and named else None
        if isinstance(value, ast.Constant) and isinstance(value.value, str):
            return value.value
    return ""


def _estimator_of_code(sources: _Sources, table: Table, target: str, trust: Sequence[str]) -> Any:
    """Fit the code on at most 20,000 rows, only to learn what the model takes."""
    everything = infer(table, Signature(task=None if _few(table, target) else Task.REGRESSION), target)
    plan = DataPlan(table=sources.table.name, target=everything.target)
    content = _content(sources.use.name, plan, everything.interface)
    split = read_split(sources.table.parent, content)
    index = split.train_index
    if len(index) > _SIGNATURE_ROWS:
        split = replace(split, train_index=index[_spread_out(len(index), _SIGNATURE_ROWS)])
    trained = train(sources.use.parent, content, split)
    return load_own(sources.use.parent, trained.content, trust)


def _few(table: Table, target: str) -> bool:
    """Tell whether a target looks like classes: texts, truths, or at most 20 whole numbers."""
    name = target or table.fields[-1].name
    field = table.field(name)
    if field is None or field.type not in ("number", "integer"):
        return True
    values = table.columns[name]
    distinct = np.unique(values[np.isfinite(values)])
    return len(distinct) <= 20 and bool((distinct == np.round(distinct)).all())  # noqa: PLR2004 (a rule of thumb)


def _fit_onnx(sources: _Sources, table: Table, target: str) -> Inferred:
    from roadworthy.runtimes.onnx import OnnxPredictor, graph_signature

    content = sources.use.read_bytes()
    names, width, classifier = graph_signature(content)
    task = None if classifier else Task.REGRESSION
    inferred = infer(table, Signature(task=task, features=names, width=width), target)
    rows = take(table.columns, _spread_out(table.n))
    try:
        OnnxPredictor(content, inferred.interface).predict(rows)
    except RoadworthyError:
        raise
    except Exception as wrong:
        raise InputError(f"the graph fails on rows of {sources.table.name}: {str(wrong).splitlines()[0]}") from wrong
    return inferred


def _content(use: str, data: DataPlan, interface: Interface) -> Content:
    return Content(use=use, data=data, baseline="", interface=interface)


def _relative(folder: Path, path: Path) -> str:
    return path.relative_to(folder).as_posix() if path.is_relative_to(folder) else path.name


def _reviewed(folder: Path, inferred: Inferred) -> Inferred:
    """Return what was inferred with the interface that people wrote, if there is one.

    Raises:
        ManifestError: theirs does not read; every finding at once.
    """
    path = folder / "interface.yaml"
    return replace(inferred, interface=read_interface(path.read_bytes())) if path.is_file() else inferred


def _refuse_overwriting(folder: Path, sources: _Sources) -> None:
    taken: list[str] = []
    for name, path in sources.copies.items():
        there = folder / name
        if there.exists() and (not there.is_file() or digest_file(there) != digest_file(path)):
            taken.append(name)
    if taken:
        raise InputError(
            f"{', '.join(sorted(taken))} exist already in {folder.name}/ and nothing is overwritten",
            hint="choose an empty folder, or move these files away",
        )


def _write(folder: Path, texts: Mapping[str, str], sources: _Sources, kept: Sequence[str]) -> list[str]:
    """Write the project's files; return what belongs in Git."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, path in sources.copies.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        draft = folder / f".{Path(name).name}.tmp"
        shutil.copyfile(path, draft)
        draft.replace(folder / name)
    inside = [*sources.copies, *(_relative(folder, path) for path in (sources.use, sources.table))]
    own = [name for name in dict.fromkeys(inside) if (folder / name).is_file()]
    large = [name for name in own if (folder / name).stat().st_size > MOST_COMMITTED_BYTES]
    return [*write_texts(folder, texts, large), *here(folder, kept), *(name for name in own if name not in large)]


def _call(url: str, system: str, key: str, split: Split, interface: Interface) -> str:
    """Return a curl command that asks for one of the hold-out's rows."""
    row = spread(take(split.holdout().columns, slice(0, 1)), interface.features)[0]
    body = json.dumps({"inputs": row}, ensure_ascii=False)
    return (
        f"curl -s {url}/v1/systems/{system}/predict -H 'Authorization: Bearer {key}' "
        f"-H 'content-type: application/json' -d {shlex.quote(body)}"
    )
