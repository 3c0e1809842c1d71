"""A pin is loadable when it answers: one token asked of a remote model before its release is promoted."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

from roadworthy.domain.pin import Pin
from roadworthy.errors import UnavailableError
from roadworthy.lifecycle import present
from roadworthy.ports.chat import ProviderTrouble, Trouble
from roadworthy.ports.plane import Plane
from roadworthy.runtimes.llm.models import open_model
from roadworthy.runtimes.llm.secrets import Secrets

DEADLINE_S: Final = 20.0
_PROBE: Final = {"messages": [{"role": "user", "content": "Say yes."}], "max_tokens": 1, "temperature": 0}
_THERE: Final = frozenset((Trouble.RATE_LIMITED, Trouble.TRUNCATED))
_NOT_FOUND: Final = 404


def prove_answers(plane: Plane, system: str, pin: Pin) -> None:
    """Ask a remote pin for one token under the terms in force; a local one was proven by its digest.

    Raises:
        UnavailableError: it does not answer; says why.
    """
    if pin.is_local:
        return
    terms = next((one for one in present.policy(plane, system).pins if one.name == pin.name), None)
    # In a thread of its own: whoever promotes may be inside an event loop.
    with ThreadPoolExecutor(1) as pool:
        trouble = pool.submit(asyncio.run, _ask(pin.under(terms), plane.home.root.parent)).result()
    if trouble is not None:
        raise UnavailableError(
            f"pin '{pin.name}' ({pin.model}) does not answer: {trouble.message}",
            hint="mend the pin or its key, then run it again",
        )


async def _ask(pin: Pin, project: Path) -> ProviderTrouble | None:
    model = open_model(pin, secret=Secrets(project), sockets=project)
    try:
        await model.complete(_PROBE, DEADLINE_S)
    except ProviderTrouble as trouble:
        refused_as_asked = trouble.trouble is Trouble.REFUSED and trouble.status != _NOT_FOUND
        return None if trouble.trouble in _THERE or refused_as_asked else trouble
    finally:
        await model.close()
    return None
