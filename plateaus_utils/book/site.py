"""Build the site from the executed chapters, strictly, and check that its pages are fit to be published."""

import ctypes
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import unquote, urlsplit

from bs4 import BeautifulSoup

from ..errors import BookError
from ..files import PROJECT, replacing

MATHJAX_PARTS = ("tex-mml-chtml.js", "output/chtml/fonts/woff-v2", "input/tex/extensions")

MAX_PAGE_BYTES = 3_000_000
"""A page above this would be slow on a phone; precomputed sliders are the usual reason."""


def build_site(root: Path = PROJECT) -> Path:
    """Build the site strictly, check its pages, and put it at `_build/html`.

    Raises:
        BookError: a warning of the build or a page that is not fit to be published; the pages are then left in
            `_build/site`, to look at.
    """
    vendor_mathjax(root)
    stage = root / "_build" / "site"
    shutil.rmtree(stage, ignore_errors=True)
    command = [Path(sys.executable).with_name("jb"), "build", root, "--path-output", stage]
    strict = ["--all", "-W", "--keep-going", "-n"]
    returncode, printed = _run([*command, *strict], root)
    if returncode:
        raise BookError(f"The site was not built:\n{_warnings(printed)}")
    pages = stage / "_build" / "html"
    if problems := site_problems(pages):
        raise BookError("The site is not fit to be published:\n" + "\n".join(problems))
    site = root / "_build" / "html"
    shutil.rmtree(site, ignore_errors=True)
    os.replace(pages, site)
    return site


def _run(command: list[str | Path], cwd: Path) -> tuple[int, str]:
    """Exit status and output of a command that does not outlive this process, however this process ends."""
    with subprocess.Popen(
        command, cwd=cwd, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, preexec_fn=_end_with_parent
    ) as running:
        try:
            printed = running.communicate()[0]
        except BaseException:
            running.kill()
            raise
    return running.returncode, printed


PR_SET_PDEATHSIG = 1
"""Linux's prctl option: the signal that a process gets when its parent has died."""


def _end_with_parent() -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def vendor_mathjax(root: Path = PROJECT) -> None:
    """Copy the parts of MathJax that the pages load from its pinned package to `book/_vendor`."""
    # The package's name holds hyphens, so it can be found but not imported.
    package = Path(find_spec("sphinx-mathjax-offline").origin).parent / "static" / "mathjax"
    for part in MATHJAX_PARTS:
        target = root / "book" / "_vendor" / "mathjax" / part
        if not target.exists():
            with replacing(target) as temporary:
                (shutil.copytree if (package / part).is_dir() else shutil.copyfile)(package / part, temporary)


def _warnings(log: str) -> str:
    lines = [line for line in re.sub(r"\x1b\[[\d;]*m", "", log).splitlines() if re.search("WARNING|ERROR", line)]
    return "\n".join(lines) or log[-3000:]


def pages_of(site: Path) -> list[Path]:
    """All pages of a built site, without the templates that the theme keeps among its static files."""
    return sorted(path for path in site.rglob("*.html") if "_static" not in path.relative_to(site).parts)


def site_problems(pages: Path) -> list[str]:
    """What keeps the site from being published: foreign requests, undescribed images, dead links, heavy pages."""
    soups = {path: BeautifulSoup(path.read_text(), "html.parser") for path in pages_of(pages)}
    anchors = {path: {tag["id"] for tag in soup.find_all(id=True)} for path, soup in soups.items()}
    problems = [] if soups else ["there are no pages"]
    for path, soup in soups.items():
        found = [*_foreign(soup), *_undescribed(soup), *_dead_links(path, soup, anchors)]
        if path.stat().st_size > MAX_PAGE_BYTES:
            found.append(f"{path.stat().st_size:,} bytes are more than {MAX_PAGE_BYTES:,}")
        problems += [f"{path.relative_to(pages)}: {problem}" for problem in found]
    for path in sorted(pages.rglob("*.css")):
        if re.search(r"(url\(|@import)\s*['\"]?(https?:)?//", path.read_text()):
            problems.append(f"{path.relative_to(pages)}: loads from another site")
    return problems


def _foreign(soup: BeautifulSoup) -> Iterator[str]:
    loading = [tag["src"] for tag in soup.find_all(src=True)]
    loading += [tag["href"] for tag in soup.find_all("link", href=True) if "canonical" not in tag.get("rel", [])]
    yield from (f"loads {url}" for url in loading if re.match(r"(https?:)?//", url))


def _undescribed(soup: BeautifulSoup) -> Iterator[str]:
    for image in soup.find_all("img"):
        alt = image.get("alt", "").strip()
        if not alt or re.search(r"\.(png|svg|jpe?g)$", alt):
            yield f"the image {image.get('src', '')[:60]} has no alternative text"


def _dead_links(page: Path, soup: BeautifulSoup, anchors: dict[Path, set[str]]) -> Iterator[str]:
    for link in sorted({tag["href"] for tag in soup.find_all("a", href=True)}):
        url = urlsplit(link)
        if url.scheme or url.netloc:
            continue
        target = (page.parent / unquote(url.path)).resolve() if url.path else page
        if not target.is_file() or (url.fragment and unquote(url.fragment) not in anchors.get(target, {url.fragment})):
            yield f"the link {link} leads nowhere"
