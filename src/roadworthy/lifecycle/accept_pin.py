"""Pins as people see them: what the watch found, what probing cost today; and their word that a change is accepted."""

from __future__ import annotations

from dataclasses import dataclass

from roadworthy.domain.ledger import Decide, Noun
from roadworthy.domain.moment import DAY
from roadworthy.domain.pin import Pin
from roadworthy.domain.pin_watch import PinWatch, Said
from roadworthy.domain.principal import Actor
from roadworthy.errors import InputError, NotFoundError, RefusedError
from roadworthy.lifecycle import present
from roadworthy.lifecycle.pin_books import PinBooks, accepted_subject
from roadworthy.ports.plane import Plane


@dataclass(frozen=True, slots=True, kw_only=True)
class PinStatus:
    """One pin of what is routed. `releases` rest on it; `live` is what their answers said they are.

    `spent_picos` and `calls` are what probing it cost on the day that `wall` is in.
    """

    pin: Pin
    releases: tuple[str, ...]
    watch: PinWatch
    live: tuple[Said, ...]
    spent_picos: int
    calls: int


def pins_of(plane: Plane, system: str, *, wall: int | None = None) -> tuple[PinStatus, ...]:
    """Return the pins of what is routed, in the order in which they answer; none before the first promotion.

    Args:
        plane: the home.
        system: its name.
        wall: the machine's time in µs, by whose day spending is bounded; None takes the newest day of probing.

    Raises:
        NotFoundError: no such system.
    """
    policy, books = present.policy(plane, system), PinBooks(plane)
    spending = books.spending(system)
    spent = spending if wall is None else spending.on(wall - wall % DAY)
    found: dict[str, PinStatus] = {}
    for release, environment, pin in books.of_system(system, policy):
        before = found.get(pin.id)
        assistant = books.assistant(release)
        is_own = assistant is not None and assistant.use == pin.name
        live = set(books.said(system, environment, release.id)) if is_own else set[Said]()
        found[pin.id] = PinStatus(
            pin=pin,
            releases=tuple(dict.fromkeys((*(before.releases if before else ()), release.name))),
            watch=books.watch(system, pin),
            live=tuple(sorted(live | set(before.live if before else ()))),
            spent_picos=spent.picos.get(pin.id, 0),
            calls=spent.calls.get(pin.id, 0),
        )
    return tuple(found.values())


def accept_pin(plane: Plane, system: str, name: str, *, actor: Actor, why: str) -> PinStatus:
    """Take a pin's model as it answers now: the alarm ends, and new reference rounds begin.

    A route that fell back stays so until a person restores it.

    Raises:
        NotFoundError: no such system, or nothing that is routed rests on such a pin.
        NotPermitted: the actor is no active person.
        InputError: no reason was given.
        RefusedError: it is a local model, which cannot change without a new release.
    """
    present.must_be_a_person(plane, actor, "accept a changed model")
    if not why.strip():
        raise InputError("accepting a changed model needs a reason", hint='--why "the suite passes with it"')
    known = pins_of(plane, system)
    one = next((one for one in known if one.pin.name == name), None)
    if one is None:
        raise NotFoundError.among(f"pin of {system}", name, [one.pin.name for one in known])
    if one.pin.is_local:
        raise RefusedError(f"{name} is a file on this machine; another file is another release")

    def attempt() -> None:
        subject = accepted_subject(system, one.pin.id)
        finding = one.watch.finding
        after = {
            "system": system,
            "pin": name,
            "id": one.pin.id,
            "model": one.pin.model,
            "by": actor.principal,
            "why": why.strip(),
            "at": plane.clock.now(),
            "found": finding.reason if finding else "",
        }
        plane.ledger.commit(
            [
                Decide(
                    kind="pin.accepted",
                    system=system,
                    noun=Noun.PIN,
                    subject=subject,
                    after=after,
                    actor=actor,
                    reason=why.strip(),
                    expected=plane.ledger.seq_of(Noun.PIN, subject),
                )
            ]
        )

    present.settle(attempt)
    return one
