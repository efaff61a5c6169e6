"""Judged claims -> the tables of the claims page, of the front page and of README.

`python -m plateaus_utils.book.verdicts` writes README's table anew from the results of the default profile; with `--check` it
only says whether README is up to date.
"""

import argparse
import json
import math
import re
import sys
from collections.abc import Sequence
from pathlib import Path

from .. import estimates
from ..claims import FAILS, HOLDS, NOT_TESTED, OPEN
from ..errors import BookError, PlateausError
from ..files import PROJECT, replacing
from .tables import Table

FORMATS = {"°": ".1f", "%": ".1f", "% of the way": ".1f", "steps": ".1f", "latents": ".0f"}
"""Unit -> format of a part's numbers; others have two decimals."""


def number(part: dict) -> str:
    """A part's value, interval and unit; what is not finite is beyond the largest size tried (JSON knows only null)."""
    ends = (math.inf if part[key] is None else part[key] for key in ("value", "low", "high"))
    text = estimates.words(*ends, FORMATS.get(part["unit"], ".2f"))
    return f"{text}{part['unit']}" if part["unit"] == "°" else f"{text} {part['unit']}".strip()


def headline(claim: dict) -> str:
    """Name, value, interval, unit and sample size of the first part of a tested claim."""
    first = claim["parts"][0]
    return f"{first['name']} {number(first)} (n = {first['n']})"


def brief(claim: dict) -> str:
    """Verdict and headline number of a claim in one line."""
    if claim["verdict"] == NOT_TESTED:
        return f"{NOT_TESTED}: {claim['reason']}"
    return f"{claim['verdict']}: {headline(claim)}"


def glance(collected: Sequence[dict]) -> str:
    """The report's own statements with verdict and headline number, a row each, as a Markdown table."""
    rows = "\n".join(
        f"| {c['id']} | {c['statement']} | {c['verdict']} | {c['reason'] if c['verdict'] == NOT_TESTED else headline(c)} |"
        for c in collected
        if c["id"].startswith("(")
    )
    return f"| | the report's statement | verdict | first number [95 %] |\n| --- | --- | --- | --- |\n{rows}\n"


def counts(collected: Sequence[dict]) -> str:
    """How many statements have each verdict, in words."""
    found = {v: sum(claim["verdict"] == v for claim in collected) for v in (HOLDS, FAILS, OPEN, NOT_TESTED)}
    return (
        f"Of {len(collected)} statements, the report's and those of later work, {found[HOLDS]} hold, {found[FAILS]} do not "
        f"hold, {found[OPEN]} cannot be told from this sample, and {found[NOT_TESTED]} are not tested."
    )


def table(judged: Sequence[dict]) -> Table:
    """The parts of judged claims as a table of text, for a chapter."""
    rows = [
        {
            "claim": claim["id"],
            "measured": part["name"],
            "value [95 %]": number(part),
            "n": part["n"],
            "band": _band(*part["band"]),
            "part": part["verdict"] or "shown only",
            "claim's verdict": claim["verdict"],
        }
        for claim in judged
        for part in claim["parts"]
    ]
    return Table(rows).set_index("claim").rename_axis(index=None, columns="claim")


def _band(low: float | None, high: float | None) -> str:
    if low is None and high is None:
        return "none"
    if low is None:
        return f"at most {high:.3g}"
    return f"at least {low:.3g}" if high is None else f"{low:.3g} to {high:.3g}"


def page(judged: Sequence[dict]) -> str:
    """Judged claims as MyST: for each its statement, source, published value, figure, verdict and parts."""
    sections = []
    for claim in judged:
        chapter, label = claim["figure"].split("#")
        needed = claim["prompts_needed"]
        more = f" About {needed:,} prompts would settle it, if the values stayed as they are." if needed else ""
        rows = "\n".join(
            f"| {part['name']} | {number(part)} | {part['n']} | {_band(*part['band'])} | "
            f"{part['verdict'] or 'shown only'} | {part['prompts_needed'] or ''} |"
            for part in claim["parts"]
        )
        sections.append(
            f"### {claim['id']}: {claim['verdict']}\n\n{claim['statement']} {{cite:p}}`{claim['source']}`\n\n"
            f"Published: {claim['published']}. Shown in {{numref}}`{label}` of {{doc}}`{chapter}`.{more}\n\n"
            "| measured | value [95 %] | prompts | band | verdict | prompts needed |\n"
            f"| --- | --- | --- | --- | --- | --- |\n{rows}\n"
        )
    return "\n".join(sections)


def untested(collected: Sequence[dict]) -> str:
    """The claims that nothing has tested, as a MyST table with the reason."""
    rows = "\n".join(
        f"| {c['id']} | {c['statement']} {{cite:p}}`{c['source']}` | {c['published']} | {c['reason']} |"
        for c in collected
        if c["verdict"] == NOT_TESTED
    )
    return f"| | statement | published | why |\n| --- | --- | --- | --- |\n{rows}\n"


# README -------------------------------------------------------------------------------------------------------------

START, END = "<!-- verdicts: written by python -m plateaus_utils.book.verdicts -->", "<!-- end of verdicts -->"


def readme_with(collected: Sequence[dict], readme: str) -> str:
    """README with the counts and the table of the report's statements written anew between its two marks.

    Raises:
        BookError: the marks are missing.
    """
    if START not in readme or END not in readme:
        raise BookError(f"README.md lacks the line '{START}' or '{END}'; put both back.")
    block = f"{START}\n{counts(collected)}\n\n{glance(collected)}{END}"
    return re.sub(re.escape(START) + ".*" + re.escape(END), lambda _: block, readme, flags=re.DOTALL)


def main(arguments: list[str] | None = None, root: Path = PROJECT) -> int:
    """The command line; 0: README is up to date, 1: it is not, 2: the request cannot be met."""
    parser = argparse.ArgumentParser(prog="python -m plateaus_utils.book.verdicts", description=__doc__.split("\n")[0])
    parser.add_argument("--check", action="store_true", help="write nothing, only say whether README is up to date")
    options = parser.parse_args(arguments)
    try:
        source, target = root / "results" / "quick" / "claims.json", root / "README.md"
        if not source.is_file():
            raise BookError("There are no verdicts of the default profile yet; `make book` makes them.")
        readme = target.read_text(encoding="utf-8")
        written = readme_with(json.loads(source.read_text(encoding="utf-8")), readme)
    except PlateausError as error:
        print(error, file=sys.stderr)
        return 2
    if options.check or written == readme:
        print(
            "README is up to date." if written == readme else "README's verdicts are not those of the last `make book`."
        )
        return int(written != readme)
    with replacing(target) as temporary:
        temporary.write_text(written, encoding="utf-8")
    print("README's verdicts are written.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
