"""Judged claims -> one forest plot: every statement's effect over its half-width of practical equality.

The plot is a list of rows in HTML, which a page shows at any width and filters by verdict without a script, or one SVG picture
for README. Both draw the same strip: the region of practical equality, the published size, and our value with its interval.
"""

import html
import math
from collections.abc import Sequence

from .. import claims, decisions
from ..claims import NOT_TESTED
from ..decisions import FAILS, HOLDS, OPEN

REACH = 40.0
"""Half-widths at the ends of the axis, which is linear near zero and logarithmic far from it (inverse hyperbolic sine)."""
TICKS = (-30, -10, -3, -1, 0, 1, 3, 10, 30)
COLORS = {HOLDS: "#0072B2", FAILS: "#D55E00", OPEN: "#767676"}
MARKS = {HOLDS: "●", FAILS: "✕", OPEN: "○"}
"""Verdict -> how it is told apart without colour."""


def position(effect: float) -> float:
    """Where an effect in half-widths lies on the axis, in percent of its width."""
    clipped = max(-REACH, min(REACH, effect))
    return 50 + 50 * math.asinh(clipped) / math.asinh(REACH)


def strip(claim: dict) -> str:
    """The SVG elements of one row, on a canvas 20 pixels high and as wide as it is given."""
    value, low, high = (position(effect) for effect in claim["standardized"])
    left, right, middle = position(-1), position(1), position(0)
    color = COLORS[claim["verdict"]]
    drawn = [
        f'<rect x="{left:.2f}%" width="{right - left:.2f}%" y="0" height="20" fill="#8884" />',
        f'<line x1="{middle:.2f}%" x2="{middle:.2f}%" y1="0" y2="20" stroke="#888" />',
    ]
    decides = claims.estimand(claim["id"])
    if decides.published is not None:
        published, margin = decides.standardized(decides.published), decisions.published_margin(decides)
        start, end = position(published - margin), position(published + margin)
        drawn.append(
            f'<rect x="{start:.2f}%" width="{end - start:.2f}%" y="5" height="10" fill="none" stroke="#E69F00" '
            'stroke-width="1.5" stroke-dasharray="3 2" />'
        )
    drawn.append(
        f'<line x1="{low:.2f}%" x2="{high:.2f}%" y1="10" y2="10" stroke="{color}" stroke-width="3" stroke-linecap="round" />'
    )
    drawn.append(_mark(claim["verdict"], value, color))
    return "".join(drawn)


def _mark(verdict: str, x: float, color: str) -> str:
    if verdict == FAILS:  # a cross, drawn as text so that it keeps its shape at any width
        return f'<text x="{x:.2f}%" y="15.5" text-anchor="middle" font-size="16" font-weight="bold" fill="{color}">✕</text>'
    inside = color if verdict == HOLDS else "#fff"
    return f'<circle cx="{x:.2f}%" cy="10" r="5" fill="{inside}" stroke="{color}" stroke-width="2" />'


def plot(rows: Sequence[tuple[str, dict]], pages: str = "", name: str = "forest", filtered: bool = True) -> str:
    """Labelled claims as a list of rows in HTML; those that are not tested are left out.

    Args:
        rows: (label, claim), see `claims.collect`.
        pages: address of the folder with the chapters' pages, relative to the page that shows the plot.
        name: what the buttons of this plot share; unique on a page.
        filtered: whether there are buttons that choose by verdict.
    """
    tested = [(label, claim) for label, claim in rows if claim["verdict"] != NOT_TESTED]
    items = "".join(_row(label, claim, pages) for label, claim in tested)
    buttons = _buttons(tested, name) if filtered else ""
    return f'<div class="forest">{buttons}<ol>{items}</ol>{_axis()}</div>'


def _row(label: str, claim: dict, pages: str) -> str:
    chapter, anchor = claim["figure"].split("#")
    verdict, statement = claim["verdict"], html.escape(claim["statement"])
    said = html.escape(_said(claim))
    return (
        f'<li class="{_css(verdict)}"><a href="{pages}{chapter}.html#{anchor}"><b>{html.escape(label)}</b> {statement}</a>'
        f'<span class="said">{MARKS[verdict]} {said}</span>'
        f'<svg width="100%" height="20" role="img" aria-label="{_spoken(claim)}">{strip(claim)}</svg></li>'
    )


def _said(claim: dict) -> str:
    """Verdict and both answers, without saying *undecided* twice."""
    answers = dict.fromkeys((claim["verdict"], claim["direction"]))
    return f"{', '.join(answers)}; size {claim['size']}"


def _spoken(claim: dict) -> str:
    value, low, high = claim["standardized"]
    return html.escape(f"{value:.1f} half-widths from the null, interval {low:.1f} to {high:.1f}")


def _css(verdict: str) -> str:
    return verdict.replace(" ", "-")


def _buttons(rows: Sequence[tuple[str, dict]], name: str) -> str:
    """Radio buttons; the style sheet hides the rows of other verdicts."""
    found = [claim["verdict"] for _, claim in rows]
    choices = [("all", f"all {len(found)}")] + [
        (_css(v), f"{MARKS[v]} {v} ({found.count(v)})") for v in COLORS if v in found
    ]
    options = "".join(
        f'<label><input type="radio" name="{name}" value="{value}"{" checked" if value == "all" else ""}> {text}</label>'
        for value, text in choices
    )
    return f"<fieldset><legend>Show</legend>{options}</fieldset>"


def _axis() -> str:
    ticks = "".join(
        f'<text x="{position(tick):.2f}%" y="12" text-anchor="middle" font-size="12" fill="currentColor">{tick}</text>'
        for tick in TICKS
    )
    return (
        f'<svg class="axis" width="100%" height="16" aria-hidden="true">{ticks}</svg><p>Effect over the half-width of '
        "practical equality, the published sign to the right. Grey: practically equal. Dashed: the published size. Line: our "
        "interval, widened for the number of statements in its family.</p>"
    )


# README's picture -----------------------------------------------------------------------------------------------------

WIDTH, LEFT, ROW = 860, 470, 34


def picture(rows: Sequence[tuple[str, dict]]) -> str:
    """The same as one SVG picture, without links and buttons."""
    tested = [(label, claim) for label, claim in rows if claim["verdict"] != NOT_TESTED]
    lines = []
    for place, (label, claim) in enumerate(tested):
        y, color = 10 + place * ROW, COLORS[claim["verdict"]]
        text = [f"{label} {claim['statement']}"]
        words = html.escape(text[0] if len(text[0]) <= 66 else f"{text[0][:64].rstrip()}…")
        said = html.escape(_said(claim))
        lines.append(
            f'<text x="8" y="{y + 10}" font-size="12.5" fill="#222">{words}</text>'
            f'<text x="8" y="{y + 24}" font-size="11" fill="{color}">{MARKS[claim["verdict"]]} {said}</text>'
            f'<svg x="{LEFT}" y="{y}" width="{WIDTH - LEFT - 10}" height="20">{strip(claim)}</svg>'
        )
    height = 10 + len(tested) * ROW + 24
    ticks = "".join(
        f'<text x="{position(tick):.2f}%" y="12" text-anchor="middle" font-size="11" fill="#444">{tick}</text>'
        for tick in TICKS
    )
    axis = f'<svg x="{LEFT}" y="{height - 22}" width="{WIDTH - LEFT - 10}" height="16">{ticks}</svg>'
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}" '
        f'font-family="sans-serif"><rect width="100%" height="100%" fill="#fff" />{"".join(lines)}{axis}</svg>\n'
    )
