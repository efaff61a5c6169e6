# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Rerun
#
# Every number in this book was computed when it was built, and every chapter can be run again with other parameters: another
# model, layer, corpus, seed or sample size.
#
# ## Everything
#
# | command | does |
# | --- | --- |
# | `make book` | sets up `.venv`, fetches the model, runs what is not up to date, builds the site |
# | `make book SET="layer=5 n_prompts=200"` | the same with other parameters; results go to a folder of their own |
# | `make book PROFILE=gpt2` | the report's own setting: GPT-2 small on OpenWebText; needs the Hugging Face hub once |
# | `make book PROFILE=smoke` | a tiny random model, to check the software in minutes; its numbers mean nothing |
# | `make replicate MODELS="untrained gemma-3-270m"` | what decides each statement, for other models; the claims page shows them side by side |
# | `make controls` | what the rules of verdicts say where the answer is known |
# | `make lab` | JupyterLab with the chapters as notebooks and the live explorer |
# | `make pdf` | prints the built site into one PDF, with Debian's `chromium` |
# | `make sae` | trains the SAEs that `saes/` lacks |
#
# A profile is a file in `profiles/` with values for the parameters that the chapters declare. Unknown names and wrong types are
# refused before anything runs. How long each chapter takes is on {doc}`status`.
#
# ## One chapter, with papermill
#
# The scripts in `notebooks/` are notebooks in jupytext's percent format. Without this book's driver:
#
# ```bash
# .venv/bin/jupytext --to ipynb -o 02.ipynb notebooks/02_activation_plateaus.py
# .venv/bin/papermill 02.ipynb out.ipynb -f profiles/quick.yaml -p layer 5 -p results_dir results/mine
# ```
#
# With it, and only the site of what is up to date: `python -m plateaus_utils.book --only 02_activation_plateaus --set layer=5 --no-site`.
# All parameters with their meaning: `python -m plateaus_utils.book --help-parameters`.
#
# ## Another model, an accelerator, no network
#
# `model` takes an embedded name, a Hugging Face hub id or a local folder; `corpus` a packaged corpus, a hub dataset, a local file, or several joined by `+`. CUDA and MPS are used when they are
# there (`device=auto`). The hub's variables work as everywhere: `HF_HOME` says where downloads are kept, `HF_HUB_OFFLINE=1` forbids
# new ones, `HF_TOKEN` opens gated models. The embedded model needs no hub; `PLATEAUS_CACHE` says where it is kept. SAE chapters take `saes`, a list of
# folders or of `RELEASE:SAE_ID` in SAELens' names; where none is known for a model and layer, principal components stand in, and the page says so.
#
# ## Where results land
#
# Each experiment is a netCDF file under `results/PROFILE/`, with labels, units, documents, settings, versions and a hash of the code that made it.
# It is read again instead of computed as long as all of those are the same; an interrupted run goes on after its last chunk of prompts.
# Each chapter offers its own files for download. To read one: `xarray.load_dataset("plateau_thresholds_sphere_targets.nc")`.
#
# ## Your own model in ten lines
#
# The library behind the chapters, on {glue:text}`model_used`; any name that `model` takes works here too.

# %% tags=["parameters"]
profile: str = "quick"  # name of the parameter file in profiles/
results_dir: str = "results/quick"  # folder of the results, relative to the checkout
model: str = "smollm2-135m-instruct"  # embedded model, Hugging Face hub id, local folder, or .gguf file
device: str = "auto"  # auto, cpu, cuda or mps

# %%
import torch

from plateaus_utils import arguments, effects, models, patching, paths, results

arguments.check_injected(In)

# %%
lm = models.load_model(model, device)
tokens = torch.tensor([lm.tokenizer("The quick brown fox jumps over the lazy", add_special_tokens=False)["input_ids"]])
suffix = patching.Suffix(lm, tokens, lm.default_hook)

# %%
direction = torch.randn(suffix.base.shape, generator=torch.Generator().manual_seed(0)).to(suffix.base)
angles = torch.linspace(0, 90, 7)
kl = effects.measure(suffix, paths.sphere(suffix.base, direction, angles))["kl"][0]
print({f"{angle:.0f}°": f"{value:.4f} nats" for angle, value in zip(angles, kl, strict=True)})

# %% [markdown]
# And the results that the chapters have left in this run's folder:

# %%
print(", ".join(sorted(path.stem for path in results.results_folder(results_dir).glob("*.nc"))) or "none yet")

# %% tags=["remove-cell"]
from myst_nb import glue

glue("model_used", lm.description, display=False)

# %% [markdown]
# ## Add to the book
#
# | what | files |
# | --- | --- |
# | a kind of base or of direction | `plateaus_utils/kinds.py` (one entry: name, label, meaning, recipe, style) and its test; experiments, explorers, figures and the glossary read that table |
# | an effect | `plateaus_utils/effects.py` (one entry) and its test |
# | a chapter | `notebooks/NN_name.py`, a line in `_toc.yml`, `plateaus_utils/experiments/name.py` and its tests |
# | a statement that a chapter tests | an entry in `book/claims.yaml`, and a function in `plateaus_utils/primaries/` that returns one value for each prompt |
#
# A chapter has one cell tagged `parameters` that declares `profile`, `results_dir` and whatever it needs; its experiments return one
# labelled `xarray.Dataset` each, and its code cells define nothing. `claims.Judge` takes the values that decide and exactly the secondary
# numbers that the registry names, and refuses others.
#
# ## Cite
#
# `CITATION.cff` in the repository says how to cite this book; the report it reproduces is {cite:t}`heimersheim2024plateaus`, and every
# published number is cited where it is used ({doc}`/book/bibliography`).
