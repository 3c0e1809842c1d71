"""What a system of kind `llm` is made of: a prompt, pins, tools, an index, guards."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from roadworthy.domain.interface import Field, FieldType, Interface, Scalar, Task
from roadworthy.domain.pin import Pin

QUESTION = "question"
HISTORY = "history"

TEXT_OUTPUTS = (
    "text", "finish", "input_tokens", "output_tokens", "cached_tokens", "cost_picos", "first_token_us", "model",
    "fingerprint", "price",
)  # fmt: skip
"""What a record's `outputs` hold for the task `text`, in this order."""


@dataclass(frozen=True, slots=True, kw_only=True)
class IndexPlan:
    """The passages that answers rest on: which files, how they are cut, how they are found. `top` reach the prompt.

    `embed` is `minilm`, a path of the project to an ONNX model, or empty: then words alone find passages. `abstain`
    is the share of answerable questions that may be turned away; None asks the model whatever was found.
    """

    files: tuple[str, ...]
    words: int = 120
    overlap: int = 0
    top: int = 4
    embed: str = ""
    abstain: float | None = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class GuardPlan:
    """One guard in force and its parameters, all of them spelled out."""

    name: str
    parameters: Mapping[str, Any] = field(default_factory=dict[str, Any])


@dataclass(frozen=True, slots=True, kw_only=True)
class LlmPlan:
    """The content of an `llm` system, beside its interface and baseline. Paths are relative to the project's folder.

    `pins` are in the order of their names; `Content.use` names the one that answers. `prompt` is a template file.
    `parameters` go to the provider (`temperature`, `max_tokens`). `schema` is a JSON Schema the answer must have.
    """

    prompt: str
    pins: tuple[Pin, ...]
    index: IndexPlan | None = None
    guards: tuple[GuardPlan, ...] = ()
    tools: str = ""
    schema: str = ""
    parameters: Mapping[str, Scalar] = field(default_factory=dict[str, "Scalar"])

    def pin(self, name: str) -> Pin | None:
        """Find a pin, or None."""
        return next((pin for pin in self.pins if pin.name == name), None)


def chat_interface(*more: Field, classes: tuple[str, ...] = ()) -> Interface:
    """Return the interface of a chat: the question, what was said before, and further fields of the prompt.

    Args:
        more: fields that the prompt's template asks for besides.
        classes: the data classes of the question, such as `pii`.
    """
    return Interface(
        inputs=(
            Field(name=QUESTION, type=FieldType.STRING, classes=classes),
            Field(name=HISTORY, type=FieldType.STRING, nullable=True, required=False, classes=classes),
            *more,
        ),
        task=Task.TEXT,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Assistant:
    """What a release of kind llm does with a question; kept as the artifact of role `model`, format `llm`.

    A baseline has no pin: it answers with the best passage (`passage`) or with `text`. `pins` are blank of terms.
    """

    prompt: str = ""
    use: str = ""
    pins: tuple[Pin, ...] = ()
    guards: tuple[GuardPlan, ...] = ()
    parameters: Mapping[str, Scalar] = field(default_factory=dict[str, "Scalar"])
    tools: tuple[Mapping[str, Any], ...] = ()
    schema: Mapping[str, Any] | None = None
    top: int = 4
    abstains: bool = True
    passage: bool = False
    text: str = ""

    @property
    def pin(self) -> Pin | None:
        """Return the pin that answers; None for a baseline."""
        return next((pin for pin in self.pins if pin.name == self.use), None)
