"""Retrieval through the gateway: passages reach the prompt, questions outside them are abstained from."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from llm_kit import Chat, chatting, pin_of, text_of
from providers_kit import Ask, Fault, MockOpenAI, Reply
from roadworthy.domain.record import Flag

PROMPT = (
    "# system\nAnswer from the passages and cite them.\n\n# user\n"
    "{% for p in passages %}[{{ p.n }}] {{ p.text }}\n{% endfor %}\nQuestion: {{ question }}\n"
)
PAGES = {
    "docs/books.md": "# Books\n\nReaders may borrow three books for four weeks. A late book costs ten cents a day.\n",
    "docs/hours.md": "# Hours\n\nThe library opens at nine in the morning and closes at seven in the evening.\n",
    "docs/rooms.md": "# Rooms\n\nThe reading room on the second floor has forty seats and must be kept silent.\n",
    "docs/cards.md": "# Cards\n\nA library card is free for children and costs five euros a year for adults.\n",
}
INDEX = {"files": "docs/**/*.md", "top": 2}


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Chat, MockOpenAI]]:
    """A system with an index of four pages."""
    with MockOpenAI() as provider:
        files = {"prompt.md": PROMPT, **PAGES}
        sections = {"index": INDEX, "baseline": "passage", "files": files, "guards": {"limits": {}, "canary": "off"}}
        serve = {"deadline": "20s", "tries": 1}
        with chatting(tmp_path_factory.mktemp("library"), {"main": pin_of(provider)}, serve=serve, **sections) as chat:
            yield chat, provider


def cites(ask: Ask) -> Reply:
    """Answer with the first passage and its mark."""
    return Reply(text="They may borrow three books [1]. " + ask.last.partition("[1] ")[2].partition("\n")[0])


@pytest.mark.parametrize("stream", [False, True])
def test_the_right_passage_reaches_the_model_and_the_caller(library: tuple[Chat, MockOpenAI], stream: bool) -> None:
    """The answer names its passages in order, so that `[1]` can be followed; the record holds them too."""
    chat, provider = library
    provider.script = cites
    answer = chat.ask("How many books may readers borrow?", stream=stream)
    assert "four weeks" in text_of(answer)
    record = chat.record(answer.headers["x-roadworthy-record"])
    retrieval = next(step for step in record.steps if step.kind == "retrieval")
    assert retrieval.outcome == "ok"
    assert retrieval.detail.split(",")[0].startswith("docs/books.md")
    if not stream:
        assert answer.json["roadworthy"]["passages"] == retrieval.detail.split(",")


@pytest.mark.parametrize("stream", [False, True])
def test_a_question_outside_the_pages_is_abstained_from(library: tuple[Chat, MockOpenAI], stream: bool) -> None:
    """Nobody is asked, the answer says why, and header and record say that it abstained."""
    chat, provider = library
    before = len(provider.requests)
    answer = chat.ask("Who won the football championship in Brazil?", stream=stream)
    assert "cannot answer this from the documents" in text_of(answer)
    assert answer.headers["x-roadworthy-abstained"] == "1"
    assert len(provider.requests) == before
    assert chat.record(answer.headers["x-roadworthy-record"]).flags & Flag.ABSTAINED


@pytest.mark.parametrize("stream", [False, True])
def test_the_best_passage_answers_when_no_model_does(library: tuple[Chat, MockOpenAI], stream: bool) -> None:
    """The baseline quotes the page that fits best."""
    chat, provider = library
    provider.fail(Fault.FAILING)
    answer = chat.ask("When does the library open in the morning?", stream=stream)
    assert answer.headers["x-roadworthy-fallback"] == "baseline"
    assert "nine in the morning" in text_of(answer)


def test_a_changed_page_is_a_new_candidate(library: tuple[Chat, MockOpenAI]) -> None:
    """The index is a part of the release: an edited file changes its id, the same files do not."""
    chat, _ = library
    before = chat.build()
    assert chat.build().id == before.id
    page: Path = chat.folder / "docs/hours.md"
    page.write_text(page.read_text().replace("nine", "ten"))
    assert chat.build().id != before.id
    page.write_text(PAGES["docs/hours.md"])
    assert chat.build().id == before.id
