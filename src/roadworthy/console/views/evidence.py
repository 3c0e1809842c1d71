"""A candidate's proof: what each gate said and measured, side by side with the baseline where there is one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, cast

from roadworthy.console.words import figure
from roadworthy.domain.ledger import Noun
from roadworthy.domain.moment import Micros
from roadworthy.domain.system import Policy
from roadworthy.domain.verdict import Verdict, VerdictState
from roadworthy.ports.plane import Plane
from roadworthy.stores.codec import from_doc

_SIDES: Final = ("candidate", "baseline", "champion")
_INTERVAL: Final = frozenset({"value", "low", "high"})
_MOST_ITEMS: Final = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class Compared:
    """One figure of the candidate beside its rivals'."""

    name: str
    cells: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class GateView:
    """One gate: its verdict, its figures, until when it counts. `state` is `not judged` without a verdict."""

    gate: str
    state: str
    reason: str
    at: Micros | None
    expires_at: Micros | None
    has_expired: bool
    is_required: bool
    sides: tuple[str, ...]
    compared: tuple[Compared, ...]
    figures: tuple[tuple[str, str], ...]
    waiver: str = ""

    @property
    def passed(self) -> bool:
        """Claim that the gate stands open now."""
        return self.state in (VerdictState.PASS, VerdictState.WAIVED) and not self.has_expired


def gates(plane: Plane, policy: Policy, candidate: str, system: str, now: Micros) -> tuple[GateView, ...]:
    """Return the gates in force and any other that judged this candidate, those that stand in the way first."""
    found = [from_doc(Verdict, document) for document in plane.ledger.states(Noun.VERDICT, system).values()]
    mine = {verdict.gate: verdict for verdict in found if verdict.candidate == candidate}
    required = {plan.name for plan in policy.gates}
    views = [_gate(name, mine.get(name), name in required, now) for name in sorted(required | mine.keys())]
    return tuple(sorted(views, key=lambda view: (view.passed, view.gate)))


def summary(views: Sequence[GateView]) -> str:
    """Say how a candidate did in a few words: `7 of 7 passed`, `refused by baseline, latency`."""
    judged = [view for view in views if view.state != "not judged"]
    if not judged:
        return "not judged"
    against = [view.gate for view in judged if not view.passed]
    if against:
        return f"refused by {', '.join(against)}"
    waived = sum(view.state == VerdictState.WAIVED for view in judged)
    return f"{len(judged)} of {len(judged)} passed" + (f", {waived} by waiver" if waived else "")


def _gate(name: str, verdict: Verdict | None, required: bool, now: Micros) -> GateView:
    if verdict is None:
        return GateView(
            gate=name, state="not judged", reason="this gate has not judged the candidate yet", at=None,
            expires_at=None, has_expired=False, is_required=required, sides=(), compared=(), figures=(),
        )  # fmt: skip
    sides, compared, rest = _side_by_side(verdict.evidence)
    return GateView(
        gate=name,
        state=str(verdict.state),
        reason=verdict.reason,
        at=verdict.at,
        expires_at=verdict.expires_at,
        has_expired=now >= verdict.expires_at,
        is_required=required,
        sides=sides,
        compared=compared,
        figures=tuple((key.replace("_", " "), _spell(value)) for key, value in rest.items()),
        waiver=verdict.waiver,
    )


def _side_by_side(evidence: Mapping[str, Any]) -> tuple[tuple[str, ...], tuple[Compared, ...], dict[str, Any]]:
    """Part the figures that were measured on both sides from the others."""
    rest = dict(evidence)
    sides = {side: cast("Mapping[str, Any]", rest[side]) for side in _SIDES if isinstance(rest.get(side), Mapping)}
    if len(sides) < 2:  # noqa: PLR2004 (two sides to compare)
        return (), (), rest
    for side in sides:
        del rest[side]
    names = dict.fromkeys(name for figures in sides.values() for name in figures)
    rows = [Compared(name=name, cells=tuple(figure(sides[side].get(name)) for side in sides)) for name in names]
    return tuple(sides), tuple(rows), rest


def _spell(value: object) -> str:
    if isinstance(value, Mapping):
        of = cast("Mapping[str, Any]", value)
        if of.keys() >= _INTERVAL:
            count = f", n={figure(of['n'])}" if of.get("n") is not None else ""
            return f"{figure(of['value'])} [{figure(of['low'])}, {figure(of['high'])}]{count}"
        return ", ".join(f"{key} {_spell(item)}" for key, item in of.items())
    if isinstance(value, list | tuple):
        items = cast("Sequence[Any]", value)
        more = f" and {len(items) - _MOST_ITEMS} more" if len(items) > _MOST_ITEMS else ""
        return ", ".join(_spell(item) for item in items[:_MOST_ITEMS]) + more or "none"
    return figure(value)
