"""The one authorisation table: complete, and it bites."""

from __future__ import annotations

from typing import Any, cast

import pytest

from roadworthy.console.access import ACCESS, Kind, Rule, Where, carries, may_sign_in, opens
from roadworthy.console.app import routes
from roadworthy.console.forms import FORMS
from roadworthy.console.pages import PAGES
from roadworthy.console.verbs import VERBS
from roadworthy.domain.principal import Key, Scope

HANDLERS: dict[str, Any] = {**PAGES, **FORMS, **VERBS}
OPEN = {"GET /", "GET /healthz", "GET /static/{digest}/{name}", "GET /sign-in", "POST /sign-in"}


def key(*scopes: Scope, systems: tuple[str, ...] = ()) -> Key:
    """Make a key."""
    return Key(id="k", principal="ana", secret_sha256="", scopes=scopes, systems=systems)


def test_every_route_has_a_rule_and_every_rule_a_route() -> None:
    """Nothing is served that nobody decided about."""
    assert HANDLERS.keys() == ACCESS.keys()
    assert len(routes(cast("Any", None), HANDLERS, ACCESS)) == len(ACCESS)


def test_a_new_route_without_a_rule_is_not_served() -> None:
    """Adding a handler and forgetting its rule stops the process, not the guard."""
    with pytest.raises(RuntimeError, match="GET /secrets"):
        routes(cast("Any", None), {**HANDLERS, "GET /secrets": HANDLERS["GET /"]}, ACCESS)
    with pytest.raises(RuntimeError, match="GET /nothing"):
        routes(cast("Any", None), HANDLERS, {**ACCESS, "GET /nothing": Rule(Kind.OPEN)})


def test_only_the_door_itself_is_open() -> None:
    """Without a key one sees the sign-in, its style, and that the process lives."""
    assert {name for name, rule in ACCESS.items() if rule.kind is Kind.OPEN} == OPEN


def test_what_changes_something_is_never_a_page() -> None:
    """A GET changes nothing; a POST is a form with a token or a verb with a key."""
    for name, rule in ACCESS.items():
        method = name.partition(" ")[0]
        assert method in ("GET", "POST")
        assert (method == "GET") == (rule.kind is Kind.PAGE) or name in OPEN, name
        if name.startswith("POST /v1/"):
            assert rule.kind is Kind.VERB, name
            assert rule.scope is not None, name


def test_every_page_of_data_has_a_json_twin() -> None:
    """What a person can read a program can read, under the same rule."""
    pages = [name for name, rule in ACCESS.items() if rule.kind is Kind.PAGE and name != "GET /records"]
    for name in (name for name in pages if not name.endswith(".json")):
        assert ACCESS[name + ".json"] == ACCESS[name]


@pytest.mark.parametrize("name", [name for name in ACCESS if "{system}" in name])
def test_routes_that_name_a_system_are_held_to_it(name: str) -> None:
    """A key of one system opens nothing of another."""
    assert ACCESS[name].where is Where.SYSTEM


def test_scopes_carry_what_they_must() -> None:
    """Who may operate or approve may look; a key that predicts sees nothing; admin may all."""
    assert carries(key(Scope.OPERATE), Scope.READ)
    assert carries(key(Scope.APPROVE), Scope.READ)
    assert not carries(key(Scope.READ), Scope.OPERATE)
    assert not carries(key(Scope.OPERATE), Scope.APPROVE)
    assert all(carries(key(Scope.ADMIN), scope) for scope in Scope)
    assert not may_sign_in(key(Scope.PREDICT, Scope.OUTCOME))
    assert may_sign_in(key(Scope.READ))


def test_a_key_of_some_systems_does_not_open_the_home() -> None:
    """What belongs to no system belongs to the whole home."""
    assert opens(key(Scope.READ), "")
    assert opens(key(Scope.READ, systems=("loans",)), "loans")
    assert not opens(key(Scope.READ, systems=("loans",)), "flights")
    assert not opens(key(Scope.READ, systems=("loans",)), "")
