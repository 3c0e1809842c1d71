"""What is set aside for a call is never less than what it can cost."""

from __future__ import annotations

import pytest

from roadworthy.domain.pin import Pin, Price, Provider
from roadworthy.serving.gateway.paying import Passed, capped, most_input, most_of

PIN = Pin(
    name="main", provider=Provider.OPENAI, model="gpt-4o-mini", url="https://api.example.com/v1", max_output=1_000,
    price=Price(input=150_000, output=600_000),
)  # fmt: skip
IMAGE = {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}}
DEAREST_IMAGE = 2_833 + 8 * 5_667


def asked(content: object) -> dict[str, object]:
    """Write a request with one message."""
    return {"messages": [{"role": "user", "content": content}]}


@pytest.mark.parametrize("text", ["", "a", "ä" * 50, "\U0001f600" * 20, "\x00\n" * 9, "word " * 200])
def test_a_text_is_at_most_a_token_a_byte(text: str) -> None:
    """No tokenizer makes more of a text than its bytes."""
    assert most_input(asked(text)) >= len(text.encode())
    assert most_input(asked([{"type": "text", "text": text}])) >= len(text.encode())


@pytest.mark.parametrize("images", [1, 3])
def test_an_image_counts_as_the_dearest_there_is(images: int) -> None:
    """Its address is short, and says nothing of what the provider will count."""
    parts = [{"type": "text", "text": "what is this?"}, *[IMAGE] * images]
    assert most_of(PIN, asked(parts)).input >= images * DEAREST_IMAGE
    assert most_of(PIN, asked([*parts, {"type": "input_audio"}])).input >= (images + 1) * DEAREST_IMAGE


def test_a_cap_on_one_call_holds_for_images_too() -> None:
    """A call that could cost more is not made; what is left of the cap bounds the answer."""
    assert PIN.price is not None
    with pytest.raises(Passed, match="cap"):
        capped(PIN, asked([IMAGE]), PIN.price.at_most(10_000, 0))
    roomy = PIN.price.at_most(60_000, 0)
    body = capped(PIN, asked([IMAGE]), roomy)
    assert PIN.price.at_most(most_input(body), int(body.get("max_tokens", PIN.max_output))) <= roomy
