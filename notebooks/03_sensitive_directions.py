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
# | run time | about six minutes on two cores |
# | what decides | {glue:text}`n_prompts_used` prompts from {glue:text}`n_documents_used` documents, {glue:text}`n_many` directions of a kind where random and real-other ones are told apart |
# | what curves show | the first {glue:text}`n_prompts_shown` of them, from {glue:text}`n_documents_shown` documents, {glue:text}`n_directions_used` directions of each kind |

# %%
import numpy as np

from plateaus_utils import arguments, claims, contrasts, estimates, experiments, kinds, plotting, quantities
from plateaus_utils.book import answers, prose, tables, verdicts
from plateaus_utils.experiments import plateaus, sensitive
from plateaus_utils.findings import sensitive as findings
from plateaus_utils.primaries import sensitive as primaries

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
# ## Curves
#
# All directions start at the prompt's own activation and all paths have the same length: *random* and *real-other* lead to a
# Gaussian sample and to the activation of an unrelated prompt, *naive* is isotropic, and the two *mixtures* are differences of
# two Gaussian samples or of two real activations, which contain no base.

# %%
sphere = sensitive.direction_curves(setting, "sphere")
straight = sensitive.direction_curves(setting, "straight")

# %% mystnb={"figure": {"caption": "Sphere mode: KL divergence, L2 distance at the last block and cosine of the normalized stream against the angle, for five kinds of direction from real bases. Median and quartiles over the prompts shown.", "name": "fig-kinds-sphere"}}
fig = plotting.curve_panels(sphere, "kind", ["kl", "l2", "cosine_normalized"])
plotting.show(fig, "Three panels of curves against angle, one band for each kind of direction.")

# %% mystnb={"figure": {"caption": "Straight mode: the same against the distance in norms of the base.", "name": "fig-kinds-straight"}}
fig = plotting.curve_panels(straight, "kind", ["kl", "l2", "cosine_normalized"])
plotting.show(fig, "Three panels of curves against distance, one band for each kind of direction.")

# %% mystnb={"figure": {"caption": "Sphere mode: KL divergence the other way round, and the share of prompts whose most probable next token has changed. Median and quartiles over the prompts shown, the share as its mean.", "name": "fig-kinds-other"}}
fig = plotting.curve_panels(sphere, "kind", ["kl_reverse"], means=["top_changed"])
plotting.show(fig, "Two panels against angle: reverse KL divergence, and share of prompts with another top token.")

# %% [markdown]
# The last panel answers the simplest story, that a perturbation changes the probabilities and the top token only holds because
# its margin was large: were it so, KL would move long before the top token does. At the median threshold angle of *real-other*
# directions the top token has changed in {glue:text}`flipped_real_other` of the cases, of *random* ones in
# {glue:text}`flipped_random`.
#
# ## Do real-other directions matter sooner?
#
# The threshold angle is where the KL divergence reaches 0.5 nats. Prompts differ in it, whatever the direction. So kinds
# are compared inside each prompt, with {glue:text}`n_many` directions of each: by the share of pairs in which the random
# direction has the larger angle (the AUROC within prompts; one half where there is no difference), averaged over documents.

# %%
many = sensitive.many_directions(full)
separation = primaries.separation(full)
gap = contrasts.difference(many.threshold, "kind", "random", "real-other")

# %% mystnb={"figure": {"caption": "Sphere mode: angle at which KL reaches 0.5 nats for random and real-other directions (left; censored angles at 180 degrees), and the mean real-other angle minus the mean random one of the same prompt (right; one dot a prompt, line at the median; below zero real-other directions matter sooner). All prompts.", "name": "fig-kinds-thresholds"}}
fig = plotting.paired_thresholds(many.threshold, "kind", "real-other")
plotting.show(fig, "Histograms of threshold angles for random and real-other directions, and their paired differences.")

# %% [markdown]
# The AUROC within prompts is {glue:text}`separation`, the mean difference {glue:text}`gap` ({glue:text}`n_documents_used`
# documents, 95 % intervals). By corpus:

# %%
tables.by_corpus({"AUROC within prompts, random above real-other": separation, "random minus real-other (°)": gap})

# %% [markdown]
# Over all prompts at once the AUROC is {glue:text}`pooled`. This pooled number mixes in how much prompts differ from one another: a
# random direction of one prompt is held against real-other ones of every other prompt. It is shown because the report's
# histograms are pooled, and decides nothing.
#
# ## All kinds of direction
#
# *Deviations* lead from the mean $\mu$ of real activations to a target and contain no base, like mixtures; *towards mean* is
# $\mu - b$ itself. Here and in the rest of this part two directions of each kind stand for each of {glue:text}`n_documents_shown`
# documents.

# %%
angles = sensitive.direction_thresholds(setting, "sphere").threshold
distances = sensitive.direction_thresholds(setting, "straight").threshold
forward, main_angles = angles.sel(kind=list(findings.AXES)), angles.sel(kind=list(kinds.MAIN_DIRECTIONS))
norms = plateaus.base_norms(setting).sel(base="real", drop=True)

# %%
tables.columns({
    "median angle (°)": estimates.median(forward),
    "median distance at that angle": estimates.median(quantities.chords(forward, norms)),
    "AUROC within prompts, it above real-other": estimates.within_auroc(forward, "kind", against="real-other"),
    "the same, pooled": estimates.auroc(forward, "kind", against="real-other"),
    "censored": estimates.censored(forward)})

# %%
tables.columns({
    "median distance (norms of the base)": estimates.median(distances),
    "AUROC within prompts, it above real-other": estimates.within_auroc(distances, "kind", against="real-other"),
    "the same, pooled": estimates.auroc(distances, "kind", against="real-other"),
    "censored": estimates.censored(distances)})

# %% [markdown]
# The first table is in sphere mode, where a chord's length depends on the base's norm (median {glue:text}`norm`); all kinds of a
# prompt start from the same base, so a comparison within prompts is the same in degrees and in activation units. The second is in
# straight mode. Values above one half mean that real-other directions matter sooner than the row's kind. The smallest mean angle is that of
# {glue:text}`first`.
#
# Every kind against every other within prompts: the probability that an angle of the column's kind exceeds one of the row's.

# %%
tables.pairs(estimates.pairwise(estimates.within_auroc, main_angles, "kind"))

# %% [markdown]
# The two mixtures cannot show which side of an axis matters. $r_1 - r_2$ and $r_2 - r_1$ are drawn equally often, and so are
# $g_1 - g_2$ and $g_2 - g_1$: whatever is sooner on a target's own side cancels by construction. That real mixtures do or do not
# beat random ones speaks only about axes.
#
# ## Which classifier is best?
#
# The report suspects that whole curves separate the kinds better than "the angle at KL 0.5". On the curves of figure
# {numref}`fig-kinds-sphere`: four single numbers, and a logistic regression on the whole curve (log KL at every angle), always
# judged on documents that it has not seen.

# %%
scores = findings.classifier_scores(sphere.kl)  # [classifier, kind, prompt, direction]
tables.columns({"AUROC within prompts, random against real-other": findings.classifier_aurocs(scores)})

# %% [markdown]
# The threshold's own choice matters too. The same AUROC for thresholds from 0.01 to 5 nats:

# %%
at_levels = quantities.crossings(sphere.kl.sel(kind=list(kinds.MAIN_DIRECTIONS)), np.geomspace(0.01, 5, 15))
by_level = estimates.within_auroc(at_levels, "kind", against="real-other")

# %% mystnb={"figure": {"caption": "Probability that a direction of another kind has the larger threshold angle than a real-other one of the same prompt (AUROC within prompts), against the KL threshold. Bands: 95 percent intervals over the documents shown.", "name": "fig-kinds-auroc"}}
fig = plotting.interval_curve(by_level, "level", "AUROC within prompts", 0.5)
plotting.show(fig, "AUROC within prompts against KL threshold for four kinds of direction.")

# %% [markdown]
# ## Direction, arrival, or the mean?
#
# A real-other path ends at a real activation, and every target-minus-base direction contains minus the base and the mean. Four
# controls.
#
# **What the directions contain.** Their cosine with the base, and how near the path comes to any real activation:

# %%
tables.columns({"median cosine with the base": estimates.median(sensitive.cosines_with_base(setting))})

# %% mystnb={"figure": {"caption": "Distance from points of the path to the nearest other real activation, in norms of the base, in straight mode (left) and sphere mode (right). Median and quartiles over the prompts shown, one direction each.", "name": "fig-nearest"}}
fig = plotting.nearest_panels(*findings.nearest_real(setting))
plotting.show(
    fig, "Distance to the nearest real activation along straight and sphere paths for five kinds of direction.")

# %% [markdown]
# **Paths cut short.** The angle between a base and its real-other targets has the median {glue:text}`arrival_median`. If arrival were
# all, the kinds would not differ before half of it. With angles beyond half of a real-other path's arrival angle taken as
# censored, on the random path beside it too, the AUROC within prompts of random against real-other is {glue:text}`cut_auroc`
# (uncut: {glue:text}`uncut_auroc`; {glue:text}`n_documents_shown` documents). Within half-way {glue:text}`cut_share` of the
# real-other and {glue:text}`cut_share_random` of the random paths reach the threshold.
#
# **Both ways along the axis.** On the sphere $t - b$ and $t$ name the same meridian, so its negative leads *away* from the target
# along the same axis. The threshold angle $\theta_+$ *towards* the target is the sum of an *even* part $(\theta_+ + \theta_-)/2$,
# which says how sensitive the axis is, and an *odd* part $(\theta_+ - \theta_-)/2$, which is negative where the target's side
# matters sooner; $\theta_-$ is their difference. Means over {glue:text}`n_documents_shown` documents:

# %%
parts = findings.both_ways(angles)  # [part, prompt, kind, direction]
tables.matrix(findings.mean_parts(parts), "{} (°)", ".1f")

# %% [markdown]
# How much larger the angles of the Gaussian kind are than those of the real one: for *targets* ($g - b$ against $r - b$),
# *deviations* ($g - \mu$ against $r - \mu$) and *mixtures* ($g_1 - g_2$ against $r_1 - r_2$). A difference that is there both ways
# is even; one that is there only towards the target is half even and half odd.

# %%
effects = findings.real_effects(parts)  # [effect, part]
tables.matrix(effects, "{} (°)", ".1f")

# %% [markdown]
# Between targets the difference is {glue:text}`targets_towards`. With base and mean removed, between deviations, it is
# {glue:text}`deviations_towards`, {glue:text}`deviation_size` (by {glue:text}`deviation_gain`). It is {glue:text}`deviation_part`
# ({glue:text}`deviations_odd` against {glue:text}`deviations_even`), and away from the targets it is {glue:text}`deviations_away`.
# Between mixtures, whose odd part is nothing but sampling, it is {glue:text}`mixtures_towards`.
#
# **The mean.** Targets differ in how far they lie towards the mean $\mu$. {cite:t}`giglemiani2024synthetic` found earlier thresholds for
# directions with a larger cosine with the direction to the mean. For each of the {glue:text}`n_many` directions of a prompt: the
# cosine between its part orthogonal to the base and that of $\mu - b$.

# %%
by_rank = findings.angles_by_rank(full)  # [kind, rank]

# %% mystnb={"figure": {"caption": "Threshold angle minus its prompt's mean, against the rank that a direction's cosine with the direction to the mean has among the directions of its kind and prompt (orthogonal to the base; the largest cosine last). Means and 95 percent intervals over all documents.", "name": "fig-mean-cosine"}}
fig = plotting.interval_curve(by_rank, "rank", "angle minus prompt's mean (degrees)", 0, scale="linear")
plotting.show(fig, "Threshold angle against rank of the cosine with the mean, for random and real-other directions.")

# %%
correlations = primaries.mean_correlations(full)  # [kind, prompt]
tables.columns({"rank correlation of angle and cosine within prompts": estimates.document_means(correlations)})

# %% [markdown]
# ## The same last token
#
# Early activations are mostly a token and a position. Straight paths lead to an activation of another document whose prompt ends
# in the *same* token, and to one whose prompt ends in another. Where the output moves in proportion to the step, the relative
# distance of the output has the slope 1 everywhere.

# %%
slopes = findings.token_slopes(full)  # [prompt, last_token]
same, other = slopes.sel(last_token="same token").dropna("prompt"), slopes.sel(last_token="other token")

# %% mystnb={"figure": {"caption": "Maximal slope of the output's relative distance on straight paths from a base to an activation of the same last token and to one of another; a straight line has slope one. All prompts.", "name": "fig-same-token"}}
fig = plotting.histogram_panels(slopes, by="last_token", bins=30)
plotting.show(fig, "Histograms of maximal slopes towards activations of the same and of other last tokens.")

# %% [markdown]
# The geometric mean of the maximal slope towards the same token is {glue:text}`same_slope`, over the {glue:text}`n_same` prompts that have such a
# partner; towards another token it is {glue:text}`other_slope` ({glue:text}`n_documents_used` documents).
#
# ## The steepest step on the way to a target
#
# {cite:t}`giglemiani2024synthetic` walk from the base to the target in equal steps and ask where the output changes fastest. Here
# a walk has {glue:text}`n_walk_steps` steps, so that a single position is known to {glue:text}`walk_step` % of the way.

# %%
steep = primaries.steepest_rises(full)  # [prompt, kind]

# %% mystnb={"figure": {"caption": "Where on the way from the base to its target the output changes fastest, in percent of the way, by L2 at the last block (left) and KL divergence (right), for real and Gaussian targets. All prompts.", "name": "fig-steepest"}}
fig = plotting.histogram_panels(steep.l2, steep.kl, by="kind", bins=25)
plotting.show(fig, "Histograms of the position of the steepest step for real and Gaussian targets.")

# %% [markdown]
# ## Claims
#
# The published statements that this page tests. What decides each was fixed before the chapters were run; the other numbers
# are shown.

# %% tags=["hide-input"]
judge("(ii)", primaries.real_other_is_earlier(full))

# %%
pooled = estimates.auroc(many.threshold, "kind", "random", "real-other", n_boot=1000)
without_mean = estimates.within_auroc(angles, "kind", "random deviation", "real deviation")

# %% tags=["hide-input"]
judge("(iv)", separation, pooled=pooled, chord=without_mean)

# %%
over_random = estimates.within_ratio(distances, "kind", against="random")  # [kind]

# %% tags=["hide-input"]
judge("C4", primaries.isotropic_over_random(full),
      random=estimates.within_ratio(distances, "kind", "random", "real-other"),
      naive_minus_base=over_random.sel(kind="naive minus base"), minus_base=over_random.sel(kind="minus base"),
      sphere=estimates.within_ratio(angles, "kind", "naive", "random"))

# %%
positions = estimates.document_means(steep.l2)  # [kind]

# %% tags=["hide-input"]
judge("C5", primaries.steepest_rise_gap(full),
      real=positions.sel(kind="real-other"), gaussian=positions.sel(kind="random"),
      kl=estimates.within_difference(steep.kl, "kind", "random", "real-other"),
      auroc=estimates.auroc(steep.l2, "kind", "random", "real-other"))

# %%
over_isotropic = estimates.within_ratio(primaries.mixture_effects(full), "kind", against="naive")  # [kind]

# %% tags=["hide-input"]
judge("C12", primaries.real_over_random_mixture(full), naive=over_isotropic.sel(kind="random mixture"),
      real_naive=over_isotropic.sel(kind="real mixture"))

# %% tags=["hide-input"]
judge("C19", primaries.same_token_slope(full), other=findings.geometric_mean(other))

# %% tags=["hide-input"]
judge("C26", primaries.mean_correlation(full), towards=estimates.median(angles.sel(kind="towards mean")),
      straight=estimates.document_mean(contrasts.difference(angles, "kind", "towards mean", "random")),
      real=estimates.document_mean(correlations.sel(kind="real-other")))

# %% tags=["remove-input"]
verdicts.table(judge.judged)

# %% tags=["remove-cell"]
separated, gap_mean = estimates.document_mean(separation), estimates.document_mean(gap)
first = answers.smallest(findings.mean_parts(parts).sel(part="towards"))
earlier = estimates.document_mean(primaries.real_other_is_earlier(full))
prose.glue(
    **prose.sample(full, sphere.sizes["direction"], shown=setting), n_many=sensitive.N_MANY,
    answer=answers.sensitive(separated, earlier, gap_mean, effects, first))

# %% tags=["remove-cell"]
flipped = findings.flipped_at_threshold(sphere, main_angles)
prose.glue(
    flipped_real_other=prose.percent(flipped.sel(kind="real-other")), separation=separated, gap=gap_mean, pooled=pooled,
    flipped_random=prose.percent(flipped.sel(kind="random")), norm=estimates.median(norms), first=first)

# %% tags=["remove-cell"]
arrival = sensitive.arrival_angles(setting)
cut = findings.cut_short(main_angles, arrival)
reached = cut.notnull().mean(("prompt", "direction"))
prose.glue(
    arrival_median=f"{float(arrival.median()):.0f}°",
    cut_auroc=estimates.within_auroc(cut, "kind", "random", "real-other"),
    uncut_auroc=estimates.within_auroc(main_angles, "kind", "random", "real-other"),
    cut_share=prose.percent(reached.sel(kind="real-other")), cut_share_random=prose.percent(reached.sel(kind="random")))

# %% tags=["remove-cell"]
deviations, gained = effects.sel(effect="deviations"), findings.deviation_gain(parts)
prose.glue(
    targets=effects.sel(effect="targets"), deviations=deviations, mixtures=effects.sel(effect="mixtures"),
    deviation_gain=gained, deviation_size=answers.compared(gained), deviation_part=answers.larger_part(deviations))

# %% tags=["remove-cell"]
prose.glue(
    same_slope=findings.geometric_mean(same), other_slope=findings.geometric_mean(other), n_same=same.sizes["prompt"],
    n_walk_steps=sensitive.N_STEPS - 1, walk_step=f"{100 / (sensitive.N_STEPS - 1):.0f}")

# %% [markdown]
# ## What this page does not show
#
# That real-other directions are features. They differ from Gaussian ones in everything that a covariance matrix does not hold, and
# an early threshold marks any direction that the network reads strongly. Where the side on which a target lies matters, that does not
# say why: switching something on, arriving somewhere and leaving the base's own region all happen on one side. The correlation with the
# mean is one within these draws; nothing was moved towards the mean with everything else kept. Whether sensitive directions are
# optima is the next question, and {doc}`06_trivial_explanations` asks what else could make them.
#
# ## Versions

# %%
tables.provenance(full.provenance)
