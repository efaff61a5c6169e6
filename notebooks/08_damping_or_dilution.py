# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Damping or dilution
#
# **Question.** Around real activations the output is many times less curved than around Gaussian ones. Where in the network
# does the difference arise: do blocks damp the perturbation, does a growing stream dilute it, or neither?
#
# **Answer for this run** ({glue:text}`studied`). {glue:text}`answer`
#
# | | |
# | --- | --- |
# | prerequisites | {doc}`02_activation_plateaus`, {doc}`06_trivial_explanations` |
# | run time | about two and a half minutes on two cores |
# | what decides C21 | the first {glue:text}`n_pairs` prompts, one path each |
# | tangents and transplants | the first {glue:text}`n_prompts_shown` prompts, from {glue:text}`n_documents_shown` documents, one direction each |
#
# What each hypothesis predicts, and what would refute it. The bounds were fixed before the first run, and a hypothesis is
# refuted by one of its rows.
#
# | hypothesis | at a real base | predicts | refuted if |
# | --- | --- | --- | --- |
# | *correction* | few MLPs make $\lVert\delta\rVert$ smaller | δ in MLPs makes at least half of the gap; three MLPs carry at least 60 % of that; the real run's gates, held in the Gaussian run, restore at least half | an interval lies below one of these bounds |
# | *dilution* | $\lVert x\rVert$ grows, nothing makes $\lVert\delta\rVert$ smaller | growth of the stream makes at least half of the gap; the real run's scales restore at least half | an interval lies below one of these bounds |
# | *generic smooth* | every block does a little, by no part in particular | three MLPs carry less than 60 % of δ in MLPs; no part of one third of the blocks restores a quarter | an interval lies above one of these bounds |
#
# The *gap* is the logarithm of the ratio of curvatures, Gaussian over real base.

# %%
from plateaus_utils import arguments, claims, estimates, experiments, plotting
from plateaus_utils.book import answers, prose, tables, verdicts
from plateaus_utils.experiments import damping, explanations
from plateaus_utils.findings import damping as findings
from plateaus_utils.primaries import damping as primaries

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
# ## A tangent on its way
#
# At a base $b$ an infinitely small step across, $\delta_0 = \lVert b\rVert u_\perp$ towards a Gaussian target, is carried through
# the blocks by forward-mode differentiation, together with the stream $x$. Four numbers are followed after each attention and
# each MLP: $\log\lVert\delta\rVert$; $\log\lVert x\rVert$; the logarithm of their ratio; and what the output would read of $\delta$ if it
# went straight to the final norm, its Fisher norm $\sqrt{\delta^\top F\delta}$ there. Twice the last, after the last block, is the
# log curvature of the KL divergence. A contraction is a negative change of the first number.
#
# Beside real and Gaussian bases stand midpoints of two real activations, the dataset mean, real activations with permuted
# scores, and *matched* bases: Gaussian ones of the real base's norm, of sixteen the one whose output entropy is nearest.

# %%
steps = damping.tangents(setting)
changes = findings.changes(steps)  # [quantity, prompt, base, part, block]
shown = estimates.document_means(changes.sel(base=["real", "random", damping.MATCHED]))

# %% mystnb={"figure": {"caption": "Change of the four numbers in the attention (left) and in the MLP (right) of each block, around real, Gaussian and matched bases. Means over documents with 95 percent intervals; dotted: no change.", "name": "fig-changes"}}
fig = plotting.change_panels(shown, findings.QUANTITIES)
plotting.show(
    fig, "Eight panels of lines against the block: changes of tangent, stream, their ratio and what the output reads.")

# %% [markdown]
# ## An account of the curvature
#
# At the base $\lVert\delta\rVert = \lVert x\rVert$. So the log curvature is exactly twice the growth of $\log\lVert\delta\rVert$ in attention and
# in MLPs, less twice that of $\log\lVert x\rVert$, plus what the output reads of a $\delta$ as long as $x$. The last term holds
# everything that happens after the last block, the entropy of the output among it. Each base against the real one of its
# prompt; positive terms make the other base more curved:

# %%
account = findings.account(steps)  # [prompt, base, term]
by_base = estimates.document_means(account)

# %% mystnb={"figure": {"caption": "The difference in log curvature between each kind of base and the real base of the same prompt, and the four terms whose sum it is. Means over documents with 95 percent intervals; dotted: no difference.", "name": "fig-account"}}
fig = plotting.grouped_dots({"log curvature, other minus real base": by_base.transpose("term", "base")}, 0)
plotting.show(fig, "For each of four terms and their sum, the difference from the real base for five kinds of base.")

# %%
shares = findings.shares_of_account(account)
few = findings.carried_by_few(steps)
entropies = estimates.document_means(steps.entropy)
tables.columns({"output entropy (nats)": entropies})

# %% tags=["remove-cell"]
prose.glue(
    few=prose.percent(few), few_blocks=few.attrs["blocks"],
    contracting=findings.contracting(estimates.document_means(changes.sel(base="real", quantity="tangent"))))

# %% [markdown]
# Around real bases $\lVert\delta\rVert$ becomes smaller in {glue:text}`contracting` (intervals below zero). Of the difference in
# MLPs between Gaussian and real bases, three MLPs (blocks {glue:text}`few_blocks`, chosen on every other prompt) carry
# {glue:text}`few`, measured on the rest.
#
# ## Other depths
#
# The same account with the perturbation at other blocks, as shares of the gap between Gaussian and real bases there. The
# Gaussian of the other depths rests on fewer activations, and its covariance is shrunk.

# %%
others = full.at_layers(
    [depth for depth in damping.depths(full) if depth != layer],
    n_others=min(explanations.N_SHRUNK, n_others), shrinkage=True)
accounts = {layer: account} | {
    depth: findings.account(damping.tangents(other.first(setting.n_prompts))) for depth, other in others.items()}

# %%
tables.columns({
    f"block {depth}": estimates.document_means(accounts[depth].sel(base="random")) for depth in sorted(accounts)})

# %% [markdown]
# ## Transplants
#
# An account does not say what causes what. So one part of a run is held to its values in another: the *gates* of the MLPs
# (what multiplies their linear part), the attention *patterns*, or the *scales* by which the norms divide. With all three held
# the network is linear. In the Gaussian run they are held to the values of the real run, and the reverse, in a third of the
# blocks at a time and in all. Restored is the share of the gap that this closes, of the log curvature and of the logarithm of
# the threshold angle. With foreign scales no norm answers when the stream grows, so that many runs overflow: shares are unknown
# where any prompt does, and threshold angles are found for gates and patterns alone.

# %%
transplants = damping.transplants(setting)
curvature, edge = (findings.restored(transplants, of) for of in ("curvature", "threshold"))
into_gaussian, into_real = findings.WAYS

# %% mystnb={"figure": {"caption": "Share of the gap between Gaussian and real bases that a transplant closes, in log curvature (left) and in the logarithm of the threshold angle (right), parts of the real run held in the Gaussian run. Ratio of means with 95 percent intervals over documents; dotted: nothing.", "name": "fig-transplants"}}
fig = plotting.grouped_dots({
    "restored share, curvature": findings.by_part_and_range(curvature, into_gaussian),
    "restored share, threshold angle": findings.by_part_and_range(edge, into_gaussian)}, 0)
plotting.show(fig, "Restored shares of curvature for gates, patterns and scales, and of edge for two of them, in four ranges of blocks.")

# %% mystnb={"figure": {"caption": "The reverse: parts of the Gaussian run held in the real run; one makes a real base as curved, or its edge as near, as a Gaussian one.", "name": "fig-reverse"}}
fig = plotting.grouped_dots({
    "share taken away, curvature": findings.by_part_and_range(curvature, into_real),
    "share taken away, threshold angle": findings.by_part_and_range(edge, into_real)}, 0)
plotting.show(fig, "Shares of curvature and of edge that parts of the Gaussian run take away from the real run.")

# %% [markdown]
# Two controls. *Random elements*: a random share of all gates, patterns and scales is held to the values of an unrelated
# Gaussian base, the share chosen so that the output at the base moves as much as by the transplant. *Linear parts*: a part of
# all blocks is held to its own values at the base. That leaves the base as it is and only stops the part from following
# the perturbation; with the scales held, every norm is linear. Below one, following adds curvature; above, it takes some away.

# %%
control = damping.random_parts(setting)
tables.matrix(findings.against_random_parts(transplants, control))

# %%
tables.matrix(findings.output_changes(transplants, control))

# %%
tables.matrix(findings.made_linear(transplants))

# %% [markdown]
# Rows of the first two tables: what is held; their numbers are the restored share of the gap in log curvature, and the median KL
# divergence by which holding moves the output at the base (nats). The third table is the ratio of curvatures, held over free.
#
# ## Frozen MLPs, frozen attention
#
# {cite:t}`shinkle2025plateaus` walk from one real activation to another and freeze all MLPs, or all attention, to their mean
# output over the path. The shelf is gone where the width returns to that of a straight line, 0.8.

# %%
pairs = damping.frozen_pairs(full.first(primaries.N_PAIRS))
widths = primaries.widths(full)

# %% mystnb={"figure": {"caption": "Position of the last block's output between the ends of great-circle paths between two real activations, with nothing, all MLPs or all attention frozen. Median and quartiles over pairs; dotted: a straight line.", "name": "fig-frozen"}}
fig = plotting.frozen_panels(pairs)
plotting.show(fig, "Share of the way at the last block against the path, free and with MLPs or attention frozen.")

# %%
tables.columns({"mean 10–90 % width (line: 0.8)": estimates.document_means(widths)})

# %% [markdown]
# ## What the predictions say

# %% tags=["remove-input"]
best = findings.strongest(transplants)
tables.explanations(answers.predictions(findings.hypotheses(shares, few, best, curvature)))

# %% tags=["remove-cell"]
prose.glue(best=best.attrs["of"])

# %% [markdown]
# The strongest part of one third, chosen on every other prompt and measured on the rest, is {glue:text}`best`.
#
# ## Claims
#
# What decides was fixed before the chapter was run; the other numbers are shown.

# %% tags=["hide-input"]
freed, without_mlps, without_attention = (
    estimates.document_mean(found) for found in (
        widths.sel(frozen="nothing"), primaries.change(widths, "MLPs"), primaries.change(widths, "attention")))
judge("C21", primaries.wider_without_mlps(full), free=freed, mlp=without_mlps, attention=without_attention)

# %% tags=["remove-input"]
verdicts.table(judge.judged)

# %% tags=["remove-cell"]
gap = estimates.exponential(estimates.document_mean(account.sel(base="random", term=findings.TOTAL)))
prose.glue(
    **prose.sample(full, shown=setting), n_pairs=widths.sizes["prompt"],
    answer=answers.damping(
        gap, shares, curvature.sel(way=into_gaussian, part="gates", range="all"),
        estimates.document_mean(primaries.wider_without_mlps(full)), judge.judged[0]["verdict"]))

# %% [markdown]
# ## What this page does not show
#
# That damping corrects errors: a block that makes a perturbation smaller may do so for any change that its input does not call for.
# A transplant moves the base's own output, so that what it restores mixes a new distribution with a new Jacobian; the control of
# random elements shows how much any such move restores. Held parts do not follow the perturbation, which the table of linear
# parts shows by itself. The order of terms in the account is none of causes. Directions are Gaussian, one position is perturbed,
# and norms inside attention are not held.
#
# The answer would change with an interval on the other side of a bound, with transplants that restored as little as random
# elements do, or with a toy network in which the same estimators find damping where none was built in.
#
# ## Versions

# %%
tables.provenance(full.provenance)
