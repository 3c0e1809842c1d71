"""Links in an answer lead only to hosts that the system allows.

A link is how an injected instruction gets data out: a chat window loads an image or shows a link, and its address
carries the data. So every link is removed whose host is not on the allow-list, or cannot be read in one way only.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Final, Self

from roadworthy.guards.held import HeldStream, Rewriting
from roadworthy.guards.hosts import AllowList, allow_list
from roadworthy.guards.links import disguised_words, plain_links
from roadworthy.guards.open_ends import word_from
from roadworthy.guards.settled import settled
from roadworthy.guards.spans import Span, counted, hits_of, merged, replaced
from roadworthy.ports.chat import Document
from roadworthy.ports.guard import Act, GuardContext, Ruling

_LOOKS: Final = 16
_TAG: Final = 2_048
_NO_TAG: Final = 64


class EgressGuard:
    """Removes links to foreign hosts, or blocks the answer (`on_foreign: block`).

    `hosts` are allowed besides the context's. `bare_hosts: false` leaves names without a scheme, such as
    `example.com`, alone. `mark` stands where a link was.
    """

    name: ClassVar[str] = "egress"
    needs: ClassVar[str] = "links lead to allowed hosts only"
    defaults: ClassVar[Mapping[str, Any]] = {
        "on_foreign": "remove",
        "hosts": [],
        "bare_hosts": True,
        "mark": "[link removed]",
    }

    def __init__(self, parameters: Mapping[str, Any] | None = None) -> None:
        given = settled(self.name, self.defaults, parameters or {}, {"on_foreign": ("remove", "block")})
        self._blocks = given["on_foreign"] == "block"
        self._hosts = tuple(map(str, given["hosts"]))
        self._bare: bool = given["bare_hosts"]
        self._mark: str = given["mark"]

    def configured(self, parameters: Mapping[str, Any]) -> Self:
        """Return this guard with these parameters.

        Raises:
            InputError: a parameter is unknown or of the wrong type.
        """
        return type(self)(parameters)

    def question(self, request: Document, context: GuardContext) -> Ruling:
        """Let every question pass; only what leaves can carry something out."""
        del request, context
        return Ruling(guard=self.name)

    def answer(self, text: str, context: GuardContext) -> Ruling:
        """Remove every link that may not leave, or block."""
        allowed = allow_list((*context.allowed_hosts, *self._hosts))
        counts: dict[str, int] = {}
        left = text
        # What remains may read as a link of its own once something within it is gone.
        for _ in range(_LOOKS):
            spans = self._spans(left, allowed)
            if not spans:
                break
            for rule, count in counted(spans).items():
                counts[rule] = counts.get(rule, 0) + count
            left = replaced(left, spans)
        if not counts:
            return Ruling(guard=self.name, text=text)
        reason = f"{sum(counts.values())} links lead to hosts that are not allowed"
        action, left = (Act.BLOCK, "") if self._blocks else (Act.ALTER, left)
        return Ruling(guard=self.name, action=action, text=left, hits=hits_of(counts), reason=reason)

    def stream(self, context: GuardContext) -> HeldStream:
        """Do the same as the answer passes; the last word waits for its end, a tag for its bracket."""
        allowed = allow_list((*context.allowed_hosts, *self._hosts))

        def spans(text: str) -> list[Span]:
            return self._spans(text, allowed)

        return HeldStream(Rewriting(self.name, spans, _open_from, _swallowed, blocks=self._blocks))

    def _spans(self, text: str, allowed: AllowList) -> list[Span]:
        spans = [
            Span(link.start, link.end, link.kind, self._mark)
            for link in plain_links(text, bare=self._bare)
            if not allowed.admits(link.authority)
        ]
        for start, end, read in disguised_words(text):
            if any(not allowed.admits(link.authority) for link in plain_links(read, bare=self._bare)):
                spans.append(Span(start, end, "disguised", self._mark))
        return merged(spans)


def _open_from(text: str) -> int:
    """Return where the last word begins, or the word with the last tag that has no end yet."""
    tag = text.rfind("<", max(0, len(text) - _TAG))
    if tag < 0 or ">" in text[tag:] or not (text[tag + 1 : tag + 2].isalpha() or text[tag + 1 : tag + 2] in "!/?"):
        return word_from(text)
    # Without an attribute soon it is no tag but `a <b and` in prose, which need not wait.
    is_tag = len(text) - tag < _NO_TAG or "=" in text[tag : tag + _NO_TAG]
    return word_from(text[:tag] if is_tag else text)


def _swallowed(span: Span, text: str) -> tuple[int, bool]:
    """A link that is too long to hold goes on until the next space."""
    del span
    size = next((at for at, letter in enumerate(text) if letter.isspace() or letter in "<>\"'`"), len(text))
    return size, size == len(text)
