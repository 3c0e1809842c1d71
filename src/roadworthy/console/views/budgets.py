"""What the system's page shows of its budgets: how much of each is spent, by whom, and when it begins anew."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from roadworthy.domain.budget import Budget, Whose
from roadworthy.domain.moment import Micros
from roadworthy.domain.pin import UNIT
from roadworthy.domain.system import Policy
from roadworthy.lifecycle.budgets import Shown, purses
from roadworthy.ports.plane import Plane

_ALL: Final = {Whose.SYSTEM: "all callers", Whose.KEY: "each key", Whose.TEAM: "each team"}


@dataclass(frozen=True, slots=True, kw_only=True)
class BudgetRow:
    """One budget, or one caller's part of it, in its present period.

    Amounts are in whole units of `currency`; `leased` may be spent yet by calls under way. `who` names the key or
    team, or says whose spending adds up where nothing was spent yet.
    """

    who: str
    period: str
    limit: float
    spent: float
    leased: float
    currency: str
    share: float
    ends_at: Micros
    turned_away: bool = False


def budget_rows(plane: Plane, policy: Policy, system: str, environment: str, now: Micros) -> tuple[BudgetRow, ...]:
    """Return a row for each purse of the present period, and for each budget that nothing was spent from yet."""
    if not policy.serve.budgets:
        return ()
    found = [
        one
        for one in purses(plane, system)
        if one.purse.environment == environment and one.purse.period_start <= now < one.purse.ends_at
    ]
    rows: list[BudgetRow] = []
    for budget in policy.serve.budgets:
        mine = [one for one in found if one.purse.budget == budget.name]
        rows += [_row(budget, one) for one in mine] or [_unspent(budget, now)]
    return tuple(rows)


def _row(budget: Budget, one: Shown) -> BudgetRow:
    return BudgetRow(
        who=f"{budget.whose} {one.purse.who}" if one.purse.who else _ALL[budget.whose],
        period=budget.period.value,
        limit=one.limit / UNIT,
        spent=one.spent / UNIT,
        leased=one.leased / UNIT,
        currency=one.currency,
        share=one.share,
        ends_at=one.purse.ends_at,
        turned_away=one.turned_away,
    )


def _unspent(budget: Budget, now: Micros) -> BudgetRow:
    return BudgetRow(
        who=_ALL[budget.whose],
        period=budget.period.value,
        limit=budget.limit / UNIT,
        spent=0.0,
        leased=0.0,
        currency=budget.currency,
        share=0.0,
        ends_at=budget.period.start(now) + budget.period.length,
    )
