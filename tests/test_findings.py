"""What chapters show and judge, on experiments whose answers are known."""

import numpy as np
import pytest
import torch
import xarray as xr

from plateaus_utils import contrasts, quantities
from plateaus_utils.experiments import optima as triangles
from plateaus_utils.findings import explanations, explorer, methodology, optima, plateaus, sensitive

SIZES = np.arange(0, 181, 15.0)
KINDS = ["random", "real-other"]


def sample(values, dims=("prompt", "kind", "direction"), kinds=KINDS, **attrs) -> xr.DataArray:
    """A labelled sample whose prompts are documents of their own."""
    values = np.asarray(values, float)
    coords = {"document": ("prompt", np.arange(values.shape[dims.index("prompt")]))}
    return xr.DataArray(values, dims=dims, coords=coords | ({"kind": kinds} if "kind" in dims else {}), attrs=attrs)


def value(estimate) -> float:
    return float(estimate.value)


# Chapter 1 ------------------------------------------------------------------------------------------------------------


def test_lengths_of_every_kind_are_those_of_its_vectors(setting):
    found = methodology.activation_lengths(setting)
    assert found.kind.values.tolist() == ["real", "random", "naive"]
    real = found.norm.sel(kind="real").dropna("vector")
    np.testing.assert_allclose(real, setting.other_activations.norm(dim=-1), rtol=1e-6)
    off = (setting.other_activations - setting.gaussian.mean.float()).norm(dim=-1)
    np.testing.assert_allclose(found.distance.sel(kind="real").dropna("vector"), off, rtol=1e-6)
    naive = found.norm.sel(kind="naive").dropna("vector")
    np.testing.assert_allclose(np.sort(naive), np.sort(setting.base_activations.norm(dim=-1)), rtol=1e-5)
    assert found.norm.sel(kind="random").notnull().sum() == methodology.N_SAMPLED


def test_leading_tokens_are_those_on_top_somewhere():
    class Letters:
        def decode(self, ids):
            return "abcd"[ids[0]]

    chances = torch.tensor([[0.7, 0.1, 0.1, 0.1], [0.7, 0.1, 0.1, 0.1], [0.1, 0.1, 0.7, 0.1]])
    found = methodology.leading_tokens(chances, np.array([0.0, 90, 180]), Letters())
    assert found.token.values.tolist() == ["a", "c"] and found.path_size.values.tolist() == [0, 90, 180]
    np.testing.assert_allclose(found.sel(token="c"), [0.1, 0.1, 0.7])


# Chapter 2 ------------------------------------------------------------------------------------------------------------


def test_chord_of_a_linear_map():
    assert plateaus.chord(90, 90) == 1
    assert plateaus.chord(60, 180) == pytest.approx(0.5)


def test_flat_share_counts_points_near_any_corner():
    kl = np.full((1, 3, 2, 2), 9.0)
    kl[0, 2, 0] = 0.1
    assert plateaus.flat_share(xr.Dataset({"kl": (("prompt", "corner", "v", "u"), kl)})) == 0.5


# Chapter 3 ------------------------------------------------------------------------------------------------------------


def test_top_tokens_are_read_at_the_median_threshold_and_at_the_limit_where_that_is_censored():
    share = np.broadcast_to(SIZES / 180, (3, 2, 2, len(SIZES)))
    curves = sample(share, ("prompt", "kind", "direction", "path_size")).assign_coords(path_size=SIZES)
    sizes = sample([[[40.0, 50], [np.nan] * 2]] * 3, limit=90.0)
    found = sensitive.flipped_at_threshold(xr.Dataset({"top_changed": curves}), sizes)
    np.testing.assert_allclose([found.sel(kind=kind) for kind in KINDS], [45 / 180, 90 / 180])


@pytest.fixture
def two_shapes():
    """KL [prompt, kind, direction, path_size] of 24 prompts: random directions late and steep, real-other early and even."""
    rng = np.random.default_rng(0)
    shapes = np.stack([2 * (SIZES / 90) ** 4, 2 * SIZES / 90])[None, :, None]
    values = shapes * rng.uniform(0.9, 1.1, (24, 2, 2, 1))
    found = sample(values, ("prompt", "kind", "direction", "path_size"))
    return found.assign_coords(
        path_size=("path_size", SIZES, {"unit": "degrees"}), document=("prompt", np.repeat(range(12), 2))
    )


def test_classifiers_separate_curves_of_two_shapes(two_shapes):
    scores = sensitive.classifier_scores(two_shapes)
    angles = scores.sel(classifier="angle at KL 0.5").transpose("prompt", "kind", "direction")
    np.testing.assert_array_equal(angles, quantities.crossing(two_shapes, 0.5))
    found = sensitive.classifier_aurocs(scores)
    assert value(found.sel(classifier="angle at KL 0.5")) == value(found.sel(classifier="area up to 90°")) == 1
    assert value(found.sel(classifier="10–90 % rise")) == 0  # the even curves rise over a larger part
    assert value(found.sel(classifier="whole curve, held out")) == 1
    assert value(found.isel(classifier=-1)) == 0


def test_cut_sizes_are_censored_beyond_half_of_the_arrival_angle():
    sizes = sample([[[20.0, 50], [39, 41]]])
    arrival = xr.DataArray([[60.0, 80]], dims=("prompt", "direction"))
    np.testing.assert_array_equal(sensitive.cut_short(sizes, arrival), [[[20, np.nan], [np.nan, np.nan]]])


# Chapter 4 ------------------------------------------------------------------------------------------------------------


def sections(angles, resolution=triangles.RESOLUTION):
    """Sections [prompt, section, point] with the same angles in both."""
    weights = triangles.triangle(resolution)
    both = np.stack([angles(weights)] * 2)[None]
    return xr.Dataset(
        {"threshold": (("prompt", "section", "point"), both)},
        coords={"section": KINDS[::-1], "weight": (("point", "corner"), weights), "document": ("prompt", [0])},
    )


def test_minima_and_lowest_corners_of_a_slope():
    slope = sections(lambda weights: 60 - 20 * weights[:, 0] - 10 * weights[:, 1])
    found = optima.minima(triangles.corner_statistics(slope))
    assert found.what.values.tolist() == [
        f"{extent} minimum, {section} corner" for extent in ("local", "global") for section in KINDS[::-1]
    ]
    assert found.all()
    assert optima.lowest_corner(slope).squeeze("prompt").values.tolist() == [True, False, False]
    tilted = sections(lambda weights: 60 - 20 * weights[:, 2])
    assert not optima.minima(triangles.corner_statistics(tilted)).any()
    assert optima.lowest_corner(tilted).squeeze("prompt").values.tolist() == [False, False, True]


def test_maps_agree_where_resolution_does_not_matter_and_not_where_a_dip_hides_beside_the_corner():
    fine = triangles.FINE_RESOLUTION

    def slope(weights):
        return 60 - 20 * weights[:, 0]

    def dip(weights):
        return np.where(np.isclose(weights[:, 0], 1 - 1 / fine), 10.0, slope(weights))

    for angles, agrees in ((slope, 1.0), (dip, 0.0)):
        by_map = optima.minima_by_map(sections(angles), sections(angles, fine))
        found = optima.agreement(by_map)
        assert found.map.values.tolist() == ["finer angles", "finer angles and map"]
        assert (found.sel(map="finer angles") == 1).all() and (found.sel(map="finer angles and map") == agrees).all()


def test_shown_margins_leave_out_censored_ones():
    corners = xr.Dataset({"margin": ("prompt", [5.0, np.inf, -100.0], {"unit": "degrees"})})
    np.testing.assert_array_equal(optima.shown_margins(corners), [5, np.nan, -60])


# Chapter 6 ------------------------------------------------------------------------------------------------------------


def test_blocks_and_layers_have_their_own_statistics():
    rng = np.random.default_rng(0)
    values = {layer: sample(rng.uniform(10, 170, (9, 2, 2))) for layer in (1, 7)}
    by_block = explanations.by_block(values)
    for layer, sizes in values.items():
        expected = contrasts.auroc(sizes, "kind", *KINDS).mean()
        assert value(by_block.sel(block=f"block {layer}")) == pytest.approx(float(expected))
    direction = xr.concat(values.values(), xr.Variable("layer", [1, 7]))
    plateau = (direction + 1).rename(kind="base").assign_coords(base=["real", "random"])
    sweep = xr.Dataset({"plateau": plateau, "direction": direction})
    sizes, separation = explanations.sizes_by_layer(sweep), explanations.separation_by_layer(sweep)
    for layer in (1, 7):
        real, gaussian = (plateau.sel(layer=layer, base=base).values for base in ("real", "random"))
        other = direction.sel(layer=layer, kind="real-other").values
        found = sizes.value.sel(layer=layer)
        assert found.values.tolist() == [np.median(real), np.median(gaussian), np.median(other)]
        expected = {
            "plateau effect": contrasts.auroc(plateau.sel(layer=layer), "base", "real", "random"),
            "direction effect": contrasts.auroc(direction.sel(layer=layer), "kind", *KINDS),
        }
        for series, within in expected.items():
            assert value(separation.sel(layer=layer, series=series)) == pytest.approx(float(within.mean()))


def test_half_way_angles_separate_both_effects_in_every_network(setting):
    found = explanations.half_way_by_network(setting)
    assert found.value.dims == ("network", "effect")
    assert found.network.values[0] == "trained" and found.sizes["network"] == 3
    curves = explanations.explanations.both_effects(setting, "relative_0")["kind"].l2
    half = quantities.share_crossing(curves, 0.5, end=90)
    expected = contrasts.auroc(half, "kind", *KINDS).mean()
    assert value(found.sel(network="trained", effect="direction effect, L2")) == pytest.approx(float(expected))


def test_swaps_are_summed_up_by_quantity_and_donor(setting):
    found = explanations.natural_variation(setting)
    swaps = explanations.explanations.natural_variation(setting)
    assert found.value.dims == ("quantity", "donor")
    expected = np.nanmedian(swaps.angle.sel(donor="any").values)
    assert value(found.sel(quantity="angle", donor="any")) == pytest.approx(expected)


@pytest.fixture
def controls():
    """Two kinds of base of three prompts, of which one prompt has no base of the second kind."""
    return xr.Dataset(
        {
            "threshold": (("prompt", "base", "direction"), [[[40.0], [20]], [[44], [22]], [[48], [99]]]),
            "entropy": (("prompt", "base"), [[1.0, 5], [2, 6], [3, 99]]),
            "present": (("prompt", "base"), [[True, True], [True, True], [True, False]]),
        },
        coords={"base": ["real", "same token"], "document": ("prompt", [0, 1, 2])},
    )


def test_controls_count_only_prompts_that_have_them(controls):
    sizes, entropies = explanations.control_medians(controls), explanations.control_entropies(controls)
    assert sizes.value.values.tolist() == [44, 21] and sizes.n.values.tolist() == [3, 2]
    assert entropies.value.values.tolist() == [2, 5.5]
    assert (float(entropies.low[0]), float(entropies.high[0])) == (1.5, 2.5)
    assert explanations.same_token(controls).sizes["prompt"] == 2
    absent = controls.assign(present=controls.present & (controls.base == "real"))
    assert explanations.control_medians(absent).base.values.tolist() == ["real"]


def test_a_covariate_that_orders_the_sizes_correlates_with_them(setting):
    norm = setting.base_activations.norm(dim=-1).numpy()
    sizes = sample(np.stack([norm, -norm], 1)[..., None])
    found = explanations.covariate_correlations(setting, sizes)
    assert found.value.dims == ("property", "target")
    expected = {"random": 1, "real-other": -1, "random minus real-other": 1}
    for target, r in expected.items():
        assert value(found.sel(property="norm of the base", target=target)) == pytest.approx(r)


def test_two_censored_sizes_differ_by_nothing():
    found = explanations._targets(sample([[[np.nan], [np.nan]], [[np.nan], [40.0]], [[30.0], [50.0]]]))
    assert found.sel(target="random minus real-other").values.tolist() == [0, np.inf, -20]


# The explorer ---------------------------------------------------------------------------------------------------------


def test_the_printed_walk_is_the_first_prompts_on_the_sphere():
    class Letters:
        def decode(self, ids):
            return "abcdefgh"[ids[0]]

    rng = np.random.default_rng(0)
    dims = ("prompt", "mode", "kind", "place")
    sizes = (("mode", "place"), np.stack([np.linspace(0, 180, 5), np.linspace(0, 2, 5)]))
    coords = {"mode": ["sphere", "straight"], "kind": ["random", "real-other"], "path_size": sizes}
    walks = xr.Dataset(
        {
            "kl": (dims, rng.random((2, 2, 2, 5))),
            "probability": ((*dims, "token_rank"), rng.random((2, 2, 2, 5, 8))),
            "token": (("prompt", "mode", "kind", "token_rank"), np.tile(np.arange(8), (2, 2, 2, 1))),
            "threshold": (dims[:3], rng.random((2, 2, 2))),
        },
        coords=coords,
    )
    found = explorer.printed_walk(walks, Letters())
    np.testing.assert_array_equal(found.kl, walks.kl[0, 0, 1])
    assert found.token.values.tolist() == list("abcdef") and found.path_size.attrs["unit"] == "degrees"
    np.testing.assert_array_equal(found.probability.sel(token="c"), walks.probability[0, 0, 1, :, 2])
    assert float(found.threshold) == float(walks.threshold[0, 0, 1])
