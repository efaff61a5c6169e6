"""The built site as one PDF: Chromium prints every page, in reading order, and an outline leads to each: `make pdf`."""

import io
import shutil
import sys
from pathlib import Path

from playwright.sync_api import Browser, sync_playwright
from pypdf import PdfWriter

from ..errors import BookError, PlateausError
from ..files import PROJECT, replacing
from .parameters import toc_pages

SITE = PROJECT / "_build" / "html"
MARGIN, SCALE = "16mm", 0.75


def require_pages(site: Path, pages: list[str]) -> None:
    """Refuse a site that lacks one of `pages`, addresses within it without their suffix.

    Raises:
        BookError: names the first page that is missing.
    """
    missing = [page for page in pages if not (site / f"{page}.html").is_file()]
    if missing:
        raise BookError(f"The site has no page {missing[0]}; `make book` builds it.")


def print_pages(browser: Browser, site: Path, pages: list[str], path: Path) -> None:
    """Print `pages`, addresses within `site` without their suffix, into one PDF at `path`."""
    writer, tab = PdfWriter(), browser.new_page()
    for page in pages:
        tab.goto((site / f"{page}.html").as_uri())
        tab.wait_for_load_state("networkidle")
        tab.evaluate("window.MathJax?.startup?.promise")
        printed = tab.pdf(format="A4", scale=SCALE, margin=dict.fromkeys(("top", "bottom", "left", "right"), MARGIN))
        heading = tab.locator(".bd-article h1").inner_text().rstrip("#").strip()
        writer.append(io.BytesIO(printed), outline_item=heading)
    tab.close()
    with replacing(path) as temporary:
        writer.write(temporary)


def main() -> int:
    """The command line."""
    target, pages = PROJECT / "_build" / "book.pdf", toc_pages()
    try:
        require_pages(SITE, pages)
        chromium = shutil.which("chromium")
        if chromium is None:
            raise BookError("The PDF is printed by chromium, which is missing; `apt-get install chromium` brings it.")
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu"])
            print_pages(browser, SITE, pages, target)
    except PlateausError as error:
        print(error, file=sys.stderr)
        return 2
    print(f"The PDF is at {target.relative_to(PROJECT)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
