"""What the guards of secrets and of personal data share: forbidden classes, masked or blocked in both directions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any, ClassVar, Final, Self

from roadworthy.errors import InputError
from roadworthy.guards.held import HeldStream, Rewriting
from roadworthy.guards.masking import CLASSES, mask, sensitive_spans
from roadworthy.guards.open_ends import sensitive_from, swallowed
from roadworthy.guards.questions import rewritten
from roadworthy.guards.settled import settled
from roadworthy.guards.spans import Span, hits_of
from roadworthy.ports.chat import Document
from roadworthy.ports.guard import Act, GuardContext, Ruling, allowed

_ACTS: Final = ("mask", "block", "allow")


class SensitiveGuard:
    """Masks what the watched classes find, but for those that the call's context allows.

    `on_question` and `on_answer` are `mask`, `block` or `allow`; `classes` narrows what is watched.
    """

    name: ClassVar[str] = ""
    needs: ClassVar[str] = ""
    defaults: ClassVar[Mapping[str, Any]] = {"on_question": "mask", "on_answer": "mask"}
    watched: ClassVar[frozenset[str]] = frozenset()

    def __init__(self, parameters: Mapping[str, Any] | None = None) -> None:
        given = settled(self.name, self.defaults, parameters or {}, {"on_question": _ACTS, "on_answer": _ACTS})
        self._on_question: str = given["on_question"]
        self._on_answer: str = given["on_answer"]
        self._classes = frozenset(given.get("classes", self.watched))
        if unknown := sorted(self._classes - self.watched):
            known = ", ".join(sorted(self.watched))
            raise InputError(f"the guard '{self.name}' knows no class '{unknown[0]}'", hint=f"known: {known}")

    def configured(self, parameters: Mapping[str, Any]) -> Self:
        """Return this guard with these parameters.

        Raises:
            InputError: a parameter or class is unknown.
        """
        return type(self)(parameters)

    def forbidden(self, context: GuardContext) -> frozenset[str]:
        """Return the classes that may not pass in this call."""
        return (self._classes - context.allowed_classes) & CLASSES

    def question(self, request: Document, context: GuardContext) -> Ruling:
        """Mask or block what the caller wrote."""
        classes = self.forbidden(context)
        if self._on_question == "allow" or not classes:
            return allowed(self.name)
        counts: Counter[str] = Counter()

        def masked(text: str) -> str:
            found = mask(text, classes)
            counts.update(found.counts)
            return found.text

        altered = rewritten(request, masked)
        if not counts:
            return allowed(self.name)
        if self._on_question == "block":
            return self._blocked(counts)
        return Ruling(guard=self.name, action=Act.ALTER, hits=hits_of(counts), reason=_found(counts), request=altered)

    def answer(self, text: str, context: GuardContext) -> Ruling:
        """Mask or block what the model wrote."""
        classes = self.forbidden(context)
        if self._on_answer == "allow" or not classes:
            return Ruling(guard=self.name, text=text)
        found = mask(text, classes)
        if not found.counts:
            return Ruling(guard=self.name, text=text)
        if self._on_answer == "block":
            return self._blocked(found.counts)
        hits, reason = hits_of(found.counts), _found(found.counts)
        return Ruling(guard=self.name, action=Act.ALTER, text=found.text, hits=hits, reason=reason)

    def stream(self, context: GuardContext) -> HeldStream:
        """Mask or block as the answer passes; the last word, or a number in groups, waits for its end."""
        classes = self.forbidden(context) if self._on_answer != "allow" else frozenset[str]()

        def spans(text: str) -> list[Span]:
            return sensitive_spans(text, classes)

        open_from = sensitive_from if classes else len
        return HeldStream(Rewriting(self.name, spans, open_from, swallowed, blocks=self._on_answer == "block"))

    def _blocked(self, counts: Mapping[str, int]) -> Ruling:
        return Ruling(guard=self.name, action=Act.BLOCK, hits=hits_of(counts), reason=_found(counts))


def _found(counts: Mapping[str, int]) -> str:
    return f"found {', '.join(f'{rule} ({counts[rule]})' for rule in sorted(counts))}"
