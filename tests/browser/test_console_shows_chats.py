"""What the console shows of a system of kind llm, in Debian's chromium: prompt, pins, passages, cost, what changed."""

from __future__ import annotations

from typing import Any

import pytest

pytestmark = [pytest.mark.browser, pytest.mark.slow]
WIDTHS = (360, 768, 1440)
SERIOUS = {"serious", "critical"}


@pytest.fixture(scope="session")
def seeded(seeded_chat: Any) -> Any:
    """Let every page be about the home with a chat in it."""
    return seeded_chat


def pages(seeded: Any) -> list[str]:
    """List one of each kind of page that shows a chat."""
    releases = [f"/systems/helper/releases/{name}" for name in ("v1", "v2", "baseline")]
    return ["/systems/helper", *releases, *(f"/records/{name}" for name in seeded.records)]


@pytest.mark.long
def test_no_page_of_a_chat_overflows_or_has_a_serious_finding(tab: Any, address: str, seeded: Any) -> None:
    """At 360, 768 and 1440 px nothing is cut off with every part opened, and axe finds nothing serious."""
    from axe_playwright_python.sync_playwright import Axe

    for path in pages(seeded):
        for scheme in ("light", "dark"):
            tab.emulate_media(color_scheme=scheme)
            tab.goto(address + path)
            tab.evaluate("for (const one of document.querySelectorAll('details')) one.open = true")
            for width in WIDTHS:
                tab.set_viewport_size({"width": width, "height": 900})
                overflow = tab.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
                assert overflow <= 0, f"{path} at {width} px is {overflow} px too wide"
            found = Axe().run(tab).response
            assert found["passes"], "axe did not run"
            worst = [one for one in found["violations"] if one["impact"] in SERIOUS]
            assert [f"{one['id']}: {one['nodes'][0]['html']}" for one in worst] == [], f"{path}, {scheme}"
    assert tab.complaints == []


def test_the_system_page_tells_what_answers(tab: Any, address: str) -> None:
    """Which models stand where, how they did lately, and what the newest prompt says otherwise."""
    tab.goto(f"{address}/systems/helper")
    answers = tab.locator("section", has=tab.locator("#assistant"))
    text = answers.inner_text()
    assert "gpt-4o-mini-2024-07-18" in text
    assert "2 of 3 calls answered (timeout 1)" in text
    assert "0.15 in, 0.6 out USD a million tokens; may see pii" in text
    assert "Index of 8 passages from 8 files" in text
    tab.locator("#prompt-changed > summary").click()
    assert tab.locator(".diff ins").first.inner_text() == "+ You answer from the passages, and from nothing else."
    assert "\n+ Cite each passage that you use.\n" in tab.locator(".diff").inner_text()
    assert "pin spare is new: claude-3-5-haiku" in answers.inner_text()
    assert tab.get_by_role("heading", name="Cost of an answer").count() == 1


def test_the_system_page_tells_what_is_spent(tab: Any, address: str) -> None:
    """How much of each budget is gone, whether calls are turned away for it, and budgets nobody spent from yet."""
    tab.goto(f"{address}/systems/helper")
    first, second = tab.locator(".budgets > li").all()
    assert "19.6 of 20 USD per day, all callers (98 %)" in first.inner_text()
    assert "spent: calls are turned away" in first.inner_text()
    assert "begins anew in" in first.inner_text()
    assert "0 of 2.5 USD per hour, each team (0 %)" in second.inner_text()


def test_a_records_page_shows_the_answer_with_its_passages_and_its_cost(tab: Any, address: str, seeded: Any) -> None:
    """From one answer to the texts that it rests on, in one click."""
    tab.goto(f"{address}/records/{seeded.records[0]}")
    assert "How many workers does" in tab.locator("blockquote").first.inner_text()
    assert "0.000096 USD" in tab.locator("dl.facts").first.inner_text()
    first = tab.locator("#passage-1 details")
    first.locator("summary").click()
    assert "The number of workers is 1." in first.inner_text()
    assert "pin main; it said it is gpt-4o-mini-2024-07-18 (fp_a1)" in tab.locator(".chain").inner_text()


def test_a_withheld_answer_shows_which_guard_acted(tab: Any, address: str, seeded: Any) -> None:
    """Who asks why nothing came sees the rule, and never what it found."""
    tab.goto(f"{address}/records/{seeded.records[1]}")
    assert "guard secrets" in tab.locator("table").inner_text()
    assert "github_token:1" in tab.locator("table").inner_text()
    assert "content_filter" in tab.locator("dl.facts").first.inner_text()


def test_a_releases_page_shows_prompt_pins_guards_and_index(tab: Any, address: str) -> None:
    """What was admitted can be read whole."""
    tab.goto(f"{address}/systems/helper/releases/v2")
    assert "Cite each passage that you use." in tab.locator("pre[aria-label=Prompt]").inner_text()
    text = tab.locator("main").inner_text()
    for told in ("answer tokens 4096", "8 passages", "pin spare is new", "temperature", "Changed since helper@v1"):
        assert told in text, told
    tab.goto(f"{address}/systems/helper/releases/baseline")
    assert "It quotes the best passage; no model is asked." in tab.locator("main").inner_text()
