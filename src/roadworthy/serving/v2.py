"""Open Inference Protocol V2 over HTTP: one tensor a field, the same path, rules and records as the simple endpoint.

Answers carry JSON tensors, which every client reads. Requests may carry JSON or binary tensors (`Inference-Header-
Content-Length`; BYTES elements are a 4-byte length and the bytes), since `tritonclient` sends the latter by default.
"""

from __future__ import annotations

import struct
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, cast

import msgspec
import numpy as np

from roadworthy import __version__
from roadworthy.domain.interface import Field, FieldType, Interface, Task
from roadworthy.domain.principal import Scope
from roadworthy.serving.admit import read_body
from roadworthy.serving.attempt import Reply
from roadworthy.serving.explain import read_json
from roadworthy.serving.problem import Problem, not_found
from roadworthy.serving.responding import reply_headers, respond, wrong_method
from roadworthy.serving.table import Place

if TYPE_CHECKING:
    from roadworthy.serving.app import App

_encode = msgspec.json.Encoder().encode
_DATATYPES: Final[Mapping[FieldType, str]] = {
    FieldType.NUMBER: "FP64",
    FieldType.INTEGER: "INT64",
    FieldType.STRING: "BYTES",
    FieldType.BOOLEAN: "BOOL",
    FieldType.TIMESTAMP: "BYTES",
}
_BINARY: Final[Mapping[str, str]] = {
    "BOOL": "|b1", "INT8": "<i1", "INT16": "<i2", "INT32": "<i4", "INT64": "<i8", "UINT8": "<u1", "UINT16": "<u2",
    "UINT32": "<u4", "UINT64": "<u8", "FP16": "<f2", "FP32": "<f4", "FP64": "<f8",
}  # fmt: skip
_LENGTH: Final = struct.Struct("<I")
_OUTPUTS: Final[Mapping[Task, tuple[tuple[str, str], ...]]] = {
    Task.BINARY: (("probability", "FP64"), ("label", "BYTES")),
    Task.MULTICLASS: (("label", "BYTES"), ("probabilities", "FP64")),
    Task.REGRESSION: (("value", "FP64"),),
}
MAX_ROWS: Final = 10_000


def server() -> dict[str, Any]:
    """Describe the server: `GET /v2`."""
    return {"name": "roadworthy", "version": __version__, "extensions": ["binary_tensor_data"]}


def metadata(place: Place) -> dict[str, Any]:
    """Describe a system as a model: one tensor a field. `GET /v2/models/{system}`."""
    interface = place.interface
    champion = place.champion.name if place.champion else ""
    return {
        "name": place.name,
        "versions": [champion] if champion else [],
        "platform": "roadworthy",
        "inputs": [
            {"name": field.name, "datatype": _DATATYPES[field.type], "shape": [-1]} for field in interface.inputs
        ],
        "outputs": [
            {"name": name, "datatype": kind, "shape": [-1, len(interface.labels)] if name == "probabilities" else [-1]}
            for name, kind in _OUTPUTS[interface.task]
        ],
    }


async def serve(app: App, scope: Any, proto: Any, rest: str) -> None:
    """Answer everything under `/v2/models/`.

    Raises:
        Problem: as on the simple endpoint; the body becomes `{"error": "…"}`.
    """
    system, _, verb = rest.partition("/")
    if verb not in ("", "ready", "infer"):
        raise not_found(f"'{rest[:120]}' is not served: the route chooses versions", f"/v2/models/{system[:80]}/infer")
    wanted = "POST" if verb == "infer" else "GET"
    if scope.method != wanted:
        raise wrong_method(wanted)
    place, intake = app.admit(scope.headers, Scope.PREDICT, system, time.perf_counter())
    if verb == "":
        respond(proto, 200, (), _encode(metadata(place)))
    elif verb == "ready":
        respond(proto, 200, (), _encode({"name": place.name, "ready": not place.route.stopped}))
    else:
        await _infer(app, scope, proto, place, intake)


async def _infer(app: App, scope: Any, proto: Any, place: Place, intake: Any) -> None:
    gate = place.gate
    gate.inside += 1
    try:
        app.guard(place, scope.headers)
        body = await read_body(proto, scope.headers, place.served.serve.max_body_bytes)
        request, binary = _parts(body, scope.headers.get("inference-header-content-length"))
        wanted = _wanted(request, place.interface)
        call = place.compiled.accept(_rows(request, binary, place.interface))
        reply = await app.answerer.answer(place, intake, call)
    except Problem as problem:
        raise app.recorded(place, intake, problem) from None
    finally:
        gate.inside -= 1
    respond(proto, 200, reply_headers(reply), _encode(_answer(place, request, reply, wanted)))


def _parts(body: bytes, json_length: str | None) -> tuple[Mapping[str, Any], bytes]:
    """Split a body into its JSON and what follows it."""
    end = len(body)
    if json_length is not None:
        if not json_length.isascii() or not json_length.isdigit() or int(json_length) > len(body):
            raise _bad("Inference-Header-Content-Length is not the length of the JSON part")
        end = int(json_length)
    request = read_json(body[:end])
    if not isinstance(request, dict):
        raise _bad("the body must be an object with 'inputs'")
    return cast("dict[str, Any]", request), body[end:]


def _rows(request: Mapping[str, Any], binary: bytes, interface: Interface) -> list[dict[str, Any]]:
    """Turn tensors, one a field, into rows of field → value."""
    tensors: Any = request.get("inputs")
    if not isinstance(tensors, list) or not tensors:
        raise _bad("'inputs' must be a list of tensors, one a field")
    fields = {field.name: field for field in interface.inputs}
    columns: dict[str, list[Any]] = {}
    at = 0
    for tensor in cast("list[Any]", tensors):
        if not isinstance(tensor, dict) or not isinstance(tensor.get("name"), str):  # pyright: ignore[reportUnknownMemberType]
            raise _bad("each tensor needs a 'name', a 'datatype', a 'shape' and 'data'")
        entry = cast("dict[str, Any]", tensor)
        name: str = entry["name"]
        if name in columns:
            raise _bad(f"tensor '{name[:80]}' is given twice")
        values, at = _values(entry, binary, at)
        if len(values) != _count(entry):
            raise _bad(f"tensor '{name[:80]}' has {len(values)} elements; its shape asks for {_count(entry)}")
        columns[name] = _nulls(fields.get(name), values)
    if at != len(binary):
        raise _bad("the binary part is longer than its tensors")
    counts = {len(values) for values in columns.values()}
    if len(counts) != 1 or not 0 < (n := counts.pop()) <= MAX_ROWS:
        raise _bad(f"all tensors must have the same number of elements, 1 to {MAX_ROWS}")
    return [{name: values[row] for name, values in columns.items()} for row in range(n)]


def _values(entry: Mapping[str, Any], binary: bytes, at: int) -> tuple[list[Any], int]:
    parameters: Any = entry.get("parameters")
    size: Any = cast("dict[str, Any]", parameters).get("binary_data_size") if isinstance(parameters, dict) else None
    if size is None:
        data: Any = entry.get("data")
        if not isinstance(data, list):
            raise _bad(f"tensor '{entry['name'][:80]}' has no 'data'")
        return _flat(cast("list[Any]", data)), at
    if not isinstance(size, int) or isinstance(size, bool) or not 0 <= size <= len(binary) - at:
        raise _bad(f"tensor '{entry['name'][:80]}' has a 'binary_data_size' beyond the body")
    return _unpacked(str(entry.get("datatype")), binary[at : at + size]), at + size


def _unpacked(datatype: str, content: bytes) -> list[Any]:
    if datatype == "BYTES":
        return _texts(content)
    kind = _BINARY.get(datatype)
    if kind is None or len(content) % np.dtype(kind).itemsize:
        raise _bad(f"{len(content)} bytes are no tensor of datatype '{datatype[:20]}'")
    return np.frombuffer(content, dtype=kind).tolist()


def _texts(content: bytes) -> list[str]:
    texts: list[str] = []
    at = 0
    while at < len(content):
        if at + _LENGTH.size > len(content):
            raise _bad("a BYTES tensor is cut off")
        (length,) = _LENGTH.unpack_from(content, at)
        at += _LENGTH.size
        if at + length > len(content):
            raise _bad("a BYTES tensor is cut off")
        try:
            texts.append(content[at : at + length].decode())
        except UnicodeDecodeError:
            raise _bad("a BYTES element is not UTF-8") from None
        at += length
    return texts


def _flat(data: list[Any]) -> list[Any]:
    """Flatten `[n, 1]`; deeper nesting stays and breaks the field's type."""
    if data and all(isinstance(item, list) and len(cast("list[Any]", item)) == 1 for item in data):
        return [item[0] for item in data]
    return data


def _nulls(field: Field | None, values: list[Any]) -> list[Any]:
    """Read NaN as null where a field may be null: tensors have no other word for it."""
    if field is None or not field.nullable:
        return values
    return [None if isinstance(value, float) and value != value else value for value in values]  # noqa: PLR0124


def _count(entry: Mapping[str, Any]) -> int:
    shape: Any = entry.get("shape")
    if not isinstance(shape, list) or not all(
        isinstance(side, int) and not isinstance(side, bool) and side >= 0 for side in cast("list[Any]", shape)
    ):
        raise _bad(f"tensor '{entry['name'][:80]}' needs a 'shape' of whole numbers")
    count = 1
    for side in cast("list[int]", shape):
        count *= side
    return count


def _wanted(request: Mapping[str, Any], interface: Interface) -> tuple[tuple[str, str], ...]:
    """Return the outputs that the caller asks for, all of them unless it names some."""
    known: dict[str, str] = dict(_OUTPUTS[interface.task])
    asked: Any = request.get("outputs")
    if asked is None or asked == []:
        return tuple(known.items())
    if not isinstance(asked, list):
        raise _bad("'outputs' must be a list")
    chosen: dict[str, str] = {}
    for item in cast("list[Any]", asked):
        name: Any = cast("dict[str, Any]", item).get("name") if isinstance(item, dict) else None
        if not isinstance(name, str) or name not in known:
            raise _bad(f"no output called '{str(name)[:80]}' (known: {', '.join(known)})")
        chosen[name] = known[name]
    return tuple(chosen.items())


def _answer(
    place: Place, request: Mapping[str, Any], reply: Reply, wanted: Sequence[tuple[str, str]]
) -> dict[str, Any]:
    n = len(reply.answers)
    outputs: list[dict[str, Any]] = []
    for name, kind in wanted:
        if name == "probabilities":
            labels = place.interface.labels
            data = [answer[name].get(label) for answer in reply.answers for label in labels]
            outputs.append({"name": name, "datatype": kind, "shape": [n, len(labels)], "data": data})
        else:
            outputs.append({"name": name, "datatype": kind, "shape": [n], "data": [a[name] for a in reply.answers]})
    told: dict[str, Any] = {
        "model_name": place.name,
        "model_version": ",".join(dict.fromkeys(name for name in reply.names if name)),
        "outputs": outputs,
        "parameters": {"record": ",".join(reply.ids), "fallback": ",".join(dict.fromkeys(m for m in reply.marks if m))},
    }
    if isinstance(request.get("id"), str):
        told["id"] = request["id"]
    return told


def _bad(message: str) -> Problem:
    return Problem(400, "RW200", message, hint="GET /v2/models/{system} lists the tensors")
