"""Toy networks: their data, the engine's interface on them, and every estimator where the answer is known."""

import numpy as np
import pytest
import torch
import xarray as xr
from scipy.special import log_softmax, rel_entr

from plateaus_utils import effects, paths, toys
from plateaus_utils.activations import generator
from plateaus_utils.errors import ActivationError, ModelError
from plateaus_utils.experiments import toys as experiment
from plateaus_utils.experiments.measuring import thresholds_along
from plateaus_utils.findings import toys as findings


@pytest.fixture(scope="module")
def toy():
    """A network after a few steps: nothing is learnt, but no weight is special."""
    return toys.train(toys.WIDTHS["with"], 0.1, seed=0, n_steps=30)


@pytest.fixture(scope="module")
def suffix(toy):
    return toys.ToySuffix(toy, toy.embed(toys.draw_inputs(5, generator(0, "test"))))


def plain_forward(toy, point: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Logits and last stream of one point, in float64, neuron by neuron of the formula."""
    weights = {name: value.double().numpy() for name, value in toy.weights.items()}
    stream = point.astype(float)
    for block in range(toys.N_BLOCKS):
        gates = stream @ weights["read"][block] + weights["bias"][block]
        stream = stream + np.maximum(gates, 0) @ weights["write"][block]
    scale = np.sqrt(np.mean(stream**2) + toys.EPS)
    return stream / scale @ weights["unembed"] + weights["prior"], stream


# Data and training --------------------------------------------------------------------------------------------------


def test_a_feature_asks_for_its_token_unless_the_next_one_is_on():
    inputs = toys.draw_inputs(500, generator(0, "data"))
    values = inputs.values.numpy()
    for row, wanted, target in zip(values, inputs.wanted.numpy(), inputs.target.numpy(), strict=True):
        on = set(np.flatnonzero(row))
        expected = {i for i in on if (i + 1) % toys.N_FEATURES not in on}
        assert set(np.flatnonzero(wanted)) == expected and expected
        assert target.sum() == pytest.approx(1) and set(np.argsort(target)[-len(expected) :]) == expected
    on = values[values > 0]
    assert on.min() >= toys.ON[0] and on.max() <= toys.ON[1]
    assert 2 <= (values > 0).sum(1).mean() <= 4


def test_training_is_the_same_for_the_same_seed_and_starts_alike_with_noise():
    first, again, noisy = (toys.train(32, noise, seed=1, n_steps=3).weights for noise in (0.0, 0.0, 0.2))
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert torch.equal(first["embed"], noisy["embed"]) and not torch.equal(first["read"], noisy["read"])
    assert {name: value.dim() for name, value in first.items()} == {name: len(d) for name, d in toys.SHAPES.items()}


def test_features_are_orthogonal_only_where_the_stream_has_room():
    narrow, wide = (toys.untrained(toys.WIDTHS[s], generator(0, "x")).weights["embed"] for s in ("with", "without"))
    for rows in (narrow, wide):
        assert rows.norm(dim=1).numpy() == pytest.approx(1, abs=1e-5)
    assert (wide @ wide.T - torch.eye(toys.N_FEATURES)).abs().max() < 1e-5
    assert torch.linalg.matrix_rank(narrow) == toys.WIDTHS["with"] < toys.N_FEATURES


def test_training_learns():
    untrained, trained = toys.train(64, 0.0, 0, n_steps=0), toys.train(64, 0.0, 0, n_steps=150)
    assert toys.accuracy(untrained) < 0.05 and toys.accuracy(trained) > 0.3


def test_networks_of_unequal_accuracy_are_not_compared():
    toys.require_equal({"a": 0.99, "b": 0.98})
    with pytest.raises(ModelError, match="'b' is right on 0.900"):
        toys.require_equal({"a": 0.99, "b": 0.9})


def test_stored_networks_are_read_back(tmp_path, monkeypatch):
    monkeypatch.setattr(toys, "MARGIN", 1.0)
    first = toys.networks(tmp_path, 1, n_steps=2)
    assert list(first) == [(s, n, 0) for s in ("without", "with") for n in ("without", "with")]
    monkeypatch.setattr(toys, "train", None)
    again = toys.networks(tmp_path, 1, n_steps=2)
    for cell, toy in first.items():
        assert all(torch.equal(toy.weights[name], again[cell].weights[name]) for name in toys.SHAPES)


# The engine's interface ---------------------------------------------------------------------------------------------


def test_suffix_is_the_plain_forward_pass(toy, suffix):
    points = suffix.base[:, None] + torch.randn(5, 3, toy.d_model, generator=generator(0, "points"))
    found = suffix(points)
    for i in range(5):
        for j in range(3):
            logits, stream = plain_forward(toy, points[i, j].numpy())
            assert found.logits[i, j].numpy() == pytest.approx(logits, abs=1e-4)
            assert found.resid_post[i, j].numpy() == pytest.approx(stream, abs=1e-4)
            assert found.normalized[i, j].square().mean() == pytest.approx(1, abs=1e-4)
    some = suffix.of_prompts(torch.tensor([3, 1]))
    assert torch.allclose(some(points[[3, 1]]).logits, found.logits[[3, 1]], atol=1e-5) and some.n_prompts == 2
    slices = list(suffix.batches(1000))
    assert [s.start for s in slices[1:]] == [s.stop for s in slices[:-1]] and slices[-1].stop == 1000
    assert max(s.stop - s.start for s in slices) * suffix.n_prompts <= toys.ROWS


def test_measured_divergence_is_that_of_plain_forward_passes(toy, suffix):
    points = suffix.base[:, None] * torch.tensor([1.0, 0.5])[:, None] + 0.3
    measured = effects.measure(suffix, points)["kl"].numpy()
    for i, base in enumerate(suffix.base.numpy()):
        p, *others = (np.exp(log_softmax(plain_forward(toy, x)[0])) for x in (base, *points[i].numpy()))
        assert measured[i] == pytest.approx([rel_entr(p, q).sum() for q in others], rel=1e-3)


def test_derivative_is_a_central_difference(toy, suffix):
    tangents = torch.randn(5, 1, toy.d_model, generator=generator(0, "tangents"))
    logits, slopes = suffix.derivative(suffix.base[:, None], tangents)
    for i in range(5):
        b, t = suffix.base[i].double().numpy(), tangents[i, 0].double().numpy()
        ahead, behind = (plain_forward(toy, b + step * t)[0] for step in (1e-5, -1e-5))
        assert slopes[i, 0].numpy() == pytest.approx((ahead - behind) / 2e-5, abs=2e-3)
        assert logits[i, 0].numpy() == pytest.approx(plain_forward(toy, b)[0], abs=1e-4)


def test_points_of_the_wrong_shape_or_not_finite_are_refused(suffix):
    with pytest.raises(ActivationError, match="was expected"):
        suffix(suffix.base)
    with pytest.raises(ActivationError, match="NaN or infinite"):
        suffix(suffix.base[:, None] * torch.nan)


def test_thresholds_are_those_of_a_dense_curve(toy, suffix):
    vectors = torch.randn(5, 2, toy.d_model, generator=generator(0, "vectors"))
    found = thresholds_along(suffix, suffix.base, vectors, level=0.1).size
    sizes = torch.arange(0, 180.1, 0.25)
    points = paths.sphere(suffix.base[:, None].expand_as(vectors), vectors, sizes)
    kl = effects.measure(suffix, points.flatten(1, 2))["kl"].view(5, 2, -1)
    dense = sizes[(kl >= 0.1).int().argmax(-1)].where((kl >= 0.1).any(-1), torch.nan)
    np.testing.assert_allclose(found, dense, atol=0.8)


# Known answers ------------------------------------------------------------------------------------------------------

GATE = 40.0
"""Angle at which the planted gate opens, degrees."""


def planted(slope: float) -> toys.Toy:
    """Stream of three dimensions; base along the first. One gate of the first block opens GATE degrees towards the second and
    writes into the third, which alone moves a logit, `slope` times the unit that the gate gives."""
    weights = {name: torch.zeros([{"block": toys.N_BLOCKS, "neuron": toys.N_NEURONS, "d_model": 3}.get(d, toys.N_FEATURES)
                                  for d in dims]) for name, dims in toys.SHAPES.items()}  # fmt: skip
    weights["embed"][:, 0] = 1
    weights["bias"] -= 1
    weights["read"][0, 1, 0], weights["bias"][0, 0] = 1, -np.sin(np.deg2rad(GATE))
    weights["write"][0, 0, 2] = slope
    weights["unembed"][2, 0] = 10
    return toys.Toy(weights)


def test_a_planted_gate_is_where_the_output_begins_to_move():
    base, towards = torch.tensor([[1.0, 0, 0]]), torch.tensor([[[0.0, 1, 0], [0.0, -1, 0]]])
    toy = planted(1000.0)
    found = thresholds_along(toys.ToySuffix(toy, base), base, towards, grid=np.arange(5, 180.1, 5.0), tolerance=0.05)
    assert found.size[0, 0] == pytest.approx(GATE, abs=0.2) and found.censored[0, 1]
    points = paths.sphere(base[:, None].expand_as(towards), towards, torch.tensor([GATE - 1, GATE + 1]))
    opened = toy.run(points).gates > 0
    assert not opened[:, 0, 0, 0].any()  # nothing is open a degree before
    assert opened[:, 0, 0, 1].nonzero().tolist() == [[0, 0]]  # a degree later the one gate of the first block is
    assert not opened[:, 0, 1].any()  # and never the other way


def linear(rng) -> toys.Toy:
    """A network whose blocks write nothing."""
    toy = toys.untrained(64, rng)
    return toys.Toy(toy.weights | {"write": torch.zeros_like(toy.weights["write"])})


def test_a_linear_network_neither_contracts_nor_grows_and_is_its_quadratic_close_to_the_base():
    setting = experiment.toy_setting(linear(generator(0, "linear")), 8, seed=0)
    data = experiment.measure_network(setting)
    values = findings.of_toys(data.expand_dims(superposition=["without"], noise=["without"], network=[0]))
    assert list(values) == list(findings.PREDICTED)
    for name in ("‖δ‖ through all blocks (log)", "‖x‖ through all blocks (log)", "‖δ‖/‖x‖ through all blocks (log)"):
        assert values[name].values == pytest.approx(0, abs=1e-5)
    # On the sphere the norm is fixed, so logits move by W(x − b)/rms: the chord's variance under the base's distribution.
    at = setting.base_activations[:1]
    vector = setting.directions("random", setting.base_activations)[:1, :1]
    u = paths.sphere(at[:, None], vector, torch.tensor([90.0]))[0, 0, 0].double()
    b, weights = at[0].double(), {k: v.double() for k, v in setting.toy.weights.items()}
    scale = (b.square().mean() + toys.EPS).sqrt()
    p = (b / scale @ weights["unembed"]).softmax(-1)
    slope = u / scale @ weights["unembed"]
    expected = ((p * slope**2).sum() - (p * slope).sum() ** 2) / 2
    gram = data.gram.sel(base="real", i="across", j="across").values[0, 0]
    assert gram / 2 == pytest.approx(float(expected), rel=1e-4)


def test_features_are_switched_on_where_they_are_off_and_off_where_they_are_on(toy):
    setting = experiment.toy_setting(toy, 6, seed=0)
    for kind, sign in (("feature on", 1), ("feature off", -1)):
        rows = setting.directions(kind, setting.base_activations)
        for values, vectors in zip(setting.inputs.values, rows, strict=True):
            chosen = [(sign * vector @ toy.weights["embed"].T).argmax() for vector in vectors]
            assert len(set(map(int, chosen))) == experiment.N_DIRECTIONS
            assert all((values[i] == 0) == (kind == "feature on") for i in chosen)


def test_every_measurement_is_labelled(toy):
    data = experiment.measure_network(experiment.toy_setting(toy, 6, seed=0))
    for variable in data.data_vars.values():
        assert variable.attrs["description"] and "unit" in variable.attrs, variable.name
    assert data.kl.dims == ("prompt", "base", "direction", "path_size") and not data.isnull().all()["kl"]
    assert float(abs(data.kl.sel(path_size=0)).max()) < 1e-6
    assert ((data.crossed >= 0) & (data.crossed <= 1)).all() and len(set(data.document.values)) == 6


# Estimators ---------------------------------------------------------------------------------------------------------


def planted_values(noise: float, superposition: float, flip: bool = False) -> xr.DataArray:
    """An estimator with known effects; with `flip` the effect of noise has the other sign in one of the networks."""
    rng = np.random.default_rng(0)
    values = rng.normal(0, 1, (2, 2, 2, 60))
    values[:, 1] += noise
    values[1] += superposition
    if flip:
        values[:, 1, 1] -= 1.5 * noise
    levels = ["without", "with"]
    coords = {"superposition": levels, "noise": levels, "document": ("prompt", [f"toy/{i}" for i in range(60)])}
    return xr.DataArray(values, dims=("superposition", "noise", "network", "prompt"), coords=coords)


def test_planted_effects_are_found_and_told(monkeypatch):
    monkeypatch.setattr(findings, "PREDICTED", {"noise": (1, 0), "both": (1, 1), "one network": (0, 1)})
    named = {
        "noise": planted_values(2, 0),
        "both": planted_values(-2, 3),
        "one network": planted_values(2, 0, flip=True),
    }
    found = findings.effects(named)
    assert found.value.sel(estimator="noise", factor="noise") == pytest.approx(2, abs=0.5)
    assert found.value.sel(estimator="both", factor="superposition") == pytest.approx(3, abs=0.5)
    assert (found.low < found.value).all() and (found.value < found.high).all()
    told = found.told.astype(bool)
    assert told.sel(factor="noise").values.tolist() == [True, True, False]
    assert told.sel(factor="superposition").values.tolist() == [False, True, False]
    assert findings.dropped(found) == ["one network"]
    predicted = found.as_predicted.values.tolist()
    assert predicted == [[True, True], [False, True], [True, False]]


def test_the_nearest_cell_is_that_of_the_closest_mean():
    values = {"a": planted_values(10, 100)}
    language = {"a": xr.DataArray(np.full(4, 111.0), dims="prompt", coords={"document": ("prompt", list("abcd"))})}
    table = findings.beside_language_model(values, language)
    assert table.value.dims == ("estimator", "cell") and table.cell.values.tolist() == [
        *findings.CELLS,
        "language model",
    ]
    assert findings.nearest(table, ["a"]) == {"a": "both"} and findings.nearest(table, []) == {}
    assert findings.beyond(table, ["a"]) == ["a"]
    inside = {"a": language["a"].copy(data=[50.0, 60.0, 40.0, 55.0])}
    assert findings.beyond(findings.beside_language_model(values, inside), ["a"]) == []
