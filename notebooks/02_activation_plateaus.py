# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Activation plateaus
#
# **Question.** Is a real activation the centre of a plateau: does the same perturbation change the output less there than
# around an activation that only has the right mean and covariance?
#
# **Answer for this run** ({glue:text}`studied`). {glue:text}`answer`
#
# | | |
# | --- | --- |
# | prerequisites | {doc}`01_methodology` for all definitions |
# | run time | about five minutes on two cores |
# | sample | {glue:text}`n_prompts_used` prompts from {glue:text}`n_documents_used` documents, {glue:text}`n_directions_used` directions each |

# %%
import numpy as np

from plateaus_utils import arguments, claims, estimates, experiments, plotting, quantities, sensitivity
from plateaus_utils.book import prose, tables, verdicts
from plateaus_utils.experiments import plateaus
from plateaus_utils.findings import plateaus as findings

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
# ## The landscape between three real activations
#
# A picture first. Take the plane through three real activations A, B and C, run every point of it in the prompt of A, and
# colour it by the KL divergence from the *nearest* of the three runs, that is the smallest of the three divergences. All are
# proper divergences between normalized distributions, in nats. Look for flat ground around the corners and walls between them.

# %%
planes = plateaus.activation_plane(setting)

# %% mystnb={"figure": {"caption": "KL divergence to the nearest of three runs, over the plane through three real activations in the prompt of A; one plane, the first of those drawn at random. Left: as a surface, black lines mark the activations. Right: as a map in orthonormal coordinates of the plane, with the contour of 0.5 nats in white.", "name": "fig-plane"}}
fig = plotting.plane(planes.isel(prompt=0))
plotting.show(
    fig, "A surface and a contour map of KL divergence over a plane, with three marked activations A, B and C.")

# %% tags=["remove-cell"]
prose.glue(plane_flat=prose.percent(findings.flat_share(planes)), n_planes=planes.sizes["prompt"])

# %% [markdown]
# Over the {glue:text}`n_planes` planes drawn, {glue:text}`plane_flat` of the area shown lies within 0.5 nats of one of its
# three corners. B and C are foreign to the prompt of A, so their corners show what the network does with *their* activation
# in *this* context, not with their own prompts. One plane is an illustration; the rest of the page counts.
#
# ## Curves around real, Gaussian and isotropic bases
#
# Each prompt gets three bases: its own activation, a Gaussian sample (*random*) and an isotropic vector of the same norm
# (*naive*). The last two are inserted into the prompt, and everything is compared with the model run on the inserted base,
# never with the clean prompt. From all three, paths lead towards the same Gaussian targets.

# %%
sphere = plateaus.activation_plateaus(setting, "sphere")
straight = plateaus.activation_plateaus(setting, "straight")
own, own_straight = sphere.sel(pairing="targets"), straight.sel(pairing="targets")

# %% mystnb={"figure": {"caption": "Sphere mode: KL divergence, L2 distance at the last block and cosine of the normalized stream against the angle, from real, Gaussian and isotropic bases towards the same Gaussian targets. Median and quartiles over prompts.", "name": "fig-sphere"}}
fig = plotting.curve_panels(own, "base", ["kl", "l2", "cosine_normalized"])
plotting.show(
    fig, "Three panels of curves against angle: KL, L2 and cosine, each with bands for real, random and naive bases.")

# %% mystnb={"figure": {"caption": "Straight mode: the same against the distance in units of the base's norm.", "name": "fig-straight"}}
fig = plotting.curve_panels(own_straight, "base", ["kl", "l2", "cosine_normalized"])
plotting.show(
    fig, "Three panels against distance: KL, L2 and cosine, each with bands for real, random and naive bases.")

# %% [markdown]
# On the sphere all paths from one base end at its antipode, so differences beyond about 120° say little. The base matters in
# two ways that the KL divergence cannot separate: the next-token distribution at a Gaussian base has its own entropy, and its
# own distance to saturation. The second panel therefore shows late activations, and the next figure holds them against the
# simplest network there is.

# %% [markdown]
# ## Is it flatter than a line?
#
# For a linear map the L2 distance grows like the chord, $2\sin(\theta/2)$ on the sphere. Divided by their values at 90°, curves
# below the dotted one are flatter at first than any linear map.

# %% mystnb={"figure": {"caption": "L2 distance at the last block relative to its value at 90 degrees, against the curve of a linear map (dotted). Median and quartiles over prompts.", "name": "fig-linear"}}
fig = plotting.against_linear(own, "l2")
plotting.show(fig, "Relative L2 distance against angle for three kinds of base, with the curve of a linear map.")

# %%
at30 = estimates.median(quantities.shares(own.l2.mean("direction"), 90).sel(path_size=30))

# %% tags=["remove-cell"]
prose.glue(l2_30=at30, l2_30_linear=f"{findings.chord(30, 90):.2f}")

# %% [markdown]
# At 30° a linear map has covered {glue:text}`l2_30_linear` of the way to its value at 90°; the median real base
# {glue:text}`l2_30_real`, Gaussian {glue:text}`l2_30_random`, isotropic {glue:text}`l2_30_naive` (95 % intervals).
#
# ## Threshold sizes
#
# The threshold size is found by bracketing and refinement to ±0.5° (±0.01 in straight mode), one direction at a time. Its
# distribution, and the difference between bases of one prompt:

# %% mystnb={"figure": {"caption": "Sphere mode: angle at which KL reaches 0.5 nats, for the three kinds of base (left; censored sizes at 180 degrees), and the difference between the real base and the others of the same prompt (right; one dot a prompt, line at the median).", "name": "fig-thresholds"}}
fig = plotting.paired_thresholds(own.threshold, "base", "real")
plotting.show(fig, "Histograms of threshold angles for three kinds of base, and paired differences between them.")

# %%
tables.comparison(own.threshold, "base", "real")

# %%
tables.comparison(own_straight.threshold, "base", "real")

# %%
same_vectors = sphere.threshold.sel(pairing="directions")
tables.comparison(same_vectors, "base", "real")

# %% [markdown]
# Each row is a kind of base: its median, the median of the paired difference (real minus it), the AUROC (probability that the
# real base's size is the larger one) and the share censored, with 95 % intervals. The first two tables, in degrees and in norms
# of the base, have the same targets for every base; the third has the very same direction vectors for every base.
#
# ## Does the threshold decide?
#
# A KL divergence saturates, and curves cross. The same comparison for every threshold from 0.01 to 5 nats, from the curves:

# %%
angles = quantities.crossings(own.kl, np.geomspace(0.01, 5, 15))
by_level = estimates.auroc(angles, "base", of="real", n_boot=500)

# %% mystnb={"figure": {"caption": "Probability that a real base's threshold angle exceeds that of another base (AUROC), against the KL threshold that defines it, in sphere mode. Bands: 95 percent intervals over documents; dotted: no difference.", "name": "fig-auroc-threshold"}}
fig = plotting.interval_curve(by_level, "level", "AUROC, real against other base", 0.5)
plotting.show(fig, "AUROC against KL threshold for Gaussian and isotropic bases.")

# %% tags=["remove-cell"]
prose.glue(**prose.extremes(by_level.sel(base="random"), null=0.5))

# %% [markdown]
# Against Gaussian bases the AUROC lies between {glue:text}`smallest` and {glue:text}`largest`: over this range
# {glue:text}`reverses`.
#
# ## Absolute lengths
#
# {cite:t}`giglemiani2024synthetic` walk in absolute steps of 0.5 and ask when the last block's output has moved far. Far is
# here half the median distance between the outputs of unrelated prompts, fixed before looking.

# %%
lengths = findings.plateau_steps(setting)  # [prompt, base, direction]
capped = lengths.fillna(lengths.limit)
tables.columns({"median (steps)": estimates.median(lengths), "censored": estimates.censored(lengths)})

# %% mystnb={"figure": {"caption": "Steps of 0.5 activation units until the last block's output has moved half the median distance between outputs of unrelated prompts, from real and from Gaussian bases; lengths beyond the limit count as the limit.", "name": "fig-lengths"}}
fig = plotting.histogram_panels(capped, by="base", bins=25)
plotting.show(fig, "Histograms of plateau lengths in absolute steps, from real and from Gaussian bases.")

# %% [markdown]
# ## Close to the base
#
# Where the output is a smooth function of the activation, KL must grow quadratically and L2 linearly. Exponents are slopes of
# log-log curves over the three smallest sizes at which KL exceeds its noise floor of $10^{-6}$ nats.

# %%
small = plateaus.small_perturbations(setting)

# %% mystnb={"figure": {"caption": "Growth of KL divergence and L2 distance at small sizes in straight mode, on logarithmic axes. Median and quartiles over prompts.", "name": "fig-small"}}
fig = plotting.growth(small)
plotting.show(fig, "Log-log curves of KL and L2 against the size of small perturbations.")

# %% [markdown]
# ## An untrained network
#
# A shelf that an untrained network shows as well would be no property of training. Between two real activations the output's
# relative distance $d(t)/d(1)$ is followed through the trained network and through two untrained ones of the same
# architecture, one initialized as the configuration states, one as the model's authors publish.

# %%
pairs = findings.trained_and_untrained_pairs(setting, seed)  # a dimension `network`

# %% mystnb={"figure": {"caption": "Relative distance of the last block's output from its start along paths between two real activations, linear (left) and along the great circle (right). Median and quartiles over prompts; dotted: a straight line.", "name": "fig-untrained"}}
fig = plotting.pair_curves(pairs, "resid_post")
plotting.show(fig, "Relative distance against position on the path, for the trained network and two untrained ones.")

# %%
widths = estimates.known_median(quantities.width(pairs.sel(interpolation="slerp", read="resid_post")))
slopes = estimates.median(quantities.max_slope(pairs.sel(interpolation="linear", read="resid_post")))
tables.columns({"median width (line: 0.8)": widths, "median maximal slope (line: 1)": slopes})

# %% [markdown]
# ## With a beginning-of-sequence token
#
# The report adds none. With one in front of every prompt (and one token of text less), the key result becomes:

# %%
with_bos = setting.replace(prepend_bos=not prepend_bos)
bos = experiments.threshold_sizes(with_bos, "plateau_thresholds_bos", bases=("real", "random"))
tables.comparison(bos.threshold.isel(kind=0), "base", "real")

# %% [markdown]
# ## Claims
#
# The published statements that this page tests. Bands were fixed beforehand; those that are absolute numbers of GPT-2 small
# are judged only on GPT-2 small, on other models the order is.

# %%
tenth = quantities.share_crossing(own.kl, 0.1, end=90)
tenth_median, threshold_median = estimates.median(tenth), estimates.median(own.threshold)
tenth_gap = estimates.difference(tenth, "base", "real", "random")
gap = estimates.difference(own.threshold, "base", "real", "random")
separation = estimates.auroc(own.threshold, "base", "real", "random")

# %% tags=["hide-input"]
judge("C1", tenth=tenth_median.sel(base="real"), threshold=threshold_median.sel(base="real"),
      tenth_gap=tenth_gap, threshold_gap=gap)

# %%
mean_length = estimates.mean(capped)

# %% tags=["hide-input"]
judge("C2", ratio=estimates.ratio_of_means(capped, "base", "real", "random"),
      ks=estimates.ks_distance(capped, "base", "real", "random"),
      real=mean_length.sel(base="real"), gaussian=mean_length.sel(base="random"))

# %% tags=["hide-input"]
judge("C13", **{name: estimates.known_median(quantities.exponent(small[name], small.kl)) for name in ("kl", "l2")})

# %% tags=["hide-input"]
judge("C16", **{f"{what}_{name}": found.sel(network=f"untrained ({name})")
                for what, found in (("width", widths), ("slope", slopes)) for name in ("configuration", "published")})

# %% tags=["remove-input"]
verdicts.table(judge.judged)

# %% tags=["remove-cell"]
prose.glue(
    **prose.sample(setting, own.sizes["direction"]),
    answer=prose.plateaus(threshold_median, gap, separation, sensitivity.KL_THRESHOLD))

# %% [markdown]
# ## What this page does not show
#
# That anything corrects errors. A plateau around real activations and a shorter one around Gaussian ones is what error
# correction predicts, and so do simpler accounts: a network trained on real activations has no reason to be smooth elsewhere.
# The directions here are Gaussian only; whether some directions matter sooner is the next question.
#
# ## Versions

# %%
tables.provenance(setting.provenance)
