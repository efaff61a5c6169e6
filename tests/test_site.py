"""The built site in a real browser, without a network: needs `_build/html` (make book) and Debian's chromium.

Where one of them is missing these tests are skipped, or fail if REQUIRE_BROWSER=1.
"""

import os
import shutil
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from plateaus_utils.files import PROJECT
from plateaus_utils.site import pages_of, site_problems

SITE = PROJECT / "_build" / "html"
SCREENSHOTS = PROJECT / "_build" / "screenshots"
PAGES = [str(path.relative_to(SITE)) for path in pages_of(SITE)]
CHROMIUM = shutil.which("chromium")

DESKTOP, PHONE = 1280, 390


def refuse(reason: str) -> None:
    if os.environ.get("REQUIRE_BROWSER") == "1":
        pytest.fail(reason)
    pytest.skip(reason)


@pytest.fixture(scope="module", autouse=True)
def site() -> None:
    if not PAGES:
        refuse("there is no built site; `make book` builds it")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    if CHROMIUM is None:
        refuse("chromium is not installed; `apt-get install chromium` brings it")
    with sync_playwright() as playwright:
        yield playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])


def visit(browser: Browser, name: str, width: int) -> tuple[Page, list[str]]:
    """The page at this window width, with everything that went wrong while it loaded."""
    context = browser.new_context(viewport={"width": width, "height": 900}, offline=True)
    page, problems = context.new_page(), []
    page.on("console", lambda message: message.type == "error" and problems.append(message.text))
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("requestfailed", lambda request: problems.append(f"failed: {request.url[:100]}"))
    page.on("request", lambda request: problems.append(request.url) if is_foreign(request.url) else None)
    page.goto((SITE / name).as_uri())
    page.wait_for_load_state("networkidle")
    page.evaluate("window.MathJax?.startup?.promise")  # formulas are part of the layout
    return page, problems


def is_foreign(url: str) -> bool:
    return not url.startswith((SITE.as_uri(), "data:", "blob:"))


def test_pages_are_fit_to_be_published():
    assert site_problems(SITE) == []


@pytest.mark.parametrize("width", [DESKTOP, PHONE])
@pytest.mark.parametrize("name", PAGES)
def test_page(browser, name, width):
    page, problems = visit(browser, name, width)
    empty = "all => all.filter(image => image.offsetParent && !image.naturalWidth).map(image => image.src)"
    broken = page.eval_on_selector_all("img", empty)
    layout = page.evaluate("[document.documentElement.scrollWidth, document.documentElement.clientWidth]")
    screenshot = SCREENSHOTS / f"{name.removesuffix('.html').replace('/', '-')}-{width}.png"
    page.screenshot(path=screenshot, full_page=True)
    page.context.close()
    assert problems == []
    assert broken == []
    assert layout[0] <= layout[1], "the page scrolls sideways"


@pytest.mark.parametrize("name", [name for name in PAGES if name.startswith("executed/")])
def test_chapter_offers_its_notebook_and_script(browser, name):
    page, _ = visit(browser, name, DESKTOP)
    offered = page.eval_on_selector_all(".chapter-downloads a", "all => all.map(a => a.getAttribute('href'))")
    page.context.close()
    stem = name.removeprefix("executed/").removesuffix(".html")
    assert [link.rsplit("/", 1)[1] for link in offered] == [f"{stem}.ipynb", f"{stem}.py"]
