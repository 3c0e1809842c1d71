"""Build a candidate of kind llm: prompt, pins, tools and guards in one artifact; index and local models beside it."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Final, cast

import msgspec

from roadworthy.domain.candidate import Artifact, Candidate, Environment, Recipe
from roadworthy.domain.digest import Digest, digest
from roadworthy.domain.interface import Scalar
from roadworthy.domain.ledger import Decide
from roadworthy.domain.llm import Assistant, IndexPlan, LlmPlan
from roadworthy.domain.pin import Pin, Provider
from roadworthy.domain.pin_watch import PROMPTS
from roadworthy.domain.principal import Actor
from roadworthy.domain.system import System
from roadworthy.errors import InputError
from roadworthy.lifecycle.building import BuildResult, Work, begin, built_before, decisions_of, run_of, run_record
from roadworthy.lifecycle.table import digest_file
from roadworthy.ports.plane import Plane
from roadworthy.runtimes.environment import capture
from roadworthy.runtimes.llm.prompt import compile_prompt
from roadworthy.runtimes.rag import index as rag
from roadworthy.runtimes.rag.index_file import Parameters
from roadworthy.stores.codec import to_json

RUNTIME: Final = "llm"
PASSAGE: Final = "passage"
_LARGEST_TEXT: Final = 4 << 20
_MOST_FILES: Final = 20_000
_FEWEST_PROBES: Final = 5
_MOST_PROBES: Final = 500
_LONGEST_PROBE: Final = 500


def build_llm(folder: Path, system: System, plane: Plane, actor: Actor) -> BuildResult:
    """Build the system's candidate and its baseline, or return those that the same recipe built before.

    Nothing is asked of a provider: what the answers are worth is for the gates.

    Raises:
        RefusedError: at tier standard or high, files differ from the commit.
        InputError: a file is missing, no text, or too large; the prompt asks for what it is not given.
        PluginError: an extra is missing.
    """
    folder = folder.resolve()
    work = begin(folder, system, plane, actor)
    plan = plan_of(system)
    corpus = corpus_of(folder, plan.index) if plan.index else {}
    found: list[Candidate] = []
    decisions: list[Decide] = []
    reused = True
    for is_baseline in (False, True) if system.content.baseline else (False,):
        recipe = _recipe(folder, system, corpus, is_baseline=is_baseline)
        known = built_before(plane, system.name, recipe.digest, is_baseline=is_baseline)
        if known is None:
            reused = reused and is_baseline
            known = _candidate(work, recipe, corpus, is_baseline=is_baseline)
            notes = tuple(_notes(plan, corpus))
            run = run_record(work, known, recipe, {}, _stated(plan, is_baseline=is_baseline), notes)
            decisions += decisions_of(work, known, run)
        found.append(known)
    plane.ledger.commit(decisions)
    baseline = found[1] if len(found) > 1 else None
    return BuildResult(candidate=found[0], run=run_of(plane, found[0]), baseline=baseline, reused=reused)


def plan_of(system: System) -> LlmPlan:
    """Return the llm part of a system's content."""
    assert system.content.llm is not None, "a system of kind llm has a plan"
    return system.content.llm


def corpus_of(folder: Path, plan: IndexPlan) -> dict[str, str]:
    """Read the files of the index: text by path relative to the project.

    Raises:
        InputError: a file is no UTF-8 text, too large, or leads out of the project.
    """
    found: dict[str, str] = {}
    for pattern in plan.files:
        for path in sorted(folder.glob(pattern)):
            if not path.is_file():
                continue
            name = path.relative_to(folder).as_posix()
            if not path.resolve().is_relative_to(folder):
                raise InputError(f"'{name}' leads out of the project's folder")
            found[name] = read_text(path, name)
            if len(found) > _MOST_FILES:
                raise InputError(f"the index names more than {_MOST_FILES:,} files", hint="name fewer in index.files")
    if not found:
        raise InputError(f"the index finds no file: {', '.join(plan.files)}", hint="mend index.files in system.yaml")
    return found


def read_text(path: Path, name: str) -> str:
    """Read a text file of the project.

    Raises:
        InputError: it is missing, no UTF-8 text, or too large.
    """
    try:
        if path.stat().st_size > _LARGEST_TEXT:
            raise InputError(f"'{name}' is larger than {_LARGEST_TEXT >> 20} MiB", hint="split it, or leave it out")
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise InputError(f"'{name}' is no UTF-8 text (byte {error.start})") from error
    except OSError as error:
        raise InputError(f"'{name}' cannot be read ({error.strerror})") from error


def gguf_file(folder: Path, pin: Pin) -> Path:
    """Find the model file of a gguf pin: in the project, or in an installed package (`package:name/file.gguf`).

    Raises:
        InputError: there is no such package or file.
    """
    if not pin.file.startswith("package:"):
        return folder / pin.file
    package, _, name = pin.file.removeprefix("package:").partition("/")
    spec = importlib.util.find_spec(package)
    for place in (spec.submodule_search_locations or ()) if spec else ():
        if (Path(place) / name).is_file():
            return Path(place) / name
    raise InputError(f"pin '{pin.name}': no installed package has {pin.file}", hint=f"pip install --no-deps {package}")


def _recipe(folder: Path, system: System, corpus: Mapping[str, str], *, is_baseline: bool) -> Recipe:
    """Return what decides a candidate; the baseline's does not change when only prompt or pins do."""
    content, plan = system.content, plan_of(system)
    texts = {name: digest(text) for name, text in corpus.items()}
    own = content.baseline if is_baseline else plan.prompt
    code = {content.baseline: digest_file(folder / content.baseline)} if content.baseline not in ("", PASSAGE) else {}
    if not is_baseline:
        probes = dict.fromkeys(pin.probe_file for pin in plan.pins)
        paths = [name for name in (plan.prompt, plan.tools, plan.schema, *probes) if name]
        code |= {name: digest_file(folder / name) for name in paths}
        code |= {pin.name: digest_file(gguf_file(folder, pin)) for pin in plan.pins if pin.file}
        named: Digest = content.digest
    else:
        named = digest({"interface": content.interface, "baseline": content.baseline, "index": plan.index})
    return Recipe(
        system=system.name,
        code=digest(code),
        content=named,
        data=texts or {own: digest_file(folder / own)},
        environment=_environment(plan, is_baseline=is_baseline).digest,
        seed=content.seed,
        parameters={} if is_baseline else plan.parameters,
    )


def _environment(plan: LlmPlan, *, is_baseline: bool) -> Environment:
    """Return the environment of what is loaded: the index's parts, and those of models on this machine."""
    names = ["numpy"] if plan.index else []
    names += ["onnxruntime", "tokenizers"] if plan.index and plan.index.embed else []
    local = not is_baseline and any(pin.provider is Provider.GGUF for pin in plan.pins)
    return capture((*names, *(("ik-llama-cpp-python",) if local else ()), "jinja2"))


def _candidate(work: Work, recipe: Recipe, corpus: Mapping[str, str], *, is_baseline: bool) -> Candidate:
    plan, content = plan_of(work.system), work.system.content
    artifacts: list[Artifact] = []
    if plan.index is not None and (not is_baseline or content.baseline == PASSAGE):
        artifacts.append(_keep(work, "index", "rag", _index(work.folder, plan.index, corpus)))
    if is_baseline:
        assistant = _baseline(work, plan)
    else:
        assistant, weights = _assistant(work, plan)
        artifacts += weights
    artifacts.insert(0, _keep(work, "model", RUNTIME, to_json(assistant)))
    return Candidate(
        system=work.system.name,
        recipe=recipe.digest,
        artifacts=tuple(artifacts),
        interface=content.interface,
        runtime=RUNTIME,
        environment=_environment(plan, is_baseline=is_baseline),
        is_baseline=is_baseline,
    )


def _keep(work: Work, role: str, kind: str, content: bytes) -> Artifact:
    return Artifact(role=role, format=kind, digest=work.plane.artifacts.put(content), size=len(content))


def _index(folder: Path, plan: IndexPlan, corpus: Mapping[str, str]) -> bytes:
    parameters = Parameters(size=plan.words, overlap=plan.overlap, embeddings=bool(plan.embed))
    if plan.abstain is not None:
        parameters = replace(parameters, abstain_at_most=plan.abstain)
    own = None
    if plan.embed not in ("", "minilm"):
        from roadworthy.runtimes.rag.embed import open_embedder

        model = folder / plan.embed
        own = open_embedder(model, model.with_name("tokenizer.json"))
    return rag.build(corpus, parameters, embedder=own)


def _baseline(work: Work, plan: LlmPlan) -> Assistant:
    named = work.system.content.baseline
    abstains = plan.index is not None and plan.index.abstain is not None
    if named == PASSAGE:
        return Assistant(passage=True, abstains=abstains)
    return Assistant(text=read_text(work.folder / named, named).strip(), abstains=False)


def _assistant(work: Work, plan: LlmPlan) -> tuple[Assistant, list[Artifact]]:
    prompt = read_text(work.folder / plan.prompt, plan.prompt)
    known = {field.name for field in work.system.content.interface.inputs}
    compile_prompt(prompt, known, file=plan.prompt)
    pins: list[Pin] = []
    weights: list[Artifact] = []
    for pin in plan.pins:
        if pin.provider is Provider.GGUF:
            path = gguf_file(work.folder, pin)
            name = work.plane.artifacts.put_file(path)
            weights.append(Artifact(role=f"weights/{pin.name}", format="gguf", digest=name, size=path.stat().st_size))
            pins.append(replace(pin, artifact=name))
        else:
            kept = _keep(work, f"probes/{pin.name}", "probes", to_json(_probes(work.folder, pin)))
            weights.append(kept)
            pins.append(replace(pin, probes=kept.digest))
    assistant = Assistant(
        prompt=prompt,
        use=work.system.content.use,
        pins=tuple(pins),
        guards=plan.guards,
        parameters=plan.parameters,
        tools=tuple(cast("list[Mapping[str, Any]]", _json(work.folder, plan.tools, list))),
        schema=cast("Mapping[str, Any]", _json(work.folder, plan.schema, dict)) or None,
        top=plan.index.top if plan.index else 0,
        abstains=plan.index is not None and plan.index.abstain is not None,
    )
    return assistant, weights


def _probes(folder: Path, pin: Pin) -> tuple[str, ...]:
    """Return the prompts that show a hidden change: the pin's own file, one a line, or the ones that are built in.

    Raises:
        InputError: the file holds too few, too many or too long ones.
    """
    if not pin.probe_file:
        return PROMPTS
    lines = (line.strip() for line in read_text(folder / pin.probe_file, pin.probe_file).splitlines())
    found = tuple(dict.fromkeys(line for line in lines if line and not line.startswith("#")))
    if not _FEWEST_PROBES <= len(found) <= _MOST_PROBES:
        message = f"'{pin.probe_file}' holds {len(found)} prompts; {_FEWEST_PROBES} to {_MOST_PROBES} are needed"
        raise InputError(message, hint="one prompt a line; lines that begin with # are left out")
    if long := next((one for one in found if len(one) > _LONGEST_PROBE), ""):
        raise InputError(f"'{pin.probe_file}': '{long[:60]}…' has more than {_LONGEST_PROBE} characters")
    return found


def _json(folder: Path, name: str, kind: type[list[Any] | dict[str, Any]]) -> Any:
    """Read a JSON file of the project.

    Raises:
        InputError: it is no JSON, or of another shape.
    """
    if not name:
        return kind()
    try:
        found: Any = msgspec.json.decode(read_text(folder / name, name))
    except msgspec.DecodeError as error:
        raise InputError(f"'{name}' is no JSON: {error}") from error
    if not isinstance(found, kind):
        raise InputError(f"'{name}' must hold {'a list' if kind is list else 'an object'}")
    return found  # pyright: ignore[reportUnknownVariableType]


def _stated(plan: LlmPlan, *, is_baseline: bool) -> Mapping[str, Scalar]:
    if is_baseline:
        return {}
    return {f"pin.{pin.name}": f"{pin.provider}:{pin.model}" for pin in plan.pins}


def _notes(plan: LlmPlan, corpus: Mapping[str, str]) -> list[str]:
    if plan.index is None:
        return []
    how = "by words and by meaning" if plan.index.embed else "by words"
    return [f"the index holds {len(corpus)} files, found {how}"]
