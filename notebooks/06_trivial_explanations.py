# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Trivial explanations
#
# **Question.** The report asked its readers for trivial explanations. Which of those that were offered survive a test?
#
# **Answer for this run** ({glue:text}`studied`). {glue:text}`answer`
#
# | | |
# | --- | --- |
# | prerequisites | {doc}`02_activation_plateaus`, {doc}`03_sensitive_directions` |
# | run time | about five minutes on two cores |
# | what decides | {glue:text}`n_prompts_used` prompts from {glue:text}`n_documents_used` documents, {glue:text}`n_early` directions of either kind at the default block, {glue:text}`n_late` at the last |
# | what the rest shows | the first {glue:text}`n_prompts_shown` of them, from {glue:text}`n_documents_shown` documents, where nothing else is said |

# %%
from plateaus_utils import arguments, claims, contrasts, estimates, experiments, plotting, quantities
from plateaus_utils.book import accounts, prose, tables, verdicts
from plateaus_utils.experiments import explanations, sensitive
from plateaus_utils.findings import curvature
from plateaus_utils.findings import explanations as findings
from plateaus_utils.primaries import explanations as primaries

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
n_shown: int = 60  # those of them that curves, maps and illustrations show
n_others: int = 20000  # activations for targets and for the Gaussian
shrinkage: bool = False  # Ledoit-Wolf shrinkage of the covariance, for few activations
device: str = "auto"  # auto, cpu, cuda or mps
dtype: str = "float32"  # floating-point type of the model

# %%
arguments.check_injected(In)
full = experiments.prepare(
    model, results_dir, corpus=corpus, layer=layer, seq_len=seq_len,
    n_prompts=n_prompts, n_others=n_others, seed=seed, prepend_bos=prepend_bos,
    shrinkage=shrinkage, device=device, dtype=dtype)
setting = full.first(min(n_shown, n_prompts))
judge = claims.Judge(full.folder, full.made_by, available=full.n_documents_available)
print(full.description, corpus, sep=", ")

# %% [markdown]
# ## Is it more than a smooth function?
#
# Every smooth divergence is quadratic at its minimum and therefore looks flat there. So the quadratic form itself is computed at each
# base: KL is half the Fisher form, $\tfrac12\,\delta^\top F\,\delta$, and $\delta^\top F\,\delta$ is the variance of the logits'
# derivative along $\delta$ under the output distribution, one forward-mode derivative through the suffix. On the sphere the chord
# $\delta = (\cos\theta-1)\,b + \sin\theta\,\lVert b\rVert u_\perp$ turns, so the form is the Gram matrix of $b$ and
# $\lVert b\rVert u_\perp$. Two numbers say how a curve relates to it:
#
# - its **curvature** at the base, the quadratic form's KL over the squared angle, $\tfrac12\lVert b\rVert^2\,u_\perp^\top F\,u_\perp$;
# - its **edge**, the smallest angle at which the measured KL exceeds {glue:text}`edge_factor` times the quadratic.
#
# A curve that is its own quadratic has no edge, and its curvature alone says where it reaches {glue:text}`level` nats.

# %%
by_base, by_kind = curvature.around_bases(setting), curvature.along_kinds(setting)

# %% mystnb={"figure": {"caption": "Measured KL over the quadratic at the same angle, by kind of base (left, random directions) and by kind of direction from real bases (right). Median and quartiles over prompts; dotted: an exact quadratic; dashed: where a curve has its edge.", "name": "fig-quadratic"}}
fig = plotting.quadratic_panels(by_base.ratio, by_kind.ratio)
plotting.show(
    fig, "Ratio of measured to predicted KL against angle on a logarithmic scale, for kinds of base and of direction.")

# %% [markdown]
# Kinds of base, random directions; the quadratic's threshold beside the measured one. *Never* is the share of paths within 180°.

# %%
tables.columns(curvature.medians(by_base), "#.3g")

# %% [markdown]
# The curvature at Gaussian bases is {glue:text}`curvature_ratio` times that at real ones (geometric mean over
# {glue:text}`n_documents_shown` documents). With it the quadratic puts the threshold around Gaussian bases at
# {glue:text}`predicted_random`, where {glue:text}`measured_random` is measured. Around real bases it never reaches the threshold on
# {glue:text}`never_real` of the paths, where the measured threshold is {glue:text}`measured_real`: {glue:text}`flat_then_edge`. The
# exponent of KL close to the base is on {doc}`02_activation_plateaus`.
#
# ### Curvature and directions
#
# Methods that look for sensitive directions by the Jacobian or by the eigenvectors of the Fisher matrix rank directions by curvature. Does
# curvature tell real-other directions from random ones? Kinds of direction from real bases:

# %%
tables.columns(curvature.medians(by_kind), "#.3g")

# %% [markdown]
# And on all prompts, with the thresholds of {doc}`03_sensitive_directions`, inside each prompt:

# %%
directions = curvature.of_directions(full)  # [prompt, kind, direction]
separation = curvature.separation(directions)
tables.columns({"within prompts [95 %]": separation})

# %%
explained = curvature.explained(directions)
tables.columns({"curvature and threshold angle [95 %]": explained})

# %% mystnb={"figure": {"caption": "Curvature at the base and threshold angle. Left: between prompts, the geometric mean of a prompt's directions. Right: within prompts, each direction over the mean of its prompt; dotted: what a quadratic gives at small angles, the angle falling with the square root of the curvature.", "name": "fig-curvature"}}
fig = plotting.between_and_within(directions.curvature, directions.angle, by="kind", slope=-0.5)
plotting.show(fig, "Threshold angle against curvature on logarithmic axes, between prompts and within prompts.")

# %% [markdown]
# {glue:text}`curvature_says` A direction's curvature says how fast the output begins to move, not where the curve has its edge; methods
# that use the Jacobian or the Fisher matrix at the base see the first alone.
#
# ## Does the effect sit in the output?
#
# If it came from the final norm, the unembedding or the softmax, perturbing the last block's input would show it as well
# (the report saw the difference vanish there). All prompts, {glue:text}`n_early` directions of either kind at the default block and {glue:text}`n_late` at the last; at the last block the Gaussian
# is fitted to {glue:text}`n_others_late` activations with a shrunk covariance:

# %%
blocks = explanations.at_blocks(full)
early = sensitive.many_directions(full).threshold.sel(kind=["random", "real-other"])
late = explanations.late_directions(blocks).threshold

# %%
by_block = findings.by_block({layer: early, max(blocks): late})
tables.columns({"within-prompt AUROC, random against real-other [95 %]": by_block})

# %% [markdown]
# Late activations say the same from the other side: {numref}`fig-kinds-sphere` shows the L2 distance before the final norm beside KL.
# Separation of random from real-other directions by the angle at which each effect first reaches half of its median value at 90°:

# %%
by_effect = findings.auroc_by_effect(sensitive.direction_curves(setting, "sphere"))
tables.columns({"within-prompt AUROC, random against real-other": by_effect})

# %% [markdown]
# ## Layer by layer

# %%
sweep = explanations.layer_thresholds({i: at.first(setting.n_prompts) for i, at in blocks.items()})

# %% mystnb={"figure": {"caption": "Perturbing the input of different blocks. Left: median threshold angle around real and Gaussian bases (random directions) and along real-other directions. Right: within-prompt AUROC of real against Gaussian bases (plateau effect) and of random against real-other directions (direction effect), two directions each. Bands: 95 percent intervals over documents; what lies beyond the range is drawn at its limit.", "name": "fig-layers"}}
fig = plotting.layer_panels(findings.sizes_by_layer(sweep), findings.separation_by_layer(sweep))
plotting.show(fig, "Threshold angle and AUROC against the perturbed block.")

# %% [markdown]
# ## Untrained weights
#
# An absolute threshold may never be reached in an untrained network, so curves are compared relative to their value at 90°: the angle
# at which half of it is reached, and the separation within prompts that this angle gives.

# %%
half_way = findings.half_way_by_network(setting)  # [network, effect]
tables.matrix(half_way)

# %% [markdown]
# ## How far is far?
#
# A yardstick of natural variation: swap the activation for that of another prompt, with the same last token or any.

# %%
tables.matrix(findings.natural_variation(setting), spec="#.3g")

# %% [markdown]
# *angle* in degrees, *distance* in norms of the base, *kl* in nats. A threshold angle below the angle between two activations of the same
# token is a change that the network meets on real text.
#
# ## Real, realistic, or just belonging here?
#
# Bases that separate these: a real activation of another prompt with the same last token; of any other prompt (*foreign*); the midpoint of
# two real ones; one whose principal component scores come from different activations; a Gaussian sample; the dataset mean; an isotropic
# vector. All are inserted into the prompt and perturbed towards the same Gaussian targets. No other prompt ends in the token of some
# bases; *same token* is judged on the {glue:text}`n_same_token` prompts that have one.
#
# These bases differ in norm, and an angle is a shorter way around a short base. So the straight distance that a threshold angle stands
# for, its *chord*, is shown beside it.

# %%
controls = explanations.base_controls(setting)
angles, chords = findings.control_medians(controls), findings.control_chords(controls)

# %% mystnb={"figure": {"caption": "Around each kind of base, random directions, sphere mode: threshold angle and the chord that belongs to it (median and 95 percent interval), and entropy of the next-token distribution there (median and quartiles over prompts).", "name": "fig-controls"}}
fig = plotting.dots({
    "threshold angle (degrees)": angles, "its chord (activation units)": chords,
    "entropy (nats)": findings.control_entropies(controls)})
plotting.show(fig, "Threshold angles, chords and output entropies for eight kinds of base.")

# %%
tables.columns({
    "norm of the base": findings.control_norms(controls),
    "threshold angle (degrees)": angles, "its chord (activation units)": chords})

# %% [markdown]
# The mean of all activations has a threshold angle of {glue:text}`angle_mean`, a chord of {glue:text}`chord_mean` activation units; a real
# base one of {glue:text}`angle_real`, a chord of {glue:text}`chord_real`. Against Gaussian bases, within prompts:

# %%
against_gaussian = findings.above_gaussian(controls)  # [base, measure]
tables.matrix(against_gaussian, heading="AUROC, above Gaussian base, by {}")

# %%
same_token = findings.same_token(controls)
tables.comparison(same_token, "base", "real")

# %% [markdown]
# ## With a beginning-of-sequence token
#
# The direction effect, random against real-other, with the other choice of `prepend_bos` (the plateau effect is on
# {doc}`02_activation_plateaus`):

# %%
with_bos = setting.replace(prepend_bos=not prepend_bos)
bos = experiments.threshold_sizes(with_bos, "direction_thresholds_bos", kinds=("random", "real-other"))
bos = bos.threshold.isel(base=0, drop=True)
tables.comparison(bos, "kind", "random")

# %% [markdown]
# ## Norm, distance to the mean, token frequency
#
# Rank correlations over all prompts of plain properties of the base with its median threshold angle, along random and real-other
# directions, and with the difference between the two. A correlation near zero explains nothing.

# %%
tables.matrix(findings.covariate_correlations(full, early))

# %% [markdown]
# ## One table
#
# What each explanation predicts, and what was measured. Which outcome would refute each is on {doc}`../book/background`.

# %% tags=["remove-input"]
separated = estimates.mean(contrasts.auroc(bos, "kind", "random", "real-other"))
tables.explanations(accounts.explanations(
    by_base, separation, by_block, by_effect, half_way, against_gaussian, separated))

# %% [markdown]
# ## Claims

# %% tags=["hide-input"]
judge("C7", primaries.separation(late),
      early=estimates.document_mean(primaries.separation(early)),
      drop=estimates.document_mean(primaries.drop(early, late)),
      ratio=estimates.exponential(estimates.document_mean(primaries.ratio(late))))

# %% tags=["remove-input"]
verdicts.table(judge.judged)

# %% tags=["remove-cell"]
prose.glue(
    **prose.sample(full, shown=setting), **accounts.quadratic(by_base),
    answer=accounts.trivial(by_base, separation, by_block, against_gaussian),
    curvature_ratio=curvature.gaussian_over_real(by_base), curvature_says=accounts.curvature(separation, explained))

# %% tags=["remove-cell"]
prose.glue(
    n_same_token=same_token.sizes["prompt"], n_others_late=len(blocks[max(blocks)].others),
    edge_factor=quantities.EDGE, level=early.attrs["level"],
    n_early=early.sizes["direction"], n_late=late.sizes["direction"], **accounts.mean_base(angles, chords))

# %% [markdown]
# ## What this page does not show
#
# How the network does it. Damping in the middle, thresholds in the gated MLPs or anything else that makes realistic activations robust would
# all pass these tests; telling them apart needs interventions inside the blocks. The edge is read off a grid of angles and says where a
# curve leaves its quadratic, not what happens there. And curvature is taken along single directions: of the eigenvectors of the Fisher
# matrix themselves nothing is measured.
#
# ## Versions

# %%
tables.provenance(full.provenance)
