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
# | sample | {glue:text}`n_sections` prompts, one section of each sort for every prompt |

# %%
from plateaus_utils import arguments, claims, estimates, experiments, plotting
from plateaus_utils.book import prose, tables, verdicts
from plateaus_utils.experiments import optima
from plateaus_utils.findings import optima as findings

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
# ## Triangles of directions
#
# Take three targets, interpolate them with weights that sum to one, and form the direction from the base to the interpolated
# target. Every point of the triangle is then a direction, and its colour the threshold angle. The upper row, between three
# Gaussian targets, is a sanity check: no corner should be special. In the lower row the top corner is a real activation. The
# prompts are the first ones of the random order, not chosen.

# %%
fine = optima.triangle_sections(
    setting, "triangles_fine", optima.N_FINE, optima.FINE_RESOLUTION, optima.FINE_TOLERANCE)

# %% mystnb={"figure": {"caption": "Threshold angle over triangles of directions, for three prompts in random order. Upper row: three Gaussian targets. Lower row: a real activation at the top, the same two Gaussian targets below. One colour scale; darker directions matter sooner; the ring marks the lowest point.", "name": "fig-triangles"}}
fig = plotting.triangles(fine, n_columns=3)
plotting.show(fig, "Two rows of three triangular maps, coloured by threshold angle, each with its lowest point marked.")

# %% [markdown]
# ## How often is the corner an optimum?
#
# One pair of sections for every prompt, on a coarser grid. A corner is a *local* minimum if it is strictly lower than both of its
# neighbours, and the *global* minimum of its section if it is strictly lower than all other points.

# %%
sections = optima.triangle_sections(setting, "triangles", n_prompts)
corners = findings.corners(sections)
corner_is_lowest = estimates.proportion(findings.minima(corners))
tables.columns({"share of sections [95 %]": corner_is_lowest})

# %% mystnb={"figure": {"caption": "By how many degrees the lowest neighbour on the grid exceeds the corner: positive if the corner is a local minimum. One value for each section; censored sections left out.", "name": "fig-margins"}}
fig = plotting.histogram_panels(findings.shown_margins(corners), by="section")
plotting.show(fig, "Histogram of the margins of real-other and random corners.")

# %%
tables.columns({"median margin of the corner (degrees)": estimates.median(corners.margin)}, ".1f")

# %% [markdown]
# A random corner is an extreme point of its triangle as well, and mixing it with another Gaussian target changes the direction in the
# same way; its row says what a corner shows without being real.
#
# **No corner of an all-Gaussian triangle should be preferred.** The lowest of its three corners is the first one in
# {glue:text}`first_lowest`, the second in {glue:text}`second_lowest`, the third in {glue:text}`third_lowest` of the sections.
#
# ## Past the corner
#
# A corner tests one-sided slopes only: on a plane that slopes towards it, it is a "minimum" of its triangle and no optimum at all.
# So lines are drawn that run past the corner with negative weights. Targets are mean-removed and of unit length here, so that mixing
# does not change how far the target lies from the mean.

# %%
lines = optima.lines_past_corners(setting)
both_sides = findings.two_sided(lines)
on_both_sides = estimates.proportion(both_sides)
tables.columns({"lower than both sides of both lines [95 %]": on_both_sides})

# %% mystnb={"figure": {"caption": "Threshold angle along lines past a corner, minus its value at the corner, against the weight of the other target: negative weights lie outside the triangle. Median and quartiles over prompts and two lines each.", "name": "fig-lines"}}
fig = plotting.lines_past(lines)
plotting.show(
    fig, "Threshold angle minus the corner's against the weight of the other target, for two sorts of corner.")

# %% [markdown]
# ## Do the map's resolution and the angle's precision decide?
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
local, two = estimates.proportion(corners.local), estimates.proportion(both_sides)
judge("C8", local=local.sel(section="real-other"), local_random=local.sel(section="random"),
      first_lowest=estimates.proportion(findings.first_is_lowest(sections)),
      two_sided=two.sel(section="real-other"), two_sided_random=two.sel(section="random"))

# %% tags=["remove-input"]
verdicts.table(judge.judged)

# %% tags=["remove-cell"]
lowest = estimates.proportion(findings.lowest_corner(sections))
prose.glue(
    **prose.sample(setting), answer=prose.optima(corner_is_lowest, on_both_sides),
    first_lowest=prose.percent(lowest.sel(corner="first")), second_lowest=prose.percent(lowest.sel(corner="second")),
    third_lowest=prose.percent(lowest.sel(corner="third")))

# %% tags=["remove-cell"]
prose.glue(
    n_sections=sections.sizes["prompt"], n_fine=fine.sizes["prompt"], d_model=setting.model.d_model,
    resolution=optima.RESOLUTION, fine_resolution=optima.FINE_RESOLUTION,
    tolerance=optima.TOLERANCE, fine_tolerance=optima.FINE_TOLERANCE)

# %% [markdown]
# ## What this page does not show
#
# Optimality in all directions. Two lines and one triangle test two or four of {glue:text}`d_model` dimensions, and the report itself
# expects that there is a subspace, as large as the number of active features, in which the real-other direction is not optimal. Testing
# it needs features.
#
# ## Versions

# %%
tables.provenance(setting.provenance)
