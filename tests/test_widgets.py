"""The live explorer: walks are the library's, and what cannot be used is explained next to its field."""

import numpy as np
import pytest
import torch

from plateaus_utils.book import widgets
from plateaus_utils.effects import measure
from plateaus_utils.experiments import latents
from plateaus_utils.patching import Suffix
from plateaus_utils.paths import MODES

TEXT = "A plateau is flat"


@pytest.fixture(scope="module")
def walker(setting):
    return widgets.Walker(setting, latents.dictionaries(setting)[0])


WALKS = [
    (kind, mode)
    for mode in ("sphere", "straight")
    for kind in widgets.KINDS
    if (kind, mode) != ("minus base", "sphere")
]


@pytest.mark.parametrize(("kind", "mode"), WALKS)
@pytest.mark.parametrize("position", [-1, 3])
def test_walk_is_the_librarys(walker, setting, kind, mode, position):
    walk = walker.walk(TEXT, kind, mode, position=position, target=5, latent=3)
    tokens = torch.tensor([setting.model.tokenizer(TEXT)["input_ids"]])
    suffix = Suffix(setting.model, tokens, "blocks.1.hook_resid_pre", (position,))
    if kind == "corpus prompt":
        vector = setting.other_activations[5] - suffix.base[0]
    elif kind == "SAE latent":
        vector = walker.dictionary.rows[3]
    else:
        assert walk.kl[0] == pytest.approx(0, abs=1e-7) and walk.kl[-1] > 0
        return
    points = MODES[mode](suffix.base[0], vector, torch.tensor(walk.sizes, dtype=torch.float32))
    np.testing.assert_allclose(walk.kl, measure(suffix, points[None])["kl"][0], rtol=1e-3, atol=1e-6)
    reached = np.flatnonzero(walk.kl >= 0.5)
    assert np.isnan(walk.threshold) == (len(reached) == 0)
    if len(reached):
        assert walk.sizes[reached[0] - 1] <= walk.threshold <= walk.sizes[reached[0]]


@pytest.mark.parametrize("kind", ["corpus prompt", "real-other", "real mixture", "naive"])
def test_other_layers_take_corpus_prompts_there(walker, setting, kind):
    walk = walker.walk(TEXT, kind, "sphere", layer=0, target=2)
    assert walk.kl[0] == pytest.approx(0, abs=1e-7) and np.isfinite(walk.kl).all()


@pytest.mark.parametrize(
    ("field", "options", "words"),
    [
        ("text", {"text": "x"}, "1 tokens"),
        ("text", {"text": "x" * 500}, "500 tokens"),
        ("layer", {"layer": 9}, "0 to 3"),
        ("position", {"position": 40}, "-17 to 16"),
        ("target", {"kind": "corpus prompt", "target": 9999}, "0 to 79"),
        ("latent", {"kind": "SAE latent", "latent": -1}, "Latents run from 0"),
        ("kind", {"kind": "random", "layer": 0}, "choose that layer"),
        ("kind", {"kind": "towards mean", "layer": 0}, "choose that layer"),
        ("kind", {"kind": "SAE latent", "layer": 0}, "choose that layer"),
        ("kind", {"kind": "minus base"}, "no meridian"),
    ],
)
def test_field_that_cannot_be_used_says_why(walker, field, options, words):
    with pytest.raises(widgets.InputError, match=words) as caught:
        walker.walk(**{"text": TEXT, "kind": "naive", "mode": "sphere"} | options)
    assert caught.value.field == field


def test_explorer_redraws_on_a_change_and_complains_next_to_the_field(setting, walker):
    live = widgets.Explorer(setting, walker.dictionary, TEXT)
    live.size.value = 20
    assert f"{live.walk.kl[20]:.4f}" in live.reading.value
    before = live.walk.kl.copy()
    live.fields["kind"].value = "real-other"
    assert not np.allclose(live.walk.kl, before) and f"{live.walk.kl[20]:.4f}" in live.reading.value
    live.fields["layer"].value = 77
    assert "Layers run from 0" in live.complaints["layer"].value
    assert [name for name, complaint in live.complaints.items() if complaint.value] == ["layer"]
    live.fields["layer"].value = 1
    assert live.complaints["layer"].value == ""
