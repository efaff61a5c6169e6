# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Claims
#
# What holds of the published statements, on the model at hand? {glue:text}`verdict_counts`
#
# Each row is one statement. To the right lies what was published, at zero what the statement denies, and one unit is what counts
# as practically equal. A row leads to the figure that shows its numbers.

# %% tags=["remove-input"]
from IPython.display import HTML, Markdown
from myst_nb import glue

from plateaus_utils import arguments, claims, results
from plateaus_utils.book import forest, verdicts

# %% tags=["parameters", "hide-input"]
profile: str = "quick"  # name of the parameter file in profiles/
results_dir: str = "results/quick"  # folder of the results, relative to the checkout
model: str = "smollm2-135m-instruct"  # embedded model, Hugging Face hub id, local folder, or .gguf file
corpus: str = "wikipedia+lee"  # packaged corpora (wikipedia, lee), hub dataset ids or local files, joined by +
n_prompts: int = 300  # base prompts that decide, one for each document as long as documents last

# %% tags=["remove-input"]
arguments.check_injected(In)
folder = results.results_folder(results_dir)
collected = claims.collect(folder)
HTML(forest.plot(verdicts.rows(collected)))

# %% tags=["remove-cell"]
glue("verdict_counts", verdicts.counts(collected), display=False)
glue("studied", f"{model}, {corpus}, {n_prompts} base prompts, profile {profile}", display=False)
glue("newest", results.newest(folder), display=False)
glue("controls", verdicts.controlled(folder), display=False)

# %% [markdown]
# This run: {glue:text}`studied`; newest result {glue:text}`newest`.
#
# ## How a verdict is reached
#
# What decides each statement is written down in one registry, `book/claims.yaml`, which was committed before the chapters ran with it.
# A statement has **one deciding number**, its *estimand*: the mean over documents of one value each, with Student's interval, or Wilson's
# where each value is true or false. Prompts of one document are not independent, so a document counts once. Intervals are widened for
# the number of statements in the same family, the report's own or those of later work (Bonferroni). Other numbers are shown and decide
# nothing.
#
# Two answers are given, each with the published sign positive.
#
# | direction | the interval |
# | --- | --- |
# | reversed | lies below zero |
# | practically equal | of an equivalence test lies within one half-width of practical equality; this goes before *detected* |
# | detected | lies above zero |
# | undecided | none of these |
#
# *Zero* is a reference that needs no model where there is one: a quadratic for the angle of an onset, a straight line for widths
# and slopes. A statement of an **effect** holds if the effect is detected. A statement of **absence** ("gone", "alike", "does not predict")
# holds only if the two are practically equal, and an interval wholly outside that region contradicts it. Where only an effect of the
# published sign would contradict it, an effect of the other sign does not. *Size* says whether the interval meets the published value, widened by its own spread and by a half-width.
#
# ## Controls of the verdicts
#
# {glue:text}`controls`

# %% tags=["remove-input"]
Markdown(verdicts.control_table(folder))

# %% [markdown]
# *Power*: how often an effect of the published size (of two half-widths where none can be compared), planted in the values of this run,
# is detected. *Reversed*: how often the same effect with the wrong sign comes out reversed.
#
# ## Every statement in full

# %% tags=["remove-input"]
Markdown(verdicts.page([claim for claim in collected if claim["verdict"] != claims.NOT_TESTED]))

# %% [markdown]
# ## Other runs beside this one
#
# A column for each folder of results on the machine that built this page. Nothing is pooled.

# %% tags=["remove-input"]
Markdown(verdicts.side_by_side(claims.runs(folder.parent)))

# %% [markdown]
# ## Not tested here

# %% tags=["remove-input"]
Markdown(verdicts.untested(collected))

# %% [markdown]
# The same list, for machines: `claims.json` in the folder of the results; the values of every document are in `claims/`.
