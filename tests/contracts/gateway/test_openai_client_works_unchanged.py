"""The `openai` client, as it is, against a worker, whichever provider stands behind it."""

from __future__ import annotations

import asyncio
import base64
import json
import socket
import struct
from typing import Any

import openai
import pytest
from pydantic import BaseModel

from llm_kit import SYSTEM, House
from providers_kit import Ask, Reply, vector_of
from roadworthy.domain.record import Flag
from serving_kit import until

WEATHER = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "Tells the weather.",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}


class Visit(BaseModel):
    """A structured answer."""

    place: str
    minutes: int


def user(text: Any) -> list[Any]:
    """Write one message."""
    return [{"role": "user", "content": text}]


def test_a_chat_is_answered_and_says_where_from(house: House) -> None:
    """A caller gets the answer, its cost in tokens, and in `roadworthy` the record and the release."""
    answer = house.chat.client().chat.completions.create(model=SYSTEM, messages=user("good morning"))
    assert answer.choices[0].message.content == "You said: good morning"
    assert answer.choices[0].finish_reason == "stop"
    assert answer.model == SYSTEM
    assert answer.usage.prompt_tokens > 0
    assert answer.usage.completion_tokens == 4
    told = answer.model_extra["roadworthy"]
    assert told["release"] == "helper@v1"
    assert told["fallback"] is None
    assert house.chat.record(told["record"]).status == 200


def test_a_stream_is_one_answer_in_pieces(house: House) -> None:
    """The pieces make up the whole text under one id and one model, and the last one says how it ended."""
    with house.chat.client().chat.completions.create(model=SYSTEM, messages=user("one two three"), stream=True) as come:
        pieces = list(come)
    assert "".join(piece.choices[0].delta.content or "" for piece in pieces) == "You said: one two three"
    assert {piece.id for piece in pieces} == {pieces[0].id}
    assert {piece.model for piece in pieces} == {SYSTEM}
    assert pieces[0].choices[0].delta.role == "assistant"
    assert [piece.choices[0].finish_reason for piece in pieces if piece.choices[0].finish_reason] == ["stop"]
    assert pieces[-1].model_extra["roadworthy"]["release"] == "helper@v1"


def test_usage_of_a_stream_comes_when_asked_for(house: House) -> None:
    """With `include_usage` a last piece without choices tells the tokens; without it there is none."""
    client = house.chat.client()
    asked = client.chat.completions.create(
        model=SYSTEM, messages=user("count me"), stream=True, stream_options={"include_usage": True}
    )
    last = list(asked)[-1]
    assert last.choices == []
    assert last.usage.completion_tokens == 4
    plain = list(client.chat.completions.create(model=SYSTEM, messages=user("count me"), stream=True))
    assert all(piece.choices for piece in plain)


@pytest.mark.parametrize("stream", [False, True])
def test_tools_are_called_and_their_results_answered(house: House, stream: bool) -> None:
    """A tool's call comes to the client, its result goes back, and the model says what it makes of it."""
    client, messages = house.chat.client(), user("please call weather")
    if stream:
        with client.chat.completions.stream(model=SYSTEM, messages=messages, tools=[WEATHER]) as come:
            first = come.get_final_completion()
    else:
        first = client.chat.completions.create(model=SYSTEM, messages=messages, tools=[WEATHER])
    choice = first.choices[0]
    assert choice.finish_reason == "tool_calls"
    call = choice.message.tool_calls[0]
    assert call.function.name == "weather"
    assert json.loads(call.function.arguments) == {"city": "word"}
    asked = {"id": call.id, "type": "function", "function": {"name": "weather", "arguments": call.function.arguments}}
    messages += [
        {"role": "assistant", "content": None, "tool_calls": [asked]},
        {"role": "tool", "tool_call_id": call.id, "content": "sunny and warm"},
    ]
    second = client.chat.completions.create(model=SYSTEM, messages=messages, tools=[WEATHER])
    assert second.choices[0].message.content == "You said: sunny and warm"


def test_a_forced_tool_is_called(house: House) -> None:
    """The choice of a tool reaches the provider."""
    forced = {"type": "function", "function": {"name": "weather"}}
    answer = house.chat.client().chat.completions.create(
        model=SYSTEM, messages=user("hello"), tools=[WEATHER], tool_choice=forced
    )
    assert answer.choices[0].message.tool_calls[0].function.name == "weather"


def test_an_answer_is_parsed_by_a_schema(house: House) -> None:
    """`parse` gives an object of the caller's type."""
    answer = house.chat.client().chat.completions.parse(model=SYSTEM, messages=user("plan"), response_format=Visit)
    assert answer.choices[0].message.parsed == Visit(place="word", minutes=1)


def test_a_stream_is_parsed_by_a_schema(house: House) -> None:
    """So does a streamed answer."""
    client = house.chat.client()
    with client.chat.completions.stream(model=SYSTEM, messages=user("plan"), response_format=Visit) as come:
        final = come.get_final_completion()
    assert final.choices[0].message.parsed == Visit(place="word", minutes=1)


def test_limits_reach_the_provider(house: House) -> None:
    """A limit of the caller's cuts the answer, and the client sees that it was cut."""
    answer = house.chat.client().chat.completions.create(
        model=SYSTEM, messages=user("a b c d e f"), max_completion_tokens=3
    )
    assert answer.choices[0].finish_reason == "length"
    assert answer.usage.completion_tokens == 3


def test_system_and_developer_messages_go_along(house: House) -> None:
    """What the caller says as system or developer is sent beside the release's own prompt."""
    messages = [
        {"role": "system", "content": "talk like a captain"}, {"role": "developer", "content": "be short"},
        {"role": "user", "content": "hello"}, {"role": "assistant", "content": "aye"}, *user("and now?"),
    ]  # fmt: skip
    seen: list[Ask] = []

    def look(ask: Ask) -> Reply:
        seen.append(ask)
        return Reply(text="fine")

    house.in_use.script = look
    answer = house.chat.client().chat.completions.create(model=SYSTEM, messages=messages)
    assert answer.choices[0].message.content == "fine"
    assert all(text in seen[0].system for text in ("You are helpful", "talk like a captain", "be short"))
    assert [text for _, text in seen[0].messages] == ["hello", "aye", "and now?"]


def test_content_may_come_in_parts(house: House) -> None:
    """Several text parts are one question."""
    parts = [{"type": "text", "text": "first"}, {"type": "text", "text": "second"}]
    answer = house.chat.client().chat.completions.create(model=SYSTEM, messages=user(parts))
    assert answer.choices[0].message.content == "You said: first\nsecond"


def test_models_are_listed_and_retrieved(house: House) -> None:
    """A system is a model: in the list, and by its name."""
    client = house.chat.client()
    assert [model.id for model in client.models.list()] == [SYSTEM]
    assert client.models.retrieve(SYSTEM).id == SYSTEM
    with pytest.raises(openai.NotFoundError):
        client.models.retrieve("nobody")


def test_a_wrong_key_is_an_authentication_error(house: House) -> None:
    """401 in OpenAI's error body."""
    with pytest.raises(openai.AuthenticationError) as wrong:
        house.chat.client(key="rw_no_such").chat.completions.create(model=SYSTEM, messages=user("hi"))
    assert wrong.value.body["code"] == "invalid_api_key"


def test_a_key_of_another_system_is_a_permission_error(house: House) -> None:
    """403 in OpenAI's error body."""
    key = house.chat.new_key("ana", systems=("another",))
    with pytest.raises(openai.PermissionDeniedError):
        house.chat.client(key=key).chat.completions.create(model=SYSTEM, messages=user("hi"))


def test_an_unknown_model_is_a_not_found_error(house: House) -> None:
    """404, and the sentence says where the models are listed."""
    with pytest.raises(openai.NotFoundError, match="GET /v1/models"):
        house.chat.client().chat.completions.create(model="nobody", messages=user("hi"))


@pytest.mark.parametrize(
    ("wrong", "param"),
    [
        ({"messages": []}, "messages"),
        ({"messages": [{"role": "wizard", "content": "hi"}]}, "messages.0.role"),
        ({"messages": [{"role": "user", "content": None}]}, "messages.0.content"),
        ({"messages": [{"role": "tool", "content": "sunny"}]}, "messages.0.tool_call_id"),
        ({"messages": [{"role": "assistant", "tool_calls": "weather"}]}, "messages.0.tool_calls"),
        ({"messages": [{"role": "user", "content": [{"type": "text"}]}]}, "messages.0.content"),
        ({"temperature": 3}, "temperature"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"n": 2}, "n"),
        ({"user": 7}, "user"),
    ],
)
def test_a_wrong_request_names_its_field(house: House, wrong: dict[str, Any], param: str) -> None:
    """400 as OpenAI's API answers: the client's exception says which field it is."""
    stated = {"model": SYSTEM, "messages": user("hi"), **wrong}
    with pytest.raises(openai.BadRequestError) as refused:
        house.chat.client().post("/chat/completions", body=stated, cast_to=object)
    assert refused.value.param == param


def test_the_async_client_works_too(house: House) -> None:
    """Sixteen callers at once each get the answer to their own question."""

    async def ask(client: openai.AsyncOpenAI, n: int) -> str:
        if n % 2:
            stream = await client.chat.completions.create(model=SYSTEM, messages=user(f"number {n}"), stream=True)
            return "".join([piece.choices[0].delta.content or "" async for piece in stream])
        answer = await client.chat.completions.create(model=SYSTEM, messages=user(f"number {n}"))
        return answer.choices[0].message.content or ""

    async def all_of_them() -> list[str]:
        async with house.chat.async_client() as client:
            return await asyncio.gather(*(ask(client, n) for n in range(16)))

    assert asyncio.run(all_of_them()) == [f"You said: number {n}" for n in range(16)]


def test_a_caller_who_hangs_up_is_abandoned_but_paid_for(house: House) -> None:
    """The call goes on to its end: the record holds the whole cost and says that nobody waited."""
    house.in_use.token_gap_s = 0.01
    billed = len(house.in_use.invoice)
    words = " ".join(f"w{n}" for n in range(60))
    stream = house.chat.client().chat.completions.create(model=SYSTEM, messages=user(words), stream=True)
    next(iter(stream))
    stream.close()
    record = house.chat.records(1, lambda one: bool(one.flags & Flag.ABANDONED))[-1]
    line = list(house.in_use.invoice.values())[billed]
    assert line.is_settled
    assert not line.hung_up
    assert record.outputs[3] == line.output == 62
    assert record.cost_micros > 0


def test_a_torn_connection_mid_request_leaves_the_worker_well(house: House) -> None:
    """Half a request, then silence: the next caller is answered."""
    for _ in range(5):
        with socket.create_connection(("127.0.0.1", house.chat.port)) as line:
            line.sendall(
                b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n"
                b"authorization: Bearer " + house.chat.key.encode() + b'\r\ncontent-length: 500\r\n\r\n{"model"'
            )
    assert house.chat.ask("still there?").status == 200


def test_outcomes_of_an_answer_are_taken(house: House) -> None:
    """Feedback goes where the outcomes of every other kind go."""
    record = house.chat.ask("was it good?").headers["x-roadworthy-record"]
    told = {"record": record, "scorer": "thumbs", "value": 1}
    assert house.chat.http("POST", f"/v1/systems/{SYSTEM}/outcomes", told).status == 202


def test_the_predict_door_answers_by_the_same_path(house: House) -> None:
    """`/v1/systems/{system}/predict` takes the question as an input and gives the text as an output."""
    told = house.chat.http("POST", f"/v1/systems/{SYSTEM}/predict", {"inputs": {"question": "good day"}})
    assert told.status == 200, told.body
    assert told.json["outputs"]["text"] == "You said: good day"
    assert told.json["release"] == "helper@v1"
    assert house.chat.record(told.json["record"]).inputs[0] == "good day"
    wrong = house.chat.http("POST", f"/v1/systems/{SYSTEM}/predict", {"inputs": {}})
    assert wrong.status == 422
    assert "question" in wrong.json["error"]["message"]


def test_the_doors_are_described(house: House) -> None:
    """`/openapi.json` lists what a system of kind llm is asked by."""
    paths = house.chat.http("GET", "/openapi.json").json["paths"]
    assert {"/v1/chat/completions", "/v1/embeddings", "/v1/models", "/v1/models/{model}"} <= set(paths)
    assert {f"/v1/systems/{SYSTEM}/predict", f"/v1/systems/{SYSTEM}/outcomes"} <= set(paths)


def test_use_is_counted(house: House) -> None:
    """Tokens and money have families of their own at `/metrics`."""
    house.chat.ask("count this")

    def counted() -> bool:
        text = house.chat.http("GET", "/metrics").body.decode()
        return all(
            f'{family}{{system="helper",environment="live"{label}}}' in text
            for family, label in (
                ("roadworthy_tokens_total", ',direction="input"'),
                ("roadworthy_tokens_total", ',direction="output"'),
                ("roadworthy_cost_micros_total", ""),
            )
        )

    until(counted, "tokens and cost are counted")


class TestEmbeddings:
    """Vectors come from pins whose provider has them."""

    def test_vectors_come_as_numbers_and_as_bytes(self, house: House) -> None:
        """The client asks for bytes by default and for numbers on demand; both are the provider's vectors."""
        if house.in_use is house.anthropic:
            pytest.skip("Anthropic has no embeddings")
        client = house.chat.client()
        by_default = client.embeddings.create(model=SYSTEM, input=["apple", "pear"])
        numbers = client.embeddings.create(model=SYSTEM, input="apple", encoding_format="float")
        assert by_default.data[0].embedding == pytest.approx(vector_of("apple"), abs=1e-6)
        assert by_default.data[1].embedding == pytest.approx(vector_of("pear"), abs=1e-6)
        assert numbers.data[0].embedding == pytest.approx(vector_of("apple"))
        assert numbers.usage.prompt_tokens == 1
        raw = house.chat.http(
            "POST", "/v1/embeddings", {"model": SYSTEM, "input": "apple", "encoding_format": "base64"}
        ).json["data"][0]["embedding"]
        assert struct.unpack("<16f", base64.b64decode(raw)) == pytest.approx(vector_of("apple"), abs=1e-6)

    def test_a_provider_without_them_is_an_error(self, house: House) -> None:
        """Nobody to ask is a 503 that says so."""
        if house.in_use is house.openai:
            pytest.skip("OpenAI has embeddings")
        with pytest.raises(openai.InternalServerError) as none:
            house.chat.client().embeddings.create(model=SYSTEM, input="apple")
        assert none.value.status_code == 503

    @pytest.mark.parametrize("given", [[], "", [1, 2], None])
    def test_what_is_no_text_is_refused(self, house: House, given: Any) -> None:
        """400 naming the field."""
        answer = house.chat.http("POST", "/v1/embeddings", {"model": SYSTEM, "input": given})
        assert answer.status == 400
        assert answer.json["error"]["param"] == "input"
