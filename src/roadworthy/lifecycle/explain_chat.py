"""Explain an answer of kind llm: which model said it, resting on which passages, held by which guards, at what cost."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass

from roadworthy.domain.digest import Digest
from roadworthy.domain.llm import TEXT_OUTPUTS
from roadworthy.domain.pin import UNIT
from roadworthy.domain.record import Flag, Record
from roadworthy.domain.release import Release
from roadworthy.domain.system import Policy
from roadworthy.errors import ArtifactError
from roadworthy.lifecycle.fold_chats import passages_of, told
from roadworthy.lifecycle.passages import Passages
from roadworthy.ports.plane import Plane


@dataclass(frozen=True, slots=True, kw_only=True)
class PassageExplained:
    """A passage that the model was handed; `text` is empty where its index is not kept any more."""

    n: int
    id: str
    source: str
    heading: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class GuardExplained:
    """What one guard did about the question or the answer: `alter` or `block`, or only found something (`allow`)."""

    guard: str
    did: str
    found: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatExplained:
    """What is known of an answer beside its texts.

    `pin` is the one whose call succeeded, empty where no model was asked. `prompt` names the artifact that holds
    prompt, pins and guards. `cost` is in whole units of `currency`; `price` names the price list.
    """

    pin: str
    model: str
    fingerprint: str
    prompt: Digest
    index: Digest
    finish: str
    input_tokens: int
    output_tokens: int
    cached_tokens: int
    first_token_ms: float
    cost: float
    currency: str
    price: str
    from_cache: bool
    passages: tuple[PassageExplained, ...]
    guards: tuple[GuardExplained, ...]


def explain_chat(plane: Plane, record: Record, release: Release | None, policy: Policy) -> ChatExplained | None:
    """Tell what an answer of kind llm rests on; None for records of other kinds.

    Args:
        plane: the home.
        record: the answer.
        release: the one that gave it, or None for the stated default.
        policy: in force, for the currency of the prices.
    """
    if len(record.outputs) != len(TEXT_OUTPUTS):
        return None
    said, fingerprint = told(record), record.outputs[TEXT_OUTPUTS.index("fingerprint")]
    asked = [step.name for step in record.steps if step.kind == "attempt" and step.outcome == "ok"]
    pin = asked[-1] if asked else ""
    currencies = {terms.name: terms.price.currency for terms in policy.pins if terms.price is not None}
    return ChatExplained(
        pin=pin,
        model=said.model,
        fingerprint=str(fingerprint or ""),
        prompt=_artifact(release, "model"),
        index=_artifact(release, "index"),
        finish=said.finish,
        input_tokens=said.input_tokens,
        output_tokens=said.output_tokens,
        cached_tokens=said.cached_tokens,
        first_token_ms=said.first_token_us / 1000,
        cost=said.cost_picos / UNIT,
        currency=_currency(currencies, pin),
        price=said.price,
        from_cache=bool(record.flags & Flag.CACHED),
        passages=_passages(plane, record, release),
        guards=tuple(
            GuardExplained(guard=step.name, did=step.outcome, found=step.detail)
            for step in record.steps
            if step.kind == "guard"
        ),
    )


def _currency(currencies: Mapping[str, str], pin: str) -> str:
    """Return the currency of the pin that answered, or the one that all pins share."""
    shared = set(currencies.values())
    return currencies.get(pin) or (shared.pop() if len(shared) == 1 else "")


def _artifact(release: Release | None, role: str) -> Digest:
    artifact = release.candidate.artifact(role) if release is not None else None
    return artifact.digest if artifact is not None else ""


def _passages(plane: Plane, record: Record, release: Release | None) -> tuple[PassageExplained, ...]:
    ids = passages_of(record)
    found = None
    if release is not None and ids:
        with suppress(ArtifactError):
            found = Passages(plane.artifacts).of(release.candidate, ids)
    known = {one.id: one for one in found or ()}
    return tuple(
        PassageExplained(
            n=n,
            id=name,
            source=known[name].source if name in known else name.partition("#")[0],
            heading=" > ".join(known[name].trail) if name in known else "",
            text=known[name].text if name in known else "",
        )
        for n, name in enumerate(ids, start=1)
    )
