"""A pin's prompts are built into its release: an artifact, and part of the pin's identity."""

from __future__ import annotations

from pathlib import Path

import pytest

from llm_kit import make_chat, pin_of
from providers_kit import MockOpenAI
from roadworthy.domain.pin_watch import PROMPTS
from roadworthy.errors import InputError
from roadworthy.lifecycle.accept_pin import pins_of
from roadworthy.lifecycle.pin_books import PinBooks

MINE = "# what to ask\n" + "".join(f"Is {n} odd?\n\n" for n in range(6))


def test_prompts_of_ones_own_make_another_pin_and_another_release(tmp_path: Path):
    """Other prompts need other reference rounds, so nothing of the old pin is taken over."""
    with MockOpenAI() as provider:
        chat = make_chat(tmp_path, {"main": pin_of(provider)}, files={"probes.txt": MINE})
        books = PinBooks(chat.plane)
        (before,) = pins_of(chat.plane, "helper")
        assert books.prompts(before.pin) == PROMPTS
        candidate = chat.release(pins={"main": pin_of(provider, probes="probes.txt")})
        after = pins_of(chat.plane, "helper")[0]
        assert books.prompts(after.pin) == tuple(f"Is {n} odd?" for n in range(6))
        assert candidate.artifact("probes/main").digest == after.pin.probes
        assert before.pin.id != after.pin.id
        chat.plane.close()


@pytest.mark.parametrize(
    "text", ["one\ntwo\nthree\nfour\nfour\n", "x" * 501 + "\na\nb\nc\nd\n", "\n".join(map(str, range(501)))]
)
def test_too_few_too_many_or_too_long_prompts_are_refused(tmp_path: Path, text: str):
    """Five different prompts at least, or the test could not tell chance from change."""
    with MockOpenAI() as provider:
        chat = make_chat(tmp_path, {"main": pin_of(provider)}, files={"probes.txt": text})
        with pytest.raises(InputError):
            chat.build(pins={"main": pin_of(provider, probes="probes.txt")})
        chat.plane.close()
