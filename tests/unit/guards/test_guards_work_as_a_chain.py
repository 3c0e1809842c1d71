"""All installed guards: their contract, and what they are together."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from guards_kit import PERSONAL, benign_sentences, keys, split
from roadworthy import plugins
from roadworthy.errors import InputError
from roadworthy.guards.chain import GuardChain
from roadworthy.guards.pii import PiiGuard
from roadworthy.guards.secrets import SecretsGuard
from roadworthy.ports.guard import Act, Blocked, GuardContext, Limits

NAMES = ("limits", "secrets", "pii", "egress", "canary", "output_schema")
CANARY = "RWcanary7f3a9c2e51"
PROMPT = (
    "Answer questions about our products in plain words and be brief, and never promise anybody a refund at all. "
    + CANARY
)
CONTEXT = GuardContext(canary=CANARY, system_prompt=PROMPT, allowed_hosts=("docs.example.com",))
KEYS = keys()
DIRTY = (
    *KEYS.values(),
    *(value for values in PERSONAL.values() for value in values),
    "https://evil.com/x",
    "//evil.com/y",
)


def chain() -> GuardChain:
    """Put all installed guards in a row."""
    return GuardChain([plugins.load("guards", name) for name in NAMES])


def test_the_guards_are_installed_under_their_names() -> None:
    """The name in the manifest is the entry point's name is the guard's name."""
    assert sorted(plugins.names("guards")) == sorted(NAMES)
    assert [plugins.load("guards", name).name for name in NAMES] == list(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_a_guard_takes_its_defaults_and_nothing_else(name: str) -> None:
    """Every parameter has a default that it accepts; an unknown one is an error that names the known ones."""
    guard = plugins.load("guards", name)
    assert guard.needs
    assert type(guard.configured(guard.defaults)) is type(guard)
    assert json.loads(json.dumps(guard.defaults)) == guard.defaults
    with pytest.raises(InputError, match="no parameter 'nonsense'"):
        guard.configured({"nonsense": 1})
    with pytest.raises(InputError, match="must be"):
        guard.configured({next(iter(guard.defaults)): object()})


@pytest.mark.parametrize("name", NAMES)
def test_a_ruling_holds_nothing_of_what_was_found(name: str) -> None:
    """Hits and reasons may be logged: they name rules and counts."""
    guard = plugins.load("guards", name)
    text = " ".join((*DIRTY, CANARY))
    ruling = guard.answer(
        text, GuardContext(canary=CANARY, output_schema={"type": "object"}, limits=Limits(answer_characters=9))
    )
    told = f"{ruling.hits} {ruling.reason}"
    assert ruling.action is not Act.ALLOW
    assert not any(value in told for value in (*DIRTY, CANARY))


def test_a_question_goes_to_the_provider_masked_in_all_its_parts() -> None:
    """Contents, parts, tool results, tool calls, names: every place where text may stand."""
    secret, mail = KEYS["github"], "ann@example.com"
    request = {
        "messages": [
            {"role": "system", "content": f"the key is {secret}"},
            {"role": "user", "name": mail, "content": [{"type": "text", "text": f"I am {mail}"}]},
            {
                "role": "assistant",
                "tool_calls": [{"id": "c1", "type": "function", "function": {"name": "f", "arguments": mail}}],
            },
            {"role": "tool", "tool_call_id": "c1", "content": f"found {secret} for {mail}"},
        ],
        "user": mail,
        "temperature": 0.2,
        "tools": [{"type": "function", "function": {"name": "f", "parameters": {}}}],
    }
    before = json.dumps(request)
    guarded = chain().question(request, CONTEXT)
    sent = json.dumps(guarded.request)
    assert guarded.action is Act.ALTER
    assert secret not in sent
    assert mail not in sent
    assert sent.count("[email]") == 5
    assert guarded.request["messages"][3]["tool_call_id"] == "c1"
    assert guarded.request["tools"] is request["tools"]
    assert json.dumps(request) == before


def test_a_clean_question_goes_as_it_came() -> None:
    """Nothing is copied or changed when there is nothing to mask."""
    request = {"messages": [{"role": "user", "content": "What is a canary?"}]}
    guarded = chain().question(request, CONTEXT)
    assert guarded.request is request
    assert [ruling.guard for ruling in guarded.rulings] == list(NAMES)


@pytest.mark.parametrize("guard", [SecretsGuard, PiiGuard])
def test_a_question_is_blocked_or_let_through_where_the_owner_says_so(guard: type) -> None:
    """`on_question` decides; an allowed class passes whatever the parameter."""
    request = {"messages": [{"role": "user", "content": f"{KEYS['aws']} ann@example.com"}]}
    assert guard({"on_question": "block"}).question(request, CONTEXT).action is Act.BLOCK
    assert guard({"on_question": "allow"}).question(request, CONTEXT).action is Act.ALLOW
    free = GuardContext(allowed_classes=frozenset(("key", "email")))
    assert guard({"on_question": "block"}).question(request, free).action is Act.ALLOW


def test_the_first_guard_that_blocks_ends_the_chain() -> None:
    """What is blocked is not looked at further, and the outcome names who blocked it."""
    guarded = chain().answer(f"it is {CANARY}", CONTEXT)
    assert guarded.action is Act.BLOCK
    assert guarded.text == ""
    assert guarded.blocked is not None
    assert guarded.blocked.guard == "canary"
    assert [ruling.guard for ruling in guarded.rulings] == ["limits", "secrets", "pii", "egress", "canary"]


@settings(max_examples=80)
@given(
    st.lists(st.one_of(st.sampled_from(DIRTY), st.sampled_from(benign_sentences()[::211])), min_size=1, max_size=5),
    st.lists(st.integers(0, 3_000), max_size=10),
)
def test_a_stream_through_all_guards_is_as_the_whole_answer(parts: list[str], places: list[int]) -> None:
    """Guards that each hold back something else do not get in each other's way."""
    text = " and ".join(parts)
    stream = chain().stream(CONTEXT)
    out = "".join(stream.feed(piece) for piece in split(text, places)) + stream.close()
    whole = chain().answer(text, CONTEXT)
    assert out == whole.text
    assert stream.ruling().action is whole.action
    assert sorted(map(str, stream.ruling().hits)) == sorted(str(hit) for one in whole.rulings for hit in one.hits)


def test_a_cut_stream_says_so_at_once() -> None:
    """Whoever reads the provider can stop paying for what nobody will get."""
    stream = chain().stream(GuardContext(limits=Limits(answer_tokens=4)))
    stream.feed("twelve lette")
    assert stream.finish == ""
    stream.feed("rs and more")
    assert stream.finish == "length"


def test_what_is_held_back_at_the_end_still_passes_the_later_guards() -> None:
    """A canary that the mask held back as a last word is stopped by the next guard."""
    stream = chain().stream(CONTEXT)
    stream.feed("it is " + CANARY)
    with pytest.raises(Blocked):
        stream.close()


def test_benign_answers_pass_all_guards() -> None:
    """Of whole answers made of ordinary sentences, at most one sentence in two hundred is altered by any guard."""
    sentences, guards = benign_sentences(), chain()
    altered = [one for one in sentences if guards.answer(one, CONTEXT).action is not Act.ALLOW]
    assert len(altered) <= 0.005 * len(sentences), altered[:5]
