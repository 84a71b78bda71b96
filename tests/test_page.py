"""The page in a browser: typed text, text from right to left, markup in text, keyboard, phone, dark mode."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from annotators import loaded, make_pipeline
from browser import Tab, browser

pytest.importorskip("fastapi")

WORDS = "[...document.querySelectorAll('.word')].map(word => word.firstChild.textContent.trim())"
HOSTILE = "abc <script>document.title='owned'</script> <img src=x onerror=\"document.title='owned'\"> bad"


@pytest.fixture(scope="module")
def pipeline(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_pipeline(tmp_path_factory.mktemp("page") / "pipeline")


@pytest.fixture(scope="module")
def address(pipeline: Path) -> Iterator[str]:
    command = [sys.executable, "-m", "mminibert", "serve", str(pipeline), "--port", "0"]
    root = Path(__file__).parents[1]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=root) as process:
        try:
            assert process.stdout is not None
            yield process.stdout.readline().split()[0]
        finally:
            process.kill()


@pytest.fixture(scope="module")
def tab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tab]:
    with browser(tmp_path_factory.mktemp("browser")) as tab:
        yield tab


def words_of(pipeline: Path, text: str) -> list[str]:
    return [token.text for token in loaded(pipeline)(text) if not token.is_space]


def send(tab: Tab, address: str, text: str) -> None:
    """Type a text into the page, and go to its button by keyboard."""
    tab.open(address)
    tab.value("document.getElementById('data').focus()")
    tab.type(text)
    tab.press("Tab")
    tab.press("Tab")
    tab.press("Enter")
    tab.wait("document.readyState == 'complete' && document.querySelector('.mminibert')")


def test_a_typed_sentence_is_tagged_and_read_by_keyboard(tab: Tab, address: str, pipeline: Path) -> None:
    text = "abc bad. cab ace як кя"
    send(tab, address, text)
    assert tab.value(WORDS) == words_of(pipeline, text)
    assert tab.value("document.getElementById('data').value") == text
    shown = "getComputedStyle(document.querySelectorAll('.more')[{}]).display"
    assert [tab.value(shown.format(i)) for i in range(3)] == ["none", "none", "none"]
    tab.value("document.querySelector('.copy').focus()")
    tab.press("Tab")
    tab.press("Tab")
    assert [tab.value(shown.format(i)) for i in range(3)] == ["none", "block", "none"]
    assert "sure" in tab.value("document.activeElement.querySelector('.more').innerText")
    tab.press("Escape")
    assert tab.value(shown.format(1)) == "none"
    tab.value("document.querySelector('.copy').click()")
    tab.wait("document.querySelector('.copy').textContent == 'Copied'")
    assert tab.value("performance.getEntriesByType('resource').length") == 0
    assert tab.errors == []


def test_a_language_is_chosen(tab: Tab, address: str) -> None:
    send(tab, address, "cab")
    tab.value("document.getElementById('model').value = 'en_y'")
    tab.value("document.querySelector('form').requestSubmit()")
    tab.wait("document.querySelector('.found')?.textContent == 'en · en_y'")
    assert tab.value("document.getElementById('model').value") == "en_y"


def test_text_from_right_to_left_goes_from_right_to_left(tab: Tab, address: str) -> None:
    for text, direction in (("גדא abc bad. cab ace", "rtl"), ("abc bad. cab ace", "ltr")):
        send(tab, address, text)
        assert tab.value("getComputedStyle(document.querySelector('.sentence')).direction") == direction
        left = [
            tab.value(f"document.querySelectorAll('.word')[{i}].getBoundingClientRect().left") for i in (0, 1)
        ]
        assert (left[0] > left[1]) == (direction == "rtl")
        assert tab.value("getComputedStyle(document.querySelector('.more')).direction") == "ltr"


def test_markup_in_text_is_text(tab: Tab, address: str, pipeline: Path) -> None:
    send(tab, address, HOSTILE)
    assert tab.value("document.title") == "mMiniBERT"
    assert tab.value("document.querySelectorAll('img').length") == 0
    assert tab.value("document.querySelectorAll('script').length") == 1
    assert tab.value("document.getElementById('data').value") == HOSTILE
    assert tab.value(WORDS) == words_of(pipeline, HOSTILE)
    assert tab.errors == []


def test_a_phone_and_dark_mode(tab: Tab, address: str) -> None:
    send(tab, address, "abc bad cab ace " * 5 + "abc" * 30)
    colours = {}
    for width in (1280, 390):
        for dark in (False, True):
            tab.screen(width=width, dark=dark)
            assert tab.value(f"document.documentElement.scrollWidth <= {width}")
            colours[width, dark] = tab.value("getComputedStyle(document.body).backgroundColor")
            box = "document.querySelector('.more').getBoundingClientRect()"
            tab.value("document.querySelector('.word').focus()")
            assert tab.value(f"{box}.left >= 0 && {box}.right <= {width} && {box}.bottom <= innerHeight")
    assert colours[1280, False] == colours[390, False] == "rgb(255, 255, 255)"
    assert colours[1280, True] == colours[390, True] != colours[390, False]
