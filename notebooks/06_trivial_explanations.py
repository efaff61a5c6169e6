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
# | sample | {glue:text}`n_prompts_used` prompts; {glue:text}`n_late` at the last block; {glue:text}`n_layer` at each layer of the sweep |

# %%
from plateaus_utils import arguments, claims, estimates, experiments, plotting
from plateaus_utils.book import prose, tables, verdicts
from plateaus_utils.experiments import explanations, sensitive
from plateaus_utils.findings import explanations as findings

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
n_prompts_late: int = 300  # base prompts of the test at the last block
n_prompts_layer: int = 40  # base prompts at each layer of the sweep
device: str = "auto"  # auto, cpu, cuda or mps
dtype: str = "float32"  # floating-point type of the model

# %%
arguments.check_injected(In)
setting = experiments.prepare(
    model, results_dir, corpus=corpus, layer=layer, seq_len=seq_len,
    n_prompts=n_prompts, n_others=n_others, seed=seed, prepend_bos=prepend_bos,
    shrinkage=shrinkage, device=device, dtype=dtype)
judge = claims.Judge(model, setting.folder, setting.made_by)
print(setting.description, corpus, sep=", ")

# %% [markdown]
# ## Is it more than a smooth function?
#
# Every smooth divergence is quadratic at its minimum and therefore looks flat there. So the quadratic form itself is computed at each
# base: KL is half the Fisher form, $\tfrac12\,\delta^\top F\,\delta$, and $\delta^\top F\,\delta$ is the variance of the logits'
# derivative along $\delta$ under the output distribution, one forward-mode derivative through the suffix. On the sphere the chord
# $\delta = (\cos\theta-1)\,b + \sin\theta\,\lVert b\rVert u_\perp$ turns, so the form is the Gram matrix of $b$ and
# $\lVert b\rVert u_\perp$. *Excess flatness* is measured over predicted KL at the same angle: 1 for a function that is its quadratic,
# below 1 for one that is flatter than its own curvature says.

# %%
by_kind = findings.flatness_by_kind(setting)  # [prompt, kind, direction, size]
by_base = findings.flatness_by_base(setting, by_kind)

# %% mystnb={"figure": {"caption": "Excess flatness: measured KL over the extrapolated quadratic at the same angle, by kind of base (left, random directions) and by kind of direction from real bases (right). Median and quartiles over prompts; dotted: an exact quadratic.", "name": "fig-flatness"}}
fig = plotting.flatness_panels(by_base, by_kind)
plotting.show(
    fig, "Ratio of measured to predicted KL against angle on a logarithmic scale, for kinds of base and of direction.")

# %%
flat = findings.flatness_at(by_base, by_kind)  # [path, size]
tables.matrix(flat, heading="at {:.0f}°")

# %% [markdown]
# The local exponent of KL close to the base is on {doc}`02_activation_plateaus`; where it is two, the ratio starts at one.
#
# ## Does the effect sit in the output?
#
# If it came from the final norm, the unembedding or the softmax, perturbing the last block's input would show it as well
# (the report saw the difference vanish there). {glue:text}`n_late` prompts, both places:

# %%
layers = explanations.sweep_layers(setting.model.n_layers)
late_layer = setting.model.n_layers - 1
by_layer = setting.at_layers(
    sorted({*layers, layer}), n_prompts=max(n_prompts_late, n_prompts_layer),
    n_others=min(explanations.N_SHRUNK, n_others), shrinkage=True)

# %%
late = findings.directions_at(by_layer, (layer, late_layer), n_prompts_late)
by_block = findings.auroc_by_block(late)
tables.columns({"AUROC, random against real-other": by_block})

# %% [markdown]
# Late activations say the same from the other side: {numref}`fig-kinds-sphere` shows the L2 distance before the final norm beside KL.
# Separation of random from real-other directions by the angle at which each effect first reaches half of its median value at 90°:

# %%
by_effect = findings.auroc_by_effect(sensitive.direction_curves(setting, "sphere"))
tables.columns({"AUROC, random against real-other": by_effect})

# %% [markdown]
# ## Layer by layer

# %%
sweep = explanations.layer_thresholds({i: by_layer[i] for i in layers}, n_prompts_layer)

# %% mystnb={"figure": {"caption": "Perturbing the input of different blocks. Left: median threshold angle around real and Gaussian bases (random directions) and along real-other directions. Right: AUROC of real against Gaussian bases (plateau effect) and of random against real-other directions (direction effect). Bands: 95 percent intervals; what lies beyond the range is drawn at its limit.", "name": "fig-layers"}}
fig = plotting.layer_panels(findings.sizes_by_layer(sweep), findings.separation_by_layer(sweep))
plotting.show(fig, "Threshold angle and AUROC against the perturbed block.")

# %% [markdown]
# ## Untrained weights
#
# An absolute threshold may never be reached in an untrained network, so curves are compared relative to their value at 90°: the angle
# at which half of it is reached, and the separation that this angle gives.

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

# %%
controls = explanations.base_controls(setting)

# %% mystnb={"figure": {"caption": "Threshold angle around each kind of base, random directions, sphere mode (left; median and 95 percent interval), and entropy of the next-token distribution there (right; median and quartiles over prompts).", "name": "fig-controls"}}
fig = plotting.dots({
    "threshold angle (degrees)": findings.control_medians(controls),
    "entropy of the output (nats)": findings.control_entropies(controls)})
plotting.show(fig, "Threshold angles and output entropies for eight kinds of base.")

# %%
around = controls.threshold.drop_sel(base="same token")
tables.comparison(around, "base", "real")

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
# Rank correlations of plain properties of the base with its median threshold angle, along random and real-other directions, and with the
# difference between the two. A correlation near zero explains nothing.

# %%
angles = sensitive.direction_thresholds(setting, "sphere").threshold
tables.matrix(findings.covariate_correlations(setting, angles))

# %% [markdown]
# ## One table
#
# What each explanation predicts, and what was measured.

# %% tags=["remove-input"]
against_gaussian = estimates.auroc(around, "base", against="random")
tables.explanations(prose.explanations(
    flat, by_block, by_effect, half_way, against_gaussian, estimates.auroc(bos, "kind", "random", "real-other")))

# %% [markdown]
# ## Claims

# %% tags=["hide-input"]
judge("C7", late=estimates.auroc(late[late_layer], "kind", "random", "real-other", n_boot=1000),
      drop=findings.auroc_drop(late[layer], late[late_layer]))

# %% tags=["remove-input"]
verdicts.table(judge.judged)

# %% tags=["remove-cell"]
prose.glue(
    **prose.sample(setting), answer=prose.trivial(flat, by_block, against_gaussian),
    n_same_token=same_token.sizes["prompt"], n_late=late[late_layer].sizes["prompt"], n_layer=sweep.sizes["prompt"])

# %% [markdown]
# ## What this page does not show
#
# How the network does it. Damping in the middle, thresholds in the gated MLPs or anything else that makes realistic activations robust would
# all pass these tests; telling them apart needs interventions inside the blocks.
#
# ## Versions

# %%
tables.provenance(setting.provenance)
