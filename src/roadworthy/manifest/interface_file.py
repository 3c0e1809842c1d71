"""`interface.yaml`: the typed inputs that `init` inferred and people reviewed, one line a field.

    task: binary
    labels: ["on time", "late"]
    positive: late
    inputs:
      hour: integer 0..23
      carrier: string [AA, UA]
      temp: number?                    # ? : may be null
      temp_age: number? age of temp    # minutes since temp was measured
      flight: string entity
      departs: timestamp event_time

A field with more to say (`default`, `classes`) is written out as a mapping.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict
from pydantic import Field as Key

from roadworthy.domain.interface import Field, FieldRole, FieldType, Interface, Task, violation
from roadworthy.errors import ManifestError
from roadworthy.manifest.findings import validate
from roadworthy.manifest.marked_yaml import Document, Path, read

MAX_INPUTS: Final = 5000
_TYPE: Final = re.compile(r"([a-z]+)(\??)(?=\s|$)")
_RANGE: Final = re.compile(r"([-+0-9.eE]*?)\.\.([-+0-9.eE]*)(?=\s|$)")
_CATEGORIES: Final = re.compile(r"\[([^\[\]]*)\](?=\s|$)")
_ROLE: Final = re.compile(r"(entity|event_time|optional)(?=\s|$)")
_AGE: Final = re.compile(r"age\s+of\s+(\S+)(?=\s|$)")
_EXAMPLE: Final = "such as integer 0..23, string [AA, UA] or number?"


class FieldShape(BaseModel):
    """One input, written out."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    type: Literal["number", "integer", "string", "boolean", "timestamp"]
    nullable: bool = False
    required: bool = True
    min: float | None = None
    max: float | None = None
    categories: list[str] = Key(default_factory=list)
    default: Any = None
    role: Literal["feature", "entity", "event_time", "age"] = "feature"
    classes: list[str] = Key(default_factory=list)
    age_of: str = ""


def _expand(value: object) -> object:
    return parse_field(value) if isinstance(value, str) else value


class InterfaceShape(BaseModel):
    """The inputs of a release and what its outputs mean."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    task: Literal["binary", "multiclass", "regression", "text"]
    labels: list[str] = Key(default_factory=list)
    positive: str | None = None
    threshold: float = 0.5
    inputs: dict[str, Annotated[FieldShape, BeforeValidator(_expand)]]


def parse_field(text: str) -> dict[str, Any]:
    """Read the compact form of a field into its written-out form.

    Raises:
        ValueError: a part of the text is none of type, range, categories, role or age.
    """
    kind = _TYPE.match(text.strip())
    if kind is None:
        raise ValueError(f"'{text[:40]}' does not begin with a type; {_EXAMPLE}")
    found: dict[str, Any] = {"type": kind[1]}
    if kind[2]:
        found["nullable"] = True
    rest = text.strip()[kind.end() :].strip()
    while rest:
        taken = _part(rest, found)
        rest = rest[taken:].strip()
    return found


def _part(rest: str, found: dict[str, Any]) -> int:
    """Read the next part of a compact form into `found`; return its length."""
    if match := _ROLE.match(rest):
        found.update({"required": False} if match[1] == "optional" else {"role": match[1]})
    elif match := _AGE.match(rest):
        found.update(role="age", age_of=match[1])
    elif match := _CATEGORIES.match(rest):
        found["categories"] = [part.strip() for part in match[1].split(",") if part.strip()]
    elif (match := _RANGE.match(rest)) and (match[1] or match[2]):
        for key, number in (("min", match[1]), ("max", match[2])):
            if number:
                found[key] = _number(number)
    else:
        raise ValueError(f"'{rest[:40]}' is no range, categories, entity, event_time, optional or age of; {_EXAMPLE}")
    return match.end()


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise ValueError(f"'{text[:40]}' is not a number; {_EXAMPLE}") from None


def read_interface(source: str | bytes, file: str = "interface.yaml") -> Interface:
    """Read an interface.

    Raises:
        ManifestError: it is wrong in the places that the findings list.
    """
    document = read(source, file)
    interface = interface_of(document)
    if document.findings or interface is None:
        raise ManifestError(document.findings)
    return interface


def interface_of(document: Document) -> Interface | None:
    """Turn a document into an interface, noting what is wrong in the document's findings."""
    if document.findings and not document.value:
        return None
    _take_names_as_written(document)
    before = len(document.findings)
    shape: InterfaceShape | None = validate(InterfaceShape, document)
    if shape is None or len(document.findings) > before:
        return None
    inputs = tuple(_field(name, field) for name, field in shape.inputs.items())
    labels = tuple(shape.labels)
    positive = (
        shape.positive if shape.positive is not None else (labels[-1] if shape.task == "binary" and labels else "")
    )
    interface = Interface(
        inputs=inputs, task=Task(shape.task), labels=labels, positive=positive, threshold=float(shape.threshold)
    )
    _check(interface, document)
    return interface


def _take_names_as_written(document: Document) -> None:
    """Labels and categories are names: `labels: [0, 1]` means the texts 0 and 1, as they are written."""

    def names(path: Path, value: Any) -> Any:
        if isinstance(value, list):
            return [names((*path, place), item) for place, item in enumerate(value)]  # pyright: ignore[reportUnknownVariableType,reportUnknownArgumentType]
        return document.raw.get(path, value) if not isinstance(value, dict) else value  # pyright: ignore[reportUnknownVariableType]

    value = document.value
    for key in ("labels", "positive"):
        if value.get(key) is not None:
            value[key] = names((key,), value[key])
    inputs: Any = value.get("inputs")
    for name, field in inputs.items() if isinstance(inputs, dict) else ():  # pyright: ignore[reportUnknownVariableType]
        if isinstance(field, dict) and "categories" in field:
            field["categories"] = names(("inputs", name, "categories"), field["categories"])  # pyright: ignore[reportUnknownArgumentType]


def _field(name: str, shape: FieldShape) -> Field:
    role = FieldRole(shape.role)
    return Field(
        name=name,
        type=FieldType(shape.type),
        nullable=shape.nullable,
        required=shape.required,
        minimum=None if shape.min is None else float(shape.min),
        maximum=None if shape.max is None else float(shape.max),
        categories=tuple(shape.categories),
        default=shape.default,
        role=role,
        classes=tuple(shape.classes),
        age_of=shape.age_of,
    )


def _check(interface: Interface, document: Document) -> None:
    _check_labels(interface, document)
    if not 0 < interface.threshold < 1:
        document.note(document.mark_of(("threshold",)), "threshold must lie between 0 and 1")
    mark = document.mark_of(("inputs",), key=True)
    if not interface.features:
        document.note(mark, "inputs has no feature: nothing reaches the model")
    if len(interface.inputs) > MAX_INPUTS:
        document.note(mark, f"inputs has {len(interface.inputs):,} fields, more than the {MAX_INPUTS:,} allowed")
    names = {field.name for field in interface.inputs}
    taken: dict[FieldRole, str] = {}
    for field in interface.inputs:
        _check_field(field, names, document)
        if field.role in (FieldRole.ENTITY, FieldRole.EVENT_TIME):
            if field.role in taken:
                message = f"'{field.name}' and '{taken[field.role]}' are both {field.role}; there may be one"
                document.note(document.mark_of(("inputs", field.name)), message)
            taken.setdefault(field.role, field.name)


def _check_labels(interface: Interface, document: Document) -> None:
    mark = document.mark_of(("labels",), key=True)
    if len(set(interface.labels)) != len(interface.labels):
        document.note(mark, "labels holds a label twice")
    if interface.task is Task.BINARY and len(interface.labels) != 2:  # noqa: PLR2004 (binary)
        document.note(mark, "a binary task has two labels", 'such as labels: ["no", "yes"]')
    if interface.task is Task.MULTICLASS and len(interface.labels) < 2:  # noqa: PLR2004 (at least two)
        document.note(mark, "a multiclass task has at least two labels")
    if interface.task in (Task.REGRESSION, Task.TEXT) and interface.labels:
        document.note(mark, f"a {interface.task} has no labels")
    if interface.positive and (interface.task is not Task.BINARY or interface.positive not in interface.labels):
        document.note(
            document.mark_of(("positive",)), f"positive '{interface.positive[:60]}' is none of a binary task's labels"
        )


def _check_field(field: Field, names: set[str], document: Document) -> None:
    def note(message: str, hint: str = "") -> None:
        document.note(document.mark_of(("inputs", field.name)), f"{field.name}: {message}", hint)

    numeric = field.type in (FieldType.NUMBER, FieldType.INTEGER)
    if not field.name or len(field.name) > 200 or not field.name.isprintable():  # noqa: PLR2004 (a column's name)
        note("a field's name is 1 to 200 printable characters")
    if not numeric and (field.minimum is not None or field.maximum is not None):
        note(f"a {field.type} has no range")
    if field.minimum is not None and field.maximum is not None and field.minimum > field.maximum:
        note("its minimum is above its maximum")
    if field.categories and field.type is not FieldType.STRING:
        note(f"a {field.type} has no categories")
    if len(set(field.categories)) != len(field.categories):
        note("a category is given twice")
    if (field.role is FieldRole.AGE) != bool(field.age_of):
        note("role age and age_of belong together", "such as number? age of temp")
    elif field.role is FieldRole.AGE and (not numeric or field.age_of not in names or field.age_of == field.name):
        note(f"it carries the age in minutes of another input, and '{field.age_of[:60]}' is none")
    if field.role is FieldRole.EVENT_TIME and field.type is not FieldType.TIMESTAMP:
        note("an event time is a timestamp")
    if field.default is not None and (broken := violation(field, field.default)):
        note(f"its default breaks its own rule: {broken.message}")
