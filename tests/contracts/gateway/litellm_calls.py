"""Ask a gateway with LiteLLM as a client and print what came, as JSON. Run by an interpreter that has LiteLLM.

python litellm_calls.py URL KEY MODEL
"""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any

import litellm

litellm.suppress_debug_info = True
TOOL = {
    "type": "function",
    "function": {
        "name": "weather",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}


def asked(url: str, key: str, model: str) -> dict[str, Any]:
    """Try what a user of LiteLLM does."""
    to = {"model": f"openai/{model}", "api_base": url, "api_key": key, "num_retries": 0, "timeout": 30}

    def user(text: str) -> list[dict[str, str]]:
        return [{"role": "user", "content": text}]

    whole = litellm.completion(messages=user("good morning"), **to)
    stream = litellm.completion(
        messages=user("one two three"), stream=True, stream_options={"include_usage": True}, **to
    )
    pieces = list(stream)
    tools = litellm.completion(messages=user("call weather"), tools=[TOOL], **to)
    vectors = litellm.embedding(input=["apple"], **to)
    later = asyncio.run(litellm.acompletion(messages=user("later"), **to))
    errors = []
    for wrong in ({"model": "openai/nobody"}, {"api_key": "rw_no_such"}, {"messages": []}):
        try:
            litellm.completion(**{"messages": user("hi"), **to, **wrong})
        except Exception as error:  # noqa: BLE001 (the kind of any error is what is looked at)
            errors.append(type(error).__name__)
    return {
        "whole": whole.choices[0].message.content,
        "tokens": whole.usage.completion_tokens,
        "stream": "".join(piece.choices[0].delta.content or "" for piece in pieces if piece.choices),
        "usage": pieces[-1].usage.completion_tokens,
        "tool": tools.choices[0].message.tool_calls[0].function.name,
        "finish": tools.choices[0].finish_reason,
        "vector": len(vectors.data[0]["embedding"]),
        "later": later.choices[0].message.content,
        "errors": errors,
    }


if __name__ == "__main__":
    sys.stdout.write(json.dumps(asked(*sys.argv[1:4])))
