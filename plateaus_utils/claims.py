"""A published statement, our value with its interval, and the verdict that follows from the two.

A claim is judged by its parts, each an interval against a band: inside the band it holds, wholly outside it does not
hold, otherwise it cannot be told. Bands are the published values widened for differences of seed, sample and
definition; they were fixed before anything was measured. Absolute numbers of GPT-2 small apply to GPT-2 small; on other
models a part without a band is shown and not judged. The numbering C1 to C29 and (i) to (x) is this book's own.
"""

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import pandas as pd

from .errors import ResultError
from .files import replacing
from .statistics import Interval

HOLDS, FAILS, OPEN = "holds", "does not hold", "cannot be told"
NOT_TESTED = "not tested"

GPT2_SMALL = ("gpt2", "openai-community/gpt2")


@dataclass(frozen=True)
class Published:
    """What somebody stated, and where."""

    statement: str
    source: str
    """Key of the bibliography."""
    value: str
    needs: str = "no chapter of this book tests it yet"
    """Why it is not tested, as long as no chapter does."""


REPORT, STABLE, SYNTHETIC, BASELINE = (
    "heimersheim2024plateaus",
    "janiak2024stable",
    "giglemiani2024synthetic",
    "lee2024sensitive",
)

PUBLISHED = {
    "C1": Published(
        "In sphere mode the KL divergence stays low up to a shelf's edge around real activations, and leaves "
        "the shelf earlier around Gaussian ones.",
        REPORT,
        "flat to about 40°; no shelf at Gaussian bases",
    ),
    "C2": Published(
        "Plateaus around real activations are longer than around Gaussian ones, in absolute steps.",
        SYNTHETIC,
        "15.1 against 8.3 steps (ratio 1.82), KS distance 0.57",
    ),
    "C3": Published(
        "Activations built from SAE latents have plateaus as short as Gaussian ones.",
        SYNTHETIC,
        "7.8 steps structured, 6.2 random latents, 8.3 Gaussian",
    ),
    "C4": Published(
        "Real-other directions leave the plateau before random ones, and those before isotropic ones.",
        SYNTHETIC,
        "α at onset 0.31–0.52, 0.44–0.57, 0.7–1.2",
    ),
    "C5": Published(
        "The steepest rise comes earlier on the way to a real activation than to a Gaussian one.",
        SYNTHETIC,
        "51.7 against 64.9 % of the way (L2), 56.3 against 71.8 % (KL); AUROC about 0.85",
    ),
    "C6": Published(
        "SAE-built targets lie between real and Gaussian ones.",
        SYNTHETIC,
        "steepest at 53.3, 55.7, 57.1 % of the way",
    ),
    "C7": Published(
        "Perturbing a late block removes the difference between real-other and random directions.",
        REPORT,
        "difference gone at the 12th of 12 layers",
    ),
    "C8": Published(
        "A real-other direction is a local optimum of sensitivity in sections spanned with random ones.",
        REPORT,
        "2 of 2 sections",
    ),
    "C9": Published(
        "The real-other direction is no optimum in the subspace of its own features.",
        REPORT,
        "predicted, never measured",
    ),
    "C10": Published(
        "SAE errors change the output more than isotropic steps of equal length.",
        "gurnee2024sae",
        "2 to 4.5 times in KL",
    ),
    "C11": Published("Against the mixture baseline SAE errors are not unusual.", BASELINE, "ratio about 1 at layer 6"),
    "C12": Published(
        "Real and Gaussian mixtures change the output alike, and more than isotropic directions.",
        BASELINE,
        "stated without a number",
    ),
    "C13": Published("At small sizes the KL divergence grows quadratically.", BASELINE, "exponent 2.07"),
    "C14": Published(
        "The stretched SAE error grows as published.",
        BASELINE,
        "KL 0.000274 to 4.38 at lengths 1 to 101",
        "needs the published SAE of GPT-2 small",
    ),
    "C15": Published(
        "Decoder directions of sparser SAEs are more sensitive.",
        BASELINE,
        "KL 1.41 at L0 10, 0.71 at L0 513",
    ),
    "C16": Published(
        "An untrained network has no shelf between two activations.",
        "janiak2024stable,billy2026marsv",
        "maximal slope about 1; 10–90 % width 0.831, straight line 0.8",
    ),
    "C17": Published(
        "Between two real activations the output stays near the first, jumps, and stays near the second.",
        STABLE,
        "d ≤ 0.2 at α = 0.3, jump at 0.40–0.55, about 1 by 0.6",
    ),
    "C18": Published(
        "Shelves sharpen with size and training.",
        "janiak2024stable,billy2026marsv",
        "Pythia 410M 0.640, 1.4B 0.541",
        "needs models of several sizes, which are not embedded",
    ),
    "C19": Published(
        "Between activations of the same last token there is no boundary.", STABLE, "maximal slope below 1.2"
    ),
    "C20": Published(
        "Synonyms share a shelf, other words do not.",
        "shinkle2025plateaus,billy2026marsv",
        "width 0.773 against 0.357",
        "stated for larger models, which are not embedded",
    ),
    "C21": Published("The MLPs make the shelf.", "shinkle2025plateaus", "freezing them removes it"),
    "C22": Published(
        "Paths between real activations cross the region of a third token.", "billy2026marsv", "16.9 % of paths"
    ),
    "C23": Published("Two random directions share one quadratic budget.", "dasilva2026fsec", "exponent 2.03"),
    "C24": Published(
        "Contrastive directions break out at a tenth of the size of SAE directions.",
        "dasilva2026contrastive",
        "about 10 times",
        "stated for models of at least 1.7 B weights",
    ),
    "C25": Published("Alignment with one SAE latent does not predict an early threshold.", SYNTHETIC, "Spearman 0.00"),
    "C26": Published("The threshold comes earlier towards the dataset mean.", SYNTHETIC, "Pearson −0.35"),
    "C27": Published(
        "Gradient ascent on KL leaves the SAE dictionary.",
        SYNTHETIC,
        "cosine 1.00 to 0.25",
        "no chapter ascends the gradient of KL from a latent",
    ),
    "C28": Published(
        "Ablating a feature costs more than a step towards the reconstruction, and that more than a random one.",
        "lindsey2024april",
        "0.209, 0.098, 0.045 at layer 1",
    ),
    "C29": Published(
        "A random direction switches on from ten to thousands of SAE latents.",
        REPORT,
        "10 to 20,000, peak at 30",
    ),
    "(i)": Published(
        "The KL divergence hardly moves until about 40° around real activations; random ones have no shelf.",
        REPORT,
        "40°",
    ),
    "(ii)": Published(
        "Real-other directions leave the shelf earlier than random ones in all cases.", REPORT, "all cases shown"
    ),
    "(iii)": Published(
        "Isotropic random directions are much less sensitive than covariance-matched ones.",
        REPORT,
        "stated without a number",
    ),
    "(iv)": Published(
        "The angle at KL 0.5 separates real-other from random directions reasonably, with overlap.",
        REPORT,
        "histograms overlap",
    ),
    "(v)": Published("The real-other corner looks like a local optimum in two sections.", REPORT, "2 of 2"),
    "(vi)": Published(
        "Perturbing at the 12th instead of the 2nd layer removes the difference.", REPORT, "difference gone"
    ),
    "(vii)": Published(
        "A random direction pushed through an SAE encoder switches on 10 to 20,000 latents.",
        REPORT,
        "10–20,000",
    ),
    "(viii)": Published(
        "There are plateaus around real activations to which a few SAE latents were added or from which they were taken.",
        REPORT,
        "predicted, never measured",
    ),
    "(ix)": Published(
        "Perturbing into SAE directions has an effect like that of real-other directions, earlier than random ones.",
        REPORT,
        "predicted, never measured",
    ),
    "(x)": Published(
        "A single SAE direction leaves the plateau earlier than real-other ones and than steps spread over many latents.",
        REPORT,
        "conjectured, never measured",
    ),
}


@dataclass(frozen=True)
class Part:
    """One measured number of a claim; `low` and `high` are the band, both None if it is shown and not judged."""

    name: str
    interval: Interval
    unit: str = ""
    low: float | None = None
    high: float | None = None

    @property
    def verdict(self) -> str | None:
        if self.low is None and self.high is None:
            return None
        low, high = self._band
        if low <= self.interval.low and self.interval.high <= high:
            return HOLDS
        if self.interval.high < low or self.interval.low > high:
            return FAILS
        return OPEN

    @property
    def _band(self) -> tuple[float, float]:
        return (-math.inf if self.low is None else self.low), (math.inf if self.high is None else self.high)

    @property
    def prompts_needed(self) -> int | None:
        """About how many prompts settle this part, if the value stays as it is; None if no number does.

        The interval's half-width falls with the square root of n; it must become the distance to the nearest edge.
        """
        if self.verdict is None:
            return None
        distance = min(abs(self.interval.value - edge) for edge in self._band if math.isfinite(edge))
        half = (self.interval.high - self.interval.low) / 2
        if not (distance > 0 and math.isfinite(half) and math.isfinite(distance)):
            return None
        return max(2, math.ceil(self.interval.n * (half / distance) ** 2))


def is_gpt2_small(model_name: str) -> bool:
    """Whether bands that are absolute numbers of GPT-2 small apply."""
    return model_name in GPT2_SMALL


def combined(verdicts: Sequence[str]) -> str:
    """A claim holds if all judged parts hold, does not hold if one does not, and cannot be told otherwise."""
    if FAILS in verdicts:
        return FAILS
    return HOLDS if verdicts and all(v == HOLDS for v in verdicts) else OPEN


def evaluate(claim: str, parts: Sequence[Part], figure: str) -> dict:
    """The claim as an object: statement, source, published value, ours with interval and verdict, and all its parts.

    Args:
        claim: a key of PUBLISHED.
        parts: the first is the headline number.
        figure: `page#label` of the figure that shows it, the page without its suffix.
    """
    published = PUBLISHED[claim]
    first = parts[0].interval
    needed = [part.prompts_needed for part in parts if part.verdict == OPEN and part.prompts_needed]
    return {
        "id": claim,
        "statement": published.statement,
        "source": published.source,
        "published": published.value,
        "value": first.value,
        "interval": [first.low, first.high],
        "unit": parts[0].unit,
        "n": first.n,
        "verdict": combined([part.verdict for part in parts if part.verdict]),
        "prompts_needed": max(needed) if needed else None,
        "figure": figure,
        "parts": [
            {
                "name": part.name,
                **asdict(part.interval),
                "unit": part.unit,
                "band": [part.low, part.high],
                "verdict": part.verdict,
                "prompts_needed": part.prompts_needed,
            }
            for part in parts
        ],
    }


def withheld(claim: dict, reason: str) -> dict:
    """An evaluated claim without its verdict, where what was measured says nothing about it."""
    return claim | {"verdict": NOT_TESTED, "reason": reason, "prompts_needed": None}


def save(folder: Path, *evaluated: dict) -> None:
    """Store evaluated claims beside a profile's results, one file each."""
    for claim in evaluated:
        _write(folder / "claims" / f"{claim['id']}.json", claim)


def collect(folder: Path) -> list[dict]:
    """All claims in order, those that no chapter has tested with the reason; also written to `claims.json`."""
    claims = [
        _read(folder / "claims" / f"{name}.json") or _not_tested(name, published)
        for name, published in PUBLISHED.items()
    ]
    _write(folder / "claims.json", claims)
    return claims


def _not_tested(name: str, published: Published) -> dict:
    return {
        "id": name,
        "statement": published.statement,
        "source": published.source,
        "published": published.value,
        "value": None,
        "interval": None,
        "unit": "",
        "n": 0,
        "verdict": NOT_TESTED,
        "reason": published.needs,
        "figure": None,
        "parts": [],
    }


def _write(path: Path, content: object) -> None:
    # JSON knows no infinity: a censored median is written as null.
    text = json.dumps(_finite(content), indent=1, ensure_ascii=False, allow_nan=False)
    with replacing(path) as temporary:
        temporary.write_text(text + "\n", encoding="utf-8")


def _finite(content: object) -> object:
    if isinstance(content, dict):
        return {key: _finite(value) for key, value in content.items()}
    if isinstance(content, list | tuple):
        return [_finite(value) for value in content]
    return None if isinstance(content, float) and not math.isfinite(content) else content


def _read(path: Path) -> dict | None:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise ResultError(f"The claim file {path.name} is damaged; run its chapter again.") from error


FORMATS = {"°": ".1f", "%": ".1f", "% of the way": ".1f", "steps": ".1f", "latents": ".0f"}
"""Unit -> format of a part's numbers; others have two decimals."""


def number(part: dict) -> str:
    """A part's value, interval and unit as text; what is not finite is beyond the largest size tried (JSON knows only null)."""
    ends = (part[key] for key in ("value", "low", "high"))
    finite_or_beyond = (math.inf if x is None or not math.isfinite(x) else x for x in ends)
    text = format(Interval(*finite_or_beyond, part["n"]), FORMATS.get(part["unit"], ".2f"))
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


def table(evaluated: Sequence[dict]) -> pd.DataFrame:
    """The parts of evaluated claims as a table of text, for a chapter."""
    rows = [
        {
            "claim": claim["id"],
            "measured": part["name"],
            "value [95 %]": number(part),
            "n": part["n"],
            "band": _band_text(*part["band"]),
            "part": part["verdict"] or "shown only",
            "claim's verdict": claim["verdict"],
        }
        for claim in evaluated
        for part in claim["parts"]
    ]
    return pd.DataFrame(rows).set_index("claim").rename_axis(index=None, columns="claim")


def _band_text(low: float | None, high: float | None) -> str:
    if low is None and high is None:
        return "none"
    if low is None:
        return f"at most {high:.3g}"
    return f"at least {low:.3g}" if high is None else f"{low:.3g} to {high:.3g}"


def page(evaluated: Sequence[dict]) -> str:
    """Evaluated claims as MyST: for each its statement, source, published value, figure, verdict and parts."""
    sections = []
    for claim in evaluated:
        chapter, label = claim["figure"].split("#")
        needed = claim.get("prompts_needed")
        more = f" About {needed:,} prompts would settle it, if the values stayed as they are." if needed else ""
        rows = "\n".join(
            f"| {part['name']} | {number(part)} | {part['n']} | {_band_text(*part['band'])} | "
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


def untested_table(collected: Sequence[dict]) -> str:
    """The claims that nothing has tested, as a MyST table with the reason."""
    rows = "\n".join(
        f"| {c['id']} | {c['statement']} {{cite:p}}`{c['source']}` | {c['published']} | {c['reason']} |"
        for c in collected
        if c["verdict"] == NOT_TESTED
    )
    return f"| | statement | published | why |\n| --- | --- | --- | --- |\n{rows}\n"
