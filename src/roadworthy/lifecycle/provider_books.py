"""Ask a provider's books what a call cost that nobody saw the end of."""

from __future__ import annotations

import asyncio
from pathlib import Path

from roadworthy.domain.open_call import OURS, OpenCall
from roadworthy.domain.pin import Pin, Provider, Usage
from roadworthy.errors import UnavailableError
from roadworthy.lifecycle.settle import Ask
from roadworthy.ports.chat import ChatModel, ProviderTrouble


def books_of(root: Path) -> Ask:
    """Return what asks; blocking, for a thread of its own. `root` is where relative references to secrets start."""

    def ask(call: OpenCall) -> Usage | None:
        # Speaking to providers needs an extra; a home without paid calls never comes here.
        from roadworthy.runtimes.llm.models import open_model
        from roadworthy.runtimes.llm.secrets import Secrets

        model = open_model(_pin(call), secret=Secrets(root), sockets=root)
        try:
            return asyncio.run(_usage(model, call))
        except ProviderTrouble as trouble:
            raise UnavailableError(f"the books of {call.pin} do not answer: {trouble.message}") from trouble

    return ask


def _pin(call: OpenCall) -> Pin:
    return Pin(
        name=call.pin,
        provider=Provider(call.provider),
        model=call.model,
        url=call.url,
        key=call.secret,
        lookup=call.lookup,
        price=call.price,
    )


async def _usage(model: ChatModel, call: OpenCall) -> Usage | None:
    try:
        return await model.usage_of(f"{OURS}{call.id}")
    finally:
        await model.close()
