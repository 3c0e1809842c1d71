"""LiteLLM as a client. It wants an older `openai` than we test with, so it lives in an environment of its own.

`LITELLM_PYTHON` names an interpreter that has it (`make bench-llm` makes one); without it this test is skipped.
"""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

from llm_kit import SYSTEM, chatting, pin_of
from providers_kit import MockOpenAI

PYTHON = os.environ.get("LITELLM_PYTHON", "")


@pytest.mark.skipif(not PYTHON, reason="LITELLM_PYTHON names no interpreter that has LiteLLM")
def test_litellm_chats_streams_calls_tools_embeds_and_raises(tmp_path: Path) -> None:
    """What its users do works as with any provider, and errors come as its own classes."""
    with MockOpenAI() as provider, chatting(tmp_path, {"main": pin_of(provider)}) as chat:
        script = Path(__file__).parent / "litellm_calls.py"
        offline = {**os.environ, "LITELLM_LOCAL_MODEL_COST_MAP": "True"}
        done = subprocess.run(
            [PYTHON, str(script), f"{chat.url}/v1", chat.key, SYSTEM],
            env=offline, capture_output=True, text=True, check=False, timeout=120,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr[-3000:]
        assert json.loads(done.stdout.splitlines()[-1]) == {
            "whole": "You said: good morning",
            "tokens": 4,
            "stream": "You said: one two three",
            "usage": 5,
            "tool": "weather",
            "finish": "tool_calls",
            "vector": 16,
            "later": "You said: later",
            "errors": ["NotFoundError", "AuthenticationError", "BadRequestError"],
        }
