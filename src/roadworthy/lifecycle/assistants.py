"""What a release of kind llm consists of, read back for people: prompt, pins, guards, index, and what changed."""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from roadworthy.domain.candidate import Candidate
from roadworthy.domain.digest import Digest, digest
from roadworthy.domain.interface import Task
from roadworthy.domain.llm import Assistant
from roadworthy.domain.pin import Pin
from roadworthy.domain.release import Release
from roadworthy.domain.route import Route
from roadworthy.domain.system import Policy
from roadworthy.errors import ArtifactError
from roadworthy.lifecycle import present
from roadworthy.lifecycle.passages import Passages
from roadworthy.ports.artifacts import Artifacts

_DECODE: Final = msgspec.json.Decoder(Assistant).decode


@dataclass(frozen=True, slots=True, kw_only=True)
class PinExplained:
    """A model that a release may ask. `where` is the address of its API, or the file it is."""

    name: str
    id: Digest
    provider: str
    model: str
    where: str
    version: str
    is_used: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class IndexExplained:
    """The passages that answers rest on: how many of which file."""

    digest: Digest
    passages: int
    files: tuple[tuple[str, int], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class AssistantExplained:
    """What a release does with a question.

    A baseline has neither prompt nor pins: it quotes its best passage (`passage`), or says `text`.
    """

    prompt: str
    prompt_digest: Digest
    pins: tuple[PinExplained, ...]
    parameters: Mapping[str, Any]
    guards: tuple[tuple[str, Mapping[str, Any]], ...]
    tools: tuple[str, ...]
    schema: bool
    passage: bool
    text: str
    index: IndexExplained | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """What one release says otherwise than another: `lines` of the prompts with their sign, `others` in words."""

    lines: tuple[tuple[str, str], ...]
    others: tuple[str, ...]


def assistant_of(candidate: Candidate, artifacts: Artifacts) -> Assistant | None:
    """Read what a candidate of kind llm does with a question; None for other kinds.

    Raises:
        ArtifactError: its bytes are missing or altered.
    """
    model = candidate.artifact("model")
    if candidate.interface.task is not Task.TEXT or model is None or model.format != "llm":
        return None
    try:
        return _DECODE(artifacts.get(model.digest))
    except msgspec.MsgspecError as error:
        raise ArtifactError(f"the prompt's artifact is damaged: {error}") from error


def explain_assistant(candidate: Candidate, artifacts: Artifacts) -> AssistantExplained | None:
    """Tell what a candidate of kind llm consists of; None for other kinds, and where its bytes are lost."""
    with suppress(ArtifactError):
        assistant = assistant_of(candidate, artifacts)
        if assistant is not None:
            return _explained(assistant, _index(candidate, artifacts))
    return None


def stand_in(artifacts: Artifacts, policy: Policy, route: Route, known: Mapping[Digest, Release]) -> str:
    """Name who answers first while a route is degraded: another pin of the release where the policy's order says so."""
    champion = known.get(route.champion)
    with suppress(ArtifactError):
        assistant = assistant_of(champion.candidate, artifacts) if champion is not None else None
        if champion is not None and assistant is not None:
            own = {pin.name for pin in assistant.pins}
            first = next((name for name in policy.serve.fallback if name != assistant.use), "")
            if first in own:
                return f"{champion.name}'s pin {first}"
    return present.name_of(known, route.fallback[0]) if route.fallback else "the stated default"


def compare(before: AssistantExplained, after: AssistantExplained) -> Difference:
    """Return what changed from one release to another; empty where nothing did."""
    wanted = difflib.unified_diff(before.prompt.splitlines(), after.prompt.splitlines(), n=2, lineterm="")
    lines = tuple((line[:1], line[1:]) for line in wanted if not line.startswith(("---", "+++")))
    return Difference(lines=lines, others=tuple(_others(before, after)))


def _others(before: AssistantExplained, after: AssistantExplained) -> list[str]:
    said: list[str] = []
    used = [next((pin.name for pin in one.pins if pin.is_used), "none") for one in (before, after)]
    if used[0] != used[1]:
        said.append(f"answers by pin {used[1]} instead of {used[0]}")
    old, new = ({pin.name: pin for pin in one.pins} for one in (before, after))
    said += [f"pin {name} is gone" for name in old if name not in new]
    said += [f"pin {name} is new: {pin.model}" for name, pin in new.items() if name not in old]
    said += [
        f"pin {name}: {pin.provider} {pin.model} instead of {old[name].provider} {old[name].model}"
        for name, pin in new.items()
        if name in old and pin.id != old[name].id
    ]
    for word, one, other in (
        ("parameters", dict(before.parameters), dict(after.parameters)),
        ("guards", dict(before.guards), dict(after.guards)),
    ):
        changed = sorted(name for name in {*one, *other} if one.get(name) != other.get(name))
        if changed:
            said.append(f"{word} changed: {', '.join(changed)}")
    said += ["another set of tools"] if before.tools != after.tools else []
    if (before.index.digest if before.index else "") != (after.index.digest if after.index else ""):
        said.append("another index")
    return said


def _explained(assistant: Assistant, index: IndexExplained | None) -> AssistantExplained:
    return AssistantExplained(
        prompt=assistant.prompt,
        prompt_digest=digest(assistant.prompt) if assistant.prompt else "",
        pins=tuple(_pin(pin, assistant.use) for pin in assistant.pins),
        parameters=dict(assistant.parameters),
        guards=tuple((guard.name, dict(guard.parameters)) for guard in assistant.guards),
        tools=tuple(str(tool.get("function", {}).get("name", "unnamed")) for tool in assistant.tools),
        schema=assistant.schema is not None,
        passage=assistant.passage,
        text=assistant.text,
        index=index,
    )


def _pin(pin: Pin, used: str) -> PinExplained:
    return PinExplained(
        name=pin.name, id=pin.id, provider=pin.provider.value, model=pin.model, where=pin.url or pin.file,
        version=pin.version, is_used=pin.name == used,
    )  # fmt: skip


def _index(candidate: Candidate, artifacts: Artifacts) -> IndexExplained | None:
    artifact = candidate.artifact("index")
    if artifact is None:
        return None
    found = Passages(artifacts).all(candidate)
    files = Counter(passage.source for passage in found)
    return IndexExplained(digest=artifact.digest, passages=len(found), files=tuple(sorted(files.items())))
