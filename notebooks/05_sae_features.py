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
# | run time | about seven minutes on two cores |
# | sample | {glue:text}`n_prompts_used` prompts from {glue:text}`n_documents_used` documents decide; {glue:text}`n_shown_used` prompts from {glue:text}`n_shown_documents` documents are shown where a caption says so |
#
# ## How good are the SAEs?
#
# No statement below is worth more than the SAE it rests on. *Explained variance* is about the mean of this book's own activations;
# *recovered* is how much of the cross-entropy that mean ablation costs the reconstruction saves on held-out text, from the model card.
# Latents come in frequency bands: *rare* ones are active on at most 1 % of activations, *middle* ones on at most 10 %, *dense* ones on more.
# The columns of L0 say which share of the latents that are active on an activation each band makes up.

# %%
from plateaus_utils import arguments, claims, estimates, experiments, plotting, statistics
from plateaus_utils.book import answers, prose, tables, verdicts
from plateaus_utils.experiments import latents
from plateaus_utils.findings import latents as findings
from plateaus_utils.primaries import latents as primaries

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
saes: list = []  # SAE folders or RELEASE:SAE_ID; none: those that come with the book for this model and layer
n_shown: int = 60  # those of them that curves, maps and illustrations show
device: str = "auto"  # auto, cpu, cuda or mps
dtype: str = "float32"  # floating-point type of the model

# %%
arguments.check_injected(In)
full = experiments.prepare(
    model, results_dir, corpus=corpus, layer=layer, seq_len=seq_len,
    n_prompts=n_prompts, n_others=n_others, seed=seed, prepend_bos=prepend_bos,
    shrinkage=shrinkage, device=device, dtype=dtype)
setting = full.first(min(n_shown, n_prompts))
dictionaries = latents.dictionaries(full, saes)
sae = latents.main_dictionary(dictionaries)
no_sae = None if sae.is_sae else "no SAE is known for this model and layer"
judge = claims.Judge(full.folder, full.made_by, available=full.n_documents_available, withheld=no_sae)
print(f"{full.description}, {corpus}; single SAE: {sae.name}")

# %%
tables.dictionary_table(dictionaries)

# %% [markdown]
# Where an experiment takes one SAE, it is **{glue:text}`sae_name`**: of those with an L0 of about 32 the one that explains most. {glue:text}`sae_kind`
#
# ## Single latents as directions
#
# From real bases, steps along decoder rows. For each prompt two latents that are *active* there are excited (active) and damped (−active), and
# two that are alive elsewhere but *inactive* there are excited. On a median prompt {glue:text}`l0_median` latents are active, and a draw among
# them would mostly give dense ones; so a prompt's two active latents are of different frequency bands where it has them.
#
# The report's random directions run from the base to a Gaussian sample and contain minus the base and the mean. Latents contain neither, so they
# are compared with directions without them: *deviations* from the mean, of a Gaussian sample and of a real activation, and Gaussian *mixtures*.

# %%
angle = latents.latent_thresholds(full, sae, "sphere")  # [prompt, kind, direction]
distance = latents.latent_thresholds(setting, sae, "straight")

# %% mystnb={"figure": {"caption": "Threshold sizes along single SAE latents and along other kinds of direction: angles on the sphere for all prompts (left, degrees), and straight distances for the prompts shown (right, norms of the base). Medians with 95 percent intervals over documents.", "name": "fig-latents"}}
fig = plotting.dots({
    "threshold angle (degrees)": estimates.median(angle), "threshold α (norms of b)": estimates.median(distance)})
plotting.show(fig, "Medians and intervals of threshold sizes by kind of direction, two panels.")

# %%
tables.columns({
    "AUROC, Gaussian deviation above it": findings.above(angle, "random deviation"),
    "AUROC, random mixture above it": findings.above(angle, "random mixture"),
    "AUROC on straight paths, Gaussian deviation above it": findings.above(distance, "random deviation"),
    "censored": estimates.censored(angle)})

# %% [markdown]
# The AUROC is within prompts: the share of a prompt's pairs in which the size along the reference is larger, averaged over documents. Above one
# half, the row's kind matters sooner.
#
# **By frequency band.** Do latents that are active everywhere matter as those do that stand for something rare?

# %%
bands = latents.active_bands(full, sae)  # [prompt, direction]
both_ways = angle.sel(kind=["active", "-active"])
angle_by_band = findings.by_band(estimates.median, both_ways, bands)  # [kind, band]

# %% mystnb={"figure": {"caption": "Threshold angle of exciting (active) and of damping (-active) an active latent, by the frequency band of the latent. Medians over the prompts that drew one of the band, with 95 percent intervals over documents.", "name": "fig-bands"}}
fig = plotting.grouped_dots({"threshold angle (degrees)": angle_by_band})
plotting.show(fig, "Median threshold angles of exciting and damping active latents, by frequency band.")

# %% [markdown]
# ## Spread over many latents
#
# The report guesses that a step along one latent leaves the plateau earlier than one of the same length spread over many. Sums of $k$
# random latents, plain, with random signs, and with the mean row removed; a prompt's sums contain one another. The sum of 128 latents with random
# signs is compared with the first of them for all prompts; the others are shown.

# %%
spread = latents.spread_curves(setting, sae)  # [prompt, kind]
by_number = findings.by_number_of_latents(spread)

# %% mystnb={"figure": {"caption": "Median threshold angle of a direction that is the sum of k latents, for the prompts shown. Bands: 95 percent intervals over documents; what lies beyond the range is drawn at its limit.", "name": "fig-spread"}}
fig = plotting.interval_curve(by_number, "k", "threshold angle (degrees)")
plotting.show(fig, "Threshold angle against the number of latents in the sum, for three kinds of sum.")

# %%
tables.columns({"threshold angle (degrees)": findings.ends_of_sums(spread)})

# %% [markdown]
# "/all" is the limit: for plain sums the mean decoder row, for random signs all alive latents at once.
#
# ## Bases made by the SAE
#
# Directions to Gaussian targets again, but around real activations with two latents removed, two or eight added (as strong as on another prompt
# that they come from), around reconstructions, and around activations built from other latents only: *structured* ones keep the number,
# strengths and cosines with the strongest latent {cite:p}`giglemiani2024synthetic`. A base that moves a little keeps most of its plateau
# whatever the move, so the one with eight more latents is compared with one *moved as far* along a Gaussian deviation from the mean.
# Bases of one prompt differ as much as those of two, so built and Gaussian ones are compared again with {glue:text}`n_built` of either a prompt.

# %%
around = latents.base_thresholds(full, sae, "sphere")  # [prompt, kind]
around_straight = latents.base_thresholds(setting, sae, "straight")

# %% mystnb={"figure": {"caption": "Threshold sizes towards a Gaussian target around bases that an SAE made: angles on the sphere for all prompts (left), and straight distances for the prompts shown (right). Medians with 95 percent intervals over documents. Real and Gaussian (random) bases for comparison.", "name": "fig-sae-bases"}}
fig = plotting.dots({
    "threshold angle (degrees)": estimates.median(around),
    "threshold α (norms of b)": estimates.median(around_straight)})
plotting.show(fig, "Medians and intervals of threshold sizes by kind of base, two panels.")

# %%
tables.comparison(around, "kind", "real")

# %% [markdown]
# *real minus it* is paired within prompts; the AUROC is that of all prompts together.
#
# ## On the way to SAE-made targets
#
# Where on the way from a real base to a target does the output change fastest? Targets: a real activation, its reconstruction, an activation built
# from other latents (structured), and a Gaussian sample.

# %%
steep_l2 = estimates.mean(primaries.steepest(full, sae, "l2"))
steep_kl = estimates.mean(primaries.steepest(full, sae, "kl"))

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
parts = latents.part_thresholds(setting, sae)

# %% mystnb={"figure": {"caption": "Threshold angle of real-other directions and of their parts: all changes of latents, the strongest ones, those that are switched on or off, and what the SAE does not explain. Medians over the prompts shown, with 95 percent intervals over documents.", "name": "fig-parts"}}
fig = plotting.dots({"threshold angle (degrees)": estimates.median(parts)})
plotting.show(fig, "Medians and intervals of threshold angles of the parts of real-other directions.")

# %%
tables.comparison(parts, "kind", "whole")

# %% [markdown]
# **Not an optimum among its own features?** The report expects that the real-other direction, though an optimum among random ones, is none
# in the span of its own features. Two of the target's active latents, of different bands where it has them, are added to and taken from it, a
# quarter of the target's norm each time, against moves as long along two Gaussian mixtures. A direction that is no optimum at all is lowered by half of
# the moves of either sort; only a difference between the two sorts says something about latents.

# %%
moves = latents.mixed_moves(full, sae)
is_lower = primaries.lowered(full, sae)  # [prompt, moved_along, direction]
tables.columns({"share of moves that lower the threshold": estimates.mean(is_lower),
                "share of prompts with such a move": estimates.proportion(is_lower.any("direction"))})

# %% mystnb={"figure": {"caption": "Threshold angle of a real-other direction after a move of its target, minus that of the unmoved target, for moves along the target's own latents and along Gaussian mixtures: below zero the move makes the direction more sensitive. Censored angles left out.", "name": "fig-moves"}}
fig = plotting.histogram_panels(findings.change(moves), by="moved_along")
plotting.show(fig, "Histograms of the change of the threshold angle by moves along own latents and along mixtures.")

# %% [markdown]
# **Does alignment with a latent predict an early threshold?** For many random and real-other directions of each prompt: the rank correlation,
# within prompts, of the threshold angle with the largest cosine with any latent, and with the share of the direction in the span of the latents
# that are active on the base. Prompts differ in both, so a correlation over prompts would mix the two.

# %%
tables.columns({
    "with the nearest latent": findings.over_kinds(primaries.aligned_within(full, sae, "nearest")),
    "with the span of active latents": findings.over_kinds(primaries.aligned_within(full, sae, "in_active"))})

# %% mystnb={"figure": {"caption": "Threshold angle of random and real-other directions against their largest cosine with any latent (left) and against the share of their squared length in the span of the latents active on the base (right). One dot a direction of the prompts shown; censored angles left out.", "name": "fig-alignment"}}
angles, nearest = primaries.angles_and_alignments(full, sae, "nearest")  # [prompt, kind, direction]
in_active = primaries.angles_and_alignments(full, sae, "in_active")[1]
shown = slice(setting.n_prompts)
fig = plotting.scatter_panels(
    nearest.isel(prompt=shown), in_active.isel(prompt=shown), y=angles.isel(prompt=shown), by="kind")
plotting.show(fig, "Two scatter plots of threshold angles against alignment with latents.")

# %% [markdown]
# ## SAE errors and ablations
#
# {cite:t}`gurnee2024sae` finds that replacing an activation by its reconstruction costs several times more than an isotropic step as long;
# {cite:t}`lee2024sensitive` that against mixtures it is nothing unusual. KL of the SAE's error relative to other steps of its length, at all
# positions but the first at once, and at the last one. Means over prompts would be decided by a few of them, so ratios are geometric means.

# %%
errors = latents.errors_by_sae(setting, dictionaries, "all")  # [sae, prompt, kind]
error_ratios = findings.geometric_mean(findings.log_ratios(errors, "SAE error"))
last_errors = latents.errors_by_sae(setting, dictionaries, "last")
last_ratios = findings.geometric_mean(findings.log_ratios(last_errors, "SAE error"))

# %% mystnb={"figure": {"caption": "KL divergence of the SAE's error over that of other steps of equal length, at all positions but the first (left) and at the last position (right), for each SAE: geometric means over the prompts shown, with 95 percent intervals over documents; a value of one means that the error is nothing unusual.", "name": "fig-errors"}}
fig = plotting.grouped_dots({"ratio, all positions": error_ratios, "ratio, last position": last_ratios}, reference=1.0)
plotting.show(fig, "Ratios of KL divergences by SAE and comparison, two panels.")

# %% [markdown]
# **Ablating one latent** against doubling it, a step as long towards the reconstruction, and an isotropic one. The latents are those of
# {numref}`fig-bands`, so that no band decides alone.

# %%
ablations = latents.ablation_effects(full, sae)  # [prompt, kind, direction]
ablating = findings.log_ratios(ablations, "ablate a latent")
ratio_by_band = findings.by_band(findings.geometric_mean, ablating, bands)  # [kind, band]

# %% mystnb={"figure": {"caption": "KL divergence of ablating an active latent over that of another step of the same length, by the frequency band of the latent: geometric means with 95 percent intervals over documents; a value of one means that ablating is nothing unusual.", "name": "fig-ablations"}}
fig = plotting.grouped_dots({"ratio of KL divergences": ratio_by_band}, reference=1.0)
plotting.show(fig, "Ratios of the KL divergence of ablating a latent to that of three other steps, by frequency band.")

# %%
tables.columns({"median KL (nats)": estimates.median(ablations)}, ".4f")

# %% [markdown]
# ## Sparsity and architecture
#
# KL of a straight step of half the base's norm along latents of each kind, and the threshold angle along active latents, for each SAE. A statement about
# sparsity has SAEs as its unit. There are {glue:text}`n_family` of one architecture here, too few to judge by; their rank correlation with L0 is
# {glue:text}`steps_l0` for the KL along active latents, with an interval that knows the documents alone.

# %%
effects = latents.latent_effects(setting, dictionaries)  # [sae, prompt, kind, direction]
active_angle = estimates.median(latents.active_thresholds(setting, dictionaries).expand_dims(kind=["active"], axis=1))

# %% mystnb={"figure": {"caption": "Geometric mean of the KL divergence of a straight step of half the base's norm along active, inactive and dead latents of each SAE (left), and the median threshold angle along active ones (right), over the prompts shown, with 95 percent intervals over documents.", "name": "fig-sparsity"}}
fig = plotting.grouped_dots({
    "KL at α = 0.5 (nats)": findings.geometric_mean(findings.logarithms(effects)),
    "threshold angle (degrees)": active_angle})
plotting.show(fig, "KL of steps along latents and threshold angles by SAE, two panels.")

# %% [markdown]
# ## What the encoder makes of a random direction
#
# The report's footnote: a random direction, pushed through an SAE's encoder, switches on ten to thousands of latents. Here each document's activation
# is replaced by an isotropic vector of its norm, or by a Gaussian sample, and the latents that the encoder of {glue:text}`sae_name` switches on are
# counted. For isotropic vectors the smallest number is {glue:text}`fewest_isotropic`, the largest {glue:text}`most_isotropic`. A TopK
# encoder would switch on as many for any input.

# %%
counts = latents.codes_switched_on(full, sae)  # [prompt, kind]
tables.columns({"median number switched on": estimates.median(counts)}, ".0f")

# %% mystnb={"figure": {"caption": "How many latents the encoder switches on for isotropic vectors, Gaussian (random) samples and real activations, as decimal logarithms; one of each for every document.", "name": "fig-counts"}}
fig = plotting.histogram_panels(findings.decimal_logarithms(counts), by="kind")
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
fresh, fresh_sae = latents.untrained_control(setting)
curves = {"trained": latents.relative_curves(setting, sae, "trained"),
          "untrained": latents.relative_curves(fresh, fresh_sae, "untrained")}
print(f"{fresh_sae.name}: explained variance {fresh_sae.explained_variance:.3f}, L0 {fresh_sae.l0:.0f}")
separations = findings.half_way_separation(curves)  # [network, kind]
tables.matrix(separations.transpose("kind", "network"), heading="AUROC against active latents, {}")

# %% [markdown]
# Above one half, active latents matter sooner than the row's kind.
#
# ## The total number of features
#
# The report hopes that the behaviour of latents says something about how many features there are. What was measured: a random inactive latent leaves
# the plateau before a Gaussian deviation in {glue:text}`inactive_sooner` of a prompt's pairs, and a sum of 128 latents has a threshold angle that is
# {glue:text}`spread_gap` larger than that of one of them. Neither counts features. If every direction that is more sensitive than random were a feature,
# the first number would bound how many rows of this dictionary are none; but sensitivity also grows with the share of a direction in the subspace
# that later blocks read, and any dictionary that avoids directions of small variance has more of it. The second depends on how far latents
# are from orthogonal. A count would need directions found without a dictionary, and a test that tells one feature from a sum of two.
#
# ## Claims

# %% tags=["hide-input"]
judge("C29", primaries.switched_on_over_real(full, sae), withheld=findings.fixed_count(sae.sae.cfg.architecture()),
      isotropic=primaries.mean_count(full, sae, "isotropic"), real=primaries.mean_count(full, sae, "real"),
      gaussian=primaries.mean_count(full, sae, "random"))

# %% tags=["hide-input"]
judge("(viii)", primaries.with_latents_added(full, sae),
      added=primaries.gap(full, sae, "with 8 more", "real"), moved=primaries.gap(full, sae, "moved as far", "real"),
      gaussian=primaries.gap(full, sae, "with 8 more", "random"))

# %% tags=["hide-input"]
judge("(ix)", primaries.active_before_deviation(full, sae),
      damping=primaries.sooner(full, sae, "-active", "random deviation"),
      mixture=primaries.sooner(full, sae, "active", "random mixture"),
      deviation=primaries.sooner(full, sae, "active", "real deviation"),
      inactive=primaries.sooner(full, sae, "inactive", "random deviation"))

# %% tags=["hide-input"]
judge("(x)", primaries.one_before_many(full, sae), real=primaries.sooner(full, sae, "active", "real-other"))

# %% tags=["hide-input"]
judge("C9", primaries.own_minus_mixtures(full, sae), own=primaries.share_lowered(full, sae, "own latents"),
      mixtures=primaries.share_lowered(full, sae, "mixtures"), any=primaries.any_lowered(full, sae))

# %% tags=["hide-input"]
judge("C3", primaries.built_over_gaussian(full, sae),
      real=primaries.angle_ratio(full, sae, "built, structured", "real"),
      random=primaries.angle_ratio(full, sae, "built, random latents", "random"))

# %% tags=["hide-input"]
judge("C6", primaries.steepest_towards_built(full, sae),
      real=primaries.steepest_gap(full, sae, "built, structured", "real-other"),
      reconstruction=primaries.steepest_gap(full, sae, "reconstruction", "real-other"))

# %% tags=["hide-input"]
family = findings.of_one_architecture(dictionaries)
judge("C10", primaries.error_over_isotropic(full, sae), last=primaries.error_ratio(full, sae, "isotropic", "last"),
      l0=findings.ratio_against_l0(errors, family))

# %% tags=["hide-input"]
judge("C11", primaries.error_over_mixture(full, sae), real=primaries.error_ratio(full, sae, "real mixture", "all"))

# %% tags=["hide-input"]
judge("C25", primaries.alignment_within(full, sae), real=primaries.aligned(full, sae, "real-other"),
      between=primaries.alignment_between(full, sae))

# %% tags=["hide-input"]
judge("C28", primaries.ablating_over_reconstructing(full, sae),
      towards=primaries.ablation_ratio(full, sae, "towards the reconstruction", "isotropic"),
      doubling=primaries.ablation_ratio(full, sae, "ablate a latent", "double a latent"))

# %% tags=["remove-input"]
verdicts.table(judge.judged)

# %% tags=["remove-cell"]
prose.glue(
    **prose.sample(full), n_shown_used=setting.n_prompts, n_shown_documents=len(set(setting.documents)),
    sae_name=sae.name, sae_kind=answers.sae_kind(sae), answer=answers.latents(sae, judge.judged))

# %% tags=["remove-cell"]
prose.glue(
    n_latents_used=single.sizes["latent"], n_fixed_used=single.sizes["prompt"],
    **answers.groups(statistics.bimodality(per_latent.values)),
    n_built=latents.N_BUILT, n_family=len(family), steps_l0=findings.steps_against_l0(effects, family),
    **answers.encoder_counts(counts),
    inactive_sooner=prose.percent(primaries.sooner(full, sae, "inactive", "random deviation").value),
    spread_gap=estimates.document_mean(primaries.one_before_many(full, sae)))

# %% [markdown]
# ## What this page does not show
#
# That latents are, or are not, the features the model computes with: an SAE finds what is frequent in its training text, and these are small, trained on a few
# million tokens. One SAE decides; how the verdicts would turn out with another one of its kind, or of another size, is not in any interval. Steps along a
# latent leave the set of activations that occur, as all others here do. The threshold of a direction depends on how much of it later blocks read
# at all, which a dictionary's rows share with any direction of large variance; the mixtures are the comparison for that. The bands are those of this
# corpus: what is rare in encyclopedia articles may be common elsewhere.
#
# ## Versions

# %%
tables.provenance(full.provenance)
