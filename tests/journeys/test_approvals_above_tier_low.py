"""Above tier low people say yes first, on the command line: the sponsor first, with a key, to this very candidate."""

from __future__ import annotations

import json
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from journeys_kit import PROTOTYPES, Played, write_table

pytestmark = pytest.mark.slow

MANIFEST = """roadworthy: 1
system: parcels
kind: model
owner: {{name: ana, contact: ana@example.org, backup: ben, backup_contact: ben@example.org}}
decision: {{what: tell the customer of a delay, tier: {tier}, sponsor: eva@example.org, cost_of_failure: 100 EUR}}
use: train.py
data: {{table: table.csv, target: late}}
baseline: baseline.sql
gates: {{latency: {{p99_ms: 2000, rate: 60, seconds: 1}}, quality: {{metric: auc, at_least: 0.7}}}}
"""


@dataclass
class Parcels(Played):
    """A project whose first release its gates let through and its people have not. `owner_key` is what init printed."""

    owner_key: str = ""
    refusal: str = ""

    def tier(self, tier: str) -> None:
        """State a tier, as a person edits the manifest, and commit."""
        (self.folder / "system.yaml").write_text(MANIFEST.format(tier=tier))
        self.commit(f"This system is of tier {tier}")

    def train(self, prototype: str) -> None:
        """Put another prototype in the place of `train.py`, and commit."""
        (self.folder / "train.py").write_text(PROTOTYPES[prototype])
        self.commit(f"Use the {prototype} prototype")

    def commit(self, why: str) -> None:
        """Commit what changed."""
        who = ("-c", "user.name=ana", "-c", "user.email=ana@example.org", "-c", "commit.gpgsign=false")
        subprocess.run(["git", *who, "commit", "-q", "-a", "-m", why], cwd=self.folder, check=True)

    def key_of(self, person: str, *scopes: str) -> str:
        """Make a key."""
        return str(self.ask("keys", "create", person, "--scopes", *scopes)["key"])

    def approve(self, key: str, *words: str, code: int = 0) -> str:
        """Say yes with a key; return what the command said."""
        done = self.cli("approve", *words, code=code, ROADWORTHY_KEY=key)
        return done.stdout + done.stderr

    def release(self) -> dict[str, Any]:
        """Release what lies there."""
        return json.loads(self.cli("release", "--json").stdout)

    def refused(self) -> str:
        """Ask for a release that is refused; return the refusal without what was told on the way."""
        return "error" + self.cli("release", code=2).stderr.partition("error")[2]

    def approvers(self) -> list[tuple[str, str]]:
        """Return who approved, and how they were recognised."""
        return [(one["by"], one["assurance"]) for one in self.ask("approvals")["approvals"]]

    def ledger_holds(self) -> bool:
        """Have the ledger verified."""
        return bool(self.ask("ledger", "verify")["holds"])


@pytest.fixture(scope="module")
def waiting(tmp_path_factory: pytest.TempPathFactory) -> Parcels:
    """Begin as a user does, raise the tier, commit, and ask for the release."""
    made = Parcels(tmp_path_factory.mktemp("people") / "project", "")
    made.folder.mkdir()
    write_table(made.folder / "table.csv")
    (made.folder / "train.py").write_text(PROTOTYPES["good"])
    begun = ("init", "--from", "train.py", "--data", "table.csv", "--owner", "ana@example.org", "--name", "parcels")
    made.owner_key = made.ask(*begun)["key"]
    made.tier("standard")
    made.refusal = made.refused()
    return made


@pytest.fixture
def parcels(waiting: Parcels, tmp_path: Path) -> Parcels:
    """Return a copy that a test may do with as it likes."""
    folder = Path(shutil.copytree(waiting.folder, tmp_path / "project"))
    return Parcels(folder, "", owner_key=waiting.owner_key, refusal=waiting.refusal)


def test_a_refusal_for_want_of_people_says_who_must_say_yes_and_how(parcels: Parcels) -> None:
    """Everything else is in order, so the refusal is about people only, and its last line can be followed as it is."""
    assert "passed its 7 gates but is refused" in parcels.refusal
    assert "the first live release needs that of the sponsor, eva" in parcels.refusal
    _, _, next_step = parcels.refusal.partition("next  ")
    candidate = parcels.ask("build")["candidate"].removeprefix("sha256:")
    assert "eva" in next_step
    assert f"ROADWORTHY_KEY=… roadworthy approve {candidate[:12]}" in next_step
    assert "roadworthy keys create eva --scopes approve" in next_step


def test_a_yes_counts_only_from_someone_who_proved_who_they_are(parcels: Parcels) -> None:
    """A typed name, a made-up key, a key for other things and the key of someone who left leave nothing behind."""
    typed = parcels.cli("approve", code=2, ROADWORTHY_ACTOR="eva").stderr
    assert "eva has not" in typed
    assert "ROADWORTHY_KEY" in typed
    assert "the key is unknown" in parcels.approve("rw_0123456789_nonsense", code=2)
    assert "does not carry the scope 'approve'" in parcels.approve(parcels.key_of("eva", "predict", "read"), code=2)
    eva = parcels.key_of("eva", "approve")
    parcels.ask("people", "gone", "eva", "--reason", "moved")
    assert "its holder left" in parcels.approve(eva, code=2)
    assert parcels.approvers() == []
    assert "sponsor, eva" in parcels.refused()


def test_the_yes_of_another_person_leaves_the_sponsors_missing(parcels: Parcels) -> None:
    """The owner proves who they are with the key that init printed for this system, and is not the sponsor."""
    parcels.approve(parcels.owner_key, "--reason", "my own work")
    assert parcels.approvers() == [("ana", "authenticated")]
    refusal = parcels.refused()
    assert refusal.count("approval:") == 1
    assert "sponsor, eva" in refusal


def test_the_owners_first_key_proves_who_applies_a_manifest(parcels: Parcels) -> None:
    """A waiver that the manifest states is put in force above tier low by someone proven, with a key of this system."""
    stated = "waivers: [{gate: latency, by: ana, why: the build machine is shared, until: 2099-12-31}]\n"
    with (parcels.folder / "system.yaml").open("a") as manifest:
        manifest.write(stated)
    assert "ROADWORTHY_KEY" in parcels.cli("apply", code=2).stderr
    parcels.cli("apply", ROADWORTHY_KEY=parcels.owner_key)
    with parcels.plane() as plane:
        (given,) = (event for event in plane.ledger.events() if event.kind == "waiver.given")
    assert (given.actor, given.assurance) == ("ana", "authenticated")


def test_the_sponsors_proven_yes_opens_the_release_and_stands_in_the_ledger(parcels: Parcels) -> None:
    """The rollout begins in shadow, the release names its approver, and every entry holds."""
    said = parcels.approve(parcels.key_of("eva", "approve", "read"), "--reason", "read the evidence")
    assert "is approved by eva (authenticated)" in said
    done = parcels.release()
    assert done["release"]["name"] == "parcels@v1"
    assert "shadow" in done["sentence"]
    admitted = [one for one in parcels.events("release.admitted") if one["after"]["number"]]
    assert [one["after"]["approved_by"] for one in admitted] == [["eva"]]
    assert parcels.ledger_holds()


def test_a_changed_candidate_needs_a_yes_of_its_own(parcels: Parcels) -> None:
    """The yes was to these bytes: it does not carry over to others, and holds when they are back."""
    parcels.approve(parcels.key_of("eva", "approve"))
    parcels.train("twin")
    refusal = parcels.refused()
    assert "nobody has approved this candidate yet" in refusal
    assert "sponsor, eva" in refusal
    parcels.train("good")
    assert parcels.release()["release"]["name"] == "parcels@v1"
    assert parcels.ledger_holds()


def test_a_yes_that_was_taken_back_no_longer_opens_anything(parcels: Parcels) -> None:
    """A changed mind counts until the release is out."""
    eva = parcels.key_of("eva", "approve")
    parcels.approve(eva)
    parcels.cli("withdraw", "candidate", "--reason", "saw the wrong table", ROADWORTHY_KEY=eva)
    assert parcels.approvers() == []
    assert "sponsor, eva" in parcels.refused()


def test_at_tier_high_every_later_release_needs_a_proven_yes_too(parcels: Parcels) -> None:
    """The policy is put in force on its own first; then any proven person may say yes, the sponsor's time is over."""
    parcels.approve(parcels.key_of("eva", "approve"))
    parcels.release()
    parcels.tier("high")
    parcels.train("twin")
    assert "roadworthy apply" in parcels.refused()
    parcels.cli("apply", "--reason", "more depends on it now")
    refusal = parcels.refused()
    assert "nobody has approved this candidate yet" in refusal
    assert "tier high" in refusal
    assert "sponsor" not in refusal
    parcels.approve(parcels.key_of("ben", "approve"))
    done = parcels.release()
    assert done["release"]["name"] == "parcels@v2"
    assert "waits" in done["sentence"]
    assert parcels.ledger_holds()
