"""Patched runs against the run on their base: divergence of next-token distributions, distance in late activations."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch

from .errors import ActivationError, ParameterError
from .patching import Readout, Suffix


def kl_divergence(logits_p: torch.Tensor, logits_q: torch.Tensor) -> torch.Tensor:
    """KL(p ‖ q) in nats of softmax distributions, over the last axis.

    With z the difference q − p of the logits, less its mean under p, KL = log E_p[exp z] = log(1 + E_p[exp z − 1 − z]):
    no term is negative and nothing large cancels, so that values far below float32's resolution of the logits remain.
    """
    logits_p, logits_q = logits_p.float(), logits_q.float()
    p = logits_p.softmax(-1)
    z = logits_q - logits_p
    z = z - (p * z).sum(-1, keepdim=True)
    largest = z.amax(-1)
    if (largest <= 60).all():
        return torch.log1p((p * (z.expm1() - z)).sum(-1))
    near = torch.log1p((p * (z.clamp_max(60).expm1() - z)).sum(-1))
    # Where the exponential would overflow, the divergence is large enough for a formula that loses what is small.
    log_p, log_q = logits_p.log_softmax(-1), logits_q.log_softmax(-1)
    far = torch.logsumexp(log_p + z, -1).clamp_min(0)
    # A logit of minus infinity leaves no finite z; a token that p rules out counts in neither distribution's favour.
    ruled_out = (p * (log_p - log_q)).masked_fill(p == 0, 0).sum(-1)
    return torch.where(largest.isfinite(), torch.where(largest > 60, far, near), ruled_out)


@dataclass(frozen=True)
class Effect:
    """One way to compare patched runs with the run on their base."""

    name: str
    description: str
    unit: str
    axis: str
    """What axes of figures say."""
    function: Callable[[Readout, Readout], torch.Tensor]
    """(readout of references, readout of points) -> [n_prompts, n_references, n_points]."""


def _of_logits(function: Callable[[torch.Tensor, torch.Tensor], torch.Tensor]) -> Callable:
    """An effect from a function of logits (base [1, d_vocab], perturbed [n_points, d_vocab]) -> [n_points]."""

    # Prompt by prompt, so that the temporaries over the vocabulary stay in the processor's cache.
    def effect(reference: Readout, readout: Readout) -> torch.Tensor:
        return torch.stack(
            [
                torch.stack([function(base, perturbed) for base in bases.split(1)])
                for bases, perturbed in zip(reference.logits, readout.logits, strict=True)
            ]
        )

    return effect


def _of_stream(read: str, function: Callable[[torch.Tensor, torch.Tensor], torch.Tensor]) -> Callable:
    """An effect from a function of a late stream (perturbed, base [..., d_model]) -> [...]; `read` is a field of Readout."""
    return lambda reference, readout: function(getattr(readout, read)[:, None], getattr(reference, read)[:, :, None])


def _distance(perturbed: torch.Tensor, base: torch.Tensor) -> torch.Tensor:
    return (perturbed - base).norm(dim=-1)


def _cosine(perturbed: torch.Tensor, base: torch.Tensor) -> torch.Tensor:
    return torch.cosine_similarity(perturbed, base, dim=-1)


def _entropy(_: torch.Tensor, perturbed: torch.Tensor) -> torch.Tensor:
    return torch.distributions.Categorical(logits=perturbed.float()).entropy()


_LATE = "at the last block's output, before the final norm"

EFFECTS = {
    effect.name: effect
    for effect in (
        Effect(
            "kl", "KL(base ‖ perturbed) of the next-token distributions", "nats", "KL divergence (nats)",
            _of_logits(kl_divergence),
        ),
        Effect(
            "kl_reverse", "KL(perturbed ‖ base) of the next-token distributions", "nats", "reverse KL divergence (nats)",
            _of_logits(lambda base, perturbed: kl_divergence(perturbed, base)),
        ),
        Effect(
            "l2", f"L2 distance {_LATE}", "activation units", "L2 at last block", _of_stream("resid_post", _distance)
        ),
        Effect(
            "l2_normalized", "L2 distance of the normalized final stream", "normalized units", "L2, normalized",
            _of_stream("normalized", _distance),
        ),
        Effect("cosine", f"cosine similarity {_LATE}", "", "cosine at last block", _of_stream("resid_post", _cosine)),
        Effect(
            "cosine_normalized", "cosine similarity of the normalized final stream", "", "cosine, normalized",
            _of_stream("normalized", _cosine),
        ),
        Effect(
            "top_changed", "1 where the most probable next token differs from the base's", "",
            "share with another top token", _of_logits(lambda base, perturbed: perturbed.argmax(-1) != base.argmax(-1)),
        ),
        Effect(
            "entropy", "entropy of the perturbed next-token distribution", "nats", "entropy of the output (nats)",
            _of_logits(_entropy),
        ),
    )
}  # fmt: skip
"""Name -> effect. Experiments measure and figures label whatever stands here."""


@torch.no_grad()
def measure(
    suffix: Suffix,
    points: torch.Tensor,
    references: torch.Tensor | Readout | None = None,
    names: Sequence[str] = ("kl",),
) -> dict[str, torch.Tensor]:
    """Effects of many points, reduced batch by batch so that memory does not grow with their number.

    Args:
        points: [n_prompts, n_points, d_model], or [n_prompts, n_points, n_positions, d_model] for several
            patched positions.
        references: [n_prompts, n_references, ...] what the points are compared with; the clean activation by
            default. They run in the same batches as the points, so that rounding is shared; or a
            precomputed Readout, for effects far above rounding.
        names: keys of EFFECTS.

    Returns:
        For each name a float32 tensor [n_prompts, n_points] on the CPU, with an axis n_references before the last if
        `references` was given.

    Raises:
        ParameterError: a name is no effect.
        ActivationError: a point is not finite or too long for float32, or an effect is not finite.

    Example:
        >>> import plateaus_utils as pu
        >>> model = pu.load_model("tiny-random-gpt2", device="cpu")
        >>> tokens = torch.tensor([model.tokenizer.encode("A sentence.")])
        >>> suffix = pu.Suffix(model, tokens, model.default_hook)
        >>> points = pu.sphere(suffix.base, torch.randn(1, 32), torch.tensor([0.0, 45.0, 90.0]))
        >>> found = pu.measure(suffix, points, names=("kl", "cosine"))
        >>> found["kl"].shape, float(found["kl"][0, 0])
        (torch.Size([1, 3]), 0.0)
    """
    if unknown := set(names) - set(EFFECTS):
        raise ParameterError(
            f"There is no effect named {', '.join(sorted(unknown))}; choose from {', '.join(EFFECTS)}."
        )
    is_clean = references is None
    references = suffix.base.unsqueeze(1) if is_clean else references
    found: dict[str, list[torch.Tensor]] = {name: [] for name in names}
    for part in suffix.batches(points.shape[1]):
        batch = points[:, part].to(suffix.base)
        if isinstance(references, Readout):
            reference, readout = references, suffix(batch)
        else:
            both, n = suffix(torch.cat([references.to(batch), batch], 1)), references.shape[1]
            reference, readout = both.of_points(slice(n)), both.of_points(slice(n, None))
        for name in names:
            effect = EFFECTS[name].function(reference, readout).float().cpu()
            if not effect.isfinite().all():
                raise ActivationError(
                    f"The effect '{name}' is not finite at a point; choose points nearer to the model's own activations."
                )
            found[name].append(effect)
    whole = {name: torch.cat(parts, 2) for name, parts in found.items()}
    return {name: values[:, 0] for name, values in whole.items()} if is_clean else whole


def top_tokens(logits: torch.Tensor, tokenizer, k: int = 5) -> list[list[tuple[str, float]]]:
    """The k most probable next tokens and their probabilities, for each row of logits [n, d_vocab]."""
    probabilities, tokens = logits.float().softmax(-1).topk(k)
    return [
        [(tokenizer.decode([int(t)]), float(p)) for t, p in zip(row_t, row_p, strict=True)]
        for row_t, row_p in zip(tokens, probabilities, strict=True)
    ]
