"""A prompt's candidates through their gates, over the real serving path, with a mock provider of the real protocol."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from providers_kit import Ask, MockOpenAI, Reply
from roadworthy.domain.principal import Actor
from roadworthy.domain.record import Record
from roadworthy.domain.release import Release
from roadworthy.domain.verdict import VerdictState
from roadworthy.errors import NotFoundError
from roadworthy.lifecycle.check import CheckResult, check
from roadworthy.lifecycle.promote import promote
from roadworthy.lifecycle.release import release
from roadworthy.lifecycle.replay import replay
from roadworthy.lifecycle.wordings import approve_wordings, pending
from roadworthy.manifest import load
from roadworthy.ports.plane import Plane
from roadworthy.settings import Settings
from roadworthy.stores.home import create
from roadworthy.stores.records import open_log
from roadworthy.wiring import catalogue, open_plane, prove_loads
from roadworthy.wiring.judges import judges_for
from roadworthy.wiring.llm_trial import ask_cases
from roadworthy.wiring.trial import trial_for

ANA = Actor(principal="ana")
MANIFEST = """roadworthy: 1
system: helpdesk
kind: llm
owner: {{name: ana, contact: ana@example.org}}
decision: what a caller is told
use: main
pins:
  main: {{provider: openai, url: "{url}", model: mock-1, price: {{input: 1 USD, output: 2 USD}}}}
  judge: {{provider: openai, url: "{url}", model: mock-1, price: {{input: 1 USD, output: 2 USD}}}}
prompt: prompt.md
baseline: baseline.txt
gates:
  snapshots: {{}}
  suite: {{at_least: 0.7, repeats: 1}}
  baseline: {{repeats: 1}}
  champion: {{repeats: 1, slower: 1000}}
"""
N = 60


def answer(ask: Ask) -> Reply:
    """Answer as the prompt of the mock asks: rightly, wrongly for every third, or wordily; judge by the word."""
    if "You judge answers" in ask.system:
        said = ask.last.partition("<answer-")[2]
        return Reply(text="Reasons.\nSCORE: 1" if "seven" in said else "SCORE: 0")
    number = int("".join(letter for letter in ask.last if letter.isdigit()) or 1)
    if "careless" in ask.system and number % 2 == 0:
        return Reply(text="I would not bother.")
    return Reply(text="You have seven days." + (" That is all there is to say." if "wordy" in ask.system else ""))


class Helpdesk:
    """The project and its home."""

    def __init__(self, folder: Path, url: str) -> None:
        self.folder = folder
        folder.joinpath("suites").mkdir(parents=True)
        folder.joinpath("system.yaml").write_text(MANIFEST.format(url=url))
        folder.joinpath("baseline.txt").write_text("Please write to us.\n")
        self.prompt("exact")
        labels = "labels: [{answer: You have seven days., score: 1}, {answer: No idea., score: 0}]"
        rows = [
            f"  - {{id: c{at}, question: 'How long for order {at}?'{', ' + labels if at < 20 else ''}"
            f"{', snapshot: true' if at < 2 else ''}}}"
            for at in range(N)
        ]
        judges = "judges: [{name: days, pin: judge, rubric: Does it say seven days?}]"
        text = "all: {checks: {contains: seven days}, " + judges + "}\ncases:\n" + "\n".join(rows)
        folder.joinpath("suites", "orders.yaml").write_text(text)
        create(folder / ".roadworthy")

    def prompt(self, manner: str) -> None:
        """Write the prompt."""
        self.folder.joinpath("prompt.md").write_text(
            f"# system\nAnswer in a manner that is {manner}.\n\n# user\n{{{{ question }}}}\n"
        )

    @contextmanager
    def open(self) -> Iterator[Plane]:
        """Open the home."""
        plane = open_plane(Settings(home=self.folder / ".roadworthy"))
        try:
            yield plane
        finally:
            plane.close()

    def check(self) -> CheckResult:
        """Judge what lies there."""
        with self.open() as plane:
            return check(plane, self.folder, load(self.folder, catalogue()), ANA, trial_for=trial_for)

    def release(self) -> Release:
        """Release what lies there, and let it serve."""
        with self.open() as plane:
            done = release(
                plane, self.folder, load(self.folder, catalogue()), ANA, trial_for=trial_for,
                prove_loads=prove_loads(plane), reason="tests",
            )  # fmt: skip
            assert done.release is not None
            promote(
                plane,
                "helpdesk",
                done.release.id,
                actor=ANA,
                prove_loads=prove_loads(plane),
                reason="at once",
                force=True,
            )
            return done.release


@pytest.fixture
def provider() -> Iterator[MockOpenAI]:
    """A provider of OpenAI's protocol that answers by the prompt."""
    with MockOpenAI(script=answer) as running:
        yield running


def states(result: CheckResult) -> dict[str, VerdictState]:
    """Return each gate's verdict."""
    return {verdict.gate: verdict.state for verdict in result.verdicts}


def test_a_prompt_is_judged_over_the_real_path_and_its_wording_approved(provider: MockOpenAI, tmp_path: Path) -> None:
    """A good prompt passes, a worse one is refused, and answers keep the wording that a person approved."""
    desk = Helpdesk(tmp_path / "desk", provider.url)
    first = desk.check()
    assert states(first) == {
        "baseline": VerdictState.PASS, "champion": VerdictState.PASS, "snapshots": VerdictState.INCONCLUSIVE,
        "suite": VerdictState.PASS,
    }, [verdict.reason for verdict in first.verdicts]  # fmt: skip
    suite = next(verdict for verdict in first.verdicts if verdict.gate == "suite")
    assert suite.evidence["cost_picos"] > 0
    assert suite.evidence["judges"]["days"]["kappa"]["value"] == 1.0
    with desk.open() as plane:
        candidate, answers = pending(plane, "helpdesk")
        assert (candidate, len(answers)) == (first.candidate.id, 2)
        done = approve_wordings(plane, "helpdesk", ANA, reason="as agreed")
        assert (len(done.after), done.before) == (2, {})
        assert not approve_wordings(plane, "helpdesk", ANA, reason="again").changed
    asked = len(provider.requests)
    again = desk.check()
    assert again.passed
    assert set(again.reused) == set()
    assert len(provider.requests) > asked
    third = desk.check()
    assert set(third.reused) == {"baseline", "champion", "snapshots", "suite"}
    desk.prompt("careless")
    worse = desk.check()
    assert states(worse)["suite"] is VerdictState.FAIL
    assert not worse.passed


def test_an_equal_prompt_that_costs_more_is_refused(provider: MockOpenAI, tmp_path: Path) -> None:
    """Between equals the cheaper one stays in force."""
    desk = Helpdesk(tmp_path / "desk", provider.url)
    text = (
        (desk.folder / "system.yaml")
        .read_text()
        .replace("  snapshots: {}\n", "")
        .replace("slower: 1000", "slower: 1000, margin: 0.2")
    )
    (desk.folder / "system.yaml").write_text(text)
    desk.release()
    desk.prompt("wordy")
    dearer = next(verdict for verdict in desk.check().verdicts if verdict.gate == "champion")
    assert dearer.state is VerdictState.FAIL
    assert "no better than the release in force, but dearer" in dearer.reason


def test_recorded_questions_are_put_to_another_prompt_and_another_pin(provider: MockOpenAI, tmp_path: Path) -> None:
    """Quality, cost and time stand side by side, and nothing live is written."""
    desk = Helpdesk(tmp_path / "desk", provider.url)
    live = "watch: {score: {suite: suites/live.yaml, judge_budget: 1 USD}}\n"
    (desk.folder / "suites" / "live.yaml").write_text("suite: live\nall: {checks: {contains: seven days}}\n")
    text = (desk.folder / "system.yaml").read_text().replace("  snapshots: {}\n", "")
    (desk.folder / "system.yaml").write_text(text + live)
    made = desk.release()
    with desk.open() as plane:
        at = plane.clock.now() - 60_000_000
        outputs = ("You have seven days.", "stop", 10, 4, 0, 18, 900, "mock-1", "", "manifest")
        log = open_log(plane.home.records, "worker_1", segment_bytes=1 << 20)
        for number in range(12):
            asked = (f"How long for order {number}?", None)
            one = Record(
                f"{number:032x}", "helpdesk", "live", made.id, made.id, "champion", 1, at + number, at + number, 1500,
                200, 0, "i", inputs=asked, outputs=outputs,
            )  # fmt: skip
            assert log.record(one)
        log.close()
    desk.prompt("careless")
    with desk.open() as plane:
        system, known = load(desk.folder, catalogue()), len(list(plane.records.tail().records))
        other = replay(plane, desk.folder, system, "candidate", ANA, ask=ask_cases, scorer_for=judges_for, last=10)
        assert (other.n, other.recorded.score and other.recorded.score.value) == (10, 1.0)
        assert other.score is not None
        assert (other.score.value, other.score.low < -0.5 < other.score.high) == (-0.5, True)
        assert other.other.cost_picos > 0
        same = replay(plane, desk.folder, system, "judge", ANA, ask=ask_cases, scorer_for=judges_for)
        assert (same.n, same.score and same.score.value, same.likeness) == (12, 0.0, 1.0)
        assert len(list(plane.records.tail().records)) == known
        with pytest.raises(NotFoundError):
            replay(plane, desk.folder, system, "v9", ANA, ask=ask_cases, scorer_for=judges_for)
