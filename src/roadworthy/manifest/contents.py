"""The content sections, and the files they name inside the project's folder."""

from __future__ import annotations

from pathlib import Path as FilePath
from typing import Final

from roadworthy.domain.interface import Interface
from roadworthy.domain.system import Content, DataPlan
from roadworthy.manifest import defaults_v1
from roadworthy.manifest.interface_file import interface_of
from roadworthy.manifest.marked_yaml import Path, read
from roadworthy.manifest.reading import Reading
from roadworthy.manifest.shape import DataShape, ManifestShape

_PROTOTYPES: Final = {".skops": "sklearn", ".onnx": "onnx", ".py": ""}
_PICKLES: Final = frozenset({".pkl", ".pickle", ".joblib", ".pt", ".pth"})


def inside(text: str, path: Path, reading: Reading, *, must_exist: bool = True) -> FilePath | None:
    """Return the file a path names inside the project's folder, or note why it may not be used."""
    problem = ""
    target: FilePath | None = None
    if not text.isprintable() or "\\" in text or FilePath(text).is_absolute() or text.startswith("~"):
        problem = "a path is relative to the project's folder, with forward slashes"
    elif ".." in FilePath(text).parts:
        problem = "a path stays inside the project's folder"
    else:
        target = reading.folder / text
        problem = _problem_on_disk(target, text, reading.folder, must_exist=must_exist)
    if problem:
        reading.note(path, f"'{text[:120]}': {problem}")
        return None
    return target


def _problem_on_disk(target: FilePath, text: str, folder: FilePath, *, must_exist: bool) -> str:
    try:
        if not target.resolve().is_relative_to(folder.resolve()):
            return "a link leads out of the project's folder"
        if must_exist and not target.is_file():
            return "there is no such file in the project's folder"
    except (OSError, RuntimeError) as error:
        return f"this path cannot be read ({type(error).__name__})"
    return "" if FilePath(text).name else "this names no file"


def interface_in(shape: ManifestShape, reading: Reading) -> Interface | None:
    """Read the interface's file, or note why it cannot be used; its own mistakes carry its own lines."""
    if shape.interface is None and reading.says("interface") and reading.document.value.get("interface") is not None:
        return None
    name = shape.interface or defaults_v1.INTERFACE
    target = inside(name, ("interface",), reading)
    if target is None:
        return None
    try:
        content = target.read_bytes()
    except OSError as error:
        reading.note(("interface",), f"'{name}' cannot be read ({error.strerror})")
        return None
    document = read(content, name)
    reading.others.append(document)
    interface = interface_of(document)
    target_name = shape.data.target if shape.data else ""
    if interface and any(field.name == target_name for field in interface.inputs):
        mark = document.mark_of(("inputs", target_name), key=True)
        document.note(mark, f"'{target_name}' is the target, so it cannot be an input", "take it out of the inputs")
    return interface


def model_content(
    shape: ManifestShape, interface: Interface | None, waived: set[str], reading: Reading
) -> Content | None:
    """Return the content sections, or None when interface or data are missing."""
    use = _use(shape, reading)
    baseline = _baseline(shape, waived, reading)
    data = _data(shape.data, reading) if shape.data else None
    for key in ("prompt", "pins", "index", "guards", "tools", "output_schema"):
        if getattr(shape, key):
            reading.note((key,), f"'{key}' belongs to kind llm", key=True)
    code = tuple(sorted(set(shape.code or ())))
    for place, text in enumerate(shape.code or ()):
        inside(text, ("code", place), reading, must_exist=False)
    if shape.code is None and use.endswith(".py"):
        code = (use,)
    if interface is None or data is None:
        return None
    return Content(
        use=use,
        data=data,
        baseline=baseline,
        interface=interface,
        code=code,
        seed=shape.seed,
        parameters=dict(sorted(shape.parameters.items())),
        trusted_types=tuple(sorted(set(shape.trust))),
    )


def _use(shape: ManifestShape, reading: Reading) -> str:
    if shape.use is None:
        return ""
    suffix = FilePath(shape.use).suffix
    if suffix in _PICKLES:
        message = f"'{shape.use}' is a pickle: loading one runs whatever is in it"
        reading.note(("use",), message, f"make a skops file of it: roadworthy trust {shape.use[:120]}")
    elif suffix not in _PROTOTYPES:
        reading.note(("use",), f"'{shape.use[:120]}' is none of: model.skops, model.onnx, train.py")
    else:
        runtime = _PROTOTYPES[suffix]
        if runtime and runtime not in reading.catalogue.runtimes:
            reading.unknown("runtime", runtime, reading.catalogue.runtimes, ("use",))
        inside(shape.use, ("use",), reading)
    return shape.use


def _baseline(shape: ManifestShape, waived: set[str], reading: Reading) -> str:
    if shape.baseline is None:
        if reading.document.value.get("baseline") is None and "baseline" not in waived:
            hint = "such as baseline: baseline.sql, or a waiver of the gate 'baseline' with a name and an end date"
            reading.note(("baseline",), "'baseline' is missing: a simple rival that is also the live fallback", hint)
        return ""
    if FilePath(shape.baseline).suffix != ".sql":
        reading.note(("baseline",), f"'{shape.baseline[:120]}' is not a SQL file", "such as baseline: baseline.sql")
    elif "sql" not in reading.catalogue.runtimes:
        reading.unknown("runtime", "sql", reading.catalogue.runtimes, ("baseline",))
    inside(shape.baseline, ("baseline",), reading)
    return shape.baseline


def _data(shape: DataShape, reading: Reading) -> DataPlan:
    table = shape.table or ""
    if not table:
        reading.note(("data",), "the data names no table", "such as data: {table: flights.parquet, target: late}")
    elif FilePath(table).suffix not in (".parquet", ".csv"):
        reading.note(
            ("data", "table") if reading.says("data", "table") else ("data",),
            f"'{table[:120]}' is neither .parquet nor .csv",
        )
    else:
        path: Path = ("data", "table") if reading.says("data", "table") else ("data",)
        inside(table, path, reading, must_exist=False)
    if not 0 < shape.holdout < 1:
        reading.note(("data", "holdout"), "the hold-out must be more than 0% and less than 100%")
    return DataPlan(
        table=table,
        target=shape.target,
        time=shape.time or "",
        entity=shape.entity or "",
        holdout=shape.holdout,
    )
