"""Directions by kind, against formulas written out here, and the draws behind them."""

import dataclasses

import numpy as np
import pytest
import torch

from plateaus_utils.activations import Gaussian, generator
from plateaus_utils.directions import directions, draw
from plateaus_utils.errors import ActivationError, ParameterError
from plateaus_utils.kinds import DIRECTIONS

N, K, D = 6, 3, 8
DOCUMENTS = np.array([f"text/{i}" for i in range(N)]), np.array([f"text/{i % 10}" for i in range(40)])
"""Of bases and of others: each of the first documents has one base and four others."""


@pytest.fixture(scope="module")
def parts():
    rng = torch.Generator().manual_seed(0)
    bases, others = torch.randn(N, D, generator=rng) + 1, torch.randn(40, D, generator=rng) + 1
    gaussian = Gaussian.fit(others)
    return bases, others, gaussian, draw(bases, others, gaussian, K, generator(0, "draws"), *DOCUMENTS)


def test_each_kind_is_its_formula(parts):
    bases, others, gaussian, draws = parts
    expected = {
        "random": lambda b, i, j: draws.gaussian[i, j] - b,
        "real-other": lambda b, i, j: others[draws.real_index[i, j]] - b,
        "naive": lambda b, i, j: draws.naive[i, j],
        "naive minus base": lambda b, i, j: draws.naive[i, j] - b,
        "minus base": lambda b, i, j: -b,
        "random mixture": lambda b, i, j: draws.gaussian[i, j] - draws.gaussian_second[i, j],
        "real mixture": lambda b, i, j: draws.real[i, j] - draws.real_second[i, j],
        "towards mean": lambda b, i, j: others.mean(0) - b,
        "random deviation": lambda b, i, j: draws.gaussian[i, j] - others.mean(0),
        "real deviation": lambda b, i, j: draws.real[i, j] - others.mean(0),
    }
    assert set(DIRECTIONS) == set(expected)
    for kind, formula in expected.items():
        found = directions(kind, bases, draws)
        assert found.shape == (N, K, D)
        for i in range(N):
            for j in range(K):
                torch.testing.assert_close(found[i, j], formula(bases[i], i, j), atol=1e-5, rtol=1e-5)


def test_minus_sign_reverses_a_kind(parts):
    bases, _, _, draws = parts
    for kind in DIRECTIONS:
        torch.testing.assert_close(directions(f"-{kind}", bases, draws), -directions(kind, bases, draws))


@pytest.mark.parametrize("kind", ["random mixture", "real mixture", "naive", "random deviation", "real deviation"])
def test_kinds_without_the_base_do_not_depend_on_it(parts, kind):
    bases, _, _, draws = parts
    torch.testing.assert_close(directions(kind, bases, draws), directions(kind, bases + 5, draws))


def test_real_targets_are_others_and_none_comes_twice_for_one_base(parts):
    _, others, _, draws = parts
    for i in range(N):
        targets = torch.cat([draws.real[i], draws.real_second[i]])
        found = torch.cdist(targets, others).argmin(1).tolist()
        assert len(set(found)) == 2 * K
        torch.testing.assert_close(others[found], targets)
        assert found[:K] == draws.real_index[i].tolist()


def test_no_real_target_comes_from_the_document_of_its_base(parts):
    bases, others, gaussian, _ = parts
    base_documents, other_documents = DOCUMENTS
    for seed in range(20):
        draws = draw(bases, others, gaussian, K, generator(seed, "draws"), *DOCUMENTS)
        for i in range(N):
            targets = torch.cat([draws.real[i], draws.real_second[i]])
            where = (targets[:, None] == others).all(-1).nonzero()[:, 1].numpy()
            assert len(where) == 2 * K and base_documents[i] not in other_documents[where]


def test_too_few_others_of_other_documents_are_refused(parts, refused):
    bases, others, gaussian, _ = parts
    with refused(ActivationError, "has 36 other activations from other documents", "38 are drawn"):
        draw(bases, others, gaussian, 19, generator(0, "x"), *DOCUMENTS)


def test_an_activation_equal_to_the_base_is_no_target(parts):
    bases, others, gaussian, _ = parts
    with_itself = torch.cat([others[: 2 * K], bases])
    documents = DOCUMENTS[0], np.array(["elsewhere/0"] * len(with_itself))
    draws = draw(bases, with_itself, gaussian, K, generator(0, "x"), *documents)
    for i in range(N):
        assert torch.cdist(torch.cat([draws.real[i], draws.real_second[i]]), bases[i : i + 1]).min() > 0.1


def test_the_two_targets_of_a_mixture_are_independent_draws_of_one_distribution(parts):
    bases, others, gaussian, _ = parts
    documents = np.array(["text/0"] * 2000), DOCUMENTS[1]
    draws = draw(bases[:1].expand(2000, -1), others, gaussian, 1, generator(0, "many"), *documents)
    first, second = (x[:, 0] - gaussian.mean.float() for x in (draws.gaussian, draws.gaussian_second))
    correlation = torch.corrcoef(torch.cat([first.T, second.T]))[:D, D:]
    assert correlation.abs().max() < 5 / 2000**0.5
    torch.testing.assert_close(first.var(0), second.var(0), rtol=0.2, atol=0)


def test_naive_targets_have_the_norm_of_their_base(parts):
    bases, _, _, draws = parts
    torch.testing.assert_close(draws.naive.norm(dim=-1), bases.norm(dim=-1)[:, None].expand(N, K))


def test_same_seed_draws_the_same_and_another_seed_something_else(parts):
    bases, others, gaussian, draws = parts
    again = draw(bases, others, gaussian, K, generator(0, "draws"), *DOCUMENTS)
    other = draw(bases, others, gaussian, K, generator(1, "draws"), *DOCUMENTS)
    for field in dataclasses.fields(draws):
        torch.testing.assert_close(getattr(again, field.name), getattr(draws, field.name), rtol=0, atol=0)
    assert not torch.equal(other.gaussian, draws.gaussian) and not torch.equal(other.real, draws.real)


@pytest.mark.parametrize("kind", ["unheard-of", "-unheard-of", ""])
def test_unknown_kind_is_refused(parts, kind, refused):
    bases, _, _, draws = parts
    with refused(ParameterError, "There is no kind", "real-other"):
        directions(kind, bases, draws)


def test_draws_of_some_bases_are_a_slice_of_all(parts):
    bases, _, _, draws = parts
    for kind in DIRECTIONS:
        found = directions(kind, bases[2:4], draws[2:4])
        torch.testing.assert_close(found, directions(kind, bases, draws)[2:4], rtol=0, atol=0)
