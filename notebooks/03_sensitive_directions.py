# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Sensitive directions
#
# **Question.** From a real activation, do steps towards another real activation change the output sooner than steps towards a
# Gaussian sample with the same mean and covariance? And if so, is it the direction that matters, or what lies at its end?
#
# **Answer for this run** ({glue:text}`studied`). {glue:text}`answer`
#
# | | |
# | --- | --- |
# | prerequisites | {doc}`01_methodology`, {doc}`02_activation_plateaus` |
# | run time | about five minutes on two cores |
# | sample | {glue:text}`n_prompts_used` prompts from {glue:text}`n_documents_used` documents, {glue:text}`n_directions_used` directions of each kind; {glue:text}`many_used` where kinds are compared within a prompt |

# %%
import numpy as np

from plateaus_utils import arguments, claims, estimates, experiments, kinds, plotting, quantities, statistics
from plateaus_utils.book import prose, tables, verdicts
from plateaus_utils.experiments import plateaus, sensitive
from plateaus_utils.findings import sensitive as findings

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
# ## Curves
#
# All directions start at the prompt's own activation and all paths have the same length: *random* and *real-other* lead to a
# Gaussian sample and to the activation of an unrelated prompt, *naive* is isotropic, and the two *mixtures* are differences of
# two Gaussian samples or of two real activations, which contain no base.

# %%
sphere = sensitive.direction_curves(setting, "sphere")
straight = sensitive.direction_curves(setting, "straight")

# %% mystnb={"figure": {"caption": "Sphere mode: KL divergence, L2 distance at the last block and cosine of the normalized stream against the angle, for five kinds of direction from real bases. Median and quartiles over prompts.", "name": "fig-kinds-sphere"}}
fig = plotting.curve_panels(sphere, "kind", ["kl", "l2", "cosine_normalized"])
plotting.show(fig, "Three panels of curves against angle, one band for each kind of direction.")

# %% mystnb={"figure": {"caption": "Straight mode: the same against the distance in norms of the base.", "name": "fig-kinds-straight"}}
fig = plotting.curve_panels(straight, "kind", ["kl", "l2", "cosine_normalized"])
plotting.show(fig, "Three panels of curves against distance, one band for each kind of direction.")

# %% mystnb={"figure": {"caption": "Sphere mode: KL divergence the other way round, and the share of prompts whose most probable next token has changed. Median and quartiles over prompts, the share as its mean.", "name": "fig-kinds-other"}}
fig = plotting.curve_panels(sphere, "kind", ["kl_reverse"], means=["top_changed"])
plotting.show(fig, "Two panels against angle: reverse KL divergence, and share of prompts with another top token.")

# %% [markdown]
# The last panel answers the simplest story, that a perturbation changes the probabilities and the top token only holds because
# its margin was large: were it so, KL would move long before the top token does. At the median threshold angle of *real-other*
# directions the top token has changed in {glue:text}`flip_at_threshold` of the cases, of *random* ones in
# {glue:text}`flip_at_threshold_random`.
#
# ## Threshold sizes

# %%
angles = sensitive.direction_thresholds(setting, "sphere")
distances = sensitive.direction_thresholds(setting, "straight")
main_kinds = list(kinds.MAIN_DIRECTIONS)
main_angles = angles.threshold.sel(kind=main_kinds)

# %% mystnb={"figure": {"caption": "Sphere mode: angle at which KL reaches 0.5 nats by kind of direction (left; censored sizes at 180 degrees), and the real-other angle minus that of other kinds in the same prompt (right; one dot a prompt, line at the median; below zero real-other directions matter sooner).", "name": "fig-kinds-thresholds"}}
fig = plotting.paired_thresholds(main_angles, "kind", "real-other")
plotting.show(
    fig, "Histograms of threshold angles for five kinds of direction, and paired differences from real-other.")

# %%
tables.comparison(main_angles, "kind", "real-other")

# %%
tables.comparison(distances.threshold, "kind", "real-other")

# %% [markdown]
# *difference* is real-other minus the row's kind, paired within prompts; *AUROC* the probability that the real-other size is the
# larger one, so values below one half mean that real-other directions matter sooner.
#
# ## How well are the kinds separated?
#
# Within a prompt: the probability that a size of the column's kind exceeds one of the row's kind, with eight directions of each
# kind, averaged over prompts; resampled over documents and, within prompts, over directions. Pooled values, over all prompts at
# once, mix in how much prompts differ from one another.

# %%
few = setting.first(min(40, n_prompts))
many = sensitive.many_directions(few)
within = estimates.pairwise(estimates.within_auroc, many.threshold, "kind", n_boot=1000)
tables.pairs(within)

# %%
tables.pairs(estimates.pairwise(estimates.auroc, many.threshold, "kind", two_way=True, n_boot=400))

# %% [markdown]
# ## Which classifier is best?
#
# The report suspects that whole curves separate the kinds better than "the angle at KL 0.5". On the curves of figure
# {numref}`fig-kinds-sphere`: four single numbers, and a logistic regression on the whole curve (log KL at every angle), always
# judged on documents that it has not seen.

# %%
scores = findings.classifier_scores(sphere.kl)  # [classifier, kind, prompt, direction]
tables.columns({"AUROC, random against real-other": findings.classifier_aurocs(scores)})

# %% [markdown]
# The threshold's own choice matters too. The same AUROC for thresholds from 0.01 to 5 nats:

# %%
at_levels = quantities.crossings(sphere.kl.sel(kind=main_kinds), np.geomspace(0.01, 5, 15))
by_level = estimates.auroc(at_levels, "kind", against="real-other", n_boot=500)

# %% mystnb={"figure": {"caption": "Probability that a direction of another kind has the larger threshold angle than a real-other one (AUROC), against the KL threshold, pooled over prompts. Bands: 95 percent intervals over documents.", "name": "fig-kinds-auroc"}}
fig = plotting.interval_curve(by_level, "level", "AUROC against real-other", 0.5)
plotting.show(fig, "AUROC against KL threshold for four kinds of direction.")

# %% [markdown]
# ## Direction, arrival, or the mean?
#
# A real-other path ends at a real activation, and every target-minus-base direction contains minus the base. Three controls.
#
# **What the directions contain.** Their cosine with the base, and how near the path comes to any real activation:

# %%
cosines = findings.cosines_with_base(setting)
tables.columns({"median cosine with the base": estimates.median(cosines)})

# %% mystnb={"figure": {"caption": "Distance from points of the path to the nearest other real activation, in norms of the base, in straight mode (left) and sphere mode (right). Median and quartiles over prompts, one direction each.", "name": "fig-nearest"}}
fig = plotting.nearest_panels(*findings.nearest_real(setting))
plotting.show(
    fig, "Distance to the nearest real activation along straight and sphere paths for five kinds of direction.")

# %% [markdown]
# **Paths cut short.** The angle between a base and its real-other targets has the median {glue:text}`arrival_median`. If arrival were
# all, the kinds would not differ before half of it. Comparing only sizes below half of a real-other path's arrival angle, with the
# same limit for the random path beside it and sizes beyond it taken as censored, the AUROC of random against real-other is {glue:text}`cut_auroc` (uncut: {glue:text}`uncut_auroc`); within
# half-way {glue:text}`cut_share` of the real-other and {glue:text}`cut_share_random` of the random paths reach the threshold.
#
# **Both ways along the axis.** On the sphere $t - b$ and $t$ name the same meridian, so its negative leads away from the target along
# the same axis. With threshold angles $\theta_+$ and $\theta_-$, the *even* part $(\theta_+ + \theta_-)/2$ says how sensitive the axis
# is, the *odd* part $(\theta_- - \theta_+)/2$ how much sooner the target's side matters: switching on, or arrival. The same for
# deviations from the mean, $t - \mu$, and for $\mu$ itself.

# %%
even, odd = findings.even_parts(angles.threshold), findings.odd_parts(angles.threshold)
tables.columns({"even part (°)": even, "odd part (°)": odd}, ".1f")

# %% [markdown]
# The difference of the even parts, random minus real-other, is {glue:text}`even_gain`: the part of the effect that belongs to
# the axis. The odd parts are {glue:text}`odd_real_other` for real-other, {glue:text}`odd_random` for random and {glue:text}`odd_towards_mean` for the
# mean: the part that belongs to the side on which the target lies. With the mean removed from the targets, random minus real
# deviations differ by {glue:text}`deviation_gain`.
#
# ## The same last token
#
# Early activations are mostly a token and a position. Paths to an activation of the *same* last token against paths to others, by
# the steepness of the output's relative distance (straight line: 1):

# %%
other = plateaus.pair_paths(setting, "pairs_0")
compared = findings.same_token_slopes(setting, other)  # [prompt, last_token]

# %%
same_difference = estimates.versus(
    statistics.difference_of_medians, compared, "last_token", "same token", "other token")
print(f"{compared.sizes['prompt']} prompts with both; "
      f"median slope, same minus other token: {estimates.text(same_difference)}")

# %% mystnb={"figure": {"caption": "Maximal slope of the output's relative distance on straight paths from a base to an activation of the same last token and to one of another; a straight line has slope one.", "name": "fig-same-token"}}
fig = plotting.histogram_panels(compared, by="last_token", bins=30)
plotting.show(fig, "Histograms of maximal slopes towards activations of the same and of other last tokens.")

# %% [markdown]
# ## The steepest step on the way to a target
#
# {cite:t}`giglemiani2024synthetic` walk from the base to the target in equal steps and ask where the output changes fastest.

# %%
walks = sensitive.walks_to_targets(setting)
steep = findings.steepest_steps(walks)  # [prompt, kind]

# %% mystnb={"figure": {"caption": "Where on the way from the base to its target the output changes fastest, in percent of the way, by L2 at the last block (left) and KL divergence (right), for real and Gaussian targets.", "name": "fig-steepest"}}
fig = plotting.histogram_panels(steep.l2, steep.kl, by="kind", bins=26)
plotting.show(fig, "Histograms of the position of the steepest step for real and Gaussian targets.")

# %% [markdown]
# ## Claims

# %% tags=["hide-input"]
alpha = distances.threshold
judge("C4", random=estimates.ratio(alpha, "kind", "random", "real-other"),
      naive=estimates.ratio(alpha, "kind", "naive", "random"),
      naive_minus_base=estimates.ratio(alpha, "kind", "naive minus base", "random"),
      minus_base=estimates.ratio(alpha, "kind", "minus base", "random"))

# %% tags=["hide-input"]
mean_l2, mean_kl = estimates.mean(steep.l2), estimates.mean(steep.kl)
judge("C5", auroc_l2=estimates.auroc(steep.l2, "kind", "random", "real-other"),
      auroc_kl=estimates.auroc(steep.kl, "kind", "random", "real-other"),
      l2_real=mean_l2.sel(kind="real-other"), l2_random=mean_l2.sel(kind="random"),
      kl_real=mean_kl.sel(kind="real-other"), kl_random=mean_kl.sel(kind="random"))

# %% tags=["hide-input"]
at_half = straight.kl.sel(kind=main_kinds).sel(path_size=0.5, method="nearest").mean("direction")
judge("C12", real_random=estimates.ratio_of_means(at_half, "kind", "real mixture", "random mixture"),
      random_naive=estimates.ratio_of_means(at_half, "kind", "random mixture", "naive"),
      real_naive=estimates.ratio_of_means(at_half, "kind", "real mixture", "naive"))

# %% tags=["hide-input"]
share = findings.relative_pairs(other)  # [prompt, t]
judge("C17", early=estimates.median(share.interp(t=0.3)), late=estimates.median(share.interp(t=0.6)),
      steepest=estimates.median(quantities.steepest(share, "t")))

# %% tags=["hide-input"]
judge("C19", slope=same_difference)

# %% tags=["hide-input"]
separation = estimates.within_auroc(many.threshold, "kind", "random", "real-other", n_boot=1000)
judge("(ii)", share=estimates.proportion(findings.earlier(many.threshold, "real-other", "random")), auroc=separation)

# %% tags=["hide-input"]
judge("(iv)", auroc=estimates.auroc(many.threshold, "kind", "random", "real-other", two_way=True, n_boot=400))

# %% tags=["remove-input"]
verdicts.table(judge.judged)

# %% tags=["remove-cell"]
arrival = findings.arrival_angles(setting)
cut = findings.cut_short(main_angles, arrival)
reached, flipped = 1 - estimates.censored(cut), findings.flipped_at_threshold(sphere, main_angles)
prose.glue(
    **prose.sample(setting, sphere.sizes["direction"]),
    answer=prose.sensitive(estimates.median(main_angles), within),
    many_used=f"{many.sizes['direction']} of each on {few.n_prompts} prompts",
    flip_at_threshold=prose.percent(flipped.sel(kind="real-other")),
    flip_at_threshold_random=prose.percent(flipped.sel(kind="random")))

# %% tags=["remove-cell"]
prose.glue(
    arrival_median=f"{float(arrival.median()):.0f}°",
    cut_auroc=estimates.auroc(cut, "kind", "random", "real-other", n_boot=1000),
    uncut_auroc=estimates.auroc(main_angles, "kind", "random", "real-other", n_boot=1000),
    cut_share=prose.percent(reached.sel(kind="real-other")), cut_share_random=prose.percent(reached.sel(kind="random")))

# %% tags=["remove-cell"]
prose.glue(
    even_gain=findings.even_gain(angles.threshold, "random", "real-other"), odd=odd,
    deviation_gain=estimates.difference(angles.threshold, "kind", "random deviation", "real deviation"))

# %% [markdown]
# ## What this page does not show
#
# That real-other directions are features. They differ from Gaussian ones in everything that a covariance matrix does not hold, and
# an early threshold marks any direction that the network reads strongly. Whether such directions are optima is the next question,
# and {doc}`06_trivial_explanations` asks what else could make them.
#
# ## Versions

# %%
tables.provenance(setting.provenance)
