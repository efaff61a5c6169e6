"""Sparse autoencoders: hand-set weights give hand-computed codes, edits invert, unfitting SAEs are refused."""

import json

import pytest
import torch
from sae_lens import SAE, JumpReLUSAE, JumpReLUSAEConfig, TopKSAE, TopKSAEConfig

from plateaus_utils import saes
from plateaus_utils.activations import Gaussian
from plateaus_utils.errors import SAEError
from plateaus_utils.saes import Dictionary, load_dictionary


def topk(rows, k, b_dec=None, **metadata):
    """A TopK SAE with tied hand-set rows [d_sae, d_in]."""
    rows = torch.as_tensor(rows, dtype=torch.float32)
    sae = TopKSAE(TopKSAEConfig(d_in=rows.shape[1], d_sae=len(rows), k=k))
    b_dec = torch.zeros(rows.shape[1]) if b_dec is None else b_dec
    sae.load_state_dict({"W_enc": rows.T.contiguous(), "W_dec": rows, "b_enc": torch.zeros(len(rows)), "b_dec": b_dec})
    for key, value in metadata.items():
        sae.cfg.metadata[key] = value
    return sae.requires_grad_(False)


def dictionary(sae, activations):
    fit = saes.reconstruction(sae, activations)
    return Dictionary("by hand", sae, **fit, frequency=saes.density(sae, activations), fingerprint="")


BASIS = torch.cat([torch.eye(4), -torch.eye(4)])
X = torch.tensor([[3.0, -2.0, 1.0, 0.0], [0.0, 0.0, -4.0, 5.0]])


@pytest.fixture
def basis():
    """Both signs of four coordinates, of which the two largest count."""
    return dictionary(topk(BASIS, 2), X)


def test_hand_set_weights_give_hand_computed_codes(basis):
    expected = torch.zeros(2, 8)
    expected[0, 0], expected[0, 5] = 3, 2  # +3 along the first coordinate, +2 along minus the second
    expected[1, 6], expected[1, 3] = 4, 5
    torch.testing.assert_close(basis.encode(X), expected)
    torch.testing.assert_close(basis.decode(basis.encode(X)), torch.tensor([[3.0, -2, 0, 0], [0, 0, -4, 5]]))
    torch.testing.assert_close(basis.error(X), torch.tensor([[0.0, 0, -1, 0], [0, 0, 0, 0]]))


def test_jumprelu_lets_only_codes_above_the_threshold_pass():
    sae = JumpReLUSAE(JumpReLUSAEConfig(d_in=4, d_sae=8))
    sae.load_state_dict({"W_enc": BASIS.T.contiguous(), "W_dec": BASIS, "b_enc": torch.zeros(8), "b_dec": torch.zeros(4),
                         "threshold": torch.full((8,), 2.5)})  # fmt: skip
    found = dictionary(sae.requires_grad_(False), X)
    assert found.encode(X).nonzero().tolist() == [[0, 0], [1, 3], [1, 6]] and found.l0 == 1.5


def test_quality_is_what_is_left_over(basis):
    spread = (X - X.mean(0)).square().sum()
    assert basis.explained_variance == pytest.approx(1 - 1 / float(spread)) and basis.l0 == 2
    assert basis.frequency.tolist() == [0.5, 0, 0, 0.5, 0, 0.5, 0.5, 0]
    assert basis.alive.tolist() == [0, 3, 5, 6] and basis.dead.tolist() == [1, 2, 4, 7]


def test_directions_have_unit_length_whatever_the_rows_have():
    found = dictionary(topk(3 * BASIS, 2), X)
    torch.testing.assert_close(found.rows, BASIS)


def test_picks_are_different_allowed_and_missing_where_there_are_too_few():
    allowed = torch.tensor([[1, 1, 1, 0, 0, 0], [0, 0, 0, 0, 1, 0]]).bool()
    for seed in range(20):
        chosen = saes.pick(allowed, 2, torch.Generator().manual_seed(seed))
        assert len(set(chosen[0].tolist())) == 2 and set(chosen[0].tolist()) <= {0, 1, 2}
        assert sorted(chosen[1].tolist()) == [-1, 4]
    both = torch.cat([saes.pick(allowed[:1], 1, torch.Generator().manual_seed(seed)) for seed in range(60)])
    assert set(both.flatten().tolist()) == {0, 1, 2}


def test_bands_hold_their_limits_and_share_l0():
    frequency = torch.tensor([0.0, 0.001, 0.01, 0.0101, 0.1, 0.2, 1.0])
    found = Dictionary("by hand", None, 0.9, float(frequency.sum()), frequency, "")
    assert found.band.tolist() == [-1, 0, 0, 1, 1, 2, 2]
    assert found.share_of_l0 == pytest.approx(
        {"rare": 0.011 / 1.3211, "middle": 0.1101 / 1.3211, "dense": 1.2 / 1.3211}, rel=1e-4
    )


def test_picks_by_band_are_of_as_many_bands_as_there_are():
    allowed = torch.tensor([[1, 1, 1, 1, 1, 1], [0, 0, 1, 1, 1, 0], [1, 0, 0, 0, 0, 0]]).bool()
    band = torch.tensor([0, 1, 2, 2, 2, 2])
    firsts = set()
    for seed in range(60):
        chosen = saes.pick_by_band(allowed, band, 3, torch.Generator().manual_seed(seed)).tolist()
        assert band[chosen[0]].sort().values.tolist() == [0, 1, 2]
        assert set(chosen[1]) == {2, 3, 4} and chosen[2] == [0, -1, -1]
        firsts.add(chosen[0][0])
    assert firsts == {0, 1, 2, 3, 4, 5}  # no band comes first always, and within one every latent may


def test_removing_and_adding_latents_changes_just_those_and_inverts():
    rng = torch.Generator().manual_seed(0)
    x = torch.randn(5, 16, generator=rng)
    rows = torch.linalg.qr(torch.randn(16, 16, generator=rng)).Q
    found = dictionary(topk(torch.cat([rows, -rows]), 6, b_dec=0.1 * torch.ones(16)), x)
    codes = found.encode(x)
    removed = saes.without(found, x, 2, torch.Generator().manual_seed(1))
    gone = (x - removed) @ found.rows.T  # what was removed, in the dictionary's own coordinates
    assert ((gone > 1e-4).sum(1) == 2).all()
    torch.testing.assert_close(gone[gone > 1e-4], codes[gone > 1e-4])
    torch.testing.assert_close(saes.without(found, x, 6, rng), found.error(x).neg() + 0.1)

    donors = torch.randn(5, 16, generator=rng)
    more = saes.with_more(found, x, donors, 3, torch.Generator().manual_seed(2))
    given = (more - x) @ found.rows.T
    new = given > 1e-4
    assert (new.sum(1) == 3).all() and not (new & (codes > 0)).any()
    torch.testing.assert_close(given[new], found.encode(donors)[new])


def test_built_activations_have_the_strengths_of_real_ones_and_if_structured_their_cosines():
    rng = torch.Generator().manual_seed(0)
    x = torch.randn(40, 8, generator=rng)
    rows = torch.nn.functional.normalize(torch.randn(400, 8, generator=rng), dim=-1)
    found = dictionary(topk(rows, 5), x)
    codes = found.encode(x)
    strengths = codes.sort(descending=True).values[:, :5]
    errors = {}
    for structured in (True, False):
        made = saes.built(found, x, structured, torch.Generator().manual_seed(1))
        # A sum of five rows is solved for exactly by the true latents; `_alike` is tried alone below.
        assert made.shape == x.shape and not torch.allclose(made, found.decode(codes))
        errors[structured] = made
    assert not torch.allclose(errors[True], errors[False])
    active = codes[0].argsort(descending=True)[:5]
    chosen = saes._alike(rows, found.frequency > 0, active, int(codes[1].argmax()))
    assert chosen[0] == codes[1].argmax() and len(set(chosen.tolist())) == 5
    wanted, got = rows[active[1:]] @ rows[active[0]], rows[chosen[1:]] @ rows[chosen[0]]
    assert (wanted - got).abs().max() < 0.1
    expected = strengths[0] @ rows[chosen]
    torch.testing.assert_close(saes.built(found, x[[0, 1]], True, rng)[0], expected, atol=1e-4, rtol=1e-4)


def test_principal_components_reconstruct_what_the_largest_of_them_hold():
    rng = torch.Generator().manual_seed(0)
    x = torch.randn(500, 12, generator=rng) * torch.linspace(3, 0.1, 12) + 1
    gaussian = Gaussian.fit(x)
    whole = saes.principal_components(gaussian, x, k=32)
    assert whole.sae.cfg.k == 3 and whole.l0 <= 3
    scores = (x - gaussian.mean.float()) @ gaussian.eigenvectors.float()
    kept = scores.abs().topk(3).values.square().sum()
    assert whole.explained_variance == pytest.approx(float(kept / scores.square().sum()), abs=1e-3)


# Loading --------------------------------------------------------------------------------------------------------------

HOOK = "blocks.1.hook_resid_pre"


@pytest.fixture
def fitting(gpt2, tokens, tmp_path):
    """Saves an SAE that explains the tiny model's activations, as a SAELens release lies on a disk; and those activations."""
    from plateaus_utils.activations import collect

    x = collect(gpt2, torch.randint(0, 256, (300, 6), generator=torch.Generator().manual_seed(3)), HOOK)
    gaussian = Gaussian.fit(x)

    def save(hook_name=HOOK, width=32, **metadata):
        rows = gaussian.eigenvectors.T[:, :width].float()
        sae = topk(torch.cat([rows, -rows]), 24, gaussian.mean.float()[:width], hook_name=hook_name, **metadata)
        sae.save_model(tmp_path / "release")
        return str(tmp_path / "release")

    return save, x


def test_saved_sae_is_read_back_with_its_codes(fitting, gpt2):
    save, x = fitting
    found = load_dictionary(save(), gpt2, HOOK, x)
    original = SAE.load_from_disk(found.name)
    torch.testing.assert_close(found.encode(x), original.encode(x))
    assert found.explained_variance > 0.9 and found.l0 <= 24
    assert load_dictionary(save(hook_name="blocks.0.hook_resid_post"), gpt2, HOOK, x).l0 == found.l0  # the same place
    assert (
        load_dictionary(save(explained_variance=found.explained_variance), gpt2, HOOK, x).fingerprint
        == found.fingerprint
    )


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"hook_name": "blocks.2.hook_resid_pre"}, "trained at blocks.2.hook_resid_pre"),
        ({"width": 16}, "encodes 16 dimensions"),
        ({"weight_processing": "none (RMSNorm)"}, "other weight processing"),
        ({"model_from_pretrained_kwargs": {"center_writing_weights": False}}, "other weight processing"),
        ({"explained_variance": 1.5}, "its card says 1.50"),
    ],
)
def test_sae_made_for_something_else_is_refused(fitting, gpt2, refused, options, words):
    save, x = fitting
    with refused(SAEError, words):
        load_dictionary(save(**options), gpt2, HOOK, x)


def test_sae_that_explains_little_is_refused_without_a_card_too(fitting, gpt2, refused):
    save, x = fitting
    with refused(SAEError, "no card states its own", "made for other activations"):
        load_dictionary(save(), gpt2, HOOK, 50 + 0.01 * x)


def test_input_normalization_is_refused(fitting, gpt2, refused):
    save, x = fitting
    folder = save()
    path = f"{folder}/cfg.json"
    with open(path) as file:
        config = json.load(file)
    with open(path, "w") as file:
        json.dump(config | {"normalize_activations": "layer_norm"}, file)
    with refused(SAEError, "layer_norm"):
        load_dictionary(folder, gpt2, HOOK, x)


@pytest.mark.parametrize("damage", ["cut", "missing", "empty"])
def test_damaged_folder_is_refused(fitting, gpt2, refused, damage, tmp_path):
    save, x = fitting
    save()
    weights = tmp_path / "release" / "sae_weights.safetensors"
    if damage == "missing":
        weights.unlink()
    else:
        weights.write_bytes(weights.read_bytes()[:500] if damage == "cut" else b"")
    with refused(SAEError, "cannot be read"):
        load_dictionary(str(tmp_path / "release"), gpt2, HOOK, x)
