"""Rollout stages as people write them: `shadow: 200 records`, `canary: 10% for 500 records`, `full`."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import pairwise
from typing import Final

from roadworthy.domain.moment import spell_duration
from roadworthy.domain.rollout import Stage, StagePlan
from roadworthy.manifest.units import UnitError, duration, share, spell_share

_COUNT: Final = re.compile(r"([0-9][0-9_,]{0,14})\s+(records?|outcomes?)")
_SEPARATOR: Final = re.compile(r"\s*(?:,\s|\band\b|\bfor\b)\s*")
_SHARE: Final = re.compile(r"[0-9.]+\s*%")
_ORDER: Final = {Stage.SHADOW: 0, Stage.CANARY: 1, Stage.FULL: 2}
EXAMPLE: Final = "write it as: canary: 10% for 500 records and 100 outcomes"


def parse_stage(value: object) -> StagePlan:
    """Read one item of `rollout`: a stage name, or a mapping of one stage to what ends it.

    Raises:
        ValueError: the stage is unknown or a part of its text says nothing a stage can wait for.
    """
    if isinstance(value, str):
        name, text = value, ""
    elif isinstance(value, dict) and len(value) == 1:  # pyright: ignore[reportUnknownArgumentType]
        ((name, text),) = value.items()  # pyright: ignore[reportUnknownVariableType]
    else:
        raise ValueError(f"a stage is one name and what ends it; {EXAMPLE}")
    if name not in set(_ORDER):
        raise ValueError(f"no stage called '{str(name)[:40]}'; stages: shadow, canary, full")  # pyright: ignore[reportUnknownArgumentType]
    if text is not None and not isinstance(text, str):
        raise ValueError(f"say in words what ends the stage; {EXAMPLE}")
    return _plan(Stage(str(name)), text or "")  # pyright: ignore[reportUnknownArgumentType]


def _plan(stage: Stage, text: str) -> StagePlan:
    parts = [part for part in _SEPARATOR.split(text.strip()) if part]
    if stage is Stage.FULL:
        if parts:
            raise ValueError("the stage 'full' has no end, so it says nothing more")
        return StagePlan(stage=stage, share=1.0)
    portion, records, outcomes, hold = (1.0 if stage is Stage.SHADOW else 0.0), 0, 0, 0
    for part in parts:
        count = _COUNT.fullmatch(part)
        if count and count[2].startswith("record"):
            records = int(count[1].replace(",", "").replace("_", ""))
        elif count:
            outcomes = int(count[1].replace(",", "").replace("_", ""))
        elif _SHARE.fullmatch(part):
            portion = share(part)
        else:
            hold = _hold(part)
    if not 0 < portion <= 1 or (stage is Stage.CANARY and portion == 1):
        raise ValueError(f"a {stage} takes a share of the traffic above 0% and below 100%; {EXAMPLE}")
    if not (records or outcomes or hold):
        raise ValueError(f"nothing ends this stage; {EXAMPLE}")
    return StagePlan(stage=stage, share=portion, records=records, outcomes=outcomes, hold=hold)


def _hold(part: str) -> int:
    try:
        return duration(part)
    except UnitError:
        raise ValueError(f"'{part[:40]}' is neither a share, records, outcomes nor a duration; {EXAMPLE}") from None


def order_problem(stages: Sequence[StagePlan]) -> tuple[int, str] | None:
    """Say which stage stands in the wrong place and why, or None. Shares of canaries grow, `full` comes last."""
    if not stages or stages[-1].stage is not Stage.FULL:
        return max(0, len(stages) - 1), "a rollout ends with the stage 'full'"
    for place, (before, after) in enumerate(pairwise(stages), start=1):
        if _ORDER[after.stage] < _ORDER[before.stage]:
            return place, f"'{after.stage}' comes before '{before.stage}'"
        if after.stage is before.stage and after.share <= before.share:
            return place, f"a second '{after.stage}' must have a larger share than the one before"
    return None


def spell_stage(stage: StagePlan) -> str | dict[str, str]:
    """Write a stage as `parse_stage` reads it."""
    if stage.stage is Stage.FULL:
        return "full"
    counts = [(stage.records, f"{stage.records} records"), (stage.outcomes, f"{stage.outcomes} outcomes")]
    parts = [text for count, text in counts if count]
    if stage.hold:
        parts.append(spell_duration(stage.hold))
    return {str(stage.stage): f"{spell_share(stage.share)} for {' and '.join(parts)}"}
