"""Token counts: the provider's where it gave them, an estimate of ours where it did not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, cast

import msgspec

from roadworthy.domain.pin import Usage
from roadworthy.ports.chat import Document

CHARACTERS_A_TOKEN: Final = 4
"""What the providers state as a rule of thumb for English; other languages have fewer characters a token."""
_ENCODE: Final = msgspec.json.Encoder().encode


def estimate_tokens(characters: int) -> int:
    """Estimate how many tokens some text is, rounded up."""
    return -(-characters // CHARACTERS_A_TOKEN)


def estimate_input(request: Document) -> int:
    """Estimate what a request's messages, tools and schema are in tokens, from their JSON text."""
    parts = (request.get("messages"), request.get("tools"), request.get("response_format"))
    return estimate_tokens(sum(len(_ENCODE(part)) for part in parts if part))


def estimate_texts(texts: Sequence[str]) -> int:
    """Estimate what texts to embed are in tokens."""
    return sum(estimate_tokens(len(text)) for text in texts)


def estimate_answer(document: Document) -> int:
    """Estimate what an answer's choices are in tokens."""
    characters = 0
    for choice in document["choices"]:
        message = choice["message"]
        characters += len(message.get("content") or "")
        if calls := message.get("tool_calls"):
            characters += len(_ENCODE(calls))
    return estimate_tokens(characters)


def usage_in(document: Mapping[str, Any]) -> Usage | None:
    """Read OpenAI's `usage` object; None where it is absent or holds no counts."""
    stated = document.get("usage")
    if not isinstance(stated, dict):
        return None
    stated = cast("dict[str, Any]", stated)
    given, made = stated.get("prompt_tokens"), stated.get("completion_tokens", 0)
    if not isinstance(given, int) or not isinstance(made, int) or given < 0 or made < 0:
        return None
    details = stated.get("prompt_tokens_details")
    cached = cast("dict[str, Any]", details).get("cached_tokens") if isinstance(details, dict) else 0
    return Usage(input=given, output=made, cached_input=min(cached, given) if isinstance(cached, int) else 0)


def usage_document(usage: Usage) -> dict[str, Any]:
    """Write a usage as OpenAI's `usage` object."""
    return {
        "prompt_tokens": usage.input,
        "completion_tokens": usage.output,
        "total_tokens": usage.input + usage.output,
        "prompt_tokens_details": {"cached_tokens": usage.cached_input},
    }
