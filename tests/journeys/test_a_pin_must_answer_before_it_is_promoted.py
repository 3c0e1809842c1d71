"""A remote model is loadable when it answers: asked once before its release takes traffic, never at a start."""

from __future__ import annotations

from pathlib import Path

import pytest

from llm_kit import ANA, SYSTEM, Chat, chatting, pin_of
from providers_kit import Fault, MockOpenAI
from roadworthy.errors import UnavailableError
from roadworthy.lifecycle.promote import promote
from roadworthy.wiring import prove_loads
from roadworthy.wiring.prove_routes import unloadable


def put_live(chat: Chat, prompt: str) -> None:
    """Build another prompt and promote it as the command line does."""
    (chat.folder / "prompt.md").write_text(prompt)
    promote(
        chat.plane, SYSTEM, chat.build().id, actor=ANA, prove_loads=prove_loads(chat.plane), force=True, reason="try"
    )


@pytest.mark.parametrize("fault", [Fault.DOWN, Fault.FAILING, Fault.UNAUTHORISED, Fault.BROKEN_JSON])
def test_a_model_that_does_not_answer_is_not_promoted(tmp_path: Path, fault: Fault) -> None:
    """Whoever promotes is told which pin, and why; nothing has changed."""
    with MockOpenAI() as mock, chatting(tmp_path, pins={"main": pin_of(mock)}) as chat:
        before = chat.plane.ledger.head().seq
        mock.fail(fault, 9)
        with pytest.raises(UnavailableError, match=r"pin 'main' \(mock-1\) does not answer"):
            put_live(chat, "# user\nAnother prompt: {{ question }}\n")
        kinds = {event.kind for event in chat.plane.ledger.events(after=before)}
        assert not kinds & {"route.changed", "rollout.started"}


def test_a_model_that_is_only_busy_is_there(tmp_path: Path) -> None:
    """A provider that limits the rate has answered: its model exists and the key is right."""
    with MockOpenAI() as mock, chatting(tmp_path, pins={"main": pin_of(mock)}) as chat:
        mock.fail(Fault.RATE_LIMITED, 1)
        put_live(chat, "# user\nAnother prompt: {{ question }}\n")
        assert chat.ask("Hello?").status == 200


def test_a_provider_that_is_down_stops_no_start(tmp_path: Path) -> None:
    """At a start what is routed is proven to load from its bytes; fallbacks answer for a model that is away."""
    with MockOpenAI() as mock, chatting(tmp_path, pins={"main": pin_of(mock)}) as chat:
        mock.stop()
        assert unloadable(chat.plane) == ()
