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
# Every published statement that this book knows of, with our value for the model at hand, its 95 % interval, and the verdict
# that follows from the two. A claim *holds* when the interval of every judged part lies inside its band, *does not hold* when
# one lies wholly outside, and otherwise *cannot be told* from this many prompts. The bands are ours: published values, widened
# for differences of seed, sample and definition before anything was measured. The numbering is this book's own: C1 to C29 for
# statements of the report and of later work, (i) to (x) for the report's own sentences.
#
# *Prompts needed* is a statement of power: with about that many prompts the interval would just clear the nearest edge of the band,
# if the value stayed as it is, since a half-width falls with the square root of their number. An open claim names the largest of them.
#
# {glue:text}`verdict_counts`

# %%
from IPython.display import Markdown
from myst_nb import glue

from plateaus_utils import arguments, claims, results
from plateaus_utils.book import verdicts

# %% tags=["parameters"]
profile: str = "quick"  # name of the parameter file in profiles/
results_dir: str = "results/quick"  # folder of the results, relative to the checkout
model: str = "smollm2-135m-instruct"  # embedded model, Hugging Face hub id, local folder, or .gguf file
corpus: str = "wikipedia"  # packaged corpus (wikipedia, lee), hub dataset id, or local file
n_prompts: int = 120  # base prompts

# %%
arguments.check_injected(In)
collected = claims.collect(results.results_folder(results_dir))
folder = results.results_folder(results_dir)
print(f"model {model}, corpus {corpus}, {n_prompts} base prompts, profile {profile}; newest result {results.newest(folder)}")

# %% tags=["remove-cell"]
for claim in collected:
    glue(f"statement_{claim['id'].strip('()')}", claim["statement"], display=False)
    glue(f"verdict_{claim['id'].strip('()')}", verdicts.brief(claim), display=False)
glue("verdict_counts", verdicts.counts(collected), display=False)

# %% [markdown]
# ## The report's own statements, at a glance

# %% tags=["remove-input"]
Markdown(verdicts.glance(collected))

# %% [markdown]
# ## Tested here

# %% tags=["remove-input"]
Markdown(verdicts.page([claim for claim in collected if claim["verdict"] != claims.NOT_TESTED]))

# %% [markdown]
# ## Not tested here

# %% tags=["remove-input"]
Markdown(verdicts.untested(collected))

# %% [markdown]
# The same list, for machines: `claims.json` in the folder of the results.
