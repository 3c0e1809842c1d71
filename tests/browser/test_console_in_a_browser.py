"""The console as people meet it: Debian's chromium, three widths, both colour schemes, axe."""

from __future__ import annotations

from typing import Any

import pytest

from roadworthy.lifecycle.incidents import incident
from roadworthy.lifecycle.pause import pause
from roadworthy.ports.plane import Plane

pytestmark = [pytest.mark.browser, pytest.mark.slow]
Seeded = Any
WIDTHS = (360, 768, 1440)
SERIOUS = {"serious", "critical"}


def paths(seeded: Seeded, page: Any, address: str) -> list[str]:
    """List one of each kind of page."""
    page.goto(f"{address}/systems/flights")
    refused = page.locator(".releases li", has_text="refused").first.locator("a").first.get_attribute("href")
    return [
        "/systems", "/systems/flights", "/systems/loans", "/systems/claims", "/systems/flights/releases/v3", refused,
        "/systems/flights/releases/baseline", "/incidents", "/incidents/flights-1", "/incidents/flights-2",
        "/records", f"/records/{seeded.records[0]}", "/ledger", "/sign-in?next=/incidents",
    ]  # fmt: skip


def serious(page: Any) -> list[str]:
    """Ask axe, and return what it finds serious or worse."""
    from axe_playwright_python.sync_playwright import Axe

    found = Axe().run(page).response
    assert found["passes"], "axe did not run"
    return [f"{one['id']}: {one['nodes'][0]['html']}" for one in found["violations"] if one["impact"] in SERIOUS]


@pytest.mark.long
def test_no_page_overflows_or_has_a_serious_finding(tab: Any, address: str, seeded: Seeded) -> None:
    """At 360, 768 and 1440 px nothing is cut off, axe finds nothing serious, the browser complains of nothing."""
    for path in paths(seeded, tab, address):
        for width in WIDTHS:
            tab.set_viewport_size({"width": width, "height": 900})
            tab.goto(address + path)
            overflow = tab.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
            assert overflow <= 0, f"{path} at {width} px is {overflow} px too wide"
            if width != 768:
                assert serious(tab) == [], f"{path} at {width} px"
    assert tab.complaints == []


def test_the_dark_scheme_has_enough_contrast_too(chromium: Any, tab: Any, address: str, seeded: Seeded) -> None:
    """Who works at night reads the same pages."""
    tab.emulate_media(color_scheme="dark")
    for path in paths(seeded, tab, address):
        tab.goto(address + path)
        assert serious(tab) == [], path


def test_axe_would_find_something(tab: Any, address: str) -> None:
    """The check can fail: a field without a label is found."""
    tab.goto(f"{address}/records")
    tab.evaluate("document.querySelector('main').insertAdjacentHTML('beforeend', '<input id=planted>')")
    assert any("label" in one for one in serious(tab))


def test_the_system_page_refreshes_itself_and_keeps_what_was_opened(tab: Any, address: str, plane: Plane) -> None:
    """A decision shows within seconds, without a reload; an opened part stays open."""
    from roadworthy.domain.principal import Actor

    tab.goto(f"{address}/systems/flights")
    tab.evaluate("window.stayed = true")
    tab.locator("#more-signals > summary").click()
    tab.mouse.click(5, 5)
    tab.evaluate("document.activeElement.blur()")
    pause(plane, "flights", actor=Actor(principal="ana"), reason="seen by the page itself")
    tab.get_by_text("seen by the page itself").first.wait_for(timeout=15_000)
    assert tab.evaluate("window.stayed")
    assert tab.evaluate("document.getElementById('more-signals').open")
    assert tab.complaints == []


def test_a_hidden_page_asks_for_nothing(tab: Any, address: str) -> None:
    """A tab in the background costs nothing, and catches up when it is shown."""
    tab.goto(f"{address}/systems/flights")
    asked: list[str] = []
    tab.on("request", lambda request: asked.append(request.url) if "x-fragment" in request.headers else None)
    with tab.expect_request(lambda request: "x-fragment" in request.headers, timeout=15_000):
        pass
    tab.evaluate("Object.defineProperty(document, 'hidden', {value: true, configurable: true})")
    asked.clear()
    tab.wait_for_timeout(4_500)
    assert asked == []
    with tab.expect_request(lambda request: "x-fragment" in request.headers, timeout=15_000):
        tab.evaluate(
            "Object.defineProperty(document, 'hidden', {value: false, configurable: true});"
            "document.dispatchEvent(new Event('visibilitychange'))"
        )


def test_an_incident_is_handled_by_keyboard_alone(tab: Any, address: str, plane: Plane) -> None:
    """Skip link, visible focus, acknowledge, close: no mouse needed."""
    tab.goto(f"{address}/incidents/flights-2")
    tab.keyboard.press("Tab")
    assert tab.evaluate("document.activeElement.textContent") == "Skip to the content"
    outline = tab.evaluate("getComputedStyle(document.activeElement).outlineStyle")
    assert outline == "solid"
    tab.get_by_role("button", name="Acknowledge").focus()
    tab.keyboard.press("Enter")
    tab.get_by_text("ana has it in hand").first.wait_for()
    tab.get_by_label("The new test that would have caught it").focus()
    tab.keyboard.type("tests/test_origin.py")
    tab.keyboard.press("Enter")
    tab.get_by_text("closed by ana").first.wait_for()
    assert incident(plane, "flights-2").is_closed


def test_the_policy_stops_a_script_that_got_in(tab: Any, address: str) -> None:
    """Even markup that was smuggled into a page runs nothing."""
    tab.goto(f"{address}/systems")
    tab.evaluate(
        "document.body.insertAdjacentHTML('beforeend', '<img src=\"data:,\" onerror=\"window.smuggled=1\">');"
        "const s = document.createElement('script'); s.textContent = 'window.smuggled=1'; document.body.append(s);"
    )
    tab.wait_for_timeout(300)
    assert tab.evaluate("window.smuggled") is None
    assert any("Content Security Policy" in text for text in tab.complaints)
