"""Measures of curves against examples done by hand, and the threshold search against functions whose answer is known."""

import numpy as np
import pytest
import torch

from plateaus_utils.effects import kl_divergence, measure
from plateaus_utils.patching import Suffix
from plateaus_utils.paths import absolute, linear_pair, sphere
from plateaus_utils.sensitivity import (
    area,
    exponent,
    find_thresholds,
    first_crossing,
    last_below,
    max_slope,
    over_quadratic,
    quadratic_kl,
    relative,
    rise,
    steepest,
    width,
)

SIZES = np.array([0.0, 10.0, 20.0, 40.0])
NAN = np.nan


# Measures of sampled curves -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("curve", "first", "last"),
    [
        ([0, 1, 2, 4], 5, 5),  # halfway up the first step
        ([0, 0, 0.5, 0.5], 20, 20),  # exactly at a grid point
        ([0, 0, 0, 2], 25, 25),  # a quarter of the last, wider step
        ([0, 0.1, 0.2, 0.4], NAN, NAN),  # never reached: censored
        ([0.5, 0, 0, 1], 0, 30),  # reached at the start, left, reached again
        ([0, 1, 0, 1], 5, 30),  # a spike, then for good
        ([0, 1, 0, 0], 5, NAN),  # a spike, and below at the end
        ([0.7, 1, 2, 3], 0, 0),  # never below
        ([NAN, 0, 1, 1], 15, 15),
    ],
)
def test_crossings_of_the_level_half(curve, first, last):
    np.testing.assert_allclose(first_crossing(SIZES, curve, 0.5), first)
    np.testing.assert_allclose(last_below(SIZES, curve, 0.5), last)


def test_crossings_keep_the_shape_of_the_curves_and_take_a_level_for_each():
    curves = np.arange(24.0).reshape(2, 3, 4) / 8
    levels = np.array([[0.25, 0.5, 1.25], [1.875, 9.0, 2.5625]])
    np.testing.assert_allclose(first_crossing(SIZES, curves, levels), [[20, 0, 20], [40, NAN, 5]])
    np.testing.assert_allclose(last_below(SIZES, curves, levels), [[20, 0, 20], [40, NAN, 5]])


def test_curve_relative_to_its_value_at_an_end():
    sizes, shares = relative(SIZES, [[0, 1, 2, 9], [0, 1, 4, 0]], 20)
    np.testing.assert_allclose(sizes, [0, 10, 20])
    np.testing.assert_allclose(shares, [[0, 0.5, 1], [0, 0.25, 1]])


def test_area_is_the_mean_share_up_to_the_end():
    np.testing.assert_allclose(area(SIZES, [[0, 1, 2, 9], [0, 0, 4, 0]], 20), [0.5, 1 / 3])


def test_rise_is_the_way_from_a_tenth_to_nine_tenths():
    sizes = np.linspace(0, 90, 31)
    straight, late = sizes, np.where(sizes < 60, 0, (sizes - 60) ** 2)
    np.testing.assert_allclose(rise(sizes, np.stack([3 * straight, straight / 7]), 90), 72)
    expected = 30 * (np.sqrt(0.9) - np.sqrt(0.1))
    np.testing.assert_allclose(
        rise(np.linspace(0, 90, 9001), np.interp(np.linspace(0, 90, 9001), sizes, late), 90), expected, atol=0.1
    )


def test_steepest_step_counts_its_slope_and_not_its_height():
    np.testing.assert_allclose(steepest(SIZES, np.array([[0, 3, 4, 9], [0, 0, 0, 1], [0, 1, 4, 0]])), [5, 30, 15])


def test_straight_line_through_a_linear_network_has_width_four_fifths_and_slope_one():
    # Invariant: in a linear toy network the 10-90 % width is 0.8 and the largest slope is 1.
    a, b = torch.randn(9, 16), torch.randn(9, 16)
    for n in (11, 50, 201):
        t = torch.linspace(0, 1, n)
        reads = linear_pair(a, b, t) @ torch.randn(16, 40)
        from_start = (reads - reads[:, :1]).norm(dim=-1).numpy()
        from_end = (reads - reads[:, -1:]).norm(dim=-1).numpy()
        np.testing.assert_allclose(width(t.numpy(), from_start, from_end), 0.8, atol=1e-3)
        np.testing.assert_allclose(max_slope(from_start), 1, atol=1e-3)


def test_width_and_slope_of_a_jump():
    t = np.linspace(0, 1, 11)
    from_start = np.where(t < 0.45, 0.0, 4.0)
    assert width(t, from_start, 4 - from_start) == pytest.approx(0.08)  # the jump takes one step of 0.1
    assert max_slope(from_start) == pytest.approx(10)


def test_exponents_of_powers_are_found_above_the_noise_floor():
    sizes = 2.0 ** np.arange(-10, 0)
    kl = np.stack([sizes**2, 1e-3 * sizes**2, 5 * sizes**4])
    noise = np.where(kl < 1e-6, 1e-7 * (1 + np.arange(10)), kl)  # rounding below the floor is not looked at
    np.testing.assert_allclose(exponent(sizes, noise, noise), [2, 2, 4], rtol=1e-6)
    np.testing.assert_allclose(exponent(sizes, np.sqrt(kl), kl), [1, 1, 2], rtol=1e-6)
    np.testing.assert_array_equal(exponent(sizes, kl[:1] * 1e-9, kl[:1] * 1e-9), [NAN])
    assert np.isnan(exponent(sizes, kl[0], np.where(np.arange(10) < 8, 0, kl[0])))  # only two sizes left


def test_quadratic_divergence_on_a_sphere_of_equal_curvatures_is_the_chord():
    # With F = identity the divergence is half the squared chord, 2 sin²(θ/2): from 40° to 80° it grows by (sin 40/sin 20)².
    degrees = np.array([0, 40.0, 80.0, 180.0])
    predicted = quadratic_kl(np.eye(2), degrees)
    np.testing.assert_allclose(predicted, 2 * np.sin(np.deg2rad(degrees) / 2) ** 2)
    assert predicted[1] / predicted[2] == pytest.approx(0.2831, abs=1e-4)
    np.testing.assert_allclose(over_quadratic(predicted / 4, np.eye(2), degrees), [NAN, 0.25, 0.25, 0.25])


def test_quadratic_divergence_is_the_divergence_of_a_linear_softmax_at_small_angles():
    readout = torch.randn(30, 6, dtype=torch.float64)
    base, vector = torch.randn(6, dtype=torch.float64), torch.randn(6, dtype=torch.float64)
    p = (readout @ base).softmax(0)
    fisher = readout.T @ (p.diag() - p.outer(p)) @ readout
    tangent = vector - base * (vector @ base) / (base @ base)
    pair = torch.stack([base, tangent / tangent.norm() * base.norm()])
    degrees = np.array([0.5, 1.0])
    points = sphere(base, vector, torch.from_numpy(degrees))
    log_p, log_q = (readout @ base).log_softmax(0), (points @ readout.T).log_softmax(-1)
    kl = (log_p.exp() * (log_p - log_q)).sum(-1).numpy()
    gram = (pair @ fisher @ pair.T).numpy()
    np.testing.assert_allclose(over_quadratic(kl, gram, degrees), 1, atol=0.03)


# The search -----------------------------------------------------------------------------------------------------------

N, K, D = 4, 50, 8
GRID = np.arange(1.0, 21.0)


def search(effect, level=0.5, tolerance=0.01, grid=GRID):
    """Search along random directions from the origin, where `effect` maps sizes [N, n] and scores [N, n] to effects.

    The last coordinate of a direction is its score, so that every direction can have an answer of its own.
    """
    units = torch.randn(N, K, D)
    units = units / units.norm(dim=-1, keepdim=True)

    def of_points(points, prompts):
        assert len(points) == len(prompts)
        size = points.double().norm(dim=-1)
        return effect(size, points[..., -1].double() / size.clamp_min(1e-30))

    found = find_thresholds(of_points, absolute, torch.zeros(N, D), units, level=level, grid=grid, tolerance=tolerance)
    return found, units[..., -1].double()


def scale_of(score):
    return 3 + 2 * score  # between 1 and 5


@pytest.mark.parametrize("power", [1, 2, 4])
def test_no_crossing_is_passed_over_where_the_effect_grows_at_most_with_the_fourth_power(power):
    tried = []

    def effect(size, score):
        tried.append(size)
        return (size / scale_of(score)) ** power

    found, score = search(effect, tolerance=0.001)
    exact = scale_of(score) * 0.5 ** (1 / power)
    assert (found.size - exact).abs().max() <= 0.001
    step = np.diff(GRID, prepend=0).max()
    assert max(size.max() for size in tried) <= exact.max() + step  # never beyond the cell that holds the crossing


@pytest.mark.parametrize("tolerance", [0.5, 0.01, 0.001])
def test_quadratic_effect_is_crossed_where_its_root_says(tolerance):
    found, score = search(lambda size, score: (size / scale_of(score)) ** 2, tolerance=tolerance)
    assert (found.size - scale_of(score) * 0.5**0.5).abs().max() <= min(tolerance, 1e-4)
    assert not found.censored.any()


@pytest.mark.parametrize("power", [0.5, 1, 4, 8])
def test_other_powers_are_crossed_within_the_tolerance(power):
    found, score = search(lambda size, score: (size / (4 * scale_of(score) ** 0.5)) ** power, tolerance=0.02)
    assert (found.size - 4 * scale_of(score) ** 0.5 * 0.5 ** (1 / power)).abs().max() <= 0.02


def test_step_is_found_within_the_last_bracket():
    for low, high in ((0.0, 2.0), (0.49, 50.0), (0.0, 0.51)):
        found, score = search(lambda size, score: torch.where(size < 2 * scale_of(score), low, high))  # noqa: B023
        assert (found.size - 2 * scale_of(score)).abs().max() <= 2 * 0.01


def test_effect_that_never_reaches_the_level_is_censored_at_the_limit():
    found, _ = search(lambda size, score: 0.49 * torch.ones_like(size))
    assert found.size.isnan().all() and found.censored.all()
    assert (found.evaluations == len(GRID)).all()
    some, score = search(lambda size, score: torch.where(score > 0, size, 0.0))
    assert (some.censored == (score <= 0)).all()


def test_effect_that_reaches_the_level_only_at_the_limit_is_not_censored():
    found, _ = search(lambda size, score: torch.where(size >= 19.999, 1.0, 0.0))
    assert ((found.size - 20).abs() <= 2 * 0.01).all()


def test_first_of_several_crossings_is_found():
    found, score = search(lambda size, score: torch.sin(size / scale_of(score)) ** 2)
    assert (found.size - scale_of(score) * np.pi / 4).abs().max() <= 0.01


def test_every_prompt_may_have_a_level_of_its_own():
    levels = torch.tensor([0.1, 0.5, 2.0, 100.0])
    found, score = search(lambda size, score: (size / scale_of(score)) ** 2, level=levels)
    expected = scale_of(score) * levels[:, None].double().sqrt()
    torch.testing.assert_close(found.size[:3], expected[:3], atol=0.01, rtol=0)
    assert (found.censored[3] == (expected[3] > 20)).all() and 0 < found.censored[3].float().mean() < 1
    known = ~found.censored[3]
    torch.testing.assert_close(found.size[3][known], expected[3][known], atol=0.01, rtol=0)


def test_search_costs_far_fewer_evaluations_than_a_grid_as_fine_and_says_how_many():
    calls = []

    def effect(size, score):
        calls.append(size.numel())
        return (size / scale_of(score)) ** 2 + 0.01 * size

    found, _ = search(effect, tolerance=0.005)
    assert found.evaluations.float().mean() < 10  # a grid of steps of 0.01 would take 200 to 350
    assert found.evaluations.sum() <= sum(calls)


def test_effects_just_below_zero_are_rounding_and_do_not_stop_the_search():
    found, score = search(lambda size, score: torch.where(size < 2, -1e-9, size / scale_of(score)))
    assert (found.size - torch.maximum(0.5 * scale_of(score), torch.tensor(2.0))).abs().max() <= 2 * 0.01


@pytest.mark.parametrize("name", ["gpt2", "llama"])
def test_search_on_a_network_agrees_with_a_dense_grid(name, load_family):
    tokens = torch.randint(0, 256, (10, 8))
    suffix = Suffix(load_family(name), tokens, "blocks.1.hook_resid_pre")
    vectors = torch.randn(10, 24, 32)
    found = find_thresholds(
        lambda points, prompts: measure(suffix.of_prompts(prompts), points)["kl"],
        sphere,
        suffix.base,
        vectors,
        level=0.1,
        grid=np.arange(7.5, 180.1, 7.5),
        tolerance=0.5,
    )
    degrees = torch.arange(0, 180.1, 0.5)
    points = sphere(suffix.base[:, None].expand(-1, 24, -1), vectors, degrees)
    kl = measure(suffix, points.flatten(1, 2))["kl"].view(10, 24, -1)
    dense = torch.from_numpy(first_crossing(degrees.numpy(), kl.numpy(), 0.1))
    assert (found.censored == dense.isnan()).all() and (~found.censored).sum() > 20
    assert (found.size - dense).abs().nan_to_num(0).max() <= 0.5
    assert found.evaluations.max() <= 24 + 10


def test_search_for_a_point_gives_a_point_at_the_level(gpt2, tokens):
    suffix = Suffix(gpt2, tokens, "blocks.1.hook_resid_pre")
    vectors = torch.randn(3, 8, 32)
    found = find_thresholds(
        lambda points, prompts: measure(suffix.of_prompts(prompts), points)["kl"],
        absolute,
        suffix.base,
        vectors,
        level=0.01,
        grid=np.arange(0.5, 20, 0.5),
        tolerance=0.001,
    )
    assert not found.censored.any()
    points = absolute(suffix.base[:, None].expand(-1, 8, -1), vectors, found.size.float()[..., None]).squeeze(2)
    with torch.no_grad():
        kl = kl_divergence(suffix(suffix.base[:, None]).logits, suffix(points).logits)
    torch.testing.assert_close(kl, torch.full((3, 8), 0.01), rtol=0.02, atol=0)
