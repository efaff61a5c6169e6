"""Tie each chapter's page, made from executed/NAME.ipynb, to its source, notebooks/NAME.py; and small additions.

A line under the title offers both files for download, with the results that the chapter shows, and the theme's edit and
Binder links lead to the script, because the executed notebook is not in the repository. The glossary gets its entries of kinds.
"""

import json
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx.addnodes import download_reference
from sphinx.application import Sphinx

from ..kinds import BASES, DIRECTIONS

EXECUTED, SOURCES = "executed/", "notebooks/"


def source_of(docname: str, root: str | Path) -> str | None:
    """The script, without its suffix, behind the page `docname`; None for a page that is no chapter."""
    source = docname.replace(EXECUTED, SOURCES, 1)
    is_chapter = docname.startswith(EXECUTED) and Path(root, f"{source}.py").is_file()
    return source if is_chapter else None


def add_downloads(app: Sphinx, doctree: nodes.document) -> None:
    """Put the line with both downloads under the chapter's title."""
    docname = app.env.docname
    source = source_of(docname, app.srcdir)
    if source is None:
        return
    line = nodes.paragraph("", "Download this chapter: ", classes=["chapter-downloads"])
    line += _download(f"/{docname}.ipynb", "executed notebook")
    line += nodes.Text(", ")
    line += _download(f"/{source}.py", "script")
    found = [path for path in _results(Path(app.srcdir, f"{docname}.ipynb")) if Path(app.srcdir, path).is_file()]
    if found:
        line += nodes.Text("; results behind it (netCDF): ")
        for number, path in enumerate(found):
            line += nodes.Text(", " if number else "")
            line += _download(f"/{path}", Path(path).stem)
    title = next(doctree.findall(nodes.title))
    title.parent.insert(title.parent.index(title) + 1, line)


def _results(executed: Path) -> list[str]:
    """Result files that the executed notebook asked for, as its driver recorded them."""
    return json.loads(executed.read_text(encoding="utf-8"))["metadata"].get("plateaus", {}).get("results", [])


def _download(path: str, text: str) -> download_reference:
    return download_reference("", text, reftarget=path, classes=["download"])


def link_to_source(app: Sphinx, pagename: str, templatename: str, context: dict[str, Any], doctree: Any) -> None:
    """Let the buttons that lead to the repository (edit, show source, Binder) name the script."""
    source = source_of(pagename, app.srcdir)
    buttons = list(context.get("header_buttons", [])) if source else []
    for button in buttons:
        buttons += button.get("buttons", [])  # a group; what is appended is visited as well
        if button.get("url", "").startswith("http"):
            button["url"] = button["url"].replace(f"{pagename}.ipynb", f"{source}.py")


KINDS_HERE = "<!-- every kind of base and of direction, from plateaus_utils/kinds.py -->\n"


def add_kinds(app: Sphinx, docname: str, source: list[str]) -> None:
    """Put an entry for each kind of base and of direction where the glossary asks for them."""
    entries = [f"{kind.label}\n    {kind.meaning}\n" for kind in (*BASES.values(), *DIRECTIONS.values())]
    source[0] = source[0].replace(KINDS_HERE, "\n".join(entries))


def keep_first_line(app: Sphinx, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
    """Keep napoleon from taking the words before a colon in an attribute's docstring for a type."""
    if what in ("attribute", "data", "property"):
        lines[:0] = ["..", ""]  # an empty comment: napoleon looks at the first line alone


def setup(app: Sphinx) -> dict[str, bool]:
    """Connect before Sphinx collects the downloads, after the theme has made its buttons, and before napoleon."""
    app.connect("autodoc-process-docstring", keep_first_line, priority=400)
    app.connect("source-read", add_kinds)
    app.connect("doctree-read", add_downloads, priority=400)
    app.connect("html-page-context", link_to_source, priority=900)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
