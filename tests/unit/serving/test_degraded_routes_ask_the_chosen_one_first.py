"""On a degraded route the release that the failure plan chose comes before others that may be just as unwell."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from roadworthy.serving.gateway.chain import links


def ready(name: str, *pins: str) -> Any:
    """Make what stands for a loaded release: its name is its id; without pins it is a baseline."""
    assistant = SimpleNamespace(use=pins[0] if pins else "")
    return SimpleNamespace(id=name, name=name, assistant=assistant, models=dict.fromkeys(pins), is_baseline=not pins)


def place(*fallback: Any, order: tuple[str, ...], degraded: bool = True) -> Any:
    """Make what stands for a system whose champion has the pins `main` and `spare`."""
    champion = ready("champion", "main", "spare")
    route = SimpleNamespace(
        degraded_by="desk-1" if degraded else "", champion="champion", fallback=[one.id for one in fallback]
    )
    return SimpleNamespace(
        route=route, champion=champion, ready={"champion": champion}, fallback=fallback, orders={},
        serve=SimpleNamespace(fallback=order, stated_default={"text": "no"}),
    )  # fmt: skip


def names(made: Any) -> list[str]:
    """Return who is asked, in order."""
    return [link.name for link in links(made, "champion")]


BASELINE, BEFORE = ready("baseline"), ready("before", "main")
ORDER = ("spare", "previous", "baseline", "default")


def test_the_chosen_release_comes_before_the_other_releases() -> None:
    """The previous release rests on the same changed pin, so the plan chose the baseline; other pins come first."""
    found = names(place(BASELINE, BEFORE, order=ORDER))
    assert found == ["champion/spare", "baseline", "before/main", "default", "champion/main"]


def test_the_policys_order_stands_where_the_choice_agrees_with_it() -> None:
    """Nothing moves when the chosen one is the first of its kind already, or none was chosen."""
    found = names(place(BEFORE, BASELINE, order=ORDER))
    assert found == ["champion/spare", "before/main", "baseline", "default", "champion/main"]
    assert names(place(BASELINE, order=("baseline", "spare"))) == ["baseline", "champion/spare", "champion/main"]
    assert names(place(order=ORDER)) == ["champion/spare", "default", "champion/main"]


def test_a_route_that_is_well_keeps_its_order() -> None:
    """The champion's own pin is asked first."""
    found = names(place(BASELINE, BEFORE, order=ORDER, degraded=False))
    assert found == ["champion/main", "champion/spare", "before/main", "baseline", "default"]


def test_a_releases_own_pin_is_no_fallback_of_it() -> None:
    """A later manifest may fall back to the pin that this release uses: its own answers are not to be marked."""
    found = names(place(BASELINE, order=("main", "spare", "baseline")))
    assert found == ["champion/spare", "baseline", "champion/main"]
