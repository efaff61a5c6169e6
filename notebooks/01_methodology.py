# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Methodology
#
# **Question.** What exactly is perturbed, along which path, and what is read off?
#
# **In one sentence.** {glue:text}`one_sentence`
#
# This page defines everything that the later chapters measure, each definition with a small live example on
# {glue:text}`model_description`.
#
# | | |
# | --- | --- |
# | prerequisites | {doc}`/book/background`; terms are in the {doc}`/book/glossary` |
# | run time | about a minute on two cores after set-up |

# %%
import numpy as np
import torch
from myst_nb import glue

from plateaus_utils import arguments, directions, effects, experiments, patching, paths, plotting, quantities
from plateaus_utils.book import tables
from plateaus_utils.findings import methodology as findings

# %% tags=["parameters"]
profile: str = "quick"  # name of the parameter file in profiles/
results_dir: str = "results/quick"  # folder of the results, relative to the checkout
model: str = "smollm2-135m-instruct"  # embedded model, Hugging Face hub id, local folder, or .gguf file
corpus: str = "wikipedia+lee"  # packaged corpora (wikipedia, lee), hub dataset ids or local files, joined by +
layer: int = 1  # block whose input is perturbed; 0 is the first
seq_len: int = 10  # tokens in a prompt
seed: int = 0  # of prompts, targets and examples
prepend_bos: bool = False  # whether a beginning-of-sequence token takes the first place
n_prompts: int = 300  # base prompts that decide, one for each document as long as documents last
n_others: int = 20000  # activations for targets and for the Gaussian
shrinkage: bool = False  # Ledoit-Wolf shrinkage of the covariance, for few activations
device: str = "auto"  # auto, cpu, cuda or mps
dtype: str = "float32"  # floating-point type of the model

# %% [markdown]
# ## Model and prompts
#
# `prepare` loads the model, cuts the corpus into sequences of equal length, and collects the residual stream at the hook
# for each. Bases (perturbed) and others (targets) come from different documents.

# %%
arguments.check_injected(In)
setting = experiments.prepare(
    model, results_dir, corpus=corpus, layer=layer, seq_len=seq_len,
    n_prompts=n_prompts, n_others=n_others, seed=seed, prepend_bos=prepend_bos,
    shrinkage=shrinkage, device=device, dtype=dtype)
lm = setting.model
print(lm.description)
print(f"{lm.n_layers} blocks, d_model {lm.d_model}, {lm.normalization}; weight processing: {lm.processing}")

# %% tags=["remove-cell"]
glue("model_description", lm.description, display=False)
glue("normalization", lm.normalization, display=False)
glue("processing", lm.processing, display=False)
glue("hook", setting.hook_name, display=False)
glue("n_bases", setting.n_prompts, display=False)
glue("n_others_used", len(setting.others), display=False)
glue("n_documents", len(np.unique(setting.documents)), display=False)
glue("seq_len_used", seq_len, display=False)
glue("n_layers", lm.n_layers, display=False)
glue("one_sentence",
     f"At {setting.hook_name}, the last position of {seq_len}-token sequences is moved along a path away from its own "
     f"activation, and the next-token distribution and the last block's output are compared with the unperturbed run.",
     display=False)

# %% [markdown]
# The {glue:text}`n_bases` bases come from {glue:text}`n_documents` documents, the {glue:text}`n_others_used` other
# activations from the remaining ones. No sequence crosses a document or occurs twice. Unless the parameter says so, no
# beginning-of-sequence token is added, as in the report {cite:p}`heimersheim2024plateaus`. A few bases, chosen at random:

# %%
for tokens in setting.bases.tokens[:6]:
    print(repr(lm.tokenizer.decode(tokens)))

# %% [markdown]
# ```{admonition} Weight processing
# :class: note
# This model normalizes with {glue:text}`normalization`; weight processing applied: {glue:text}`processing`.
# A LayerNorm subtracts the mean over the hidden dimensions before it reads the stream, so the part of every weight that
# writes that mean can be removed without changing the function; TransformerLens does so, and folds the norm's own
# weights into the next matrix {cite:p}`nanda2022transformerlens`. Activations then have zero mean over the hidden
# dimensions, as in the report. An RMSNorm does not subtract the mean: adding a constant to all dimensions changes its
# output, so centring would change the model, and such models are left as they are.
# ```
#
# ## Activations
#
# Perturbed is {glue:text}`hook`, the last position only. Real activations are far from isotropic: a few directions carry
# most of the variance, and all activations share a large mean. Random activations are therefore drawn from a Gaussian with
# the mean and covariance of real ones, through the eigenvectors of the covariance matrix.

# %% mystnb={"figure": {"caption": "Eigenvalues of the covariance of real activations (left), and the share of variance that the leading ones carry together (right).", "name": "fig-spectrum"}}
fig = plotting.spectrum(setting.gaussian)
plotting.show(
    fig, "Two line plots: eigenvalues against rank on logarithmic axes, and the cumulative share of variance.")

# %% tags=["remove-cell"]
real = setting.other_activations
mean = setting.gaussian.mean.float()
glue("participation", f"{setting.gaussian.participation_ratio:.0f}", display=False)
glue("d_model", lm.d_model, display=False)
glue("first_share", f"{float(setting.gaussian.eigenvalues[0] / setting.gaussian.eigenvalues.sum()):.0%}", display=False)
glue("mean_share", f"{float(mean.norm() / real.norm(dim=-1).median()):.2f}", display=False)
glue("median_norm", f"{float(real.norm(dim=-1).median()):.1f}", display=False)
glue("hidden_mean", f"{float(real.mean(-1).abs().max()):.1e}", display=False)

# %% [markdown]
# The leading direction carries {glue:text}`first_share` of the variance, and the participation ratio
# $(\mathrm{tr}\,C)^2/\mathrm{tr}\,C^2$ says that about {glue:text}`participation` of {glue:text}`d_model` directions share
# it. The mean of all activations has {glue:text}`mean_share` times the median norm ({glue:text}`median_norm`): an angle
# measured about the origin is not an angle about the data. The largest mean over the hidden dimensions of any activation is
# {glue:text}`hidden_mean`.

# %% mystnb={"figure": {"caption": "Norms (left) and distances to the mean of real activations (right), for real activations, Gaussian samples with their mean and covariance, and isotropic vectors with the norms of the bases.", "name": "fig-norms"}}
lengths = findings.activation_lengths(setting)  # [kind, vector]
fig = plotting.histogram_panels(lengths.norm, lengths.distance, by="kind")
plotting.show(
    fig, "Outlined histograms of norms and of distances to the mean, for real, random and naive activations.")

# %% [markdown]
# ## Directions
#
# A direction says where to. The report's two kinds lead from the base $b$ to a target: *random*, $g - b$ with $g$ a Gaussian
# sample, and *real-other*, $r - b$ with $r$ the activation of an unrelated prompt. Both contain $-b$, so part of every such
# step shrinks the base; *mixtures* $g_1 - g_2$ and $r_1 - r_2$ do not {cite:p}`lee2024sensitive`. The cosine of a direction
# with the base shows how much:

# %%
draws = setting.draws(2)
for kind in ("random", "real-other", "naive", "random mixture", "real mixture"):
    vectors = directions.directions(kind, setting.base_activations, draws)
    cosine = torch.cosine_similarity(vectors, setting.base_activations[:, None], dim=-1)
    print(f"{kind:>15}: median cosine with the base {cosine.quantile(0.5):+z.2f}")

# %% [markdown]
# ## Paths
#
# Let $u$ be the unit direction and $u_\perp$ its unit part orthogonal to $b$.
#
# $$\begin{aligned}
# x(\alpha) &= b + \alpha\,\lVert b\rVert\,u \quad\text{(straight)} \\
# x(\theta) &= \cos\theta\; b + \sin\theta\;\lVert b\rVert\,u_\perp \quad\text{(sphere)}
# \end{aligned}$$
#
# Sizes are $\alpha$, in units of the base's norm, or the angle $\theta$. On the sphere only the part of a direction that is
# orthogonal to the base counts, and all paths meet again at $-b$.

# %% mystnb={"figure": {"caption": "The two kinds of path in the plane of the base and a direction. The sphere path keeps the norm and ends at the antipode; the straight path adds a growing multiple of the direction.", "name": "fig-paths"}}
fig = plotting.path_sketch()
plotting.show(
    fig, "A half circle from b to minus b with marks at 30, 60 and 90 degrees, and a straight line leaving b.")

# %%
base, direction = setting.base_activations[0], directions.directions("random", setting.base_activations, draws)[0, 0]
points = paths.sphere(base, direction, torch.tensor([0.0, 45.0, 90.0, 180.0]))
print("norms on the sphere:", [f"{norm:.3f}" for norm in points.norm(dim=-1)])
print("cosine with the base:", [f"{c:+z.3f}" for c in torch.cosine_similarity(points, base[None])])

# %% [markdown]
# ## Effects
#
# A point of the path replaces the activation, and the rest of the network runs on. Because attention is causal, nothing
# before the last position changes: `Suffix` keeps the keys and values of the earlier positions and sends thousands of points
# through the later blocks at once. It agrees with the full forward pass:

# %%
suffix = patching.Suffix(lm, setting.bases.tokens[:1], setting.hook_name)
with torch.no_grad():
    logits = suffix(points[None]).logits[0]
full = patching.full_forward(lm, setting.bases.tokens[0], setting.hook_name, points)
gap = (logits.log_softmax(-1) - full.log_softmax(-1)).abs().max()
print(f"largest difference in log-probability: {gap:.1e}")

# %% [markdown]
# The main effect is $\mathrm{KL}(p_{\text{base}}\,\Vert\,p_{\text{perturbed}})$ of the next-token distributions, in nats.
# Beside it stand the $L_2$ distance and the cosine of the last block's output, before the final norm and of the normalized
# stream, and whether the most probable token changes. Zero perturbation gives the noise floor:

# %%
floor = effects.measure(suffix, suffix.base[:, None].repeat(1, 4, 1), names=("kl", "l2", "cosine"))
print({name: f"{float(values.abs().max()):.1e}" for name, values in floor.items()})

# %% [markdown]
# ## Sensitivity
#
# The *threshold size* is the smallest size at which KL reaches 0.5 nats; a curve that never does is *censored* at the largest
# size tried. One curve, for a prompt chosen at random with the seed, with the tokens that lead somewhere along the way:

# %%
example = int(np.random.default_rng(seed).integers(setting.n_prompts))
angles = torch.linspace(0, 180, 73)
base = setting.base_activations[example]
direction = directions.directions("random", setting.base_activations, draws)[example, 0]
suffix = patching.Suffix(lm, setting.bases.tokens[example:example + 1], setting.hook_name)
path = paths.sphere(base, direction, angles)[None]
kl = findings.curve(angles, effects.measure(suffix, path)["kl"][0])
threshold = float(quantities.crossing(kl))

# %% mystnb={"figure": {"caption": "One prompt, chosen at random, and one random direction in sphere mode: KL divergence (top) and the probabilities of all tokens that are the most probable one somewhere on the path (bottom). Dotted: the threshold of 0.5 nats. Dashed: the threshold size.", "name": "fig-one-curve"}}
with torch.no_grad():
    probabilities = torch.cat([suffix(part).logits[0].softmax(-1) for part in path.split(24, 1)])
tokens = findings.leading_tokens(probabilities, angles.numpy(), lm.tokenizer)
fig = plotting.token_curve(kl, tokens, threshold)
plotting.show(fig, "KL divergence against angle, and below it the probabilities of the leading tokens.")

# %% tags=["remove-cell"]
glue("example_prompt", repr(lm.tokenizer.decode(setting.bases.tokens[example])), display=False)
glue("example_threshold", f"{threshold:.1f}°" if np.isfinite(threshold) else "no angle up to 180°", display=False)

# %% [markdown]
# The prompt is {glue:text}`example_prompt`; the KL divergence reaches the threshold at {glue:text}`example_threshold`.
#
# From a curve we also take: its *area* (mean of KL relative to its value at 90°), its *rise* (from 10 % to 90 % of that value)
# and the size at its steepest step. Between two real activations $A$ and $B$ we take the *width*, from 10 % to 90 % of
# $d = \lVert x - x_A\rVert / (\lVert x - x_A\rVert + \lVert x - x_B\rVert)$ at the read-off, and the *maximal slope* of
# $\lVert x - x_A\rVert$ relative to its value at $B$; a straight line gives 0.8 and 1.
#
# ## Statistics
#
# The unit of replication is the prompt. Directions of one prompt are averaged or compared within it, never counted as further
# samples. Intervals are central 95 % intervals of a bootstrap that resamples documents, so that prompts of one article stay
# together {cite:p}`efron1993bootstrap`. Two kinds are separated by the area under the ROC curve (AUROC), the probability that
# a size of one kind exceeds one of the other; censored sizes rank above all others.
#
# ## What this page does not show
#
# No finding: every example here is a single prompt or a single draw. The chapters that follow measure {glue:text}`n_bases`
# prompts each.
#
# ## Versions

# %%
tables.provenance(setting.provenance)
