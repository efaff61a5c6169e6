"""What decides the statement of chapter 6: recomputed from the stored result with numpy alone, and on planted angles."""

import numpy as np
import pytest
import xarray as xr

from plateaus_utils import claims
from plateaus_utils.experiments import explanations, sensitive
from plateaus_utils.primaries.explanations import PRIMARIES, drop, ratio, separation


@pytest.fixture(scope="module")
def late(setting):
    return explanations.late_directions(explanations.at_blocks(setting))


def test_late_separation_counts_pairs(setting):
    sample = PRIMARIES["C7"](setting)
    name = claims.registry()["C7"]["estimand"]["result"]
    result = xr.load_dataset(setting.folder / f"{name}.nc")
    assert result.threshold.shape == (10, 1, 2, explanations.N_LATE)
    angles = np.nan_to_num(result.threshold.values[:, 0], nan=result.threshold.attrs["limit"])
    random, real = (angles[:, result.kind.values.tolist().index(kind)] for kind in ("random", "real-other"))
    pairs = [[(g > r) + 0.5 * (g == r) for g in random[i] for r in real[i]] for i in range(10)]
    np.testing.assert_allclose(sample, np.mean(pairs, axis=1))
    np.testing.assert_array_equal(sample.document, setting.documents)


def test_the_last_block_is_perturbed_on_the_same_prompts(setting, late):
    blocks = explanations.at_blocks(setting)
    assert setting.layer in blocks and max(blocks) == setting.model.n_layers - 1
    assert all(np.array_equal(at.bases.tokens, setting.bases.tokens) for at in blocks.values())
    alone = explanations.threshold_sizes(
        blocks[max(blocks)].first(10), "alone", kinds=("random", "real-other"), n_directions=explanations.N_LATE
    )
    np.testing.assert_array_equal(late.threshold, alone.threshold.isel(base=0))


def test_drop_is_the_difference_of_both_places(setting, late):
    early = sensitive.many_directions(setting).threshold
    found = drop(early, late.threshold)
    assert found.dims == ("prompt",) and found.attrs["unit"] == ""
    np.testing.assert_allclose(found, separation(early).values - separation(late.threshold).values)


def test_planted_angles_separate_as_planted():
    values = np.array([[[40.0, 50], [30, 20]], [[10, 20], [30, np.nan]], [[10, 40], [20, 20]]])
    angles = xr.DataArray(
        values,
        dims=("prompt", "kind", "direction"),
        coords={"kind": ["random", "real-other"], "document": ("prompt", list("abc"))},
        attrs={"limit": 180.0},
    )
    assert separation(angles).values.tolist() == [1, 0, 0.5]
    np.testing.assert_allclose(np.exp(ratio(angles)), np.sqrt([2000 / 600, 200 / 5400, 400 / 400]))
