"""A stream's pieces, joined, are what the guard makes of the whole answer, wherever it is cut."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from guards_kit import PERSONAL, SURROUNDINGS, benign_sentences, drain, keys, split
from roadworthy.guards.egress import EgressGuard
from roadworthy.guards.pii import PiiGuard
from roadworthy.guards.secrets import SecretsGuard
from roadworthy.ports.guard import Act, Blocked, GuardContext

CONTEXT = GuardContext(allowed_hosts=("docs.example.com",))
KEYS = keys()
LINKS = (
    "https://evil.com/a?b=c",
    "![x](//evil.com/y.png)",
    '<img src="ht&#116;ps://evil.com/z" alt="q">',
    "evil.com/path",
)
SAMPLES = (*KEYS.values(), *(value for values in PERSONAL.values() for value in values), *LINKS)
PROSE = benign_sentences()[::97]


def through(guard, text: str, places: list[int]) -> str:
    """Return what leaves of a text that comes cut at these places."""
    stream = guard.stream(CONTEXT)
    return "".join(stream.feed(piece) for piece in split(text, places)) + stream.close()


@pytest.mark.parametrize("name", KEYS)
def test_a_key_cut_anywhere_does_not_pass(name: str) -> None:
    """At every place at which a stream may be cut in two, the key is masked as in the whole answer."""
    text = SURROUNDINGS[0].format(KEYS[name])
    guard = SecretsGuard()
    whole = guard.answer(text, CONTEXT).text
    assert whole != text
    assert {through(guard, text, [place]) for place in range(len(text) + 1)} == {whole}


@pytest.mark.parametrize("guard", [SecretsGuard(), PiiGuard(), EgressGuard()], ids=lambda guard: guard.name)
@pytest.mark.parametrize("sample", SAMPLES)
def test_letter_by_letter_is_as_at_once(guard, sample: str) -> None:
    """The slowest stream there is gives what the whole answer gives."""
    for surrounding in SURROUNDINGS:
        text = surrounding.format(sample)
        assert through(guard, text, list(range(len(text)))) == guard.answer(text, CONTEXT).text


@settings(max_examples=150)
@given(
    st.lists(st.one_of(st.sampled_from(SAMPLES), st.sampled_from(PROSE)), min_size=1, max_size=5),
    st.lists(st.integers(0, 3_000), max_size=12),
    st.sampled_from([" and ", "\nnext: ", "; then "]),
)
def test_a_stream_cut_at_random_is_as_the_whole(parts: list[str], places: list[int], joint: str) -> None:
    """Whatever follows whatever and wherever it is cut, the joined pieces are the guarded answer."""
    text = joint.join(parts)
    for guard in (SecretsGuard(), PiiGuard(), EgressGuard()):
        assert through(guard, text, places) == guard.answer(text, CONTEXT).text


@pytest.mark.parametrize("guard", [SecretsGuard(), PiiGuard(), EgressGuard()], ids=lambda guard: guard.name)
def test_little_is_held_back(guard) -> None:
    """Of prose no more than the last words wait, so that the first word leaves with the second."""
    text = " ".join(PROSE)
    stream, out, most = guard.stream(CONTEXT), 0, 0
    for at in range(0, len(text), 4):
        out += len(stream.feed(text[at : at + 4]))
        most = max(most, min(at + 4, len(text)) - out)
    longest = max(map(len, text.split()))
    assert most <= longest + 72
    assert stream.feed("Hello there ") != ""


def test_a_secret_too_long_to_hold_is_swallowed() -> None:
    """A key block of any length leaves one mark, and what follows it passes."""
    block = "-----BEGIN PRIVATE KEY-----\n" + "MIIEvQIBADANBgkqhkiG9w0BAQEFAASC\n" * 600 + "-----END PRIVATE KEY-----"
    text = f"take {block} and sk-proj-{'aB3' * 4_000} then go"
    out = through(SecretsGuard(), text, list(range(0, len(text), 11)))
    assert out == "take [key:private_key] and [key:openai] then go"


def test_a_row_of_numbers_flows() -> None:
    """A table of figures is no telephone number and does not wait for its end."""
    stream = PiiGuard().stream(CONTEXT)
    out = "".join(stream.feed(f"{number} ") for number in range(100, 400))
    assert len(out) > 1_000


@pytest.mark.parametrize("guard", [SecretsGuard, PiiGuard])
def test_a_blocking_guard_stops_the_stream_before_the_value_leaves(guard) -> None:
    """With `on_answer: block` nothing of the value has left when the stream is stopped."""
    strict = guard({"on_answer": "block"})
    text = f"one two {KEYS['github']} ann@example.com three"
    pieces: list[str] = []
    with pytest.raises(Blocked) as raised:
        drain(strict.stream(CONTEXT), text, 1, pieces)
    out = "".join(pieces)
    assert raised.value.ruling.action is Act.BLOCK
    assert "ghp" not in out or guard is PiiGuard
    assert "ann" not in out


def test_a_stream_says_what_it_did() -> None:
    """After the end the record's step gets counts by rule, and no text."""
    stream = PiiGuard().stream(CONTEXT)
    stream.feed("a@b.com and c@d.org and 10.1.2.3 ")
    stream.close()
    ruling = stream.ruling()
    assert ruling.action is Act.ALTER
    assert [(hit.rule, hit.count) for hit in ruling.hits] == [("email", 2), ("ip", 1)]
    assert ruling.text == ""
