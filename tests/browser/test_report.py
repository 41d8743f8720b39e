"""The HTML report in a browser: light and dark, wide and narrow, with and without scripts, by keyboard."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import product
from pathlib import Path
from typing import Any, Literal

import pytest
import report_runs
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page

from harness.reports.html import render
from harness.reports.run_report import RunReport

Scheme = Literal["light", "dark"]
Size = tuple[int, int]
WIDE, NARROW = (1280, 900), (360, 780)
SCHEMES: tuple[Scheme, ...] = ("light", "dark")
RULES = {"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "best-practice"], "resultTypes": ["violations"]}
Make = Callable[[Path], RunReport]
Save = Callable[[str], str]
ALL: tuple[tuple[Size, Scheme], ...] = tuple(product((WIDE, NARROW), SCHEMES))
MAIN = (report_runs.passed, report_runs.failed)
FURTHER = (report_runs.of_numbers, report_runs.ended_by_error, report_runs.in_pieces, report_runs.hostile)
SEEN = [(make, *how) for make, how in product(MAIN, ALL)] + [(make, NARROW, "dark") for make in FURTHER]


@contextmanager
def opened(browser: Browser, url: str, size: Size = WIDE, **options: Any) -> Iterator[Page]:
    """Open a page; what it says on the console, and what it asks the network for, fails the test."""
    context = browser.new_context(viewport={"width": size[0], "height": size[1]}, **options)
    page = context.new_page()
    said: list[str] = []
    asked: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("dialog", lambda dialog: said.append(f"dialog {dialog.message}"))
    page.on("request", lambda request: asked.append(request.url))
    page.goto(url)
    yield page
    context.close()
    assert said == []
    assert [each for each in asked if each != url and not each.startswith("data:")] == []


def shown(page: Page) -> list[str]:
    """Return the names of the checks that can be seen."""
    names = page.locator(".check .name")
    return [name.inner_text() for name in names.all() if name.is_visible()]


@pytest.mark.parametrize(("make", "size", "scheme"), SEEN)
def test_everybody_can_read_it(
    browser: Browser, saved: Save, tmp_path: Path, *, make: Make, size: Size, scheme: Scheme
) -> None:
    """No kind of run breaks the layout or a rule of WCAG A and AA, on any screen, in any scheme, folded or not."""
    with opened(browser, saved(render(make(tmp_path))), size, color_scheme=scheme) as page:
        for unfold in (False, True):
            page.evaluate(f"document.querySelectorAll('details').forEach((each) => {{ each.open ||= {unfold:d}; }})")
            overflow = page.evaluate("document.documentElement.scrollWidth - innerWidth")
            assert overflow <= 0, f"{overflow} pixels wider than the screen"
        found = Axe().run(page, options=RULES)
        assert found.violations_count == 0, found.generate_report()


@pytest.mark.parametrize("scheme", SCHEMES)
def test_the_scheme_is_the_readers(browser: Browser, saved: Save, tmp_path: Path, scheme: Scheme) -> None:
    """The page is dark where the reader's system is, and light on paper."""
    with opened(browser, saved(render(report_runs.passed(tmp_path))), color_scheme=scheme) as page:
        colour = "getComputedStyle(document.body).backgroundColor"
        assert page.evaluate(colour) == {"light": "rgb(255, 255, 255)", "dark": "rgb(20, 23, 27)"}[scheme]
        page.emulate_media(media="print")
        assert page.evaluate(colour) == "rgb(255, 255, 255)"
        assert not page.locator("nav").is_visible()


def test_the_filter_works(browser: Browser, saved: Save, tmp_path: Path) -> None:
    """The filter shows the checks of a verdict, and those that hold the words typed; it says how many."""
    report = report_runs.failed(tmp_path)
    with opened(browser, saved(render(report))) as page:
        page.get_by_label("Failed").check()
        failed = [finding.check for finding in report.findings if finding.status == "fail"]
        assert sorted(shown(page)) == sorted(failed)
        assert page.get_by_role("status").inner_text() == f"{len(failed)} of {len(report.findings)} checks shown"
        page.get_by_label("Find in checks").fill("drift")
        assert shown(page) == ["data.drift"]
        page.get_by_label("Find in checks").fill("no such thing")
        assert shown(page) == []
        assert page.get_by_text("No check fits the filter.").is_visible()
        page.get_by_label("Find in checks").fill("")
        page.get_by_label("Passed").check()
        assert len(shown(page)) == sum(finding.status == "pass" for finding in report.findings)


def test_it_works_without_scripts(browser: Browser, saved: Save, tmp_path: Path) -> None:
    """Where scripts are forbidden the filter by verdict and the folds work, and what needs a script is hidden."""
    report = report_runs.failed(tmp_path)
    with opened(browser, saved(render(report)), java_script_enabled=False) as page:
        assert not page.locator("#search").is_visible()
        assert not page.locator(".copy").first.is_visible()
        page.locator("#show-fail").check()
        assert set(shown(page)) == {finding.check for finding in report.findings if finding.status == "fail"}
        page.locator("#show-all").check()
        closed = page.locator(".subject:not([open])").first
        closed.locator("summary").first.click()
        assert closed.page.locator(".subject[open]").count() > 1


def test_it_works_by_keyboard(browser: Browser, saved: Save, tmp_path: Path) -> None:
    """Tab reaches the skip link first; Enter and Space fold and unfold; the focus can be seen."""
    with opened(browser, saved(render(report_runs.failed(tmp_path)))) as page:
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.textContent") == "Skip to the report"
        check = page.locator(".check.is-fail details:not([open])").first
        name = check.locator(".name").inner_text()
        check = page.locator(f".check:has(.name:text-is('{name}')) > details").first
        check.locator("summary").first.focus()
        page.keyboard.press("Enter")
        assert check.get_attribute("open") is not None
        assert check.get_by_text("Do next").is_visible()
        page.keyboard.press("Space")
        assert check.get_attribute("open") is None
        page.keyboard.press("Tab")
        assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"


def test_paper_is_unfolded(browser: Browser, saved: Save, tmp_path: Path) -> None:
    """For printing every check is open; afterwards the page is as it was."""
    with opened(browser, saved(render(report_runs.passed(tmp_path)))) as page:
        closed = page.locator(".check > details:not([open])").count()
        assert closed
        page.evaluate("dispatchEvent(new Event('beforeprint'))")
        assert page.locator(".check > details:not([open])").count() == 0
        page.evaluate("dispatchEvent(new Event('afterprint'))")
        assert page.locator(".check > details:not([open])").count() == closed


def test_a_command_can_be_copied(browser: Browser, saved: Save, tmp_path: Path) -> None:
    """The button beside a command copies it, or selects it where the clipboard is out of reach."""
    report = report_runs.failed(tmp_path)
    with opened(browser, saved(render(report)), permissions=["clipboard-read", "clipboard-write"]) as page:
        button = page.locator(".replay .copy")
        button.click()
        page.wait_for_function("document.querySelector('.replay .copy').textContent !== 'Copy'")
        copied = page.evaluate("navigator.clipboard.readText()")
        assert copied == f"harness replay {report.id}"


@pytest.mark.parametrize("screen", ["wide", "narrow"])
def test_one_timeline_for_each_screen(browser: Browser, saved: Save, tmp_path: Path, screen: str) -> None:
    """The timeline is drawn for the width of the screen, and its text stays legible."""
    size, there, gone = (WIDE, "wide", "narrow") if screen == "wide" else (NARROW, "narrow", "wide")
    with opened(browser, saved(render(report_runs.passed(tmp_path))), size) as page:
        assert page.locator(f".picture.{there}").is_visible()
        assert not page.locator(f".picture.{gone}").is_visible()
        heights = page.locator("svg.picture:visible text").evaluate_all(
            "all => all.map((t) => t.getBoundingClientRect().height)"
        )
        assert min(heights) >= 11
