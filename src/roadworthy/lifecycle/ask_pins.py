"""Ask a pin one-token questions, one after the other, and read what a round of probes needs from the answers."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from threading import Event
from typing import Any, Final, TypeAlias

from roadworthy.domain.pin import Pin, Usage
from roadworthy.domain.pin_watch import Said
from roadworthy.ports.chat import ChatModel, Completion, Document, ProviderTrouble, Trouble

TOP: Final = 20
DEADLINE_S: Final = 20.0
_FLOOR: Final = -100.0
"""Providers write what is impossible as any very small number; below this one probability is as good as none."""
_FRAME_TOKENS: Final = 64
"""More than any chat format puts around a question."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Heard:
    """What came back: the answers in the order of the questions, and what ended them early, if anything did.

    `usages` are what the calls cost, one each, that of a call without an answer included where it is known.
    """

    answers: Sequence[Completion]
    usages: Sequence[Usage]
    calls: int
    trouble: ProviderTrouble | None = None

    @property
    def said(self) -> tuple[Said, ...]:
        """Return what the provider said it is."""
        return tuple(sorted({Said(one.model[:200], one.fingerprint[:200]) for one in self.answers}))


AskPin: TypeAlias = Callable[[Pin, Sequence[Document]], Heard]
"""Asks a pin, call by call; the first trouble ends it. Blocking, for a thread of its own."""


def asker_of(root: Path, ended: Event) -> AskPin:
    """Return what asks providers. `root` is where relative references to secrets start; `ended` stops between calls."""

    def ask(pin: Pin, requests: Sequence[Document]) -> Heard:
        # Speaking to providers needs an extra; a home without pins never comes here.
        from roadworthy.runtimes.llm.models import open_model
        from roadworthy.runtimes.llm.secrets import Secrets

        return asyncio.run(_ask(open_model(pin, secret=Secrets(root), sockets=root), requests, ended))

    return ask


async def _ask(model: ChatModel, requests: Sequence[Document], ended: Event) -> Heard:
    answers: list[Completion] = []
    usages: list[Usage] = []
    trouble: ProviderTrouble | None = None
    calls = 0
    try:
        for request in requests:
            if ended.is_set():
                trouble = ProviderTrouble(Trouble.SLOW, "this process ends")
                break
            calls += 1
            try:
                found = await model.complete(request, DEADLINE_S)
            except ProviderTrouble as met:
                trouble = met
                usages += [met.usage] if met.usage is not None else []
                break
            answers.append(found)
            usages.append(found.usage)
    finally:
        await model.close()
    return Heard(answers=answers, usages=usages, calls=calls, trouble=trouble)


def likeliest(prompt: str) -> Document:
    """Ask for the log-probabilities of an answer's first token."""
    return _one_token(prompt) | {"temperature": 0, "logprobs": True, "top_logprobs": TOP}


def sampled(prompt: str, temperature: float) -> Document:
    """Ask for an answer's first token."""
    return _one_token(prompt) | {"temperature": temperature}


def most_tokens(prompt: str) -> int:
    """Return how many tokens a provider can bill for a question at most: none is shorter than a byte."""
    return len(prompt.encode()) + _FRAME_TOKENS


def first_token(answer: Document) -> str:
    """Read the token that was answered; empty where there is none."""
    message = answer["choices"][0]["message"]
    return str(message.get("content") or "")


def first_logprobs(answer: Document) -> Mapping[str, float] | None:
    """Read the likeliest first tokens with their log-probabilities; None where the provider gave none."""
    try:
        listed: Any = answer["choices"][0]["logprobs"]["content"][0]["top_logprobs"]
        found = {str(one["token"])[:100]: float(one["logprob"]) for one in listed[:TOP]}
    except (KeyError, TypeError, IndexError, ValueError):
        return None
    kept = {token: max(_FLOOR, value) for token, value in found.items() if not math.isnan(value)}
    # One token alone says nothing about the others' shares: its provider does not really list any.
    return kept if len(kept) > 1 else None


def _one_token(prompt: str) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": prompt}], "max_tokens": 1}
