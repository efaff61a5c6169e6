"""What a trained SAE is worth on text that it has not seen, and the model card that says so."""

from collections.abc import Callable

import numpy as np
import torch
from sae_lens import SAE

from .activations import collect_hooks
from .models import LanguageModel
from .saes import density, reconstruction

HELD_OUT = 0.1
"""Share of each corpus, at its end, that no SAE is trained on."""


@torch.no_grad()
def cross_entropies(
    model: LanguageModel, hook_name: str, tokens: torch.Tensor, replacements: dict[str, Callable]
) -> dict[str, float]:
    """Mean next-token cross-entropy (nats) of contexts, with activations of all positions but the first replaced."""
    totals = dict.fromkeys(replacements, 0.0)
    parts = tokens.split(8)
    for part in parts:
        for name, replace in replacements.items():

            def patch(stream: torch.Tensor, hook, replace=replace) -> torch.Tensor:
                return torch.cat([stream[:, :1], replace(stream[:, 1:])], 1)

            loss = model.bridge.run_with_hooks(part, return_type="loss", fwd_hooks=[(hook_name, patch)])
            totals[name] += float(loss) * len(part) / len(tokens)
    return totals


def assess(sae: SAE, model: LanguageModel, hook_name: str, train_set: np.ndarray, held_out: torch.Tensor) -> dict:
    """The numbers of a model card: reconstruction, cross-entropy and density.

    Args:
        train_set: [n_tokens, d_model] stored activations; the density is taken over 1 M of them, in steps of equal length.
        held_out: [n, CONTEXT] contexts.
    """
    activations = collect_hooks(model, held_out, [hook_name], 64, slice(1, None))[hook_name].flatten(0, 1)
    mean = activations.mean(0)
    losses = cross_entropies(
        model,
        hook_name,
        held_out[:: max(1, len(held_out) // 64)][:64],
        {"clean": lambda x: x, "sae": sae, "mean": lambda x: mean.expand_as(x), "zero": torch.zeros_like},
    )
    million = np.asarray(train_set[:: max(1, len(train_set) // 1_000_000)])
    share = density(sae, torch.from_numpy(million).float())
    edges = np.arange(-6, 0.01, 0.5)
    alive = share[share > 0].log10().clamp_min(-6).numpy()
    return {
        **reconstruction(sae, activations),
        "dead_share": float((share == 0).float().mean()),
        "cross_entropy": losses,
        "recovered_against_mean": (losses["mean"] - losses["sae"]) / (losses["mean"] - losses["clean"]),
        "recovered_against_zero": (losses["zero"] - losses["sae"]) / (losses["zero"] - losses["clean"]),
        "density_histogram": {f"{low:g}": int(n) for low, n in zip(edges, np.histogram(alive, edges)[0], strict=False)},
    }


def card(name: str, facts: dict) -> str:
    """A model card in Markdown from an SAE's metadata."""
    losses = ", ".join(f"{facts['cross_entropy'][how]:.3f}" for how in ("clean", "sae", "mean", "zero"))
    rows = "\n".join(f"| {low} | {n} |" for low, n in facts["density_histogram"].items())
    return f"""# {name}

A sparse autoencoder ({facts["architecture"]}, {facts["d_sae"]} latents) of {facts["model_name"]} ({facts["weights"]}) at
`{facts["hook_name"]}`, weight processing: {facts["weight_processing"]}. SAELens format; load it with
`sae_lens.SAE.load_from_disk`.

| training | |
| --- | --- |
| text | {", ".join(facts["corpora"])}, of each the first {1 - HELD_OUT:.0%} |
| contexts | {facts["context_size"]} tokens, all positions but the first, no beginning-of-sequence token |
| tokens | {facts["tokens"]:,} in {facts["steps"]:,} steps of {facts["batch_size"]:,} |
| seed | {facts["seed"]} |

| on held-out text (the last {HELD_OUT:.0%} of each corpus) | |
| --- | --- |
| explained variance about the mean | {facts["explained_variance"]:.4f} |
| L0 | {facts["l0"]:.1f} |
| cross-entropy: clean, with the SAE, mean-ablated, zero-ablated | {losses} nats |
| recovered against mean ablation | {facts["recovered_against_mean"]:.4f} |
| recovered against zero ablation | {facts["recovered_against_zero"]:.4f} |
| latents that never fire over a million tokens | {facts["dead_share"]:.1%} |

Latents by the decimal logarithm of the share of tokens on which they fire (lower edge of the bin):

| from | latents |
| --- | --- |
{rows}
"""
