"""What is kept of the watch on pins: which pins a release asks, where their watch stands, what probing cost."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any, Final

import msgspec

from roadworthy.domain.digest import Digest
from roadworthy.domain.ledger import Noun
from roadworthy.domain.llm import TEXT_OUTPUTS, Assistant
from roadworthy.domain.pin import Pin
from roadworthy.domain.pin_watch import PROMPTS, PinReference, PinWatch, Said, Spending
from roadworthy.domain.record import Flag, Record
from roadworthy.domain.release import Release
from roadworthy.domain.system import Policy
from roadworthy.errors import ArtifactError
from roadworthy.lifecycle import present
from roadworthy.ports.monitor import PinSeen
from roadworthy.ports.observations import BucketKey
from roadworthy.ports.plane import Plane
from roadworthy.stores.codec import from_doc, to_doc

SAID: Final = "said"
"""The kind of bucket that counts what live answers say they are."""
_WATCH: Final = "pin_watch"
_REFERENCE: Final = "pin_reference"
_SPENDING: Final = "probe_spending"
_ASSISTANT: Final = msgspec.json.Decoder(Assistant).decode
_PROMPTS: Final = msgspec.json.Decoder(tuple[str, ...]).decode
_BETWEEN: Final = "\x1f"
_NOT_OWN: Final = Flag.FALLBACK | Flag.CACHED
_MODEL: Final = TEXT_OUTPUTS.index("model")
_FINGERPRINT: Final = TEXT_OUTPUTS.index("fingerprint")


class PinBooks:
    """Reads and writes the books of one home. Releases are immutable, so their pins are read once."""

    def __init__(self, plane: Plane) -> None:
        self._plane = plane
        self._assistants: dict[Digest, Assistant | None] = {}

    def assistant(self, release: Release) -> Assistant | None:
        """Return what a release of kind llm does with a question; None for another kind.

        Also None while its bytes are missing or altered: who serves it says so, and the others are watched on.
        """
        if release.id not in self._assistants:
            model = release.candidate.artifact("model")
            if model is None or model.format != "llm":
                self._assistants[release.id] = None
                return None
            try:
                self._assistants[release.id] = _ASSISTANT(self._plane.artifacts.get(model.digest))
            except ArtifactError:
                return None
        return self._assistants[release.id]

    def pins(self, release: Release, policy: Policy) -> tuple[Pin, ...]:
        """Return the pins of a release that may answer, under the terms in force: its own one first, then fallbacks."""
        assistant = self.assistant(release)
        if assistant is None or assistant.pin is None:
            return ()
        terms = {one.name: one for one in policy.pins}
        others = [pin for pin in assistant.pins if pin.name in policy.serve.fallback and pin.name != assistant.use]
        return tuple(pin.under(terms.get(pin.name)) for pin in (assistant.pin, *others))

    def of_system(self, system: str, policy: Policy) -> Iterator[tuple[Release, str, Pin]]:
        """Yield (release, environment, pin) for whatever is routed."""
        releases = present.releases(self._plane, system)
        for route in present.routes(self._plane, system):
            for name in route.releases:
                if name in releases:
                    for pin in self.pins(releases[name], policy):
                        yield releases[name], route.environment, pin

    def seen(self, release: Release, policy: Policy, environment: str) -> tuple[PinSeen, ...]:
        """Return what a monitor may know of a release's pins."""
        pins = self.pins(release, policy)
        return tuple(
            PinSeen(
                name=pin.name,
                is_local=pin.is_local,
                watch=None if pin.is_local else self.watch(release.system, pin),
                # Only the pin that answers by default is known from a record's release alone.
                said=self.said(release.system, environment, release.id) if place == 0 else {},
            )
            for place, pin in enumerate(pins)
        )

    def prompts(self, pin: Pin) -> tuple[str, ...]:
        """Return a pin's probes.

        Raises:
            ArtifactError: their bytes are missing or altered.
        """
        return _PROMPTS(self._plane.artifacts.get(pin.probes)) if pin.probes else PROMPTS

    def watch(self, system: str, pin: Pin) -> PinWatch:
        """Return where the watch stands; a blank one before the first probe, and after a change was accepted."""
        seq, said = self._acceptance(system, pin.id)
        document = self._plane.observations.bucket(_key(system, pin.id, _WATCH))
        watch = from_doc(PinWatch, document) if document else None
        if watch is None or watch.accepted != seq:
            return PinWatch(
                system=system, pin=pin.name, id=pin.id, accepted=seq, accepted_by=str(said.get("by", "")),
                accepted_why=str(said.get("why", "")),
            )  # fmt: skip
        return watch if watch.pin == pin.name else replace(watch, pin=pin.name)

    def reference(self, watch: PinWatch) -> PinReference:
        """Return what the pin's model answered at reference time."""
        document = self._plane.observations.bucket(_key(watch.system, watch.id, _REFERENCE))
        reference = from_doc(PinReference, document) if document else PinReference()
        return reference if reference.accepted == watch.accepted else PinReference(accepted=watch.accepted)

    def spending(self, system: str) -> Spending:
        """Return what probing cost on the newest day that it was done."""
        document = self._plane.observations.bucket(_key(system, "", _SPENDING))
        return from_doc(Spending, document) if document else Spending()

    def said(self, system: str, environment: str, release: Digest) -> Mapping[Said, int]:
        """Count what a release's live answers said they are."""
        document = self._plane.observations.bucket(BucketKey(system, environment, release, 0, SAID)) or {}
        return {said_of(name): int(n) for name, n in document.items()}

    def keep(
        self,
        *,
        system: str,
        watch: PinWatch | None = None,
        reference: PinReference | None = None,
        spending: Spending | None = None,
    ) -> None:
        """Keep what is given, all or nothing.

        Raises:
            Conflict: observation saved at every one of eight attempts.
            StoreError: the disk is full or read-only.
        """
        made: dict[BucketKey, Mapping[str, Any]] = {}
        if watch is not None and reference is not None:
            made[_key(system, watch.id, _WATCH)] = to_doc(watch)
            made[_key(system, watch.id, _REFERENCE)] = to_doc(reference)
        if spending is not None:
            made[_key(system, "", _SPENDING)] = to_doc(spending)

        def attempt() -> None:
            cursor = self._plane.observations.cursor()
            self._plane.observations.save(before=cursor, cursor=cursor, buckets=made)

        present.settle(attempt)

    def _acceptance(self, system: str, pin: Digest) -> tuple[int, Mapping[str, Any]]:
        subject = accepted_subject(system, pin)
        seq = self._plane.ledger.seq_of(Noun.PIN, subject)
        return seq, (self._plane.ledger.state(Noun.PIN, subject) or {}) if seq else {}


def accepted_subject(system: str, pin: Digest) -> str:
    """Name the ledger's subject under which a changed pin is accepted."""
    return f"{system}/{pin}"


def spell_said(said: Said) -> str:
    """Write a name and fingerprint as the key of a count."""
    return f"{said.model[:200]}{_BETWEEN}{said.fingerprint[:200]}"


def names_said(records: Iterable[Record]) -> Mapping[str, int]:
    """Count records of kind llm by what the model behind the release's own pin said it is.

    What came from a fallback, a cache or no model at all says nothing of the pin.
    """
    counts: dict[str, int] = {}
    for one in records:
        is_own = one.release == one.intended or not one.intended
        if is_own and not one.flags & _NOT_OWN and len(one.outputs) == len(TEXT_OUTPUTS) and one.outputs[_MODEL]:
            key = spell_said(Said(str(one.outputs[_MODEL]), str(one.outputs[_FINGERPRINT] or "")))
            counts[key] = counts.get(key, 0) + 1
    return counts


def said_of(key: str) -> Said:
    """Read it back."""
    model, _, fingerprint = key.partition(_BETWEEN)
    return Said(model, fingerprint)


def _key(system: str, pin: Digest, kind: str) -> BucketKey:
    # A pin answers for a system in all its environments.
    return BucketKey(system, "", pin, 0, kind)
