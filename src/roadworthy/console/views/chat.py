"""What pages show of kind llm: pins with their state, the prompt, what changed in it, index, guards."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

from roadworthy.console.views.lights import Seen
from roadworthy.domain.pin import PICO, PinTerms
from roadworthy.domain.release import Release
from roadworthy.domain.system import Policy
from roadworthy.lifecycle.assistants import AssistantExplained, Difference, PinExplained, compare, explain_assistant
from roadworthy.lifecycle.chat_folder import CHATS
from roadworthy.lifecycle.fold_chats import merge_chats
from roadworthy.ports.chats import ChatBucket
from roadworthy.ports.plane import Plane
from roadworthy.stores.codec import from_doc

_WELL: Final = "ok"
_CHANGE: Final = "model_change("
_ALWAYS: Final = 2**62


@dataclass(frozen=True, slots=True, kw_only=True)
class PinRow:
    """One model that a release may ask. `state` is a word of the lights, `said` how its last calls went."""

    name: str
    does: str
    provider: str
    model: str
    where: str
    terms: str
    state: str = ""
    said: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class AssistantView:
    """A release of kind llm as its pages show it; `before` names the release that `changed` compares it with."""

    release: str
    told: AssistantExplained
    pins: tuple[PinRow, ...]
    before: str
    changed: Difference | None

    @property
    def guards(self) -> str:
        """List the guards in force."""
        return ", ".join(name for name, _ in self.told.guards)


def assistant_view(
    plane: Plane, release: Release, known: Mapping[str, Release], policy: Policy
) -> AssistantView | None:
    """Return a release of kind llm with what changed since the one before it; None for other kinds."""
    told = explain_assistant(release.candidate, plane.artifacts)
    if told is None:
        return None
    before = _before(release, known)
    earlier = explain_assistant(before.candidate, plane.artifacts) if before is not None else None
    terms = {one.name: one for one in policy.pins}
    return AssistantView(
        release=release.name,
        told=told,
        pins=tuple(_row(pin, terms.get(pin.name)) for pin in told.pins),
        before=before.name if before is not None and earlier is not None else "",
        changed=compare(earlier, told) if earlier is not None else None,
    )


def live_assistant(plane: Plane, seen: Seen, environment: str) -> AssistantView | None:
    """Return the champion as its system's page shows it, with how its pins answered in the window."""
    release = seen.known.get(seen.route.champion)
    found = assistant_view(plane, release, seen.known, seen.policy) if release is not None else None
    if found is None:
        return None
    attempts = _attempts(plane, seen, environment)
    changed = {
        one.name[len(_CHANGE) : -1]: one.reason
        for one in seen.signals
        if one.release == seen.route.champion and one.alarm and one.name.startswith(_CHANGE)
    }
    return replace(found, pins=tuple(_with_state(row, attempts, changed.get(row.name, "")) for row in found.pins))


def _before(release: Release, known: Mapping[str, Release]) -> Release | None:
    """Return the release that came before, which readers compare with."""
    earlier = [one for one in known.values() if 0 < one.number < release.number]
    return max(earlier, key=lambda one: one.number, default=None)


def _attempts(plane: Plane, seen: Seen, environment: str) -> Mapping[str, int]:
    """Count calls by "pin: outcome" over the window of answers, for the whole system."""
    start = seen.now - seen.policy.watch.window
    documents = plane.observations.buckets(seen.route.system, environment, "", start, _ALWAYS, kind=CHATS)
    return merge_chats(start, (from_doc(ChatBucket, one) for one in documents.values())).attempts


def _row(pin: PinExplained, terms: PinTerms | None) -> PinRow:
    return PinRow(
        name=pin.name, does="answers" if pin.is_used else "stands behind it", provider=pin.provider, model=pin.model,
        where=pin.where, terms=_terms(terms),
    )  # fmt: skip


def _terms(terms: PinTerms | None) -> str:
    """Say on which terms a pin is used, without the reference to its key."""
    if terms is None:
        return ""
    said = [f"region {terms.region}"] if terms.region else []
    if terms.price is not None:
        price = terms.price
        said.append(f"{price.input / PICO:g} in, {price.output / PICO:g} out {price.currency} a million tokens")
    said.append(f"may see {', '.join(terms.allows)}" if terms.allows else "may see no classified data")
    return "; ".join(said)


def _with_state(row: PinRow, attempts: Mapping[str, int], changed: str) -> PinRow:
    mine = {name.rpartition(": ")[2]: n for name, n in attempts.items() if name.rpartition(": ")[0] == row.name}
    asked, well = sum(mine.values()), mine.get(_WELL, 0)
    failed = ", ".join(f"{outcome} {n}" for outcome, n in sorted(mine.items()) if outcome != _WELL)
    said = f"{well:,} of {asked:,} calls answered" + (f" ({failed})" if failed else "")
    if changed:
        return replace(row, state="alarm", said=changed)
    if not asked:
        return replace(row, state="no data", said="not asked in the window")
    return replace(row, state="ok" if well == asked else "at risk" if well else "broken", said=said)
