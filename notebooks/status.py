# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Status
#
# When and how each chapter of this site ran: seconds on the machine that built it, where `plateaus_utils` computed, and the commit of
# the repository ("+" if files had been changed since).

# %% tags=["hide-input"]
from plateaus_utils import arguments, results
from plateaus_utils.book import chapters, tables

# %% tags=["parameters", "hide-input"]
profile: str = "quick"  # name of the parameter file in profiles/
results_dir: str = "results/quick"  # folder of the results, relative to the checkout

# %% tags=["remove-input"]
arguments.check_injected(In)
chapters.status_table()

# %% tags=["remove-input"]
newest = results.newest(results.results_folder(results_dir))
tables.provenance({"profile": profile, "results": results_dir, "newest result": newest})
