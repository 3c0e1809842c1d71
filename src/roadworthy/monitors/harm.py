"""Harm: a release that decides worse than it promised, found at the earliest sound moment."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from roadworthy.domain.moment import Micros
from roadworthy.domain.objective import Light, Signal
from roadworthy.domain.reference import Reference
from roadworthy.domain.system import WatchPlan
from roadworthy.monitors.signals import no_data, signal
from roadworthy.ports.monitor import HarmState, View
from roadworthy.stats.arrays import Floats
from roadworthy.stats.sequential import Bets, bound

TESTS = ((1_000, 0), (1_000, 500))
"""(restarted after so many outcomes, first at). Shorter tests would call one day of storms the release's harm."""
_STEP = 500
_GOOD_BEFORE = 500
_LEAST, _MOST = 0.01, 0.95


class HarmMonitor:
    """How much worse than promised the newest outcomes are, once that is certain; 0 while it is not.

    The promise is the upper end of the hold-out loss, the release's or the baseline's, whichever is less, plus
    `watch.harm_margin`. The test may be looked at after each outcome: in 1,000 outcomes of a release that keeps its
    promise it is wrong with a chance below 2 · `watch.harm_alpha`.
    """

    name = "harm"
    light = Light.DECISION

    def watch(self, view: View) -> Sequence[Signal]:
        """Return `harm`: the excess of the mean loss over the promise, 0 while chance could explain it."""
        if view.release is None:
            return ()
        if view.reference is None:
            return (no_data(view, self.name, "the release has no reference", light=self.light),)
        if view.harm is None or not view.harm.outcomes:
            return (no_data(view, self.name, "no outcomes since the release went live", light=self.light),)
        m0, alpha = promise(view.reference, view.policy.watch), view.policy.watch.harm_alpha
        bets = [Bets.from_doc(doc) for doc in view.harm.bets]
        sure = [bet for bet in bets if bet.rejects(alpha)]
        excess = max((bet.total / bet.n - m0 for bet in sure), default=0.0)
        found = signal(view, self.name, max(0.0, excess), n=view.harm.outcomes, light=self.light, unit="loss")
        newest = max(bets, key=lambda bet: bet.n)
        mean = newest.total / max(1, newest.n)
        reason = f"mean loss {mean:.3f} of the last {newest.n} outcomes, promised at most {m0:.3f}"
        return (replace(found, alarm=bool(sure), threshold=0.0, reason=reason),)


def promise(reference: Reference, watch: WatchPlan) -> float:
    """Return the mean loss that a release promised not to exceed.

    No release may be worse than its baseline: one that was bad on the hold-out already, and was forced live, is held
    to the baseline's loss rather than to its own.
    """
    own, baseline = reference.loss.high, reference.baseline_loss
    best = own if baseline is None else min(own, baseline.high)
    return float(np.clip(best + watch.harm_margin, _LEAST, _MOST))


def fold_losses(state: HarmState, losses: Floats, m0: float, alpha: float, at: Micros) -> HarmState:
    """Add losses, shape (n,) in arrival order, to every test; a state of other tests (an older version) starts anew."""
    bets = [Bets.from_doc(doc) for doc in state.bets]
    if len(bets) != len(TESTS):
        bets = [Bets(m0) for _ in TESTS]
    outcomes, since, rest = state.outcomes, state.rejected_at, losses
    while len(rest):
        room = _STEP - outcomes % _STEP
        part, rest = rest[:room], rest[room:]
        bets = [bet.update(part) for bet in bets]
        outcomes += len(part)
        rejected = any(bet.rejects(alpha) for bet in bets)
        since = (since or at) if rejected else 0
        bets = [
            Bets(m0) if outcomes % length == first else bet for bet, (length, first) in zip(bets, TESTS, strict=True)
        ]
    return HarmState(since=state.since, outcomes=outcomes, rejected_at=since, bets=[bet.to_doc() for bet in bets])


def latest_at(m0: float, alpha: float, share_bad: float = 1.0, *, after_good: int = 0) -> int | None:
    """Return N: the test has rejected at the latest when N outcomes have come of which this share is bad.

    `after_good` is how many good outcomes may lie before them in the same test, at most 500.
    """
    return bound(m0, share_bad, alpha, good_before=after_good)


def worst_case(m0: float, alpha: float) -> int:
    """Return the N that `plan` prints: bad outcomes in a row, whatever came before."""
    found = latest_at(m0, alpha, after_good=_GOOD_BEFORE)
    assert found is not None
    return found
