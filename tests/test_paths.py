"""Paths against geometry: lengths, angles, ends, and what names no path."""

import numpy as np
import pytest
import torch

from plateaus_utils.errors import ActivationError
from plateaus_utils.paths import MODES, UNITS, absolute, linear_pair, slerp_pair, sphere, straight

DEGREES = torch.linspace(0, 180, 37)


@pytest.fixture
def bases():
    return torch.randn(20, 64) * torch.logspace(-2, 3, 20)[:, None]


@pytest.fixture
def vectors():
    return torch.randn(20, 64)


def angle(x, y):
    """In degrees and float64, by the form that keeps its precision near 0 and 180."""
    x, y = x.double(), y.double()
    x, y = x / x.norm(dim=-1, keepdim=True), y / y.norm(dim=-1, keepdim=True)
    return torch.rad2deg(2 * torch.atan2((x - y).norm(dim=-1), (x + y).norm(dim=-1)))


# Sphere mode ----------------------------------------------------------------------------------------------------------


def test_sphere_keeps_the_norm_and_ends_at_minus_the_base(bases, vectors):
    # Invariant: in sphere mode the norm is constant, and 180 degrees is the base's negative.
    points = sphere(bases, vectors, DEGREES)
    torch.testing.assert_close(points.norm(dim=-1), bases.norm(dim=-1)[:, None].expand(-1, 37), rtol=1e-5, atol=0)
    assert (points[:, 0] == bases).all()
    assert ((points[:, -1] + bases).norm(dim=-1) <= 1e-5 * bases.norm(dim=-1)).all()


def test_sphere_point_is_at_the_angle_asked_for(bases, vectors):
    # Invariant: the angle between a point of the sphere path and its base is the size.
    found = angle(sphere(bases, vectors, DEGREES), bases[:, None].expand(-1, 37, -1))
    torch.testing.assert_close(found, DEGREES.double().expand(20, -1), rtol=1e-5, atol=1e-4)


def test_sphere_path_lies_in_the_plane_of_base_and_direction_on_the_directions_side(bases, vectors):
    points = sphere(bases, vectors, DEGREES[1:-1])
    for base, vector, path in zip(bases.double(), vectors.double(), points.double(), strict=True):
        plane = torch.linalg.qr(torch.stack([base, vector], 1)).Q
        torch.testing.assert_close(path @ plane @ plane.T, path, rtol=0, atol=1e-5 * base.norm().item())
        tangent = vector - base * (vector @ base) / (base @ base)
        assert (path @ tangent > 0).all()


def test_sphere_path_only_sees_the_part_of_a_direction_orthogonal_to_the_base(bases, vectors):
    first = sphere(bases, vectors, DEGREES)
    with_base = sphere(bases, 3 * vectors + 2 * bases / bases.norm(dim=-1, keepdim=True), DEGREES)
    assert ((first - with_base).norm(dim=-1) <= 1e-5 * bases.norm(dim=-1)[:, None]).all()


def test_sphere_keeps_norm_and_angle_for_a_nearly_parallel_direction(bases, vectors):
    orthogonal = vectors - (vectors * bases).sum(-1, keepdim=True) / bases.square().sum(-1, keepdim=True) * bases
    orthogonal = orthogonal / orthogonal.norm(dim=-1, keepdim=True) * bases.norm(dim=-1, keepdim=True)
    points = sphere(bases, bases + 1e-3 * orthogonal, DEGREES)
    torch.testing.assert_close(points.norm(dim=-1), bases.norm(dim=-1)[:, None].expand(-1, 37), rtol=1e-5, atol=0)
    found = angle(points, bases[:, None].expand(-1, 37, -1))
    torch.testing.assert_close(found, DEGREES.double().expand(20, -1), rtol=1e-5, atol=1e-3)


# Straight and absolute mode -------------------------------------------------------------------------------------------


def test_straight_point_is_at_its_share_of_the_norm_along_the_direction(bases, vectors):
    # Invariant: in straight mode the distance from the base is α times the base's norm.
    alpha = torch.linspace(0, 2, 21)
    moved = straight(bases, vectors, alpha) - bases[:, None]
    torch.testing.assert_close(moved.norm(dim=-1), bases.norm(dim=-1)[:, None] * alpha, rtol=1e-5, atol=1e-5)
    assert angle(moved[:, 1:], vectors[:, None].expand(-1, 20, -1)).max() < 0.01


def test_absolute_point_is_at_its_length_along_the_direction(bases, vectors):
    lengths = torch.linspace(0, 50, 11)
    bases = vectors.roll(1, 0)
    moved = absolute(bases, vectors, lengths) - bases[:, None]
    torch.testing.assert_close(moved.norm(dim=-1), lengths.expand(20, -1), rtol=1e-5, atol=1e-5)
    assert angle(moved[:, 1:], vectors[:, None].expand(-1, 10, -1)).max() < 0.01


@pytest.mark.parametrize("mode", MODES)
def test_length_of_a_direction_does_not_matter(mode, bases, vectors):
    sizes = torch.tensor([0.0, 0.5, 1.0])
    first, second = (MODES[mode](bases, scale * vectors, sizes) for scale in (1.0, 1e3))
    assert ((first - second).norm(dim=-1) <= 1e-5 * bases.norm(dim=-1)[:, None]).all()


@pytest.mark.parametrize("mode", MODES)
def test_sizes_may_differ_from_path_to_path(mode, bases, vectors):
    sizes = torch.rand(20, 5)
    together = MODES[mode](bases, vectors, sizes)
    for i in range(20):
        torch.testing.assert_close(together[i], MODES[mode](bases[i], vectors[i], sizes[i]), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("mode", MODES)
def test_every_mode_names_its_unit_and_starts_at_the_base(mode, bases, vectors):
    assert UNITS[mode]
    torch.testing.assert_close(MODES[mode](bases, vectors, torch.zeros(1))[:, 0], bases, rtol=0, atol=0)


# From one activation to another ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", [linear_pair, slerp_pair])
def test_pair_path_starts_exactly_at_one_end_and_ends_exactly_at_the_other(path, bases, vectors):
    # Invariant: at t = 1 the patched state is the other activation itself.
    points = path(bases, vectors, torch.linspace(0, 1, 11))
    assert (points[:, 0] == bases).all() and (points[:, -1] == vectors).all()


def test_linear_pair_is_the_weighted_mean(bases, vectors):
    points = linear_pair(bases, vectors, torch.tensor([0.25]))[:, 0]
    torch.testing.assert_close(points, 0.75 * bases + 0.25 * vectors)


def test_slerp_turns_and_grows_at_constant_rates(bases, vectors):
    t = torch.linspace(0, 1, 11)
    points = slerp_pair(bases, vectors, t)
    whole = angle(bases, vectors)[:, None]
    torch.testing.assert_close(angle(points, bases[:, None].expand_as(points)), whole * t, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(angle(points, vectors[:, None].expand_as(points)), whole * (1 - t), rtol=1e-4, atol=1e-4)
    norms = torch.lerp(bases.norm(dim=-1)[:, None], vectors.norm(dim=-1)[:, None], t)
    torch.testing.assert_close(points.norm(dim=-1), norms, rtol=1e-5, atol=0)


def test_slerp_passes_obtuse_angles_the_right_way():
    a, b = torch.tensor([1.0, 0.0]), torch.tensor([-1.0, 1.0]) / np.sqrt(2)
    middle = slerp_pair(a, b, torch.tensor([0.5]))[0]
    expected = torch.tensor([np.cos(np.pi * 3 / 8), np.sin(np.pi * 3 / 8)], dtype=torch.float32)
    torch.testing.assert_close(middle, expected)


@pytest.mark.parametrize("tilt", [0.0, 1e-7, 1e-5, 1e-3])
def test_slerp_of_nearly_parallel_ends_is_nearly_linear(tilt):
    a, b = torch.tensor([1.0, 0.0]), torch.tensor([2.0, 2 * tilt])
    points = slerp_pair(a, b, torch.linspace(0, 1, 5))
    torch.testing.assert_close(points[:, 0], torch.linspace(1, 2, 5), rtol=1e-5, atol=0)
    assert (points[:, 1].diff() >= 0).all() and points[-1, 1] == 2 * torch.tensor(tilt)


# What names no path ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("sign", [1, -1])
def test_direction_parallel_to_the_base_names_no_meridian_but_a_straight_path(sign, bases, refused):
    with refused(ActivationError, "parallel to the base"):
        sphere(bases, sign * 2 * bases, torch.ones(1))
    found = straight(bases, sign * bases, torch.ones(1))[:, 0]
    assert ((found - (1 + sign) * bases).norm(dim=-1) <= 1e-5 * bases.norm(dim=-1)).all()


def test_end_of_zero_length_has_no_direction_to_turn_from(bases, vectors, refused):
    vectors[4] = 0
    with refused(ActivationError, "zero length"):
        slerp_pair(bases, vectors, torch.ones(1))
    assert (linear_pair(bases, vectors, torch.ones(1))[4] == 0).all()
