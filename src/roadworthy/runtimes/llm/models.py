"""From a pin to the model one can ask."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from roadworthy.domain.pin import Pin, Provider
from roadworthy.errors import PluginError
from roadworthy.ports.chat import ChatModel


def open_model(pin: Pin, *, secret: Callable[[str], str], sockets: Path) -> ChatModel:
    """Open a pin by its provider; no connection is made before the first call.

    Args:
        pin: what to speak to.
        secret: reads the secret that `pin.key` refers to, at each use.
        sockets: the folder where the adapters of local models listen.

    Raises:
        PluginError: the extra `llm` is not installed.
    """
    try:
        match pin.provider:
            case Provider.OPENAI:
                from roadworthy.runtimes.llm.openai import OpenAIModel

                return OpenAIModel(pin, secret)
            case Provider.ANTHROPIC:
                from roadworthy.runtimes.llm.anthropic import AnthropicModel

                return AnthropicModel(pin, secret)
            case Provider.GGUF:
                from roadworthy.runtimes.llm.gguf import GgufModel

                return GgufModel(pin, secret, sockets)
    except ImportError as missing:
        told = f"language models need the package '{missing.name}', which is not installed"
        raise PluginError(told, hint="pip install 'roadworthy[llm]'") from None
