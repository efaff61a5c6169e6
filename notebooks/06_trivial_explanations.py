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
import numpy as np
from myst_nb import glue

from plateaus_utils import (
    arguments,
    claims,
    effects,
    estimates,
    experiments,
    findings,
    kinds,
    models,
    plotting,
    sensitivity,
    statistics,
)
from plateaus_utils.book import tables, verdicts
from plateaus_utils.experiments import explanations, plateaus, sensitive
from plateaus_utils.statistics import bootstrap

# %% tags=["parameters"]
profile: str = "quick"  # name of the parameter file in profiles/
results_dir: str = "results/quick"  # folder of the results, relative to the checkout
model: str = "smollm2-135m-instruct"  # embedded model, Hugging Face hub id, or local folder
corpus: str = "wikipedia+lee"  # packaged corpora (wikipedia, lee), hub dataset ids or local files, joined by +
layer: int = 1  # block whose input is perturbed; 0 is the first
seq_len: int = 10  # tokens in a prompt
seed: int = 0  # of prompts, targets and examples
prepend_bos: bool = False  # whether a beginning-of-sequence token takes the first place
n_prompts: int = 120  # base prompts
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
documents = setting.documents
over = {"documents": documents}
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
real_form = explanations.local_quadratic(setting, ("real",), kinds.MAIN_DIRECTIONS)
base_form = explanations.local_quadratic(setting, ("random", "naive"), ("random",))
by_kind = sensitive.direction_curves(setting, "sphere")
by_base = plateaus.plateau_curves(setting, "sphere")
grid = by_kind.path_size.values

# %%
flatness = {f"real base, {kind}": sensitivity.excess_flatness(by_kind.kl.sel(kind=kind).values, real_form.sel(base="real", kind=kind).values, grid)
            for kind in kinds.MAIN_DIRECTIONS}
flatness |= {f"{base} base, random": sensitivity.excess_flatness(by_base.kl.sel(base=base).values, base_form.sel(base=base, kind="random").values, grid)
             for base in ("random", "naive")}

# %% mystnb={"figure": {"caption": "Excess flatness: measured KL over the extrapolated quadratic at the same angle, by kind of base (left, random directions) and by kind of direction from real bases (right). Median and quartiles over prompts; dotted: an exact quadratic.", "name": "fig-flatness"}}
fig = plotting.flatness_panels(grid, flatness)
plotting.show(fig, "Ratio of measured to predicted KL against angle on a logarithmic scale, for kinds of base and of direction.")

# %%
shown = {angle: {name: bootstrap(np.nanmedian, values[..., np.searchsorted(grid, angle)], **over, n_boot=1000) for name, values in flatness.items()}
         for angle in (15, 30, 45)}
tables.columns_table({f"at {angle}°": column for angle, column in shown.items()})

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
late = {place: experiments.threshold_sizes(by_layer[place].first(n_prompts_late), f"block_{place}", kinds=("random", "real-other")).threshold.isel(base=0)
        for place in (layer, late_layer)}
late_documents = by_layer[layer].first(n_prompts_late).documents
late_auroc = {place: bootstrap(statistics.auroc, sizes.sel(kind="random").values, sizes.sel(kind="real-other").values, documents=late_documents, n_boot=1000)
              for place, sizes in late.items()}
tables.interval_table({f"block {place}": value for place, value in late_auroc.items()}, "AUROC, random against real-other")

# %% [markdown]
# Late activations say the same from the other side: {numref}`fig-kinds-sphere` shows the L2 distance before the final norm beside KL.
# Separation of random from real-other directions by the angle at which each effect first reaches half of its median value at 90°:

# %%
by_effect = findings.auroc_by_effect(by_kind)
tables.columns({"AUROC, random against real-other": by_effect})

# %% [markdown]
# ## Layer by layer

# %%
sweep = explanations.layer_thresholds({i: by_layer[i] for i in layers}, n_prompts_layer)
layer_documents = by_layer[layers[0]].first(n_prompts_layer).documents
sizes_by_layer, auroc_by_layer = statistics.by_layer(sweep, layer_documents)

# %% mystnb={"figure": {"caption": "Perturbing the input of different blocks. Left: median threshold angle around real and Gaussian bases (random directions) and along real-other directions. Right: AUROC of real against Gaussian bases (plateau effect) and of random against real-other directions (direction effect). Bands: 95 percent intervals.", "name": "fig-layers"}}
fig = plotting.layer_panels(layers, sizes_by_layer, auroc_by_layer)
plotting.show(fig, "Threshold angle and AUROC against the perturbed block.")

# %% [markdown]
# ## Untrained weights
#
# An absolute threshold may never be reached in an untrained network, so curves are compared relative to their value at 90°: the angle
# at which half of it is reached, and the separation that this angle gives.

# %%
networks = {"trained": setting}
networks |= {f"untrained ({name})": explanations.untrained_setting(setting, std) for name, std in models.initializer_ranges(setting.model).items()}
relative = {name: explanations.both_effects(network, f"relative_{i}") for i, (name, network) in enumerate(networks.items())}

# %%
compared = {"base": ("real", "random"), "kind": ("random", "real-other")}
half_way = {(name, effect, what): statistics.half_way_auroc(pair[what][effect], what, *compared[what], documents)
            for name, pair in relative.items() for effect in ("kl", "l2") for what in compared}
tables.untrained_table(half_way)

# %% [markdown]
# ## How far is far?
#
# A yardstick of natural variation: swap the activation for that of another prompt, with the same last token or any.

# %%
swaps = explanations.natural_variation(setting)
tables.columns_table({str(donor): {name: bootstrap(np.nanmedian, swaps[name].sel(donor=donor).values, **over, n_boot=1000)
                                  for name in ("angle", "distance", "kl")} for donor in swaps.donor.values}, "#.3g")

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
fig = plotting.control_panels(controls, documents)
plotting.show(fig, "Threshold angles and output entropies for eight kinds of base.")

# %%
has_same = controls.present.sel(base="same token").values
same_token = controls.threshold.sel(base=["real", "same token"])[has_same]
tables.comparison(controls.threshold.drop_sel(base="same token"), "base", "real")

# %%
tables.comparison(same_token, "base", "real")

# %% [markdown]
# ## With a beginning-of-sequence token
#
# The direction effect, random against real-other, with the other choice of `prepend_bos` (the plateau effect is on
# {doc}`02_activation_plateaus`):

# %%
with_bos = setting.replace(prepend_bos=not prepend_bos)
bos = experiments.threshold_sizes(with_bos, "direction_thresholds_bos", kinds=("random", "real-other")).threshold.isel(base=0)
tables.comparison(bos, "kind", "random")

# %% [markdown]
# ## Norm, distance to the mean, token frequency
#
# Rank correlations of plain properties of the base with its median threshold angle, along random and real-other directions, and with the
# difference between the two. A correlation near zero explains nothing.

# %%
angles = sensitive.direction_thresholds(setting, "sphere").threshold
per_prompt = {kind: np.median(np.nan_to_num(angles.sel(kind=kind).values, nan=np.inf), 1) for kind in ("random", "real-other")}
with np.errstate(invalid="ignore"):
    per_prompt["random minus real-other"] = np.nan_to_num(per_prompt["random"] - per_prompt["real-other"], nan=0.0)
tables.columns_table({target: {name: bootstrap(statistics.spearman, values, sizes, **over, n_boot=1000)
                               for name, values in explanations.covariates(setting).items()} for target, sizes in per_prompt.items()})

# %% [markdown]
# ## One table
#
# What each explanation predicts, and what was measured.

# %% tags=["remove-input"]
base_gap = bootstrap(statistics.auroc, controls.threshold.sel(base="real").values, controls.threshold.sel(base="random").values, **over)
foreign_gap = bootstrap(statistics.auroc, controls.threshold.sel(base="foreign").values, controls.threshold.sel(base="random").values, **over)
tables.explanations([
    ("KL is quadratic, so it looks flat", "excess flatness 1 around every base", f"at 30°: real {shown[30]['real base, random']:.2f}, Gaussian {shown[30]['random base, random']:.2f}"),
    ("final norm, unembedding or softmax", "the direction effect remains at the last block", f"AUROC {late_auroc[late_layer]:.2f} there, {late_auroc[layer]:.2f} at block {layer}"),
    ("a property of the output alone", "nothing in late activations", f"AUROC by L2 before the final norm {estimates.text(by_effect.sel(effect=effects.EFFECTS['l2'].axis))}, by KL {estimates.text(by_effect.sel(effect=effects.EFFECTS['kl'].axis))}"),
    ("any network of this shape", "the same in untrained weights", "; ".join(f"{n}: plateau {half_way[n, 'l2', 'base']:.2f}, direction {half_way[n, 'l2', 'kind']:.2f}" for n in networks)),
    ("off-distribution inputs are fragile", "realistic bases have the plateau, wherever they come from", f"AUROC against Gaussian bases: own {base_gap:.2f}, foreign real {foreign_gap:.2f}"),
    ("the sink at the first token", "another result with a beginning-of-sequence token", f"AUROC {bootstrap(statistics.auroc, bos.sel(kind='random').values, bos.sel(kind='real-other').values, documents=with_bos.documents):.2f}"),
])

# %% [markdown]
# ## Claims

# %% tags=["hide-input"]
judge("C7", late=estimates.auroc(late[late_layer], "kind", "random", "real-other", n_boot=1000),
      drop=findings.auroc_drop(late[layer], late[late_layer]))

# %% tags=["remove-input"]
verdicts.table(judge.judged)

# %% tags=["remove-cell"]
flat_real, flat_random = shown[30]["real base, random"], shown[30]["random base, random"]
flat_word = "flatter than" if flat_real.high < 1 else "steeper than" if flat_real.low > 1 else "not distinguishable from"
glue("studied", setting.description, display=False)
glue("answer", f"At 30° the KL divergence around real bases is {flat_real:.2f} "
     f"times what its own curvature predicts, {flat_word} a quadratic; around Gaussian bases {flat_random:.2f}. The direction effect has an AUROC of "
     f"{late_auroc[layer]:.2f} at block {layer} and {late_auroc[late_layer]:.2f} at the last block. Real activations of foreign prompts exceed "
     f"Gaussian bases in threshold angle with probability {foreign_gap:.2f}, the prompt's own with {base_gap:.2f}.", display=False)
glue("n_same_token", int(has_same.sum()), display=False)
glue("n_prompts_used", setting.n_prompts, display=False)
glue("n_late", len(late_documents), display=False)
glue("n_layer", len(layer_documents), display=False)

# %% [markdown]
# ## What this page does not show
#
# How the network does it. Damping in the middle, thresholds in the gated MLPs or anything else that makes realistic activations robust would
# all pass these tests; telling them apart needs interventions inside the blocks.
#
# ## Versions

# %%
tables.provenance(setting.provenance)
