"""Intervals by simulation and textbook values; comparisons against loops over pairs."""

import numpy as np
import pytest

from plateaus_utils import statistics
from plateaus_utils.statistics import (
    auroc,
    bootstrap,
    censored_median,
    held_out_scores,
    ks_distance,
    median_difference,
    proportion,
    ratio_of_means,
    spearman,
)

NAN, INF = np.nan, np.inf


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.fixture
def censored_pair(rng):
    """Two samples [30, 4] with ties and censored values."""
    first, second = rng.integers(0, 12, (30, 4)).astype(float), rng.integers(2, 14, (30, 4)).astype(float)
    first[first > 9], second[second > 9] = NAN, NAN
    return first, second


def number(x):
    """A size as a number: a censored one is beyond all others."""
    return INF if np.isnan(x) else x


# The bootstrap --------------------------------------------------------------------------------------------------------


def test_bootstrap_depends_on_its_seed_and_on_nothing_else(rng):
    sample = rng.normal(size=50)
    first, again, other = (bootstrap(np.mean, sample, n_boot=200, seed=seed) for seed in (1, 1, 2))
    assert first == again
    assert first.value == other.value and (first.low, first.high) != (other.low, other.high)


def test_of_no_prompts_nothing_is_known():
    none = np.empty((0, 2))
    found = bootstrap(np.median, none, documents=np.empty(0))
    assert np.isnan([found.value, found.low, found.high]).all()


def test_bootstrap_keeps_pairs_together(rng):
    x = rng.normal(size=40)
    found = bootstrap(lambda a, b: float((a - b).mean()), x + 3, x, n_boot=100)
    assert found.low == pytest.approx(3) and found.high == pytest.approx(3)


def test_bootstrap_interval_of_a_mean_is_the_textbook_one(rng):
    x = rng.normal(size=400)
    found = bootstrap(np.mean, x, n_boot=4000)
    error = x.std() / 20
    assert found.n == 400 and found.value == pytest.approx(x.mean())
    assert found.low == pytest.approx(x.mean() - 1.96 * error, abs=0.1 * error)
    assert found.high == pytest.approx(x.mean() + 1.96 * error, abs=0.1 * error)


@pytest.mark.slow
@pytest.mark.parametrize("statistic", [np.mean, censored_median])
def test_intervals_cover_the_truth_as_often_as_they_promise(statistic):
    # 1000 experiments of 120 prompts with a known truth of 0: nominal 95 % must hold within 93 to 97 %.
    rng = np.random.default_rng(0)
    intervals = [bootstrap(statistic, rng.standard_t(5, size=120), n_boot=400, seed=run) for run in range(1000)]
    coverage = np.mean([i.low <= 0 <= i.high for i in intervals])
    assert 0.93 <= coverage <= 0.97


def clustered(rng, n_documents=40, each=5):
    """Prompts of one document share half of their variance; with their documents."""
    documents = np.repeat(np.arange(n_documents), each)
    return rng.normal(size=n_documents)[documents] + rng.normal(size=n_documents * each), documents


def test_resampling_documents_widens_intervals_of_clustered_prompts_as_it_should(rng):
    ratios = []
    for run in range(40):
        x, documents = clustered(rng)
        naive, cluster = (bootstrap(np.mean, x, documents=d, n_boot=300, seed=run) for d in (None, documents))
        ratios.append((cluster.high - cluster.low) / (naive.high - naive.low))
    # The design effect 1 + (5 − 1)·½ = 3 of the variance.
    assert np.mean(ratios) == pytest.approx(np.sqrt(3), rel=0.08)


def test_documents_with_one_prompt_each_are_resampled_like_prompts(rng):
    x = rng.normal(size=100)
    naive, cluster = (bootstrap(np.mean, x, documents=d, n_boot=2000) for d in (None, np.arange(100)))
    assert cluster.high - cluster.low == pytest.approx(naive.high - naive.low, rel=0.1)


@pytest.mark.slow
def test_intervals_of_clustered_prompts_cover_only_if_documents_are_resampled():
    rng = np.random.default_rng(1)
    covered = []
    for run in range(300):
        x, documents = clustered(rng)
        intervals = [bootstrap(np.mean, x, documents=d, n_boot=300, seed=run) for d in (documents, None)]
        covered.append([i.low <= 0 <= i.high for i in intervals])
    cluster, naive = np.mean(covered, 0)
    assert cluster >= 0.91 and naive <= 0.85


def test_resampling_directions_too_adds_their_share_of_the_variance(rng):
    # Equal prompts: all variance lies between the directions of a prompt, which prompts alone also carry.
    x = rng.normal(size=(60, 4))
    one, two = (bootstrap(np.mean, x, two_way=way, n_boot=2000) for way in (False, True))
    assert (two.high - two.low) / (one.high - one.low) == pytest.approx(np.sqrt(1 + 0.75), rel=0.1)


def test_statistic_that_does_not_exist_in_some_resamples_is_left_out_and_in_most_gives_no_interval():
    x = np.array([1.0, 2.0, 3.0, 4.0, 5.0])
    mostly_known = bootstrap(lambda s: s.mean() if 1.0 in s or 5.0 in s else NAN, x, n_boot=500)
    mostly_unknown = bootstrap(lambda s: s.mean() if len(set(s)) == 5 else NAN, x, n_boot=500)
    assert np.isfinite([mostly_known.low, mostly_known.high]).all()
    assert mostly_unknown.value == 3 and np.isnan(mostly_unknown.low) and np.isnan(mostly_unknown.high)


def test_interval_of_a_censored_median_may_end_at_infinity_but_is_never_made_up(rng):
    sizes = np.where(rng.random(60) < 0.45, NAN, rng.integers(20, 60, 60).astype(float))
    found = bootstrap(censored_median, sizes, n_boot=500)
    assert np.isfinite(found.value) and found.high == INF and np.isfinite(found.low) and not np.isnan(found.high)


# Statistics -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sizes", "median"),
    [
        ([1, 2, 3], 2),
        ([1, NAN, 3], 3),
        ([1, NAN, NAN], INF),
        ([1, 2, NAN, NAN], INF),
        ([4, 2, 1, NAN], 3),
        ([NAN], INF),
    ],
)
def test_censored_sizes_lie_beyond_all_others_in_a_median(sizes, median):
    assert censored_median(np.array(sizes, float)) == median


def test_median_difference_by_a_loop(censored_pair):
    first, second = censored_pair
    differences = [
        0.0 if np.isnan(a) and np.isnan(b) else number(a) - number(b)
        for a, b in zip(first.ravel(), second.ravel(), strict=True)
    ]
    assert median_difference(first, second) == np.median(differences)
    assert median_difference(np.array([NAN, 5, 1]), np.array([NAN, 1, NAN])) == 0


def test_auroc_counts_pairs(censored_pair):
    first, second = censored_pair
    a, b = np.vectorize(number)(first).ravel(), np.vectorize(number)(second).ravel()
    wins = np.mean([(x > y) + 0.5 * (x == y) for x in a for y in b])
    assert auroc(first, second) == pytest.approx(wins)
    assert auroc(second, first) == pytest.approx(1 - wins)


def test_auroc_of_known_samples():
    assert auroc(np.array([3, 4.0]), np.array([1, 2.0])) == 1
    assert auroc(np.array([1, 2.0]), np.array([1, 2.0])) == 0.5
    assert auroc(np.array([NAN, NAN]), np.array([180.0, NAN])) == 0.75
    assert auroc(np.array([1.0]), np.array([0.0, 2, 2, 2])) == 0.25


def test_ratio_of_means_is_one():
    assert ratio_of_means(np.array([1.0, 3.0]), np.array([4.0, 4.0])) == 0.5


def test_rank_correlation_of_known_samples():
    assert spearman(np.array([1, 2, 3, NAN]), np.array([10, 20, 30, 40.0])) == pytest.approx(1)
    assert spearman(np.array([1, 2, 3, NAN]), np.array([NAN, 20, 15, 10.0])) == pytest.approx(-1)
    # 1 − 6·Σd²/(n(n² − 1)) with differences of ranks 1, 1, 0, 0.
    assert spearman(np.array([1, 2, 3, 4.0]), np.array([2, 1, 3, 4.0])) == pytest.approx(1 - 6 * 2 / 60)


def test_kolmogorov_smirnov_distance_is_the_largest_gap_between_distribution_functions(censored_pair):
    first, second = (np.vectorize(number)(x).ravel() for x in censored_pair)
    gaps = [abs((first <= x).mean() - (second <= x).mean()) for x in np.concatenate([first, second])]
    assert ks_distance(*censored_pair) == pytest.approx(max(gaps))
    assert ks_distance(np.array([NAN, NAN]), np.array([1.0, 2.0])) == 1


def test_share_has_wilsons_interval():
    # Newcombe (1998): 81 of 263 gives 0.2553 to 0.3662.
    found = proportion(np.arange(263) < 81)
    assert found.value == pytest.approx(81 / 263) and found.n == 263
    assert (round(found.low, 4), round(found.high, 4)) == (0.2553, 0.3662)
    assert proportion(np.zeros(10, bool)).low == pytest.approx(0) and proportion(np.zeros(10, bool)).high < 0.31


# Whole curves and tables ----------------------------------------------------------------------------------------------


def test_held_out_scores_find_a_difference_that_generalizes_and_none_where_there_is_none(rng):
    documents = np.repeat(np.arange(20), 3)
    same = rng.normal(size=(60, 2, 5))
    different = same + np.array([2.0, 0, 0, 0, 0])
    positive, negative = held_out_scores(different, rng.normal(size=(60, 2, 5)), documents)
    assert positive.shape == negative.shape == (60, 2) and auroc(positive, negative) > 0.85
    assert abs(auroc(*held_out_scores(same, rng.normal(size=(60, 2, 5)), documents)) - 0.5) < 0.15


def test_held_out_scores_do_not_profit_from_having_seen_a_document(rng):
    # Each document has features and a kind of its own: whoever has seen the document knows the kind, nobody else does.
    documents = np.repeat(np.arange(24), 4)
    signature = rng.normal(size=(2, 24, 30))
    positive, negative = (s[documents][:, None] + 0.01 * rng.normal(size=(96, 1, 30)) for s in signature)
    assert auroc(*held_out_scores(positive, negative, documents)) < 0.75


def test_level_of_intervals_is_95_percent():
    assert statistics.LEVEL == 0.95
