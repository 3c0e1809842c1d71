"""Approved wordings: which texts are put in force, by whom, and what stays when nothing is new."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from roadworthy.domain.ledger import Decide, Noun
from roadworthy.domain.principal import AUTOMATION, Actor
from roadworthy.domain.verdict import Verdict, VerdictState
from roadworthy.errors import InputError, NotFoundError, NotPermitted
from roadworthy.lifecycle.wordings import approve_wordings, pending, wordings
from roadworthy.ports.plane import Plane
from roadworthy.stores.artifacts import FileArtifacts
from roadworthy.stores.codec import to_doc, to_json
from roadworthy.testing import memory_plane

ANA = Actor(principal="ana")
BOTH = {"orders/c0": "You have seven days.", "orders/c1": "Please write to us."}


@pytest.fixture
def plane(tmp_path: Path) -> Plane:
    """An empty home whose artifacts are files."""
    return memory_plane(artifacts=FileArtifacts(tmp_path))


def judged(plane: Plane, number: int, texts: Mapping[str, str] | None, gate: str = "snapshots") -> str:
    """Write the verdict of a gate on a candidate; without texts it measured nothing. Return the candidate."""
    candidate, evidence = f"sha256:{number:064x}", dict[str, Any]()
    if texts is not None:
        rows = [{"case": case, "text": text} for case, text in texts.items()]
        evidence = {"in_full": plane.artifacts.put(to_json(rows))}
    verdict = Verdict(
        gate=gate, candidate=candidate, policy="p", state=VerdictState.INCONCLUSIVE, reason="", evidence=evidence,
        at=number, expires_at=number + 1,
    )  # fmt: skip
    plane.ledger.commit(
        [
            Decide(
                kind="verdict.given", system="desk", noun=Noun.VERDICT, subject=f"{candidate}/{gate}",
                after=to_doc(verdict), actor=AUTOMATION,
            )
        ]
    )  # fmt: skip
    return candidate


def test_before_any_approval_no_wording_is_approved(plane: Plane) -> None:
    """A system begins without approved texts."""
    assert wordings(plane, "desk") == {}


def test_what_no_gate_has_seen_cannot_be_approved(plane: Plane) -> None:
    """A gate of another name, or one that measured nothing, saw no answers."""
    judged(plane, 1, BOTH, gate="suite")
    judged(plane, 2, None)
    with pytest.raises(NotFoundError, match="has seen no answers of desk yet"):
        pending(plane, "desk")


def test_the_newest_answers_are_the_ones_to_approve(plane: Plane) -> None:
    """Whoever approves sees what the last candidate said."""
    judged(plane, 1, {"orders/c0": "No idea."})
    newest = judged(plane, 2, BOTH)
    assert pending(plane, "desk") == (newest, BOTH)


def test_an_approval_puts_all_answers_in_force_and_says_what_changed(plane: Plane) -> None:
    """Texts of cases that are gone are dropped; the ledger names who approved and why."""
    judged(plane, 1, {"orders/c0": "You have five days.", "orders/gone": "Bye."})
    approve_wordings(plane, "desk", ANA, reason="as agreed")
    candidate = judged(plane, 2, BOTH)
    done = approve_wordings(plane, "desk", ANA, reason="the new policy")
    assert done.changed
    assert (done.candidate, done.kept, dict(done.after)) == (candidate, 2, BOTH)
    assert dict(done.before) == {"orders/c0": "You have five days."}
    assert wordings(plane, "desk") == BOTH
    event = list(plane.ledger.events())[-1]
    assert (event.kind, event.actor, event.reason) == ("wording.approved", "ana", "the new policy")
    state = plane.ledger.state(Noun.WORDING, "desk")
    assert state is not None
    assert (state["by"], list(state["changed"])) == ("ana", ["orders/c0", "orders/c1"])


def test_one_case_is_approved_and_the_others_stay_as_they_were(plane: Plane) -> None:
    """A person may agree to a part of what is new."""
    old = {"orders/c0": "You have five days.", "orders/c1": "Go away."}
    judged(plane, 1, old)
    approve_wordings(plane, "desk", ANA, reason="as agreed")
    judged(plane, 2, BOTH)
    done = approve_wordings(plane, "desk", ANA, cases=["orders/c0"], reason="only this one")
    assert (done.kept, dict(done.after)) == (2, {"orders/c0": BOTH["orders/c0"]})
    assert wordings(plane, "desk") == {"orders/c0": BOTH["orders/c0"], "orders/c1": "Go away."}


def test_approving_what_is_in_force_already_writes_nothing(plane: Plane) -> None:
    """Doing it twice leaves one entry in the ledger."""
    judged(plane, 1, BOTH)
    approve_wordings(plane, "desk", ANA, reason="as agreed")
    head = plane.ledger.head()
    assert not approve_wordings(plane, "desk", ANA, reason="again").changed
    assert plane.ledger.head() == head


def test_an_approval_is_a_persons_with_a_reason_and_of_a_known_case(plane: Plane) -> None:
    """Automation approves no wording, nobody does without saying why, and a typo ends in a suggestion."""
    judged(plane, 1, BOTH)
    with pytest.raises(NotPermitted):
        approve_wordings(plane, "desk", AUTOMATION, reason="x")
    with pytest.raises(InputError, match="says why"):
        approve_wordings(plane, "desk", ANA, reason=" ")
    with pytest.raises(NotFoundError, match="orders/c0"):
        approve_wordings(plane, "desk", ANA, cases=["orders/c9"], reason="x")
    assert wordings(plane, "desk") == {}
