"""The interactive parts of static pages carry the numbers of their results, and nothing that ends the page's markup."""

import json
import re

import numpy as np
import pytest
import xarray as xr

from plateaus_utils import embedded
from plateaus_utils.book import pages


def carried(html, name):
    return json.loads(re.search(rf'id="{name}-data">(.*?)</script>', html.data, re.DOTALL)[1])


@pytest.fixture
def walks():
    rng = np.random.default_rng(0)
    shape = (2, 2, 3, 5)  # prompt, mode, kind, place
    dims = ("prompt", "mode", "kind")
    return xr.Dataset(
        {
            "kl": ((*dims, "place"), rng.uniform(0, 3, shape)), "l2": ((*dims, "place"), rng.uniform(0, 30, shape)),
            "threshold": (dims, np.where(rng.random(shape[:3]) < 0.3, np.nan, 40.0)),
            "probability": ((*dims, "place", "token_rank"), rng.uniform(0, 1, (*shape, 2))),
            "token": ((*dims, "token_rank"), rng.integers(60, 70, (*shape[:3], 2))),
        },
        coords={
            "path_size": (("mode", "place"), np.stack([np.linspace(0, 180, 5), np.linspace(0, 2, 5)])),
            "mode": ["sphere", "straight"], "kind": ["random", "real-other", "naive"],
        },
    )  # fmt: skip


def test_explorer_carries_the_result_to_four_digits(walks):
    html = pages.explorer(walks, ["one </script><b>", "two"], embedded.byte_tokenizer())
    data = carried(html, "explorer")
    assert data["prompts"] == ["one </script><b>", "two"] and html.data.count("</script>") == 2
    for i in range(2):
        for m, mode in enumerate(data["modes"]):
            assert mode["sizes"] == walks.path_size.values[m].tolist()
            for k, kind in enumerate(data["kinds"]):
                walk, chosen = data["walks"][i][m][k], walks.isel(prompt=i).sel(mode=mode["name"], kind=kind)
                np.testing.assert_allclose(walk["kl"], chosen.kl, rtol=1e-3)
                np.testing.assert_allclose(walk["l2"], chosen.l2, rtol=1e-3)
                np.testing.assert_allclose(walk["probability"], chosen.probability, rtol=1e-2)
                assert walk["tokens"] == [embedded.byte_tokenizer().decode([token]) for token in chosen.token.values]
                threshold = float(chosen.threshold)
                assert walk["threshold"] == (None if np.isnan(threshold) else threshold)


def test_landscape_carries_the_divergence_from_the_nearest_corner():
    grid = np.linspace(0, 1, 4)
    values = np.random.default_rng(0).uniform(0, 2, (3, 4, 4))
    kl = xr.DataArray(values, dims=("corner", "v", "u"), coords={"u": grid, "v": grid})
    corners = np.array([[0.0, 0], [2, 0], [1, 1]])
    data = carried(pages.landscape(kl, corners), "landscape")
    np.testing.assert_allclose(data["z"], values.min(0), rtol=1e-3)
    np.testing.assert_allclose(data["x"][1], grid * 2 + grid[1] * 1, rtol=1e-3)
    np.testing.assert_allclose(data["y"][2], grid[[2] * 4], rtol=1e-3)


def test_triangle_carries_angles_and_what_is_censored():
    section = xr.Dataset(
        {"threshold": ("point", [40.0, np.nan, 55.5])}, coords={"weight": (("point", "corner"), np.eye(3))}
    )
    html = pages.triangle(section, ("real", "a", "b"))
    data = carried(html, "triangle")
    assert data == {"weights": np.eye(3).tolist(), "values": [40.0, None, 55.5], "labels": ["real", "a", "b"]}
    assert "src=" not in html.data  # the landscape on the same page brings the script
