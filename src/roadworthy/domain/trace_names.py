"""The names that traces carry: OpenTelemetry's semantic conventions for generative AI, mapped in this one place.

The conventions still change. `gen_ai.system` was renamed `gen_ai.provider.name` in 1.37; both are written. Where a
convention has no word for a thing of ours, the name begins with `roadworthy.`. No attribute carries a text that was
asked or answered.

Source: OpenTelemetry semantic conventions 1.37, "Generative AI".
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from roadworthy.domain.pin import Provider

CONVENTIONS: Final = "https://opentelemetry.io/schemas/1.37.0"
OPERATION: Final = "gen_ai.operation.name"
PROVIDER: Final = ("gen_ai.system", "gen_ai.provider.name")
REQUEST_MODEL: Final = "gen_ai.request.model"
RESPONSE_MODEL: Final = "gen_ai.response.model"
FINISH_REASONS: Final = "gen_ai.response.finish_reasons"
INPUT_TOKENS: Final = "gen_ai.usage.input_tokens"
OUTPUT_TOKENS: Final = "gen_ai.usage.output_tokens"
ERROR_TYPE: Final = "error.type"
CACHED_TOKENS: Final = "roadworthy.usage.cached_input_tokens"
COST: Final = "roadworthy.cost"
FIRST_TOKEN: Final = "roadworthy.first_token_ms"  # noqa: S105 (a token of a language model)
FINGERPRINT: Final = "roadworthy.response.fingerprint"
RECORD: Final = "roadworthy.record"
SYSTEM: Final = "roadworthy.system"
ENVIRONMENT: Final = "roadworthy.environment"
RELEASE: Final = "roadworthy.release"
FLAGS: Final = "roadworthy.flags"
OUTCOME: Final = "roadworthy.outcome"
DETAIL: Final = "roadworthy.detail"

OPERATIONS: Final[Mapping[str, str]] = {"attempt": "chat", "tool": "execute_tool", "retrieval": "retrieval"}
"""What a step of a record is called; guards and cache look-ups have no name in the conventions."""

PROVIDERS: Final[Mapping[Provider, str]] = {
    Provider.OPENAI: "openai",
    Provider.ANTHROPIC: "anthropic",
    Provider.GGUF: "llama_cpp",
}
