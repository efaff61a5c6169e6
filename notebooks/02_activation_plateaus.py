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
from myst_nb import glue

from plateaus_utils import claims, experiments, models, plotting, sensitivity, statistics
from plateaus_utils.book import tables
from plateaus_utils.claims import Part
from plateaus_utils.experiments import plateaus

# %% tags=["parameters"]
profile: str = "quick"  # name of the parameter file in profiles/
results_dir: str = "results/quick"  # folder of the results, relative to the checkout
model: str = "smollm2-135m-instruct"  # embedded model, Hugging Face hub id, or local folder
corpus: str = "wikipedia"  # packaged corpus (wikipedia, lee), hub dataset id, or local file
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
setting = experiments.prepare(
    model, results_dir, corpus=corpus, layer=layer, seq_len=seq_len,
    n_prompts=n_prompts, n_others=n_others, seed=seed, prepend_bos=prepend_bos,
    shrinkage=shrinkage, device=device, dtype=dtype)
documents = setting.documents
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
fig = plotting.plane(planes.kl[0], planes.corner_xy[0].values)
plotting.show(fig, "A surface and a contour map of KL divergence over a plane, with three marked activations A, B and C.")

# %% tags=["remove-cell"]
near = planes.kl.min("corner")
glue("plane_flat", f"{float((near < sensitivity.KL_THRESHOLD).mean()):.0%}", display=False)
glue("n_planes", len(planes.prompt), display=False)

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

# %% mystnb={"figure": {"caption": "Sphere mode: KL divergence, L2 distance at the last block and cosine of the normalized stream against the angle, from real, Gaussian and isotropic bases towards the same Gaussian targets. Median and quartiles over prompts.", "name": "fig-sphere"}}
fig = plotting.curve_panels(sphere.sel(pairing="targets"), "base", ["kl", "l2", "cosine_normalized"])
plotting.show(fig, "Three panels of curves against angle: KL, L2 and cosine, each with bands for real, random and naive bases.")

# %% mystnb={"figure": {"caption": "Straight mode: the same against the distance in units of the base's norm.", "name": "fig-straight"}}
fig = plotting.curve_panels(straight.sel(pairing="targets"), "base", ["kl", "l2", "cosine_normalized"])
plotting.show(fig, "Three panels of curves against distance: KL, L2 and cosine, each with bands for real, random and naive bases.")

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
fig = plotting.against_linear(sphere.sel(pairing="targets"), "l2")
plotting.show(fig, "Relative L2 distance against angle for three kinds of base, with the curve of a linear map.")

# %% tags=["remove-cell"]
angles, shares = sensitivity.relative(sphere["size"].values, sphere.l2.sel(pairing="targets").mean("direction").values, 90)
at30 = shares[..., np.searchsorted(angles, 30)]
linear30 = np.sin(np.deg2rad(15)) / np.sin(np.deg2rad(45))
for i, kind in enumerate(sphere.base.values):
    glue(f"l2_30_{kind}", f"{statistics.bootstrap(np.median, at30[:, i], documents=documents):.2f}", display=False)
glue("l2_30_linear", f"{linear30:.2f}", display=False)

# %% [markdown]
# At 30° a linear map has covered {glue:text}`l2_30_linear` of the way to its value at 90°; the median real base
# {glue:text}`l2_30_real`, Gaussian {glue:text}`l2_30_random`, isotropic {glue:text}`l2_30_naive` (95 % intervals).
#
# ## Threshold sizes
#
# The threshold size is found by bracketing and refinement to ±0.5° (±0.01 in straight mode), one direction at a time. Its
# distribution, and the difference between bases of one prompt:

# %% mystnb={"figure": {"caption": "Sphere mode: angle at which KL reaches 0.5 nats, for the three kinds of base (left; censored sizes at 180 degrees), and the difference between the real base and the others of the same prompt (right; one dot a prompt, line at the median).", "name": "fig-thresholds"}}
fig = plotting.paired_thresholds(sphere.threshold.sel(pairing="targets"), "base", "real", 180, "threshold angle (degrees)")
plotting.show(fig, "Histograms of threshold angles for three kinds of base, and paired differences between them.")

# %%
rows = {}
for mode, data in (("sphere", sphere), ("straight", straight)):
    for pairing in data.pairing.values:
        rows[mode, str(pairing)] = statistics.compare(data.threshold.sel(pairing=pairing), "base", "real", documents)
tables.comparison_table(rows)

# %% [markdown]
# Each row compares one kind of base with the real one: medians, the median of the paired difference, the AUROC (probability
# that the real base's size is the larger one) and the share censored, with 95 % intervals. *targets*: the same targets from every
# base, *directions*: the very same direction vectors from every base.
#
# ## Does the threshold decide?
#
# A KL divergence saturates, and curves cross. The same comparison for every threshold from 0.01 to 5 nats, from the curves:

# %%
levels = np.geomspace(0.01, 5, 15)
series = {kind: [statistics.auroc_between(sphere.kl.sel(pairing="targets"), "base", "real", kind, level, documents)
                 for level in levels] for kind in ("random", "naive")}

# %% mystnb={"figure": {"caption": "Probability that a real base's threshold angle exceeds that of another base (AUROC), against the KL threshold that defines it, in sphere mode. Bands: 95 percent intervals over documents; dotted: no difference.", "name": "fig-auroc-threshold"}}
fig = plotting.interval_curve(levels, series, "KL threshold (nats)", "AUROC, real against other base", 0.5)
plotting.show(fig, "AUROC against KL threshold for Gaussian and isotropic bases.")

# %% tags=["remove-cell"]
auroc_values = [i.value for i in series["random"]]
glue("auroc_min", f"{min(auroc_values):.2f} at {levels[int(np.argmin(auroc_values))]:.2g} nats", display=False)
glue("auroc_max", f"{max(auroc_values):.2f} at {levels[int(np.argmax(auroc_values))]:.2g} nats", display=False)
glue("auroc_reverses", "it reverses" if min(auroc_values) < 0.5 < max(auroc_values) else "it does not reverse", display=False)

# %% [markdown]
# Against Gaussian bases the AUROC lies between {glue:text}`auroc_min` and {glue:text}`auroc_max`: over this range
# {glue:text}`auroc_reverses`.
#
# ## Absolute lengths
#
# {cite:t}`giglemiani2024synthetic` walk in absolute steps of 0.5 and ask when the last block's output has moved far. Far is
# here half the median distance between the outputs of unrelated prompts, fixed before looking.

# %%
lengths = plateaus.plateau_lengths(setting)
limit = lengths.attrs["max_steps"]
capped = lengths.steps.fillna(limit)
steps = {str(kind): capped.sel(base=kind).values for kind in capped.base.values}
for kind, values in steps.items():
    print(f"{kind}: {np.median(values):.0f} steps (median), {np.mean(values >= limit):.0%} not within {limit}")

# %% mystnb={"figure": {"caption": "Steps of 0.5 activation units until the last block's output has moved half the median distance between outputs of unrelated prompts, from real and from Gaussian bases; lengths beyond the limit count as the limit.", "name": "fig-lengths"}}
fig = plotting.histogram_panels({"plateau length (steps)": steps}, bins=25)
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
networks = {"trained": None}
networks |= {f"untrained ({name})": models.untrained(setting.model, std, seed)
             for name, std in models.initializer_ranges(setting.model).items()}
pairs = {name: plateaus.pair_paths(setting, f"pairs_{i}", network) for i, (name, network) in enumerate(networks.items())}

# %% mystnb={"figure": {"caption": "Relative distance of the last block's output from its start along paths between two real activations, linear (left) and along the great circle (right). Median and quartiles over prompts; dotted: a straight line.", "name": "fig-untrained"}}
fig = plotting.pair_curves(pairs, "resid_post")
plotting.show(fig, "Relative distance against position on the path, for the trained network and two untrained ones.")

# %% tags=["remove-cell"]
widths, slopes = {}, {}
for name, pair in pairs.items():
    curve = pair.sel(interpolation="slerp", read="resid_post")
    widths[name] = statistics.bootstrap(np.nanmedian, sensitivity.width(curve.t.values, curve.from_start.values, curve.from_end.values), documents=documents)
    slopes[name] = statistics.bootstrap(np.median, sensitivity.max_slope(pair.from_start.sel(interpolation="linear", read="resid_post").values), documents=documents)
glue("width_trained", f"{widths['trained']:.2f}", display=False)
glue("slope_trained", f"{slopes['trained']:.2f}", display=False)
for name in ("configuration", "published"):
    glue(f"width_{name}", f"{widths[f'untrained ({name})']:.2f}", display=False)
    glue(f"slope_{name}", f"{slopes[f'untrained ({name})']:.2f}", display=False)

# %% [markdown]
# | network | median width (line: 0.8) | median maximal slope (line: 1) |
# | --- | --- | --- |
# | trained | {glue:text}`width_trained` | {glue:text}`slope_trained` |
# | untrained, as configured | {glue:text}`width_configuration` | {glue:text}`slope_configuration` |
# | untrained, as published | {glue:text}`width_published` | {glue:text}`slope_published` |
#
# ## With a beginning-of-sequence token
#
# The report adds none. With one in front of every prompt (and one token of text less), the key result becomes:

# %%
with_bos = experiments.prepare_layers(
    setting.model, results_dir, [layer], corpus=corpus, seq_len=seq_len,
    n_prompts=n_prompts, n_others=n_others, seed=seed,
    prepend_bos=not prepend_bos, shrinkage=shrinkage)[layer]
bos = experiments.threshold_sizes(with_bos, "plateau_thresholds_bos", bases=("real", "random"))
tables.comparison_table({("sphere", "other choice"): statistics.compare(bos.threshold.isel(kind=0), "base", "real", with_bos.documents)})

# %% [markdown]
# ## Claims
#
# The published statements that this page tests. Bands were fixed beforehand; those that are absolute numbers of GPT-2 small
# are judged only on GPT-2 small, on other models the order is.

# %% tags=["hide-input"]
own = sphere.sel(pairing="targets")
tenth = sensitivity.first_crossing(own["size"].values, own.kl.values / own.kl.sel(size=90).values[..., None], 0.1)
tenth = {str(kind): tenth[:, i] for i, kind in enumerate(own.base.values)}
angle = {str(kind): own.threshold.sel(base=kind).values for kind in own.base.values}
gpt2 = claims.is_gpt2_small(model)
shelf = (30.0, 60.0) if gpt2 else (None, None)
median = statistics.censored_median
difference = statistics.median_difference

# %% tags=["hide-input"]
over = {"documents": documents}
c1 = claims.evaluate("C1", [
    Part("angle at 10 % of the KL at 90°, real", statistics.bootstrap(median, tenth["real"], **over), "°", *shelf),
    Part("threshold angle, real", statistics.bootstrap(median, angle["real"], **over), "°", *shelf),
    Part("real minus Gaussian: angle at 10 %", statistics.bootstrap(difference, tenth["real"], tenth["random"], **over), "°", 0.0, None),
    Part("real minus Gaussian: threshold angle", statistics.bootstrap(difference, angle["real"], angle["random"], **over), "°", 0.0, None),
], "02_activation_plateaus#fig-sphere")
claims.save(setting.folder, c1, {**c1, "id": "(i)", "statement": claims.PUBLISHED["(i)"].statement, "published": "40°"})

# %% tags=["hide-input"]
mean_ratio = statistics.bootstrap(statistics.ratio_of_means, steps["real"], steps["random"], **over)
ks = statistics.bootstrap(statistics.ks_distance, steps["real"], steps["random"], **over)
quarter = (lambda x: (0.75 * x, 1.25 * x)) if gpt2 else (lambda x: (None, None))
c2 = claims.evaluate("C2", [
    Part("ratio of mean lengths, real over Gaussian", mean_ratio, "", *((1.5, 2.1) if gpt2 else (1.0, None))),
    Part("KS distance", ks, "", *((0.45, None) if gpt2 else (None, None))),
    Part("mean length, real", statistics.bootstrap(np.mean, steps["real"], **over), "steps", *quarter(15.12)),
    Part("mean length, Gaussian", statistics.bootstrap(np.mean, steps["random"], **over), "steps", *quarter(8.33)),
], "02_activation_plateaus#fig-lengths")

# %% tags=["hide-input"]
exponents = {name: sensitivity.exponent(small["size"].values, small[name].values, small.kl.values) for name in ("kl", "l2")}
c13 = claims.evaluate("C13", [
    Part("exponent of KL", statistics.bootstrap(np.nanmedian, exponents["kl"], **over), "", 1.85, 2.15),
    Part("exponent of L2", statistics.bootstrap(np.nanmedian, exponents["l2"], **over), "", 0.95, 1.05),
], "02_activation_plateaus#fig-small")
untrained = [name for name in pairs if name != "trained"]
c16 = claims.evaluate("C16", [Part(f"width, {name}", widths[name], "", 0.78, 0.86) for name in untrained]
                      + [Part(f"maximal slope, {name}", slopes[name], "", None, 1.3) for name in untrained],
                      "02_activation_plateaus#fig-untrained")
claims.save(setting.folder, c2, c13, c16)
tables.Table(claims.table([c1, c2, c13, c16]))

# %% tags=["remove-cell"]
real_angle, random_angle = (statistics.bootstrap(median, angle[kind], **over) for kind in ("real", "random"))
gap = statistics.bootstrap(difference, angle["real"], angle["random"], **over)
separation = statistics.bootstrap(statistics.auroc, angle["real"], angle["random"], **over)
verdict = "longer than" if gap.low > 0 else "shorter than" if gap.high < 0 else "not distinguishable from"
glue("studied", setting.description, display=False)
glue("answer", f"The median angle at which the KL divergence reaches {sensitivity.KL_THRESHOLD} nats is {real_angle:.1f}° "
     f"around real activations and {random_angle:.1f}° around Gaussian ones "
     f"(95 % intervals over {len(np.unique(documents))} documents, {setting.n_prompts} prompts); the median paired "
     f"difference is {gap:.1f}°, the AUROC {separation:.2f}. By this measure plateaus around real activations are {verdict} "
     "those around Gaussian ones.", display=False)
glue("n_prompts_used", setting.n_prompts, display=False)
glue("n_documents_used", len(np.unique(documents)), display=False)
glue("n_directions_used", sphere.sizes["direction"], display=False)
glue("real_angle", f"{real_angle:.1f}", display=False)
glue("random_angle", f"{random_angle:.1f}", display=False)
glue("auroc_real_random", f"{separation:.2f}", display=False)

# %% [markdown]
# ## What this page does not show
#
# That anything corrects errors. A plateau around real activations and a shorter one around Gaussian ones is what error
# correction predicts, and so do simpler accounts: a network trained on real activations has no reason to be smooth elsewhere.
# The directions here are Gaussian only; whether some directions matter sooner is the next question.
#
# ## Versions

# %%
tables.provenance(setting.determined_by)
