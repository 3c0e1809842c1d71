"""The content of kind llm: prompt, pins, index, guards; and the terms on which its pins are used."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path as FilePath
from typing import Any, Final

from roadworthy.domain.interface import Interface, Task
from roadworthy.domain.llm import GuardPlan, IndexPlan, LlmPlan, chat_interface
from roadworthy.domain.pin import Pin, PinTerms, Price, Provider
from roadworthy.domain.system import Content, DataPlan, ServePlan
from roadworthy.manifest import defaults_llm_v1
from roadworthy.manifest.contents import inside, interface_in
from roadworthy.manifest.gate_plans import parameters_of
from roadworthy.manifest.reading import Reading
from roadworthy.manifest.shape import ManifestShape, PinShape

PASSAGE: Final = "passage"
_TEXTS: Final = (".md", ".txt")
_NAME: Final = re.compile(r"[a-z][a-z0-9_-]{0,62}")
_SECRET: Final = re.compile(r"env:[A-Za-z_][A-Za-z0-9_]*|file:\S+")
_URL: Final = re.compile(r"https://[^\s@]+|http://(127\.0\.0\.1|localhost)(:\d{1,5})?(/[^\s@]*)?")
_LOCAL: Final = re.compile(r"package:[a-z][a-z0-9_]*/[A-Za-z0-9._-]+\.gguf")


def llm_interface(shape: ManifestShape, reading: Reading) -> Interface | None:
    """Return the interface file's, which must be of task text, or that of a chat."""
    if shape.interface is None:
        return chat_interface()
    interface = interface_in(shape, reading)
    if interface is not None and interface.task is not Task.TEXT:
        reading.note(("interface",), "an llm system answers with text", "write in the interface file: task: text")
    return interface


def llm_content(
    shape: ManifestShape, interface: Interface | None, waived: set[str], reading: Reading
) -> Content | None:
    """Return the content sections, or None when what a prompt needs is missing."""
    pins = tuple(_pin(name, pin, reading) for name, pin in sorted(shape.pins.items()))
    if shape.use is not None and shape.use not in shape.pins:
        reading.unknown("pin", shape.use, shape.pins, ("use",))
    for key in ("prompt", "tools", "output_schema"):
        path = getattr(shape, key)
        if path is not None:
            inside(path, (key,), reading)
    for key in ("data", "code", "trust"):
        if getattr(shape, key):
            reading.note((key,), f"kind llm has no '{key}'; its cases are in the suites of its gates", key=True)
    index = _index(shape, reading)
    baseline = _baseline(shape, index is not None, waived, reading)
    if interface is None or shape.prompt is None or shape.use is None:
        return None
    plan = LlmPlan(
        prompt=shape.prompt,
        pins=pins,
        index=index,
        guards=_guards(shape, reading),
        tools=shape.tools or "",
        schema=shape.output_schema or "",
        parameters=dict(sorted(shape.parameters.items())),
    )
    return Content(
        use=shape.use, data=DataPlan(table="", target=""), baseline=baseline, interface=interface, seed=shape.seed,
        parameters=plan.parameters, llm=plan,
    )  # fmt: skip


def pin_terms(shape: ManifestShape, serve: ServePlan, reading: Reading) -> tuple[PinTerms, ...]:
    """Return the terms of each pin; under a budget each must have a price, or a call must be capped."""
    found = tuple(_terms(name, pin, reading) for name, pin in sorted(shape.pins.items()))
    for cap in serve.budgets:
        for terms in found:
            at = ("pins", terms.name)
            if terms.price is None and not serve.cap_per_call_micros:
                hint = "state price: {input: 0.15 USD, output: 0.60 USD} for a million tokens, or serve.cap_per_call"
                reading.note(at, f"there is a budget, and what '{terms.name}' costs is not known", hint, key=True)
            elif terms.price is not None and terms.price.currency != cap.currency:
                message = f"'{terms.name}' is paid in {terms.price.currency} and a budget is in {cap.currency}"
                reading.note(at, message, "give both in one currency", key=True)
    return found


def _pin(name: str, shape: PinShape, reading: Reading) -> Pin:
    path = ("pins", name)
    if not _NAME.fullmatch(name) or name in ("previous", "baseline", "default"):
        reading.note(path, f"'{name[:60]}' is not a name for a pin", "small letters, digits, _ and -", key=True)
    if shape.probes is not None:
        inside(shape.probes, (*path, "probes"), reading)
    if shape.provider == Provider.GGUF:
        _check_file(name, shape, reading)
    else:
        if shape.file is not None:
            reading.note((*path, "file"), "only a gguf pin has a file", key=True)
        if shape.url is None:
            reading.note(path, f"pin '{name}' has no url", "such as url: https://api.openai.com/v1")
        elif not _URL.fullmatch(shape.url):
            message = f"'{shape.url[:120]}' is not an address: https://…, or http://127.0.0.1:…, without a password"
            reading.note((*path, "url"), message)
        if shape.model is None:
            reading.note(path, f"pin '{name}' names no model", "such as model: gpt-4o-mini")
    return _as_pin(name, shape)


def _as_pin(name: str, shape: PinShape) -> Pin:
    return Pin(
        name=name,
        provider=Provider(shape.provider),
        model=shape.model or FilePath(shape.file or "").stem,
        url=(shape.url or "").rstrip("/"),
        file=shape.file or "",
        version=shape.version or "",
        probe_file=shape.probes or "",
        context=shape.context,
        max_output=shape.max_output,
        parameters=dict(sorted(shape.parameters.items())),
    )


def _check_file(name: str, shape: PinShape, reading: Reading) -> None:
    path = ("pins", name)
    if shape.url is not None:
        reading.note((*path, "url"), "a gguf pin runs on this machine and has no url", key=True)
    if shape.file is None:
        reading.note(path, f"pin '{name}' has no file", "such as file: models/small.gguf")
    elif not _LOCAL.fullmatch(shape.file):
        if not shape.file.endswith(".gguf"):
            reading.note((*path, "file"), f"'{shape.file[:120]}' is not a .gguf file")
        else:
            inside(shape.file, (*path, "file"), reading)


def _terms(name: str, shape: PinShape, reading: Reading) -> PinTerms:
    if shape.key is not None and not _SECRET.fullmatch(shape.key):
        # The text itself may be the secret: it is not shown.
        reading.note(("pins", name, "key"), "a secret is named, never written here", "such as key: env:OPENAI_API_KEY")
    return PinTerms(
        name=name,
        key=shape.key if shape.key is not None and _SECRET.fullmatch(shape.key) else "",
        price=_price(name, shape, reading),
        allows=tuple(sorted(set(shape.allows))),
        masks=shape.otherwise == "mask",
        region=shape.region or "",
        lookup=shape.lookup,
    )


def _price(name: str, shape: PinShape, reading: Reading) -> Price | None:
    stated = shape.price
    if stated is None:
        if shape.provider == Provider.GGUF:
            return Price(input=0, output=0, version="this machine")
        return reading.catalogue.price_of(_as_pin(name, shape))
    currencies = {one[1] for one in (stated.input, stated.output, stated.cached_input, stated.per_call) if one}
    if len(currencies) > 1:
        reading.note(("pins", name, "price"), f"one price has one currency, not {' and '.join(sorted(currencies))}")
    return Price(
        input=stated.input[0],
        output=stated.output[0],
        cached_input=stated.cached_input[0] if stated.cached_input else None,
        per_call=stated.per_call[0] * 1_000_000 if stated.per_call else 0,
        currency=stated.input[1],
        version=stated.version,
    )


def _index(shape: ManifestShape, reading: Reading) -> IndexPlan | None:
    if shape.index is None:
        return None
    given = shape.index
    for place, pattern in enumerate(given.files):
        at = ("index", "files", place) if reading.says("index", "files", place) else ("index",)
        if FilePath(pattern).is_absolute() or ".." in FilePath(pattern).parts or "\\" in pattern:
            reading.note(at, f"'{pattern[:120]}': a path stays inside the project's folder")
        elif not any(found.is_file() for found in reading.folder.glob(pattern)):
            reading.note(at, f"'{pattern[:120]}' names no file of the project")
    if given.overlap >= given.words:
        reading.note(("index", "overlap"), "passages cannot share as many words as they have")
    if given.embed is not None and given.embed != "minilm":
        inside(given.embed, ("index", "embed"), reading)
    return IndexPlan(
        files=tuple(given.files),
        words=given.words,
        overlap=given.overlap,
        top=given.top,
        embed=given.embed or "",
        abstain=given.abstain if isinstance(given.abstain, float) else None,
    )


def _baseline(shape: ManifestShape, has_index: bool, waived: set[str], reading: Reading) -> str:
    if shape.baseline is None:
        if reading.document.value.get("baseline") is None and "baseline" not in waived:
            hint = "baseline: passage (the index's best one), or a text file; or a waiver of the gate 'baseline'"
            reading.note(("baseline",), "'baseline' is missing: a simple rival that is also the live fallback", hint)
        return ""
    if shape.baseline == PASSAGE:
        if not has_index:
            reading.note(("baseline",), "the best passage needs an index", 'such as index: "docs/**/*.md"')
    elif FilePath(shape.baseline).suffix in _TEXTS:
        inside(shape.baseline, ("baseline",), reading)
    else:
        message = f"'{shape.baseline[:120]}' is no baseline of kind llm: passage, or a file .md or .txt"
        reading.note(("baseline",), message)
    return shape.baseline


def _guards(shape: ManifestShape, reading: Reading) -> tuple[GuardPlan, ...]:
    """Return the guards in force with every parameter; one that is `off` is not."""
    installed = reading.catalogue.guards
    for name in shape.guards:
        if name not in installed:
            reading.unknown("guard", name, installed, ("guards", name), key=True)
    named = ({*defaults_llm_v1.GUARDS, *shape.guards} & set(installed)) - _off(shape.guards)
    return tuple(
        GuardPlan(
            name=name, parameters=parameters_of("guards", name, installed[name], shape.guards.get(name, {}), reading)
        )
        for name in sorted(named)
    )


def _off(stated: Mapping[str, Any]) -> set[str]:
    return {name for name, given in stated.items() if given == "off"}
