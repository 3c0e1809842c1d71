"""One question on its way to an answer: what is known of it, what was done about it, what came out."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from roadworthy.domain.digest import Digest
from roadworthy.domain.open_call import OpenCall
from roadworthy.domain.pin import Usage
from roadworthy.domain.principal import Key
from roadworthy.domain.record import StepTaken
from roadworthy.ports.chat import ProviderTrouble
from roadworthy.ports.guard import GuardContext
from roadworthy.ports.wallet import Reservation
from roadworthy.runtimes.rag.index import Retrieval
from roadworthy.serving.attempt import Intake
from roadworthy.serving.gateway.chain import Link
from roadworthy.serving.gateway.cleaning import Cleaner
from roadworthy.serving.gateway.place import ChatPlace, ChatReady, Held
from roadworthy.serving.gateway.request import ChatRequest


@dataclass(slots=True)
class Prepared:
    """A question as one release would put it to its model. `abstains` says that the passages do not carry it.

    `context` is what its guards may know, once one of them was asked.
    """

    messages: list[dict[str, Any]]
    found: Retrieval | None
    abstains: bool
    context: GuardContext | None = None


@dataclass(slots=True)
class Payment:
    """What pays for one attempt at `body`. Without a budget nothing is set aside, the turn's cost is only added up."""

    held: Held
    body: Mapping[str, Any]
    reservation: Reservation | None = None
    call: OpenCall | None = None


@dataclass(slots=True, kw_only=True)
class Said:
    """What came out. `document` is the provider's `chat.completion` where there is one, to be passed on."""

    text: str
    finish: str = "stop"
    document: Mapping[str, Any] | None = None
    tool_calls: Any = None
    refusal: str = ""

    @property
    def outcome(self) -> str:
        """Return the finish for the record: a model may refuse in words of their own field, and finish with `stop`."""
        return "refusal" if self.refusal and self.finish == "stop" else self.finish


@dataclass(slots=True, kw_only=True)
class Turn:
    """The state of one request. Costs and usage add up over every call that was made for it.

    `paid` are settled once the record is written; of `unknown` nobody knows yet what they cost. `unread` are answers
    that a guard stopped, still read to their ends for what they cost; `refused` is the trouble of a provider that did
    not take the caller's request.
    """

    place: ChatPlace
    intake: Intake
    key: Key
    request: ChatRequest
    record: str
    intended: Digest
    arm: str
    classes: frozenset[str] = frozenset()
    entity: str = ""
    subject: str = ""
    use_cache: bool = True
    steps: list[StepTaken] = field(default_factory=list[StepTaken])
    prepared: dict[Digest, Prepared] = field(default_factory=dict[Digest, Prepared])
    flags: int = 0
    error: str = ""
    cost: int = 0
    attempts: int = 0
    paid: list[Reservation] = field(default_factory=list[Reservation])
    unknown: list[Payment] = field(default_factory=list[Payment])
    unread: list[asyncio.Task[None]] = field(default_factory=list[asyncio.Task[None]])
    refused: ProviderTrouble | None = None
    usage: Usage = field(default_factory=Usage)
    first_token_us: int = 0
    model: str = ""
    fingerprint: str = ""
    price: str = ""
    answered_by: Link | None = None
    said: Said | None = None
    abstained: bool = False
    from_cache: bool = False
    is_masked: bool = False
    known_clean: frozenset[str] = frozenset()
    cleaner: Cleaner = field(default_factory=Cleaner)
    is_gone: bool = False
    is_recorded: bool = False

    @property
    def ready(self) -> ChatReady | None:
        """Return the release that answered, if one did."""
        return self.answered_by.ready if self.answered_by else None

    @property
    def mark(self) -> str:
        """Return how the answer is marked: empty where the intended release's own pin gave it."""
        return self.answered_by.mark if self.answered_by else ""

    def step(self, kind: str, name: str, outcome: str, took_us: int = 0, detail: str = "") -> None:
        """Note what was done."""
        self.steps.append(StepTaken(kind, name, outcome, took_us, detail))

    @property
    def passages(self) -> list[str]:
        """Return the ids of what was retrieved for the release that answered, best first."""
        known = self.prepared.get(self.ready.id) if self.ready else None
        return [hit.id for hit in known.found.hits] if known is not None and known.found is not None else []
