# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # SAE features
#
# **Question.** Do the latents of a sparse autoencoder behave like the model's own features? The report predicts two things and
# tests neither: that there are plateaus around activations to which a few latents were added, and that steps along single latents
# leave the plateau early, earlier than steps spread over many.
#
# **Answer for this run** ({glue:text}`studied`). {glue:text}`answer`
#
# | | |
# | --- | --- |
# | prerequisites | {doc}`02_activation_plateaus`, {doc}`03_sensitive_directions` |
# | run time | about eight minutes on two cores |
# | sample | {glue:text}`n_prompts_used` prompts from {glue:text}`n_documents_used` documents, {glue:text}`n_few_used` of them in the longer experiments |
#
# ## How good are the SAEs?
#
# No statement below is worth more than the SAE it rests on. *Explained variance* is about the mean of this book's own activations;
# *recovered* is how much of the cross-entropy that mean ablation costs the reconstruction saves on held-out text, from the model card.

# %%
import numpy as np

from plateaus_utils import arguments, claims, estimates, experiments, kinds, plotting, statistics
from plateaus_utils.book import prose, tables, verdicts
from plateaus_utils.experiments import latents, sensitive
from plateaus_utils.findings import latents as findings

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
saes: list = []  # SAE folders or RELEASE:SAE_ID; none: those that come with the book for this model and layer
n_few: int = 100  # base prompts of the longer experiments
device: str = "auto"  # auto, cpu, cuda or mps
dtype: str = "float32"  # floating-point type of the model

# %%
arguments.check_injected(In)
setting = experiments.prepare(
    model, results_dir, corpus=corpus, layer=layer, seq_len=seq_len,
    n_prompts=n_prompts, n_others=n_others, seed=seed, prepend_bos=prepend_bos,
    shrinkage=shrinkage, device=device, dtype=dtype)
few = setting.first(min(n_few, n_prompts))
dictionaries = latents.dictionaries(setting, saes)
sae = latents.main_dictionary(dictionaries)
no_sae = None if sae.is_sae else "no SAE is known for this model and layer"
judge = claims.Judge(model, setting.folder, setting.made_by, withheld=no_sae)
print(f"{setting.description}, {corpus}; single SAE: {sae.name}")

# %%
tables.dictionary_table(dictionaries)

# %% [markdown]
# Where an experiment takes one SAE, it is **{glue:text}`sae_name`**: of those with an L0 of about 32 the one that explains most. {glue:text}`sae_kind`
#
# ## Single latents as directions
#
# From real bases, steps along decoder rows drawn at random for each prompt: *active* latents (plus: exciting, minus: damping),
# *inactive* ones that are alive elsewhere, and *dead* ones, against the directions of {doc}`03_sensitive_directions`.

# %%
sizes = {mode: sensitive.direction_thresholds(setting, mode).threshold for mode in ("sphere", "straight")}
along = {mode: latents.latent_thresholds(setting, sae, mode) for mode in ("sphere", "straight")}
main = list(kinds.MAIN_DIRECTIONS)
angle = findings.latent_sizes(sizes["sphere"], along["sphere"], main)
distance = findings.latent_sizes(sizes["straight"], along["straight"], main)

# %% mystnb={"figure": {"caption": "Threshold sizes along single SAE latents and along other kinds of direction, in sphere mode (left, degrees) and straight mode (right, norms of the base): medians with 95 percent intervals over documents.", "name": "fig-latents"}}
angle_median, distance_median = estimates.median(angle), estimates.median(distance)
fig = plotting.dots({"threshold angle (degrees)": angle_median, "threshold α (norms of b)": distance_median})
plotting.show(fig, "Medians and intervals of threshold sizes by kind of direction, two panels.")

# %%
tables.comparison(angle, "kind", "real-other")

# %%
tables.comparison(distance, "kind", "real-other")

# %% [markdown]
# *difference* is real-other minus the row's kind, paired within prompts; *AUROC* the probability that the real-other size is the larger
# one: above one half, the row's kind matters sooner.
#
# ## Spread over many latents
#
# The report guesses that a step along one latent leaves the plateau earlier than one of the same length spread over many. Sums of $k$
# random latents, plain, with random signs, and with the mean row removed; a prompt's sums contain one another.

# %%
spread = {mode: latents.spread_thresholds(few, sae, mode) for mode in ("sphere", "straight")}
by_number = findings.by_number_of_latents(spread["sphere"])

# %% mystnb={"figure": {"caption": "Median threshold angle of a direction that is the sum of k latents. Bands: 95 percent intervals over documents; what lies beyond the range is drawn at its limit.", "name": "fig-spread"}}
fig = plotting.interval_curve(by_number, "k", "threshold angle (degrees)")
plotting.show(fig, "Threshold angle against the number of latents in the sum, for three kinds of sum.")

# %%
tables.columns({mode: findings.ends_of_sums(found) for mode, found in spread.items()})

# %% [markdown]
# "/all" is the limit: for plain sums the mean decoder row, for random signs all alive latents at once.
#
# ## Bases made by the SAE
#
# Random directions again, but around real activations with two latents removed, two or eight added (as strong as on another prompt that
# they come from), around reconstructions, and around activations built from other latents only: *structured* ones keep the number,
# strengths and cosines with the strongest latent {cite:p}`giglemiani2024synthetic`.

# %%
around = {mode: latents.base_thresholds(few, sae, mode) for mode in ("sphere", "straight", "absolute")}
base_medians = {mode: estimates.median(found) for mode, found in around.items()}

# %% mystnb={"figure": {"caption": "Threshold sizes of random directions around bases that an SAE made, in sphere mode (left) and straight mode (right): medians with 95 percent intervals over documents. Real and Gaussian (random) bases for comparison.", "name": "fig-sae-bases"}}
fig = plotting.dots({
    "threshold angle (degrees)": base_medians["sphere"], "threshold α (norms of b)": base_medians["straight"]})
plotting.show(fig, "Medians and intervals of threshold sizes by kind of base, two panels.")

# %%
tables.columns({
    "length to half the distance of unrelated outputs (activation units)": base_medians["absolute"]})

# %% [markdown]
# ## On the way to SAE-made targets
#
# Where on the way from a real base to a target does the output change fastest? Targets: a real activation, its reconstruction,
# activations built from other latents, and a Gaussian sample.

# %%
walks = findings.walks(setting, sae)
steep_l2, steep_kl = (estimates.mean(findings.steepest_towards(walks, effect)) for effect in ("l2", "kl"))

# %% mystnb={"figure": {"caption": "Mean position of the steepest step on the way to the target, in percent of the way, by L2 at the last block (left) and KL divergence (right), with 95 percent intervals over documents.", "name": "fig-built-walks"}}
fig = plotting.dots({
    "steepest step of L2 (% of the way)": steep_l2, "steepest step of KL (% of the way)": steep_kl})
plotting.show(fig, "Mean position of the steepest step by kind of target, two panels.")

# %% [markdown]
# ## A real-other direction, taken apart
#
# With codes $z$ of target and base, $t - b = \sum_i (z_i(t) - z_i(b))\,d_i$ plus what the SAE does not explain. Which part leaves the
# plateau as early as the whole?

# %%
parts = latents.part_thresholds(few, sae)

# %% mystnb={"figure": {"caption": "Threshold angle of real-other directions and of their parts: all changes of latents, the strongest ones, those that are switched on or off, and what the SAE does not explain. Medians with 95 percent intervals over documents.", "name": "fig-parts"}}
fig = plotting.dots({"threshold angle (degrees)": estimates.median(parts)})
plotting.show(fig, "Medians and intervals of threshold angles of the parts of real-other directions.")

# %%
tables.comparison(parts, "kind", "whole")

# %% [markdown]
# **Not an optimum among its own features?** The report expects that the real-other direction, though an optimum among random ones, is none
# in the span of its own features. Four of the target's active latents are added to and taken from it, a quarter of the target's norm each
# time, against moves as long along Gaussian mixtures.

# %%
moves = latents.mixed_moves(few, sae)
is_lower = findings.lowered(moves)  # [prompt, moved_along, direction]
tables.columns({"share of moves that lower the threshold": estimates.mean(is_lower),
                "share of prompts with such a move": estimates.proportion(is_lower.any("direction"))})

# %% mystnb={"figure": {"caption": "Threshold angle of a real-other direction after a move of its target, minus that of the unmoved target, for moves along the target's own latents and along Gaussian mixtures: below zero the move makes the direction more sensitive. Censored angles left out.", "name": "fig-moves"}}
fig = plotting.histogram_panels(findings.change(moves), by="moved_along")
plotting.show(fig, "Histograms of the change of the threshold angle by moves along own latents and along mixtures.")

# %% [markdown]
# **Does alignment with a latent predict an early threshold?** For random and real-other directions: the rank correlation of the threshold
# angle with the largest cosine with any latent, and with the share of the direction that lies in the span of the latents active on the base.

# %%
kinds = ["random", "real-other"]
target_angles = sizes["sphere"].sel(kind=kinds).assign_attrs(description="threshold angle")
nearest = findings.nearest_latent(setting, sae, kinds)  # [prompt, kind, direction]
in_span = findings.share_in_span(setting, sae, kinds)
aligned = estimates.spearman(nearest, target_angles)
tables.columns({"with the nearest latent": aligned,
                "with the span of active latents": estimates.spearman(in_span, target_angles)})

# %% mystnb={"figure": {"caption": "Threshold angle of random and real-other directions against their largest cosine with any latent (left) and against the share of their squared length in the span of the latents active on the base (right). One dot a direction; censored angles left out.", "name": "fig-alignment"}}
fig = plotting.scatter_panels(nearest, in_span, y=target_angles, by="kind")
plotting.show(fig, "Two scatter plots of threshold angles against alignment with latents.")

# %% [markdown]
# ## SAE errors and ablations
#
# {cite:t}`gurnee2024sae` finds that replacing an activation by its reconstruction costs several times more than an isotropic step as long;
# {cite:t}`lee2024sensitive` that against mixtures it is nothing unusual. KL of the SAE's error relative to other steps of its length, for
# each SAE, at all positions but the first:

# %%
at_all = {d.name: latents.error_effects(few, d, True) for d in dictionaries}
at_last = {d.name: latents.error_effects(few, d, False) for d in dictionaries}
error_ratios = findings.by_sae(findings.error_ratio, at_all)  # [sae, kind]
last_ratios = findings.by_sae(findings.error_ratio, at_last)

# %% mystnb={"figure": {"caption": "Mean KL divergence of the SAE's error over that of other steps of equal length, at all positions but the first (left) and at the last position (right), for each SAE. 95 percent intervals over documents; a value of one means that the error is nothing unusual.", "name": "fig-errors"}}
fig = plotting.grouped_dots({"ratio, all positions": error_ratios, "ratio, last position": last_ratios}, reference=1.0)
plotting.show(fig, "Ratios of mean KL by SAE and comparison, two panels.")

# %% [markdown]
# **Ablating one latent** against doubling it, a step as long towards the reconstruction, and an isotropic one, mean KL in nats:

# %%
ablations = latents.ablation_effects(setting, sae)
mean_kl = estimates.mean(ablations)
tables.columns({"mean KL (nats)": mean_kl}, ".3f")

# %% mystnb={"figure": {"caption": "Mean KL divergence of ablating one active latent and of other steps of the same length, with 95 percent intervals over documents.", "name": "fig-ablations"}}
fig = plotting.dots({"mean KL (nats)": mean_kl})
plotting.show(fig, "Mean KL divergences with intervals of ablating or doubling a latent and of two other steps.")

# %% [markdown]
# ## Sparsity and architecture
#
# KL of a straight step of half the base's norm along latents of each kind, and the threshold angle along active latents, for each SAE.

# %%
effects = latents.latent_effects(setting, dictionaries)
active = latents.active_thresholds(few, dictionaries)
step_kl = findings.by_sae(estimates.mean, effects)  # [sae, kind]
active_angle = findings.by_sae(estimates.median, active)

# %% mystnb={"figure": {"caption": "Mean KL divergence of a straight step of half the base's norm along active, inactive and dead latents of each SAE (left), and the median threshold angle along active ones (right), with 95 percent intervals over documents.", "name": "fig-sparsity"}}
fig = plotting.grouped_dots({"mean KL at α = 0.5 (nats)": step_kl, "threshold angle (degrees)": active_angle})
plotting.show(fig, "KL of steps along latents and threshold angles by SAE, two panels.")

# %% [markdown]
# ## What the encoder makes of a random direction
#
# The report's footnote: a random direction, pushed through an SAE's encoder, switches on ten to thousands of latents. Counts for isotropic
# vectors of the activations' norms, Gaussian samples and real activations. A TopK encoder switches on as many for any input.

# %%
counts = findings.switched_on(setting, dictionaries)  # [sae, kind, vector]
median_counts = estimates.median(counts, over="vector")
tables.matrix(median_counts.transpose("kind", "sae"), spec=".0f")

# %% mystnb={"figure": {"caption": "How many latents the encoder switches on for isotropic vectors, Gaussian samples and real activations, as decimal logarithms; of the SAE whose number is free, where there is one.", "name": "fig-counts"}}
free = next((d for d in dictionaries if d.sae.cfg.architecture() != "topk"), sae)
fig = plotting.histogram_panels(findings.decimal_logarithms(counts, free.name), by="kind")
plotting.show(fig, "Histograms of the number of latents switched on for three sorts of activation.")

# %% [markdown]
# ## Atomic or composite?
#
# {glue:text}`n_latents_used` latents, drawn at random, all tried at the same {glue:text}`n_fixed_used` prompts. Does a latent have a threshold of its own, do thresholds
# fall into groups, and do they relate to how often a latent fires, how close its nearest neighbour is, and how much it stands for one token?

# %%
single = latents.single_latents(setting, sae)
per_latent = findings.mean_angles(single)
tables.columns({"value [95 %], over latents": findings.relations(single)})

# %% mystnb={"figure": {"caption": "Mean threshold angle of single latents over fixed prompts: histogram, and against the share of activations on which a latent is active and its largest cosine with another one. One dot a latent; censored angles count as 180 degrees.", "name": "fig-single"}}
fig = plotting.single_latents(per_latent, single)
plotting.show(fig, "Histogram of mean threshold angles of latents, and two scatter plots against frequency and cosine.")

# %% [markdown]
# A mixture of two normal distributions describes the latents' mean angles {glue:text}`bimodal` than a single one (difference of BIC
# {glue:text}`bic`). The ten latents at each end, with the tokens that activate them most:

# %%
tables.extreme_latents(single, per_latent)

# %% [markdown]
# ## Control: an SAE of an untrained network
#
# The same network with fresh weights, and the dictionary that is named below: an SAE of the same size trained on it where one comes with the book,
# its principal components otherwise. Its absolute KL may never reach a threshold, so the angle at which a curve reaches half of its own value at 90°
# is compared, by L2 at the last block.

# %%
fresh, fresh_sae = latents.untrained_control(few)
curves = {"trained": latents.relative_curves(few, sae, "trained"),
          "untrained": latents.relative_curves(fresh, fresh_sae, "untrained")}
print(f"{fresh_sae.name}: explained variance {fresh_sae.explained_variance:.3f}, L0 {fresh_sae.l0:.0f}")
separations = findings.half_way_separation(curves)  # [network, kind]
tables.matrix(separations.transpose("kind", "network"), heading="AUROC against active latents, {}")

# %% [markdown]
# Above one half, active latents matter sooner than the row's kind.
#
# **Early directions and the latents of the prompt.** Among eight random directions of a prompt, are the early ones those that lie more in the span of
# the latents active there? Rank correlation within prompts of threshold angle and that share: {glue:text}`within_random` for random, {glue:text}`within_real_other`
# for real-other directions. And does that share tell where a real-other direction is an optimum? Over prompts, its rank correlation with the
# margin by which the real-other corner of {doc}`04_local_optima` is a minimum: {glue:text}`optimum_share`.

# %% tags=["remove-cell"]
forty = setting.first(min(40, n_prompts))
many = sensitive.many_directions(forty).threshold.sel(kind=kinds)
within = estimates.within_spearman(findings.share_in_span(forty, sae, kinds, k=8), many, n_boot=1000)
prose.glue(optimum_share=findings.optimum_share(setting, sae, n_prompts), within=within)

# %% [markdown]
# ## The total number of features
#
# The report hopes that the behaviour of latents says something about how many features there are. What was measured: of single latents
# {glue:text}`share_sooner` leave the plateau before the median random direction of the same prompt, and a sum of 128 latents has a threshold
# {glue:text}`spread_gap` larger than a single one. Neither counts features. If every direction that is more sensitive than random were a feature, the first number
# times the number of latents would be a lower bound for this dictionary, but sensitivity also grows with the share of a direction
# in the subspace that later blocks read, and any dictionary that avoids directions of small variance has more of it. The second depends on how far latents
# are from orthogonal. A count would need directions found without a dictionary, and a test that tells one feature from a sum of two.
#
# ## Claims

# %% tags=["hide-input"]
absolute = around["absolute"]
length = absolute.fillna(absolute.limit)
structured = "built, structured"
judge("C3", structured_gaussian=estimates.ratio_of_means(length, "kind", structured, "random"),
      structured_real=estimates.ratio_of_means(length, "kind", structured, "real"),
      random_real=estimates.ratio_of_means(length, "kind", "built, random latents", "real"))

# %% tags=["hide-input"]
towards_l2 = findings.steepest_towards(walks, "l2")
judge("C6", reconstruction=estimates.mean_difference(towards_l2, "kind", "reconstruction", "real-other"),
      structured=estimates.mean_difference(towards_l2, "kind", structured, "reconstruction"),
      random=estimates.mean_difference(towards_l2, "kind", "random", structured))

# %% tags=["hide-input"]
is_lower = findings.lowered(moves)
judge("C9", gain=estimates.mean_difference(is_lower, "moved_along", "own latents", "mixtures"),
      share=estimates.mean(is_lower.sel(moved_along="own latents")),
      any=estimates.proportion(is_lower.sel(moved_along="own latents").any("direction")))

# %% tags=["hide-input"]
family = [d for d in dictionaries if d.sae.cfg.architecture() == "topk"] or dictionaries
l0 = [d.l0 for d in family]
errors = at_all[sae.name]
judge("C10", ratio=estimates.ratio_of_means(errors, "kind", "SAE error", "isotropic").assign_attrs(of=sae.name),
      l0=findings.ratio_against_l0({d.name: at_all[d.name] for d in family}, l0))
judge("C11", ratio=estimates.ratio_of_means(errors, "kind", "SAE error", "random mixture").assign_attrs(of=sae.name))

# %% tags=["hide-input"]
sparsest = effects[family[0].name]
gain = estimates.mean_difference(sparsest, "kind", "active", "inactive")
judge("C15", l0=findings.steps_against_l0({d.name: effects[d.name] for d in family}, l0),
      gain=gain.assign_attrs(of=family[0].name))

# %% tags=["hide-input"]
judge("C25", random=aligned.sel(kind="random"), real=aligned.sel(kind="real-other"))

# %% tags=["hide-input"]
ablate, _, towards, isotropic = latents.ABLATIONS
judge("C28", ablating=estimates.mean_difference(ablations, "kind", ablate, towards),
      towards=estimates.mean_difference(ablations, "kind", towards, isotropic))

# %% tags=["hide-input"]
switched_on = median_counts.sel(sae=free.name)
isotropic_counts = counts.sel(sae=free.name, kind="isotropic", drop=True)
judge("C29", isotropic=switched_on.sel(kind="isotropic").assign_attrs(of=free.name),
      largest=estimates.estimate(np.max, isotropic_counts, over="vector", n_boot=200),
      real=switched_on.sel(kind="real"), withheld=findings.fixed_count(free.sae.cfg.architecture()))

# %% tags=["hide-input"]
sphere = around["sphere"]
judge("(viii)", added=estimates.difference(sphere, "kind", "with 2 more", "random"),
      taken=estimates.difference(sphere, "kind", "without 2 latents", "random"),
      auroc=estimates.auroc(sphere, "kind", "real", "with 2 more"))

# %% tags=["hide-input"]
judge("(ix)", gain=estimates.difference(angle, "kind", "random", "active"),
      random=estimates.auroc(angle, "kind", "random", "active"),
      real=estimates.auroc(angle, "kind", "active", "real-other"))

# %% tags=["hide-input"]
spread_gap = estimates.difference(spread["sphere"], "kind", "random signs/128", "random signs/1")
judge("(x)", latent=estimates.difference(angle, "kind", "real-other", "active"), spread=spread_gap)

# %% tags=["remove-input"]
verdicts.table(judge.judged)

# %% tags=["remove-cell"]
verdict = {claim["id"]: claim["verdict"] for claim in judge.judged}
prose.glue(
    **prose.sample(setting), n_few_used=few.n_prompts, sae_name=sae.name, sae_kind=prose.sae_kind(sae),
    answer=prose.latents(sae, base_medians["sphere"], angle_median, verdict))

# %% tags=["remove-cell"]
prose.glue(
    n_latents_used=single.sizes["latent"], n_fixed_used=single.sizes["prompt"],
    **prose.groups(statistics.bimodality(per_latent.values)),
    share_sooner=prose.percent(estimates.mean(findings.sooner(angle, "inactive"))), spread_gap=spread_gap)

# %% [markdown]
# ## What this page does not show
#
# That latents are, or are not, the features the model computes with: an SAE finds what is frequent in its training text, and these are small, trained on a few
# million tokens. Steps along a latent leave the set of activations that occur, as all others here do. The threshold of a direction depends on how much
# of it later blocks read at all, which a dictionary's rows share with any direction of large variance; the mixtures are the comparison for that.
#
# ## Versions

# %%
tables.provenance(setting.provenance)
