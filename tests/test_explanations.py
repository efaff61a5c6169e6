import numpy as np
import pytest
import torch

from plateaus_utils import directions, embedded, experiments, patching, sensitivity
from plateaus_utils.experiments import explanations, sensitive
from plateaus_utils.kinds import BASES


@pytest.fixture(scope="module")
def setting(tmp_path_factory):
    folder = str(tmp_path_factory.mktemp("results"))
    return experiments.prepare(embedded.TINY, folder, corpus="lee", n_prompts=6, n_others=200, shrinkage=True)


def test_fisher_gram_is_the_covariance_of_the_jacobian(setting):
    """Against the Fisher matrix JᵀCov_pJ from reverse-mode gradients of every logit, for one base and direction."""
    gram = explanations.local_quadratic(setting, "one", ("real",), ("random",), 1).values[0, 0, 0, 0]
    suffix = patching.Suffix(setting.model, setting.bases.tokens[:1], setting.hook_name)
    base = setting.base_activations[0]
    jacobian = torch.autograd.functional.jacobian(lambda x: suffix(x[None, None]).logits[0, 0], base)
    p = suffix(base[None, None]).logits[0, 0].softmax(-1)
    fisher = jacobian.T @ (torch.diag(p) - torch.outer(p, p)) @ jacobian
    u = directions.directions("random", setting.base_activations, setting.draws(1))[0, 0]
    across = u - (u @ base) / (base @ base) * base
    across = across * base.norm() / across.norm()
    both = torch.stack([base, across])
    assert gram == pytest.approx((both @ fisher @ both.T).numpy(), rel=1e-3)


def test_quadratic_form_predicts_small_angles(setting):
    """Close to the base KL is its quadratic form."""
    gram = explanations.local_quadratic(setting, "small", ("real",), ("random", "real-other"), 2)
    small = np.array([0.5, 1.0])
    measured = experiments.curves(setting, "small_angles", kinds=("random", "real-other"), sizes=small, effects=("kl",))
    ratio = sensitivity.over_quadratic(measured.kl.values, gram.values, small)
    assert np.median(ratio) == pytest.approx(1, abs=0.05)


def test_over_quadratic_of_a_quadratic_is_one_and_of_a_step_is_not():
    gram = np.array([[2.0, 0.3], [0.3, 5.0]])
    degrees = np.linspace(0, 90, 10)
    exact = sensitivity.quadratic_kl(gram, degrees)
    chord = np.stack([np.cos(np.deg2rad(degrees)) - 1, np.sin(np.deg2rad(degrees))], 1)
    assert exact == pytest.approx([0.5 * c @ gram @ c for c in chord])
    assert sensitivity.over_quadratic(exact, gram, degrees)[1:] == pytest.approx(np.ones(9))
    step = np.where(degrees > 40, 8.0, 0.0)
    ratio = sensitivity.over_quadratic(step, gram, degrees)
    assert (ratio[1:5] == 0).all() and (ratio[5:] > 1).all()


def test_sweep_layers_contain_the_ends():
    for n in (1, 2, 4, 12, 30):
        layers = explanations.sweep_layers(n)
        assert layers[0] == 0 and layers[-1] == n - 1 and layers == sorted(set(layers))


def test_swaps_of_the_same_token_end_in_it(setting):
    swaps = explanations.natural_variation(setting, 2)
    last = setting.others.tokens[:, -1]
    for i, (token, document) in enumerate(zip(setting.bases.tokens[:, -1], setting.documents, strict=True)):
        available = min(2, int(((last == token).numpy() & (setting.others.documents != document)).sum()))
        assert int(swaps.kl.sel(donor="same token").isel(prompt=i).notnull().sum()) == available
    assert swaps.kl.sel(donor="any").notnull().all()


def test_every_base_kind_is_finite_and_its_own(setting):
    points = {kind: experiments.base_points(setting, kind) for kind in BASES}
    assert all(p.shape == setting.base_activations.shape and p.isfinite().all() for p in points.values())
    assert points["naive"].norm(dim=-1).numpy() == pytest.approx(
        setting.base_activations.norm(dim=-1).numpy(), rel=1e-5
    )
    others = {tuple(row.tolist()) for row in setting.other_activations}
    assert all(tuple(row.tolist()) in others for row in points["foreign"])
    # permuted scores: every component's score is one that some real activation has
    scores = (points["permuted scores"] - setting.gaussian.mean.float()) @ setting.gaussian.eigenvectors.float()
    real = (setting.other_activations - setting.gaussian.mean.float()) @ setting.gaussian.eigenvectors.float()
    assert (scores[:, None] - real[None]).abs().min(1).values.max() < 1e-3


def test_cosines_with_the_base(setting):
    cosines = sensitive.cosines_with_base(setting)
    assert cosines.sel(kind="minus base").values == pytest.approx(-1, abs=1e-5)
    draws = setting.draws(2)
    base = setting.base_activations[0]
    by_hand = torch.nn.functional.cosine_similarity(draws.real[0, 1] - base, base, dim=0)
    assert float(cosines.sel(kind="real-other")[0, 1]) == pytest.approx(float(by_hand), abs=1e-5)


def test_at_the_first_block_no_target_is_the_base_itself(setting):
    first = setting.at_layers([0])[0]
    draws = first.draws(4)
    assert ((draws.real - first.base_activations[:, None]).norm(dim=-1) > 1e-3).all()
