"""Who answers a question, in order: the routed release's pin, then what the policy lists. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from roadworthy.domain.digest import Digest
from roadworthy.serving.gateway.place import ChatPlace, ChatReady, Held

DEFAULT = "default"


@dataclass(frozen=True, slots=True)
class Link:
    """One who may answer: a release by one of its pins (`""`: a baseline, by itself), or nobody: the stated default.

    `mark` is how an answer by this link is marked; empty where it is what the route intended.
    """

    ready: ChatReady | None
    pin: str
    mark: str

    @property
    def name(self) -> str:
        """Name the link in a record's steps."""
        if self.ready is None:
            return DEFAULT
        return f"{self.ready.name}/{self.pin}" if self.pin else self.ready.name


def links(place: ChatPlace, intended: Digest) -> tuple[Link, ...]:
    """Order who may answer. A degraded route begins with its fallbacks; the intended release is then the last."""
    known = place.orders.get(intended)
    if known is None:
        known = place.orders[intended] = tuple(_ordered(place, intended))
    return known


def _ordered(place: ChatPlace, intended: Digest) -> list[Link]:
    first = place.ready.get(intended)
    own = [Link(first, first.assistant.use, "")] if first is not None else []
    others = list(_others(place, first))
    return _once([*_chosen_first(place, others), *own] if place.route.degraded_by else [*own, *others])


def _chosen_first(place: ChatPlace, found: list[Link]) -> list[Link]:
    """Put the release that the failure plan chose before the others: those may be in breach of the same objective."""
    chosen = next(iter(place.route.fallback), "")
    mine = [link for link in found if link.ready is not None and link.ready.id == chosen]
    if not mine:
        return found
    rest = [link for link in found if link not in mine]
    others = [n for n, link in enumerate(rest) if link.ready is not None and link.ready.id != place.route.champion]
    at = min([found.index(mine[0]), *others])
    return [*rest[:at], *mine, *rest[at:]]


def has_rival(found: Sequence[Link], at: int) -> bool:
    """Claim that after a link stands another model, for which some of the time must be left."""
    own = _model(found[at])
    return own is not None and any(_model(link) not in (None, own) for link in found[at + 1 :])


def _model(link: Link) -> Held | None:
    return link.ready.models.get(link.pin) if link.ready is not None else None


def _others(place: ChatPlace, first: ChatReady | None) -> Iterator[Link]:
    champion = place.champion
    if champion is not None and champion is not first:
        yield Link(champion, champion.assistant.use, "previous")
    for name in place.serve.fallback:
        if name == "previous":
            for ready in place.fallback:
                if not ready.is_baseline:
                    yield Link(ready, ready.assistant.use, "previous")
        elif name == "baseline":
            for ready in place.fallback:
                if ready.is_baseline:
                    yield Link(ready, "", "baseline")
        elif name == DEFAULT:
            if place.serve.stated_default is not None:
                yield Link(None, "", DEFAULT)
        elif first is not None and name in first.models and name != first.assistant.use:
            # The policy may be that of a later manifest, which falls back to what this release rests on.
            yield Link(first, name, name)


def _once(found: list[Link]) -> list[Link]:
    seen: set[tuple[Digest, str]] = set()
    kept: list[Link] = []
    for link in found:
        key = (link.ready.id if link.ready else "", link.pin)
        if key not in seen:
            seen.add(key)
            kept.append(link)
    return kept
