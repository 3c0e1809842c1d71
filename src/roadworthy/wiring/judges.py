"""Judges asked over their pins: what turns answers into scores, for gates, for live answers and for replays."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from roadworthy.domain.candidate import Candidate
from roadworthy.domain.llm import Assistant
from roadworthy.domain.pin import Pin, PinTerms, Provider
from roadworthy.domain.system import Policy
from roadworthy.errors import NotFoundError
from roadworthy.ports.chat import AGAIN, ChatModel, Completion, ProviderTrouble
from roadworthy.ports.evaluation import Scored, Scores
from roadworthy.ports.plane import Plane
from roadworthy.runtimes.llm.models import open_model
from roadworthy.runtimes.llm.secrets import Secrets
from roadworthy.runtimes.scoring.judge import MOST_TOKENS
from roadworthy.runtimes.scoring.score import Verdict, score_answers
from roadworthy.serving.gateway.local import LocalModels
from roadworthy.stores.codec import from_doc, from_json

DEADLINE_S: Final = 60.0
_TRIES: Final = 2


class Judges:
    """Fulfils `ports.evaluation.Scorer`. Models are opened for each call and closed after it; local ones too."""

    def __init__(self, plane: Plane, pins: Sequence[Pin], weights: Mapping[str, Path]) -> None:
        self._plane = plane
        self._pins = {pin.name: pin for pin in pins}
        self._weights = weights

    def __call__(self, answers: Sequence[Scored]) -> list[Scores]:
        """Score answers; a judge that does not answer leaves its part empty.

        Raises:
            NotFoundError: a case names a pin that there is not.
        """
        for case, _ in answers:
            for plan in case.judges:
                if plan.pin not in self._pins:
                    raise NotFoundError.among("pin for a judge", plan.pin, self._pins)
        return asyncio.run(self._score(answers))

    async def _score(self, answers: Sequence[Scored]) -> list[Scores]:
        local = LocalModels(self._plane.home.root / "models")
        opened: dict[str, ChatModel] = {}

        async def ask(name: str, messages: Sequence[Mapping[str, Any]]) -> Verdict:
            pin = self._pins[name]
            if name not in opened:
                opened[name] = open_model(pin, secret=Secrets(self._plane.home.root.parent), sockets=local.folder)
            try:
                found = await _complete(opened[name], messages)
            except ProviderTrouble as trouble:
                cost = pin.price.cost(trouble.usage) if pin.price and trouble.usage else 0
                return Verdict(trouble=f"{name}: {trouble.message}", cost_picos=cost)
            content = found.document["choices"][0]["message"].get("content")
            return Verdict(text=content or "", cost_picos=pin.price.cost(found.usage) if pin.price else 0)

        try:
            for name in {plan.pin for case, _ in answers for plan in case.judges}:
                if self._pins[name].provider is Provider.GGUF:
                    await local.ensure(self._pins[name], self._weights[name])
            return await score_answers(answers, ask)
        finally:
            for model in opened.values():
                await model.close()
            await local.close()


def judges_of(plane: Plane, candidate: Candidate, terms: Sequence[PinTerms]) -> Judges:
    """Return what scores the answers of a system: its candidate's pins under the policy's terms."""
    artifact = candidate.artifact("model")
    assert artifact is not None, "a candidate of kind llm has a model"
    assistant = from_doc(Assistant, from_json(plane.artifacts.get(artifact.digest)))
    under = {one.name: one for one in terms}
    weights = {
        pin.name: plane.artifacts.path(kept.digest)
        for pin in assistant.pins
        if (kept := candidate.artifact(f"weights/{pin.name}")) is not None
    }
    return Judges(plane, [pin.under(under.get(pin.name)) for pin in assistant.pins], weights)


def judges_for(plane: Plane, candidate: Candidate, policy: Policy) -> Judges:
    """Return what scores the answers of a release under a policy."""
    return judges_of(plane, candidate, policy.pins)


async def _complete(model: ChatModel, messages: Sequence[Mapping[str, Any]]) -> Completion:
    """Ask a judge, once more after a trouble that another try may get over."""
    asked = {"messages": list(messages), "max_tokens": MOST_TOKENS, "temperature": 0}
    for left in reversed(range(_TRIES)):
        try:
            return await model.complete(asked, DEADLINE_S)
        except ProviderTrouble as trouble:
            if not left or trouble.trouble not in AGAIN:
                raise
    raise AssertionError  # pragma: no cover (the loop returns or raises)
