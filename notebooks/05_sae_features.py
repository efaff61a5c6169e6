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
import xarray as xr
from myst_nb import glue

from plateaus_utils import arguments, claims, estimates, experiments, findings, kinds, plotting, sensitivity, statistics
from plateaus_utils.book import tables, verdicts
from plateaus_utils.experiments import latents, optima, sensitive
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
over, over_few = {"documents": setting.documents}, {"documents": few.documents}
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
merged = {mode: {kind: sizes[mode].sel(kind=kind).values for kind in main}
          | {str(kind): along[mode].sel(kind=kind).values for kind in along[mode].kind.values} for mode in along}

# %% mystnb={"figure": {"caption": "Threshold sizes along single SAE latents and along other kinds of direction, in sphere mode (left, degrees) and straight mode (right, norms of the base): medians with 95 percent intervals over documents.", "name": "fig-latents"}}
medians = {mode: {kind: bootstrap(statistics.censored_median, values, **over) for kind, values in kinds.items()}
           for mode, kinds in merged.items()}
fig = plotting.dots({"threshold angle (degrees)": medians["sphere"], "threshold α (norms of b)": medians["straight"]})
plotting.show(fig, "Medians and intervals of threshold sizes by kind of direction, two panels.")

# %%
angle = findings.latent_sizes(sizes["sphere"], along["sphere"], main)
tables.comparison(angle, "kind", "real-other")

# %%
tables.comparison(findings.latent_sizes(sizes["straight"], along["straight"], main), "kind", "real-other")

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

# %% mystnb={"figure": {"caption": "Median threshold angle of a direction that is the sum of k latents. Bands: 95 percent intervals over documents.", "name": "fig-spread"}}
fig = plotting.interval_curve(by_number, "k", "threshold angle (degrees)")
plotting.show(fig, "Threshold angle against the number of latents in the sum, for three kinds of sum.")

# %%
limits = {mode: {str(kind): bootstrap(statistics.censored_median, values.sel(kind=kind).values, **over_few)
                 for kind in values.kind.values if kind.endswith(("/1", "/128", "/all"))} for mode, values in spread.items()}
tables.sizes_table(limits)

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
base_medians = {mode: {str(kind): bootstrap(statistics.censored_median, values.sel(kind=kind).values, **over_few)
                       for kind in values.kind.values} for mode, values in around.items()}

# %% mystnb={"figure": {"caption": "Threshold sizes of random directions around bases that an SAE made, in sphere mode (left) and straight mode (right): medians with 95 percent intervals over documents. Real and Gaussian (random) bases for comparison.", "name": "fig-sae-bases"}}
fig = plotting.dots({"threshold angle (degrees)": base_medians["sphere"], "threshold α (norms of b)": base_medians["straight"]})
plotting.show(fig, "Medians and intervals of threshold sizes by kind of base, two panels.")

# %%
tables.sizes_table({"length to half the distance of unrelated outputs (activation units)": base_medians["absolute"]})

# %% [markdown]
# ## On the way to SAE-made targets
#
# Where on the way from a real base to a target does the output change fastest? Targets: a real activation, its reconstruction,
# activations built from other latents, and a Gaussian sample.

# %%
walks = {"real-other": sensitive.walks_to_targets(setting).sel(kind="real-other")}
built = latents.walks_to_built(setting, sae)
walks |= {str(kind): built.sel(kind=kind) for kind in built.kind.values}
walks["random"] = sensitive.walks_to_targets(setting).sel(kind="random")
steep = {effect: {kind: 100 * sensitivity.steepest(walk.path_size.values, walk[effect].values) for kind, walk in walks.items()} for effect in ("l2", "kl")}

# %% mystnb={"figure": {"caption": "Mean position of the steepest step on the way to the target, in percent of the way, by L2 at the last block (left) and KL divergence (right), with 95 percent intervals over documents.", "name": "fig-built-walks"}}
means = {effect: {kind: bootstrap(np.mean, values, **over) for kind, values in kinds.items()} for effect, kinds in steep.items()}
fig = plotting.dots({"steepest step of L2 (% of the way)": means["l2"], "steepest step of KL (% of the way)": means["kl"]})
plotting.show(fig, "Mean position of the steepest step by kind of target, two panels.")

# %% [markdown]
# ## A real-other direction, taken apart
#
# With codes $z$ of target and base, $t - b = \sum_i (z_i(t) - z_i(b))\,d_i$ plus what the SAE does not explain. Which part leaves the
# plateau as early as the whole?

# %%
parts = latents.part_thresholds(few, sae)
part_values = {str(kind): parts.sel(kind=kind).values[:, None] for kind in parts.kind.values}
part_medians = {kind: bootstrap(statistics.censored_median, values, **over_few) for kind, values in part_values.items()}

# %% mystnb={"figure": {"caption": "Threshold angle of real-other directions and of their parts: all changes of latents, the strongest ones, those that are switched on or off, and what the SAE does not explain. Medians with 95 percent intervals over documents.", "name": "fig-parts"}}
fig = plotting.dots({"threshold angle (degrees)": part_medians})
plotting.show(fig, "Medians and intervals of threshold angles of the parts of real-other directions.")

# %%
tables.comparison(parts, "kind", "whole")

# %% [markdown]
# **Not an optimum among its own features?** The report expects that the real-other direction, though an optimum among random ones, is none
# in the span of its own features. Four of the target's active latents are added to and taken from it, a quarter of the target's norm each
# time, against moves as long along Gaussian mixtures.

# %%
moves = latents.mixed_moves(few, sae)
whole, moved = (np.nan_to_num(values, nan=np.inf) for values in (moves.whole.values, moves.moved.values))
lower = {str(sort): (moved[:, i] < whole[:, None]) for i, sort in enumerate(moves.moved_along.values)}
shares = {sort: bootstrap(np.mean, values, **over_few) for sort, values in lower.items()}
any_lower = {sort: statistics.proportion(values.any(1)) for sort, values in lower.items()}
tables.columns_table({"share of moves that lower the threshold": shares, "share of prompts with such a move": any_lower})

# %% mystnb={"figure": {"caption": "Threshold angle of a real-other direction after a move of its target, minus that of the unmoved target, for moves along the target's own latents and along Gaussian mixtures: below zero the move makes the direction more sensitive. Censored angles left out.", "name": "fig-moves"}}
change = {str(sort): (moves.moved.sel(moved_along=sort) - moves.whole).values for sort in moves.moved_along.values}
fig = plotting.histogram_panels({"change of the threshold angle (degrees)": {sort: values[np.isfinite(values)] for sort, values in change.items()}})
plotting.show(fig, "Histograms of the change of the threshold angle by moves along own latents and along mixtures.")

# %% [markdown]
# **Does alignment with a latent predict an early threshold?** For random and real-other directions: the rank correlation of the threshold
# angle with the largest cosine with any latent, and with the share of the direction that lies in the span of the latents active on the base.

# %%
target_angles = {kind: merged["sphere"][kind] for kind in ("random", "real-other")}
nearest = {kind: latents.alignment(setting, sae, kind, 2).numpy() for kind in target_angles}
in_span = {kind: latents.alignment_with_active(setting, sae, kind, setting.draws(2)).numpy() for kind in target_angles}
aligned, spanned = ({kind: bootstrap(statistics.spearman, x[kind], target_angles[kind], **over) for kind in x} for x in (nearest, in_span))
tables.columns_table({"with the nearest latent": aligned, "with the span of active latents": spanned})

# %% mystnb={"figure": {"caption": "Threshold angle of random and real-other directions against their largest cosine with any latent (left) and against the share of their squared length in the span of the latents active on the base (right). One dot a direction; censored angles left out.", "name": "fig-alignment"}}
fig = plotting.scatter_panels({"largest cosine with a latent": nearest, "share in the span of active latents": in_span},
                              target_angles, "threshold angle (degrees)")
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
error_ratios = {name: {str(kind): bootstrap(statistics.ratio_of_means, kl.sel(kind="SAE error").values, kl.sel(kind=kind).values, **over_few)
                       for kind in kl.kind.values if kind != "SAE error"} for name, kl in at_all.items()}
last_ratios = {name: {str(kind): bootstrap(statistics.ratio_of_means, kl.sel(kind="SAE error").values, kl.sel(kind=kind).values, **over_few)
                      for kind in kl.kind.values if kind != "SAE error"} for name, kl in at_last.items()}

# %% mystnb={"figure": {"caption": "Mean KL divergence of the SAE's error over that of other steps of equal length, at all positions but the first (left) and at the last position (right), for each SAE. 95 percent intervals over documents; a value of one means that the error is nothing unusual.", "name": "fig-errors"}}
fig = plotting.grouped_dots({"ratio, all positions": error_ratios, "ratio, last position": last_ratios}, reference=1.0)
plotting.show(fig, "Ratios of mean KL by SAE and comparison, two panels.")

# %% [markdown]
# **Ablating one latent** against doubling it, a step as long towards the reconstruction, and an isotropic one, mean KL in nats:

# %%
ablations = latents.ablation_effects(setting, sae)
mean_kl = {str(kind): bootstrap(np.mean, ablations.sel(kind=kind).values, **over) for kind in ablations.kind.values}
tables.columns_table({"mean KL (nats)": mean_kl}, ".3f")

# %% mystnb={"figure": {"caption": "Mean KL divergence of ablating one active latent and of other steps of the same length, with 95 percent intervals over documents.", "name": "fig-ablations"}}
fig = plotting.dots({"mean KL (nats)": mean_kl})
plotting.show(fig, "Mean KL divergences with intervals of ablating or doubling a latent and of two other steps.")

# %% [markdown]
# ## Sparsity and architecture
#
# KL of a straight step of half the base's norm along latents of each kind, and the threshold angle along active latents, for each SAE.

# %%
effects = latents.latent_effects(setting, dictionaries)
step_kl = {d.name: {str(kind): bootstrap(np.mean, effects[d.name].sel(kind=kind).values, **over) for kind in effects[d.name].kind.values}
           for d in dictionaries}
active = latents.active_thresholds(few, dictionaries)
active_angle = {d.name: bootstrap(statistics.censored_median, active[d.name].values, **over_few) for d in dictionaries}

# %% mystnb={"figure": {"caption": "Mean KL divergence of a straight step of half the base's norm along active, inactive and dead latents of each SAE (left), and the median threshold angle along active ones (right), with 95 percent intervals over documents.", "name": "fig-sparsity"}}
fig = plotting.grouped_dots({"mean KL at α = 0.5 (nats)": step_kl, "threshold angle (degrees)": {name: {"active": value} for name, value in active_angle.items()}})
plotting.show(fig, "KL of steps along latents and threshold angles by SAE, two panels.")

# %% [markdown]
# ## What the encoder makes of a random direction
#
# The report's footnote: a random direction, pushed through an SAE's encoder, switches on ten to thousands of latents. Counts for isotropic
# vectors of the activations' norms, Gaussian samples and real activations. A TopK encoder switches on as many for any input.

# %%
counts = {d.name: latents.codes_switched_on(setting, d) for d in dictionaries}
median_counts = {name: {kind: bootstrap(np.median, values) for kind, values in kinds.items()} for name, kinds in counts.items()}
tables.columns_table(median_counts, ".0f")

# %% mystnb={"figure": {"caption": "How many latents the encoder switches on for isotropic vectors, Gaussian samples and real activations, as decimal logarithms; of the SAE whose number is free, where there is one.", "name": "fig-counts"}}
free = next((d for d in dictionaries if d.sae.cfg.architecture() != "topk"), sae)
logs = {kind: np.log10(np.maximum(values, 1)) for kind, values in counts[free.name].items()}
fig = plotting.histogram_panels({f"log10 of latents switched on, {free.name}": logs})
plotting.show(fig, "Histograms of the number of latents switched on for three sorts of activation.")

# %% [markdown]
# ## Atomic or composite?
#
# {glue:text}`n_latents_used` latents, drawn at random, all tried at the same {glue:text}`n_fixed_used` prompts. Does a latent have a threshold of its own, do thresholds
# fall into groups, and do they relate to how often a latent fires, how close its nearest neighbour is, and how much it stands for one token?

# %%
single = latents.single_latents(setting, sae)
single_angles = np.nan_to_num(single.threshold.values.T, nan=180.0)
per_latent = single_angles.mean(1)
related = {name: bootstrap(statistics.spearman, per_latent, single[name].values) for name in ("frequency", "cosine", "purity")}
reliability = bootstrap(statistics.split_half, single_angles)
groups = statistics.bimodality(per_latent)
tables.interval_table({"split-half reliability over prompts": reliability} | {f"rank correlation with {k}": v for k, v in related.items()}, "value [95 %], over latents")

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
curves = {"trained": latents.relative_curves(few, sae, "trained"), "untrained": latents.relative_curves(fresh, fresh_sae, "untrained")}
half_way = {name: {kind: statistics.half_way_auroc(curve.l2, "kind", kind, "active", few.documents) for kind in ("random", "real-other")}
            for name, curve in curves.items()}
print(f"{fresh_sae.name}: explained variance {fresh_sae.explained_variance:.3f}, L0 {fresh_sae.l0:.0f}")
tables.columns_table({f"AUROC against active latents, {name}": values for name, values in half_way.items()})

# %% [markdown]
# Above one half, active latents matter sooner than the row's kind.
#
# **Early directions and the latents of the prompt.** Among eight random directions of a prompt, are the early ones those that lie more in the span of
# the latents active there? Rank correlation within prompts of threshold angle and that share: {glue:text}`within_random` for random, {glue:text}`within_real`
# for real-other directions. And does that share tell where a real-other direction is an optimum? Over prompts, its rank correlation with the
# margin by which the real-other corner of {doc}`04_local_optima` is a minimum: {glue:text}`optimum_share`.

# %% tags=["remove-cell"]
margins = optima.corner_statistics(optima.triangle_sections(setting, "triangles", n_prompts)).margin.sel(section="real-other").values
corner_share = latents.alignment_with_active(setting, sae, "real-other", setting.draws(3, "triangle")).numpy()[:, 0]
glue("optimum_share", f"{bootstrap(statistics.spearman, corner_share, margins, **over):.2f}", display=False)

# %% tags=["remove-cell"]
forty = setting.first(min(40, n_prompts))
many = sensitive.many_directions(forty)
within = {kind: bootstrap(statistics.within_prompt_spearman, latents.alignment_with_active(forty, sae, kind, forty.draws(8)).numpy(),
                          many.threshold.sel(kind=kind).values, documents=forty.documents, n_boot=1000) for kind in ("random", "real-other")}
glue("within_random", f"{within['random']:.2f}", display=False)
glue("within_real", f"{within['real-other']:.2f}", display=False)

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
cosines = {kind: findings.labelled_like(nearest[kind], sizes["sphere"].sel(kind=kind, drop=True)) for kind in nearest}
judge("C25", random=estimates.spearman(cosines["random"], sizes["sphere"].sel(kind="random", drop=True)),
      real=estimates.spearman(cosines["real-other"], sizes["sphere"].sel(kind="real-other", drop=True)))

# %% tags=["hide-input"]
ablate, _, towards, isotropic = latents.ABLATIONS
judge("C28", ablating=estimates.mean_difference(ablations, "kind", ablate, towards),
      towards=estimates.mean_difference(ablations, "kind", towards, isotropic))

# %% tags=["hide-input"]
switched_on = {kind: xr.DataArray(values, dims="vector") for kind, values in counts[free.name].items()}
middle = estimates.median(switched_on["isotropic"], over="vector").assign_attrs(of=free.name)
judge("C29", isotropic=middle, largest=estimates.estimate(np.max, switched_on["isotropic"], over="vector", n_boot=200),
      real=estimates.median(switched_on["real"], over="vector"),
      withheld=findings.fixed_count(free.sae.cfg.architecture()))

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
glue("studied", setting.description, display=False)
glue("answer", f"With the dictionary {sae.name} (explained variance {sae.explained_variance:.2f}, L0 {sae.l0:.0f}), "
     f"the median threshold angle around real activations with two latents added is {base_medians['sphere']['with 2 more']:.1f}°, against "
     f"{base_medians['sphere']['real']:.1f}° around real and {base_medians['sphere']['random']:.1f}° around Gaussian ones (prediction on plateaus: "
     f"{verdict['(viii)']}). Along active latents it is {medians['sphere']['active']:.1f}°, along random directions {medians['sphere']['random']:.1f}°, along "
     f"real-other ones {medians['sphere']['real-other']:.1f}° (prediction on directions: {verdict['(ix)']}; that single latents are the most sensitive: "
     f"{verdict['(x)']}).", display=False)
glue("sae_name", sae.name, display=False)
glue("sae_kind", "" if sae.is_sae else "It is no SAE but a control, because none is known for this model and layer; so no claim about SAEs is judged.", display=False)
glue("n_prompts_used", setting.n_prompts, display=False)
glue("n_documents_used", len(np.unique(setting.documents)), display=False)
glue("n_few_used", few.n_prompts, display=False)
glue("n_latents_used", single.sizes["latent"], display=False)
glue("n_fixed_used", single.sizes["prompt"], display=False)
glue("bimodal", "better" if groups > 0 else "no better", display=False)
glue("bic", f"{groups:.1f}", display=False)
by_kind = merged["sphere"]
sooner = np.nan_to_num(by_kind["inactive"], nan=np.inf) < np.median(np.nan_to_num(by_kind["random"], nan=np.inf), axis=1, keepdims=True)
glue("share_sooner", f"{bootstrap(lambda x: 100 * x.mean(), sooner, **over):.0f} %", display=False)
glue("spread_gap", f"{estimates.text(spread_gap, '.1f')}°", display=False)

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
