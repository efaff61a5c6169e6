"""Sparse autoencoders through SAELens: loading with checks, codes, decoder directions, edited and built activations.

An SAE writes an activation as b_dec plus a sparse sum of decoder rows, x ≈ b_dec + Σᵢ zᵢ dᵢ, and the codes z are what
its encoder gives :cite:p:`bricken2023monosemanticity`. Names are SAELens': `W_dec` [d_sae, d_in], `encode`, `decode`.
"""

import hashlib
import json
import warnings
from dataclasses import dataclass
from pathlib import Path

import torch
from sae_lens import SAE, TopKSAE, TopKSAEConfig

from .activations import Gaussian
from .errors import SAEError
from .files import DATA
from .models import LanguageModel

SHIPPED = DATA / "saes"
"""The SAEs of the embedded model that come with this package, in SAELens' folder format."""

PRINCIPAL = "principal-components"

SEED = 0
"""Of the training of these SAEs, and of the fresh weights of the untrained network that one was trained on."""

CLOSE = 0.1
"""By how much explained variance may fall short of the model card's on the book's own activations."""
POOREST = 0.5
"""Least explained variance where a card states none: below it, an SAE was made for other activations."""

BANDS = {"rare": 0.01, "middle": 0.1, "dense": 1.0}
"""Frequency band -> the largest share of activations on which its latents are active. Dead latents are in none."""

BATCH = 2048


@dataclass(frozen=True, eq=False)
class Dictionary:
    """An SAE that fits a model's activations at a hook, and what it does on them."""

    name: str
    sae: SAE
    explained_variance: float
    """About the mean, on the activations that it was checked with."""
    l0: float
    frequency: torch.Tensor
    """[d_sae] share of those activations on which a latent is active."""
    fingerprint: str
    """SHA-256 of the weights."""

    @property
    def is_sae(self) -> bool:
        """Whether it was trained; principal components are a control."""
        return self.name != PRINCIPAL

    @property
    def rows(self) -> torch.Tensor:
        """Decoder rows [d_sae, d_model] of unit length: the latents' directions."""
        return torch.nn.functional.normalize(self.sae.W_dec.detach(), dim=-1)

    @property
    def alive(self) -> torch.Tensor:
        """Indices of the latents that are active at least once."""
        return torch.nonzero(self.frequency > 0).flatten()

    @property
    def dead(self) -> torch.Tensor:
        """Indices of the latents that never are."""
        return torch.nonzero(self.frequency == 0).flatten()

    @property
    def band(self) -> torch.Tensor:
        """[d_sae] the place of each latent's band in BANDS; -1 of dead ones."""
        return torch.bucketize(self.frequency, torch.tensor([0.0, *BANDS.values()][:-1])) - 1

    @property
    def share_of_l0(self) -> dict[str, float]:
        """Band -> which share of the latents active on an activation belongs to it, on average."""
        total = self.frequency.sum()
        return {name: float(self.frequency[self.band == i].sum() / total) for i, name in enumerate(BANDS)}

    @torch.no_grad()
    def encode(self, activations: torch.Tensor) -> torch.Tensor:
        """Codes [..., d_sae] of activations [..., d_model]."""
        parts = activations.reshape(-1, activations.shape[-1]).split(BATCH)
        return torch.cat([self.sae.encode(part) for part in parts]).view(*activations.shape[:-1], -1)

    @torch.no_grad()
    def decode(self, codes: torch.Tensor) -> torch.Tensor:
        """Activations [..., d_model] that codes [..., d_sae] stand for."""
        return self.sae.decode(codes)

    def error(self, activations: torch.Tensor) -> torch.Tensor:
        """SAE(x) - x, the step from an activation to its reconstruction."""
        return self.decode(self.encode(activations)) - activations


def load_dictionary(name: str, model: LanguageModel, hook_name: str, activations: torch.Tensor) -> Dictionary:
    """Load an SAE and refuse it where it was made for other activations.

    Args:
        name: an SAE that comes with the package, a local folder in SAELens' format, or `RELEASE:SAE_ID` of a SAELens
            release, such as `gpt2-small-res-jb:blocks.1.hook_resid_pre`.
        model: the model whose activations it is to encode.
        hook_name: where.
        activations: [n, d_model] of that model at that hook.

    Raises:
        SAEError: it cannot be found or read; its hook, width or weight processing is another one; or it explains the
            activations clearly worse than its card says.
    """
    sae = _read(name)
    _check_origin(name, sae, model, hook_name)
    dictionary = _described(name, sae, activations)
    stated = sae.cfg.metadata.explained_variance
    least = POOREST if stated is None else stated - CLOSE
    if not dictionary.explained_variance >= least:
        known = "no card states its own" if stated is None else f"its card says {stated:.2f}"
        raise SAEError(
            f"The SAE '{name}' explains {dictionary.explained_variance:.2f} of the variance of {model.name} at {hook_name} "
            f"({known}); it was made for other activations, so choose the SAE of this model, hook and weight processing."
        )
    return dictionary


def principal_components(gaussian: Gaussian, activations: torch.Tensor, k: int = 32) -> Dictionary:
    """A dictionary without training, as a control: both signs of each principal component, of which the k largest count.

    Args:
        gaussian: whose mean and eigenvectors it takes.
        activations: [n, d_model] to tell what it explains of.
    """
    d = len(gaussian.mean)
    sae = TopKSAE(TopKSAEConfig(d_in=d, d_sae=2 * d, k=min(k, max(2, d // 4))))
    rows = torch.cat([gaussian.eigenvectors.T, -gaussian.eigenvectors.T]).float()
    weights = {"W_enc": rows.T.contiguous(), "W_dec": rows, "b_enc": torch.zeros(2 * d), "b_dec": gaussian.mean.float()}
    sae.load_state_dict(weights)
    return _described(PRINCIPAL, sae.eval().requires_grad_(False), activations)


def _described(name: str, sae: SAE, activations: torch.Tensor) -> Dictionary:
    fit = reconstruction(sae, activations)
    return Dictionary(name, sae, fit["explained_variance"], fit["l0"], density(sae, activations), _fingerprint(sae))


def _read(name: str) -> SAE:
    """An SAE as SAELens reads it, with its many errors turned into one."""
    folder = SHIPPED / name if (SHIPPED / name).is_dir() else Path(name).expanduser()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # on how to load the model: checked below
            if folder.is_dir():
                sae = SAE.load_from_disk(folder, device="cpu", dtype="float32")
            else:
                release, separator, sae_id = name.partition(":")
                if not separator:
                    raise ValueError("no such folder, and no RELEASE:SAE_ID")
                sae = SAE.from_pretrained(release, sae_id, device="cpu", dtype="float32")
    except Exception as error:  # SAELens, safetensors and the hub's client raise a dozen unrelated types here
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0][:160].rstrip(".")
        raise SAEError(
            f"The SAE '{name}' cannot be read ({reason}); give one of {', '.join(shipped())}, a folder that SAELens saved, "
            "or RELEASE:SAE_ID of a SAELens release while the hub can be reached."
        ) from error
    return sae.eval().requires_grad_(False)


def shipped(model: LanguageModel | None = None, hook_name: str | None = None) -> list[str]:
    """Names of the SAEs that come with the package, sparsest first; of one model and hook if they are given."""
    facts = {path.parent.name: json.loads(path.read_text())["metadata"] for path in SHIPPED.glob("*/cfg.json")}
    names = sorted(facts, key=lambda name: (facts[name]["l0"], name))
    if model is None:
        return names
    return [name for name in names if (facts[name]["model_name"], facts[name]["hook_name"]) == (model.name, hook_name)]


def _check_origin(name: str, sae: SAE, model: LanguageModel, hook_name: str) -> None:
    """Refuse an SAE whose metadata names another hook, width or weight processing."""
    if sae.cfg.d_in != model.d_model:
        raise SAEError(
            f"The SAE '{name}' encodes {sae.cfg.d_in} dimensions, but the activations of {model.name} have "
            f"{model.d_model}; choose an SAE of this model."
        )
    if sae.cfg.normalize_activations != "none":
        raise SAEError(
            f"The SAE '{name}' normalizes its input ({sae.cfg.normalize_activations}), so that a latent is no fixed direction; "
            "choose one without."
        )
    facts = sae.cfg.metadata
    if facts.hook_name and model.layer_of(facts.hook_name) != model.layer_of(hook_name):
        raise SAEError(
            f"The SAE '{name}' was trained at {facts.hook_name}, not at {hook_name}; choose the layer of the SAE, or an SAE "
            "of this layer."
        )
    centred = (facts.model_from_pretrained_kwargs or {}).get("center_writing_weights")
    if facts.weight_processing not in (None, model.processing) or centred not in (None, model.centred):
        raise SAEError(
            f"The SAE '{name}' was trained with other weight processing "
            f"({facts.weight_processing or facts.model_from_pretrained_kwargs}) than {model.name} carries "
            f"({model.processing}); choose an SAE with the same."
        )


def _fingerprint(sae: SAE) -> str:
    digest = hashlib.sha256()
    for key, tensor in sorted(sae.state_dict().items()):
        digest.update(key.encode() + tensor.numpy().tobytes())
    return f"sha256:{digest.hexdigest()}"


# How well it does ---------------------------------------------------------------------------------------------------


@torch.no_grad()
def reconstruction(sae: SAE, activations: torch.Tensor) -> dict[str, float]:
    """Explained variance about the activations' mean, and L0, over activations [n, d_model]."""
    error, active = 0.0, 0
    for part in activations.split(BATCH):
        codes = sae.encode(part)
        error += float((sae.decode(codes) - part).square().sum())
        active += int((codes > 0).sum())
    spread = float((activations - activations.mean(0)).square().sum())
    return {"explained_variance": 1 - error / spread, "l0": active / len(activations)}


@torch.no_grad()
def density(sae: SAE, activations: torch.Tensor) -> torch.Tensor:
    """[d_sae] the share of activations [n, d_model] on which each latent is active."""
    counts = torch.zeros(sae.cfg.d_sae, dtype=torch.int64)
    for part in activations.split(BATCH):
        counts += (sae.encode(part) > 0).sum(0)
    return counts / len(activations)


# Choosing latents ---------------------------------------------------------------------------------------------------


def pick(allowed: torch.Tensor, k: int, rng: torch.Generator) -> torch.Tensor:
    """[n, k] k different latents of each row that `allowed` [n, d_sae] permits; -1 where a row permits fewer."""
    return _first(torch.rand(allowed.shape, generator=rng).masked_fill(~allowed, torch.inf), k)


def pick_by_band(allowed: torch.Tensor, band: torch.Tensor, k: int, rng: torch.Generator) -> torch.Tensor:
    """The same, of as many frequency bands as each row has: the bands take turns, in an order drawn for each row.

    Args:
        band: [d_sae] the place in BANDS of each latent that may be picked.
    """
    draws = torch.rand(len(allowed), allowed.shape[1] + len(BANDS), generator=rng)
    within, turn = draws[:, : allowed.shape[1]], draws[:, allowed.shape[1] :]
    place = torch.full(allowed.shape, torch.inf)
    for i in range(len(BANDS)):
        members = allowed & (band == i)
        # Two sorts make ranks: the first of every band come before the second of any.
        rank = within.masked_fill(~members, torch.inf).argsort(-1).argsort(-1)
        place = torch.where(members, rank + turn[:, i : i + 1], place)
    return _first(place, k)


def _first(place: torch.Tensor, k: int) -> torch.Tensor:
    """[n, k] the columns of the k smallest values in each row, in order; -1 where fewer are finite."""
    order = place.topk(min(k, place.shape[1]), dim=-1, largest=False)
    found = order.indices.masked_fill(order.values.isinf(), -1)
    return torch.nn.functional.pad(found, (0, k - found.shape[1]), value=-1)


# Activations --------------------------------------------------------------------------------------------------------


def without(dictionary: Dictionary, activations: torch.Tensor, k: int, rng: torch.Generator) -> torch.Tensor:
    """Activations [n, d_model] with k of their active latents removed; what the SAE does not explain stays."""
    codes = dictionary.encode(activations)
    return activations - dictionary.sae.decode(_only(codes, pick(codes > 0, k, rng))) + dictionary.sae.b_dec


def with_more(
    dictionary: Dictionary, activations: torch.Tensor, donors: torch.Tensor, k: int, rng: torch.Generator
) -> torch.Tensor:
    """Activations [n, d_model] with k latents added that are active on the donors [n, d_model] alone, as strong as there."""
    codes, given = dictionary.encode(activations), dictionary.encode(donors)
    chosen = pick((given > 0) & (codes <= 0), k, rng)
    return activations + dictionary.sae.decode(_only(given, chosen)) - dictionary.sae.b_dec


def _only(codes: torch.Tensor, chosen: torch.Tensor) -> torch.Tensor:
    """Codes [n, d_sae] of the chosen latents [n, k] alone; -1 stands for none."""
    kept = torch.zeros(len(codes), codes.shape[1] + 1, dtype=torch.bool)
    kept.scatter_(1, torch.where(chosen < 0, codes.shape[1], chosen), True)
    return codes * kept[:, :-1]


def built(
    dictionary: Dictionary, activations: torch.Tensor, structured: bool, rng: torch.Generator, shift: int = 1
) -> torch.Tensor:
    """Activations [n, d_model] made of other latents than the given ones, as many and as strong.

    `structured`: the strongest latent is that of the activation `shift` places before, and every further one has nearly the
    same cosine with it as the replaced latent had with its strongest one :cite:p:`giglemiani2024synthetic`. Otherwise all are
    drawn at random from the latents that are alive.
    """
    codes = dictionary.encode(activations)
    rows, alive = dictionary.rows, dictionary.frequency > 0
    tops = codes.argmax(-1)
    new_tops = tops.roll(shift)
    found = torch.zeros_like(codes)
    for i, code in enumerate(codes):
        active = torch.nonzero(code > 0).flatten()
        active = active[code[active].argsort(descending=True)]
        top = int(new_tops[i])
        chosen = _alike(rows, alive, active, top) if structured else pick(alive[None], len(active), rng)[0]
        found[i, chosen] = code[active]
    return dictionary.decode(found)


def _alike(rows: torch.Tensor, alive: torch.Tensor, active: torch.Tensor, top: int) -> torch.Tensor:
    """As many latents as `active` [k], the first `top`, with the same cosines to the first, one after the other."""
    wanted = rows[active[1:]] @ rows[active[0]]
    cosines = (rows @ rows[top]).masked_fill(~alive, torch.inf)
    chosen = [top]
    cosines[top] = torch.inf
    for cosine in wanted:
        chosen.append(int((cosines - cosine).abs().argmin()))
        cosines[chosen[-1]] = torch.inf
    return torch.tensor(chosen)
