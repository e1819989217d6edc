"""The page in a real browser against a real server: what a person does, and that nothing else is contacted."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import rag.demo

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Browser, Page

CHROMIUM = Path("/usr/bin/chromium")
DEMO = Path(rag.demo.__file__).parent / "docs"
QUESTION = "Who founded Sallowfield Instruments?"
ARGUMENTS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
DONE = ".exchange:not(.streaming)"
DROP = """([name, text]) => {
  const transfer = new DataTransfer();
  transfer.items.add(new File([text], name));
  for (const type of ["dragover", "drop"]) {
    document.body.dispatchEvent(new DragEvent(type, { dataTransfer: transfer, bubbles: true, cancelable: true }));
  }
}"""

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not CHROMIUM.exists(), reason=f"no browser: {CHROMIUM} is not installed"),
]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=str(CHROMIUM), args=ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture
def open_page(browser, until):
    """Opens the page of a server that is ready; at the end, nothing was written to the console and no other host was asked."""
    complaints: list[str] = []
    contexts = []

    def open_(server, **options) -> Page:
        until(lambda: server.client.get("/ready").status_code == 200, 120)
        context = browser.new_context(**options)
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(60_000)
        page.on("console", lambda message: complaints.append(f"{message.type}: {message.text}"))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("request", lambda request: request.url.startswith(server.url) or complaints.append(request.url))
        page.goto(server.url)
        page.wait_for_selector("#welcome:not([hidden])")
        return page

    yield open_
    for context in contexts:
        context.close()
    assert complaints == []


def slow_down(page):
    """Makes the network so slow that even a short answer can be seen to come."""
    slow = {"offline": False, "latency": 0, "downloadThroughput": 3000, "uploadThroughput": -1}
    page.context.new_cdp_session(page).send("Network.emulateNetworkConditions", slow)


def ask(page, question=QUESTION):
    page.fill("#question", question)
    page.press("#question", "Enter")


def expect_count(page, selector, count):
    from playwright.sync_api import expect

    expect(page.locator(selector)).to_have_count(count, timeout=60_000)


def names(page):
    return page.locator("#documents strong").all_inner_texts()


def test_an_answer_can_be_kept_to_quotations(live, open_page):
    page = open_page(live)
    page.check("#quote")
    ask(page)
    page.wait_for_selector(f"{DONE}.quoted .chip-verified")
    cited = {card.get_attribute("data-number") for card in page.locator(".card.cited:has(.verified)").all()}
    assert cited == {chip.get_attribute("data-passage") for chip in page.locator(".answer-text .chip").all()}


def test_a_question_streams_its_answer_and_its_sources_open(live, open_page):
    page = open_page(live)
    slow_down(page)
    ask(page)
    page.wait_for_selector(".streaming .answer-text:not(:empty)")
    assert page.is_visible("#stop-button")
    assert page.get_attribute(".exchange", "aria-busy") == "true"
    page.wait_for_selector(DONE)
    assert page.is_visible("#ask-button")
    assert "tokens/s" in page.inner_text(".cost")
    assert re.search(r"prompt tokens: \d+ read before, (\d+ read again, )?\d+ read now", page.inner_text(".cost"))

    chip = page.locator(".chip").first
    number = chip.get_attribute("data-passage")
    chip.click()
    card = page.locator(f'.card.current[data-number="{number}"]')
    assert card.locator(".badge").inner_text() in {"✓ Verified", "Cited", "Not found here"}
    assert card.locator(".score").inner_text().endswith("%")
    quote = card.locator("mark").first.inner_text()
    card.get_by_text("Open in document").click()
    page.wait_for_selector("#viewer-text mark")
    assert page.inner_text("#viewer-text mark") == quote
    page.keyboard.press("Escape")
    assert not page.is_visible("#viewer")


def test_escape_stops_an_answer_and_the_server_stops_too(live, open_page, until):
    page = open_page(live)
    slow_down(page)
    ask(page)
    page.wait_for_selector(".streaming .answer-text:not(:empty)")
    page.keyboard.press("Escape")
    page.wait_for_selector(DONE)
    assert page.inner_text(".note") == "Stopped"
    until(lambda: not len(live.app.state.services.answers))
    page.keyboard.press("Tab")
    page.keyboard.press("/")
    assert page.evaluate("document.activeElement.id") == "question"


def test_a_question_may_lean_on_those_before_it_until_a_new_conversation_begins(live, open_page):
    page = open_page(live)
    assert not page.is_visible("#new-conversation")
    ask(page)
    expect_count(page, DONE, 1)
    assert not page.is_visible(".searched")
    ask(page, "And when?")
    expect_count(page, DONE, 2)
    assert re.match(r"Searched for: And when\? .*Sallowfield", page.inner_text(".searched >> nth=0"))

    for _ in ("the button that asks", "quotations", "a new conversation"):
        page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    page.wait_for_selector(".divider")
    assert not page.is_visible("#new-conversation")
    assert page.evaluate("document.activeElement.id") == "question"
    ask(page, "And when?")
    expect_count(page, DONE, 3)
    assert not page.is_visible(".exchange:first-child .searched")
    page.keyboard.press("Alt+n")
    expect_count(page, ".divider", 2)


def test_what_the_documents_do_not_say_is_shown_as_such(live, open_page):
    page = open_page(live)
    ask(page, "What is the boiling point of tungsten?")
    page.wait_for_selector(".declined")
    assert page.inner_text(".declined-title") == "Not in your documents"
    assert page.inner_text(".read summary") == "Nearest passages"
    assert page.is_visible(".read .card mark")
    assert page.locator(".badge.verified").count() == 0


def test_shift_enter_makes_a_line_and_a_blank_question_asks_nothing(live, open_page):
    page = open_page(live)
    page.press("#question", "Enter")
    page.fill("#question", "one")
    page.press("#question", "Shift+Enter")
    page.keyboard.type("two")
    assert page.input_value("#question") == "one\ntwo"
    assert page.locator(".exchange").count() == 0


def test_files_are_added_by_choosing_and_by_dropping_and_deleted(start_server, open_page):
    page = open_page(start_server())
    assert "First, add some documents" in page.inner_text("#welcome")

    page.set_input_files("#files", str(DEMO / "memo-kelder-bridge.txt"))
    page.wait_for_selector("#documents strong")
    page.evaluate(DROP, ["dropped <img src=x onerror=alert(1)>.md", "# Tides\n\nHigh water is at six."])
    expect_count(page, "#documents li", 2)
    assert set(names(page)) == {"memo-kelder-bridge.txt", "dropped <img src=x onerror=alert(1)>.md"}
    assert re.search(r"1 passage · \d+ bytes", page.inner_text("#documents"))
    assert "What do you want to know?" in page.inner_text("#welcome")

    page.get_by_role("button", name="memo-kelder-bridge.txt", exact=True).click()
    page.wait_for_selector("#viewer[open]")
    assert "Kelder" in page.inner_text("#viewer-text")
    page.click("#viewer-close")

    page.click('[aria-label="Delete memo-kelder-bridge.txt"]')
    page.click("#confirm-no")
    assert len(names(page)) == 2
    page.click('[aria-label="Delete memo-kelder-bridge.txt"]')
    page.click("#confirm-yes")
    expect_count(page, "#documents li", 1)
    page.reload()
    page.wait_for_selector("#documents strong")
    assert names(page) == ["dropped <img src=x onerror=alert(1)>.md"]


def test_each_file_that_fails_says_why_by_its_name(desk, open_page):
    page = open_page(desk)
    big = {"name": "big.txt", "mimeType": "text/plain", "buffer": b"x" * (1 << 20) + b"y"}
    picture = {"name": "picture.png", "mimeType": "image/png", "buffer": b"\x89PNG\r\n\x1a\n" + bytes(64)}
    page.set_input_files("#files", [big, picture])
    expect_count(page, ".upload.failed", 2)
    shown = page.locator(".upload.failed").all_inner_texts()
    assert any("big.txt" in each and "more than" in each for each in shown)
    assert any("picture.png" in each and "image" in each for each in shown)
    page.locator(".upload.failed button").first.click()
    assert page.locator(".upload.failed").count() == 1


def test_collections_can_be_switched_when_there_are_several(desk, open_page):
    desk.upload("harbour.md", b"# Harbour\n\nThe harbour master is Ines.", collection="harbour")
    page = open_page(desk)
    page.select_option("#collection", "harbour")
    page.wait_for_selector('#documents strong:text-is("harbour.md")')
    assert names(page) == ["harbour.md"]


def test_nothing_is_wider_than_a_phone_and_the_documents_open_in_a_drawer(live, open_page):
    page = open_page(live, viewport={"width": 380, "height": 780})
    assert page.evaluate("document.documentElement.scrollWidth") == 380
    assert not page.is_visible("#library")
    page.click("#library-toggle")
    assert page.is_visible("#library")
    page.keyboard.press("Escape")
    assert not page.is_visible("#library")


def test_a_server_that_is_gone_is_said_in_one_line(live, browser):
    page = browser.new_page()
    page.goto(live.url)
    page.wait_for_selector("#welcome:not([hidden])")
    page.context.set_offline(True)
    ask(page)
    page.wait_for_selector(".note.error")
    assert "does not answer" in page.inner_text(".note.error")
    page.context.close()


def test_a_document_is_summarised_at_a_click_and_a_comparison_says_how_it_was_made(live, open_page):
    page = open_page(live)
    page.get_by_role("button", name="Summarise about-sallowfield.md").click()
    expect_count(page, DONE, 1)
    assert page.inner_text(".exchange h2") == "Summary of about-sallowfield.md"
    assert page.inner_text(".searched").startswith("Summary: ")
    assert page.locator(".answer-text li").count() == page.locator(".answer-text .chip-verified").count() > 1
    assert page.locator("progress").count() == 0
    ask(page, "Which is cheaper, the 30 W or the 60 W solar panel?")
    expect_count(page, DONE, 2)
    assert page.inner_text(".searched >> nth=0").startswith("Comparison: each side from a table")
    assert "by £94.00 (computed)" in page.inner_text(".answer-text >> nth=0")
