"""Manifests of kind llm name the suite that live answers are scored by; what is wrong in either is told at once."""

from __future__ import annotations

from pathlib import Path

import pytest

from roadworthy.domain.pin import PICO
from roadworthy.domain.system import ScorePlan, System
from roadworthy.errors import ManifestError
from roadworthy.manifest import BUILT_IN, load_text
from roadworthy.manifest.resolved import resolved
from roadworthy.stores.codec import to_json

HEAD = """\
roadworthy: 1
system: helper
kind: llm
owner: ana@example.com
decision: what to answer a customer
use: main
prompt: prompt.md
baseline: answer.md
pins:
  main: {provider: gguf, file: small.gguf}
  judge: {provider: gguf, file: small.gguf}
"""
SUITE = """\
all:
  checks: {lacks: as an AI}
  judges: [{name: helpful, pin: judge, rubric: Does it help?}]
cases:
  - {id: rain, question: Will it rain?, answerable: false}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A project with the files that the manifests name."""
    for name in ("prompt.md", "answer.md", "small.gguf"):
        (tmp_path / name).write_text("text")
    (tmp_path / "live.yaml").write_text(SUITE)
    return tmp_path


def loaded(folder: Path, score: str) -> System:
    """Read the manifest with this `watch.score`, on line 12."""
    return load_text(HEAD + f"watch: {{score: {score}}}\n", folder, BUILT_IN)


def findings(folder: Path, score: str) -> list[str]:
    """Return what is wrong, as people read it."""
    with pytest.raises(ManifestError) as caught:
        loaded(folder, score)
    return [str(one) for one in caught.value.findings]


def test_live_answers_are_scored_by_a_suite_a_share_and_a_budget(folder):
    """The suite's text is part of the policy, so that what scored an answer stays known."""
    plan = loaded(folder, "{suite: live.yaml, share: 25%, judge_budget: 0.5 USD}").policy.watch.score
    assert plan == ScorePlan(suite="live.yaml", text=SUITE, share=0.25, cap_picos=500_000 * PICO, currency="USD")
    bare = loaded(folder, "live.yaml").policy.watch.score
    assert bare is not None
    assert (bare.share, bare.cap_picos) == (0.1, 0)


@pytest.mark.parametrize(
    ("score", "printed"),
    [
        ("{suite: live.yaml}", {"suite": "live.yaml", "share": "10%"}),
        (
            "{suite: live.yaml, share: 100%, judge_budget: 2 EUR}",
            {"suite": "live.yaml", "share": "100%", "judge_budget": "2 EUR"},
        ),
    ],
)
def test_the_resolved_form_says_what_scores_and_reads_back(folder, score, printed):
    """What `plan` prints is a manifest with the same digests."""
    system = loaded(folder, score)
    document = resolved(system)
    assert document["watch"]["score"] == printed
    assert load_text(to_json(document), folder, BUILT_IN).policy.digest == system.policy.digest


@pytest.mark.parametrize(
    ("score", "told"),
    [
        ("{suite: live.yaml, share: 0%}", "line 12, column 42: share must lie above 0% and at most at 100%"),
        ("gone.yaml", "line 12, column 16: 'gone.yaml': there is no such file in the project's folder"),
        ("../live.yaml", "line 12, column 16: '../live.yaml': a path stays inside the project's folder"),
    ],
)
def test_a_share_of_nothing_and_a_suite_that_is_not_there_are_findings(folder, score, told):
    """A key that would score nothing is a mistake."""
    (only,) = findings(folder, score)
    assert told in only


@pytest.mark.parametrize(
    ("suite", "told"),
    [
        ("- a list\n", "live.yaml:1:1: "),
        (SUITE.replace("lacks", "lakcs"), "live.yaml:2:12: no check called 'lakcs' (did you mean 'lacks'?)"),
        (SUITE.replace("pin: judge", "pin: jugde"), "no pin called 'jugde'"),
        (SUITE + "#" * 100_000, "line 12, column 16: a suite for live answers has at most 100,000 characters"),
    ],
)
def test_a_suite_that_cannot_score_live_answers_is_a_finding_of_the_manifest(folder, suite, told):
    """Scoring in the background must not be the first to notice."""
    (folder / "live.yaml").write_text(suite)
    (only,) = findings(folder, "live.yaml")
    assert told in only


def test_only_answers_of_kind_llm_are_scored(folder):
    """A key that nothing enforces is an error."""
    text = HEAD.replace("kind: llm", "kind: model") + "watch: {score: live.yaml}\n"
    with pytest.raises(ManifestError) as caught:
        load_text(text, folder, BUILT_IN)
    told = [str(one) for one in caught.value.findings]
    assert "line 12, column 9: only answers of kind llm are scored" in told


def test_questions_drift_by_their_features_and_not_by_their_texts(folder):
    """What is watched of a question is its length, script, answerability and source."""
    watched = "watch: {objectives: {longer: drift(question_words) > 0.2}}\n"
    names = {one.name for one in load_text(HEAD + watched, folder, BUILT_IN).policy.watch.objectives}
    assert "longer" in names
    with pytest.raises(ManifestError, match="the interface has no such field to watch"):
        load_text(HEAD + watched.replace("question_words", "question"), folder, BUILT_IN)
