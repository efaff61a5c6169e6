# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Local optima
#
# **Question.** Is a real-other direction a local optimum of sensitivity: does every small turn towards other directions make the
# threshold angle larger?
#
# **Answer for this run** ({glue:text}`studied`). {glue:text}`answer`
#
# | | |
# | --- | --- |
# | prerequisites | {doc}`03_sensitive_directions` |
# | run time | about two minutes on two cores |
# | what decides | {glue:text}`n_prompts_used` prompts from {glue:text}`n_documents_used` documents, one line past each sort of corner |
# | what maps show | the first {glue:text}`n_prompts_shown` of them, from {glue:text}`n_documents_shown` documents |

# %%
from plateaus_utils import arguments, claims, estimates, experiments, plotting
from plateaus_utils.book import answers, prose, tables, verdicts
from plateaus_utils.experiments import optima
from plateaus_utils.findings import optima as findings
from plateaus_utils.primaries import optima as primaries

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
# ## Past the corner
#
# Along a line of directions, the real-other one is a local optimum if its threshold angle is smaller than those on both sides. So a line
# is drawn from the real-other target towards a Gaussian one, and past the real-other target on the other side, where the Gaussian one has
# a negative weight. Targets have the mean removed and are of equal length here, so that nothing changes along the line but the direction.
# A second line passes a Gaussian target in the same way: its row says what a corner shows without being real.
#
# Three angles tell slope from bend: at the corner and a step of {glue:text}`step` to either side. Half their *second difference* is how
# far the corner lies below the middle of its two neighbours, and the *slope times the step* is how far the line falls or rises over one
# step. The corner is the lowest of the three where the first exceeds the second; the parabola through the three then has its lowest point
# within half a step of the corner.

# %%
lines = optima.lines_past_corners(full)

# %% mystnb={"figure": {"caption": "Threshold angle along lines past a corner, minus its value at the corner, against the weight of the other target: negative weights lie on the far side of the corner. Median and quartiles over all prompts, one line past each sort of corner.", "name": "fig-lines"}}
fig = plotting.lines_past(lines)
plotting.show(
    fig, "Threshold angle minus the corner's against the weight of the other target, for two sorts of corner.")

# %% mystnb={"figure": {"caption": "Second difference of the threshold angle at a corner against slope times step, one dot for each line. In the shaded wedge the corner is lower than both of its neighbours. The outermost tenth of the dots is drawn at the ends of the axes.", "name": "fig-bends"}}
fig = plotting.bends(primaries.slope_times_step(lines), primaries.second_difference(lines), by="section")
plotting.show(
    fig, "Second difference against slope times step for real-other and Gaussian corners, with the wedge of minima.")

# %%
tables.matrix(estimates.proportion(findings.shares_on_lines(lines)), heading="{} corner [95 %]")

# %%
sizes = estimates.median(findings.sizes_on_lines(lines))
tables.matrix(sizes, heading="{} corner, median (degrees) [95 %]")

# %% [markdown]
# At real-other corners half the second difference is {glue:text}`half_second`° and the slope times the step {glue:text}`slope_size`°, in
# the mean, on lines past them: {glue:text}`bend_or_slope`. Whether a corner is the lowest of three points depends on the step, as the table shows: where a
# line has a slope, a short enough step always finds a lower point on one side.
#
# ## Triangles of directions
#
# The report draws triangles. Take three targets, interpolate them with weights that sum to one, and form the direction from the base to
# the interpolated target. Every point of the triangle is then a direction, and its colour the threshold angle. In the upper row all three
# targets are Gaussian, in the lower row the top corner is a real activation. The prompts are the first ones of the random order, not
# chosen.

# %%
fine = optima.triangle_sections(
    setting, "triangles_fine", optima.N_FINE, optima.FINE_RESOLUTION, optima.FINE_TOLERANCE)

# %% mystnb={"figure": {"caption": "Threshold angle over triangles of directions, for three prompts in random order. Upper row: three Gaussian targets. Lower row: a real activation at the top, the same two Gaussian targets below. One colour scale; darker directions matter sooner; the ring marks the lowest point.", "name": "fig-triangles"}}
fig = plotting.triangles(fine, n_columns=3)
plotting.show(fig, "Two rows of three triangular maps, coloured by threshold angle, each with its lowest point marked.")

# %% [markdown]
# One pair of sections for each of {glue:text}`n_prompts_shown` prompts, on a coarser grid. A corner is a *local* minimum if it is strictly
# lower than both of its neighbours, and the *global* minimum of its section if it is strictly lower than all other points.

# %%
sections = optima.triangle_sections(setting, "triangles", setting.n_prompts)
corners = optima.corner_statistics(sections)
tables.columns({"share of sections [95 %]": estimates.proportion(findings.minima(corners))})

# %% mystnb={"figure": {"caption": "By how many degrees the lowest neighbour on the grid exceeds the corner: positive if the corner is a local minimum. One value for each section; censored sections left out.", "name": "fig-margins"}}
fig = plotting.histogram_panels(findings.shown_margins(corners), by="section")
plotting.show(fig, "Histogram of the margins of real-other and random corners.")

# %%
tables.columns({"median margin of the corner (degrees)": estimates.median(corners.margin)}, ".1f")

# %% [markdown]
# ### Why a triangle cannot decide
#
# **It tests one side only.** On a plane that slopes towards a corner, the corner is lower than everything beside it and no optimum. And
# the map does slope towards a real-other corner if real-other directions matter sooner than Gaussian ones, which
# {doc}`03_sensitive_directions` measures: that a real-other corner is a one-sided minimum repeats this, and says nothing new.
#
# **A Gaussian corner is no null for it.** Mixing two independent targets leaves the mean where it is and shortens what they have beyond it:
# half-way, to {glue:text}`shortening` of its length. So every mixture points more towards the mean than its corners do. Half-way between
# two Gaussian corners the threshold angle is {glue:text}`sag` than at the corners ({glue:text}`sag_size`). On a plane without any bend,
# a corner would be lower than both neighbours in one section of three; a bend by mixing alone changes that share for every corner, real or
# not.
#
# **No corner of an all-Gaussian triangle should be preferred.** The lowest of its three corners is the first one in
# {glue:text}`first_lowest`, the second in {glue:text}`second_lowest`, the third in {glue:text}`third_lowest` of the sections.
#
# ### Do the map's resolution and the angle's precision decide?
#
# {glue:text}`n_fine` sections once more, on a grid of {glue:text}`fine_resolution` instead of {glue:text}`resolution` steps along an
# edge and with angles to ±{glue:text}`fine_tolerance`° instead of ±{glue:text}`tolerance`°. The finer angles on the coarse grid's points
# separate the effect of precision from that of resolution: with a finer grid a corner's neighbours lie closer.

# %%
by_map = findings.minima_by_map(sections, fine)  # [prompt, what, map]
tables.matrix(estimates.proportion(by_map), spec=".0%")

# %%
tables.matrix(findings.agreement(by_map), heading="{}: agrees with the first map")

# %% [markdown]
# ## Claims

# %% tags=["hide-input"]
beside = findings.secondary(lines, corners)
judge("C8", primaries.lowest(lines).sel(section="real-other", drop=True),
      second=beside["second"], slope=beside["slope"],
      convex=beside["convex"], convex_random=beside["convex_random"],
      wider=beside["wider"], local_random=beside["local_random"],
      triangle=beside["triangle"], triangle_random=beside["triangle_random"])

# %% tags=["remove-input"]
verdicts.table(judge.judged)

# %% tags=["remove-cell"]
share = estimates.document_mean(primaries.lowest(lines).sel(section="real-other", drop=True))
lowest = estimates.proportion(findings.lowest_corner(sections))
prose.glue(
    **prose.sample(full, shown=setting), answer=answers.optima(share, beside), **answers.bend(beside),
    **answers.mixing(findings.shortening(setting), estimates.document_mean(findings.sag(sections))),
    first_lowest=prose.percent(lowest.sel(corner="first")), second_lowest=prose.percent(lowest.sel(corner="second")),
    third_lowest=prose.percent(lowest.sel(corner="third")))

# %% tags=["remove-cell"]
prose.glue(
    n_fine=fine.sizes["prompt"], d_model=full.model.d_model, step=primaries.STEP,
    resolution=optima.RESOLUTION, fine_resolution=optima.FINE_RESOLUTION,
    tolerance=optima.TOLERANCE, fine_tolerance=optima.FINE_TOLERANCE)

# %% [markdown]
# ## What this page does not show
#
# Optimality in all directions. A line tests one and a triangle two of {glue:text}`d_model` dimensions, towards Gaussian targets, and at
# steps that are not small: no gradient is measured here. The report itself expects that there is a subspace, as large as the number of
# active features, in which the real-other direction is not optimal; {doc}`05_sae_features` moves it there. What a bend is due to, features
# or anything else in real activations, no line tells.
#
# ## Versions

# %%
tables.provenance(full.provenance)
