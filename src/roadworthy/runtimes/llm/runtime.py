"""Loads releases of kind llm: prompt, pins, guards' plans, index and local weights, all by digest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, ClassVar, Final

import msgspec

from roadworthy.domain.candidate import Candidate
from roadworthy.domain.interface import Interface
from roadworthy.domain.llm import QUESTION, Assistant
from roadworthy.errors import ArtifactError
from roadworthy.ports.artifacts import Artifacts
from roadworthy.runtimes.environment import require
from roadworthy.runtimes.llm.prompt import PromptTemplate, compile_prompt, render
from roadworthy.runtimes.rag.index import Index, Retrieval, load

_DECODE: Final = msgspec.json.Decoder(Assistant).decode


@dataclass(frozen=True, slots=True)
class LoadedAssistant:
    """A release of kind llm, ready but for its models. `weights` are the files of gguf pins by pin name."""

    assistant: Assistant
    interface: Interface
    prompt: PromptTemplate | None
    index: Index | None
    weights: Mapping[str, Path] = field(default_factory=dict[str, Path])

    def find(self, question: str) -> Retrieval | None:
        """Return the passages for a question, or None without an index."""
        if self.index is None or not question:
            return None
        return self.index.retrieve(question, max(1, self.assistant.top))

    def messages(
        self, values: Mapping[str, Any], earlier: Sequence[Mapping[str, Any]], found: Retrieval | None
    ) -> list[dict[str, Any]]:
        """Write what the model is sent: the prompt's own messages around what was said before.

        Raises:
            InputError: the template asks for what it is not given.
        """
        assert self.prompt is not None, "a baseline is not prompted"
        hits = found.hits if found is not None else ()
        passages = [
            {"n": n, "id": hit.id, "source": hit.source, "text": hit.text} for n, hit in enumerate(hits, start=1)
        ]
        today = datetime.now(UTC).date().isoformat()
        given = {**values, "passages": passages, "today": today}
        if values.get(QUESTION):
            return render(self.prompt, given, earlier)
        # The last message is a tool's result or the like: it goes on as it is, after the prompt's own sections.
        return render(self.prompt, {**given, QUESTION: "-"}, earlier)[:-1]


class LlmRuntime:
    """Loads candidates whose `model` is an `Assistant`. Nothing is asked of a provider here."""

    name: ClassVar[str] = "llm"
    native: ClassVar[bool] = False

    def load(self, candidate: Candidate, artifacts: Artifacts) -> LoadedAssistant:
        """Check digests and environment, then load.

        Raises:
            ArtifactError: bytes are missing or altered.
            EnvironmentMismatch: packages differ; the message names them.
            PluginError: an extra is missing.
        """
        model = candidate.artifact("model")
        if model is None or model.format != "llm":
            raise ArtifactError("the candidate holds no prompt")
        require(candidate.environment)
        try:
            assistant = _DECODE(artifacts.get(model.digest))
        except msgspec.MsgspecError as error:
            raise ArtifactError(f"the prompt's artifact is damaged: {error}") from error
        kept = candidate.artifact("index")
        names = {one.name for one in candidate.interface.inputs}
        return LoadedAssistant(
            assistant=assistant,
            interface=candidate.interface,
            prompt=compile_prompt(assistant.prompt, names) if assistant.prompt else None,
            index=load(artifacts.get(kept.digest)) if kept is not None else None,
            weights={pin.name: artifacts.path(pin.artifact) for pin in assistant.pins if pin.artifact},
        )
