# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Toy networks
#
# **Question.** What do this book's estimators say of networks that are known to correct errors, or known not to, and does the
# language model look like one of them?
#
# **Answer for this run** ({glue:text}`studied`). {glue:text}`answer`
#
# | | |
# | --- | --- |
# | prerequisites | {doc}`02_activation_plateaus`, {doc}`03_sensitive_directions`, {doc}`06_trivial_explanations` |
# | run time | about two minutes on two cores |
# | sample | {glue:text}`n_inputs_used` independent inputs, {glue:text}`n_networks_used` networks in each of four cells; {glue:text}`n_prompts_used` prompts of the language model |

# %%
from plateaus_utils import arguments, estimates, experiments, plotting
from plateaus_utils import toys as networks
from plateaus_utils.book import answers, prose, tables
from plateaus_utils.experiments import toys
from plateaus_utils.findings import toys as findings

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
n_inputs: int = 120  # inputs of the toy networks
n_networks: int = 3  # toy networks trained in each cell
device: str = "auto"  # auto, cpu, cuda or mps
dtype: str = "float32"  # floating-point type of the model

# %%
arguments.check_injected(In)
full = experiments.prepare(
    model, results_dir, corpus=corpus, layer=layer, seq_len=seq_len,
    n_prompts=n_prompts, n_others=n_others, seed=seed, prepend_bos=prepend_bos,
    shrinkage=shrinkage, device=device, dtype=dtype)
setting = full.first(min(n_shown, n_prompts))
print(setting.description, corpus, sep=", ")

# %% [markdown]
# ## Four cells with a known answer
#
# An input is a few of {glue:text}`n_features` features, each with a direction of its own in the stream. A feature asks for its token as
# the next one, unless the feature after it is on as well. Small residual {term}`toy networks <toy network>` of ReLU blocks learn this. They
# are trained in two by two ways. *Superposition*: the stream has {glue:text}`narrow` dimensions, fewer than features, or
# {glue:text}`wide`. *Noise*: in training alone, Gaussian noise of {glue:text}`noise` of the stream's norm is added before each block, so
# that a network which removes errors predicts better; or none. A network trained with noise stands for {term}`error correction`.
#
# ## Predictions
#
# What each hypothesis says of each estimator, up or down. A pilot with one network in each cell and stronger noise had been run when the
# table was written; it shows what the hypotheses say and not what the pilot found, and some rows fail.
#
# | estimator | noise, if it makes a network correct errors | superposition | neither | what refutes correction |
# | --- | --- | --- | --- | --- |
# | curvature at real bases | down: small errors are removed | up: features interfere | equal | no change, or up |
# | curvature, Gaussian over real | up: only what is real is protected | equal | equal | no change |
# | edge at real bases | up: it lies where correction ends | down | equal | no change |
# | angle at a tenth of the KL, threshold at real bases | up | down | equal | down |
# | the same, real minus Gaussian | up | equal | equal | no change |
# | threshold, random minus real-other | up: what leads to features is not corrected away | equal | equal | no change |
# | threshold, random minus feature on or off | up | equal | equal | no change |
# | gates that change sign | down: deviations do not reach them | up | equal | no change |
# | ‖δ‖ through the blocks | down: deviations contract | up | equal | up |
# | ‖x‖ through the blocks | equal: correction is no dilution | equal | equal | up: deviations are diluted |
# | ‖δ‖/‖x‖, first block and all | down | up | equal | no change |
#
# An estimator *tells* a factor if the 95 % interval of its effect over inputs excludes zero and the effect has one sign in every pair
# of networks that differ in this factor alone. One that does not tell noise is dropped.
#
# ## Training
#
# All cells have as many blocks and neurons. The accuracy is the share of new inputs, without noise, of which every wanted token is more
# probable than every other; cells whose accuracies differ by more than {glue:text}`margin` stop this page. The widths and the amount of
# noise were chosen in a pilot so that the accuracies are equal: with two thirds more noise the narrow networks stay behind.

# %%
cells = toys.measured(setting.folder, n_networks, n_inputs, seed)
cells.accuracy.mean("network").to_pandas().round(3)

# %% [markdown]
# ## Curves
#
# The bases are real activations, samples of a Gaussian with their mean and covariance, and isotropic vectors; the paths lead to the same
# Gaussian targets on the sphere, as on {doc}`02_activation_plateaus`.

# %% mystnb={"figure": {"caption": "KL divergence against the angle around real, Gaussian (random) and isotropic (naive) bases in the four cells: with neither superposition nor noise, with one, with both. Mean over networks and directions; median and quartiles over inputs.", "name": "fig-toy-curves"}}
fig = plotting.cell_panels(findings.curves(cells))
plotting.show(
    fig, "Four panels of KL curves against angle, one for each cell, each with bands for real, random and naive bases.")

# %% [markdown]
# ## What tells the cells apart?
#
# The effect of each factor on each estimator: with it minus without it, for the same input, averaged over the other factor and the
# networks. Quantities marked *log* are natural logarithms; δ is the deviation from the base's stream at {glue:text}`inside`° at the
# embedding, x that stream.

# %%
values = findings.of_toys(cells)
effects = findings.effects(values)
tables.told(effects)

# %% [markdown]
# Dropped, because they do not tell noise: {glue:text}`dropped`. Noise did not do what was predicted of: {glue:text}`failed`.
#
# What error correction looks like where it is there: the deviation changes by {glue:text}`contraction` and the stream by
# {glue:text}`growth` (effects of noise on the logarithms through all blocks). The first block changes their ratio by
# {glue:text}`first_block`. Where both grow, the network writes the corrected features so large that the error in
# the stream no longer counts: the deviation is diluted, not contracted, and an
# estimator of ‖δ‖ alone reads correction as its opposite.
#
# ## The language model
#
# The estimators that need only the output, from the results of {doc}`02_activation_plateaus`, {doc}`03_sensitive_directions` and
# {doc}`06_trivial_explanations`. Means over inputs, one prompt a document.

# %%
language = findings.of_language_model(setting)
beside = findings.beside_language_model(values, language)
tables.matrix(beside, spec=".2f")

# %% mystnb={"figure": {"caption": "Three estimators in the four cells of toy networks and in the language model: logarithm of the curvature at Gaussian over that at real bases; angle at a tenth of the KL divergence at 90 degrees, real minus Gaussian bases; threshold angle at real bases, random minus real-other directions. Means and 95 percent intervals over inputs, or documents; dotted: zero.", "name": "fig-toy-cells"}}
shown = {"curvature ratio (log)": "curvature, Gaussian over real (log)",
         "10 % angle, gap (°)": "angle at 10 % of KL, real minus Gaussian (°)",
         "threshold, gap (°)": "threshold, random minus real-other (°)"}
fig = plotting.dots({label: beside.sel(estimator=name, drop=True) for label, name in shown.items()}, reference=0)
plotting.show(
    fig, "Three estimators with their intervals, a row for each cell of toy networks and one for the language model.")

# %%
kept = [name for name in values if name not in findings.dropped(effects)]
nearest, beyond = findings.nearest(beside, kept), findings.beyond(beside, kept)

# %% [markdown]
# Nearest cell, for each estimator that is kept: {glue:text}`nearest`. Its interval lies beyond all four cells, so that the nearest
# one is merely on the same side, in {glue:text}`beyond`.

# %% tags=["remove-cell"]
noise = effects.sel(factor="noise", drop=True)
prose.glue(
    **prose.sample(setting), **answers.toys(effects, findings.dropped(effects), nearest),
    beyond=", ".join(beyond) or "none of them",
    n_inputs_used=cells.sizes["prompt"], n_networks_used=cells.sizes["network"], n_features=networks.N_FEATURES,
    narrow=networks.WIDTHS["with"], wide=networks.WIDTHS["without"], noise=prose.percent(networks.NOISES["with"]),
    margin=networks.MARGIN, inside=f"{toys.INSIDE:.0f}",
    contraction=estimates.text(noise.sel(estimator="‖δ‖ through all blocks (log)")),
    growth=estimates.text(noise.sel(estimator="‖x‖ through all blocks (log)")),
    first_block=estimates.text(noise.sel(estimator="‖δ‖/‖x‖ through the first block (log)")))

# %% [markdown]
# ## What this page does not show
#
# That the language model corrects errors. It may lie near the noisy cells for another reason; what these cells show is which estimators
# would see error correction of this kind if it were there. The toy networks have no attention, no norm inside their blocks and
# {glue:text}`n_features` tokens, and their noise is isotropic. The intervals are over inputs; that {glue:text}`n_networks_used` networks
# of a cell agree in sign says little about networks trained otherwise. Nothing in the registry of claims is judged by this page.
#
# ## Versions

# %%
tables.provenance(setting.provenance)
