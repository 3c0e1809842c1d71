"""Vectors for texts, by the pins of a system that have them: the routed release's pin first, then the policy's."""

from __future__ import annotations

import struct
import time
from base64 import b64encode
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, cast

from roadworthy.domain.principal import Key
from roadworthy.ports.chat import Embedded, ProviderTrouble
from roadworthy.serving.attempt import Intake
from roadworthy.serving.gateway.answer import ChatAnswerer
from roadworthy.serving.gateway.chain import links
from roadworthy.serving.gateway.paying import Passed
from roadworthy.serving.gateway.place import ChatPlace
from roadworthy.serving.gateway.request import BadRequest, ChatRequest, system_named
from roadworthy.serving.gateway.turn import Said, Turn
from roadworthy.serving.problem import Problem

_MOST_TEXTS: Final = 2_048


async def embed(
    answerer: ChatAnswerer, place: ChatPlace, intake: Intake, key: Key, document: Mapping[str, Any]
) -> tuple[Turn, dict[str, Any]]:
    """Return the turn, to be recorded, and OpenAI's answer.

    Raises:
        BadRequest: the input is no text or list of texts.
        Problem: no pin gave vectors; the turn is recorded.
    """
    texts, spell = _texts(document), _spelling(document)
    request = ChatRequest(system=system_named(document), messages=[], question="", earlier=[])
    turn = answerer.begin(place, intake, key, request, frozenset(), use_cache=False)
    try:
        answerer.must_run(turn)
    except Problem as problem:
        answerer.recorder.refuse(turn, problem)
        raise
    turn.step("embedding", place.name, "asked", 0, f"{len(texts)} texts")
    deadline = intake.started + place.deadline_s
    for link in links(place, turn.intended):
        held = link.ready.models.get(link.pin) if link.ready is not None else None
        if held is None:
            continue
        try:
            found = await answerer.caller.embed(turn, held, texts, max(0.001, deadline - time.perf_counter()))
        except Passed as passed:
            turn.step("attempt", link.name, passed.outcome, 0, passed.detail)
        except ProviderTrouble:
            continue
        else:
            turn.answered_by, turn.said = link, Said(text="", finish="embedded")
            return turn, _told(place, found, spell)
    problem = answerer.none_left(turn)
    answerer.recorder.refuse(turn, problem)
    raise problem


def _texts(document: Mapping[str, Any]) -> list[str]:
    given = document.get("input")
    texts: list[Any] = [given] if isinstance(given, str) else cast("list[Any]", given)
    if not isinstance(texts, list) or not texts or not all(isinstance(text, str) and text for text in texts):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise BadRequest("'input' must be a text or a list of texts", "input")
    if len(texts) > _MOST_TEXTS:
        raise BadRequest(f"'input' holds more than {_MOST_TEXTS:,} texts", "input")
    if document.get("dimensions") is not None:
        raise BadRequest("'dimensions' is the model's, it cannot be asked for", "dimensions")
    return texts


def _spelling(document: Mapping[str, Any]) -> Callable[[Sequence[float]], list[float] | str]:
    """Return how vectors are written: as numbers, or as their bytes, which OpenAI's own client asks for.

    Raises:
        BadRequest: in neither way.
    """
    wanted = document.get("encoding_format")
    if wanted in (None, "float"):
        return list
    if wanted == "base64":
        return lambda vector: b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode()
    raise BadRequest("'encoding_format' must be float or base64", "encoding_format")


def _told(place: ChatPlace, found: Embedded, spell: Callable[[Sequence[float]], list[float] | str]) -> dict[str, Any]:
    data = [{"object": "embedding", "index": at, "embedding": spell(one)} for at, one in enumerate(found.vectors)]
    used = found.usage.input
    return {
        "object": "list", "data": data, "model": place.name, "usage": {"prompt_tokens": used, "total_tokens": used},
    }  # fmt: skip
