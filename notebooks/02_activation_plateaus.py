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
# | what decides | {glue:text}`n_prompts_used` prompts from {glue:text}`n_documents_used` documents, one direction each |
# | what curves show | the first {glue:text}`n_prompts_shown` of them, from {glue:text}`n_documents_shown` documents |

# %%
from plateaus_utils import arguments, claims, estimates, experiments, plotting, quantities, sensitivity
from plateaus_utils.book import answers, prose, tables, verdicts
from plateaus_utils.contrasts import difference
from plateaus_utils.experiments import plateaus
from plateaus_utils.findings import plateaus as findings
from plateaus_utils.primaries import plateaus as primaries

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
sphere = plateaus.plateau_curves(setting, "sphere")
straight = plateaus.plateau_curves(setting, "straight")

# %% mystnb={"figure": {"caption": "Sphere mode: KL divergence, L2 distance at the last block and cosine of the normalized stream against the angle, from real, Gaussian and isotropic bases towards the same Gaussian targets. Median and quartiles over the prompts shown.", "name": "fig-sphere"}}
fig = plotting.curve_panels(sphere, "base", ["kl", "l2", "cosine_normalized"])
plotting.show(
    fig, "Three panels of curves against angle: KL, L2 and cosine, each with bands for real, random and naive bases.")

# %% mystnb={"figure": {"caption": "Straight mode: the same against the distance in units of the base's norm.", "name": "fig-straight"}}
fig = plotting.curve_panels(straight, "base", ["kl", "l2", "cosine_normalized"])
plotting.show(
    fig, "Three panels against distance: KL, L2 and cosine, each with bands for real, random and naive bases.")

# %% [markdown]
# On the sphere all paths from one base end at its antipode, so differences beyond about 120° say little. The base matters in
# two ways that the KL divergence cannot separate: the next-token distribution at a Gaussian base has its own entropy, and its
# own distance to saturation. Each curve is therefore held against its own value at 90°, and against the simplest networks
# there are.
#
# ## Is it flatter than a quadratic, and than a line?
#
# Every smooth divergence is a quadratic close to its minimum, and looks flat there without any shelf. A quadratic of the chord
# $2\sin(\theta/2)$ reaches a tenth of its value at 90° at {glue:text}`quadratic`°, whatever its size; for a linear map the L2
# distance grows like the chord itself. Curves below the dotted ones are flatter at first than either.

# %% mystnb={"figure": {"caption": "KL divergence (left) and L2 distance at the last block (right) relative to their values at 90 degrees, against the curves of a quadratic and of a linear map (dotted). Grey line: a tenth. Median and quartiles over the prompts shown.", "name": "fig-smooth"}}
fig = plotting.against_smooth(sphere)
plotting.show(
    fig, "Relative KL and L2 against angle for three kinds of base, with curves of a quadratic and a linear map.")

# %%
onsets = primaries.onsets(full)  # [prompt, base]
onset_gap = difference(onsets, "base", "real", "random")
norms = plateaus.base_norms(full)
onset_means = estimates.together(
    {base: estimates.document_mean(onsets.sel(base=base)) for base in plateaus.TWO_BASES}, "base")

# %%
at30 = estimates.median(quantities.shares(sphere.l2.mean("direction"), 90).sel(path_size=30))

# %% tags=["remove-cell"]
prose.glue(
    quadratic=f"{claims.estimand('C1').null:.1f}", onset=onset_means, onset_gap=estimates.document_mean(onset_gap),
    onset_chord=estimates.median(quantities.chords(onsets, norms)), base_norm=estimates.median(norms),
    l2_30=at30, l2_30_linear=f"{findings.chord(30, 90):.2f}")

# %% [markdown]
# The *onset* is the angle at which a path's KL divergence reaches a tenth of its own value at 90°, found by search. Its mean is
# {glue:text}`onset_real` for real and {glue:text}`onset_random` for Gaussian bases; the difference within prompts is
# {glue:text}`onset_gap` ({glue:text}`n_documents_used` documents, 95 % intervals). Equal angles are equal distances only around
# bases of equal norm. The norms have medians of {glue:text}`base_norm_real` (real) and {glue:text}`base_norm_random`
# (Gaussian); the straight distances to the onsets have medians of {glue:text}`onset_chord_real` and
# {glue:text}`onset_chord_random`. At 30° a linear map's L2 distance has covered {glue:text}`l2_30_linear` of the way to its value
# at 90°; the median real base {glue:text}`l2_30_real`, Gaussian {glue:text}`l2_30_random`, isotropic {glue:text}`l2_30_naive`. The same onsets by corpus:

# %%
real_by_corpus = estimates.by_corpus(onsets.sel(base="real"))
tables.columns({
    "documents": real_by_corpus.n_documents, "onset, real base (°)": real_by_corpus,
    "onset, Gaussian base (°)": estimates.by_corpus(onsets.sel(base="random")),
    "real minus Gaussian (°)": estimates.by_corpus(onset_gap)})

# %% [markdown]
# ## Threshold sizes
#
# The threshold size is where the KL divergence reaches 0.5 nats, found by bracketing and refinement to ±0.5° (±0.01 in
# straight mode), one direction at a time. Its distribution, and the difference between bases of one prompt:

# %%
own = plateaus.plateau_thresholds(full, "sphere").threshold
own_straight = plateaus.plateau_thresholds(setting, "straight").threshold
same_vectors = plateaus.plateau_thresholds(setting, "sphere", "directions").threshold

# %% mystnb={"figure": {"caption": "Sphere mode: angle at which KL reaches 0.5 nats, for the three kinds of base (left; censored sizes at 180 degrees), and the difference between the real base and the others of the same prompt (right; one dot a prompt, line at the median). All prompts.", "name": "fig-thresholds"}}
fig = plotting.paired_thresholds(own, "base", "real")
plotting.show(fig, "Histograms of threshold angles for three kinds of base, and paired differences between them.")

# %%
tables.comparison(own, "base", "real")

# %%
tables.comparison(own_straight, "base", "real")

# %%
tables.comparison(same_vectors, "base", "real")

# %% [markdown]
# Each row is a kind of base: its median, the median of the paired difference (real minus it), the AUROC (probability that the
# real base's size is the larger one) and the share censored, with 95 % intervals. The first two tables, in degrees and in norms
# of the base, have the same targets for every base; the third has the very same direction vectors for every base. The first
# rests on all {glue:text}`n_documents_used` documents, the others on the {glue:text}`n_documents_shown` that curves show. An
# angle is a distance only together with a norm: the next table shows both, and the straight distance from the base to the point
# at the threshold angle.

# %%
tables.columns({
    "median norm of the base": estimates.median(norms), "median threshold (°)": estimates.median(own),
    "median distance at the threshold": estimates.median(quantities.chords(own, norms))})

# %% [markdown]
# ## Does the threshold decide?
#
# A KL divergence saturates, and curves cross. The same comparison for every threshold from 0.01 to 5 nats, from the curves:

# %%
by_level = findings.auroc_by_level(sphere.kl)

# %% mystnb={"figure": {"caption": "Probability that a real base's threshold angle exceeds that of another base (AUROC), against the KL threshold that defines it, in sphere mode. Bands: 95 percent intervals over documents shown; dotted: no difference.", "name": "fig-auroc-threshold"}}
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
# {cite:t}`giglemiani2024synthetic` walk in absolute steps of 0.5 and ask when the last block's output has moved by 20 units,
# which is where their real bases arrive after 0.19 of their distance to the dataset's mean. Units of one model mean nothing in
# another. So the level is set by the same share: how far the median real base has moved at 0.19 of its distance to the mean,
# here {glue:text}`level`.

# %%
steps = primaries.steps(full)  # [prompt, base]
level, half = plateaus.plateau_lengths(full).threshold.level, findings.unrelated_distance(full) / 2

# %% mystnb={"figure": {"caption": "Steps of 0.5 activation units until the last block's output has moved by the published level, from real and from Gaussian bases towards the same target; lengths beyond the limit count as the limit. All prompts.", "name": "fig-lengths"}}
fig = plotting.histogram_panels(steps, by="base", bins=25)
plotting.show(fig, "Histograms of plateau lengths in absolute steps, from real and from Gaussian bases.")

# %% [markdown]
# How much longer real plateaus are depends on what counts as far. The ratio of lengths, for levels around the published one and
# around half the median distance between outputs of unrelated prompts ({glue:text}`half`):

# %%
distances = plateaus.length_curves(setting).l2
marks = {"published level": level, "half of unrelated": half}
by_length = findings.ratio_by_level(distances, marks)  # [base, level]

# %% mystnb={"figure": {"caption": "Ratio of plateau lengths, real over Gaussian bases (geometric mean of paired ratios), against the L2 distance that ends a plateau. Dashed: the published level in relative terms, and half the median distance between outputs of unrelated prompts. Band: 95 percent interval over documents shown; dotted: equal lengths.", "name": "fig-length-ratio"}}
fig = plotting.interval_curve(by_length, "level", "length, real over Gaussian", 1, marks)
plotting.show(fig, "Ratio of plateau lengths against the L2 distance that ends a plateau, with two levels marked.")

# %% tags=["remove-cell"]
prose.glue(
    level=f"{level:.3g} units", half=f"{half:.3g} units", level_share=prose.percent(level / half),
    l2_90=estimates.median(sphere.l2.mean("direction").sel(path_size=90)),
    **answers.lengths_by_level(by_length.sel(base="random"), by_level.sel(base="random")))

# %% [markdown]
# The ratio lies between {glue:text}`length_smallest` and {glue:text}`length_largest`: over this range
# {glue:text}`length_reverses`, {glue:text}`as_angles`. Where paths end differs as well as where they leave: at 90° on the sphere
# the median output has moved by {glue:text}`l2_90_real` from real bases and by {glue:text}`l2_90_random` from Gaussian ones.
# A far level can be one that paths of one kind hardly reach, so a length is a statement about a level. The published level is
# {glue:text}`level_share` of half the unrelated distance.
#
# ## Close to the base
#
# Where the output is a smooth function of the activation, KL must grow quadratically and L2 linearly. Exponents are slopes of
# log-log curves over the three smallest sizes at which KL exceeds its noise floor of $10^{-6}$ nats.

# %%
small = plateaus.small_perturbations(full)

# %% mystnb={"figure": {"caption": "Growth of KL divergence and L2 distance at small sizes in straight mode, on logarithmic axes. Median and quartiles over all prompts.", "name": "fig-small"}}
fig = plotting.growth(small)
plotting.show(fig, "Log-log curves of KL and L2 against the size of small perturbations.")

# %% [markdown]
# ## Between two real activations, trained and untrained
#
# A shelf that an untrained network shows as well would be no property of training. Between two real activations the output's
# relative distance $d(t)/d(1)$ is followed through the trained network and through two untrained ones of the same
# architecture, one initialized as the model's authors publish, one as the configuration states.

# %%
trained = plateaus.trained_pairs(full)
untrained = plateaus.untrained_pairs(full, "published")
networks = [trained, untrained, plateaus.untrained_pairs(setting, "configured")]

# %% mystnb={"figure": {"caption": "Relative distance of the last block's output from its start along paths between two real activations, linear (left) and along the great circle (right). Median and quartiles over the prompts shown; dotted: a straight line.", "name": "fig-untrained"}}
fig = plotting.pair_curves(findings.by_network(*networks), "resid_post")
plotting.show(fig, "Relative distance against position on the path, for the trained network and two untrained ones.")

# %%
widths = findings.mean_by_network(primaries.great_circle_width, *networks)
slopes = findings.mean_by_network(primaries.linear_slope, *networks)
tables.columns({"mean 10–90 % width (line: 0.8)": widths, "mean maximal slope (line: 1)": slopes})

# %% tags=["remove-cell"]
prose.glue(
    width=widths, shelf=answers.shelf(widths.sel(network="trained")),
    untrained_shelf=answers.shelf(widths.sel(network="untrained (published)")))

# %% [markdown]
# A straight line has a width of 0.8. A width below it means a shelf: the output stays near one end, then crosses. A width
# above 0.8 means less shelf than a line. The trained network's width is {glue:text}`width_trained`, {glue:text}`shelf`; that of
# the network initialized as published {glue:text}`width_untrained_published`, {glue:text}`untrained_shelf`. Both rest on
# {glue:text}`n_documents_used` documents; the network initialized as configured was run on {glue:text}`n_documents_shown`.
#
# ## With a beginning-of-sequence token
#
# The report adds none. The key result {glue:text}`bos_change` one in front of every prompt, and with as many tokens in all, on
# {glue:text}`n_prompts_shown` prompts from {glue:text}`n_documents_bos` documents:

# %%
with_bos = setting.replace(prepend_bos=not prepend_bos)
bos = experiments.threshold_sizes(with_bos, "plateau_thresholds_bos", bases=plateaus.TWO_BASES)
tables.comparison(bos.threshold.isel(kind=0), "base", "real")

# %% [markdown]
# ## Claims
#
# The published statements that this page tests. What decides each was fixed before the chapters were run; the other numbers
# are shown.

# %%
thresholds = estimates.median(own)
gaussian_onset, gap = onset_means.sel(base="random"), estimates.document_mean(onset_gap)

# %% tags=["hide-input"]
judge("C1", onsets.sel(base="real"), gaussian=gaussian_onset, gap=gap, threshold=thresholds.sel(base="real"),
      threshold_gaussian=thresholds.sel(base="random"))

# %%
mean_steps = estimates.mean(steps)
at_half = estimates.document_mean(primaries.length_ratios(distances, [half]).isel(level=0))

# %% tags=["hide-input"]
judge("C2", primaries.length_ratio(full), ratio_of_means=estimates.ratio_of_means(steps, "base", "real", "random"),
      ks=estimates.ks_distance(steps, "base", "real", "random"), real=mean_steps.sel(base="real"),
      gaussian=mean_steps.sel(base="random"), half=estimates.exponential(at_half))

# %% tags=["hide-input"]
judge("C13", primaries.growth_exponent(full), l2=estimates.document_mean(primaries.growth_exponent(full, "l2")))

# %% tags=["hide-input"]
judge("C16", primaries.great_circle_width(untrained), trained=widths.sel(network="trained"),
      slope=slopes.sel(network="untrained (published)"), configuration=widths.sel(network="untrained (configured)"))

# %%
early, late = (primaries.covered(trained, share) for share in (primaries.EARLY, primaries.LATE))
steepest = quantities.steepest(primaries.relative_distance(trained), "t")

# %% tags=["hide-input"]
judge("C17", early, late=estimates.document_mean(late), steepest=estimates.document_mean(steepest),
      at_most_a_quarter=estimates.document_mean(early <= 0.25))

# %% tags=["remove-input"]
verdicts.table(judge.judged)

# %% tags=["remove-cell"]
prose.glue(
    **prose.sample(full, shown=setting), bos_change="without" if prepend_bos else "with",
    n_documents_bos=prose.sample(with_bos)["n_documents_used"],
    answer=answers.plateaus(onset_means, gap, thresholds, claims.estimand("C1").null, sensitivity.KL_THRESHOLD))

# %% [markdown]
# ## What this page does not show
#
# That anything corrects errors. A plateau around real activations and a shorter one around Gaussian ones is what error
# correction predicts, and so do simpler accounts: a network trained on real activations has no reason to be smooth elsewhere.
# Nor that a plateau is longer by any one number: its length depends on the level that ends it, and at a high level it depends
# on where paths end as well. The directions here are Gaussian only; whether some directions matter sooner is the next question.
#
# ## Versions

# %%
tables.provenance(full.provenance)
