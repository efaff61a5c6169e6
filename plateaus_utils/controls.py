"""Controls of the verdicts: what the rules say where the answer is known.

Three of them, on the documents' values that a run stored with its claims. *Permuted labels*: kinds are exchanged within
prompts at random, so that nothing is left to detect. *Power*: an effect of the published size is planted in the same values.
*Reversal*: the same effect with the wrong sign must come out reversed.

`python -m plateaus_utils.controls RESULTS` prints them.
"""

import argparse
import json
import math
import sys
from pathlib import Path

import numpy as np
from scipy import stats

from . import claims, decisions
from .decisions import DETECTED, LEVEL, REVERSED, Estimand, Interval
from .errors import PlateausError, ResultError
from .files import PROJECT, replacing

N_PERMUTATIONS = 1000
N_PLANTS = 400
PLANTED = 2.0
"""Half-widths: the planted effect where no published size can be compared."""


def intervals(values: np.ndarray, level: float) -> np.ndarray:
    """Student's intervals (value, low, high) of the means of rows [n_rows, n]; the rule of `estimates.document_mean`."""
    mean, n = values.mean(1), values.shape[1]
    half = stats.t.isf((1 - level) / 2, n - 1) * values.std(1, ddof=1) / math.sqrt(n)
    return np.stack([mean, mean - half, mean + half], 1)


def centred(decides: Estimand, values: np.ndarray) -> np.ndarray:
    """Distances of the documents' values [n] from the null, in half-widths, positive where the published effect is."""
    null = math.log(decides.null) if decides.is_ratio else decides.null
    unit = math.log(decides.half_width) if decides.is_ratio else decides.half_width
    return decides.sign * (values - null) / unit


def directions(decides: Estimand, standardized: np.ndarray, alpha: float) -> list[str]:
    """The direction that each row [n_rows, n] of standardized values gives."""
    plain = Estimand(decides.name, "standardized", "", decides.kind, 1, 0.0, 1.0, decides.one_sided)
    pairs = zip(intervals(standardized, 1 - alpha), intervals(standardized, 1 - 2 * alpha), strict=True)
    return [decisions.direction(plain, Interval(*wide), Interval(*narrow)) for wide, narrow in pairs]


def is_contrast(name: str) -> bool:
    """Whether a statement compares two kinds within prompts, so that there are labels to exchange."""
    return (
        claims.estimand(name).scale in ("ratio", "auroc", "angle", "percent", "correlation")
        and "reference" not in (claims.registry()[name]["estimand"])
    )


def permuted(judged: dict[str, dict], rng: np.random.Generator) -> dict[str, float]:
    """Share of runs with exchanged labels in which any statement is detected, and the limit that it must not exceed.

    Exchanging both kinds of a prompt turns a difference, a logarithm of a ratio and an AUROC to the other side of their null.
    The documents of a run are exchanged together, as their prompts share directions over statements.
    """
    tested = [name for name in judged if is_contrast(name)]
    if not tested:
        raise ResultError("No stored claim compares two kinds within prompts; run the chapters first.")
    documents = sorted({d for name in tested for d in judged[name]["sample"]["document"]})
    place = {document: i for i, document in enumerate(documents)}
    signs = rng.choice([-1.0, 1.0], (N_PERMUTATIONS, len(documents)))
    detected = np.zeros(N_PERMUTATIONS, bool)
    for name in tested:
        decides, alpha = claims.estimand(name), _alpha(name)
        values = centred(decides, np.array(judged[name]["sample"]["value"], float))
        rows = signs[:, [place[d] for d in judged[name]["sample"]["document"]]] * values
        detected |= np.array(directions(decides, rows, alpha)) == DETECTED
    error = stats.norm.isf(0.025) * math.sqrt((1 - LEVEL) * LEVEL / N_PERMUTATIONS)
    return {
        "share": float(detected.mean()),
        "limit": 1 - LEVEL + error,
        "runs": N_PERMUTATIONS,
        "statements": len(tested),
    }


def planted(name: str, claim: dict, rng: np.random.Generator) -> dict[str, float | str]:
    """Power to detect an effect of the published size, and how often its negative comes out reversed.

    The documents' values are moved so that their mean is the effect, and resampled.
    """
    decides, alpha = claims.estimand(name), _alpha(name)
    effect = PLANTED if decides.published is None else decides.standardized(decides.published)
    effect = effect if effect > 1 else PLANTED  # a published absence plants no effect
    values = centred(decides, np.array(claim["sample"]["value"], float))
    residuals = values - values.mean()
    drawn = rng.choice(residuals, (N_PLANTS, len(residuals)))
    shares = [
        np.mean([found == wanted for found in directions(decides, drawn + sign * effect, alpha)])
        for sign, wanted in ((1, DETECTED), (-1, REVERSED))
    ]
    return {"planted": effect, "power": float(shares[0]), "reversed": float(shares[1])}


def _alpha(name: str) -> float:
    return (1 - LEVEL) / claims.family_size(claims.registry()[name]["family"])


def run(folder: Path, seed: int = 0) -> dict:
    """All controls of a run's claims; also written to `controls.json` in its folder.

    Raises:
        ResultError: the folder holds no judged claims.
    """
    judged = {name: claim for name, claim in claims.stored(folder).items() if "sample" in claim}
    if not judged:
        raise ResultError(f"There are no judged claims in {folder.name}; `make book` makes them.")
    rng = np.random.default_rng(seed)
    found = {"permuted": permuted(judged, rng), "planted": {n: planted(n, c, rng) for n, c in judged.items()}}
    with replacing(folder / "controls.json") as temporary:
        temporary.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    return found


def main(arguments: list[str] | None = None) -> int:
    """The command line; 0: every control came out as it must, 1: one did not, 2: there is nothing to control."""
    parser = argparse.ArgumentParser(prog="python -m plateaus_utils.controls", description=__doc__.split("\n")[0])
    parser.add_argument("results", nargs="?", default="results/quick", help="folder of a run, relative to the checkout")
    try:
        found = run(PROJECT / parser.parse_args(arguments).results)
    except PlateausError as error:
        print(error, file=sys.stderr)
        return 2
    permutations = found["permuted"]
    print(
        f"Labels exchanged within prompts, {permutations['runs']} times over {permutations['statements']} statements: any "
        f"detected in {permutations['share']:.3f} (at most {permutations['limit']:.3f})."
    )
    print(f"{'statement':<10} {'planted':>8} {'power':>6} {'reversed':>9}   (planted effect in half-widths)")
    for name, row in found["planted"].items():
        print(f"{name:<10} {row['planted']:>8.2f} {row['power']:>6.2f} {row['reversed']:>9.2f}")
    return int(permutations["share"] > permutations["limit"])


if __name__ == "__main__":
    sys.exit(main())
