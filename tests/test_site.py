"""The built site in a real browser, without a network: needs `_build/html` (make book) and Debian's chromium.

Where one of them is missing these tests are skipped, or fail if REQUIRE_BROWSER=1.
"""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from axe_playwright_python.sync_playwright import Axe
from bs4 import BeautifulSoup
from conftest import refuse
from playwright.sync_api import Browser, Page
from pypdf import PdfReader

from plateaus_utils.book import parameters, verdicts
from plateaus_utils.book.parameters import toc_pages
from plateaus_utils.book.pdf import print_pages
from plateaus_utils.book.site import pages_of, site_problems
from plateaus_utils.files import PROJECT
from plateaus_utils.results import load

SITE = PROJECT / "_build" / "html"
SCREENSHOTS = PROJECT / "_build" / "screenshots"
PAGES = [str(path.relative_to(SITE)) for path in pages_of(SITE)]
CHAPTERS = [name for name in PAGES if name.startswith("executed/")]

DESKTOP, PHONE = 1280, 390


@pytest.fixture(scope="module", autouse=True)
def site() -> None:
    if not PAGES:
        refuse("there is no built site; `make book` builds it")


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


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("name", PAGES)
def test_page_is_accessible(browser, name, theme):
    page, _ = visit(browser, name, DESKTOP)
    page.add_style_tag(content="* { transition: none !important }")  # colours are judged where they end
    page.evaluate(f"document.documentElement.dataset.theme = '{theme}'")
    found = Axe().run(page).response["violations"]
    page.context.close()
    grave = [f"{v['id']}: {v['nodes'][0]['html'][:200]}" for v in found if v["impact"] in ("serious", "critical")]
    assert grave == []


# The explorer ---------------------------------------------------------------------------------------------------------

EXPLORER = "executed/explorer.html"


@pytest.fixture
def explorer(browser):
    page, problems = visit(browser, EXPLORER, DESKTOP)
    yield page
    page.context.close()
    assert problems == []


@pytest.fixture(scope="module")
def walks():
    """The result file behind the explorer."""
    record = json.loads((PROJECT / "executed" / "explorer.ipynb").read_text())["metadata"]["plateaus"]
    return load(PROJECT / record["parameters"]["results_dir"] / "walks.nc")


def shown(page) -> dict:
    """What the page shows: numbers of the text, bars and markers."""
    bars = page.eval_on_selector_all(
        "#explorer-bars [role=listitem]", "all => all.map(row => +row.dataset.probability)"
    )
    markers = page.eval_on_selector_all("#explorer-curve circle", "all => all.map(dot => +dot.dataset.value)")
    texts = {name: page.inner_text(f"#explorer-{name}") for name in ("kl", "l2", "threshold", "flip", "reading")}
    return {"bars": bars, "l2": markers[0], "kl": markers[1], **{f"{k} text": v for k, v in texts.items()}}


def check_shown(page, walks, prompt, mode, kind, size):
    chosen = walks.isel(prompt=prompt, mode=mode, kind=kind)
    found = shown(page)
    np.testing.assert_allclose(found["bars"], chosen.probability.values[size], rtol=1e-2)
    np.testing.assert_allclose([found["kl"], found["l2"]], [chosen.kl.values[size], chosen.l2.values[size]], rtol=1e-3)
    assert float(found["kl text"].split()[0]) == pytest.approx(float(chosen.kl.values[size]), rel=1e-2, abs=1e-6)
    best = chosen.probability.values.argmax(-1)
    flips = np.flatnonzero(best != best[0])
    assert found["flip text"].startswith("no size") == (len(flips) == 0)
    if np.isfinite(float(chosen.threshold)):
        assert float(found["threshold text"].rstrip("°‖b ")) == pytest.approx(float(chosen.threshold), rel=1e-2)


def test_choosing_and_dragging_shows_the_result(explorer, walks):
    explorer.select_option("#explorer-prompt", "3")
    explorer.select_option("#explorer-kind", index=2)
    explorer.select_option("#explorer-mode", index=1)
    for size in (0, 17, 40):
        explorer.fill("#explorer-size", str(size))
        check_shown(explorer, walks, 3, 1, 2, size)


def test_keyboard_alone_suffices_and_the_address_keeps_the_view(explorer, browser, walks):
    explorer.focus("#explorer-prompt")
    explorer.keyboard.press("ArrowDown")
    for _ in range(3):
        explorer.keyboard.press("Tab")
    assert explorer.evaluate("document.activeElement.id") == "explorer-size"
    for _ in range(9):
        explorer.keyboard.press("ArrowRight")
    check_shown(explorer, walks, 1, 0, 0, 9)
    context = browser.new_context(offline=True)
    again = context.new_page()
    again.goto(explorer.url)
    assert shown(again) == shown(explorer)
    context.close()


def test_map_reads_out_the_value_under_the_pointer(explorer):
    canvas = explorer.locator("#landscape-app canvas").nth(1)
    canvas.hover(position={"x": 60, "y": 200})
    assert "nats" in explorer.inner_text("#landscape-app output")
    surface = explorer.locator("#landscape-app canvas").first
    before = surface.screenshot()
    surface.focus()
    explorer.keyboard.press("ArrowLeft")
    assert surface.screenshot() != before
    explorer.locator("#triangle-app canvas").hover(position={"x": 200, "y": 200})
    assert "weights" in explorer.inner_text("#triangle-app output")


def test_without_scripts_a_figure_remains(browser):
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto((SITE / EXPLORER).as_uri())
    assert "needs JavaScript" in page.inner_text("#explorer-app")
    assert page.locator("figure img").count() >= 2
    context.close()


def test_site_and_its_pages_are_small():
    files = [path for path in SITE.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) <= 40e6
    assert max((path.stat().st_size for path in files if path.suffix == ".html"), default=0) <= 3e6


@pytest.mark.parametrize("name", CHAPTERS)
def test_chapter_offers_its_notebook_and_script(browser, name):
    page, _ = visit(browser, name, DESKTOP)
    offered = page.eval_on_selector_all(".chapter-downloads a", "all => all.map(a => a.getAttribute('href'))")
    page.context.close()
    stem = name.removeprefix("executed/").removesuffix(".html")
    names = [link.rsplit("/", 1)[1] for link in offered]
    record = json.loads((PROJECT / "executed" / f"{stem}.ipynb").read_text())["metadata"]["plateaus"]
    assert names == [f"{stem}.ipynb", f"{stem}.py", *(Path(path).name for path in record["results"])]
    for link in offered:
        assert (SITE / "executed" / link).resolve().is_file()


@pytest.fixture(scope="module")
def reader(tmp_path_factory):
    """A folder outside the checkout, where a reader runs what was downloaded."""
    return tmp_path_factory.mktemp("reader")


@pytest.mark.parametrize("name", CHAPTERS)
def test_downloaded_notebook_runs_at_smoke_size(name, reader):
    stem = Path(name).stem
    (offered,) = (SITE / "_downloads").rglob(f"{stem}.ipynb")
    declared = parameters.declared_parameters(PROJECT / "notebooks" / f"{stem}.py")
    given = {name: value for name, value in parameters.load_profile("smoke").items() if name in declared}
    given["results_dir"] = str(reader / "results")
    command = [sys.executable, "-m", "papermill", offered, f"{stem}.ipynb", "-k", "python3", "-y", json.dumps(given)]
    run = subprocess.run(command, cwd=reader, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr[-2000:]
    cells = json.loads((reader / f"{stem}.ipynb").read_text())["cells"]
    assert all(cell["execution_count"] for cell in cells if cell["cell_type"] == "code")


def test_readme_states_what_the_book_found(stated):
    record = json.loads((PROJECT / "executed" / "claims.ipynb").read_text())["metadata"]["plateaus"]
    if record["parameters"]["results_dir"] != "results/quick":
        pytest.skip("README is about the default profile, this site is not")
    found = json.loads((PROJECT / "results" / "quick" / "claims.json").read_text())
    own = verdicts.of_the_report(found)
    words = [(label, c["statement"], c["verdict"], c["estimand"]) for label, c in own]
    assert [row[:4] for row in stated] == words
    for (_, claim), (*_, value, low, high) in zip(own, stated, strict=True):
        assert claim["value"] == pytest.approx(value, abs=0.006 + 0.1 * (high - low))  # another machine's rounding


def test_pdf_holds_every_page_under_its_heading(browser, tmp_path):
    pages = [page for page in toc_pages() if page != "book/api"]  # the longest, and like the others
    print_pages(browser, SITE, pages, tmp_path / "book.pdf")
    printed = PdfReader(tmp_path / "book.pdf")
    soups = [BeautifulSoup((SITE / f"{page}.html").read_text(), "html.parser") for page in pages]
    titles = [soup.select_one(".bd-article h1").get_text().rstrip("#").strip() for soup in soups]
    assert [item.title for item in printed.outline] == titles
    for item, title in zip(printed.outline, titles, strict=True):
        text = printed.pages[printed.get_destination_page_number(item)].extract_text()
        assert title.split(". ")[-1].split()[0] in text
