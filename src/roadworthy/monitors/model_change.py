"""Model change: a provider that answers with another model than it did when the release was made."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from roadworthy.domain.objective import Light, Signal
from roadworthy.domain.pin_watch import FEWEST_ROUNDS, FEWEST_SIGHTINGS, Method, PinWatch, foreign
from roadworthy.monitors.signals import no_data, signal
from roadworthy.ports.monitor import PinSeen, View

_NEXT = "roadworthy check shows what that does to the suite, and roadworthy pins accept takes the model as it is"


class ModelChangeMonitor:
    """What the watch on a release's pins found, and what live answers say they are.

    The alarm needs two suspicious rounds of probes in a row, or three live answers under a model name that reference
    time did not know. A new fingerprint alone asks for a round out of turn and is told, but is no alarm.
    """

    name = "model_change"
    light = Light.DECISION

    def watch(self, view: View) -> Sequence[Signal]:
        """Return `model_change` (1 or 0, of the pin that answers) and `model_change(pin)`, each pin's distance."""
        if view.release is None or not view.pins:
            return ()
        own, *others = view.pins
        first = self._of_pin(view, own)
        whole = first if first.value is None else replace(first, value=float(bool(first.alarm)), unit="", threshold=0.5)
        return (replace(whole, name=self.name), first, *(self._of_pin(view, one) for one in others))

    def _of_pin(self, view: View, pin: PinSeen) -> Signal:
        name = f"{self.name}({pin.name})"
        if pin.is_local:
            reason = f"{pin.name} is a file on this machine, held to its digest whenever it is loaded"
            return replace(signal(view, name, 0.0, n=0, light=self.light), alarm=False, reason=reason)
        watch = pin.watch
        if watch is None:
            return no_data(view, name, f"{pin.name} was not probed yet", light=self.light)
        named = foreign(watch, pin.said)
        if sum(named.values()) >= FEWEST_SIGHTINGS:
            return self._renamed(view, name, watch, named)
        if watch.problem:
            return no_data(view, name, watch.problem, light=self.light)
        if watch.finding is None:
            return self._without_check(view, name, watch)
        found = watch.finding
        unit = "nats" if watch.method is Method.LOGPROBS else "share"
        reason = f"{found.reason}; {_NEXT}" if found.alarm else found.reason
        made = signal(view, name, found.distance or 0.0, n=found.calls, light=self.light, unit=unit)
        return replace(made, threshold=found.limit, alarm=found.alarm, reason=reason)

    def _renamed(self, view: View, name: str, watch: PinWatch, named: Mapping[str, int]) -> Signal:
        told = ", ".join(f"'{model[:80]}' in {n}" for model, n in sorted(named.items()))
        n = sum(named.values())
        was = ", ".join(f"'{model}'" for model in sorted(watch.models))
        reason = f"{watch.pin} changed: live answers carry another model's name: {told} (before: {was}); {_NEXT}"
        value = (watch.finding.distance or 0.0) if watch.finding else 0.0
        return replace(signal(view, name, value, n=n, light=self.light), alarm=True, reason=reason)

    def _without_check(self, view: View, name: str, watch: PinWatch) -> Signal:
        rounds = f"{watch.rounds} of {FEWEST_ROUNDS} reference rounds"
        if watch.choosing:
            rounds = f"probes are being chosen, {watch.choosing}"
        if watch.accepted and not watch.has_reference:
            # A person said that the model as it is now is the right one; until it is known there is no other word.
            reason = f"{watch.accepted_by} accepted {watch.pin} as it is: {watch.accepted_why}; {rounds}"
            return replace(signal(view, name, 0.0, n=0, light=self.light), alarm=False, reason=reason)
        if not watch.has_reference:
            return no_data(view, name, f"{watch.pin}: {rounds}", light=self.light)
        reason = f"{watch.pin} has a reference of {watch.rounds} rounds; the first check is due"
        return replace(signal(view, name, 0.0, n=0, light=self.light), alarm=False, reason=reason)
