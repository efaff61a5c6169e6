"""Rules of verdicts on intervals whose answer is known, and the coverage of the intervals that they rest on."""

import math

import numpy as np
import pytest
import xarray as xr

from plateaus_utils import contrasts, decisions, estimates
from plateaus_utils.decisions import (
    COMPATIBLE,
    DETECTED,
    EQUAL,
    FAILS,
    HOLDS,
    LARGER,
    NOT_COMPARABLE,
    OPEN,
    REVERSED,
    SMALLER,
    UNDECIDED,
    Estimand,
    Interval,
)


def estimand(**changes) -> Estimand:
    return Estimand(
        **{"name": "gap", "scale": "angle", "unit": "°", "kind": "effect", "sign": 1, "null": 0.0, "half_width": 2.0}
        | changes
    )


RATIO = {"scale": "ratio", "null": 1.0, "half_width": 1.25}


@pytest.mark.parametrize(
    ("changes", "ends", "narrow", "direction", "verdict"),
    [
        ({}, (1, 9), (2, 8), DETECTED, HOLDS),
        ({}, (-9, -1), (-8, -2), REVERSED, FAILS),
        ({}, (-1.9, 1.9), (-1, 1), EQUAL, FAILS),
        ({}, (0.1, 1.5), (0.3, 1.2), EQUAL, FAILS),  # above zero, but too small to matter: equal goes first
        ({}, (-1.5, -0.1), (-1.2, -0.3), REVERSED, FAILS),  # reversed goes before equal
        ({}, (-1, 9), (0, 8), UNDECIDED, OPEN),
        ({}, (0, 9), (1, 8), UNDECIDED, OPEN),  # edges are open
        ({}, (-3, 3), (-2, 2), UNDECIDED, OPEN),
        ({"sign": -1}, (-9, -1), (-8, -2), DETECTED, HOLDS),
        ({"null": 26.0}, (27, 31), (28, 30.5), DETECTED, HOLDS),
        ({"null": 26.0}, (14, 20), (15, 19), REVERSED, FAILS),
        ({"kind": "absence"}, (-1.9, 1.9), (-1, 1), EQUAL, HOLDS),
        ({"kind": "absence"}, (-1.5, -0.1), (-1.2, -0.3), EQUAL, HOLDS),
        ({"kind": "absence"}, (3, 9), (4, 8), DETECTED, FAILS),
        ({"kind": "absence"}, (-9, -3), (-8, -4), REVERSED, FAILS),
        ({"kind": "absence"}, (1, 9), (2, 8), DETECTED, OPEN),  # an effect, perhaps one too small to matter
        ({"kind": "absence", "one_sided": True}, (-9, -3), (-8, -4), REVERSED, HOLDS),
        ({"kind": "absence", "one_sided": True}, (-9, 0.5), (-8, 0.4), EQUAL, HOLDS),
        ({"kind": "absence", "one_sided": True}, (3, 9), (4, 8), DETECTED, FAILS),
        (RATIO, (1.1, 3), (1.2, 2.5), DETECTED, HOLDS),
        (RATIO, (0.69, 1.0), (0.7, 0.98), UNDECIDED, OPEN),
        (RATIO, (0.85, 1.2), (0.9, 1.1), EQUAL, FAILS),
        (RATIO | {"kind": "absence"}, (0.7, 1.1), (0.801, 1.0), EQUAL, HOLDS),
        ({}, (math.nan, math.nan), (math.nan, math.nan), UNDECIDED, OPEN),
    ],
)
def test_direction_and_verdict_of_known_intervals(changes, ends, narrow, direction, verdict):
    decides = estimand(**changes)
    middle = sum(ends) / 2
    interval, equivalence = Interval(middle, *ends), Interval(middle, *narrow)
    found = decisions.direction(decides, interval, equivalence)
    assert (found, decisions.verdict(decides, interval, found)) == (direction, verdict)


@pytest.mark.parametrize(
    ("changes", "ends", "size"),
    [
        ({"published": 40.0, "null": 26.0}, (36, 39), COMPATIBLE),
        ({"published": 40.0, "null": 26.0}, (30, 37), SMALLER),
        ({"published": 40.0, "null": 26.0}, (43, 50), LARGER),
        ({"published": None}, (0, 1), NOT_COMPARABLE),
        (RATIO | {"published": 3.0}, (2.5, 4), COMPATIBLE),
        (RATIO | {"published": 3.0}, (2.0, 2.39), SMALLER),  # 3 / 1.25 = 2.4
        (RATIO | {"published": 3.0, "spread": 0.405}, (1.5, 1.95), COMPATIBLE),  # log 3 - sqrt(.405² + log²1.25): 1.89
        (RATIO | {"published": 3.0, "spread": 0.405}, (0.69, 1.0), SMALLER),
        ({"sign": -1, "published": -5.0}, (-20, -8), LARGER),
        ({"sign": -1, "published": -5.0}, (-2, 1), SMALLER),
    ],
)
def test_size_against_the_published_value(changes, ends, size):
    assert decisions.size(estimand(**changes), Interval(sum(ends) / 2, *ends)) == size


def test_documents_needed_give_the_stated_power():
    """Simulated: with the number that is named, about nine runs in ten decide."""
    decides, level = estimand(), 0.99
    interval = Interval(3.0, 0, 6)  # 1.5 half-widths from the null
    needed = decisions.documents_needed(decides, interval, deviation=6.0, level=level)
    rng = np.random.default_rng(0)
    rows = rng.normal(1.5, 6.0, (2000, needed))
    half = 2.6 * rows.std(1) / math.sqrt(needed)
    assert 0.87 < (rows.mean(1) - half > 0).mean() < 0.93


def test_no_number_of_documents_decides_on_an_edge():
    decides = estimand(kind="absence")
    assert decisions.documents_needed(decides, Interval(2.0, 0, 4), 1.0, 0.95) is None
    assert decisions.documents_needed(decides, Interval(2.01, 0, 4), 1.0, 0.95) is None  # too near to ever tell


def sizes(rng: np.random.Generator, n_runs: int, n: int) -> xr.DataArray:
    """Log-normal sizes (σ 1.5) of two kinds, in whole degrees up to a limit, so that there are ties."""
    values = np.minimum(np.exp(rng.normal(0, 1.5, (n_runs * n, 2, 2))) * np.array([40, 20])[:, None], 180)
    return xr.DataArray(
        np.ceil(values),
        dims=("prompt", "kind", "direction"),
        coords={"kind": ["a", "b"], "document": ("prompt", np.arange(n_runs * n))},
        attrs={"limit": 180.0, "unit": "degrees"},
    )


CONTRASTS = {
    "difference": lambda x: contrasts.difference(x, "kind", "a", "b"),
    "ratio": lambda x: contrasts.log_ratio(x, "kind", "a", "b"),
    "auroc": lambda x: contrasts.auroc(x, "kind", "a", "b"),
    "correlation": lambda x: contrasts.spearman(x.sel(kind="a"), x.sel(kind="b") + 0.5 * x.sel(kind="a")),
    "share": lambda x: x.sel(kind="a").isel(direction=0) > x.sel(kind="b").isel(direction=0),
}


@pytest.mark.parametrize("n_documents", [40, 200])
@pytest.mark.parametrize("kind", CONTRASTS)
def test_intervals_cover_the_truth_as_often_as_they_say(kind, n_documents):
    n_runs = 1000
    rng = np.random.default_rng(1)
    truth = float(CONTRASTS[kind](sizes(rng, 1, 300_000)).mean())
    sample = CONTRASTS[kind](sizes(rng, n_runs, n_documents))
    parts = [sample.isel(prompt=slice(i * n_documents, (i + 1) * n_documents)) for i in range(n_runs)]
    found = [estimates.document_mean(part) for part in parts]
    covered = np.mean([float(x.low) < truth < float(x.high) for x in found])
    assert 0.92 < covered < 0.97
