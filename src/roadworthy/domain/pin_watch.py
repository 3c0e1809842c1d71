"""The watch on a pin: what its model answered at reference time, what it answers now, what follows from that.

Pure: asking and comparing happen elsewhere. The first rounds after a promotion are the reference; each later check is
one round, and where that is suspicious a second one made at once. Only two in a row are an alarm.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Final

from roadworthy.domain.digest import Digest
from roadworthy.domain.moment import Micros

FEWEST_ROUNDS: Final = 3
"""From so many reference rounds on there are checks."""
MOST_ROUNDS: Final = 10
"""So many rounds make a whole reference; it then stands still, so that a change in small steps cannot move it along."""
FEWEST_SIGHTINGS: Final = 3
"""So many live answers under another model's name are an alarm without a probe: the provider says so itself."""
MOST_NAMES: Final = 64
"""So many names of one pin are kept; a provider decides how many it uses."""

_SUBJECTS: Final = (
    "colour", "animal", "city", "river", "tree", "fruit", "number", "planet", "song", "tool", "month", "country",
    "sport", "bird", "metal", "flower", "day", "fish", "stone", "book", "star", "game", "drink", "bread", "insect",
    "dance", "island", "king", "poem", "road", "ship", "smell", "sound", "spice", "taste", "toy",
)  # fmt: skip
_FORMS: Final = ("Name one {}.", "Which {} is best?", "Say a {} in one word.", "Is a {} good? Answer yes or no.")
PROMPTS: Final = tuple(
    _FORMS[(place + turn) % len(_FORMS)].format(subject)
    for turn in range(len(_FORMS))
    for place, subject in enumerate(_SUBJECTS)
)
"""The probes of a pin that has none of its own. They hold nothing of any system."""


class Method(StrEnum):
    """What of an answer is compared: the log-probabilities of its first token, or the token itself."""

    LOGPROBS = "logprobs"
    TOKENS = "tokens"


@dataclass(frozen=True, slots=True, order=True)
class Said:
    """What a provider says it is: `response.model` and `system_fingerprint`."""

    model: str = ""
    fingerprint: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Round:
    """One round of probes: per prompt its calls, each the likeliest tokens with their log-probabilities.

    By tokens a call is the one token that was answered.
    """

    at: Micros
    answers: tuple[tuple[Mapping[str, float], ...], ...]
    said: tuple[Said, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class PinReference:
    """What a pin's model answered at reference time, and which prompts are asked at which temperature.

    While border prompts are being chosen there are no `prompts` yet; `samples` are first tokens of the candidates, and
    `shortlist` holds those that wavered, to be sampled once more. `accepted` is the sequence of the acceptance in the
    ledger that this reference follows, 0 where there was none.
    """

    prompts: tuple[str, ...] = ()
    temperature: float = 0.0
    rounds: tuple[Round, ...] = ()
    samples: Mapping[str, tuple[str, ...]] = field(default_factory=dict[str, "tuple[str, ...]"])
    shortlist: tuple[str, ...] = ()
    accepted: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Compared:
    """How one round differs from the reference. `limit` is the distance that is suspicious at that p-value.

    `distance` is None where the provider answered with another model than the pin's version, and nothing was compared.
    """

    distance: float | None
    limit: float
    p_value: float
    calls: int
    is_far: bool
    new_models: tuple[str, ...] = ()
    new_fingerprints: tuple[str, ...] = ()

    @property
    def is_suspicious(self) -> bool:
        """Claim that a second round is needed: the answers moved, or they carry another model's name.

        A new fingerprint alone is not: providers change theirs with every update of their machines.
        """
        return self.is_far or bool(self.new_models)


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What the newest check found."""

    at: Micros
    alarm: bool
    distance: float | None
    limit: float
    p_value: float
    calls: int
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PinWatch:
    """Where the watch on one pin of a system stands.

    `said` are the names and fingerprints known from reference time or found harmless since; `noticed` are those that
    live answers carried and that asked for a check out of turn. `choosing` says how far the choice of prompts is,
    where there is one. `problem` is why the newest check did not happen. `accepted` is the acceptance in the ledger
    that this watch follows.
    """

    system: str
    pin: str
    id: Digest
    method: Method | None = None
    choosing: str = ""
    rounds: int = 0
    said: tuple[Said, ...] = ()
    noticed: tuple[Said, ...] = ()
    finding: Finding | None = None
    problem: str = ""
    asked_at: Micros = 0
    due_at: Micros = 0
    accepted: int = 0
    accepted_by: str = ""
    accepted_why: str = ""

    @property
    def is_whole(self) -> bool:
        """Claim that the reference has met enough days to know small changes from a day's noise."""
        return self.rounds >= MOST_ROUNDS

    @property
    def has_reference(self) -> bool:
        """Claim that there is something to compare with."""
        return self.rounds >= FEWEST_ROUNDS

    @property
    def models(self) -> frozenset[str]:
        """Return the model names known."""
        return frozenset(said.model for said in self.said)

    @property
    def fingerprints(self) -> frozenset[str]:
        """Return the fingerprints known."""
        return frozenset(said.fingerprint for said in self.said)


@dataclass(frozen=True, slots=True, kw_only=True)
class Spending:
    """What probing a system's pins cost on one day, by pin id. Reserved before a round, corrected after it."""

    day: Micros = 0
    picos: Mapping[Digest, int] = field(default_factory=dict[Digest, int])
    calls: Mapping[Digest, int] = field(default_factory=dict[Digest, int])

    def on(self, day: Micros) -> Spending:
        """Return the spending of this day, blank when a new one began."""
        return self if day == self.day else Spending(day=day)

    def plus(self, pin: Digest, picos: int, calls: int) -> Spending:
        """Add to what a pin cost; what was reserved in vain is taken back by negative numbers."""
        return replace(
            self,
            picos={**self.picos, pin: max(0, self.picos.get(pin, 0) + picos)},
            calls={**self.calls, pin: max(0, self.calls.get(pin, 0) + calls)},
        )


def referred(watch: PinWatch, reference: PinReference, made: Round) -> tuple[PinWatch, PinReference]:
    """Add a round to a reference that is too short for checks; whatever it says it is, is known from then on."""
    reference = replace(reference, rounds=(*reference.rounds, made))
    said = known(watch.said, made.said)
    return replace(watch, rounds=len(reference.rounds), said=said, problem="", asked_at=made.at), reference


def checked(
    watch: PinWatch, reference: PinReference, rounds: Sequence[tuple[Round, Compared]], *, apart: Micros = 0
) -> tuple[PinWatch, PinReference]:
    """Draw the conclusion of a check: one round, or two where the first was suspicious.

    While the reference is not whole, a round that is no alarm joins it if the last one did so at least `apart` before,
    so that it meets other days; and always a suspicious one that was not confirmed, for it shows the provider's noise.
    """
    is_alarm = len(rounds) > 1 and all(compared.is_suspicious for _, compared in rounds)
    newest, last = rounds[-1]
    finding = Finding(
        at=newest.at,
        alarm=is_alarm,
        distance=last.distance,
        limit=last.limit,
        p_value=max(compared.p_value for _, compared in rounds),
        calls=sum(compared.calls for _, compared in rounds),
        reason=_spell(watch, [compared for _, compared in rounds], is_alarm=is_alarm),
    )
    if not is_alarm:
        for made in (made for made, _ in rounds if made.answers):
            if len(reference.rounds) < MOST_ROUNDS and (len(rounds) > 1 or made.at - reference.rounds[-1].at >= apart):
                reference = replace(reference, rounds=(*reference.rounds, made))
        # A fingerprint that came with answers as before is harmless; a model's name is so only by a person's word.
        harmless = (one for made, _ in rounds for one in made.said if one.model in watch.models)
        watch = replace(watch, rounds=len(reference.rounds), said=known(watch.said, harmless))
    return replace(watch, finding=finding, problem="", asked_at=newest.at), reference


def known(before: Iterable[Said], more: Iterable[Said]) -> tuple[Said, ...]:
    """Add names to those known."""
    return tuple(sorted({*before, *more}))[:MOST_NAMES]


def unseen(watch: PinWatch, live: Iterable[Said]) -> tuple[Said, ...]:
    """Return what live answers say they are that was neither known nor looked into yet."""
    return tuple(sorted(set(live) - {*watch.said, *watch.noticed}))


def foreign(watch: PinWatch, live: Mapping[Said, int]) -> Mapping[str, int]:
    """Count live answers by model names that reference time did not know; without a reference there are none."""
    counts: dict[str, int] = {}
    if watch.has_reference:
        for said, n in live.items():
            if said.model not in watch.models:
                counts[said.model] = counts.get(said.model, 0) + n
    return counts


def _spell(watch: PinWatch, rounds: Sequence[Compared], *, is_alarm: bool) -> str:
    last, first = rounds[-1], rounds[0]
    calls = sum(one.calls for one in rounds)
    told = f"{calls} calls"
    if last.distance is not None:
        moved = f"{_distance(watch, last.distance)} from the reference, where {_distance(watch, last.limit)} is far"
        told = f"{moved}; p={max(one.p_value for one in rounds):.4f}, {told}"
    named = [f"answers as '{name[:80]}'" for name in last.new_models]
    named += [f"fingerprint '{name[:80]}' is new" for name in last.new_fingerprints]
    if is_alarm:
        return "; ".join([f"{watch.pin} changed: {told}", *named])
    if first.is_suspicious:
        named.append("one round was suspicious, the next one was not")
    return "; ".join([f"{watch.pin} is as it was: {told}", *named])


def _distance(watch: PinWatch, distance: float) -> str:
    return f"{distance:.4f} nats" if watch.method is Method.LOGPROBS else f"{distance:.1%} of first tokens"
