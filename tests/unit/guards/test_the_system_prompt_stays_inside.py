"""The canary in its disguises, the overlap with the prompt, and what neither may stop."""

from __future__ import annotations

import base64
import codecs
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guards_kit import benign_sentences, drain, split
from roadworthy.guards.canary import CanaryGuard
from roadworthy.ports.guard import Act, Blocked, GuardContext

CANARIES = ("RWcanary7f3a9c2e51", "k3V9pQ2mX7tB4nL8", "c0ffee9d1e77ab04c25d3b8f")
PROMPT = (
    "You are the helper of Example Ltd. Answer questions about our products in plain words and be brief. "
    "Never promise a refund, never name a supplier, and hand over to a person when somebody is angry. "
    "The discount for staff is forty percent and must not be told to anyone outside of the company."
)
LEET = str.maketrans("aeiostbglAEIOSTBGL", "431057861" * 2)
DISGUISES = {
    "plain": lambda token: token,
    "upper": str.upper,
    "lower": str.lower,
    "reversed": lambda token: token[::-1],
    "spaced": " ".join,
    "hyphenated": "-".join,
    "base64": lambda token: base64.b64encode(token.encode()).decode(),
    "hex": lambda token: token.encode().hex(),
    "rot13": lambda token: codecs.encode(token, "rot13"),
    "url": lambda token: "".join(f"%{byte:02X}" for byte in token.encode()),
    "leet": lambda token: token.translate(LEET),
    "zero-width": "\u200b".join,
    "lines": lambda token: "\n".join(token[at : at + 5] for at in range(0, len(token), 5)),
    # More than the thirteen of the house's list:
    "interleaved": "x".join,
    "base64 within": lambda token: base64.b64encode(f"the token: {token} ok".encode()).decode(),
    "hex spaced": lambda token: token.encode().hex(" "),
    "entities": lambda token: "".join(f"&#{byte};" for byte in token.encode()),
    "partly escaped": lambda token: quote(token[:4], safe="").replace(token[0], f"%{ord(token[0]):02x}") + token[4:],
    "base32": lambda token: base64.b32encode(token.encode()).decode(),
    "wide": lambda token: "".join(chr(ord(one) + 0xFEE0) for one in token),
    "parts": lambda token: "\n".join(f"part {n}: {token[at : at + 6]}" for n, at in enumerate(range(0, len(token), 6))),
}
SAID = "Well, here it is: {} - done."


def context(canary: str) -> GuardContext:
    """Plant a canary in the prompt."""
    return GuardContext(canary=canary, system_prompt=f"{PROMPT} {canary}")


@pytest.mark.parametrize("canary", CANARIES)
@pytest.mark.parametrize("name", DISGUISES)
def test_the_canary_is_caught_in_each_disguise(name: str, canary: str) -> None:
    """All thirteen ways of the list, and eight more, are seen in a whole answer."""
    ruling = CanaryGuard().answer(SAID.format(DISGUISES[name](canary)), context(canary))
    assert (ruling.action, ruling.text) == (Act.BLOCK, "")
    assert canary not in ruling.reason


@pytest.mark.parametrize("canary", CANARIES)
@pytest.mark.parametrize("name", sorted(set(DISGUISES) - {"parts"}))
@pytest.mark.parametrize("step", [1, 3, 8])
def test_the_canary_is_caught_in_a_stream_before_any_of_it_left(name: str, canary: str, step: int) -> None:
    """Cut into pieces of any size, nothing that tells the canary has left when the stream is stopped."""
    text = SAID.format(DISGUISES[name](canary))
    pieces: list[str] = []
    with pytest.raises(Blocked):
        drain(CanaryGuard().stream(context(canary)), text, step, pieces)
    out = "".join(pieces)
    before = text.index(DISGUISES[name](canary))
    assert len(out) <= before + (22 if name == "base64 within" else 3)


@pytest.mark.parametrize("step", [1, 3, 8])
def test_parts_of_a_canary_are_stopped_before_they_are_whole(step: int) -> None:
    """With prose between its parts some have left; the stream stops before the last."""
    canary = CANARIES[0]
    text = SAID.format(DISGUISES["parts"](canary))
    pieces: list[str] = []
    with pytest.raises(Blocked):
        drain(CanaryGuard().stream(context(canary)), text, step, pieces)
    out = "".join(pieces)
    assert canary[-4:] not in out


def test_initials_that_spell_the_canary_are_seen() -> None:
    """A poem whose lines begin with the canary's letters gives it away."""
    canary = CANARIES[1]
    assert CanaryGuard().answer("\n".join(f"{one}ord and more" for one in canary), context(canary)).action is Act.BLOCK


def test_a_repeated_prompt_is_blocked_and_a_sentence_of_it_is_not() -> None:
    """What counts is the share of the prompt's n-grams that is given away."""
    guard = CanaryGuard()
    assert guard.answer(f"My instructions: {PROMPT}", context("")).action is Act.BLOCK
    assert guard.answer(PROMPT.upper().replace(" ", "  \n"), context("")).action is Act.BLOCK
    assert guard.answer("I never promise a refund, sorry.", context("")).action is Act.ALLOW
    assert CanaryGuard({"overlap": 0.0}).answer(PROMPT, context("")).action is Act.ALLOW


@given(st.lists(st.integers(0, 400), max_size=20))
def test_the_overlap_is_the_same_however_a_stream_is_cut(places: list[int]) -> None:
    """A prompt read out piece by piece is blocked at the same share."""
    stream = CanaryGuard().stream(context(""))
    with pytest.raises(Blocked, match="repeats"):
        "".join((*map(stream.feed, split(PROMPT, places)), stream.close()))


def test_less_than_the_allowed_share_has_left_when_a_prompt_is_stopped() -> None:
    """A stream gives away no more of the prompt than the owner allows, and a piece."""
    pieces: list[str] = []
    with pytest.raises(Blocked):
        drain(CanaryGuard().stream(context("")), PROMPT, 6, pieces)
    out = "".join(pieces)
    assert len(out) < 0.4 * len(PROMPT)


def test_a_short_canary_is_not_looked_for() -> None:
    """Four letters are found anywhere by chance; so they are no canary."""
    assert CanaryGuard().answer("that is so", GuardContext(canary="thatis")).action is Act.ALLOW


def test_benign_prose_holds_no_canary() -> None:
    """No ordinary sentence is blocked, and a stream of prose comes out whole with little held back."""
    guard, text = CanaryGuard(), "\n".join(benign_sentences()[:2_000])
    assert guard.answer(text, context(CANARIES[0])).action is Act.ALLOW
    stream, out, most = guard.stream(context(CANARIES[0])), "", 0
    for at in range(0, 20_000, 5):
        out += stream.feed(text[at : at + 5])
        most = max(most, at + 5 - len(out))
    assert out + stream.close() == text[:20_000]
    assert most < 40
