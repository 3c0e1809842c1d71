"""Champion: no worse than the release in force, and neither dearer nor slower without being better."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from roadworthy.domain.verdict import Judgement
from roadworthy.gates.judging import failed, inconclusive, judged, passed
from roadworthy.gates.rivals import Compared, compare, evidence_of
from roadworthy.manifest.defaults_llm_v1 import GATE_PARAMETERS
from roadworthy.ports.evaluation import LlmTrial


class ChampionGate:
    """Puts the same cases to the candidate and to the release in force. Between equals cost and time decide."""

    name: ClassVar[str] = "champion"
    needs: ClassVar[str] = "no worse than the release in force; if no better, then not dearer and not slower"
    defaults: ClassVar[Mapping[str, Any]] = GATE_PARAMETERS["champion"]

    def judge(self, trial: LlmTrial, parameters: Mapping[str, Any]) -> Judgement:
        """Pass, fail, or say that the cases do not settle it."""
        return judged(self._judge, trial, {**self.defaults, **parameters})

    def _judge(self, trial: LlmTrial, given: Mapping[str, Any]) -> Judgement:
        found = compare(trial, "champion", given)
        if found is None:
            return passed("no earlier release to compare with; the gates 'suite' and 'baseline' judge", {})
        return _decided(found, float(given["margin"]), float(given["slower"]), evidence_of(trial, found))


def _decided(found: Compared, margin: float, slack: float, evidence: Mapping[str, Any]) -> Judgement:
    gap = found.gap
    if gap.high < -margin:
        return failed(f"worse than the release in force: {found.text}", evidence)
    if gap.low <= -margin:
        return inconclusive(f"undecided: it may be worse than the release in force: {found.text}", evidence)
    if gap.low > 0 and gap.high >= margin:
        return passed(f"better than the release in force: {found.text}; {found.costs}", evidence)
    burden = " and ".join(
        word for word, is_so in (("dearer", found.is_dearer), ("slower", found.is_slower(slack))) if is_so
    )
    if not burden:
        return passed(f"no worse than the release in force, and no dearer: {found.text}; {found.costs}", evidence)
    if gap.high >= margin:
        reason = f"undecided: it is {burden}, and may or may not be better: {found.text}; {found.costs}"
        return inconclusive(reason, evidence)
    return failed(f"no better than the release in force, but {burden}: {found.text}; {found.costs}", evidence)
