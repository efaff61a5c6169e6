"""Judged claims -> the tables of the claims page, of the front page, of the chapters and of README.

`python -m plateaus_utils.book.verdicts` writes README's block and its picture anew from the results of the default profile;
with `--check` it only says whether both are up to date.
"""

import argparse
import json
import math
import re
import sys
from collections.abc import Sequence
from pathlib import Path

from .. import claims, controls, estimates
from ..claims import NOT_TESTED
from ..decisions import FAILS, HOLDS, OPEN
from ..errors import BookError, PlateausError
from ..files import PROJECT, replacing
from . import forest
from .tables import Table

FORMATS = {"°": ".1f", "activation units": ".1f", "%": ".1f", "% of the way": ".1f", "steps": ".1f", "latents": ".0f"}
"""Unit -> format of numbers; others have two decimals."""


def number(value: float | None, low: float | None, high: float | None, unit: str) -> str:
    """Value, interval and unit; what is not finite is beyond the largest size tried (JSON knows only null)."""
    ends = (math.inf if end is None else end for end in (value, low, high))
    text = estimates.words(*ends, FORMATS.get(unit, ".2f"))
    return f"{text}{unit}" if unit == "°" else f"{text} {unit}".strip()


def headline(claim: dict) -> str:
    """Name, value, interval, unit and number of documents of a tested claim's estimand."""
    return f"{claim['estimand']} {number(claim['value'], *claim['interval'], claim['unit'])} (n = {claim['n']})"


def of_the_report(collected: Sequence[dict]) -> list[tuple[str, dict]]:
    """The report's ten statements by their own numbers, in their order, each with the claim that judges it."""
    found = {label: claim for claim in collected for label in claim["labels"] if label.startswith("(")}
    return [(label, found[label]) for label in claims.registry() if label in found]


def rows(collected: Sequence[dict]) -> list[tuple[str, dict]]:
    """All distinct statements, each under all its numbers."""
    return [(", ".join(claim["labels"]), claim) for claim in collected]


def glance(collected: Sequence[dict]) -> str:
    """The report's own statements with verdict and number, a row each, as a Markdown table."""
    rows = "\n".join(
        f"| {label} | {claim['statement']} | {claim['verdict']} | "
        + (f" | {claim['reason']} |" if claim["verdict"] == NOT_TESTED else f"{claim['size']} | {headline(claim)} |")
        for label, claim in of_the_report(collected)
    )
    head = "| | statement, as judged | verdict | size | deciding number [interval] |\n| --- | --- | --- | --- | --- |"
    return f"{head}\n{rows}\n"


def counts(collected: Sequence[dict]) -> str:
    """How many statements have each verdict, in words."""
    found = claims.counts(collected)
    return (
        f"Of {len(collected)} distinct statements, the report's and those of later work, {found[HOLDS]} hold, "
        f"{found[FAILS]} do not hold, {found[OPEN]} are undecided, and {found[NOT_TESTED]} are not tested."
    )


COLUMNS = ("statement", "number", "value [interval]", "n", "null", "direction", "size", "verdict")


def table(judged: Sequence[dict]) -> Table:
    """The numbers of judged claims as a table of text, for a chapter: the deciding one first, then what is only shown."""
    rows = []
    for claim in judged:
        rows.append(
            (
                claim["id"], f"{claim['estimand']} (decides)", number(claim["value"], *claim["interval"], claim["unit"]),
                claim["n"], null(claim["id"]), claim["direction"], claim["size"], claim["verdict"],
            )
        )  # fmt: skip
        rows += [
            (claim["id"], s["name"], number(s["value"], s["low"], s["high"], s["unit"]), s["n"], "", "", "", "shown")
            for s in claim["secondary"]
        ]
    return Table(rows, columns=list(COLUMNS)).set_index("statement").rename_axis(index=None, columns="statement")


def null(name: str) -> str:
    """What an estimand is compared with, and how near counts as equal."""
    decides = claims.estimand(name)
    if decides.is_ratio:
        return f"{decides.null:g}; equal within {1 / decides.half_width:g} to {decides.half_width:g}"
    side = ("at most +" if decides.sign > 0 else "at least −") if decides.one_sided else "±"
    return f"{decides.null:g}{decides.unit if decides.unit == '°' else ''}; equal within {side}{decides.half_width:g}"


def page(judged: Sequence[dict]) -> str:
    """Judged claims as MyST, each folded: statement, source, published value, estimand, answers and all numbers."""
    return "\n".join(_section(claim) for claim in judged)


def _section(claim: dict) -> str:
    entry = claims.registry()[claim["id"]]
    chapter, label = claim["figure"].split("#")
    decides, size = entry["estimand"], entry["size"]
    lines = [
        f"{claim['statement']} {{cite:p}}`{claim['source']}`",
        f"Published: {claim['published']}. Shown in {{numref}}`{label}` of {{doc}}`{chapter}`.",
        f"*Estimand*, {'an effect' if decides['kind'] == 'effect' else 'an absence'}: {claim['estimand']}. {decides['method']} "
        f"Null {null(claim['id'])}{_because(decides)}. Result file: `{decides['result']}.nc`.",
        f"*Direction*: {claim['direction']}. *Size*: {claim['size']}"
        + (f", {size['not_comparable']}." if "not_comparable" in size else f" with {size['published']:g}."),
    ]
    if "departs" in entry:
        lines.append(f"*Departs from the publication*: {entry['departs']}")
    if claim["verdict"] == OPEN:
        lines.append(f"*What would decide it*: {needed(claim)}.")
    decided = f"{number(claim['value'], *claim['interval'], claim['unit'])} ({100 * claim['level']:.1f} %)"
    rows = [f"| **{claim['estimand']}** | {decided} | {claim['n']} |"]
    rows += [
        f"| {literal(s['name'])} | {number(s['value'], s['low'], s['high'], s['unit'])} (95 %) | {s['n']} |"
        for s in claim["secondary"]
    ]
    body = "\n\n".join(lines) + "\n\n| number | value [interval] | n |\n| --- | --- | --- |\n" + "\n".join(rows)
    title = f"{', '.join(claim['labels'])}: {claim['verdict']}, {claim['direction']}"
    return f":::{{dropdown}} {title}\n:name: claim-{claim['id'].strip('()').lower()}\n\n{body}\n:::\n"


def literal(text: str) -> str:
    """Markdown that shows a text as it is; an SAE may be called anything."""
    return re.sub(r"([\\`*_{}\[\]<>|$~])", r"\\\1", text)


def _because(decides: dict) -> str:
    reasons = [decides[key] for key in ("reference_is", "half_width_is") if key in decides]
    return f" ({'; '.join(reasons)})" if reasons else ""


def needed(claim: dict) -> str:
    """How many documents would settle an undecided claim."""
    number, available = claim["documents_needed"], claim["available"]
    if number is None:
        return "no number of documents, if the value stays as it is: it lies on the edge"
    if available is not None and number > available:
        return f"about {number:,} documents for a power of 90 %, more than the corpora at hand hold ({available:,})"
    return f"about {number:,} documents for a power of 90 %"


def controlled(folder: Path) -> str:
    """What the control by permuted labels found, in a sentence."""
    found = controls.run(folder)["permuted"]
    outcome = (
        "as it must be" if found["share"] <= found["limit"] else "MORE THAN IT MAY BE: the verdicts cannot be trusted"
    )
    return (
        f"With the kinds exchanged within prompts at random, {found['runs']:,} times over the {found['statements']} statements "
        f"that compare two kinds, any statement was detected in {found['share']:.1%} of the runs (at most "
        f"{found['limit']:.1%}), {outcome}."
    )


def control_table(folder: Path) -> str:
    """Power and reversal of each statement, as a Markdown table."""
    found = controls.run(folder)["planted"]
    lines = "\n".join(
        f"| {name} | {row['planted']:.1f} | {row['power']:.2f} | {row['reversed']:.2f} |" for name, row in found.items()
    )
    return f"| | planted effect (half-widths) | power | reversed |\n| --- | --- | --- | --- |\n{lines}\n"


def untested(collected: Sequence[dict]) -> str:
    """The claims that nothing has tested, as a MyST table with the reason."""
    rows = "\n".join(
        f"| {c['id']} | {c['statement']} {{cite:p}}`{c['source']}` | {c['published']} | {c['reason']} |"
        for c in collected
        if c["verdict"] == NOT_TESTED
    )
    return f"| | statement | published | why |\n| --- | --- | --- | --- |\n{rows}\n"


def side_by_side(runs: dict[str, list[dict]]) -> str:
    """Verdicts of several runs, a column each, and in how many of those that test it a statement holds; nothing is pooled."""
    names = list(runs)
    verdicts = {run: {claim["id"]: claim for claim in collected} for run, collected in runs.items()}
    rows = []
    for name in claims.distinct():
        found = [verdicts[run].get(name, {"verdict": NOT_TESTED}) for run in names]
        tested = [claim for claim in found if claim["verdict"] != NOT_TESTED]
        if tested:
            cells = [_cell(claim) for claim in found]
            holds = sum(claim["verdict"] == HOLDS for claim in tested)
            rows.append(f"| {name} | {' | '.join(cells)} | {holds} of {len(tested)} |")
    head = f"| | {' | '.join(names)} | holds in |\n| --- |{' --- |' * (len(names) + 1)}\n"
    return head + "\n".join(rows) + "\n"


def _cell(claim: dict) -> str:
    if claim["verdict"] == NOT_TESTED:
        return NOT_TESTED
    return f"{claim['verdict']}: {number(claim['value'], *claim['interval'], claim['unit'])}"


# README -------------------------------------------------------------------------------------------------------------

START, END = "<!-- verdicts: written by python -m plateaus_utils.book.verdicts -->", "<!-- end of verdicts -->"
PICTURE = "book/_static/forest.svg"


def readme_with(collected: Sequence[dict], readme: str) -> str:
    """README with the counts, the picture and the report's statements written anew between its two marks.

    Raises:
        BookError: the marks are missing.
    """
    if START not in readme or END not in readme:
        raise BookError(f"README.md lacks the line '{START}' or '{END}'; put both back.")
    picture = f"![The report's ten statements: our effect over the half-width of practical equality]({PICTURE})"
    block = f"{START}\n{counts(collected)}\n\n{picture}\n\n{glance(collected)}{END}"
    return re.sub(re.escape(START) + ".*" + re.escape(END), lambda _: block, readme, flags=re.DOTALL)


def main(arguments: list[str] | None = None, root: Path = PROJECT) -> int:
    """The command line; 0: README is up to date, 1: it is not, 2: the request cannot be met."""
    parser = argparse.ArgumentParser(prog="python -m plateaus_utils.book.verdicts", description=__doc__.split("\n")[0])
    parser.add_argument("--check", action="store_true", help="write nothing, only say whether README is up to date")
    options = parser.parse_args(arguments)
    try:
        source = root / "results" / "quick" / "claims.json"
        if not source.is_file():
            raise BookError("There are no verdicts of the default profile yet; `make book` makes them.")
        collected = json.loads(source.read_text(encoding="utf-8"))
        readme = root / "README.md"
        wanted = {
            readme: readme_with(collected, readme.read_text(encoding="utf-8")),
            root / PICTURE: forest.picture(of_the_report(collected)),
        }
    except PlateausError as error:
        print(error, file=sys.stderr)
        return 2
    stale = [path for path, text in wanted.items() if not path.is_file() or path.read_text(encoding="utf-8") != text]
    if options.check or not stale:
        print("README's verdicts are not those of the last `make book`." if stale else "README is up to date.")
        return int(bool(stale))
    for path in stale:
        with replacing(path) as temporary:
            temporary.write_text(wanted[path], encoding="utf-8")
    print("README's verdicts are written.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
