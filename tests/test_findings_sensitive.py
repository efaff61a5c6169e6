"""Both ways along an axis, ranks, slopes and chords of chapter 3: on planted values, and against loops."""

import numpy as np
import pytest
import torch
import xarray as xr
from scipy import stats

from plateaus_utils import estimates, quantities
from plateaus_utils.experiments import plateaus, sensitive
from plateaus_utils.findings import sensitive as findings
from plateaus_utils.paths import sphere

DOCUMENTS = np.array([f"lee/{i}" for i in range(12)])


@pytest.fixture
def angles():
    """Threshold angles [prompt, kind, direction] both ways along every axis, some of them censored."""
    kinds = [sign + kind for kind in findings.AXES for sign in ("", "-")]
    values = np.random.default_rng(0).uniform(20, 170, (12, len(kinds), 2))
    values[3, 0, 1] = values[5, 3, 0] = np.nan
    return xr.DataArray(
        values,
        dims=("prompt", "kind", "direction"),
        coords={"kind": kinds, "document": ("prompt", DOCUMENTS)},
        attrs={"limit": 180.0, "unit": "degrees"},
    )


def of(angles, kind):
    """Angles [n_prompts, n_directions] of a kind, censored ones at the limit."""
    return np.nan_to_num(angles.sel(kind=kind).values, nan=180.0)


def test_the_angle_towards_a_target_is_the_sum_of_its_even_and_odd_part(angles):
    parts = findings.both_ways(angles)
    for kind in findings.AXES:
        ahead, back = of(angles, kind), of(angles, f"-{kind}")
        found = parts.sel(kind=kind)
        np.testing.assert_allclose(found.sel(part="towards"), ahead)
        np.testing.assert_allclose(found.sel(part="even"), (ahead + back) / 2)
        np.testing.assert_allclose(found.sel(part="away"), back)
        np.testing.assert_allclose(found.sel(part="even") + found.sel(part="odd"), ahead)


def test_effects_are_gaussian_minus_real_and_their_parts_add_up(angles):
    effects = findings.real_effects(findings.both_ways(angles))
    assert effects.value.dims == ("effect", "part") and int(effects.n_documents.max()) == 12
    for effect, (gaussian, real) in findings.EFFECTS.items():
        found = effects.value.sel(effect=effect)
        assert float(found.sel(part="towards")) == pytest.approx(np.mean(of(angles, gaussian) - of(angles, real)))
        assert float(found.sel(part="even") + found.sel(part="odd")) == pytest.approx(float(found.sel(part="towards")))


def test_an_effect_of_one_side_alone_is_half_even_and_half_odd(angles):
    """Only the real deviation's own side is 10° sooner: 5° of that are even, 5° odd."""
    level = angles.copy(data=np.full(angles.shape, 60.0))
    level.loc[{"kind": "real deviation"}] = 50.0
    effects = findings.real_effects(findings.both_ways(level)).value
    np.testing.assert_allclose(effects.sel(effect="deviations"), [10, 0, 5, 5])
    np.testing.assert_allclose(effects.sel(effect="targets"), 0)


def test_the_gain_of_deviations_is_paired(angles):
    found = findings.deviation_gain(findings.both_ways(angles))
    deviations, targets = (of(angles, a).mean(1) - of(angles, b).mean(1) for a, b in
                           (("random deviation", "real deviation"), ("random", "real-other")))  # fmt: skip
    low, high = stats.t.interval(0.95, 11, np.mean(deviations - targets), stats.sem(deviations - targets))
    np.testing.assert_allclose([found.value, found.low, found.high], [np.mean(deviations - targets), low, high])
    assert found.attrs["unit"] == "degrees"


def test_mean_parts_average_directions_and_documents(angles):
    found = findings.mean_parts(findings.both_ways(angles)).value
    assert found.dims == ("kind", "part")
    assert float(found.sel(kind="random", part="towards")) == pytest.approx(of(angles, "random").mean())


def test_angles_by_rank_of_the_cosine_are_those_of_a_loop(setting):
    found = findings.angles_by_rank(setting).value
    angles, cosines = sensitive.many_directions(setting).threshold.fillna(180.0), sensitive.cosines_with_mean(setting)
    for kind in ("random", "real-other"):
        rows = []
        for angle, cosine in zip(angles.sel(kind=kind).values, cosines.sel(kind=kind).values, strict=True):
            rows.append(
                [angle[i] - angle.mean() for i in sorted(range(sensitive.N_MANY), key=lambda i, c=cosine: c[i])]
            )
        first = np.unique(setting.documents, return_index=True)[1]
        np.testing.assert_allclose(found.sel(kind=kind), np.mean(np.array(rows)[first], 0), atol=1e-9)
    assert found["rank"].values.tolist() == list(range(1, sensitive.N_MANY + 1))


def test_the_geometric_mean_of_slopes_is_that_of_documents():
    slopes = xr.DataArray([1.0, 4.0, 9.0, 50.0], dims="prompt", coords={"document": ("prompt", list("abcc"))})
    assert float(findings.geometric_mean(slopes).value) == pytest.approx(stats.gmean([1, 4, 9]))


def test_token_slopes_are_unknown_where_no_other_prompt_ends_alike(setting):
    found = findings.token_slopes(setting)
    assert found.sel(last_token="same token").notnull().values.tolist() == setting.ends_alike.any(1).tolist()
    assert found.sel(last_token="other token").notnull().all()


def test_chords_around_the_bases_are_distances_on_their_spheres(setting):
    norms = plateaus.base_norms(setting).sel(base="real", drop=True)
    angles = sensitive.many_directions(setting).threshold.sel(kind="random")
    base, targets = setting.base_activations, setting.draws(sensitive.N_MANY).gaussian
    points = sphere(base[:, None].expand_as(targets), targets, torch.from_numpy(angles.values)[..., None])
    distance = (points[:, :, 0] - base[:, None]).norm(dim=-1)
    chords = quantities.chords(angles, norms)
    np.testing.assert_allclose(chords.where(angles.notnull()), distance.numpy(), rtol=1e-4)
    assert estimates.median(chords).attrs["unit"] == "activation units"
